//! The application above a simulated connection: a linear space whose every
//! byte follows from its offset, so that a wrong one is noticed.

use std::collections::BTreeMap;

use limosa_transport::{Application, Delivery, Payload, QueueState, Time};
use limosa_wire::Offset;
use limosa_wire::frame::StreamId;

use super::disk::{Disk, DiskQueue};

/// A linear space, at the sending or the receiving end.
#[derive(Debug)]
pub struct Space {
    size: u64,
    payload: Payload,
    /// What has arrived, or, at the sending end, is known to have arrived:
    /// start and end of each run.
    settled: BTreeMap<u64, u64>,
    settled_bytes: u64,
    /// End of what was asked for to be sent.
    asked: u64,
    duplicate_bytes: u64,
    shed_bytes: u64,
    wrong_bytes: u64,
    streams: [u64; StreamId::ALL.len()],
    disk: DiskQueue,
}

impl Space {
    pub(super) fn new(size: u64, payload: Payload, disk: Disk) -> Self {
        Self {
            size,
            payload,
            settled: BTreeMap::new(),
            settled_bytes: 0,
            asked: 0,
            duplicate_bytes: 0,
            shed_bytes: 0,
            wrong_bytes: 0,
            streams: [0; StreamId::ALL.len()],
            disk: DiskQueue::new(disk),
        }
    }

    pub(super) fn advance(&mut self, now: Time) {
        self.disk.advance(now);
    }

    pub(super) fn payload(&self) -> Payload {
        self.payload
    }

    /// Bytes that have arrived, or are known to, each counted once.
    #[must_use]
    pub fn settled_bytes(&self) -> u64 {
        self.settled_bytes
    }

    /// Whether all have.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.settled_bytes >= self.size
    }

    /// Whether every byte has been sent once.
    #[must_use]
    pub fn is_sent(&self) -> bool {
        self.asked >= self.size
    }

    /// Bytes that arrived again.
    #[must_use]
    pub fn duplicate_bytes(&self) -> u64 {
        self.duplicate_bytes
    }

    /// Bytes that found the disk's queue full.
    #[must_use]
    pub fn shed_bytes(&self) -> u64 {
        self.shed_bytes
    }

    /// Bytes that were not what they must be, or lie outside the space.
    #[must_use]
    pub fn wrong_bytes(&self) -> u64 {
        self.wrong_bytes
    }

    /// Bytes of a stream that arrived.
    #[must_use]
    pub fn stream_bytes(&self, stream: StreamId) -> u64 {
        self.streams[stream.index()]
    }

    /// Bytes of `start..end` that are not settled.
    fn open_bytes(&self, start: u64, end: u64) -> u64 {
        let before = self.settled.range(..start).next_back();
        let from_before = before.map_or(0, |(_, until)| until.min(&end).saturating_sub(start));
        let within = self.settled.range(start..end).map(|(from, until)| until.min(&end) - from);
        (end - start) - from_before - within.sum::<u64>()
    }

    /// Settles `start..end`; returns how many bytes of it were not before.
    fn settle(&mut self, start: u64, end: u64) -> u64 {
        let new = self.open_bytes(start, end);
        if new == 0 {
            return 0;
        }
        let (mut start, mut end) = (start, end);
        if let Some((&from, &until)) = self.settled.range(..=start).next_back()
            && until >= start
        {
            start = from;
            end = end.max(until);
        }
        while let Some((&from, &until)) = self.settled.range(start..=end).next() {
            end = end.max(until);
            self.settled.remove(&from);
        }
        self.settled.insert(start, end);
        self.settled_bytes += new;
        new
    }

    fn count_wrong(&self, offset: u64, bytes: &[u8]) -> u64 {
        if offset.saturating_add(bytes.len() as u64) > self.size {
            return bytes.len() as u64;
        }
        if self.payload == Payload::Lengths {
            return 0;
        }
        let expected = (offset..).map(byte_at);
        bytes.iter().zip(expected).filter(|(byte, expected)| **byte != *expected).count() as u64
    }
}

