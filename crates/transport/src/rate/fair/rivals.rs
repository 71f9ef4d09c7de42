//! Noticing flows that keep the queue full whatever we do.
//!
//! Flows of our own kind hold the queue near a target that all of them know.
//! A queue that stays far above it, or above it while we get little, belongs
//! to somebody else, and waiting would starve us.

use super::profile::Profile;
use super::share::{Judged, Share};
use super::{Sample, later, seconds_since};
use crate::Time;

/// Share of the time for which a sign must have held.
const MOST_OF_THE_TIME: f64 = 0.75;
/// Part of the line around which we would settle beside one other flow.
const ABOUT_HALF: f64 = 0.45;
/// Parts of the line that are little and very little.
const LITTLE: f64 = 0.42;
const VERY_LITTLE: f64 = 0.25;
/// Who has very little in a queue above this part of the target is squeezed.
const SQUEEZING: f64 = 0.8;
/// Below this, losses come from somebody else's pushing.
const NOT_ALL: f64 = 0.8;
/// Losses tell of others where the queue stood at this part of the deepest for
/// a round trip: a line that stalls loses packets too.
const STOOD: f64 = 0.3;
/// And not within so many horizons after our start-up: others of our kind that
/// began with us may press for their part as long.
const CLAIMING: f64 = 22.0;
/// Queues shallower than this, in seconds, are left to the delay law: like
/// flows cannot be told from others there.
const SHALLOW: f64 = 0.007;
/// Back-offs and losses are remembered for so many seconds.
const BACK_OFF_MEMORY: f64 = 25.0;
const LOSS_MEMORY: f64 = 20.0;

/// The signs of rivals that fill the buffer.
#[derive(Clone, Debug, Default)]
pub(super) struct Rivals {
    fast: LowPass,
    slow: LowPass,
    squeezed: LowPass,
    began: Option<Time>,
    armed: bool,
    back_off_at: Option<Time>,
    loss_at: Option<Time>,
    deepest: (f64, Option<Time>),
}

/// A share of time, smoothed.
#[derive(Clone, Copy, Debug, Default)]
struct LowPass(f64);

impl LowPass {
    fn add(&mut self, holds: bool, elapsed: f64, over: f64) -> bool {
        let gain = (elapsed / over).min(1.0);
        self.0 += gain * (f64::from(u8::from(holds)) - self.0);
        self.0 > MOST_OF_THE_TIME
    }
}

impl Rivals {
    /// For whom start-up's queue is gone already.
    pub(super) fn armed() -> Self {
        Self { armed: true, ..Self::default() }
    }

    /// Whether the signs suffice to compete. `ours` says that we are doing
    /// something to the queue ourselves.
    pub(super) fn on_sample(
        &mut self,
        s: &Sample,
        judged: &Judged,
        share: &Share,
        profile: &Profile,
        target: f64,
        ours: bool,
    ) -> bool {
        let losses = self.losses(s, judged, share);
        self.note_back_off(s, judged, ours);
        self.note_depth(s);
        if !self.arm(s, target) || ours {
            return false;
        }
        let (q, line) = (s.queue, share.reference());
        let high = (2.5 * profile.target_queue(ABOUT_HALF * line)).max(1.4 * target) + 0.001;
        let fast = self.fast.add(q > high, s.elapsed, (25.0 * s.base_rtt).max(1.0));
        let recently = |at: Option<Time>| at.is_some_and(|at| seconds_since(s.now, at) < BACK_OFF_MEMORY);
        let starved = q > 1.05 * target && share.rate < LITTLE * line && recently(self.back_off_at);
        let sign = q > 1.25 * target + 0.000_3 || starved;
        let slow = self.slow.add(sign, s.elapsed, (20.0 * s.base_rtt).max(3.0));
        let squeezed = share.rate < VERY_LITTLE * line && q > SQUEEZING * target;
        let squeezed = self.squeezed.add(squeezed, s.elapsed, (20.0 * s.base_rtt).max(4.0));
        self.deepest.0 > SHALLOW && (fast || slow || squeezed || losses)
    }

