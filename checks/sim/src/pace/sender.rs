//! The sender: numbers, paces, and lets a rate-control law decide the rest.

use std::time::Duration;

use limosa_transport::Time;
use limosa_transport::rate::{Allowance, PathReport, RateControl, RateLimits, Sent, Stamp};
use limosa_wire::{PacketNumber, Rate};

use super::digest::Digest;
use super::{Gauge, Numbered, Report, SHORTEST_INTERVAL, STAMPS_PER_REPORT};
use crate::datagram::Datagram;
use crate::network::{Address, Endpoint, Transmit};

/// Shortest time without a report that counts as silence.
const SHORTEST_SILENCE: Duration = Duration::from_millis(100);
/// Shortest time between probes in silence.
const SHORTEST_PROBE: Duration = Duration::from_millis(50);

/// How a paced sender works.
#[derive(Clone, Debug, PartialEq)]
pub struct SenderSettings {
    /// Bytes on the wire of each packet.
    pub packet_size: u32,
    /// Round trip known before the first packet, as from session set-up.
    pub known_rtt: Option<Duration>,
    /// Longest burst at the present pace; never less than two packets unless
    /// zero, which paces each packet by itself.
    pub burst: Duration,
    /// Times from and until which there is nothing to send, ascending.
    pub pauses: Vec<(Time, Time)>,
}

impl Default for SenderSettings {
    fn default() -> Self {
        Self { packet_size: 1500, known_rtt: None, burst: Duration::from_micros(250), pauses: Vec::new() }
    }
}

/// A sender that always has data, but for its pauses.
#[derive(Debug)]
pub struct Sender {
    law: Box<dyn RateControl>,
    settings: SenderSettings,
    digest: Digest,
    allowance: Allowance,
    started: bool,
    min_rtt: Duration,
    /// What is left of the burst under way, in packets.
    burst: u32,
    next_burst: Time,
    next_stamp: Time,
    train: Option<Train>,
    wait: Wait,
    idle: bool,
    newest_report: u64,
    newest_stamp: Option<u64>,
    last_heard: Time,
    silent: bool,
}

/// A train being sent.
#[derive(Debug)]
struct Train {
    first: Option<PacketNumber>,
    left: u32,
}

/// What the sender is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Time(Time),
    Report,
}

impl Sender {
    /// A sender under `law`, which knows its limits and the time of start.
    #[must_use]
    pub fn new(law: Box<dyn RateControl>, settings: SenderSettings) -> Self {
        Self {
            law,
            digest: Digest::default(),
            allowance: Allowance { pace: Rate::default(), in_flight: 0, train: 0 },
            started: false,
            min_rtt: settings.known_rtt.unwrap_or(Duration::MAX),
            settings,
            burst: 0,
            next_burst: Time::ZERO,
            next_stamp: Time::ZERO,
            train: None,
            wait: Wait::Report,
            idle: false,
            newest_report: 0,
            newest_stamp: None,
            last_heard: Time::ZERO,
            silent: false,
        }
    }

    /// What it believes and does now.
    #[must_use]
    pub fn gauge(&self) -> Gauge {
        let statistics = self.law.statistics();
        Gauge {
            pace: self.allowance.pace,
            capacity: statistics.capacity,
            queue: statistics.queue,
            baseline_loss: statistics.baseline_loss,
            in_flight: self.digest.in_flight(),
            phase: statistics.phase,
        }
    }

