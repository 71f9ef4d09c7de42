//! Telling a longer path from a queue: a first-in-first-out queue cannot grow
//! by milliseconds between two reports, and it moves when we send less.

use super::{Sample, later};
use crate::Time;

/// Least jump that is looked into, in seconds.
const LEAST: f64 = 0.004;

/// Sends less and watches whether the new delay moves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verify {
    jump: f64,
    level: f64,
    until: Time,
}

/// What it was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Outcome {
    /// The path became longer by so many seconds.
    Longer(f64),
    /// A queue.
    Queue,
}

impl Verify {
    /// Share of the rate to send at.
    pub(super) const FACTOR: f64 = 0.7;

    /// Begins if the delay of this sample jumped.
    pub(super) fn begin(s: &Sample, target: f64) -> Option<Self> {
        let threshold = LEAST.max(2.0 * target) + 0.8 * s.interval.max(s.gap);
        (s.jump > threshold).then(|| Self {
            jump: s.jump,
            level: s.queue,
            until: later(s.now, 2.3 * (s.base_rtt + s.jump)),
        })
    }

    pub(super) fn on_sample(&mut self, s: &Sample) -> Option<Outcome> {
        if (s.queue - self.level).abs() > 0.12 * self.jump + 0.001 {
            return Some(Outcome::Queue);
        }
        (s.now >= self.until).then_some(Outcome::Longer(s.queue))
    }
}
