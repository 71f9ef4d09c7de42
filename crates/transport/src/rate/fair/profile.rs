//! The constants in which one policy of this family differs from another.

/// Constants of a policy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Profile {
    /// Share relative to a `fair` flow.
    pub(super) weight: f64,
    /// Target queue at 1 Gbit/s, in seconds.
    pub(super) queue_at_gigabit: f64,
    /// Least target queue in seconds, and the one from which on it grows more
    /// slowly as the rate falls.
    pub(super) queue_range: (f64, f64),
    /// Largest target queue, in seconds.
    pub(super) queue_most: f64,
    /// Whether to claim a part of the line from others of our kind.
    pub(super) claims: bool,
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
    queue_range: (0.0008, 0.010),
    queue_most: 0.03,
    claims: true,
    compete: Some(CompeteProfile { beta: 0.7, growth: 0.4, ceiling: 0.58 }),
};

/// Takes about twice an equal flow's share.
pub(super) const HIGH: Profile =
    Profile { weight: 2.0, compete: Some(CompeteProfile { beta: 0.82, growth: 1.6, ceiling: 0.72 }), ..FAIR };

/// Takes what others leave: it wants a queue shorter than theirs, and so finds
/// none of the line its own where they are.
pub(super) const LOW: Profile = Profile {
    weight: 1.0,
    queue_at_gigabit: 0.001,
    queue_range: (0.0005, 0.002),
    queue_most: 0.002,
    claims: false,
    compete: None,
};

/// One gigabit, in bytes per second.
const GIGABIT: f64 = 125e6;

impl Profile {
    /// The queue to aim at when the own rate is `rate` bytes per second. It
    /// falls with the rate, and this alone makes equal flows converge: all see
    /// one queue, so they settle where their rates are equal.
    pub(super) fn target_queue(&self, rate: f64) -> f64 {
        let (least, knee) = self.queue_range;
        let target = self.queue_at_gigabit * (GIGABIT * self.weight / rate.max(1.0)).sqrt();
        if target > knee {
            return (knee * target).sqrt().min(self.queue_most);
        }
        target.max(least)
    }

    /// The rate at which `queue` is the target: what each flow has where all
    /// agree on it.
    pub(super) fn rate_at(&self, queue: f64) -> f64 {
        let knee = self.queue_range.1;
        let steep = if queue > knee { queue * queue / knee } else { queue };
        GIGABIT * self.weight * (self.queue_at_gigabit / steep.max(1e-6)).powi(2)
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
        assert!((millis(10.0) - 15.8).abs() < 0.1);
        assert!((millis(0.0) - 30.0).abs() < 1e-9);
    }

    #[test]
    fn a_queue_says_what_each_flow_has() {
        for rate in [5e5, 31e6, 1e9] {
            let queue = FAIR.target_queue(rate);
            assert!((FAIR.rate_at(queue) - rate).abs() < 1.0);
        }
    }
}