    /// Packets sent.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.digest.next_number()
    }

    /// Packets declared lost that did not turn up later.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.digest.lost()
    }

    /// Packets declared lost that turned up later.
    #[must_use]
    pub fn spurious(&self) -> u64 {
        self.digest.spurious()
    }

    /// Sets new limits.
    pub fn set_limits(&mut self, now: Time, limits: RateLimits) {
        self.law.set_limits(now, limits);
    }

    fn rtt(&self) -> Duration {
        if self.min_rtt == Duration::MAX { Duration::from_millis(100) } else { self.min_rtt }
    }

    fn interval(&self) -> Duration {
        (self.rtt() / 8).max(SHORTEST_INTERVAL)
    }

    fn on_report(&mut self, now: Time, report: &Report) {
        self.last_heard = now;
        if std::mem::take(&mut self.silent) {
            self.next_burst = now;
        }
        let largest = self.stamp(report.largest, report.largest_at);
        let stamps = self.new_stamps(report);
        self.digest.apply(report);
        let is_news = report.number >= self.newest_report && report.complete;
        let (Some(largest), true) = (largest, is_news) else { return };
        self.newest_report = report.number + 1;
        let rtt = now.since(largest.sent.at).saturating_sub(report.held);
        self.min_rtt = self.min_rtt.min(rtt);
        self.law.on_report(&PathReport {
            now,
            largest,
            delivered_packets: report.delivered_packets,
            delivered_bytes: report.delivered_bytes,
            stamps: &stamps,
            congestion_marks: 0,
            in_flight: self.digest.in_flight(),
            interval: report.interval,
            held: report.held,
        });
    }

    fn stamp(&self, number: u64, received_at: limosa_wire::PeerTime) -> Option<Stamp> {
        let sent = self.digest.sent(number)?;
        Some(Stamp { sent, received_at })
    }

    /// Stamps that no report has brought before.
    fn new_stamps(&mut self, report: &Report) -> Vec<Stamp> {
        if !report.complete {
            return Vec::new();
        }
        let known = self.newest_stamp;
        let news = report.stamps.iter().filter(|(number, _)| known.is_none_or(|known| *number > known));
        let stamps: Vec<Stamp> = news.filter_map(|&(number, at)| self.stamp(number, at)).collect();
        self.newest_stamp = stamps.last().map(|stamp| stamp.sent.number.get()).or(known);
        stamps
    }

    fn silence_after(&self) -> Duration {
        (self.rtt() * 2).max(SHORTEST_SILENCE)
    }

    /// When the present pause ends, if this is one.
    fn pause_end(&self, now: Time) -> Option<Time> {
        let pauses = &self.settings.pauses;
        pauses.iter().find(|(from, until)| (*from..*until).contains(&now)).map(|(_, until)| *until)
    }

    /// Begins the next burst if one is due; false if there is nothing to send
    /// now.
    fn begin_burst(&mut self, now: Time) -> bool {
        if now < self.next_burst {
            self.wait = Wait::Time(self.next_burst);
            return false;
        }
        if self.silent {
            // One probe at a time until something is heard again.
            self.burst = 1;
            self.next_burst = now + self.rtt().max(SHORTEST_PROBE);
            return true;
        }
        self.allowance = self.law.allowance(now);
        let size = u64::from(self.settings.packet_size);
        if self.digest.in_flight() + size > self.allowance.in_flight {
            self.wait = Wait::Report;
            return false;
        }
        self.burst = if self.allowance.train > 0 {
            self.train = Some(Train { first: None, left: self.allowance.train });
            self.allowance.train
        } else {
            self.burst_packets()
        };
        let takes = self.allowance.pace.time_for(u64::from(self.burst) * size).min(Duration::from_secs(3600));
        // A burst that is late by less than its own length is made up for.
        self.next_burst = self.next_burst.max(now - takes) + takes;
        true
    }

    fn burst_packets(&self) -> u32 {
        if self.settings.burst.is_zero() {
            return 1;
        }
        let bytes = self.allowance.pace.bytes_in(self.settings.burst);
        (bytes / u64::from(self.settings.packet_size)).clamp(2, 1 << 16) as u32
    }

    /// Whether the next packet's arrival should be reported: now and then, and
    /// at both ends of a train.
    fn wants_stamp(&mut self, now: Time) -> bool {
        let ends_train = self.train.as_ref().is_some_and(|t| t.first.is_none() || t.left == 1);
        let due = now >= self.next_stamp;
        if due {
            self.next_stamp = now + self.interval() / STAMPS_PER_REPORT;
        }
        ends_train || due
    }

    fn advance_train(&mut self, sent: &Sent) {
        let Some(train) = &mut self.train else { return };
        let first = *train.first.get_or_insert(sent.number);
        train.left -= 1;
        if train.left == 0 {
            self.train = None;
            self.law.on_train_sent(first, sent.number);
        }
    }
}

impl Endpoint for Sender {
    type Datagram = Datagram;

    fn handle(&mut self, now: Time, _: Address, datagram: Datagram) {
        if let Datagram::Report(report) = datagram {
            self.on_report(now, &report);
        }
    }

    fn on_timeout(&mut self, now: Time) {
        if !self.started {
            self.started = true;
            self.last_heard = now;
            self.next_burst = now;
        }
        let waiting = self.digest.in_flight() > 0 && !self.silent;
        if waiting && now >= self.last_heard + self.silence_after() {
            self.silent = true;
            self.burst = 0;
            self.law.on_silence(now);
        }
    }

    fn transmit(&mut self, now: Time) -> Option<Transmit<Datagram>> {
        if let Some(end) = self.pause_end(now) {
            self.idle = true;
            self.wait = Wait::Time(end);
            return None;
        }
        if self.burst == 0 && !self.begin_burst(now) {
            return None;
        }
        self.burst -= 1;
        if self.digest.in_flight() == 0 {
            self.last_heard = self.last_heard.max(now);
        }
        let stamped = self.wants_stamp(now);
        let size = self.settings.packet_size;
        let sent = self.digest.send(now, size);
        self.law.on_sent(sent, std::mem::take(&mut self.idle));
        self.advance_train(&sent);
        self.wait = Wait::Time(self.next_burst);
        Some(Transmit::to_peer(Datagram::Paced(Numbered {
            number: sent.number.get(),
            size,
            stamped,
            floor: self.digest.covered(),
            interval: self.interval(),
        })))
    }

    fn next_timeout(&self) -> Option<Time> {
        let silence = (self.digest.in_flight() > 0 && !self.silent).then(|| self.last_heard + self.silence_after());
        match (self.wait, silence) {
            (Wait::Time(at), Some(silence)) => Some(at.min(silence)),
            (Wait::Time(at), None) => Some(at),
            // The law may allow more as time passes, without a report.
            (Wait::Report, silence) => silence,
        }
    }
}
