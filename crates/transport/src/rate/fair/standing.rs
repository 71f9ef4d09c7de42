//! Telling a path that became a little longer from a queue that others hold.
//!
//! Queues move: flows of our kind drain theirs at every point of the grid, and
//! those that fill buffers rise and back off. What stands still over a whole
//! period of the grid, although our own rate fell much or we back off at every
//! loss, is no queue: the path is longer, or its base delay was once taken too
//! low.

use super::{Sample, drain, later};
use crate::Time;

/// Least queue that can matter, in seconds.
const LEAST: f64 = 0.001;
/// How far apart the smallest and the largest delay may be, in seconds, and
/// relative to the latter: reports jitter by as much on busy machines.
const NOISE: (f64, f64) = (0.000_5, 0.25);

/// Watches for a queue that does not move.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Standing {
    watched: Option<Watched>,
}

#[derive(Clone, Copy, Debug)]
struct Watched {
    until: Time,
    lowest: f64,
    highest: f64,
}

impl Standing {
    /// By how much the path is longer than thought, once that is plain. Only
    /// what `held_back` us is looked into.
    pub(super) fn on_sample(&mut self, s: &Sample, held_back: bool) -> Option<f64> {
        if !held_back || s.queue < LEAST {
            self.watched = None;
            return None;
        }
        let fresh = Watched {
            until: later(s.now, drain::period(s.base_rtt) + 1.5 * s.base_rtt + 2.0 * s.interval),
            lowest: s.queue,
            highest: s.queue,
        };
        let before = self.watched.unwrap_or(fresh);
        let (lowest, highest) = (before.lowest.min(s.queue), before.highest.max(s.queue));
        let still = highest - lowest <= NOISE.0 + NOISE.1 * highest;
        self.watched = Some(if still { Watched { lowest, highest, ..before } } else { fresh });
        let over = still && s.now >= before.until;
        over.then(|| {
            self.watched = None;
            lowest
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found over four seconds of these queues at a tenth of the best
    /// rate.
    fn found(queue: impl Fn(u32) -> f64) -> Option<f64> {
        let mut standing = Standing::default();
        (0..640).find_map(|i| {
            let s = Sample::calm(1.0 + f64::from(i) * 0.00625, 1e7).with_queue(queue(i));
            standing.on_sample(&s, true)
        })
    }

    #[test]
    fn a_delay_that_stands_still_is_the_paths() {
        let by = found(|i| if i % 3 == 0 { 0.0052 } else { 0.005 });
        assert!(by.is_some_and(|by| (by - 0.005).abs() < 1e-9), "{by:?}");
    }

    #[test]
    fn a_delay_that_moves_or_does_not_hold_us_back_is_left_alone() {
        assert_eq!(found(|i| if i % 320 > 300 { 0.001_5 } else { 0.005 }), None, "others drain on the grid");
        assert_eq!(found(|i| 0.004 + f64::from(i) * 0.000_02), None, "others fill the buffer");
        let mut standing = Standing::default();
        let samples = (0..640).map(|i| Sample::calm(1.0 + f64::from(i) * 0.00625, 6e7).with_queue(0.005));
        assert!(samples.into_iter().all(|s| standing.on_sample(&s, false).is_none()));
    }
}
