//! When the receiver reports, and what a report says.
//!
//! Reports go by time. One speaks of every number from the peer's floor to
//! the highest that arrived as long as that fits its budget, one percent of
//! what is delivered; else first the interval grows, then a report speaks of
//! the newest numbers and of a part of the older ones in turn, and others
//! follow unasked until all have had theirs. What reports may take of a narrow
//! way back is bounded beside.

use std::ops::Range;
use std::time::Duration;

use limosa_ranges::RangeSet;
use limosa_wire::frame::{self, Report, SliceBuilder};
use limosa_wire::{Offset, PacketNumber, PeerTime};

use crate::Time;
use crate::numbers::Numbers;
use crate::packet::PacketBuilder;

/// Reports that follow what they speak of, so that a lost one costs nothing.
const REPEATS: u8 = 3;
/// Share of delivered bytes that reports may take.
const SHARE: u64 = 100;
/// What a report may always take, bytes.
const ALWAYS: u64 = 2 * 1_280;
/// The same in a second, and in one report at most, while older numbers wait
/// for their turn and nothing arrives: the peer may have stopped for want of
/// what is said of them, and what does not arrive earns nothing.
const WAITING: (f64, u64) = (1e6, 256 * 1_024);
/// Most that is saved up for later reports, bytes: enough for every number that
/// may be unsettled where a third is lost.
const MOST: u64 = 1 << 22;
/// A report with nothing unusual to say, bytes as an IP packet.
const SMALL: u64 = 140;
/// Bytes that a change between arrived and missing takes in a slice, in
/// halves.
const CHANGE: u64 = 3;
/// The interval grows to so many times itself before a report is cut.
const STRETCH: u32 = 4;
/// Longest interval that is granted to a peer, and shortest.
const INTERVAL: Range<Duration> = Duration::from_millis(1)..Duration::from_secs(2);
/// Before the peer has stated its wish.
const FIRST_INTERVAL: Duration = Duration::from_millis(5);

/// Most arrival times kept for one report.
const STAMPS: usize = 32;
/// Most shed ranges that are told: all of them stand in every datagram of a
/// report, beside the arrival times.
pub(crate) const SHED_RANGES: usize = 32;

/// What the receiver says of itself in every report.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReceiverState {
    pub(crate) largest_at: PeerTime,
    pub(crate) delivered_packets: u64,
    pub(crate) delivered_bytes: u64,
    pub(crate) congestion_marks: u64,
    pub(crate) local_drops: u64,
    pub(crate) queued: u64,
    pub(crate) queue_capacity: u64,
    pub(crate) drained: u64,
}

/// Schedules and writes reports.
#[derive(Debug)]
pub(crate) struct Reporter {
    interval: Duration,
    last: Option<Time>,
    /// When the next is due, if there is anything to say.
    due: Option<Time>,
    repeats: u8,
    /// Bytes delivered as of the last report.
    delivered: u64,
    /// Bytes that reports may take, earned by delivery and not spent.
    credit: u64,
    stamps: Vec<(PacketNumber, PeerTime)>,
    plan: Option<Plan>,
    /// Where the turn through older numbers goes on.
    turn: u64,
    /// Whether the last report left some of them out.
    waiting: bool,
    runs: SliceBuilder,
}

/// A report being written.
#[derive(Debug)]
struct Plan {
    newest: Range<u64>,
    older: Range<u64>,
    /// Bytes still to be written.
    left: u64,
    bytes: u64,
}

impl Reporter {
    pub(crate) fn new() -> Self {
        Self {
            interval: FIRST_INTERVAL,
            last: None,
            due: None,
            repeats: 0,
            delivered: 0,
            credit: 0,
            stamps: Vec::with_capacity(STAMPS),
            plan: None,
            turn: 0,
            waiting: false,
            runs: SliceBuilder::default(),
        }
    }

    /// The peer wishes for reports every `micros`.
    pub(crate) fn set_interval(&mut self, micros: u64) {
        self.interval = Duration::from_micros(micros).clamp(INTERVAL.start, INTERVAL.end);
    }

    /// A datagram arrived that asks for a report.
    pub(crate) fn on_asked(&mut self, now: Time) {
        self.repeats = REPEATS;
        self.want(now);
    }

    /// Something is to be said though nobody asked.
    pub(crate) fn on_news(&mut self, now: Time) {
        self.repeats = self.repeats.max(1);
        self.want(now);
    }

    fn want(&mut self, now: Time) {
        let soonest = self.last.map_or(now, |last| last + self.interval);
        self.due.get_or_insert(soonest.max(now));
    }

