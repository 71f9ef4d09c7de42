//! What we hold of the line: the estimate all phases share.

use super::held::Held;
use super::loss::{BaselineLoss, Relaxation};
use super::peak::Peak;
use super::{Sample, seconds_since};
use crate::Time;
use crate::rate::measure::sane_pace;

/// How long the best rate and the deepest queue are remembered, in seconds.
const MEMORY: f64 = 60.0;
/// After clearing, the base delay is beyond doubt for so many seconds.
const PROVEN: f64 = 20.0;

/// Relative to the deepest queue that the buffer held, queues below this cannot
/// have overflowed.
const OVERFLOW: f64 = 0.7;

/// Estimated share of the bottleneck, and the loss that is not ours.
#[derive(Clone, Debug)]
pub(super) struct Share {
    /// Bytes per second that pass the bottleneck for us, lost ones included.
    pub(super) rate: f64,
    pub(super) baseline: BaselineLoss,
    /// Whether the baseline may hold loss of our own making.
    pub(super) doubtful: bool,
    /// What passed for us when start-up ended in doubt, at most and at least:
    /// the line's own loss will tell.
    in_doubt: Option<(f64, f64)>,
    /// The baseline when it was last put to the test.
    verified: f64,
    relaxation: Relaxation,
    best: Peak,
    /// What packet trains say the line carries; 0 if they are not believed.
    pub(super) hint: f64,
    /// When the path was last seen after a queue had been cleared away.
    seen_bare: Option<Time>,
    /// Deepest queue seen of late, in seconds, whatever made it.
    deepest: Peak,
    /// The same of what was not lost: the buffer holds no less.
    held: Held,
}

impl Share {
    pub(super) fn new(rate: f64, baseline: BaselineLoss) -> Self {
        Self {
            rate: sane_pace(rate),
            baseline,
            doubtful: false,
            in_doubt: None,
            verified: baseline.rate(),
            relaxation: Relaxation::default(),
            best: Peak::default(),
            hint: 0.0,
            seen_bare: None,
            deepest: Peak::default(),
            held: Held::default(),
        }
    }

    /// The same where start-up has seen loss that may be of our own making.
    pub(super) fn in_doubt(arrived: f64, baseline: BaselineLoss) -> Self {
        let most = arrived / (1.0 - baseline.rate());
        Self { doubtful: true, in_doubt: Some((most, arrived)), ..Self::new(arrived, baseline) }
    }

    /// Notes a measured rate as evidence of what the line carries.
    pub(super) fn note(&mut self, now: Time, rate: f64) {
        self.best.note(now, rate, MEMORY);
    }

    /// The most the line has carried for us of late.
    pub(super) fn best(&self) -> f64 {
        self.best.most().max(self.rate)
    }

    /// What the line seems to carry in all.
    pub(super) fn reference(&self) -> f64 {
        self.best().max(self.hint)
    }

    /// Notes that the queue is gone: the base delay is the path's.
    pub(super) fn prove_base(&mut self, now: Time) {
        self.seen_bare = Some(now);
    }

    /// Whether a queue that stands still cannot be the path's.
    pub(super) fn base_is_proven(&self, now: Time) -> bool {
        self.seen_bare.is_some_and(|at| seconds_since(now, at) < PROVEN)
    }

    /// Moves the estimate towards `rate` by `gain`.
    pub(super) fn approach(&mut self, rate: f64, gain: f64) {
        self.rate = sane_pace(self.rate + gain.clamp(0.0, 1.0) * (rate - self.rate));
    }

    /// Takes the loss of a sample as the line's own: no queue can have dropped
    /// it. What is learnt in passing is doubted once it adds up, lest our own
    /// losses become the measure of themselves.
    pub(super) fn learn(&mut self, s: &Sample) {
        self.baseline.learn(s.fresh_lost, s.fresh_packets);
        self.doubtful |= self.baseline.rate() > 1.5 * self.verified + 0.005;
    }

    /// Sets the baseline as found by sending less.
    pub(super) fn set_baseline(&mut self, rate: f64) {
        self.baseline = BaselineLoss::new(rate);
        self.verified = self.baseline.rate();
        self.doubtful = false;
        // Who has given way meanwhile knows better.
        if let Some((most, arrived)) = self.in_doubt.take().filter(|(_, arrived)| self.rate >= *arrived) {
            self.rate = sane_pace(self.rate.max(most.min(arrived / (1.0 - self.verified))));
        }
    }

    /// A queue against which others are deep or empty: `target`, or the deepest
    /// that was seen.
    pub(super) fn scale(&self, target: f64) -> f64 {
        let deepest = self.deepest.most();
        if deepest > 0.0 { target.min(deepest) } else { target }
    }

    /// Splits the loss of a sample into the line's own and ours.
    pub(super) fn judge(&mut self, s: &Sample) -> Judged {
        // A buffer that held more before did not overflow now. One packet that
        // came late is no queue: the smallest delay of a report counts.
        self.deepest.note(s.now, s.queue, MEMORY);
        let dropped = self.baseline.excess(s.loss, s.packets, false) > 0.0;
        self.held.on_sample(s, dropped, MEMORY);
        let overflow = s.queue_high > OVERFLOW * self.held.most().unwrap_or(self.deepest.most());
        let excess = self.baseline.excess(s.loss, s.packets, overflow);
        if !overflow && excess == 0.0 {
            self.learn(s);
        }
        let rate = s.passed * (1.0 - excess);
        self.relaxation.on_sample(s, &mut self.baseline);
        Judged { rate, excess, congested: excess > 0.0 || s.marked * s.packets >= 1.0, overflow }
    }
}

/// A sample seen in the light of the baseline loss.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judged {
    /// Rate that passed the bottleneck.
    pub(super) rate: f64,
    /// Loss beyond the baseline.
    pub(super) excess: f64,
    /// Whether anything but delay speaks of congestion. A mark counts as much
    /// as a loss.
    pub(super) congested: bool,
    /// Whether a buffer can have overflowed.
    pub(super) overflow: bool,
}

#[cfg(test)]
mod tests {
    use super::super::later;
    use super::*;

    #[test]
    fn a_rate_in_doubt_grows_by_the_loss_that_turns_out_to_be_the_lines() {
        let found = |known: f64, measured: f64, since: f64| {
            let mut share = Share::in_doubt(70e6, BaselineLoss::new(known));
            share.rate *= since;
            share.set_baseline(measured);
            assert!(!share.doubtful);
            share.rate / 1e6
        };
        assert!((found(0.3, 0.3, 1.0) - 100.0).abs() < 1e-9);
        assert!((found(0.3, 0.0, 1.0) - 70.0).abs() < 1e-9, "it was the buffer's");
        assert!((found(0.3, 0.9, 1.0) - 100.0).abs() < 1e-9, "no more than start-up saw");
        assert!((found(0.3, 0.3, 0.5) - 35.0).abs() < 1e-9, "given way meanwhile");
    }

    #[test]
    fn a_path_seen_bare_is_known_for_a_while() {
        let mut share = Share::new(1e6, BaselineLoss::default());
        let at = |seconds: f64| later(Time::ZERO, seconds);
        assert!(!share.base_is_proven(at(1.0)));
        share.prove_base(at(1.0));
        assert!(share.base_is_proven(at(20.0)) && !share.base_is_proven(at(22.0)));
    }
}
