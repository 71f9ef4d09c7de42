//! Claiming a share among others: right after start-up, and where all agree.
//!
//! A newcomer's start-up ends at the first queue, with little of the line if
//! others fill it. The delay law alone would even this out, but by the
//! difference of small queues, which takes hundreds of round trips on long
//! paths. Where the packet trains say that the line carries much more than we
//! got, the newcomer presses on: always a little above what passes, so that a
//! queue builds which makes others of our kind yield, until it has a good part,
//! or pressing does not help any more.

use super::share::Share;
use super::{Sample, later};
use crate::Time;

/// Hint relative to the share at which there seem to be others.
const CROWDED: f64 = 1.4;
/// Part of the line that is claimed. Nobody knows yet how many others there
/// are: this much leaves two flows at 62:38 and four at 21:21:21:37.
const PART: f64 = 0.38;
/// How far above its measured rate a claim sends, and at most by which part of
/// the line.
const PRESSURE: f64 = 1.4;
const PRESSURE_MOST: f64 = 0.06;
/// The same, relative to the goal, where it is agreed: others may press too.
const PRESSURE_AGREED: f64 = 0.12;
/// Round trips that a claim lasts at most, between two looks at progress, and
/// without any, however much of that time was spent waiting.
const LONGEST: f64 = 20.0;
const LOOK: f64 = 3.0;
const FRUITLESS: f64 = 14.0;
/// Growth between two looks that justifies going on.
const PROGRESS: f64 = 1.05;
/// Queue beyond which pressing waits: relative to the law's horizon above two
/// targets, and to a buffer whose depth is known.
const QUEUE: f64 = 0.25;
const BUFFER: f64 = 0.75;

/// A claim under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    goal: f64,
    step: f64,
    until: Time,
    look: Time,
    before: f64,
    patience: Time,
}

/// What a claim does next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    /// Send at least this much.
    Press(f64),
    /// Too much of a queue: let it fall first.
    Wait,
    /// Enough, or no use.
    Over,
    /// Sending more brings no more: there is no more, whatever trains say.
    InVain,
}

impl Claim {
    /// Begins where a line of `hint` bytes per second gave us only `rate`.
    pub(super) fn begin(s: &Sample, rate: f64, hint: f64) -> Option<Self> {
        (hint > CROWDED * rate).then(|| Self {
            goal: PART * hint,
            step: PRESSURE_MOST * hint,
            until: later(s.now, LONGEST * s.base_rtt.max(s.interval)),
            look: later(s.now, LOOK * s.base_rtt.max(s.interval)),
            before: rate,
            patience: fruitless(s),
        })
    }

    /// Begins where flows of our kind agree that `goal` is ours.
    pub(super) fn agreed(s: &Sample, goal: f64, share: &Share) -> Self {
        Self {
            goal,
            step: PRESSURE_AGREED * goal,
            until: later(s.now, LONGEST * s.base_rtt.max(s.interval)),
            look: later(s.now, LOOK * s.base_rtt.max(s.interval)),
            before: share.rate,
            patience: fruitless(s),
        }
    }

    /// The rate that is claimed.
    pub(super) fn goal(&self) -> f64 {
        self.goal
    }

    /// Interrupted by another phase: look for progress later.
    pub(super) fn postpone(&mut self, s: &Sample) {
        self.look = later(s.now, LOOK * s.base_rtt.max(s.interval));
    }

    /// The queue that a claim may build in front of a law that aims at
    /// `target`, in seconds.
    pub(super) fn room(s: &Sample, target: f64, buffer: Option<f64>) -> f64 {
        let room = (2.0 * target + QUEUE * s.horizon()).min(buffer.map_or(f64::MAX, |buffer| BUFFER * buffer));
        room.max(1.2 * target)
    }

    /// Presses on, waits, or ends. `room` is the queue that may build, in
    /// seconds, `congested` that there is loss already.
    pub(super) fn on_sample(&mut self, s: &Sample, rate: f64, room: f64, congested: bool) -> Step {
        if rate >= self.goal || s.now >= self.until {
            return Step::Over;
        }
        if rate >= PROGRESS * self.before {
            self.patience = fruitless(s);
        }
        if s.now >= self.patience {
            return Step::Over;
        }
        if congested || s.queue > room {
            self.postpone(s);
            return Step::Wait;
        }
        if s.now >= self.look {
            if rate < PROGRESS * self.before {
                return Step::InVain;
            }
            self.before = rate;
            self.postpone(s);
        }
        Step::Press((PRESSURE * rate).min(rate + self.step))
    }
}

fn fruitless(s: &Sample) -> Time {
    later(s.now, FRUITLESS * s.base_rtt.max(s.interval))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rate::fair::loss::BaselineLoss;

    /// What `claim` does where `rate` passes and a queue of 5 ms may build.
    fn step(claim: &mut Claim, s: &Sample, rate: f64) -> Step {
        claim.on_sample(s, rate, 0.005, false)
    }

    #[test]
    fn a_claim_presses_on_to_its_goal() {
        let s = Sample::calm(1.0, 10e6);
        assert!(Claim::begin(&s, 100e6, 125e6).is_none(), "nothing to claim");
        let mut claim = Claim::begin(&s, 10e6, 125e6).expect("crowded");
        assert_eq!(step(&mut claim, &s, 10e6), Step::Press(14e6));
        assert_eq!(step(&mut claim, &s, 30e6), Step::Press(30e6 + 0.06 * 125e6));
        assert_eq!(step(&mut claim, &s, 50e6), Step::Over);
    }

    #[test]
    fn it_ends_where_pressing_brings_nothing() {
        let mut claim = Claim::begin(&Sample::calm(1.0, 10e6), 10e6, 125e6).expect("crowded");
        assert_eq!(step(&mut claim, &Sample::calm(1.2, 10e6), 10e6), Step::InVain);
    }

    #[test]
    fn it_waits_for_a_queue_to_fall_and_goes_on() {
        let share = Share::new(10e6, BaselineLoss::default());
        let mut claim = Claim::agreed(&Sample::calm(1.0, 10e6), 50e6, &share);
        let deep = Sample::calm(1.1, 10e6).with_queue(0.006);
        assert_eq!(step(&mut claim, &deep, 10e6), Step::Wait);
        let s = Sample::calm(1.2, 10e6);
        assert_eq!(claim.on_sample(&s, 10e6, 0.005, true), Step::Wait, "loss");
        assert_eq!(step(&mut claim, &s, 10e6), Step::Press(14e6), "no progress was due while it waited");
        assert_eq!(step(&mut claim, &Sample::calm(2.1, 10e6), 10e6), Step::Over, "not for ever");
    }

    #[test]
    fn waiting_without_progress_does_not_go_on_for_ever() {
        let deep = |now: f64| Sample::calm(now, 10e6).with_queue(0.006);
        let run = |rate: &dyn Fn(f64) -> f64| {
            let mut claim = Claim::begin(&deep(1.0), 10e6, 125e6).expect("crowded");
            (1..200).map(|i| f64::from(i) * 0.00625).find(|&t| step(&mut claim, &deep(1.0 + t), rate(t)) != Step::Wait)
        };
        assert!(run(&|_| 10e6).is_some_and(|took| (0.7..0.71).contains(&took)), "14 round trips");
        assert!(run(&|t| 10e6 * (1.0 + t)).is_some_and(|took| took > 0.99), "all that it may take");
    }
}
