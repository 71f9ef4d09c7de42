//! What a report says about the path, as figures a law can work with.
//!
//! Two reports at least one window apart are compared. `passed` counts the
//! bytes *numbered* between them, lost ones included, so random loss behind
//! the bottleneck does not make it noisy; `sent` is the rate at which the same
//! bytes had left. Delays are one way and relative to the smallest seen, so
//! the unknown offset between the clocks cancels and a crowded return path
//! does no harm.

use std::collections::VecDeque;
use std::time::Duration;

use limosa_wire::datagram::MIN_PACKET;

use super::{PathReport, Sent, Stamp};
use crate::Time;

/// Most marks kept; reports that come faster than the window needs replace
/// the newest mark instead of adding one.
const MARKS: usize = 160;
/// The window is at least this long, in seconds.
const WINDOW_FLOOR: f64 = 0.002;
/// How fast the base delay may rise by itself: the clocks of two hosts drift
/// apart by up to 100 ppm.
const DRIFT: f64 = 100e-6;
/// Round trip assumed until one was measured, in seconds.
const UNKNOWN_RTT: f64 = 0.1;
/// A delay below the base by more than this, in seconds, is believed once so
/// many reports in a row have said so: a host that stalls between the arrival
/// of a packet and its time stamp makes single packets look faster than the
/// path, and a base delay that no packet reaches again looks like a queue.
const SUDDEN: (f64, u32) = (0.001, 3);
/// A base delay that falls by more than this, in seconds, and the time since
/// the report before belongs to another path.
const SHORTER: f64 = 0.002;
/// Delays beyond this, in seconds, are not believed.
const ABSURD: f64 = 60.0;

/// Rates that any law may set, in bytes per second: 64 kbit/s to 1 Tbit/s.
pub(super) const PACE_RANGE: (f64, f64) = (8e3, 125e9);

/// `rate` as a pace that is neither nought nor infinite, whatever went wrong
/// in its computation.
pub(super) fn sane_pace(rate: f64) -> f64 {
    if rate.is_nan() {
        return PACE_RANGE.0;
    }
    rate.clamp(PACE_RANGE.0, PACE_RANGE.1)
}

/// The moment `seconds` after `time`.
pub(super) fn later(time: Time, seconds: f64) -> Time {
    time + Duration::try_from_secs_f64(seconds.clamp(0.0, 1e9)).unwrap_or_default()
}

/// Seconds from `earlier` to `time`, nought if it is not earlier.
pub(super) fn seconds_since(time: Time, earlier: Time) -> f64 {
    time.since(earlier).as_secs_f64()
}

/// What is remembered of one report.
#[derive(Clone, Copy, Debug)]
struct Mark {
    sent: Sent,
    received_micros: u64,
    delivered_packets: u64,
    delivered_bytes: u64,
    marks: u64,
    queue_low: f64,
    queue_high: f64,
}

/// Figures from one report, measured over the window that ends with it.
/// Times in seconds, rates in bytes per second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// When the report arrived.
    pub(super) now: Time,
    /// Since the sample before it.
    pub(super) elapsed: f64,
    /// Between two reports, as the receiver says.
    pub(super) interval: f64,
    /// The window's length: what was asked for, or less while it fills.
    pub(super) window: f64,
    /// Whether the window is as long as it should be.
    pub(super) full: bool,
    /// Smallest round trip of this path.
    pub(super) base_rtt: f64,
    /// The newest round trip.
    pub(super) rtt: f64,
    /// Rate at which numbered bytes left the bottleneck.
    pub(super) passed: f64,
    /// Rate at which the same bytes had been sent.
    pub(super) sent: f64,
    /// Rate of delivery over the last quarter of a round trip.
    pub(super) delivered: f64,
    /// Packets in the window.
    pub(super) packets: f64,
    /// Share of them that did not arrive.
    pub(super) loss: f64,
    /// Share of them that carried a congestion mark.
    pub(super) marked: f64,
    /// Packets numbered since the sample before.
    pub(super) fresh_packets: f64,
    /// Those of them that did not arrive.
    pub(super) fresh_lost: f64,
    /// Smallest queueing delay in this report.
    pub(super) queue: f64,
    /// Queueing delay of the newest packet that arrived.
    pub(super) queue_last: f64,
    /// Smallest queueing delay in the window.
    pub(super) queue_low: f64,
    /// Largest queueing delay in the window.
    pub(super) queue_high: f64,
    /// The base delay itself, up to an unknown constant.
    pub(super) base_delay: f64,
    /// By how much the smallest delay of a report rose since the one before.
    pub(super) jump: f64,
    /// Between the newest packets of the two, when they were sent.
    pub(super) gap: f64,
    /// When the newest packet that arrived had been sent.
    pub(super) newest: Time,
    /// When the oldest packet of the window had been sent.
    pub(super) oldest: Time,
    /// Bytes sent after the newest packet that arrived.
    pub(super) ahead: f64,
}

