//! The queue that flows hold while nothing changes, and what it tells them.
//!
//! The law's own pull towards even shares is a difference of small queues
//! spread over a round trip: on long paths it takes hundreds of round trips.
//! But all flows of a bottleneck see one queue, and it lies where the targets
//! of even shares would lie, nearly so however uneven the shares are. Each can
//! read from it what it should have, and all of them can go there at the same
//! moment: when a drain on the common grid has shown that they are alike.
//! Even where the figure is wrong they come closer, since all read the same.

use super::profile::Profile;
use super::{Sample, seconds_since};
use crate::Time;

/// How far apart the smallest and the largest queue may be, in seconds, and
/// relative to the mean, for it to count as standing still.
const STILL: (f64, f64) = (0.000_4, 0.25);
/// Round trips and reports for which it must have.
const LASTING: (f64, f64) = (1.2, 4.0);
/// Shares that differ from the even one by less than this factor are left to
/// the law.
const UNEVEN: f64 = 1.25;
/// Part of the difference that one step makes up for.
const STEP: f64 = 0.8;

/// Follows the queue while it stands still.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Level {
    watched: Option<Watched>,
}

#[derive(Clone, Copy, Debug)]
struct Watched {
    since: Time,
    until: Time,
    sum: f64,
    count: f64,
    low: f64,
    high: f64,
}

impl Level {
    /// Takes in a sample; `calm` says that nothing of ours moves the queue.
    pub(super) fn on_sample(&mut self, s: &Sample, calm: bool) {
        if !calm {
            self.watched = None;
            return;
        }
        let fresh = Watched { since: s.now, until: s.now, sum: s.queue, count: 1.0, low: s.queue, high: s.queue };
        self.watched = Some(self.watched.map_or(fresh, |w| {
            let (sum, count) = (w.sum + s.queue, w.count + 1.0);
            let (low, high) = (w.low.min(s.queue), w.high.max(s.queue));
            let still = high - low <= STILL.0 + STILL.1 * sum / count;
            if still { Watched { since: w.since, until: s.now, sum, count, low, high } } else { fresh }
        }));
    }

    /// The queue that stood still until now, if it did so for long enough.
    pub(super) fn settled(&self, s: &Sample) -> Option<f64> {
        let lasting = LASTING.0 * s.base_rtt + LASTING.1 * s.interval;
        let watched = self.watched.filter(|w| seconds_since(w.until, w.since) >= lasting)?;
        Some(watched.sum / watched.count)
    }
}

/// The share to go to from `rate` where flows that are alike hold `queue` on a
/// line that carries `line`, if it is worth a step. There is another one at
/// least, so nobody goes beyond what that leaves.
pub(super) fn step(rate: f64, queue: f64, line: f64, profile: &Profile) -> Option<f64> {
    let most = line * profile.weight / (profile.weight + 1.0);
    let even = profile.rate_at(queue)?.min(most.max(rate));
    let uneven = even > UNEVEN * rate || rate > UNEVEN * even;
    uneven.then_some(rate + STEP * (even - rate))
}

#[cfg(test)]
mod tests {
    use super::super::profile::FAIR;
    use super::*;

    fn settled(queue: impl Fn(u32) -> f64, calm: impl Fn(u32) -> bool) -> Option<f64> {
        let mut level = Level::default();
        let sample = |i: u32| Sample::calm(1.0 + f64::from(i) * 0.00625, 1e8).with_queue(queue(i));
        (0..20).for_each(|i| level.on_sample(&sample(i), calm(i)));
        level.settled(&sample(19))
    }

    #[test]
    fn only_a_queue_that_stands_still_is_a_level() {
        let level = settled(|i| if i % 2 == 0 { 0.0034 } else { 0.0036 }, |_| true);
        assert!(level.is_some_and(|q| (q - 0.0035).abs() < 1e-9), "{level:?}");
        assert_eq!(settled(|i| 0.002 + f64::from(i) * 0.000_2, |_| true), None, "it rises");
        assert_eq!(settled(|_| 0.0035, |i| i > 12), None, "too short a time");
        assert_eq!(settled(|_| 0.0035, |i| i != 15), None, "we moved it");
    }

    #[test]
    fn uneven_shares_step_towards_the_even_one_and_others_stay() {
        let queue = FAIR.target_queue(50e6);
        let to = |rate: f64| step(rate, queue, 2e8, &FAIR);
        assert!(to(100e6).is_some_and(|rate| (rate - 60e6).abs() < 1.0));
        assert!(to(10e6).is_some_and(|rate| (rate - 42e6).abs() < 1.0));
        assert_eq!((to(50e6), to(60e6), to(42e6)), (None, None, None));
        assert_eq!(step(50e6, FAIR.target_queue(200e6), 1e8, &FAIR), None, "half of the line is the most");
    }
}