    /// The peer asked for the arrival time of a datagram.
    pub(crate) fn stamp(&mut self, number: PacketNumber, at: PeerTime) {
        if self.stamps.len() < STAMPS {
            self.stamps.push((number, at));
        }
    }

    /// The report cannot be sent now: try again later.
    pub(crate) fn postpone(&mut self, now: Time) {
        self.plan = None;
        self.due = Some(now + self.interval);
    }

    /// When a report is due.
    pub(crate) fn deadline(&self) -> Option<Time> {
        if self.plan.is_some() { Some(Time::ZERO) } else { self.due }
    }

    /// Starts a report if one is due and affordable; whether one is being
    /// written. `narrow` is what the way back carries, in bytes per second.
    pub(crate) fn start(&mut self, now: Time, numbers: &Numbers, delivered: u64, narrow: f64) -> bool {
        if self.plan.is_some() {
            return true;
        }
        if self.due.is_none_or(|due| due > now) {
            return false;
        }
        let all = numbers.reported();
        let changes = numbers.changes(all.clone());
        let wanted = SMALL + changes * CHANGE / 2;
        let since = self.last.map_or(Duration::from_secs(1), |last| now.since(last)).max(Duration::from_micros(100));
        let silent = !self.earn(delivered);
        let unasked = saturating(WAITING.0 * since.as_secs_f64()).clamp(ALWAYS, WAITING.1);
        let earned = self.credit.max(if self.waiting && silent { unasked } else { ALWAYS });
        let carried = saturating(narrow * since.as_secs_f64());
        if carried < wanted.min(4 * SMALL) || (wanted > earned.min(carried) && since < self.interval * STRETCH) {
            self.due = Some(now + self.interval);
            return false;
        }
        self.plan = Some(self.make_plan(numbers, all, wanted, earned.min(carried)));
        true
    }

    /// Earns for what was delivered; whether that was anything.
    fn earn(&mut self, delivered: u64) -> bool {
        let earned = delivered.saturating_sub(self.delivered) / SHARE;
        self.delivered += earned * SHARE;
        self.credit = (self.credit + earned).min(MOST);
        earned > 0
    }

    fn make_plan(&self, numbers: &Numbers, all: Range<u64>, wanted: u64, budget: u64) -> Plan {
        if wanted <= budget {
            return Plan { newest: all.clone(), older: all.start..all.start, left: budget.max(2 * wanted), bytes: 0 };
        }
        let span = all.end - all.start;
        let mut recent = span.min(span * budget / wanted / 2 + 1);
        // Where they change more often than others they must still leave room
        // for some of those, else no turn would ever end.
        while recent > 1 && numbers.changes(all.end - recent..all.end) * CHANGE / 2 > budget / 4 * 3 {
            recent /= 2;
        }
        let newest = all.end - recent;
        let turn = if (all.start..newest).contains(&self.turn) { self.turn } else { all.start };
        Plan { newest: newest..all.end, older: turn..newest, left: budget, bytes: 0 }
    }

    /// Writes one datagram of the report begun; the caller asks again while
    /// [`Self::deadline`] is in the past.
    pub(crate) fn write(
        &mut self,
        now: Time,
        numbers: &Numbers,
        state: &ReceiverState,
        shed: &RangeSet,
        packet: &mut PacketBuilder<'_>,
    ) {
        let Some(mut plan) = self.plan.take() else { return };
        let Some(largest) = numbers.largest() else { return };
        let before = packet.room();
        self.write_state(now, largest, state, packet);
        write_shed(shed, packet);
        let mut newest = plan.newest.clone();
        self.write_slice(&mut newest, largest, numbers, packet);
        plan.newest = newest;
        if plan.newest.is_empty() {
            let mut older = plan.older.clone();
            self.write_slice(&mut older, largest, numbers, packet);
            plan.older = older;
        }
        let used = (before - packet.room()) as u64;
        plan.bytes += used;
        plan.left = plan.left.saturating_sub(used);
        self.credit = self.credit.saturating_sub(used);
        let done = plan.newest.is_empty() && plan.older.is_empty();
        if done || plan.left < SMALL {
            self.turn = plan.older.start;
            self.waiting = !done;
            self.finish(now);
        } else {
            self.plan = Some(plan);
        }
    }

    fn finish(&mut self, now: Time) {
        self.last = Some(now);
        // A turn is repeated as a whole.
        if !self.waiting {
            self.repeats = self.repeats.saturating_sub(1);
        }
        self.due = (self.repeats > 0).then(|| now + self.interval);
    }