impl Sample {
    /// The time over which the law's gains are spread.
    pub(super) fn horizon(&self) -> f64 {
        self.base_rtt.max(3.0 * self.interval)
    }

    /// Age of the newest packet that arrived.
    pub(super) fn age(&self) -> f64 {
        seconds_since(self.now, self.newest)
    }
}

/// Turns reports into samples.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter {
    /// Numbers below this time belong to an earlier path.
    since: Time,
    marks: VecDeque<Mark>,
    delay: Delay,
    hint_rtt: Option<f64>,
    base_rtt: Option<f64>,
    rtt: f64,
    last_report: Option<Time>,
    sent_bytes: u64,
    packet: u32,
    queue: f64,
}

impl Meter {
    /// A new path begins; its round trip may be known from elsewhere.
    pub(super) fn restart(&mut self, now: Time, rtt: Option<Duration>) {
        *self = Self {
            since: now,
            hint_rtt: rtt.map(|rtt| rtt.as_secs_f64().clamp(50e-6, ABSURD)),
            sent_bytes: self.sent_bytes,
            packet: self.packet,
            ..Self::default()
        };
    }

    /// Nothing was heard for a while: what came before the gap must not be
    /// compared with what comes after.
    pub(super) fn interrupt(&mut self) {
        self.marks.clear();
    }

    pub(super) fn on_sent(&mut self, sent: Sent) {
        self.sent_bytes = self.sent_bytes.max(sent.sent_bytes);
        self.packet = self.packet.max(sent.size.min(65_535));
    }

    /// Size of the largest packet sent so far; at least what every path takes,
    /// for at first they may all have had little to say.
    pub(super) fn packet(&self) -> f64 {
        if self.packet == 0 { 1500.0 } else { f64::from(self.packet).max(MIN_PACKET as f64) }
    }

    /// Smallest round trip seen, or what is assumed before.
    pub(super) fn base_rtt(&self) -> f64 {
        self.base_rtt.or(self.hint_rtt).unwrap_or(UNKNOWN_RTT)
    }

    /// Newest queueing delay.
    pub(super) fn queue(&self) -> f64 {
        self.queue
    }

    /// The path itself became longer by `by` seconds: take what is seen now as
    /// an empty path.
    pub(super) fn rebase(&mut self, by: f64) {
        self.delay.base += by;
        self.base_rtt = Some(self.rtt.clamp(50e-6, ABSURD));
        self.queue = 0.0;
        self.interrupt();
    }

