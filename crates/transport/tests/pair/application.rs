//! What the pair carries: bytes that are a function of their offset, so that
//! a wrong one is seen wherever it lands.

use std::collections::BTreeMap;
use std::time::Duration;

use limosa_transport::{Application, Delivery, QueueState, Time};
use limosa_wire::Offset;
use limosa_wire::frame::StreamId;

/// The byte at a place.
pub(crate) fn byte_at(offset: u64) -> u8 {
    (offset.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

/// A disk of bounded speed behind a bounded queue.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    pub(crate) rate: u64,
    pub(crate) capacity: u64,
    pub(crate) stall: std::ops::Range<Time>,
}

#[derive(Default)]
pub(crate) struct TestApplication {
    pub(crate) now: Time,
    /// Received ranges, start to end, merged.
    ranges: BTreeMap<u64, u64>,
    pub(crate) received: u64,
    pub(crate) acknowledged: u64,
    pub(crate) streams: [Vec<u8>; 3],
    pub(crate) disk: Option<Disk>,
    queued: u64,
    drained: u64,
    drained_at: Time,
    /// Bytes from here on are not in memory.
    pub(crate) in_memory: Option<u64>,
    /// Bytes are not looked at, only counted.
    pub(crate) lengths: bool,
}

impl TestApplication {
    /// Whether all of `0..end` arrived.
    pub(crate) fn has_all(&self, end: u64) -> bool {
        self.ranges.get(&0).is_some_and(|e| *e >= end)
    }

    fn insert(&mut self, start: u64, end: u64) -> bool {
        let (mut s, mut e, mut swallowed) = (start, end, 0);
        while let Some((&a, &b)) = self.ranges.range(..=e).next_back().filter(|(_, b)| **b >= s) {
            if a <= start && end <= b {
                return false;
            }
            self.ranges.remove(&a);
            swallowed += b - a;
            s = s.min(a);
            e = e.max(b);
        }
        self.ranges.insert(s, e);
        self.received += e - s - swallowed;
        true
    }

    fn drain(&mut self) {
        let Some(disk) = &self.disk else { return };
        let from = self.drained_at;
        self.drained_at = self.now;
        if disk.stall.contains(&self.now) {
            return;
        }
        let since = if from < disk.stall.end && self.now >= disk.stall.end && disk.stall.start > Time::ZERO {
            disk.stall.end
        } else {
            from
        };
        let bytes = (disk.rate as f64 * self.now.since(since).as_secs_f64()) as u64;
        let bytes = bytes.min(self.queued);
        self.queued -= bytes;
        self.drained += bytes;
    }

    /// When the disk has something to tell though nothing arrives.
    pub(crate) fn next_change(&self, now: Time) -> Option<Time> {
        self.disk.as_ref().filter(|_| self.queued > 0).map(|_| now + Duration::from_millis(5))
    }
}

impl Application for TestApplication {
    fn fill(&mut self, offset: Offset, out: &mut [u8]) -> usize {
        let length = self.in_memory.map_or(out.len(), |end| out.len().min(end.saturating_sub(offset.0) as usize));
        for (place, at) in out[..length].iter_mut().zip(offset.0..) {
            *place = byte_at(at);
        }
        length
    }

    fn acknowledged(&mut self, _: Offset, length: u64) {
        self.acknowledged += length;
    }

    fn deliver(&mut self, offset: Offset, bytes: &[u8]) -> Delivery {
        for (byte, at) in bytes.iter().zip(offset.0..).filter(|_| !self.lengths) {
            assert_eq!(*byte, byte_at(at), "wrong byte at {at}");
        }
        self.drain();
        if let Some(disk) = &self.disk
            && self.queued + bytes.len() as u64 > disk.capacity
        {
            return Delivery::Shed;
        }
        if !self.insert(offset.0, offset.0 + bytes.len() as u64) {
            return Delivery::Duplicate;
        }
        if self.disk.is_some() {
            self.queued += bytes.len() as u64;
        }
        Delivery::Kept
    }

    fn queue(&self) -> QueueState {
        match &self.disk {
            None => QueueState::default(),
            Some(disk) => QueueState { queued: self.queued, capacity: disk.capacity, drained: self.drained },
        }
    }

    fn stream(&mut self, stream: StreamId, bytes: &[u8]) {
        self.streams[stream.index()].extend_from_slice(bytes);
    }
}
