//! Start-up: the rate follows what is delivered, four times as much each
//! round trip, until a queue, loss or a standstill shows the line's end; eight
//! times as long as the trains say that the end is far away.

use super::clear::HEAVY_LOSS;
use super::loss::{BaselineLoss, LossCount};
use super::share::Share;
use super::{Sample, later, seconds_since};
use crate::Time;

/// Packets of the first round trip, paced over it: so many on any path, and
/// more, up to so many, where this rate in bytes per second does not reach them.
const FIRST_FLIGHT: (f64, f64) = (64.0, 256.0);
const FIRST_RATE: f64 = 0.625e6;
/// Least time for them in seconds: no report comes sooner.
const FIRST_FLIGHT_TIME: f64 = 0.004;
/// What is sent for each byte delivered.
const GROWTH: f64 = 4.0;
/// The same below this part of the hint of the trains: one that is too high by
/// less than that has the line overrun no further than none would.
const GROWTH_AFAR: f64 = 8.0;
const AFAR: f64 = 1.0 / 4.0;
/// How far above the hint of the trains the rate may go.
const HINT_MARGIN: f64 = 1.08;
/// A given rate may be more than the line carries. As much of it is begun with
/// as leaves a queue of so many seconds after a round trip if the line carries
/// half of it; what arrives shows whether it carries the rest.
const TOLD_QUEUE: f64 = 0.025;
/// For so many round trips what the line was seen to carry less than was sent
/// bounds the rate while the trains do not.
const CARRIED: f64 = 1.2;
/// Packets of a train, at least and at most.
const TRAIN: (f64, f64) = (16.0, 96.0);
/// Below this queue in seconds loss is not of our making.
const QUIET: f64 = 0.000_6;
/// Delivery that does not keep up with sending by this factor fills a queue.
const LAGGING: f64 = 0.85;
/// So many reports in a row must show an end; of packets sent less than this
/// part of a round trip apart, or of eight intervals, they count as one.
const ENOUGH: u32 = 2;
const APART: f64 = 1.0 / 40.0;
/// A queue that falls by so much of the time that passes is not ours: the line
/// has stood still for a moment.
const FALLING: f64 = 0.25;
/// Loss above the line's own that ends the phase.
const LOSS_STEP: f64 = 0.08;
/// Packets on an empty queue that tell the line's own loss.
const EVIDENCE: f64 = 100.0;
/// Growth of delivery that counts as such.
const GROWING: f64 = 1.25;
/// Round trips without growth that end the phase, and the shortest of them.
const STANDSTILL: f64 = 3.0;
const STANDSTILL_RTT: f64 = 0.012;
/// Round trips that the end is put off for want of trains.
const WAIT: f64 = 1.2;
/// Most loss that is taken for the line's own.
const BELIEVED: f64 = 0.4;
/// Loss rate from which on it matters whose it is.
const DOUBTFUL: f64 = 0.002;

/// The start-up phase.
#[derive(Clone, Debug)]
pub(super) struct Startup {
    rate: f64,
    best: f64,
    /// The given rate that was begun with, until what arrives of it has shown
    /// whether the line carries it.
    given: Option<f64>,
    /// What arrived where that was more than the line carries, and until when it
    /// counts.
    carried: Option<(f64, Time)>,
    signs: Signs,
    quiet_loss: LossCount,
    /// Delivery when it last grew, and when that was.
    grown: Option<(f64, Time)>,
    next_train: Time,
    /// When an end was first seen of which the trains had not spoken yet.
    ended: Option<Time>,
}

impl Startup {
    /// From nothing: `rtt` and `packet` give the first flight.
    pub(super) fn new(now: Time, rtt: f64, packet: f64, target: Option<f64>) -> Self {
        let time = rtt.max(FIRST_FLIGHT_TIME);
        let packets = (FIRST_RATE * time / packet).clamp(FIRST_FLIGHT.0, FIRST_FLIGHT.1);
        let first = packets * packet / time;
        let part = (0.5 + 0.5 * TOLD_QUEUE / rtt).min(1.0);
        let given = target.filter(|target| part * target > first);
        let rate = given.map_or(first, |given| part * given);
        Self { given, ..Self::from_rate(now, rate) }
    }

    /// From a rate known to pass.
    pub(super) fn from_rate(now: Time, rate: f64) -> Self {
        Self {
            rate,
            best: 0.0,
            given: None,
            carried: None,
            signs: Signs::default(),
            quiet_loss: LossCount::default(),
            grown: None,
            next_train: now,
            ended: None,
        }
    }

    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    /// Whether the rate was given, and nothing has borne it out yet.
    pub(super) fn is_on_trust(&self) -> bool {
        self.given.is_some()
    }

