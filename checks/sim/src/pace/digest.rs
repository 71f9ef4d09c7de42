//! What was sent and what became of it: loss by packet number.

use std::collections::VecDeque;

use limosa_transport::Time;
use limosa_transport::rate::Sent;
use limosa_wire::PacketNumber;

use super::{Report, Run};

/// Fewest later packets that must have arrived before one counts as lost.
const LEAST_THRESHOLD: u64 = 3;
/// Most that reordering can raise the threshold to.
const LARGEST_THRESHOLD: u64 = 1 << 16;

/// The sender's record of its packets, from the oldest whose fate is open.
#[derive(Debug)]
pub(super) struct Digest {
    /// Number of the first record.
    base: u64,
    records: VecDeque<Record>,
    sent_bytes: u64,
    in_flight: u64,
    /// Reports have spoken of all numbers below this.
    covered: u64,
    /// Numbers below `covered` that have not arrived, ascending.
    missing: VecDeque<Missing>,
    threshold: u64,
    lost: u64,
    spurious: u64,
}

#[derive(Debug)]
struct Record {
    at: Time,
    sent_bytes: u64,
    size: u32,
}

#[derive(Debug)]
struct Missing {
    number: u64,
    declared_lost: bool,
}

impl Default for Digest {
    fn default() -> Self {
        Self {
            base: 0,
            records: VecDeque::new(),
            sent_bytes: 0,
            in_flight: 0,
            covered: 0,
            missing: VecDeque::new(),
            threshold: LEAST_THRESHOLD,
            lost: 0,
            spurious: 0,
        }
    }
}

impl Digest {
    /// Notes that a packet of `size` bytes leaves.
    pub(super) fn send(&mut self, at: Time, size: u32) -> Sent {
        let number = self.next_number();
        self.sent_bytes += u64::from(size);
        self.in_flight += u64::from(size);
        let sent_bytes = self.sent_bytes;
        self.records.push_back(Record { at, sent_bytes, size });
        Sent {
            number: PacketNumber::new(number).expect("a run sends far fewer than 2^48 packets"),
            at,
            sent_bytes,
            size,
        }
    }

    pub(super) fn next_number(&self) -> u64 {
        self.base + self.records.len() as u64
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// Reports have spoken of all numbers below this.
    pub(super) fn covered(&self) -> u64 {
        self.covered
    }

    /// Packets declared lost that have not turned up since.
    pub(super) fn lost(&self) -> u64 {
        self.lost - self.spurious
    }

    /// Packets that turned up after they had been declared lost.
    pub(super) fn spurious(&self) -> u64 {
        self.spurious
    }

    /// The record of `number`, if it is still kept.
    pub(super) fn sent(&self, number: u64) -> Option<Sent> {
        let record = self.record(number)?;
        Some(Sent {
            number: PacketNumber::new(number)?,
            at: record.at,
            sent_bytes: record.sent_bytes,
            size: record.size,
        })
    }

    fn record(&self, number: u64) -> Option<&Record> {
        self.records.get(usize::try_from(number.checked_sub(self.base)?).ok()?)
    }

    /// Takes in what `report` says of single packets.
    pub(super) fn apply(&mut self, report: &Report) {
        if report.covers.end() > self.next_number() {
            return; // speaks of what was never sent
        }
        self.find_late_arrivals(report);
        if report.covers.first <= self.covered && report.covers.end() > self.covered {
            self.cover_new(report);
        }
        self.declare_losses(report.largest);
        self.forget(report.covers.first);
    }

    /// Numbers known as missing that the report does not list any more.
    fn find_late_arrivals(&mut self, report: &Report) {
        let first = self.missing.partition_point(|m| m.number < report.covers.first);
        let mut runs = report.missing.iter().peekable();
        let mut arrived = Vec::new();
        for (index, missing) in self.missing.iter().enumerate().skip(first) {
            if missing.number >= report.covers.end() {
                break;
            }
            while runs.next_if(|run| run.end() <= missing.number).is_some() {}
            if runs.peek().is_none_or(|run| run.first > missing.number) {
                arrived.push(index);
            }
        }
        for index in arrived.into_iter().rev() {
            if let Some(missing) = self.missing.remove(index) {
                self.arrive_late(&missing);
            }
        }
    }

    fn arrive_late(&mut self, missing: &Missing) {
        if missing.declared_lost {
            self.spurious += 1;
            self.threshold = (self.threshold * 2).min(LARGEST_THRESHOLD);
        } else {
            let size = self.record(missing.number).map_or(0, |record| record.size);
            self.in_flight -= u64::from(size);
        }
    }

    /// Numbers that no report has covered before.
    fn cover_new(&mut self, report: &Report) {
        let mut at = self.covered;
        for run in &report.missing {
            let run = Run {
                first: run.first.max(self.covered),
                length: run.end().saturating_sub(run.first.max(self.covered)),
            };
            if run.length == 0 {
                continue;
            }
            self.settle(at, run.first);
            for number in run.first..run.end() {
                self.missing.push_back(Missing { number, declared_lost: false });
            }
            at = run.end();
        }
        self.settle(at, report.covers.end());
        self.covered = report.covers.end();
    }

    /// The packets from `first` up to `end` have arrived.
    fn settle(&mut self, first: u64, end: u64) {
        let (Some(first), Some(end)) = (first.checked_sub(self.base), end.checked_sub(self.base)) else {
            return;
        };
        if first >= end {
            return;
        }
        // Byte counts are running totals: a run costs two look-ups, not one
        // per packet.
        let total = |index: u64| self.records.get(index as usize).map(|r| r.sent_bytes);
        let before = self.records.get(first as usize).map(|r| r.sent_bytes - u64::from(r.size));
        if let (Some(before), Some(after)) = (before, total(end - 1)) {
            self.in_flight -= after - before;
        }
    }

    fn declare_losses(&mut self, largest: u64) {
        for index in 0..self.missing.len() {
            let missing = &mut self.missing[index];
            if missing.number + self.threshold > largest {
                break;
            }
            if !missing.declared_lost {
                missing.declared_lost = true;
                self.lost += 1;
                let number = missing.number;
                let size = self.record(number).map_or(0, |record| record.size);
                self.in_flight -= u64::from(size);
            }
        }
    }

    /// Drops what no later report will speak of.
    fn forget(&mut self, covers_from: u64) {
        while self.missing.front().is_some_and(|m| m.number < covers_from && m.declared_lost) {
            self.missing.pop_front();
        }
        let oldest = self.missing.front().map_or(self.covered, |m| m.number);
        let keep_from = oldest.min(covers_from).min(self.covered.saturating_sub(1));
        while self.base < keep_from && self.records.pop_front().is_some() {
            self.base += 1;
        }
    }
}
