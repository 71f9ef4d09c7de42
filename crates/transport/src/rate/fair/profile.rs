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
    queue_at_gigabit: 0.0006,
    queue_range: (0.0003, 0.0015),
    queue_most: 0.003,
    claims: false,
    compete: None,
};

/// Queues within this factor of a bound are taken for the bound.
const AT_BOUND: f64 = 1.1;
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
    /// agree on it. At its bounds the target says nothing of the rate.
    pub(super) fn rate_at(&self, queue: f64) -> Option<f64> {
        let (least, knee) = self.queue_range;
        if queue <= AT_BOUND * least || queue >= self.queue_most / AT_BOUND {
            return None;
        }
        let steep = if queue > knee { queue * queue / knee } else { queue };
        Some(GIGABIT * self.weight * (self.queue_at_gigabit / steep).powi(2))
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
    fn low_gives_way_to_fair_at_any_rate() {
        for megabits in [10.0, 100.0, 1e3, 1e4] {
            let queue = FAIR.target_queue(megabits * 125e3);
            let left = LOW.rate_at(queue).unwrap_or(0.0) / (megabits * 125e3);
            assert!(left < 0.1, "{megabits} Mbit/s: {left}");
        }
    }

    #[test]
    fn a_queue_says_what_each_flow_has() {
        for rate in [5e5, 31e6, 9e8] {
            let queue = FAIR.target_queue(rate);
            assert!(FAIR.rate_at(queue).is_some_and(|at| (at - rate).abs() < 1.0), "{rate}");
        }
        for rate in [0.0, 1e10] {
            assert_eq!(FAIR.rate_at(FAIR.target_queue(rate)), None, "at a bound");
        }
    }
}
