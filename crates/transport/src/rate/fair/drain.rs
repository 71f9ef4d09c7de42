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

/// Period of the grid in seconds, for round trips up to a fifth of it... in
/// steps of this length.
const STEP: f64 = 2.0;
/// Round trips in a step.
const TRIPS_PER_STEP: f64 = 5.0;
/// A queue below this, in seconds, is empty.
const EMPTY: f64 = 0.0003;
/// Most that the rate is cut by.
const DEEPEST: f64 = 0.3;

/// Length of the grid's period for a round trip of `rtt`.
pub(super) fn period(rtt: f64) -> f64 {
    STEP * (TRIPS_PER_STEP * rtt).ceil().clamp(1.0, 30.0)
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
        if deep {
            return Self { until: later(s.now, length), cut: DEEPEST };
        }
        Self { until: later(s.now, length), cut: (1.3 * (s.queue + 0.001) / s.horizon()).clamp(0.02, DEEPEST) }
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
            until: later(drain.until, s.base_rtt),
        }
    }

    /// The queue before the drain, by the base delay as known by now.
    pub(super) fn queue_before(&self, s: &Sample) -> f64 {
        self.before + (self.base - s.base_delay).max(0.0)
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
        if moved < noise && self.expected > 2.0 * noise && !self.lost {
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
