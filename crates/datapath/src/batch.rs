//! Memory for what one system call receives, and the datagrams found in it.

use std::io::IoSliceMut;
use std::net::{IpAddr, SocketAddr};

use limosa_transport::Ecn;
use memmap2::MmapMut;
use quinn_udp::{BATCH_SIZE, EcnCodepoint, RecvMeta};

/// The kernel coalesces datagrams of one sender up to this many bytes.
const BUFFER: usize = 64 * 1024;

/// Bytes that one call is to bring, about: so much stays in the processor's
/// cache from the kernel's copy until the last datagram of it was opened.
const CACHED: usize = 256 * 1024;

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
    /// Every buffer that was lent was filled.
    full: bool,
    /// Buffers lent to a call: fewer, the more each is filled.
    lent: usize,
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
        Self { memory, meta: [RecvMeta::default(); BATCH_SIZE], filled: 0, full: false, lent: BATCH_SIZE }
    }

    /// Lets `receive` fill the buffers and say how many it filled.
    pub(crate) fn fill<E>(
        &mut self,
        receive: impl FnOnce(&mut [IoSliceMut<'_>], &mut [RecvMeta]) -> Result<usize, E>,
    ) -> Result<(), E> {
        (self.filled, self.full) = (0, false);
        let mut rest = (*self.memory).as_mut();
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] = std::array::from_fn(|_| {
            let (buffer, later) = std::mem::take(&mut rest).split_at_mut(BUFFER);
            rest = later;
            IoSliceMut::new(buffer)
        });
        self.filled = receive(&mut slices[..self.lent], &mut self.meta)?;
        self.full = self.filled == self.lent;
        self.lent = self.lent_next();
        Ok(())
    }

    /// How many buffers hold [`CACHED`] bytes if they are filled as these were.
    fn lent_next(&self) -> usize {
        let bytes: usize = self.meta.iter().take(self.filled).map(|meta| meta.len).sum();
        (CACHED * self.filled).checked_div(bytes).unwrap_or(BATCH_SIZE).clamp(1, BATCH_SIZE)
    }

    /// Whether every buffer was filled, so that more is likely waiting.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.full
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets a call fill `count` buffers with `length` bytes each; how many it
    /// was lent.
    fn fill(batch: &mut ReceiveBatch, count: usize, length: usize) -> usize {
        let mut lent = 0;
        let filled: Result<(), ()> = batch.fill(|buffers, meta| {
            lent = buffers.len();
            meta.iter_mut().take(count).for_each(|meta| (meta.len, meta.stride) = (length, 1000));
            Ok(count.min(lent))
        });
        filled.unwrap();
        lent
    }

    #[test]
    fn a_call_brings_no_more_than_stays_in_the_cache() {
        let mut batch = ReceiveBatch::new();
        assert_eq!(fill(&mut batch, 32, BUFFER), BATCH_SIZE);
        assert!(batch.is_full());
        let few = fill(&mut batch, 3, BUFFER);
        assert_eq!(few, (CACHED / BUFFER).min(BATCH_SIZE));
        assert_eq!(batch.is_full(), few <= 3, "one buffer was left");
        fill(&mut batch, 1, 1000);
        assert_eq!(fill(&mut batch, 0, 0), BATCH_SIZE, "small ones come in one call as before");
        assert!(batch.is_empty() && !batch.is_full());
    }
}
