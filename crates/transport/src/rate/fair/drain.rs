//! Draining the queue now and then, to see the path without it.
//!
//! Flows that share a bottleneck can only see its base delay when all of them
//! drain at once, so drains start on a grid of common time: the driver's zero
//! must be the same for all senders to within a round trip (aligned with the
//! wall clock). What a drain does to the queue also tells who else is there:
//! if it collapses, the others drained too and are of our kind.

use super::share::Share;
use super::{Sample, later, seconds_since};
use crate::Time;

/// Step of the grid's period, in seconds: one for round trips up to 200 ms.
const STEP: f64 = 2.0;
/// A step for each of so many parts of a second that a round trip takes.
const TRIPS_PER_STEP: f64 = 5.0;
/// Where there is company a half of the step, and a quarter, is enough for
/// round trips up to so many seconds.
const SHORT: (f64, f64) = (0.06, 0.03);
/// A queue below this, in seconds, is empty.
const EMPTY: f64 = 0.0003;
/// Most that the rate is cut by.
const DEEPEST: f64 = 0.3;

/// Length of the grid's period for a round trip of `rtt`.
pub(super) fn period(rtt: f64) -> f64 {
    STEP * (TRIPS_PER_STEP * rtt).ceil().clamp(1.0, 30.0)
}

/// The same among others on a short path, where drains cost little and show
/// newcomers the base delay.
pub(super) fn period_in_company(rtt: f64) -> f64 {
    match rtt {
        short if short <= SHORT.1 => STEP / 4.0,
        short if short <= SHORT.0 => STEP / 2.0,
        _ => period(rtt),
    }
}

/// Tells when a point of the grid was passed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Grid {
    slot: Option<u64>,
}

impl Grid {
    /// Whether a point of the grid lies between the last call and `now`.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub(super) fn passed(&mut self, now: Time, period: f64) -> bool {
        let period = (period * 1e9).clamp(1e6, 1e12) as u64;
        let slot = now.nanos() / period;
        self.slot.replace(slot).is_some_and(|before| before < slot)
    }
}

/// A drain under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drain {
    until: Time,
    cut: f64,
}

impl Drain {
    /// Drains what is seen, or, `deep`, as much as a drain may: a newcomer
    /// may have taken a standing queue for its base delay.
    pub(super) fn begin(s: &Sample, deep: bool) -> Self {
        let length = (1.3 * s.base_rtt).max(4.0 * s.queue) + 2.0 * s.interval;
        let cut = (1.3 * (s.queue + 0.001) / s.horizon()).clamp(0.02, DEEPEST);
        Self { until: later(s.now, length), cut: if deep { DEEPEST } else { cut } }
    }

    /// Share of the rate to send at.
    pub(super) fn factor(&self) -> f64 {
        1.0 - self.cut
    }

    pub(super) fn over(&self, s: &Sample) -> bool {
        s.now >= self.until || (self.cut < DEEPEST && s.queue < EMPTY)
    }
}

/// Who the others in the queue are, as far as a drain could tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Company {
    /// They drained when we did.
    Alike,
    /// They did not.
    Foreign,
    /// It is no queue: it did not move at all. The path is longer than thought.
    Nobody,
    /// Nothing can be said.
    Unknown,
}

/// Part of the line from which on others matter to what a drain does.
const ALONE: f64 = 0.85;

/// A queue of ours must move by at least this part of what a drain takes away.
const UNMOVED: f64 = 0.35;

/// Watches what a drain does to the queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    before: f64,
    base: f64,
    lowest: f64,
    highest: f64,
    lost: bool,
    /// By how much our own part of the drain should move the queue.
    expected: f64,
    shared: bool,
    /// Whether what does not move cannot be the path: others took what we left.
    proven: bool,
    until: Time,
}

impl Watch {
    pub(super) fn begin(s: &Sample, drain: &Drain, share: &Share) -> Self {
        let part = (share.rate / share.best()).min(1.0);
        Self {
            before: s.queue,
            base: s.base_delay,
            lowest: s.queue,
            highest: s.queue,
            lost: false,
            expected: part * drain.cut * seconds_since(drain.until, s.now),
            shared: part < ALONE,
            proven: part < ALONE && share.base_is_proven(s.now),
            until: later(drain.until, s.base_rtt),
        }
    }

