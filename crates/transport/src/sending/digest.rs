//! Reading reports: what arrived, what was lost, what the law is told.

use std::ops::Range;
use std::time::Duration;

use limosa_ranges::RangeSet;
use limosa_wire::PeerTime;
use limosa_wire::frame::{Report, Run, Shed, Slice};

use super::Sending;
use crate::Time;
use crate::application::Application;
use crate::rate::{PathReport, Stamp};
use crate::receiving::Offence;

/// A report that tells something new of the path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    now: Time,
    largest: Stamp,
    delivered_packets: u64,
    delivered_bytes: u64,
    congestion_marks: u64,
    interval: Duration,
    held: Duration,
}

/// What a report says of the newest datagram that arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Newest {
    pub(crate) sent: Time,
    pub(crate) received: PeerTime,
    pub(crate) delivered_bytes: u64,
}

impl Sending {
    /// Takes the receiver's state; returns what is new about the path.
    pub(crate) fn on_report(&mut self, now: Time, report: &Report<'_>) -> Result<Option<Newest>, Offence> {
        let largest = report.largest.get();
        if largest >= self.ring.next() {
            return Err(Offence("report of a datagram that was never sent"));
        }
        if report.sent_at >= self.state_at {
            self.state_at = report.sent_at;
            self.brake.on_report(report.sent_at, report.queued, report.queue_capacity, report.drained);
        }
        if self.reported.is_some_and(|reported| largest <= reported) {
            return Ok(None);
        }
        self.reported = Some(largest);
        let Some(sent) = self.ring.get(largest).map(|record| record.summary(largest)) else { return Ok(None) };
        let held = Duration::from_micros(report.sent_at.0.saturating_sub(report.largest_at.0));
        self.rtt.sample(now.since(sent.at).saturating_sub(held));
        self.collect_stamps(report);
        self.heard = Some(Heard {
            now,
            largest: Stamp { sent, received_at: report.largest_at },
            // What the receiver's own machine dropped is no loss of the path,
            // nor are packets larger than it carries.
            delivered_packets: report
                .delivered_packets
                .saturating_add(report.local_drops)
                .saturating_add(self.too_large),
            delivered_bytes: report.delivered_bytes,
            congestion_marks: report.congestion_marks,
            interval: Duration::from_micros(report.interval_us.min(10_000_000)),
            held,
        });
        Ok(Some(Newest { sent: sent.at, received: report.largest_at, delivered_bytes: report.delivered_bytes }))
    }

    fn collect_stamps(&mut self, report: &Report<'_>) {
        self.stamps.clear();
        for (number, received_at) in report.stamps {
            if let Ok(index) = self.stamped.binary_search_by_key(&number, |sent| sent.number) {
                self.stamps.push(Stamp { sent: self.stamped[index], received_at });
            }
        }
        self.stamps.sort_unstable_by_key(|stamp| stamp.sent.number);
    }

    /// Takes the ranges that the slices of the same datagram do not
    /// acknowledge.
    pub(crate) fn on_shed(&mut self, now: Time, shed: Shed<'_>) {
        self.brake.on_shed(now);
        for (offset, length) in shed {
            self.shed.insert(offset.0..offset.0.saturating_add(length));
        }
    }

    /// Takes what is said of a stretch of numbers.
    pub(crate) fn on_slice(&mut self, now: Time, slice: &Slice<'_>, app: &mut impl Application) -> Result<(), Offence> {
        let as_of = slice.as_of.get();
        if as_of >= self.ring.next() {
            return Err(Offence("slice about datagrams that were never sent"));
        }
        // All that the slice speaks of is settled.
        let Some(as_of_sent) = self.ring.get(as_of).map(|record| record.at) else { return Ok(()) };
        let (mut arrived, mut lost) = (0, 0);
        let mut found = std::mem::take(&mut self.found);
        let mut settled = 0..0;
        for Run { first, count, arrived: did } in slice.runs {
            let run = first.get()..first.get() + count;
            found.clear();
            if did {
                self.ring.newly_arrived(run, &mut found);
                found.iter().for_each(|number| self.settle(now, *number, &mut settled, app));
                arrived += found.len() as u64;
            } else {
                // What came in another datagram must not count as lost.
                self.settle_space(std::mem::take(&mut settled), app);
                self.ring.open_in(run, &mut found);
                let judged = found.iter().filter(|number| self.judge(now, **number, as_of, as_of_sent));
                lost += judged.count() as u64;
            }
        }
        self.settle_space(settled, app);
        self.found = found;
        self.loss.on_settled(arrived, lost);
        Ok(())
    }