    /// Digests a report; nothing if it tells nothing new.
    pub(super) fn on_report(&mut self, report: &PathReport<'_>) -> Option<Sample> {
        let newest = report.largest.sent;
        if newest.at < self.since || report.now < newest.at {
            return None;
        }
        if self.marks.back().is_some_and(|m| newest.number <= m.sent.number) {
            return None;
        }
        self.note_rtt(report);
        if self.last_report.is_none() {
            self.marks.extend(self.opening_mark(report));
        }
        let interval = report.interval.as_secs_f64().clamp(500e-6, 2.0);
        let elapsed = self.elapsed(report.now, interval);
        let base = self.delay.base;
        let (low, high) = self.delay.on_stamps(report, self.since, elapsed);
        let last = self.delay.queue_of(&report.largest);
        if base - self.delay.base > SHORTER + 1.2 * elapsed {
            // No queue empties faster than time passes: the path is shorter,
            // and what arrived in a bunch says nothing of its rate.
            self.marks.clear();
        }
        self.queue = low;
        let (jump, gap) = self.delay.jump(low, newest.at);
        let mark = Mark {
            sent: newest,
            received_micros: report.largest.received_at.0,
            delivered_packets: report.delivered_packets,
            delivered_bytes: report.delivered_bytes,
            marks: report.congestion_marks,
            queue_low: low,
            queue_high: high,
        };
        let window = self.base_rtt().max(2.0 * interval).max(WINDOW_FLOOR);
        let sample = self.compare(&mark, window, interval, report.now);
        self.push(mark, window);
        sample.map(|sample| Sample { elapsed, jump, gap, queue_last: last, ..sample })
    }

    /// What an earlier report would have said that the first of a path can be
    /// compared with: its first stamp, as if all had arrived since.
    fn opening_mark(&self, report: &PathReport<'_>) -> Option<Mark> {
        let first = report.stamps.iter().find(|stamp| stamp.sent.at >= self.since)?;
        let newest = report.largest.sent;
        let packets = newest.number.get().checked_sub(first.sent.number.get()).filter(|packets| *packets > 0)?;
        Some(Mark {
            sent: first.sent,
            received_micros: first.received_at.0,
            delivered_packets: report.delivered_packets.saturating_sub(packets),
            delivered_bytes: report
                .delivered_bytes
                .saturating_sub(newest.sent_bytes.saturating_sub(first.sent.sent_bytes)),
            marks: report.congestion_marks,
            queue_low: 0.0,
            queue_high: 0.0,
        })
    }

    /// Seconds since the report before; a long gap starts the window anew.
    fn elapsed(&mut self, now: Time, interval: f64) -> f64 {
        let elapsed = self.last_report.map_or(interval, |last| seconds_since(now, last));
        self.last_report = Some(now);
        if elapsed > (3.0 * self.base_rtt()).max(8.0 * interval).max(0.15) {
            self.interrupt();
        }
        elapsed.clamp(1e-6, ABSURD)
    }

    fn note_rtt(&mut self, report: &PathReport<'_>) {
        let trip = seconds_since(report.now, report.largest.sent.at);
        let rtt = (trip - report.held.as_secs_f64()).clamp(50e-6, ABSURD);
        self.rtt = rtt;
        self.base_rtt = Some(self.base_rtt.map_or(rtt, |base| base.min(rtt)));
    }

    fn compare(&self, b: &Mark, window: f64, interval: f64, now: Time) -> Option<Sample> {
        let a = self.youngest(b, window)?;
        let span = span(a, b)?;
        let short = window / 4.0;
        let quarter = self.youngest(b, short)?;
        let last = self.marks.back()?;
        let packets = count(b.sent.number.since(a.sent.number));
        let arrived = count(b.delivered_packets.saturating_sub(a.delivered_packets));
        let marked = count(b.marks.saturating_sub(a.marks));
        let bytes = count(b.sent.sent_bytes.saturating_sub(a.sent.sent_bytes));
        let out = seconds_since(b.sent.at, a.sent.at).max(1e-6);
        let fresh = count(b.sent.number.since(last.sent.number));
        let fresh_arrived = count(b.delivered_packets.saturating_sub(last.delivered_packets));
        let inside = self.marks.iter().rev().take_while(|m| m.sent.number > a.sent.number);
        let (low, high) =
            inside.fold((b.queue_low, b.queue_high), |(low, high), m| (low.min(m.queue_low), high.max(m.queue_high)));
        Some(Sample {
            now,
            elapsed: interval,
            interval,
            window: span,
            full: span >= 0.95 * window,
            base_rtt: self.base_rtt(),
            rtt: self.rtt,
            passed: bytes / span,
            sent: bytes / out,
            delivered: delivered_rate(quarter, b, short),
            packets,
            loss: (1.0 - arrived / packets.max(1.0)).clamp(0.0, 1.0),
            marked: (marked / packets.max(1.0)).clamp(0.0, 1.0),
            fresh_packets: fresh,
            fresh_lost: (fresh - fresh_arrived).clamp(0.0, fresh),
            queue: b.queue_low,
            queue_last: 0.0,
            queue_low: low,
            queue_high: high,
            base_delay: self.delay.base,
            jump: 0.0,
            gap: 0.0,
            newest: b.sent.at,
            oldest: a.sent.at,
            ahead: count(self.sent_bytes.saturating_sub(b.sent.sent_bytes)),
        })
    }

