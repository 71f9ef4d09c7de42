//! Slows the sender to what the receiver's disk takes.

use std::time::Duration;

use limosa_wire::{PeerTime, Rate};

use crate::Time;

/// The receiver's queue as last reported, and how fast it drains.
#[derive(Debug, Default)]
pub(crate) struct Brake {
    queued: u64,
    capacity: u64,
    last: Option<(PeerTime, u64)>,
    /// Bytes per second.
    drain: f64,
    /// Until then what is in flight is fitted to the queue, because the
    /// receiver had to shed.
    tight_until: Time,
}

/// Drain rates are measured over at least this long.
const WINDOW: Duration = Duration::from_millis(20);
/// How long a receiver that had to shed is treated with care.
const CARE: Duration = Duration::from_secs(10);
/// The slowest the brake ever makes it (before it stops altogether), in bytes
/// per second: so that a drain rate can be measured again.
const CRAWL: f64 = 16_000.0;

#[allow(clippy::cast_precision_loss)]
impl Brake {
    /// Takes what a report says.
    pub(crate) fn on_report(&mut self, at: PeerTime, queued: u64, capacity: u64, drained: u64) {
        self.queued = queued;
        self.capacity = capacity;
        let Some((then, before)) = self.last else {
            self.last = Some((at, drained));
            return;
        };
        let micros = at.0.saturating_sub(then.0);
        if u128::from(micros) >= WINDOW.as_micros() {
            let rate = drained.saturating_sub(before) as f64 / (micros as f64 * 1e-6);
            let gain = (micros as f64 * 1e-6 / 0.2).clamp(0.2, 1.0);
            self.drain += gain * (rate - self.drain);
            self.last = Some((at, drained));
        }
    }

    /// The receiver had to shed.
    pub(crate) fn on_shed(&mut self, now: Time) {
        self.tight_until = now + CARE;
    }

    /// Bytes that may be in flight: any, until the queue is half full or the
    /// receiver had to shed; then what the queue can take and drain meanwhile.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub(crate) fn window(&self, now: Time, rtt: Duration) -> u64 {
        if self.capacity == 0 || (self.fill() <= 0.5 && now >= self.tight_until) {
            return u64::MAX;
        }
        self.capacity.saturating_sub(self.queued) + (self.drain * rtt.as_secs_f64()) as u64
    }

    fn fill(&self) -> f64 {
        if self.capacity == 0 { 0.0 } else { self.queued as f64 / self.capacity as f64 }
    }

    /// Whether nothing new may be sent.
    pub(crate) fn is_shut(&self) -> bool {
        self.fill() >= 0.98
    }

    /// The pace allowed by the queue: free below half, the drain rate at
    /// three quarters, little at the end.
    pub(crate) fn limit(&self, pace: Rate) -> Rate {
        let fill = self.fill();
        if fill <= 0.5 {
            return pace;
        }
        let factor = if fill < 0.75 { 1.0 + 2.0 * (0.75 - fill) } else { 4.0 * (1.0 - fill) };
        let limit = (self.drain * factor).max(CRAWL);
        pace.min(Rate::from_bytes_per_second(limit))
    }

    /// Bytes waiting and room, as last reported.
    pub(crate) fn queue(&self) -> (u64, u64) {
        (self.queued, self.capacity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_disk_sets_the_pace_from_half_full_on() {
        let mut brake = Brake::default();
        let pace = Rate::from_bits_per_second(1_000_000_000);
        for report in 0..100u64 {
            brake.on_report(PeerTime(report * 20_000), 400, 1000, report * 200_000);
        }
        assert_eq!(brake.limit(pace), pace);
        brake.on_report(PeerTime(2_000_000), 750, 1000, 100 * 200_000);
        let limit = brake.limit(pace).bytes_per_second();
        assert!((9.5e6..10.5e6).contains(&limit), "{limit} bytes/s at 10 MB/s drained");
        assert!(!brake.is_shut());
        brake.on_report(PeerTime(2_020_000), 1000, 1000, 101 * 200_000);
        assert!(brake.is_shut());
    }
}