    /// A datagram arrived. What it carried of the linear space is added to
    /// `settled` as long as one follows the other, as nearly all do: a stretch of
    /// many datagrams is settled at once.
    fn settle(&mut self, now: Time, number: u64, settled: &mut Range<u64>, app: &mut impl Application) {
        let Some(record) = self.ring.get(number) else { return };
        let (sent, size) = (record.at, usize::from(record.size));
        let Some((contents, was_lost)) = self.ring.arrived(number) else { return };
        self.resized |= self.mtu.on_arrived(now, size);
        self.settle_range(contents.first(), settled, app);
        if let Some(rare) = &contents.rare {
            rare.ranges().for_each(|range| self.settle_range(range, settled, app));
            for piece in &rare.pieces {
                self.streams[piece.stream.index()].arrived(piece.offset, usize::from(piece.length));
            }
            self.ring.recycle(contents);
        }
        if was_lost {
            self.counts.spurious += 1;
            self.learn_lateness(number, sent);
        }
    }

    /// Adds a range to what is `settled`, or begins anew with it.
    fn settle_range(&mut self, range: Range<u64>, settled: &mut Range<u64>, app: &mut impl Application) {
        if range.start == settled.end {
            settled.end = range.end;
        } else if !range.is_empty() {
            self.settle_space(std::mem::replace(settled, range), app);
        }
    }

    /// A stretch of the linear space arrived; nothing if it is empty.
    fn settle_space(&mut self, range: Range<u64>, app: &mut impl Application) {
        if !range.is_empty() {
            self.space.arrived(range, &self.shed, app, &mut self.counts);
        }
    }

    /// A datagram that was given up has turned up since the report before.
    fn learn_lateness(&mut self, number: u64, sent: Time) {
        if let Some(newest) = self.reported
            && let Some(overtaker) = self.ring.get(newest)
        {
            self.loss.on_late(newest.saturating_sub(number), overtaker.at.since(sent), self.rtt.base());
        }
    }

    /// Decides on a datagram that had not arrived when one sent later had;
    /// returns whether it is lost.
    fn judge(&mut self, now: Time, number: u64, as_of: u64, as_of_sent: Time) -> bool {
        let Some(record) = self.ring.get(number) else { return false };
        let gap = as_of_sent.since(record.at);
        if number >= as_of || !self.loss.is_lost(as_of - number, gap, self.rtt.base()) {
            return false;
        }
        let Some(record) = self.ring.declare_lost(number, now) else { return false };
        if usize::from(record.size) > self.mtu.current() && record.contents.is_empty() {
            // A larger size was tried and does not pass: no loss of the path.
            self.too_large += 1;
            return false;
        }
        self.counts.lost += 1;
        self.mtu.on_lost(usize::from(record.size));
        if record.repeated {
            return true;
        }
        for range in record.contents.ranges() {
            self.space.lost(range, &mut self.counts);
        }
        for piece in record.contents.pieces() {
            self.streams[piece.stream.index()].lost(piece.offset, usize::from(piece.length));
        }
        true
    }

    /// A datagram was read to its end: shows the law what its report said.
    pub(crate) fn digest(&mut self, now: Time) {
        if !self.shed.is_empty() {
            self.shed = RangeSet::default();
        }
        let Some(heard) = self.heard.take() else { return };
        self.ring.expire(now, self.rtt.base() / 2);
        self.law.on_report(&PathReport {
            now: heard.now,
            largest: heard.largest,
            delivered_packets: heard.delivered_packets,
            delivered_bytes: heard.delivered_bytes,
            stamps: &self.stamps,
            congestion_marks: heard.congestion_marks,
            in_flight: self.ring.in_flight(),
            interval: heard.interval,
            held: heard.held,
        });
    }
}
