//! The constants in which one policy of this family differs from another.

/// Constants of a policy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Profile {
    /// Share relative to a `fair` flow.
    pub(super) weight: f64,
    /// Target queue at 1 Gbit/s, in seconds.
    pub(super) queue_at_gigabit: f64,
    /// Bounds of the target queue, in seconds.
    pub(super) queue_range: (f64, f64),
    /// How to behave beside a competitor that fills the buffer, if at all.
    pub(super) compete: Option<CompeteProfile>,
}

/// Constants of the competitive mode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct CompeteProfile {
    /// Factor on the window after congestion.
    pub(super) beta: f64,
    /// Cubic growth, in packets per second cubed.
    pub(super) growth: f64,
    /// Most of the line that is aimed at.
    pub(super) ceiling: f64,
}

/// Shares evenly.
pub(super) const FAIR: Profile = Profile {
    weight: 1.0,
    queue_at_gigabit: 0.0025,
    queue_range: (0.0008, 0.012),
    compete: Some(CompeteProfile { beta: 0.7, growth: 0.4, ceiling: 0.58 }),
};

/// One gigabit, in bytes per second.
const GIGABIT: f64 = 125e6;

impl Profile {
    /// The queue to aim at when the own rate is `rate` bytes per second. It
    /// falls with the rate, and this alone makes equal flows converge: all see
    /// one queue, so they settle where their rates are equal.
    pub(super) fn target_queue(&self, rate: f64) -> f64 {
        let (least, most) = self.queue_range;
        let target = self.queue_at_gigabit * (GIGABIT * self.weight / rate.max(1.0)).sqrt();
        target.clamp(least, most)
    }

    /// The rate at which `queue` is the target: what each flow has where all
    /// agree on it. Unknown beyond the largest target.
    pub(super) fn rate_at(&self, queue: f64) -> Option<f64> {
        let rate = GIGABIT * self.weight * (self.queue_at_gigabit / queue.max(1e-6)).powi(2);
        (queue < self.queue_range.1).then_some(rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_falls_with_the_rate_within_bounds() {
        let millis = |megabits: f64| FAIR.target_queue(megabits * 125e3) * 1e3;
        assert!((millis(100.0) - 7.9).abs() < 0.1);
        assert!((millis(1_000.0) - 2.5).abs() < 1e-9);
        assert!((millis(100_000.0) - 0.8).abs() < 1e-9);
        assert!((millis(0.0) - 12.0).abs() < 1e-9);
    }

    #[test]
    fn a_queue_says_what_each_flow_has() {
        let queue = FAIR.target_queue(31e6);
        assert!((FAIR.rate_at(queue).unwrap_or(0.0) - 31e6).abs() < 1.0);
        assert_eq!(FAIR.rate_at(0.012), None);
    }
}
