//! The receiver of numbered packets and its reports.

use std::collections::VecDeque;
use std::time::Duration;

use limosa_transport::Time;
use limosa_wire::PeerTime;

use super::{Numbered, REPORT_GAPS, Report, Run, SHORTEST_INTERVAL};
use crate::datagram::Datagram;
use crate::network::{Address, Endpoint, Transmit};

/// Each number appears in this many reports, spread over half a round trip.
const REPEATS: usize = 4;
/// A sender that has not learnt of a number after this many reports will be
/// told of it again: the reports were lost.
const PATIENCE: usize = 16;

/// The receiver's clock: neither its zero nor its pace are the sender's.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Clock {
    /// What it shows at the simulation's time zero.
    pub offset: Duration,
    /// How much it runs fast, in parts per million.
    pub drift_ppm: f64,
}

impl Clock {
    /// What it shows at `now`.
    #[must_use]
    pub fn read(&self, now: Time) -> PeerTime {
        let drift = now.micros() as f64 * self.drift_ppm * 1e-6;
        PeerTime((self.offset.as_micros() as u64 + now.micros()).saturating_add_signed(drift as i64))
    }
}

/// Receives numbered packets and reports on them at an interval that the
/// sender chooses.
#[derive(Debug)]
pub struct Receiver {
    clock: Clock,
    /// The number after the highest that has arrived.
    next: u64,
    largest_at: Time,
    /// Runs below `next` that have not arrived, ascending.
    missing: VecDeque<Run>,
    delivered_packets: u64,
    delivered_bytes: u64,
    duplicates: u64,
    /// Stamps that may still be reported, with their reports so far.
    stamps: VecDeque<(u64, PeerTime, usize)>,
    /// `next` at the latest reports, oldest first.
    edges: VecDeque<u64>,
    sender_floor: u64,
    interval: Duration,
    reports: u64,
    due: Option<Time>,
    last_report: Option<Time>,
    outbox: VecDeque<Report>,
}

impl Receiver {
    /// A receiver with `clock`.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            next: 0,
            largest_at: Time::ZERO,
            missing: VecDeque::new(),
            delivered_packets: 0,
            delivered_bytes: 0,
            duplicates: 0,
            stamps: VecDeque::new(),
            edges: VecDeque::new(),
            sender_floor: 0,
            interval: SHORTEST_INTERVAL,
            reports: 0,
            due: None,
            last_report: None,
            outbox: VecDeque::new(),
        }
    }

    /// Bytes on the wire that arrived, each packet counted once.
    #[must_use]
    pub fn delivered_bytes(&self) -> u64 {
        self.delivered_bytes
    }

    /// Packets that arrived, each counted once.
    #[must_use]
    pub fn delivered_packets(&self) -> u64 {
        self.delivered_packets
    }

    /// Packets that arrived again.
    #[must_use]
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    fn on_packet(&mut self, now: Time, packet: &Numbered) {
        if !self.note_number(now, packet.number) {
            self.duplicates += 1;
            return;
        }
        self.delivered_packets += 1;
        self.delivered_bytes += u64::from(packet.size);
        self.interval = packet.interval.max(Duration::from_millis(1));
        self.sender_floor = self.sender_floor.max(packet.floor);
        if packet.stamped {
            let at = self.stamps.partition_point(|(number, ..)| *number < packet.number);
            self.stamps.insert(at, (packet.number, self.clock.read(now), 0));
        }
        if self.due.is_none() {
            self.due = Some(self.last_report.map_or(now, |last| now.max(last + self.interval)));
        }
    }

    /// Notes the arrival of `number`; false if it had arrived before.
    fn note_number(&mut self, now: Time, number: u64) -> bool {
        if number < self.next {
            return self.fill_gap(number);
        }
        if number > self.next {
            self.missing.push_back(Run { first: self.next, length: number - self.next });
        }
        self.next = number + 1;
        self.largest_at = now;
        true
    }

    fn fill_gap(&mut self, number: u64) -> bool {
        let index = self.missing.partition_point(|run| run.end() <= number);
        let Some(run) = self.missing.get_mut(index).filter(|run| run.first <= number) else {
            return false;
        };
        let after = Run { first: number + 1, length: run.end() - number - 1 };
        run.length = number - run.first;
        let emptied = run.length == 0;
        match (emptied, after.length) {
            (true, 0) => drop(self.missing.remove(index)),
            (true, _) => self.missing[index] = after,
            (false, 0) => {}
            (false, _) => self.missing.insert(index + 1, after),
        }
        true
    }

    /// The first number that the next report speaks of.
    fn report_from(&self) -> u64 {
        let edge = |age: usize| {
            let index = self.edges.len().checked_sub(age);
            index.map_or(0, |index| self.edges[index])
        };
        if self.sender_floor < edge(PATIENCE) { self.sender_floor } else { edge(REPEATS) }
    }

    fn make_report(&mut self, now: Time) {
        let from = self.report_from();
        let stamps = self.take_stamps();
        let mut missing: Vec<Run> = self.missing.iter().copied().filter(|run| run.end() > from).collect();
        if let Some(first) = missing.first_mut().filter(|run| run.first < from) {
            *first = Run { first: from, length: first.end() - from };
        }
        let mut slices = missing.chunks(REPORT_GAPS).peekable();
        let mut start = from;
        loop {
            let slice = slices.next().unwrap_or_default();
            let complete = slices.peek().is_none();
            let end = if complete { self.next } else { slice.last().map_or(self.next, |run| run.end()) };
            let mut report = self.report(now, Run { first: start, length: end - start }, slice.to_vec());
            report.complete = complete;
            if complete {
                report.stamps = stamps;
                self.outbox.push_back(report);
                break;
            }
            self.outbox.push_back(report);
            start = end;
        }
        self.reports += 1;
        self.edges.push_back(self.next);
        if self.edges.len() > PATIENCE {
            self.edges.pop_front();
        }
        let keep = self.report_from().min(self.sender_floor);
        while self.missing.front().is_some_and(|run| run.end() <= keep) {
            self.missing.pop_front();
        }
    }

    fn report(&self, now: Time, covers: Run, missing: Vec<Run>) -> Report {
        Report {
            number: self.reports,
            covers,
            missing,
            complete: true,
            largest: self.next - 1,
            largest_at: self.clock.read(self.largest_at),
            held: now.since(self.largest_at),
            delivered_packets: self.delivered_packets,
            delivered_bytes: self.delivered_bytes,
            stamps: Vec::new(),
            interval: self.interval,
        }
    }

    fn take_stamps(&mut self) -> Vec<(u64, PeerTime)> {
        for stamp in &mut self.stamps {
            stamp.2 += 1;
        }
        let taken = self.stamps.iter().map(|(number, at, _)| (*number, *at)).collect();
        self.stamps.retain(|(_, _, reports)| *reports < REPEATS);
        taken
    }
}

impl Endpoint for Receiver {
    type Datagram = Datagram;

    fn handle(&mut self, now: Time, _: Address, datagram: Datagram) {
        if let Datagram::Paced(packet) = datagram {
            self.on_packet(now, &packet);
            self.on_timeout(now);
        }
    }

    fn on_timeout(&mut self, now: Time) {
        if self.due.is_some_and(|due| due <= now) {
            self.due = None;
            self.last_report = Some(now);
            self.make_report(now);
        }
    }

    fn transmit(&mut self, _: Time) -> Option<Transmit<Datagram>> {
        let report = self.outbox.pop_front()?;
        Some(Transmit::to_peer(Datagram::Report(Box::new(report))))
    }

    fn next_timeout(&self) -> Option<Time> {
        self.due
    }
}
