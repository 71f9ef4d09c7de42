//! Which loss is the line's own, and which is congestion.

use super::Sample;

/// Packets over which the baseline follows loss seen on an empty queue.
const UPWARD_PACKETS: f64 = 20_000.0;
/// Losses that the baseline must predict before it is compared with those seen.
const PREDICTED: f64 = 40.0;
/// Random loss comes in bursts: allowance on its variance where a buffer can
/// have overflowed, and where it cannot.
const BURSTINESS: f64 = 4.0;
const BURSTINESS_ALONE: f64 = 32.0;
/// Counts are of one loss rate up to so many standard deviations between them.
const LIKE: f64 = 3.0;

/// Loss rate taken as a property of the line.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BaselineLoss(f64);

impl BaselineLoss {
    pub(super) fn new(rate: f64) -> Self {
        Self(if rate.is_finite() { rate.clamp(0.0, 0.95) } else { 0.0 })
    }

    pub(super) fn rate(self) -> f64 {
        self.0
    }

    /// Loss among `packets` beyond the baseline, 0 if chance explains it.
    /// Where none was ever lost, a single loss is one too many, if a queue can
    /// have overflowed at all.
    pub(super) fn excess(self, loss: f64, packets: f64, overflow: bool) -> f64 {
        let bursts = if overflow { BURSTINESS } else { BURSTINESS_ALONE };
        let variance = bursts * packets * self.0 * (1.0 - self.0);
        let grain = if self.0 == 0.0 && overflow { 0.5 } else { 3.0 };
        if (loss - self.0) * packets > 3.0 * variance.sqrt() + grain { loss - self.0 } else { 0.0 }
    }

    /// `lost` of `packets` went missing where no queue can have dropped them.
    pub(super) fn learn(&mut self, lost: f64, packets: f64) {
        if packets >= 1.0 {
            let gain = (packets / UPWARD_PACKETS).min(1.0);
            *self = Self::new(self.0 + gain * (lost / packets - self.0));
        }
    }
}

/// Finds that less is lost than the baseline says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Relaxation(LossCount);

impl Relaxation {
    /// Lowers `baseline` halfway once chance cannot explain the difference.
    pub(super) fn on_sample(&mut self, s: &Sample, baseline: &mut BaselineLoss) {
        self.0.add(s);
        let predicted = self.0.packets * baseline.rate();
        if predicted < PREDICTED {
            return;
        }
        if self.0.lost < predicted - 2.0 * (BURSTINESS * predicted).sqrt() {
            *baseline = BaselineLoss::new((baseline.rate() + self.0.rate()) / 2.0);
        }
        *self = Self::default();
    }
}

/// Loss counted over packets that meet some condition.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LossCount {
    pub(super) packets: f64,
    pub(super) lost: f64,
}

impl LossCount {
    pub(super) fn add(&mut self, s: &Sample) {
        self.packets += s.fresh_packets;
        self.lost += s.fresh_lost;
    }

    pub(super) fn rate(self) -> f64 {
        if self.packets < 1.0 {
            return 0.0;
        }
        (self.lost / self.packets).clamp(0.0, 0.95)
    }

    /// Whether chance explains the difference of two counts.
    pub(super) fn is_like(self, other: Self) -> bool {
        let all = Self { packets: self.packets + other.packets, lost: self.lost + other.lost };
        let variance = all.rate() * (1.0 - all.rate()) * (1.0 / self.packets.max(1.0) + 1.0 / other.packets.max(1.0));
        (self.rate() - other.rate()).abs() <= LIKE * (BURSTINESS * variance).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_loss_counts_only_where_none_was_seen_and_a_buffer_may_overflow() {
        let clean = BaselineLoss::default();
        assert!(clean.excess(0.01, 100.0, true) > 0.0);
        assert!(clean.excess(0.01, 100.0, false) == 0.0);
        assert!(BaselineLoss::new(0.01).excess(0.02, 100.0, true) == 0.0);
    }

    #[test]
    fn chance_is_no_excess_but_a_step_is() {
        let line = BaselineLoss::new(0.05);
        assert!(line.excess(0.06, 2_000.0, true) == 0.0);
        assert!((line.excess(0.15, 2_000.0, true) - 0.1).abs() < 1e-9);
    }

    #[test]
    fn the_baseline_is_learnt_and_forgotten() {
        let mut line = BaselineLoss::default();
        for _ in 0..1_000 {
            line.learn(1.0, 100.0);
        }
        assert!((line.rate() - 0.01).abs() < 0.001);
        let mut relaxation = Relaxation::default();
        for _ in 0..1_000 {
            relaxation.on_sample(&Sample::calm(1.0, 125e6), &mut line);
        }
        assert!(line.rate() < 0.001);
    }

    #[test]
    fn nonsense_is_not_taken_over() {
        assert!(BaselineLoss::new(f64::NAN).rate() == 0.0);
        assert!(BaselineLoss::new(7.0).rate() < 1.0);
    }
}
