//! Draining the queue now and then, to see the path without it.
//!
//! Flows that share a bottleneck can only see its base delay when all of them
//! drain at once, so drains start on a grid of common time: the driver's zero
//! must be the same for all senders to within a round trip (aligned with the
//! wall clock). What a drain does to the queue also tells who else is there:
//! if it collapses, the others drained too and are of our kind.

use super::{Sample, later};
use crate::Time;

/// Period of the grid in seconds, for round trips up to a fifth of it... in
/// steps of this length.
const STEP: f64 = 2.0;
/// Round trips in a step.
const TRIPS_PER_STEP: f64 = 5.0;
/// A queue below this, in seconds, is empty.
const EMPTY: f64 = 0.0003;

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
    pub(super) fn begin(s: &Sample) -> Self {
        let length = (1.3 * s.base_rtt).max(4.0 * s.queue) + 2.0 * s.interval;
        Self { until: later(s.now, length), cut: (1.3 * (s.queue + 0.001) / s.horizon()).clamp(0.02, 0.3) }
    }

    /// Share of the rate to send at.
    pub(super) fn factor(&self) -> f64 {
        1.0 - self.cut
    }

    pub(super) fn over(&self, s: &Sample) -> bool {
        s.now >= self.until || s.queue < EMPTY
    }
}

/// Who the others in the queue are, as far as a drain could tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Company {
    /// They drained when we did.
    Alike,
    /// They did not.
    Foreign,
    /// Nothing can be said.
    Unknown,
}

/// Watches what a drain does to the queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    before: f64,
    lowest: f64,
    until: Time,
}

impl Watch {
    pub(super) fn begin(s: &Sample) -> Self {
        let length = (1.3 * s.base_rtt).max(4.0 * s.queue) + 2.0 * s.interval + s.base_rtt;
        Self { before: s.queue, lowest: s.queue, until: later(s.now, length) }
    }

    /// The verdict, once there is one.
    pub(super) fn on_sample(&mut self, s: &Sample) -> Option<Company> {
        self.lowest = self.lowest.min(s.queue);
        if s.now < self.until {
            return None;
        }
        let left = self.lowest / self.before.max(1e-6);
        Some(match left {
            ..0.4 => Company::Alike,
            0.7.. => Company::Foreign,
            _ => Company::Unknown,
        })
    }
}
