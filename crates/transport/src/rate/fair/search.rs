//! Looking for free capacity once the queue stays empty although we send all
//! that we believe to have.
//!
//! Hosts that stall make single reports late, and so a queue where there is
//! none. What was empty within the last round trip is no full line, and a queue
//! that one report shows does not end a search.

use super::delay::BUSY;
use super::{Sample, seconds_since};
use crate::Time;

/// Factor on the target queue while searching, each time.
const STEP: f64 = 3.0;
/// Least target of a search relative to the round trip, and most relative to
/// the law's horizon.
const LEAST_TARGET: f64 = 0.02;
const MOST_TARGET: f64 = 0.4;
/// Reports in a row that make a queue.
const LASTING: f64 = 1.5;

/// A search, under way or not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Search {
    idle_since: Option<Time>,
    /// Since when every report has shown a queue.
    queued_since: Option<Time>,
    /// Factor on the target; 0 stands for not searching.
    factor: f64,
}

impl Search {
    pub(super) fn active(&self) -> bool {
        self.factor > 1.0
    }

    pub(super) fn on_sample(&mut self, s: &Sample, target: f64, rate: f64, may: bool) {
        if !may || self.is_queued(s, target) {
            *self = Self { queued_since: self.queued_since, ..Self::default() };
            return;
        }
        if s.queue_low > 0.3 * target || s.sent < BUSY * rate {
            self.idle_since = None;
            return;
        }
        let since = *self.idle_since.get_or_insert(s.now);
        if seconds_since(s.now, since) > 1.05 * s.base_rtt + s.interval {
            self.factor = (self.factor.max(1.0) * STEP).min(1e6);
            self.idle_since = Some(s.now);
        }
    }

    /// Whether there is a queue, and not only for a moment.
    fn is_queued(&mut self, s: &Sample, target: f64) -> bool {
        if s.queue <= target / 2.0 {
            self.queued_since = None;
            return false;
        }
        let since = *self.queued_since.get_or_insert(s.now);
        seconds_since(s.now, since) >= LASTING * s.interval
    }

    pub(super) fn target(&self, target: f64, s: &Sample) -> f64 {
        if !self.active() {
            return target;
        }
        let wide = target.max(LEAST_TARGET * s.base_rtt) * self.factor;
        wide.min(MOST_TARGET * s.horizon())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: f64 = 0.0025;

    /// A search after `count` reports of an otherwise empty line, one of which
    /// in so many shows a queue.
    fn search(count: u32, late_one_in: u32) -> Search {
        let mut search = Search::default();
        for i in 1..=count {
            let late = i % late_one_in == 0;
            let s = Sample::calm(1.0 + f64::from(i) * 0.00625, 1e8);
            let s = Sample { queue: if late { 0.004 } else { 0.0 }, ..s };
            search.on_sample(&s, TARGET, 1e8, true);
        }
        search
    }

    #[test]
    fn an_empty_queue_starts_a_search_that_goes_further_each_time() {
        assert!(!search(8, 100).active());
        let (first, second) = (search(12, 100), search(24, 100));
        let s = Sample::calm(2.0, 1e8);
        assert!(first.active() && second.target(TARGET, &s) > first.target(TARGET, &s));
    }

    #[test]
    fn a_late_report_does_not_end_it_but_a_queue_does() {
        let mut search = search(24, 7);
        assert!(search.active());
        for (i, ends) in [(25, false), (26, false), (27, true)] {
            let s = Sample::calm(1.0 + f64::from(i) * 0.00625, 1e8).with_queue(0.004);
            search.on_sample(&s, TARGET, 1e8, true);
            assert_eq!(!search.active(), ends, "report {i}");
        }
    }

    #[test]
    fn sending_less_than_our_share_finds_nothing() {
        let mut search = Search::default();
        for i in 0..40 {
            search.on_sample(&Sample::calm(1.0 + f64::from(i) * 0.00625, 0.9e8), TARGET, 1e8, true);
        }
        assert!(!search.active());
    }
}
