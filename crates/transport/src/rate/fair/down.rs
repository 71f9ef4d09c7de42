//! Going down a little when loss does not end: what is still lost when the
//! queue is empty is the line's own.
//!
//! An empty queue may be a full one that others hold and that we took for the
//! path. So no more is sent than arrived: a line loses the same part of that,
//! but where we overran a buffer most of the loss ends, and what we took for
//! our share was what we threw away. Without this each baseline would be found
//! at a rate that the one before had raised.

use super::loss::LossCount;
use super::{Sample, later};
use crate::Time;

/// Packets that must have been seen.
const EVIDENCE: f64 = 100.0;
/// Losses that make a rate, and packets that suffice in any case.
const LOSSES: f64 = 5.0;
const MOST_EVIDENCE: f64 = 2_000.0;
/// Round trips after which the attempt is given up if the queue did not empty,
/// and if too little was seen.
const PATIENCE: (f64, f64) = (4.0, 12.0);
/// The same where packets come too slowly for evidence.
const LATEST: f64 = 40.0;
/// Queueing delay in seconds below which a queue counts as empty, however low
/// the target: a few packets behind each other on a slow line, and the grain of
/// clocks. A target lowered to what a tiny buffer seems to hold would otherwise
/// ask for less than can be seen, and the line's own loss never be learnt.
const EMPTY: f64 = 0.000_3;
/// Sends less for a round trip and counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Down {
    /// The window before.
    before: LossCount,
    began: Time,
    enough: Time,
    arrived: bool,
    /// How long an empty queue is waited for, and from when on little evidence
    /// is enough.
    patience: f64,
    late: Time,
    /// When the queue was last seen empty.
    empty_at: Time,
    latest: Time,
    /// Packets that suffice even if next to none of them is lost.
    wanted: f64,
    count: LossCount,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Outcome {
    /// Loss rate on an empty queue, and the part of our share that can be ours:
    /// less than all of it if more than that was lost before.
    Baseline(f64, f64),
    /// The queue did not empty.
    Nothing,
}

impl Down {
    /// Share of the rate to send at, at most.
    const FACTOR: f64 = 0.85;

    /// `known` is the loss rate believed in so far.
    pub(super) fn begin(s: &Sample, known: f64) -> Self {
        let before = LossCount { packets: s.packets, lost: s.loss * s.packets };
        let wanted = (LOSSES / known.max(1e-6)).min(MOST_EVIDENCE);
        let trip = s.base_rtt.max(s.interval);
        Self { latest: later(s.now, LATEST * trip), wanted, ..Self::after(before, s, trip) }
    }

    fn after(before: LossCount, s: &Sample, trip: f64) -> Self {
        Self {
            before,
            began: s.now,
            enough: later(s.now, trip),
            arrived: false,
            latest: s.now,
            patience: PATIENCE.0 * trip + s.rtt,
            late: later(s.now, PATIENCE.1 * trip),
            empty_at: s.now,
            wanted: 0.0,
            count: LossCount::default(),
        }
    }

    /// What to send where `rate` is our share.
    pub(super) fn pace(&self, rate: f64) -> f64 {
        Self::FACTOR.min(1.0 - self.before.rate()) * rate
    }

    /// `scale` is a queue against which others are empty.
    pub(super) fn on_sample(&mut self, s: &Sample, scale: f64) -> Option<Outcome> {
        let empty = (0.3 * scale).max(EMPTY);
        if self.arrived && s.queue < empty && s.queue_last < empty {
            self.count.add(s);
            self.empty_at = s.now;
        }
        // The first report after the change still counts packets from before.
        self.arrived = s.newest >= self.began;
        let seen = self.count.packets >= EVIDENCE;
        if seen && s.newest >= self.enough && (self.says_enough() || s.now >= self.late) {
            return self.found(s);
        }
        let given_up = later(self.empty_at, self.patience).min(self.latest);
        (s.now >= given_up).then_some(Outcome::Nothing)
    }

    /// More may be lost of less where we had only begun to overrun the buffer:
    /// then it is too soon to tell, and still less is sent.
    fn found(&mut self, s: &Sample) -> Option<Outcome> {
        let (before, loss) = (self.before.rate(), self.count.rate());
        let change = if self.before.is_like(self.count) { 0.0 } else { loss - before };
        if change > 0.0 && s.now < self.latest {
            let (latest, wanted) = (self.latest, self.wanted);
            *self = Self { latest, wanted, ..Self::after(self.count, s, s.base_rtt.max(s.interval)) };
            return None;
        }
        Some(Outcome::Baseline(loss, if change < 0.0 { (1.0 - before) / (1.0 - loss) } else { 1.0 }))
    }

