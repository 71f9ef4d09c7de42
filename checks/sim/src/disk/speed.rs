//! How long the operations of a disk take, in virtual time.

use std::time::Duration;

use limosa_transport::Time;
use limosa_wire::Rate;

/// A time in which nothing gets done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// When it starts.
    pub from: Time,
    /// How long it lasts.
    pub length: Duration,
}

impl Stall {
    /// What is left of it at `now`.
    fn left(&self, now: Time) -> Duration {
        if now < self.from { Duration::ZERO } else { (self.from + self.length).since(now) }
    }
}

/// The speed of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speed {
    /// Time each operation takes at least.
    pub latency: Duration,
    /// Time bringing anything to stable storage takes at least.
    pub sync: Duration,
    /// How fast bytes are read and written.
    pub rate: Rate,
    /// When it hangs, if it does.
    pub stall: Option<Stall>,
}

impl Speed {
    /// A disk that takes no time at all.
    pub const INSTANT: Self =
        Self { latency: Duration::ZERO, sync: Duration::ZERO, rate: Rate::UNLIMITED, stall: None };

    /// A solid-state disk of a few years ago: 20 µs, 1 ms to sync, 500 MB/s.
    pub const SOLID_STATE: Self = Self {
        latency: Duration::from_micros(20),
        sync: Duration::from_millis(1),
        rate: Rate::from_bits_per_second(4_000_000_000),
        stall: None,
    };

    /// The same disk hanging for a while.
    #[must_use]
    pub fn with_stall(self, from: Time, length: Duration) -> Self {
        Self { stall: Some(Stall { from, length }), ..self }
    }

    /// The same disk with another rate.
    #[must_use]
    pub fn with_rate(self, rate: Rate) -> Self {
        Self { rate, ..self }
    }

    /// When an operation that starts at `now` is over.
    pub(super) fn end(&self, now: Time, bytes: u64, syncs: bool) -> Time {
        let fixed = if syncs { self.latency + self.sync } else { self.latency };
        let moving = if self.rate == Rate::UNLIMITED || bytes == 0 {
            Duration::ZERO
        } else {
            Duration::from_secs_f64(bytes as f64 / self.rate.bytes_per_second())
        };
        let start = now + self.stall.map_or(Duration::ZERO, |stall| stall.left(now));
        start + fixed + moving
    }
}