/// The byte that belongs at `offset`: neighbours differ, and so do bytes a
/// power of two apart.
fn byte_at(offset: u64) -> u8 {
    (offset.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

impl Application for Space {
    fn fill(&mut self, offset: Offset, out: &mut [u8]) -> usize {
        let length = self.size.saturating_sub(offset.0).min(out.len() as u64) as usize;
        self.asked = self.asked.max(offset.0 + length as u64);
        if self.payload == Payload::Bytes {
            for (byte, at) in out[..length].iter_mut().zip(offset.0..) {
                *byte = byte_at(at);
            }
        }
        length
    }

    fn acknowledged(&mut self, offset: Offset, length: u64) {
        self.settle(offset.0, offset.0.saturating_add(length));
    }

    fn deliver(&mut self, offset: Offset, bytes: &[u8]) -> Delivery {
        let (start, end) = (offset.0, offset.0.saturating_add(bytes.len() as u64));
        self.wrong_bytes += self.count_wrong(start, bytes);
        let open = self.open_bytes(start, end);
        if open == 0 {
            self.duplicate_bytes += bytes.len() as u64;
            return Delivery::Duplicate;
        }
        if !self.disk.take(open) {
            self.shed_bytes += open;
            return Delivery::Shed;
        }
        self.duplicate_bytes += bytes.len() as u64 - open;
        self.settle(start, end);
        Delivery::Kept
    }

    fn queue(&self) -> QueueState {
        self.disk.state()
    }

    fn stream(&mut self, stream: StreamId, bytes: &[u8]) {
        self.streams[stream.index()] += bytes.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn space(size: u64, queue: u64) -> Space {
        Space::new(size, Payload::Bytes, Disk { queue, ..Disk::default() })
    }

    fn made(offset: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        assert_eq!(space(1 << 20, 0).fill(Offset(offset), &mut bytes), length);
        bytes
    }

    #[test]
    fn wrong_and_misplaced_bytes_are_noticed() {
        let mut space = space(1000, 1 << 20);
        assert_eq!(space.deliver(Offset(0), &made(0, 100)), Delivery::Kept);
        assert_eq!(space.wrong_bytes(), 0);
        space.deliver(Offset(100), &made(101, 100));
        assert!(space.wrong_bytes() > 90);
        let before = space.wrong_bytes();
        space.deliver(Offset(950), &made(950, 100));
        assert_eq!(space.wrong_bytes(), before + 100);
    }

    #[test]
    fn what_does_not_fit_is_shed_and_what_was_there_is_not_counted_twice() {
        let mut space = space(1000, 150);
        assert_eq!(space.deliver(Offset(0), &made(0, 100)), Delivery::Kept);
        assert_eq!(space.deliver(Offset(100), &made(100, 100)), Delivery::Shed);
        assert_eq!(space.deliver(Offset(0), &made(0, 100)), Delivery::Duplicate);
        assert_eq!(space.deliver(Offset(50), &made(50, 100)), Delivery::Kept);
        assert_eq!((space.settled_bytes(), space.shed_bytes(), space.duplicate_bytes()), (150, 100, 150));
    }

    proptest! {
        #[test]
        fn settled_runs_are_what_a_bitmap_says(runs in proptest::collection::vec((0_u64..300, 1_u64..40), 0..60)) {
            let mut space = space(400, 0);
            let mut bitmap = [false; 400];
            for (start, length) in runs {
                let range = start..start + length;
                let open = range.clone().filter(|at| !bitmap[*at as usize]).count() as u64;
                range.for_each(|at| bitmap[at as usize] = true);
                prop_assert_eq!(space.settle(start, start + length), open);
            }
            let ends: Vec<_> = space.settled.iter().collect();
            prop_assert!(ends.windows(2).all(|pair| pair[0].1 < pair[1].0));
            prop_assert_eq!(space.settled_bytes(), bitmap.iter().filter(|set| **set).count() as u64);
        }
    }
}
