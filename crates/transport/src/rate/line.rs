//! A bottleneck in a hundred lines, for tests of laws as a whole: paced
//! senders, one drop-tail queue, random loss behind it, reports by time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use limosa_wire::{PacketNumber, PeerTime, Rate};

use super::{PathReport, RateControl, Sent, Stamp};
use crate::Time;

const PACKET: u32 = 1500;

/// The line; fields may be changed while it runs.
pub(super) struct Line {
    pub(super) rate: Rate,
    pub(super) buffer: Duration,
    pub(super) loss: f64,
    /// Delay added to whole stretches of 5 ms, at most.
    pub(super) jitter: Duration,
    free_at: Time,
    random: u64,
    now: Time,
    flows: Vec<Flow>,
    events: BinaryHeap<Reverse<(Time, usize, Event)>>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Send,
    Report,
}

/// One sender and its receiver.
pub(super) struct Flow {
    pub(super) law: Box<dyn RateControl>,
    pub(super) rtt: Duration,
    pub(super) arrived_packets: u64,
    pub(super) arrived_bytes: u64,
    pub(super) dropped: u64,
    pub(super) queues: Vec<f64>,
    /// Bytes per second that the application offers, if it is the limit.
    pub(super) source: Option<f64>,
    next: u64,
    sent_bytes: u64,
    acknowledged: u64,
    on_the_way: VecDeque<(Time, Sent, bool)>,
    reports: VecDeque<(Time, Stamp, u64, u64, Vec<Stamp>)>,
    stamps: Vec<Stamp>,
    largest: Option<Stamp>,
    next_mark: Time,
}

impl Line {
    pub(super) fn new(megabits: u64, buffer_ms: u64, loss: f64) -> Self {
        Self {
            rate: Rate::from_bits_per_second(megabits * 1_000_000),
            buffer: Duration::from_millis(buffer_ms),
            loss,
            jitter: Duration::ZERO,
            free_at: Time::ZERO,
            random: 0x9E37_79B9_7F4A_7C15,
            now: Time::ZERO,
            flows: Vec::new(),
            events: BinaryHeap::new(),
        }
    }

    pub(super) fn now(&self) -> Time {
        self.now
    }

    pub(super) fn flow(&mut self, i: usize) -> &mut Flow {
        &mut self.flows[i]
    }

    pub(super) fn add(&mut self, law: Box<dyn RateControl>, rtt_ms: u64) -> usize {
        self.flows.push(Flow {
            law,
            rtt: Duration::from_millis(rtt_ms),
            arrived_packets: 0,
            arrived_bytes: 0,
            dropped: 0,
            queues: Vec::new(),
            source: None,
            next: 0,
            sent_bytes: 0,
            acknowledged: 0,
            on_the_way: VecDeque::new(),
            reports: VecDeque::new(),
            stamps: Vec::new(),
            largest: None,
            next_mark: Time::ZERO,
        });
        let flow = self.flows.len() - 1;
        self.events.push(Reverse((self.now, flow, Event::Send)));
        self.events.push(Reverse((self.now, flow, Event::Report)));
        flow
    }

    /// Runs for `seconds`; bytes that arrived of each flow meanwhile.
    pub(super) fn run(&mut self, seconds: f64) -> Vec<u64> {
        let end = self.now + Duration::from_secs_f64(seconds);
        let before: Vec<u64> = self.flows.iter().map(|f| f.arrived_bytes).collect();
        while let Some(Reverse((at, flow, event))) = self.events.pop() {
            if at > end {
                self.events.push(Reverse((at, flow, event)));
                break;
            }
            self.now = at;
            let next = match event {
                Event::Send => self.send(flow),
                Event::Report => self.report(flow),
            };
            self.events.push(Reverse((next, flow, event)));
        }
        self.now = end;
        let arrived = self.flows.iter().zip(before);
        arrived.map(|(f, before)| f.arrived_bytes - before).collect()
    }

    /// Share of the possible that flow 0 gets over `seconds`.
    pub(super) fn use_over(&mut self, seconds: f64) -> f64 {
        let possible = self.rate.bytes_per_second() * seconds * (1.0 - self.loss);
        self.run(seconds)[0] as f64 / possible
    }