    /// The youngest mark at least `window` before `b`, else the oldest.
    fn youngest(&self, b: &Mark, window: f64) -> Option<&Mark> {
        let far = |a: &&Mark| span(a, b).is_some_and(|span| span >= window);
        self.marks.iter().rev().find(far).or(self.marks.front())
    }

    fn push(&mut self, mark: Mark, window: f64) {
        let fill = span_of_newest_two(&self.marks, &mark);
        if self.marks.len() > 2 && fill < window / 128.0 {
            self.marks.pop_back();
        }
        self.marks.push_back(mark);
        let old_enough = |a: &Mark| span(a, &mark).is_some_and(|s| s >= 1.5 * window);
        while self.marks.len() > MARKS || self.marks.get(1).is_some_and(old_enough) {
            self.marks.pop_front();
        }
    }
}

/// A counter as a figure to reckon with.
#[allow(clippy::cast_precision_loss)]
pub(super) fn count(n: u64) -> f64 {
    n as f64
}

/// Seconds between two marks on the receiver's clock, if it went forward.
fn span(a: &Mark, b: &Mark) -> Option<f64> {
    let micros = b.received_micros.checked_sub(a.received_micros)?;
    (micros > 0).then(|| count(micros) * 1e-6)
}

fn span_of_newest_two(marks: &VecDeque<Mark>, next: &Mark) -> f64 {
    let before = marks.len().checked_sub(2).and_then(|i| marks.get(i));
    before.and_then(|a| span(a, next)).unwrap_or(f64::MAX)
}

/// Delivery between two marks, spread over no less than `least` seconds: a
/// train that arrives in a bunch is not a rate.
fn delivered_rate(a: &Mark, b: &Mark, least: f64) -> f64 {
    let bytes = b.delivered_bytes.saturating_sub(a.delivered_bytes);
    count(bytes) / span(a, b).unwrap_or(least).max(least)
}

/// One-way delay: base and queue.
#[derive(Clone, Copy, Debug, Default)]
struct Delay {
    /// First stamp of the path: both clocks are counted from it.
    zero: Option<(Time, u64)>,
    base: f64,
    /// Largest of the delays far below the base, and how many reports in a row
    /// had one.
    below: Option<(f64, u32)>,
    /// Smallest delay of the report before, and when its newest packet left.
    previous: Option<(f64, Time)>,
}

impl Delay {
    /// Smallest and largest queueing delay among the report's stamps.
    fn on_stamps(&mut self, report: &PathReport<'_>, since: Time, elapsed: f64) -> (f64, f64) {
        self.base += DRIFT * elapsed.min(10.0);
        let mut low = self.one_way(&report.largest);
        let mut high = low;
        for stamp in report.stamps.iter().filter(|s| s.sent.at >= since) {
            let delay = self.one_way(stamp);
            low = low.min(delay);
            high = high.max(delay);
        }
        self.lower_base(low);
        ((low - self.base).clamp(0.0, ABSURD), (high - self.base).clamp(0.0, ABSURD))
    }

