//! Sizes of a socket's buffers: asked for, granted, and what to do about the
//! difference.

use std::fmt;
use std::io;

use rustix::net::sockopt;
use socket2::Socket;

/// Bytes of a socket's buffers, one for each way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferSizes {
    /// For what arrives. Holds what comes in while the receiving thread is not
    /// scheduled: at 10 Gbit/s, 8 MiB are 6.7 ms.
    pub receive: usize,
    /// For what leaves. A sender that paces needs little.
    pub send: usize,
}

impl Default for BufferSizes {
    /// 8 MiB for what arrives, 2 MiB for what leaves.
    fn default() -> Self {
        Self { receive: 8 << 20, send: 2 << 20 }
    }
}

/// What the kernel made of the sizes asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantedBuffers {
    /// What was asked for.
    pub asked: BufferSizes,
    /// What was granted, in bytes that the kernel counts with its overhead: a
    /// datagram takes about its size and 700 bytes more.
    pub granted: BufferSizes,
}

impl GrantedBuffers {
    /// Sets the buffers of `socket`: beyond the system's limits where this
    /// process may do that, else up to them; and reads back what came of it.
    ///
    /// # Errors
    /// If the sizes cannot be read back.
    pub(crate) fn request(socket: &Socket, asked: BufferSizes) -> io::Result<Self> {
        // Refusals show in what is read back.
        if sockopt::set_socket_recv_buffer_size_force(socket, asked.receive).is_err() {
            let _ = socket.set_recv_buffer_size(asked.receive);
        }
        if sockopt::set_socket_send_buffer_size_force(socket, asked.send).is_err() {
            let _ = socket.set_send_buffer_size(asked.send);
        }
        Self::read_back(socket, asked)
    }

    /// The sizes that `socket` has, beside those that were asked for.
    ///
    /// # Errors
    /// If they cannot be read.
    pub(crate) fn read_back(socket: &Socket, asked: BufferSizes) -> io::Result<Self> {
        // The kernel reports twice what it was asked for.
        let granted = BufferSizes { receive: socket.recv_buffer_size()? / 2, send: socket.send_buffer_size()? / 2 };
        Ok(Self { asked, granted })
    }

    /// Whether a buffer is smaller than asked for.
    #[must_use]
    pub const fn too_small(&self) -> bool {
        self.granted.receive < self.asked.receive || self.granted.send < self.asked.send
    }

    /// What an administrator can do about it, if anything is to be done.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        let pairs = [
            ("net.core.rmem_max", self.asked.receive, self.granted.receive),
            ("net.core.wmem_max", self.asked.send, self.granted.send),
        ];
        let settings: Vec<_> = pairs
            .iter()
            .filter(|(_, asked, granted)| granted < asked)
            .map(|(name, asked, granted)| format!("{name}={asked} (granted {granted})"))
            .collect();
        (!settings.is_empty()).then(|| format!("UDP buffers are small; raise them: sysctl -w {}", settings.join(" ")))
    }
}

impl fmt::Display for GrantedBuffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kib = |bytes: usize| bytes >> 10;
        let Self { asked, granted } = self;
        write!(
            f,
            "receive {} of {} KiB, send {} of {} KiB",
            kib(granted.receive),
            kib(asked.receive),
            kib(granted.send),
            kib(asked.send)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_buffers_come_with_advice() {
        let asked = BufferSizes { receive: 8 << 20, send: 2 << 20 };
        let granted = BufferSizes { receive: 208 << 10, ..asked };
        let buffers = GrantedBuffers { asked, granted };
        assert!(buffers.too_small());
        assert_eq!(
            buffers.advice().as_deref(),
            Some("UDP buffers are small; raise them: sysctl -w net.core.rmem_max=8388608 (granted 212992)")
        );
        assert_eq!(buffers.to_string(), "receive 208 of 8192 KiB, send 2048 of 2048 KiB");
        assert_eq!(GrantedBuffers { asked, granted: asked }.advice(), None);
    }
}
