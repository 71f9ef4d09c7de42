//! Which loss is the line's own, and which is congestion.

use super::Sample;

/// Packets over which the baseline follows loss seen on an empty queue.
const UPWARD_PACKETS: f64 = 20_000.0;
/// Packets over which it falls when less is lost than it says.
const DOWNWARD_PACKETS: f64 = 50_000.0;
/// Random loss comes in bursts: allowance on its variance where a buffer can
/// have overflowed, and where it cannot.
const BURSTINESS: f64 = 4.0;
const BURSTINESS_ALONE: f64 = 32.0;

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
        self.approach(lost, packets, UPWARD_PACKETS);
    }

    /// Falls where the window shows clearly less loss than the baseline.
    pub(super) fn relax(&mut self, s: &Sample) {
        let spread = 2.0 * (BURSTINESS * self.0 / s.packets.max(1.0)).sqrt();
        if s.full && s.loss < self.0 - spread {
            self.approach(s.loss * s.fresh_packets, s.fresh_packets, DOWNWARD_PACKETS);
        }
    }

    fn approach(&mut self, lost: f64, packets: f64, over: f64) {
        if packets >= 1.0 {
            let gain = (packets / over).min(1.0);
            *self = Self::new(self.0 + gain * (lost / packets - self.0));
        }
    }
}

/// Loss counted over packets that meet some condition.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LossCount {
    pub(super) packets: f64,
    lost: f64,
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
}
