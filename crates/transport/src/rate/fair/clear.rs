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
/// Who gets so much of the best rate has the line for itself.
const ALONE: f64 = 0.85;
/// Loss in start-up from which on it may be that of a full buffer which was
/// taken for the path.
pub(super) const HEAVY_LOSS: f64 = 0.15;
/// Horizons after start-up in which a queue can be start-up's.
const AFTER_STARTUP: f64 = 15.0;
/// A delay that falls by less than so many seconds falls no more, and one that
/// rises by less is not that of another start-up.
const FALLING: f64 = 0.000_5;
const RISING: f64 = 0.005;
/// It must stay so for so many reports, or, where there is still a deep queue
/// because others are in their start-up yet, for so many horizons.
const LASTING: (f64, f64) = (3.0, 4.0);
/// Share of the rate to send at, and the least, in bytes for each horizon, or,
/// where that is longer, for so many seconds.
const FACTOR: f64 = 0.05;
const LEAST: f64 = 3_000.0;
const REPORTED: f64 = 0.1;
/// Share of the rate to go on with among others.
const RESUMED: f64 = 0.75;
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
    /// Whether others were seen; else there may be nobody.
    crowded: bool,
    /// The lowest delay, and since when it has neither fallen further nor risen
    /// as by a start-up.
    lowest: Option<(f64, Time)>,
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

    /// Begins if there is a deep queue and others in it, or, after a start-up
    /// with so much `loss` in doubt, may be. `part` is what passes for us of
    /// the most that ever did: all of it means that the queue is our own, and
    /// the law brings that down without leaving the line idle.
    pub(super) fn clear(self, s: &Sample, part: f64, loss: f64) -> Option<Clear> {
        let crowded = is_deep(s) && part < ALONE;
        let due = s.now < self.until && (crowded || loss > HEAVY_LOSS);
        let longest = LONGEST.0.max(LONGEST.1 * s.horizon());
        due.then(|| Clear { began: s.now, until: later(s.now, longest), crowded, lowest: None })
    }
}

fn is_deep(s: &Sample) -> bool {
    s.queue > DEEP.0.max(DEEP.1 * s.base_rtt)
}

impl Clear {
    /// The pace, in bytes per second, of who has `rate`: little, but enough
    /// for reports to tell of.
    pub(super) fn pace(s: &Sample, rate: f64) -> f64 {
        let least = LEAST / s.horizon().min(REPORTED);
        (FACTOR * rate).max(least).min(rate / 2.0)
    }

    /// Whether it should have ended, though no report says so.
    pub(super) fn is_overdue(&self, now: Time) -> bool {
        now > self.until
    }

    /// The rate to go on with of who has `rate`: what each found while others
    /// began is more than can be had together.
    pub(super) fn resumed(&self, rate: f64) -> f64 {
        if self.crowded { RESUMED * rate } else { rate }
    }

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
        let (lowest, since) = self.lowest.unwrap_or((delay, s.now));
        if delay < lowest - FALLING || delay > lowest + RISING {
            self.lowest = Some((delay, s.now));
            return None;
        }
        self.lowest = Some((lowest, since));
        let lasting = if deep { LASTING.1 * s.horizon() } else { LASTING.0 * s.interval };
        let over = seconds_since(s.now, since) > lasting;
        over.then_some(if deep { Outcome::Stays } else { Outcome::Gone })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enough_is_sent_for_reports_and_it_ends_without_them() {
        let pace = |rate: f64| Clear::pace(&Sample::calm(1.0, rate), rate);
        assert!((pace(1e7) - 5e5).abs() < 1.0 && (pace(1e6) - 6e4).abs() < 1.0 && (pace(1e5) - 5e4).abs() < 1.0);
        let s = Sample::calm(1.0, 1e7).with_queue(0.1);
        let clear = AfterStartup::new(&s).clear(&s, 0.5, 0.0).expect("a crowd");
        assert!(clear.resumed(1e7) < 8e6);
        assert!(!clear.is_overdue(later(s.now, 0.39)) && clear.is_overdue(later(s.now, 0.41)));
    }

    /// What becomes of a clearing after start-up at second 1, and how long it
    /// takes, where the delay is `queue` so many seconds later.
    fn clear(queue: impl Fn(f64) -> f64) -> Option<(Outcome, f64)> {
        let sample = |t: f64| Sample::calm(1.0 + t, 1e7).with_queue(queue(t));
        let mut clear = AfterStartup::new(&sample(0.0)).clear(&sample(0.0), 0.5, 0.0)?;
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
        assert!(after.clear(&deep(1.7), 0.5, 0.0).is_some());
        assert!(after.clear(&deep(1.7), 1.0, 0.0).is_none(), "our own");
        assert!(after.clear(&deep(1.8), 0.5, 0.0).is_none());
    }

    #[test]
    fn a_base_delay_that_falls_is_a_queue_that_was_not_seen() {
        let sample = |t: f64| Sample { base_delay: (0.08 - t).max(0.0), ..Sample::calm(1.0 + t, 1e7) };
        let after = AfterStartup::new(&sample(0.0));
        assert!(after.clear(&sample(0.0), 1.0, 0.1).is_none(), "a lossy line is one");
        let mut clear = after.clear(&sample(0.0), 1.0, 0.3).expect("it may be a full buffer");
        assert!((clear.resumed(1e7) - 1e7).abs() < 1.0, "or nobody's");
        let took = (1..100).find(|&i| clear.on_sample(&sample(f64::from(i) * 0.00625)).is_some());
        assert!(took.is_some_and(|i| f64::from(i) * 0.00625 > 0.08), "{took:?}");
    }
}