    fn write_state(&mut self, now: Time, largest: PacketNumber, state: &ReceiverState, packet: &mut PacketBuilder<'_>) {
        let report = Report {
            largest,
            largest_at: state.largest_at,
            sent_at: PeerTime(now.micros()),
            delivered_packets: state.delivered_packets,
            delivered_bytes: state.delivered_bytes,
            congestion_marks: state.congestion_marks,
            local_drops: state.local_drops,
            interval_us: u64::try_from(self.interval.as_micros()).unwrap_or(u64::MAX),
            queued: state.queued,
            queue_capacity: state.queue_capacity,
            drained: state.drained,
            stamps: frame::Stamps::default(),
        };
        self.stamps.sort_unstable();
        frame::put_report(packet.sink(), &report, &self.stamps);
        self.stamps.clear();
    }

    /// Writes as much of `range` as fits and takes it off its front.
    fn write_slice(
        &mut self,
        range: &mut Range<u64>,
        largest: PacketNumber,
        numbers: &Numbers,
        packet: &mut PacketBuilder<'_>,
    ) {
        let room = packet.room();
        let Some(first) = PacketNumber::new(range.start).filter(|_| !range.is_empty()) else { return };
        self.runs.clear();
        let mut expected = true;
        while !range.is_empty() {
            let (arrived, end) = numbers.run(range.clone());
            if arrived != expected && !self.runs.push(0, expected, room) {
                break;
            }
            if !self.runs.push(end - range.start, arrived, room) {
                break;
            }
            range.start = end;
            expected = !arrived;
        }
        if !self.runs.is_empty() {
            self.runs.put(packet.sink(), first, largest);
        }
    }
}

