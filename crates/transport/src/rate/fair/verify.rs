//! Telling a longer path from a queue: a first-in-first-out queue cannot grow
//! by milliseconds between two reports, and it moves when we send less. Where
//! somebody else keeps it full it does neither: a burst fills it, and what we
//! leave is taken. Then the buffer goes on losing what we send.

use super::{Sample, later};
use crate::Time;

/// Least jump that is looked into, in seconds.
const LEAST: f64 = 0.004;

/// Sends less and watches whether the new delay moves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verify {
    jump: f64,
    level: f64,
    began: Time,
    until: Time,
    /// Whether what was sent since then was dropped.
    dropped: bool,
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
            began: s.now,
            until: later(s.now, 2.3 * (s.base_rtt + s.jump)),
            dropped: false,
        })
    }

    /// `congested` says that the sample holds more loss than the line's own, or
    /// marks.
    pub(super) fn on_sample(&mut self, s: &Sample, congested: bool) -> Option<Outcome> {
        self.dropped |= congested && s.oldest >= self.began;
        if (s.queue - self.level).abs() > 0.12 * self.jump + 0.001 {
            return Some(Outcome::Queue);
        }
        let outcome = if self.dropped { Outcome::Queue } else { Outcome::Longer(s.queue) };
        (s.now >= self.until).then_some(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jumped(now: f64, queue: f64) -> Sample {
        Sample { jump: 0.05, ..Sample::calm(now, 1e8).with_queue(queue) }
    }

    #[test]
    fn a_delay_that_stays_is_the_paths() {
        assert!(Verify::begin(&Sample { jump: 0.005, ..jumped(1.0, 0.005) }, 0.0025).is_none());
        let mut verify = Verify::begin(&jumped(1.0, 0.05), 0.0025).expect("a jump");
        assert_eq!(verify.on_sample(&jumped(1.1, 0.051), false), None);
        assert_eq!(verify.on_sample(&jumped(1.3, 0.05), false), Some(Outcome::Longer(0.05)));
    }

    #[test]
    fn a_delay_that_moves_is_a_queue() {
        let mut verify = Verify::begin(&jumped(1.0, 0.05), 0.0025).expect("a jump");
        assert_eq!(verify.on_sample(&jumped(1.1, 0.04), false), Some(Outcome::Queue));
    }
    #[test]
    fn a_full_buffer_that_goes_on_dropping_is_a_queue() {
        let mut verify = Verify::begin(&jumped(1.0, 0.05), 0.0025).expect("a jump");
        assert_eq!(verify.on_sample(&jumped(1.05, 0.05), true), None, "sent before");
        let mut before = verify;
        assert_eq!(before.on_sample(&jumped(1.3, 0.05), false), Some(Outcome::Longer(0.05)));
        assert_eq!(verify.on_sample(&jumped(1.2, 0.05), true), None);
        assert_eq!(verify.on_sample(&jumped(1.3, 0.05), false), Some(Outcome::Queue));
    }
}