    /// Packets of the train that is due at `now`, 0 for none.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub(super) fn train(&self, now: Time, pace: f64, rtt: f64, packet: f64) -> u32 {
        if now < self.next_train {
            return 0;
        }
        (pace * self.between_trains(rtt) / 2.0 / packet).clamp(TRAIN.0, TRAIN.1) as u32
    }

    pub(super) fn on_train_sent(&mut self, now: Time, rtt: f64) {
        self.next_train = later(now, self.between_trains(rtt));
    }

    /// What is on trust is to be judged soon.
    fn between_trains(&self, rtt: f64) -> f64 {
        if self.is_on_trust() { rtt / 8.0 } else { rtt / 4.0 }
    }

    /// Follows delivery; the share of the line once its end was found.
    pub(super) fn on_sample(&mut self, s: &Sample, hint: Option<f64>, limited: bool) -> Option<Share> {
        let threshold = (s.base_rtt / 32.0).max(0.003);
        if s.queue_last < QUIET {
            self.quiet_loss.add(s);
        }
        self.best = self.best.max(s.delivered);
        let loss = self.quiet_loss.rate().min(BELIEVED);
        self.judge_given(s);
        let Some(end) = self.end(s, threshold, loss, limited) else {
            if self.signs.count < ENOUGH {
                self.ended = None;
                self.grow(s, hint, loss);
            }
            return None;
        };
        if hint.is_none() && self.may_wait(s) {
            self.rate = self.rate.min(self.best / (1.0 - loss));
            return None;
        }
        // Loss seen while the queue was empty is the line's own; without a
        // queue to see it may have been a tiny buffer's, and so much that of a
        // full one that was taken for the path.
        let doubtful = (end == End::Loss && loss > DOUBTFUL) || loss > HEAVY_LOSS;
        Some(self.leave(s.now, loss, doubtful))
    }

    /// Goes on with all of a given rate once the first of it arrives as fast as
    /// it was sent; else with what arrives, for what is lost of more is our own
    /// doing.
    fn judge_given(&mut self, s: &Sample) {
        let Some(given) = self.given.filter(|_| s.sent >= LAGGING * self.rate) else { return };
        self.given = None;
        // What was sent seems faster than the rate where the newest is of a train.
        let lags = s.passed < LAGGING * s.sent.min(self.rate);
        // More is lost than a line loses: a full buffer dropped it.
        let dropped = BaselineLoss::new(BELIEVED).excess(s.loss, s.packets, true) > 0.0;
        if !lags && !dropped {
            self.rate = given;
            return;
        }
        let arrived = if dropped { s.passed * (1.0 - s.loss) } else { s.passed };
        self.carried = Some((arrived, later(s.now, CARRIED * s.base_rtt)));
        self.rate = given.min(HINT_MARGIN * arrived);
    }

    fn grow(&mut self, s: &Sample, hint: Option<f64>, loss: f64) {
        let sent = s.delivered / (1.0 - loss);
        self.rate = self.rate.max(GROWTH * sent);
        let carried = self.carried.filter(|(_, until)| s.now < *until).map(|(rate, _)| rate);
        if let Some(hint) = hint.or(carried) {
            self.rate = self.rate.max((GROWTH_AFAR * sent).min(AFAR * hint));
            self.rate = self.rate.min(HINT_MARGIN * hint.max(s.delivered));
        }
    }

    /// Whether to see first what the trains under way will say. The queue that
    /// a newcomer meets at once is that of others.
    fn may_wait(&mut self, s: &Sample) -> bool {
        let since = *self.ended.get_or_insert(s.now);
        seconds_since(s.now, since) < WAIT * s.base_rtt.max(s.interval)
    }

    fn end(&mut self, s: &Sample, threshold: f64, loss: f64, limited: bool) -> Option<End> {
        let still = self.stands_still(s, limited).then_some(End::Loss);
        self.end_is_near(s, threshold, loss).or(still)
    }

    fn end_is_near(&mut self, s: &Sample, threshold: f64, loss: f64) -> Option<End> {
        let standing = s.queue > threshold;
        let lagging = s.full && s.passed < LAGGING * s.sent && s.queue > 0.05 * threshold;
        let baseline = BaselineLoss::new(loss);
        // Before the line's own loss has been seen at all, any loss is a step.
        let known = self.quiet_loss.packets >= EVIDENCE || s.queue > 0.05 * threshold;
        let lossy = s.full && known && baseline.excess(s.loss, s.packets, true) > LOSS_STEP;
        self.signs.add(s, standing || lagging || lossy);
        let falls = s.jump < -(FALLING * s.gap).max(0.05 * threshold);
        if falls || self.signs.count < ENOUGH {
            return None;
        }
        Some(if standing { End::Queue } else { End::Loss })
    }

    /// Whether delivery has stopped growing.
    fn stands_still(&mut self, s: &Sample, limited: bool) -> bool {
        let (rate, since) = self.grown.unwrap_or((0.0, s.now));
        if s.delivered > GROWING * rate || limited {
            self.grown = Some((rate.max(s.delivered), s.now));
            return false;
        }
        seconds_since(s.now, since) > STANDSTILL * s.base_rtt.max(STANDSTILL_RTT).max(s.interval)
    }

    /// `doubtful` says that `loss` may be of our own making.
    fn leave(&self, now: Time, loss: f64, doubtful: bool) -> Share {
        let baseline = BaselineLoss::new(loss);
        let mut share = match doubtful {
            true => Share::in_doubt(self.best, baseline),
            false => Share::new(self.best / (1.0 - loss), baseline),
        };
        share.note(now, share.rate);
        share
    }
}