    /// Whether chance can no longer hide the loss known so far, or invent one.
    fn says_enough(&self) -> bool {
        self.count.lost >= LOSSES || self.count.packets >= self.wanted
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    fn run(s: impl Fn(f64) -> Sample) -> Option<Outcome> {
        let mut down = Down::begin(&s(1.0), 0.01);
        (1..80).find_map(|i| down.on_sample(&s(1.0 + f64::from(i) * 0.00625), 0.0025))
    }

    #[test]
    fn loss_on_an_empty_queue_is_the_lines() {
        let Some(Outcome::Baseline(rate, 1.0)) = run(|now| Sample::calm(now, 1e8).with_loss(0.05)) else {
            panic!("no baseline");
        };
        assert!((rate - 0.05).abs() < 1e-9);
    }

    #[test]
    fn no_more_is_sent_than_arrived_and_loss_that_ends_bounds_the_share() {
        let overrun = Sample::calm(1.0, 4e8).with_loss(0.75);
        let mut down = Down::begin(&overrun, 0.01);
        assert!((down.pace(4e8) - 1e8).abs() < 1.0);
        assert!((Down::begin(&Sample::calm(1.0, 1e8), 0.01).pace(1e8) - 0.85e8).abs() < 1.0);
        let after = |i: i32| Sample::calm(1.0 + f64::from(i) * 0.00625, 1e8).with_loss(0.05);
        let outcome = (1..80).find_map(|i| down.on_sample(&after(i), 0.0025));
        let Some(Outcome::Baseline(rate, part)) = outcome else { panic!("not ours: {outcome:?}") };
        assert!((rate - 0.05).abs() < 1e-9 && (part - 0.25 / 0.95).abs() < 1e-9, "{rate} {part}");
    }

    /// A line that lets 1e8 bytes a second pass, and drops what is more.
    #[test]
    fn where_more_is_lost_than_before_still_less_is_sent() {
        let policed = |now, pace: f64| Sample::calm(now, 1e8).with_loss((1.0 - 1e8 / pace).max(0.0));
        let mut down = Down::begin(&policed(1.0, 1e8), 0.01);
        let outcome = (1..400).find_map(|i| {
            let pace = down.pace(1.6e8);
            down.on_sample(&policed(1.0 + f64::from(i) * 0.00625, pace), 0.0025)
        });
        let Some(Outcome::Baseline(rate, part)) = outcome else { panic!("no end: {outcome:?}") };
        assert!((rate - 0.15).abs() < 0.01 && part < 0.9, "{rate} {part}");
    }

    #[test]
    fn a_target_below_what_can_be_seen_does_not_hide_the_lines_loss() {
        let sample = |now| Sample::calm(now, 1e7).with_loss(0.1).with_queue(0.000_11);
        let mut down = Down::begin(&sample(1.0), 0.01);
        let outcome = (1..200).find_map(|i| down.on_sample(&sample(1.0 + f64::from(i) * 0.0125), 0.000_25));
        let Some(Outcome::Baseline(rate, 1.0)) = outcome else { panic!("no baseline: {outcome:?}") };
        assert!((rate - 0.1).abs() < 1e-9);
    }

    #[test]
    fn a_slow_line_is_given_the_time_that_evidence_takes() {
        let slow = |now| Sample { fresh_packets: 3.0, fresh_lost: 0.0, ..Sample::calm(now, 1e5) };
        let mut down = Down::begin(&slow(1.0), 0.01);
        let outcome = (1..400).find_map(|i| down.on_sample(&slow(1.0 + f64::from(i) * 0.02), 0.0025));
        assert_eq!(outcome, Some(Outcome::Baseline(0.0, 1.0)));
    }

    #[test]
    fn loss_on_a_queue_teaches_nothing() {
        assert_eq!(run(|now| Sample::calm(now, 1e8).with_loss(0.05).with_queue(0.003)), Some(Outcome::Nothing));
    }

    #[test]
    fn a_queue_that_comes_back_ends_it_though_some_packets_were_counted() {
        let sample = |now, queue| Sample::calm(now, 1e6).with_loss(0.01).with_queue(queue);
        let mut down = Down::begin(&sample(1.0, 0.0), 0.01);
        let queue = |t: f64| if t < 0.1 { 0.0 } else { 0.01 };
        let times = (1..600).map(|i| f64::from(i) * 0.00625);
        let ended = times.map(|t| (t, down.on_sample(&sample(1.0 + t, queue(t)), 0.0025))).find(|(_, o)| o.is_some());
        let Some((took, Some(Outcome::Nothing))) = ended else { panic!("{ended:?}") };
        assert!(took < 0.4, "{took}");
    }
}