    /// By how much the base delay has fallen since the drain began.
    pub(super) fn lowered(&self, s: &Sample) -> f64 {
        (self.base - s.base_delay).max(0.0)
    }

    /// The verdict, once there is one.
    pub(super) fn on_sample(&mut self, s: &Sample, congested: bool) -> Option<Company> {
        self.lowest = self.lowest.min(s.queue);
        self.highest = self.highest.max(s.queue);
        self.lost |= congested;
        if s.now < self.until {
            return None;
        }
        let moved = self.highest - self.lowest;
        let noise = 0.000_3 + 0.05 * self.before;
        // Where the line is ours, what we send less must show, whatever jitter
        // the ends add.
        let due = self.expected.min(self.before);
        let unmoved = !self.proven && moved < noise && self.expected > 2.0 * noise;
        let ignored = !self.shared && due > 0.001 && moved < UNMOVED * due;
        if (unmoved || ignored) && !self.lost {
            return Some(Company::Nobody);
        }
        let left = self.lowest / self.before.max(1e-6);
        Some(match left {
            ..0.4 => Company::Alike,
            0.7.. if self.shared => Company::Foreign,
            _ => Company::Unknown,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rate::fair::loss::BaselineLoss;

    #[test]
    fn all_meet_on_one_grid() {
        let (mut near, mut far) = (Grid::default(), Grid::default());
        let mut met = 0;
        for i in 0..3_000 {
            let now = Time::from_micros(i * 10_000);
            let (a, b) = (near.passed(now, period(0.01)), far.passed(now, period(0.3)));
            assert!(!b || a, "every point of the long period is one of the short");
            met += u32::from(b);
        }
        assert_eq!(met, 7);
    }

    fn watch(part: f64, queues: &[f64]) -> Option<Company> {
        watch_with(part, queues, |_| ())
    }

    fn watch_with(part: f64, queues: &[f64], known: impl Fn(&mut Share)) -> Option<Company> {
        let mut share = Share::new(part * 125e6, BaselineLoss::default());
        share.note(Time::ZERO, 125e6);
        known(&mut share);
        let before = Sample::calm(1.0, 125e6).with_queue(0.004);
        let drain = Drain::begin(&before, false);
        let mut watch = Watch::begin(&before, &drain, &share);
        let step = 0.2 / queues.len() as f64;
        let samples = queues.iter().zip(1..);
        samples
            .filter_map(|(&q, i)| watch.on_sample(&Sample::calm(1.0 + step * f64::from(i), 1e8).with_queue(q), false))
            .next()
    }

    #[test]
    fn what_the_queue_does_says_who_is_there() {
        assert_eq!(watch(0.5, &[0.003, 0.001, 0.0, 0.001]), Some(Company::Alike));
        assert_eq!(watch(0.5, &[0.0045, 0.005, 0.0035, 0.004]), Some(Company::Foreign));
        assert_eq!(watch(1.0, &[0.004, 0.004, 0.004, 0.004]), Some(Company::Nobody));
        assert_eq!(watch(1.0, &[0.0045, 0.004, 0.0035, 0.0042]), Some(Company::Nobody), "jitter");
        assert_eq!(watch(1.0, &[0.004, 0.0025, 0.0015, 0.003]), Some(Company::Alike), "it moves");
    }

    #[test]
    fn a_queue_that_does_not_move_is_somebody_elses_where_the_path_is_known() {
        let still = [0.004, 0.004, 0.004, 0.004];
        assert_eq!(watch(0.5, &still), Some(Company::Nobody));
        let seen = |share: &mut Share| share.prove_base(Time::ZERO);
        assert_eq!(watch_with(0.5, &still, seen), Some(Company::Foreign));
        assert_eq!(watch_with(1.0, &still, seen), Some(Company::Nobody), "there is nobody else");
    }
}