/// Reports in a row that showed an end.
#[derive(Clone, Copy, Debug, Default)]
struct Signs {
    count: u32,
    /// When the newest packet of the last of them was sent.
    newest: Option<Time>,
}

impl Signs {
    /// What was sent in one go tells of one moment, however many reports it is
    /// spread over.
    fn add(&mut self, s: &Sample, sign: bool) {
        let apart = APART * s.base_rtt.max(8.0 * s.interval);
        if !sign {
            *self = Self::default();
        } else if self.newest.is_none_or(|newest| seconds_since(s.newest, newest) > apart) {
            self.count += 1;
            self.newest = Some(s.newest);
        }
    }
}

/// What ended a start-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Queue,
    Loss,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn startup() -> Startup {
        Startup::new(Time::ZERO, 0.05, 1500.0, None)
    }

    #[test]
    fn the_rate_is_four_times_what_arrives() {
        let mut startup = startup();
        assert!((startup.rate() - 64.0 * 1500.0 / 0.05).abs() < 1.0);
        assert!(startup.on_sample(&Sample::calm(0.1, 5e6), None, false).is_none());
        assert!((startup.rate() - 20e6).abs() < 1.0);
        assert!(startup.on_sample(&Sample::calm(0.2, 20e6), Some(25e6), false).is_none());
        assert!((startup.rate() - 27e6).abs() < 1.0, "trains cap it");
    }

    #[test]
    fn far_below_what_the_trains_say_it_is_eight_times_as_much() {
        let after = |delivered: f64, hint: f64| {
            let mut startup = startup();
            assert!(startup.on_sample(&Sample::calm(0.1, delivered), Some(hint), false).is_none());
            startup.rate() / 1e6
        };
        assert!((after(5e6, 1e9) - 40.0).abs() < 1e-3);
        assert!((after(5e6, 120e6) - 30.0).abs() < 1e-3, "no further than a quarter of it");
        assert!((after(5e6, 80e6) - 20.0).abs() < 1e-3, "near it as ever");
    }

    #[test]
    fn the_first_flight_is_larger_where_it_takes_long() {
        let packets = |rtt: f64| Startup::new(Time::ZERO, rtt, 1500.0, None).rate() * rtt / 1500.0;
        assert!((packets(0.1) - 64.0).abs() < 1e-9 && (packets(0.3) - 125.0).abs() < 1e-9);
        assert!((packets(1.0) - 256.0).abs() < 1e-9);
    }

    fn given(rtt: f64) -> Startup {
        Startup::new(Time::ZERO, rtt, 1500.0, Some(125e6))
    }

    #[test]
    fn of_a_given_rate_as_much_is_begun_with_as_shows_in_time_to_be_too_much() {
        let begun = |rtt: f64| given(rtt).rate() / 1e6;
        assert!((begun(0.01) - 125.0).abs() < 1e-6 && (begun(0.025) - 125.0).abs() < 1e-6);
        assert!((begun(0.05) - 93.75).abs() < 1e-6 && (begun(0.1) - 78.125).abs() < 1e-6);
        let excess = 2.0 * (begun(1.0) / 125.0) - 1.0;
        assert!((excess * 1.0 - TOLD_QUEUE).abs() < 1e-9, "of twice the line, for a second");
    }

    #[test]
    fn a_given_rate_is_gone_on_with_once_its_beginning_passes() {
        let mut startup = given(0.05);
        assert!(startup.on_sample(&Sample::calm(0.1, 10e6), None, false).is_none());
        assert!(startup.is_on_trust() && (startup.rate() - 93.75e6).abs() < 1.0, "little was sent of it");
        let first = Sample { delivered: 10e6, full: false, ..Sample::calm(0.105, 93e6) };
        assert!(startup.on_sample(&first, None, false).is_none());
        assert!(!startup.is_on_trust() && (startup.rate() - 125e6).abs() < 1.0);
    }

    #[test]
    fn a_given_rate_of_which_more_was_begun_with_than_passes_falls_to_that() {
        let mut startup = given(0.05);
        let short = Sample { passed: 30e6, queue_last: 0.003, full: false, ..Sample::calm(0.105, 93e6) };
        assert!(startup.on_sample(&Sample { delivered: 10e6, ..short }, None, false).is_none());
        assert!(!startup.is_on_trust() && (startup.rate() - HINT_MARGIN * 30e6).abs() < 1.0);
        assert!(startup.on_sample(&Sample { delivered: 30e6, ..short }, None, false).is_none());
        assert!((startup.rate() - HINT_MARGIN * 30e6).abs() < 1.0, "which bounds it while the trains do not");
        let later = Sample { delivered: 30e6, ..Sample::calm(0.105 + CARRIED * 0.05, 30e6) };
        assert!(startup.on_sample(&later, None, false).is_none());
        assert!((startup.rate() - 120e6).abs() < 1.0, "but not for ever");
    }

    #[test]
    fn what_a_full_buffer_dropped_of_a_given_rate_did_not_pass() {
        let mut startup = given(0.05);
        let dropped = Sample { delivered: 10e6, ..Sample::calm(0.105, 93e6) }.with_loss(0.8);
        assert!(startup.on_sample(&dropped, None, false).is_none());
        assert!((startup.rate() - HINT_MARGIN * 0.2 * 93e6).abs() < 1.0);
    }

    #[test]
    fn a_standing_queue_ends_it_with_what_was_delivered() {
        let mut startup = startup();
        let full = |now: f64| Sample::calm(now, 125e6).with_queue(0.004);
        assert!(startup.on_sample(&full(0.3), Some(130e6), false).is_none(), "once may be chance");
        assert!(startup.on_sample(&full(0.3), Some(130e6), false).is_none(), "the same packets again");
        let share = startup.on_sample(&full(0.306), Some(130e6), false).expect("twice is a queue");
        assert!((share.rate - 125e6).abs() < 1.0 && !share.doubtful);
    }

    #[test]
    fn a_line_that_stood_still_for_a_moment_has_not_ended() {
        let mut startup = startup();
        assert!(startup.on_sample(&Sample::calm(0.2, 20e6), None, false).is_none());
        let late = |now: f64, queue: f64, jump: f64| Sample { jump, ..Sample::calm(now, 15e6).with_queue(queue) };
        for (now, queue, jump) in [(0.206, 0.012, 0.012), (0.212, 0.008, -0.004), (0.218, 0.004, -0.004)] {
            assert!(startup.on_sample(&late(now, queue, jump), Some(130e6), false).is_none());
            assert!((startup.rate() - 80e6).abs() < 1.0, "neither more nor less");
        }
        assert!(startup.on_sample(&Sample::calm(0.225, 30e6), Some(130e6), false).is_none());
        assert!((startup.rate() - 120e6).abs() < 1.0, "and on");
    }

    #[test]
    fn the_trains_are_waited_for_but_not_for_ever() {
        let mut startup = startup();
        let crowded = |now: f64| Sample::calm(now, 5e6).with_queue(0.02);
        assert!(startup.on_sample(&crowded(0.094), None, false).is_none());
        assert!((startup.rate() - 20e6).abs() < 1.0, "once may be chance");
        assert!(startup.on_sample(&crowded(0.1), None, false).is_none());
        assert!((startup.rate() - 5e6).abs() < 1.0, "meanwhile it does not grow");
        assert!(startup.on_sample(&crowded(0.15), None, false).is_none());
        assert!(startup.clone().on_sample(&crowded(0.15), Some(125e6), false).is_some(), "they spoke");
        assert!(startup.clone().on_sample(&crowded(0.17), None, false).is_some(), "they do not");
        assert!(startup.on_sample(&Sample::calm(0.16, 5e6), None, false).is_none());
        assert!((startup.rate() - 20e6).abs() < 1.0, "the queue of others went away");
    }

    #[test]
    fn a_standstill_ends_it_and_leaves_its_loss_in_doubt() {
        let mut startup = startup();
        let mut end = None;
        for i in 0..60 {
            let s = Sample::calm(0.1 + f64::from(i) * 0.00625, 125e6).with_loss(0.3);
            end = end.or_else(|| startup.on_sample(&s, None, false));
        }
        let share = end.expect("an end");
        assert!(share.doubtful && (share.rate - 125e6).abs() < 1.0);
    }

    #[test]
    fn a_source_with_little_to_send_does_not_end_it() {
        let mut startup = startup();
        for i in 0..100 {
            let s = Sample::calm(0.1 + f64::from(i) * 0.00625, 1e6);
            assert!(startup.on_sample(&s, None, true).is_none());
        }
    }
}