    fn lower_base(&mut self, low: f64) {
        if low >= self.base - SUDDEN.0 {
            self.below = None;
            self.base = self.base.min(low);
            return;
        }
        let (highest, reports) = self.below.map_or((low, 1), |(highest, reports)| (low.max(highest), reports + 1));
        self.below = Some((highest, reports));
        if reports >= SUDDEN.1 {
            self.below = None;
            self.base = highest;
        }
    }

    /// How far the smallest queue of a report is above that of the report
    /// before, and how far apart their newest packets were sent.
    fn jump(&mut self, low: f64, newest: Time) -> (f64, f64) {
        let delay = self.base + low;
        let before = self.previous.replace((delay, newest));
        before.map_or((0.0, 0.0), |(previous, at)| (delay - previous, seconds_since(newest, at)))
    }

    fn queue_of(&mut self, stamp: &Stamp) -> f64 {
        (self.one_way(stamp) - self.base).clamp(0.0, ABSURD)
    }

    /// Delay of a stamp in seconds, up to an unknown constant.
    #[allow(clippy::cast_possible_wrap, clippy::cast_precision_loss)]
    fn one_way(&mut self, stamp: &Stamp) -> f64 {
        let (sent, received) = (stamp.sent.at, stamp.received_at.0);
        let (sent_zero, received_zero) = *self.zero.get_or_insert((sent, received));
        let out = sent.nanos().wrapping_sub(sent_zero.nanos()) as i64;
        let back = received.wrapping_sub(received_zero) as i64;
        back as f64 * 1e-6 - out as f64 * 1e-9
    }
}

#[cfg(test)]
impl Sample {
    /// A full window at `now` seconds on an empty line of 50 ms: all that was
    /// sent at `rate` bytes per second passed.
    pub(super) fn calm(now: f64, rate: f64) -> Self {
        let at = later(Time::ZERO, now);
        let packets = rate * 0.05 / 1500.0;
        Self {
            now: at,
            elapsed: 0.00625,
            interval: 0.00625,
            window: 0.05,
            full: true,
            base_rtt: 0.05,
            rtt: 0.05,
            passed: rate,
            sent: rate,
            delivered: rate,
            packets,
            loss: 0.0,
            marked: 0.0,
            fresh_packets: packets / 8.0,
            fresh_lost: 0.0,
            queue: 0.0,
            queue_last: 0.0,
            queue_low: 0.0,
            queue_high: 0.0,
            base_delay: 0.0,
            jump: 0.0,
            gap: 0.00625,
            newest: at - Duration::from_millis(50),
            oldest: at - Duration::from_millis(100),
            ahead: rate * 0.05,
        }
    }

    /// The same with a queue of `seconds`.
    pub(super) fn with_queue(self, seconds: f64) -> Self {
        Self {
            queue: seconds,
            queue_last: seconds,
            queue_low: seconds,
            queue_high: seconds,
            rtt: self.base_rtt + seconds,
            ..self
        }
    }

