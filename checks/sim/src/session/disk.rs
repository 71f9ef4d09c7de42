//! What is below a receiver: a queue that a disk drains.

use std::time::Duration;

use limosa_transport::{QueueState, Time};
use limosa_wire::Rate;

/// A disk: how fast it writes, how much may wait for it, and when it hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Rate at which it writes.
    pub rate: Rate,
    /// Bytes that may wait.
    pub queue: u64,
    /// From when and for how long it writes nothing.
    pub stall: Option<(Time, Duration)>,
}

impl Default for Disk {
    /// Infinitely fast, behind a queue of 64 MiB.
    fn default() -> Self {
        Self { rate: Rate::UNLIMITED, queue: 64 << 20, stall: None }
    }
}

/// The queue in front of a disk.
#[derive(Debug)]
pub(super) struct DiskQueue {
    disk: Disk,
    queued: u64,
    drained: u64,
    now: Time,
    /// Fractions of a byte written.
    remainder: f64,
}

impl DiskQueue {
    pub(super) fn new(disk: Disk) -> Self {
        Self { disk, queued: 0, drained: 0, now: Time::ZERO, remainder: 0.0 }
    }

    /// Writes what the disk can until `now`.
    pub(super) fn advance(&mut self, now: Time) {
        let span = now.since(self.now).saturating_sub(self.stalled(now));
        self.now = self.now.max(now);
        let able = if self.disk.rate == Rate::UNLIMITED && !span.is_zero() {
            u64::MAX
        } else {
            let bytes = self.disk.rate.bytes_per_second() * span.as_secs_f64() + self.remainder;
            self.remainder = bytes.fract();
            bytes as u64
        };
        let written = able.min(self.queued);
        self.queued -= written;
        self.drained += written;
    }

    /// How much of the time up to `now` the disk hung.
    fn stalled(&self, now: Time) -> Duration {
        let Some((from, length)) = self.disk.stall else { return Duration::ZERO };
        let (from, until) = (from.max(self.now), (from + length).min(now));
        until.since(from)
    }

    /// Takes `bytes` if there is room.
    pub(super) fn take(&mut self, bytes: u64) -> bool {
        let fits = self.queued + bytes <= self.disk.queue;
        if fits {
            self.queued += bytes;
        }
        fits
    }

    pub(super) fn state(&self) -> QueueState {
        QueueState { queued: self.queued, capacity: self.disk.queue, drained: self.drained }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: u64 = 1_000;

    fn queue(stall: Option<(Time, Duration)>) -> DiskQueue {
        // One byte per microsecond.
        DiskQueue::new(Disk { rate: Rate::from_bits_per_second(8_000_000), queue: 10_000, stall })
    }

    #[test]
    fn a_disk_drains_at_its_rate_and_takes_what_fits() {
        let mut queue = queue(None);
        assert!(queue.take(9_000) && !queue.take(1_001) && queue.take(1_000));
        queue.advance(Time::from_micros(4 * MILLI));
        assert_eq!(queue.state(), QueueState { queued: 6_000, capacity: 10_000, drained: 4_000 });
    }

    #[test]
    fn a_stalled_disk_drains_nothing_meanwhile() {
        let mut queue = queue(Some((Time::from_micros(MILLI), Duration::from_millis(2))));
        assert!(queue.take(10_000));
        for (at, drained) in [(2, 1_000), (3, 1_000), (5, 3_000)] {
            queue.advance(Time::from_micros(at * MILLI));
            assert_eq!(queue.state().drained, drained, "{at}");
        }
    }
}
