//! Memory for what one system call receives, and the datagrams found in it.

use std::io::IoSliceMut;
use std::net::{IpAddr, SocketAddr};

use limosa_transport::Ecn;
use memmap2::MmapMut;
use quinn_udp::{BATCH_SIZE, EcnCodepoint, RecvMeta};

/// The kernel coalesces datagrams of one sender up to this many bytes.
const BUFFER: usize = 64 * 1024;

/// Where datagrams came from and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The sender; an IPv4 address as such, also at an IPv6 socket.
    pub from: SocketAddr,
    /// The address of this machine it was sent to, where the system tells.
    pub local: Option<IpAddr>,
    /// The marking of its IP header.
    pub ecn: Ecn,
}

/// What one call of [`crate::UdpSocket::receive`] brought.
pub struct ReceiveBatch {
    memory: Box<dyn AsMut<[u8]> + Send>,
    meta: [RecvMeta; BATCH_SIZE],
    filled: usize,
}

impl ReceiveBatch {
    /// Room for as much as one system call can bring: 2 MiB, most of which is
    /// never touched where the kernel does not coalesce.
    #[must_use]
    pub fn new() -> Self {
        // A mapping takes no memory before it is touched and goes back whole;
        // an allocator may have old memory to clear, and keeps it.
        let length = BUFFER * BATCH_SIZE;
        let memory: Box<dyn AsMut<[u8]> + Send> = match MmapMut::map_anon(length) {
            Ok(mapping) => Box::new(mapping),
            Err(_) => Box::new(vec![0; length]),
        };
        Self { memory, meta: [RecvMeta::default(); BATCH_SIZE], filled: 0 }
    }

    /// Lets `receive` fill the buffers and say how many it filled.
    pub(crate) fn fill<E>(
        &mut self,
        receive: impl FnOnce(&mut [IoSliceMut<'_>], &mut [RecvMeta]) -> Result<usize, E>,
    ) -> Result<(), E> {
        self.filled = 0;
        let mut rest = (*self.memory).as_mut();
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] = std::array::from_fn(|_| {
            let (buffer, later) = std::mem::take(&mut rest).split_at_mut(BUFFER);
            rest = later;
            IoSliceMut::new(buffer)
        });
        self.filled = receive(&mut slices, &mut self.meta)?;
        Ok(())
    }

    /// Whether every buffer was filled, so that more is likely waiting.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.filled == BATCH_SIZE
    }

    /// Whether nothing was received.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// The datagrams, in the order of their arrival.
    pub fn datagrams(&mut self) -> impl Iterator<Item = (Arrival, &mut [u8])> {
        let received = (*self.memory).as_mut().chunks_exact_mut(BUFFER).zip(&self.meta).take(self.filled);
        received.flat_map(|(buffer, meta)| {
            let arrival = arrival(meta);
            // An empty datagram has stride 0, and nothing for anybody.
            buffer[..meta.len.min(BUFFER)].chunks_mut(meta.stride.max(1)).map(move |datagram| (arrival, datagram))
        })
    }
}

impl Default for ReceiveBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for ReceiveBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReceiveBatch").field("filled", &self.filled).finish_non_exhaustive()
    }
}

fn arrival(meta: &RecvMeta) -> Arrival {
    let from = SocketAddr::new(meta.addr.ip().to_canonical(), meta.addr.port());
    let local = meta.dst_ip.map(|ip| ip.to_canonical());
    let ecn = match meta.ecn {
        None => Ecn::NotCapable,
        Some(EcnCodepoint::Ect0) => Ecn::Capable,
        Some(EcnCodepoint::Ect1) => Ecn::Capable1,
        Some(EcnCodepoint::Ce) => Ecn::Congestion,
    };
    Arrival { from, local, ecn }
}
