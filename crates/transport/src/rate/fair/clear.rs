//! Clearing away the queue that the start-ups of several flows leave behind.
//!
//! Flows that begin within a few round trips of each other each look for the
//! whole line, and what they find is a queue of many round trips. The law would
//! take long to bring it down, and meanwhile whoever began last holds that
//! queue for the path and sees none. So all who do see it send next to nothing
//! until it is gone: the last ones then see the path as it is.

use super::{Sample, later, seconds_since};
use crate::Time;

/// A queue is deep from so many seconds on, and from this part of the round
/// trip.
const DEEP: (f64, f64) = (0.018, 0.5);
/// Loss in start-up from which on it may be that of a full buffer which was
/// taken for the path.
pub(super) const HEAVY_LOSS: f64 = 0.15;
/// Horizons after start-up in which a queue can be start-up's.
const AFTER_STARTUP: f64 = 15.0;
/// A delay that moves by less than so many seconds stands still.
const STILL: f64 = 0.000_5;
/// It must do so for so many reports, or, where there is still a deep queue
/// because others are in their start-up yet, for so many horizons.
const LASTING: (f64, f64) = (3.0, 4.0);
/// The longest time, in seconds and in horizons.
const LONGEST: (f64, f64) = (0.4, 6.0);

/// Looks for such a queue for some time after start-up.
#[derive(Clone, Copy, Debug)]
pub(super) struct AfterStartup {
    until: Time,
}

/// Sends next to nothing until the queue is gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clear {
    began: Time,
    until: Time,
    /// A delay, and since when it has stood there.
    still: Option<(f64, Time)>,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The queue is gone.
    Gone,
    /// Others keep it, or the path is as long.
    Stays,
}

impl AfterStartup {
    pub(super) fn new(s: &Sample) -> Self {
        Self { until: later(s.now, AFTER_STARTUP * s.horizon()) }
    }

    /// Begins if there is a deep queue, or, after a start-up with so much
    /// `loss`, may be.
    pub(super) fn clear(self, s: &Sample, loss: f64) -> Option<Clear> {
        let due = s.now < self.until && (is_deep(s) || loss > HEAVY_LOSS);
        let longest = LONGEST.0.max(LONGEST.1 * s.horizon());
        due.then(|| Clear { began: s.now, until: later(s.now, longest), still: None })
    }
}

fn is_deep(s: &Sample) -> bool {
    s.queue > DEEP.0.max(DEEP.1 * s.base_rtt)
}

impl Clear {
    /// Share of the rate to send at.
    pub(super) const FACTOR: f64 = 0.05;

    /// How it ended, once it has. Only packets sent since it began tell: those
    /// before them stood in the queue as it was. The base delay may fall as
    /// well, so it is the sum of both that must come to rest.
    pub(super) fn on_sample(&mut self, s: &Sample) -> Option<Outcome> {
        if s.now >= self.until {
            return Some(Outcome::Stays);
        }
        if s.newest < self.began {
            return None;
        }
        let (delay, deep) = (s.base_delay + s.queue, is_deep(s));
        let (before, since) = self.still.unwrap_or((delay, s.now));
        if (delay - before).abs() > STILL {
            self.still = Some((delay, s.now));
            return None;
        }
        self.still = Some((before, since));
        let lasting = if deep { LASTING.1 * s.horizon() } else { LASTING.0 * s.interval };
        let over = seconds_since(s.now, since) > lasting;
        over.then_some(if deep { Outcome::Stays } else { Outcome::Gone })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a clearing after start-up at second 1, and how long it
    /// takes, where the delay is `queue` so many seconds later.
    fn clear(queue: impl Fn(f64) -> f64) -> Option<(Outcome, f64)> {
        let sample = |t: f64| Sample::calm(1.0 + t, 1e7).with_queue(queue(t));
        let mut clear = AfterStartup::new(&sample(0.0)).clear(&sample(0.0), 0.0)?;
        (1..200).map(|i| f64::from(i) * 0.00625).find_map(|t| clear.on_sample(&sample(t)).map(|outcome| (outcome, t)))
    }

    #[test]
    fn a_deep_queue_is_cleared_until_it_is_gone() {
        let (outcome, took) = clear(|t| (0.12 - t).max(0.0)).expect("an end");
        assert_eq!(outcome, Outcome::Gone);
        assert!((0.12..0.16).contains(&took), "{took}");
    }

    #[test]
    fn what_others_still_send_is_waited_for_but_not_for_ever() {
        let rising = |t: f64| if t < 0.15 { 0.03 + t } else { (0.33 - t).max(0.0) };
        assert!(clear(rising).is_some_and(|(outcome, took)| outcome == Outcome::Gone && took > 0.33));
        assert!(clear(|_| 0.05).is_some_and(|(outcome, took)| outcome == Outcome::Stays && took < 0.3));
        let tooth = |t: f64| 0.03 + 0.02 * (t * 10.0).fract();
        assert!(clear(tooth).is_some_and(|(outcome, took)| outcome == Outcome::Stays && took < 0.42));
    }

    #[test]
    fn small_queues_and_late_ones_are_left_to_the_law() {
        assert_eq!(clear(|_| 0.02), None, "under half of the round trip");
        let deep = |now: f64| Sample::calm(now, 1e7).with_queue(0.1);
        let after = AfterStartup::new(&deep(1.0));
        assert!(after.clear(&deep(1.7), 0.0).is_some());
        assert!(after.clear(&deep(1.8), 0.0).is_none());
    }

    #[test]
    fn a_base_delay_that_falls_is_a_queue_that_was_not_seen() {
        let sample = |t: f64| Sample { base_delay: (0.08 - t).max(0.0), ..Sample::calm(1.0 + t, 1e7) };
        let after = AfterStartup::new(&sample(0.0));
        assert!(after.clear(&sample(0.0), 0.1).is_none(), "a lossy line is one");
        let mut clear = after.clear(&sample(0.0), 0.3).expect("it may be a full buffer");
        let took = (1..100).find(|&i| clear.on_sample(&sample(f64::from(i) * 0.00625)).is_some());
        assert!(took.is_some_and(|i| f64::from(i) * 0.00625 > 0.08), "{took:?}");
    }
}
