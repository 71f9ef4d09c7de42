//! Beside flows that fill the buffer and heed no loss, as BBR's first version:
//! who backs off there is left with next to nothing, and loses as much.
//!
//! So what was delivered is sent, and a little more now and then, as they do.
//! The price is that we lose as they lose.

use std::collections::VecDeque;

use super::peak::Peak;
use super::{Sample, seconds_since};
use crate::Time;

/// Losses within so many round trips of each other, with less than so much of
/// the line, say that the others do not heed them.
const LOSSES: usize = 3;
const WITHIN: f64 = 12.0;
const LITTLE: f64 = 0.6;
/// With more than so much they do.
const MUCH: f64 = 0.68;
/// A buffer that holds less than so many seconds says nothing: flows of our own
/// kind lose in it too.
const SHALLOW: f64 = 0.007;
/// Sent for each byte delivered at least, and at most, in rounds of so many
/// round trips: more while we have less than an even share, and do not lose so
/// much of it.
const SENT: (f64, f64) = (1.03, 2.0);
const EVEN: f64 = 0.45;
const TOO_MUCH: f64 = 0.35;
/// By how much that changes in a round trip.
const STEP: f64 = 0.05;
const ROUND: [f64; 8] = [1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
/// Windows over which the best delivery counts.
const MEMORY: f64 = 10.0;
/// In flight at most, in bandwidth-delay products.
const WINDOW: f64 = 2.15;

/// The losses that lead here.
#[derive(Clone, Debug, Default)]
pub(super) struct InVain {
    at: VecDeque<Time>,
}

impl InVain {
    /// Notes that we backed off, with `part` of the line; true if that is in
    /// vain.
    pub(super) fn on_back_off(&mut self, s: &Sample, part: f64) -> bool {
        if self.at.len() >= LOSSES {
            self.at.pop_front();
        }
        self.at.push_back(s.now);
        let quick = self.at.front().is_some_and(|first| seconds_since(s.now, *first) < WITHIN * s.rtt);
        self.at.len() >= LOSSES && quick && part < LITTLE && s.queue_high > SHALLOW
    }
}

/// Sending what is delivered.
#[derive(Clone, Debug)]
pub(super) struct Insist {
    since: Time,
    best: Peak,
    /// Sent for each byte delivered.
    sent: f64,
    pace: f64,
    window: f64,
}

impl Insist {
    /// Begins with `rate`.
    pub(super) fn begin(s: &Sample, rate: f64) -> Self {
        let mut best = Peak::default();
        best.note(s.now, rate, MEMORY * s.window);
        Self { since: s.now, best, sent: SENT.0, pace: SENT.0 * rate, window: WINDOW * rate * s.base_rtt }
    }

    pub(super) fn pace(&self) -> f64 {
        self.pace
    }

    /// Bytes in flight, at most.
    pub(super) fn in_flight(&self) -> f64 {
        self.window
    }

    /// Takes in what was delivered, in bytes per second and as a part of the
    /// line; false once the others make room.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub(super) fn on_sample(&mut self, s: &Sample, srtt: f64, delivered: f64, part: f64) -> bool {
        self.best.note(s.now, delivered, MEMORY * s.window);
        let trips = seconds_since(s.now, self.since) / srtt;
        let step = ROUND.get(trips as usize % ROUND.len()).copied().unwrap_or(1.0);
        let more = if part < EVEN && s.loss < TOO_MUCH { STEP } else { -STEP };
        self.sent = (self.sent * (1.0 + more * (s.elapsed / srtt).min(1.0))).clamp(SENT.0, SENT.1);
        self.pace = self.sent * self.best.most() * step;
        self.window = WINDOW * self.sent * self.best.most() * s.base_rtt;
        part < MUCH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backing_off_is_in_vain_where_losses_keep_coming() {
        let third = |apart: f64, part: f64, queue: f64| {
            let mut vain = InVain::default();
            let sample = |i: i32| Sample::calm(f64::from(i) * apart, 1e6).with_queue(queue);
            let back_off = |i: i32| vain.on_back_off(&sample(i), part);
            [0, 1, 2].map(back_off)
        };
        assert_eq!(third(0.1, 0.1, 0.05), [false, false, true]);
        assert_eq!(third(0.8, 0.1, 0.05), [false; 3], "a saw-tooth");
        assert_eq!(third(0.1, 0.7, 0.05), [false; 3], "we have most of it");
        assert_eq!(third(0.1, 0.1, 0.005), [false; 3], "a shallow buffer");
    }

    /// Paces of 64 reports in 0.4 s, in MB/s where 1 MB/s arrives.
    fn paces(part: f64, loss: f64) -> Vec<f64> {
        let mut insist = Insist::begin(&Sample::calm(0.0, 1e6), 1e6);
        let step = |i: i32| {
            let s = Sample::calm(f64::from(i) * 0.00625, 1e6).with_loss(loss);
            assert!(insist.on_sample(&s, 0.05, 1e6, part));
            insist.pace() / 1e6
        };
        (0..64).map(step).collect()
    }

    #[test]
    fn it_sends_what_was_delivered_and_tries_more_now_and_then() {
        let even = paces(0.5, 0.1);
        for (at, pace) in [(0, 1.2875), (12, 0.7725), (30, 1.03)] {
            assert!((even[at] - pace).abs() < 1e-9, "{at}: {}", even[at]);
        }
        let mut insist = Insist::begin(&Sample::calm(0.0, 1e6), 1e6);
        assert!((insist.in_flight() - 2.15 * 1e6 * 0.05).abs() < 1.0);
        assert!(!insist.on_sample(&Sample::calm(0.5, 1e6), 0.05, 1e6, 0.7), "there is room");
    }

    #[test]
    fn who_has_little_sends_ever_more_unless_most_of_it_is_lost() {
        assert!(paces(0.2, 0.1)[63] > 1.3);
        assert!((paces(0.2, 0.4)[63] - 1.03).abs() < 1e-9);
    }
}