    /// A start-up's queue does not count: wait until it has been near the
    /// target once.
    fn arm(&mut self, s: &Sample, target: f64) -> bool {
        let began = *self.began.get_or_insert(s.now);
        self.armed |= s.queue < 1.2 * target || s.now > later(began, 3.0 + 12.0 * s.base_rtt);
        self.armed
    }

    /// A queue that falls by a quarter within a window, not by our
    /// doing, is somebody backing off.
    fn note_back_off(&mut self, s: &Sample, judged: &Judged, ours: bool) {
        let fell = s.queue_high > 0.002 && s.queue < 0.75 * s.queue_high;
        if (fell && !ours) || judged.excess > 0.0 {
            self.back_off_at = Some(s.now);
        }
    }

    fn note_depth(&mut self, s: &Sample) {
        let old = self.deepest.1.is_none_or(|at| seconds_since(s.now, at) > LOSS_MEMORY);
        if s.queue_high >= self.deepest.0 || old {
            self.deepest = (s.queue_high, Some(s.now));
        }
    }

    /// Two losses apart from each other, while we do not have all.
    fn losses(&mut self, s: &Sample, judged: &Judged, share: &Share) -> bool {
        let stood = s.queue_low > STOOD * self.deepest.0;
        let claimed = self.began.is_none_or(|began| s.now < later(began, CLAIMING * s.horizon()));
        if judged.excess == 0.0 || !stood || claimed || share.rate > NOT_ALL * share.reference() {
            return false;
        }
        let apart = self.loss_at.map(|at| seconds_since(s.now, at));
        match apart {
            Some(apart) if apart < 6.0 * s.base_rtt.max(s.interval) => false,
            Some(apart) if apart < LOSS_MEMORY => true,
            _ => {
                self.loss_at = Some(s.now);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rate::fair::loss::BaselineLoss;
    use crate::rate::fair::profile::FAIR;

    /// Seconds until `queue` makes a flow with `part` of a gigabit compete.
    fn patience(part: f64, queue: f64) -> Option<f64> {
        let mut share = Share::new(part * 125e6, BaselineLoss::default());
        share.note(Time::ZERO, 125e6);
        let target = FAIR.target_queue(share.rate);
        let mut rivals = Rivals::default();
        (0..3_200).map(|i| f64::from(i) * 0.00625).find(|&t| {
            let s = Sample::calm(1.0 + t, share.rate).with_queue(if t < 0.1 { 0.001 } else { queue });
            let judged = share.judge(&s);
            rivals.on_sample(&s, &judged, &share, &FAIR, target, false)
        })
    }

    #[test]
    fn a_queue_far_above_the_target_is_rivalled_soon_a_lower_one_later() {
        let (soon, later) = (patience(0.5, 0.05).unwrap_or(99.0), patience(0.3, 0.0075).unwrap_or(99.0));
        assert!(soon < 3.0 && (3.0..10.0).contains(&later), "{soon} {later}");
    }

    /// Whether a flow with half of the line competes that loses packets twice,
    /// from a queue that stood at `stood` seconds for a round trip before.
    fn competes_after_losses(stood: f64) -> bool {
        let mut share = Share::new(62e6, BaselineLoss::default());
        share.note(Time::ZERO, 125e6);
        let mut rivals = Rivals::default();
        (0..640).any(|i| {
            let s = Sample::calm(1.0 + f64::from(i) * 0.00625, share.rate);
            let full = Sample { queue_low: stood, ..s.with_queue(0.05).with_loss(0.2) };
            let s = if i % 320 == 319 { full } else { s };
            let judged = share.judge(&s);
            rivals.on_sample(&s, &judged, &share, &FAIR, FAIR.target_queue(share.rate), false)
        })
    }

    #[test]
    fn losses_tell_of_others_only_where_a_queue_stood() {
        assert!(competes_after_losses(0.04));
        assert!(!competes_after_losses(0.0), "the line stood still");
    }

    #[test]
    fn a_queue_at_the_target_or_in_a_shallow_buffer_is_left_alone() {
        assert_eq!(patience(0.5, 0.0035), None);
        assert_eq!(patience(1.0, 0.006), None);
    }
}