    fn send(&mut self, flow: usize) -> Time {
        self.deliver_reports(flow);
        let allowance = self.flows[flow].law.allowance(self.now);
        let f = &self.flows[flow];
        if f.source == Some(0.0) {
            return self.now + Duration::from_millis(2);
        }
        let in_flight = f.sent_bytes - f.acknowledged;
        if in_flight > allowance.in_flight {
            return self.now + Duration::from_micros(200);
        }
        let (train, offered) = (allowance.train, f.source);
        let pace = allowance.pace.bytes_per_second();
        let limited = offered.is_some_and(|o| o < pace);
        let pace = pace.min(offered.unwrap_or(f64::MAX));
        let count = train.max(((pace * 50e-6) as u32 / PACKET).max(1));
        let first = f.next;
        for i in 0..count {
            let mark = train > 0 && (i == 0 || i + 1 == train);
            self.send_one(flow, mark, limited);
        }
        if train > 0 {
            let number = |n| PacketNumber::new(n).expect("small");
            let last = number(first + u64::from(count) - 1);
            self.flows[flow].law.on_train_sent(number(first), last);
        }
        self.now + Duration::from_secs_f64(f64::from(count * PACKET) / pace)
    }

    fn send_one(&mut self, flow: usize, mark: bool, limited: bool) {
        let (now, random) = (self.now, self.random());
        let waiting = self.free_at.since(now);
        let dropped = waiting > self.buffer;
        let f = &mut self.flows[flow];
        f.sent_bytes += u64::from(PACKET);
        let sent =
            Sent { number: PacketNumber::new(f.next).expect("small"), at: now, sent_bytes: f.sent_bytes, size: PACKET };
        f.next += 1;
        f.law.on_sent(sent, limited);
        if dropped {
            f.dropped += 1;
            return;
        }
        let start = self.free_at.max(now);
        self.free_at = start + self.rate.time_for(u64::from(PACKET));
        let mark = mark || now >= f.next_mark;
        if mark {
            f.next_mark = now + f.interval() / 16;
        }
        if random >= self.loss {
            let stretch = now.micros() / 5_000;
            let jitter =
                self.jitter.mul_f64((stretch.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f64 / (1u64 << 24) as f64);
            f.on_the_way.push_back((self.free_at + f.rtt / 2 + jitter, sent, mark));
        }
    }

    fn report(&mut self, flow: usize) -> Time {
        self.deliver_reports(flow);
        let now = self.now;
        let f = &mut self.flows[flow];
        let mut fresh = false;
        while f.on_the_way.front().is_some_and(|p| p.0 <= now) {
            let Some((at, sent, marked)) = f.on_the_way.pop_front() else {
                break;
            };
            let stamp = Stamp { sent, received_at: PeerTime(at.micros() + 77_000_000) };
            f.arrived_packets += 1;
            f.arrived_bytes += u64::from(sent.size);
            f.largest = Some(stamp);
            fresh = true;
            if marked {
                f.stamps.push(stamp);
            }
        }
        if let (Some(largest), true) = (f.largest, fresh) {
            let stamps = std::mem::take(&mut f.stamps);
            let (packets, bytes) = (f.arrived_packets, f.arrived_bytes);
            let due = now + f.rtt / 2;
            f.reports.push_back((due, largest, packets, bytes, stamps));
        }
        now + f.interval()
    }

    fn deliver_reports(&mut self, flow: usize) {
        let now = self.now;
        let f = &mut self.flows[flow];
        while f.reports.front().is_some_and(|r| r.0 <= now) {
            let Some((due, largest, packets, bytes, stamps)) = f.reports.pop_front() else {
                break;
            };
            f.acknowledged = largest.sent.sent_bytes;
            let held = largest.received_at.0 - 77_000_000;
            let held = (due - f.rtt / 2).since(Time::from_micros(held));
            f.law.on_report(&PathReport {
                now: due,
                largest,
                delivered_packets: packets,
                delivered_bytes: bytes,
                stamps: &stamps,
                congestion_marks: 0,
                in_flight: f.sent_bytes - f.acknowledged,
                interval: f.interval(),
                held,
            });
            f.queues.push(f.law.statistics().queue.as_secs_f64());
        }
    }

    fn random(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1u64 << 53) as f64
    }
}

impl Flow {
    fn interval(&self) -> Duration {
        (self.rtt / 8).max(Duration::from_millis(5))
    }

    /// Median of the queue as the law saw it, in milliseconds.
    pub(super) fn median_queue_ms(&mut self) -> f64 {
        self.queues.sort_by(f64::total_cmp);
        let middle = self.queues.get(self.queues.len() / 2);
        let median = middle.copied().unwrap_or(0.0) * 1e3;
        self.queues.clear();
        median
    }
}