/// Every slice stands behind the ranges that what it says arrived could not
/// keep.
fn write_shed(shed: &RangeSet, packet: &mut PacketBuilder<'_>) {
    if shed.is_empty() {
        return;
    }
    let mut ranges = [(Offset(0), 0); SHED_RANGES];
    let mut count = 0;
    for (place, range) in ranges.iter_mut().zip(shed.iter()) {
        *place = (Offset(range.start), range.end - range.start);
        count += 1;
    }
    frame::put_shed(packet.sink(), &ranges[..count]);
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn saturating(bytes: f64) -> u64 {
    bytes as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Payload;
    use crate::packet::Label;
    use crate::testing::NullProtection;
    use limosa_wire::SessionId;
    use limosa_wire::datagram::{HEADER_LEN, TAG_LEN};
    use limosa_wire::frame::{Frame, Frames};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn arrived(numbers: impl IntoIterator<Item = u64>) -> Numbers {
        let mut all = Numbers::new();
        for number in numbers {
            all.insert(PacketNumber::new(number).unwrap());
        }
        all
    }

    /// Writes the report that is due; what it says of each number, and how
    /// many datagrams it took.
    fn report(reporter: &mut Reporter, now: Time, numbers: &Numbers) -> (BTreeMap<u64, bool>, usize) {
        report_after(reporter, now, numbers, 0)
    }

    /// The same after `delivered` bytes in all.
    fn report_after(
        reporter: &mut Reporter,
        now: Time,
        numbers: &Numbers,
        delivered: u64,
    ) -> (BTreeMap<u64, bool>, usize) {
        let (mut fates, mut datagrams) = (BTreeMap::new(), 0);
        while reporter.deadline().is_some_and(|due| due <= now)
            && reporter.start(now, numbers, delivered, f64::INFINITY)
        {
            let mut buffer = vec![0; 1252];
            let mut packet = PacketBuilder::new(&mut buffer, 1252, Payload::Bytes).unwrap();
            reporter.write(now, numbers, &ReceiverState::default(), &RangeSet::default(), &mut packet);
            let label = Label { session: SessionId(0), number: PacketNumber::default(), stamp: false };
            let draft = packet.finish();
            let packet = draft.seal(&mut buffer, label, Payload::Bytes, &mut NullProtection::pair(0).0);
            for frame in Frames::new(&buffer[HEADER_LEN..packet.length - TAG_LEN]) {
                let Frame::Slice(slice) = frame.unwrap() else { continue };
                for run in slice.runs {
                    fates.extend((run.first.get()..run.first.get() + run.count).map(|n| (n, run.arrived)));
                }
            }
            datagrams += 1;
        }
        (fates, datagrams)
    }

    fn later(now: &mut Time, by: Duration) -> Time {
        *now = *now + by;
        *now
    }

    proptest! {
        #[test]
        fn a_report_tells_the_fate_of_every_number(lost in proptest::collection::btree_set(0u64..3000, 0..400)) {
            let numbers = arrived((0..3000).filter(|n| !lost.contains(n)).chain([3000]));
            let mut reporter = Reporter::new();
            reporter.on_asked(Time::ZERO);
            let (fates, _) = report(&mut reporter, Time::ZERO, &numbers);
            let (first, last) = (*fates.keys().next().unwrap(), *fates.keys().next_back().unwrap());
            prop_assert_eq!((first, last, fates.len()), (0, 3000, 3001));
            prop_assert!(fates.iter().all(|(n, arrived)| *arrived != lost.contains(n)));
        }
    }

    #[test]
    fn what_is_said_is_said_three_times_and_then_no_more() {
        let numbers = arrived(0..10);
        let mut reporter = Reporter::new();
        let mut now = Time::ZERO;
        reporter.on_asked(now);
        for _ in 0..3 {
            assert_eq!(reporter.deadline(), Some(now));
            assert_eq!(report(&mut reporter, now, &numbers).1, 1);
            later(&mut now, FIRST_INTERVAL);
        }
        assert_eq!(reporter.deadline(), None);
    }

    #[test]
    fn too_much_for_its_budget_is_told_in_turn_newest_first() {
        // Every second number of 40,000 is missing: 60 kB, where 2.5 kB may
        // be said at a time while a little more arrives.
        let numbers = arrived((0..40_000).step_by(2));
        let mut reporter = Reporter::new();
        let (mut now, mut told, mut reports) = (Time::ZERO, BTreeMap::new(), 0);
        while told.len() < 39_999 {
            reporter.on_asked(now);
            let (fates, datagrams) = report_after(&mut reporter, now, &numbers, now.micros());
            if datagrams > 0 {
                assert!(datagrams <= 3, "{datagrams}");
                assert!(fates.contains_key(&39_998), "the newest are always told");
                told.extend(fates);
                reports += 1;
            }
            later(&mut now, FIRST_INTERVAL);
            assert!(reports < 100, "{} of 39999 told", told.len());
        }
        assert!(told.iter().all(|(n, arrived)| *arrived == (n % 2 == 0)));
    }

    /// What is told of `numbers`, and how often of the oldest one, after one
    /// question and while nothing arrives that would earn more.
    fn told_unasked(numbers: &Numbers) -> (BTreeMap<u64, bool>, u32) {
        let mut reporter = Reporter::new();
        let (mut now, mut told, mut oldest) = (Time::ZERO, BTreeMap::new(), 0);
        reporter.on_asked(now);
        while reporter.deadline().is_some() {
            let (fates, _) = report(&mut reporter, now, numbers);
            oldest += u32::from(fates.contains_key(&0));
            told.extend(fates);
            later(&mut now, FIRST_INTERVAL);
            assert!(now < Time::from_micros(60_000_000), "{} told", told.len());
        }
        (told, oldest)
    }

    #[test]
    fn a_peer_that_waits_for_older_numbers_need_not_ask_again() {
        // 750 kB.
        let even = arrived((0..500_000).step_by(2));
        let (told, oldest) = told_unasked(&even);
        assert_eq!((told.len(), oldest), (499_999, 3), "as often as what fits one report");
        // Most of what is to be said is of the newest tenth.
        let dense = arrived((0..450_000).filter(|n| n % 50 != 0).chain((450_000..500_000).step_by(2)));
        let (told, oldest) = told_unasked(&dense);
        assert_eq!((told.len(), oldest), (499_999, 3));
    }

    #[test]
    fn a_narrow_way_back_makes_reports_rarer() {
        let numbers = arrived(0..10);
        let mut reporter = Reporter::new();
        let (mut now, mut bytes) = (Time::ZERO, 0);
        while now < Time::from_micros(1_000_000) {
            reporter.on_asked(now);
            if reporter.start(now, &numbers, 1 << 30, 2_000.0) {
                let mut buffer = vec![0; 1252];
                let mut packet = PacketBuilder::new(&mut buffer, 1252, Payload::Bytes).unwrap();
                let room = packet.room();
                reporter.write(now, &numbers, &ReceiverState::default(), &RangeSet::default(), &mut packet);
                bytes += room - packet.room();
            }
            later(&mut now, Duration::from_millis(1));
        }
        assert!((200..2_000).contains(&bytes), "{bytes} bytes of 2,000 a second");
    }
}