    /// The same with `share` of the packets lost.
    pub(super) fn with_loss(self, share: f64) -> Self {
        Self { loss: share, fresh_lost: share * self.fresh_packets, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use limosa_wire::{PacketNumber, PeerTime};
    use proptest::prelude::*;

    fn sent(number: u64, micros: u64) -> Sent {
        Sent {
            number: PacketNumber::new(number).unwrap_or_default(),
            at: Time::from_micros(micros),
            sent_bytes: (number + 1) * 1500,
            size: 1500,
        }
    }

    fn report(number: u64, sent_at: u64, received: u64, delivered: u64) -> PathReport<'static> {
        PathReport {
            now: Time::from_micros(received + 5_000),
            largest: Stamp { sent: sent(number, sent_at), received_at: PeerTime(received + 900_000) },
            delivered_packets: delivered,
            delivered_bytes: delivered.saturating_mul(1500),
            stamps: &[],
            congestion_marks: 0,
            in_flight: 0,
            interval: Duration::from_millis(5),
            held: Duration::ZERO,
        }
    }

    fn started() -> Meter {
        let mut meter = Meter::default();
        meter.restart(Time::ZERO, Some(Duration::from_millis(10)));
        meter
    }

    #[test]
    fn a_window_measures_rates_loss_and_queue() {
        let mut meter = started();
        let mut last = None;
        // 1,000 packets a second are sent, 800 pass, every tenth is lost.
        for i in 0..40 {
            let (number, queue) = (i * 5, i * 1_250);
            let r = report(number, i * 5_000, i * 5_000 + 5_000 + queue, number * 9 / 10);
            meter.on_sent(r.largest.sent);
            last = meter.on_report(&r).or(last);
        }
        let s = last.expect("a sample");
        assert!((s.sent / 1500.0 - 1000.0).abs() < 1.0, "{s:?}");
        assert!((s.passed / 1500.0 - 800.0).abs() < 1.0, "{s:?}");
        assert!((s.loss - 0.1).abs() < 0.06, "{s:?}");
        assert!((s.queue - 0.04875).abs() < 0.0001, "{s:?}");
        assert!(s.full && (s.base_rtt - 0.01).abs() < 1e-6, "{s:?}");
    }

    #[test]
    fn the_base_delay_follows_a_drifting_clock() {
        let mut meter = started();
        let mut queue = 0.0;
        for i in 0..12_000_u64 {
            // The receiver's clock runs 50 ppm fast.
            let received = i * 5_000 + 5_000 + i / 4;
            let r = report(i * 5, i * 5_000, received, i * 5);
            queue = meter.on_report(&r).map_or(queue, |s| s.queue);
        }
        assert!(queue < 0.000_1, "{queue}");
    }

    fn queue_after(delays: &[u64]) -> f64 {
        let mut meter = started();
        let mut queue = f64::NAN;
        for (i, delay) in (0..).zip(delays) {
            let at = i * 5_000;
            queue = meter.on_report(&report(i * 5, at, at + delay, i * 5)).map_or(queue, |s| s.queue);
        }
        queue
    }

    #[test]
    fn packets_that_seem_to_outrun_the_path_do_not_make_a_queue_of_it() {
        let steady = [50_000; 6];
        let stalled = [&steady[..], &[45_000, 46_000], &steady].concat();
        assert!(queue_after(&stalled) < 0.000_1);
        let shorter = [&steady[..], &[45_000; 6]].concat();
        assert!(queue_after(&shorter) < 0.000_1);
        let emptied = [&steady[..], &[45_000; 4], &[47_000]].concat();
        assert!((queue_after(&emptied) - 0.002).abs() < 0.000_1);
    }

    #[test]
    fn reports_of_an_earlier_path_and_old_news_are_ignored() {
        let mut meter = started();
        assert!(meter.on_report(&report(10, 0, 10_000, 10)).is_none());
        assert!(meter.on_report(&report(20, 5_000, 15_000, 20)).is_some());
        assert!(meter.on_report(&report(20, 5_000, 15_000, 20)).is_none());
        meter.restart(Time::from_micros(1_000_000), None);
        assert!(meter.on_report(&report(30, 900_000, 1_100_000, 30)).is_none());
    }

    proptest! {
        #[test]
        fn no_report_makes_a_figure_that_is_no_number(
            reports in proptest::collection::vec(any::<(u64, u64, u64, u64, u64)>(), 1..60),
        ) {
            let mut meter = started();
            for (number, at, received, packets, bytes) in reports {
                let mut r = report(number >> 17, at >> 24, 0, packets);
                r.largest.received_at = PeerTime(received);
                r.now = Time::from_nanos(at);
                r.delivered_bytes = bytes;
                meter.on_sent(r.largest.sent);
                if let Some(s) = meter.on_report(&r) {
                    for figure in [s.passed, s.sent, s.delivered, s.loss, s.queue, s.queue_high, s.rtt, s.ahead] {
                        prop_assert!(figure.is_finite() && figure >= 0.0, "{s:?}");
                    }
                }
            }
        }
    }
}
