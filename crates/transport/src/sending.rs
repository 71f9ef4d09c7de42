//! The sending half of a connection: what leaves, and what becomes of it.

mod digest;
mod fill;

use std::collections::VecDeque;
use std::time::Duration;

use limosa_ranges::RangeSet;
use limosa_wire::frame::StreamId;
use limosa_wire::{PacketNumber, PeerTime, Rate};

use crate::Time;
use crate::brake::Brake;
use crate::config::Config;
use crate::loss::LossDetector;
use crate::mtu::Mtu;
use crate::outgoing::Outgoing;
use crate::pacer::Pacer;
use crate::packet::Packet;
use crate::rate::{self, Policy, RateControl, RateLimits, Sent, Stamp};
use crate::rtt::Rtt;
use crate::sent::{Record, SentRing};
use crate::statistics::SentCounts;
use crate::streams;
use crate::tail::Tail;
use digest::Heard;

/// Bits of a packet number below its key epoch.
const EPOCH_BITS: u32 = 22;
/// Epochs that a sender may be ahead of the newest report.
const EPOCHS_AHEAD: u64 = 8;
/// Unsettled numbers at most: what the largest replay window holds, and some
/// room for those that travel.
const MAX_SPAN: u64 = (1 << 22) - (1 << 17);
/// Numbers kept back for saying the end.
const RESERVED: u64 = 64;
/// Stamped datagrams remembered.
const STAMPED: usize = 1024;
/// Shortest distance of two looks at a full receiver.
const LOOK: Duration = Duration::from_millis(50);

/// Why the last attempt to send bulk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Held {
    /// Nothing to send, or not in memory.
    #[default]
    Nothing,
    /// The pace.
    Pace,
    /// What may be in flight, or be unsettled.
    Window,
}

/// Datagrams sent back to back so that their spacing on arrival tells of the
/// bottleneck.
#[derive(Clone, Copy, Debug)]
struct Train {
    first: u64,
    left: u32,
}

/// State of the sending half.
#[derive(Debug)]
pub(crate) struct Sending {
    pub(crate) ring: SentRing,
    pub(crate) rtt: Rtt,
    pub(crate) space: Outgoing,
    pub(crate) streams: [streams::Outgoing; StreamId::ALL.len()],
    pub(crate) mtu: Mtu,
    pub(crate) brake: Brake,
    pub(crate) counts: SentCounts,
    pub(crate) held: Held,
    pub(crate) paused: bool,
    loss: LossDetector,
    law: Box<dyn RateControl>,
    limits: RateLimits,
    pacer: Pacer,
    /// The pace as last allowed, all limits counted.
    pace: Rate,
    tail: Tail,
    train: Option<Train>,
    sent_bytes: u64,
    /// Probes of sizes that did not pass.
    too_large: u64,
    /// Datagrams that the peer was asked to stamp.
    stamped: VecDeque<Sent>,
    next_stamp: Time,
    next_floor: Time,
    /// Until when the path counts as new; none until it is confirmed.
    new_until: Option<Time>,
    next_look: Time,
    /// Highest number that the peer reported.
    reported: Option<u64>,
    /// The newest state of the peer was reported at this time of its clock.
    state_at: PeerTime,
    /// A report read and not yet shown to the law.
    heard: Option<Heard>,
    /// Ranges shed according to the datagram at hand.
    shed: RangeSet,
    found: Vec<u64>,
    stamps: Vec<Stamp>,
    resized: bool,
}

impl Sending {
    pub(crate) fn new(now: Time, config: &Config) -> Self {
        Self {
            ring: SentRing::new(config.first_number),
            rtt: Rtt::new(config.rtt),
            space: Outgoing::default(),
            streams: StreamId::ALL.map(streams::Outgoing::new),
            mtu: Mtu::new(now, config.largest_packet),
            brake: Brake::default(),
            counts: SentCounts::default(),
            held: Held::default(),
            paused: false,
            loss: LossDetector::default(),
            law: rate::law(config.policy, now, config.rtt, config.limits),
            limits: config.limits,
            pacer: Pacer::default(),
            pace: Rate::default(),
            tail: Tail::new(now),
            train: None,
            sent_bytes: 0,
            too_large: 0,
            stamped: VecDeque::with_capacity(STAMPED),
            next_stamp: now,
            next_floor: now,
            new_until: None,
            next_look: now,
            reported: None,
            state_at: PeerTime(0),
            heard: None,
            shed: RangeSet::default(),
            found: Vec::new(),
            stamps: Vec::new(),
            resized: false,
        }
    }

    /// A path was confirmed, the first or another.
    pub(crate) fn on_path(&mut self, now: Time, rtt: Option<Duration>, moved: bool, largest_packet: usize) {
        if moved {
            self.rtt = Rtt::new(rtt);
            self.mtu = Mtu::new(now, largest_packet);
            self.loss = LossDetector::default();
        }
        if let Some(rtt) = rtt {
            self.rtt.sample(rtt);
        }
        self.law.on_path(now, Some(self.rtt.base()));
        self.new_until = Some(now + self.rtt.base() / 8);
        self.pacer.reset(now);
        self.train = None;
    }

    /// Nothing is heard: the law is told.
    pub(crate) fn on_silence(&mut self, now: Time) {
        self.law.on_silence(now);
        self.pacer.idle(now);
    }

    pub(crate) fn set_limits(&mut self, now: Time, limits: RateLimits) {
        self.limits = limits;
        self.law.set_limits(now, limits);
    }

    pub(crate) fn set_policy(&mut self, now: Time, policy: Policy) {
        if !self.law.follow(policy) {
            self.law = rate::law(policy, now, Some(self.rtt.base()), self.limits);
            self.pacer.reset(now);
        }
    }

    /// The number of the next datagram; none when they are used up.
    pub(crate) fn next_number(&self) -> Option<PacketNumber> {
        PacketNumber::new(self.ring.next())
    }

    /// Whether the numbers are used up but for a few to say so.
    pub(crate) fn is_used_up(&self) -> bool {
        self.ring.next() + RESERVED > PacketNumber::MAX.get()
    }

    /// Whether another number may be used: neither too far ahead of what the
    /// peer has keys for, nor of what is settled.
    fn admits_number(&self) -> bool {
        let newest = self.reported.unwrap_or(self.ring.floor());
        self.ring.next() >> EPOCH_BITS <= (newest >> EPOCH_BITS) + EPOCHS_AHEAD
            && self.ring.span() < MAX_SPAN
            && !self.is_used_up()
    }

    /// Whether the next datagram is to be stamped by the peer.
    pub(crate) fn wants_stamp(&self, now: Time) -> bool {
        match self.train {
            Some(train) => train.left == 1 || train.first == self.ring.next(),
            None => self.next_stamp <= now,
        }
    }

    /// Notes a datagram that leaves now, `size` bytes as an IP packet.
    pub(crate) fn on_sent(&mut self, now: Time, packet: Packet, size: usize, stamp: bool) {
        let number = self.ring.next();
        // A size that may not pass says little of the bottleneck.
        let passes = size.min(self.mtu.current());
        self.sent_bytes += passes as u64;
        self.counts.datagrams += 1;
        self.counts.bytes += size as u64;
        let size = u16::try_from(size).unwrap_or(u16::MAX);
        let record = Record { at: now, sent_bytes: self.sent_bytes, contents: packet.contents, size, repeated: false };
        let summary = Sent { size: u32::try_from(passes).unwrap_or(u32::MAX), ..record.summary(number) };
        self.law.on_sent(summary, self.held != Held::Pace);
        if stamp {
            self.next_stamp = now + self.rtt.report_interval() / 4;
            if self.stamped.len() == STAMPED {
                self.stamped.pop_front();
            }
            self.stamped.push_back(summary);
        }
        self.ring.push(record, packet.asks);
    }

    /// The floor to state, if it is time to.
    fn floor_due(&mut self, now: Time) -> Option<(PacketNumber, u64)> {
        if now < self.next_floor {
            return None;
        }
        self.next_floor = now + (self.rtt.base() / 6).max(Duration::from_millis(1));
        let micros = u64::try_from(self.wanted_interval(now).as_micros()).unwrap_or(u64::MAX);
        Some((PacketNumber::new(self.ring.floor())?, micros))
    }

    /// How often the peer should report at `now`: sooner while a given rate has
    /// just been begun with, for more is sent of it than the path may carry.
    fn wanted_interval(&self, now: Time) -> Duration {
        let new = self.new_until.is_none_or(|until| now < until);
        if new && self.limits.target.is_some() { self.rtt.first_report_interval() } else { self.rtt.report_interval() }
    }

    /// Whether to look, by a probe, at a receiver that was full.
    pub(crate) fn take_look(&mut self, now: Time) -> bool {
        let due = self.look_at().is_some_and(|at| at <= now);
        if due {
            self.next_look = now + LOOK.max(self.rtt.estimate());
        }
        due
    }

    fn look_at(&self) -> Option<Time> {
        (self.brake.is_shut() && !self.paused && self.space.waiting() > 0).then_some(self.next_look)
    }

    /// Whether anything of the streams waits.
    fn streams_wait(&self) -> bool {
        self.streams.iter().any(streams::Outgoing::is_waiting)
    }

    /// Whether datagrams are being lost.
    fn is_lossy(&self) -> bool {
        self.loss.is_lossy()
    }

    /// How long after the first a second copy of layout bytes leaves, while
    /// datagrams are being lost.
    fn echo_after(&self) -> Option<Duration> {
        self.is_lossy().then(|| (self.rtt.base() / 8).clamp(Duration::from_millis(1), Duration::from_millis(20)))
    }

    /// Deadlines of bulk: pace, tail, second copies, a full receiver.
    pub(crate) fn deadlines(&self) -> [Option<Time>; 4] {
        let tail = || self.tail.deadline(&self.ring, self.rtt.verdict_after());
        let echo = || self.streams.iter().filter_map(|stream| stream.echo_due(self.echo_after()?)).min();
        let idle = self.held == Held::Nothing;
        [
            self.pacer.deadline().filter(|_| self.held == Held::Pace),
            idle.then(tail).flatten(),
            idle.then(echo).flatten(),
            self.look_at(),
        ]
    }

    /// Whether the packet size in use changed since this was last asked.
    pub(crate) fn take_resized(&mut self) -> bool {
        std::mem::take(&mut self.resized)
    }

    pub(crate) fn loss_rate(&self) -> f64 {
        self.loss.rate()
    }

    pub(crate) fn pace(&self) -> Rate {
        self.pace
    }

    pub(crate) fn rate_statistics(&self) -> rate::RateStatistics {
        self.law.statistics()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sent::Contents;
    use limosa_wire::SessionId;

    fn packet() -> Packet {
        Packet { length: 100, claimed: 100, contents: Contents::default(), asks: false }
    }

    #[test]
    fn sizes_that_are_only_tried_do_not_make_the_first_flight_larger() {
        let pace = |probed: usize| {
            let mut sending = Sending::new(Time::ZERO, &Config::server(SessionId(1), 0));
            sending.on_sent(Time::ZERO, packet(), probed, false);
            sending.on_path(Time::from_micros(1), Some(Duration::from_millis(10)), false, 9_000);
            sending.begin_burst(Time::from_micros(1)).pace
        };
        assert_eq!(pace(9_000), pace(limosa_wire::datagram::MIN_PACKET));
    }

    #[test]
    fn reports_of_the_beginning_of_a_given_rate_are_asked_for_sooner() {
        let target = Some("1gbit".parse().unwrap());
        let limits = RateLimits { target, cap: Rate::UNLIMITED };
        let mut sending = Sending::new(Time::ZERO, &Config { limits, ..Config::server(SessionId(1), 0) });
        let mut asked = |millis: u64| sending.floor_due(Time::from_micros(millis * 1_000)).map(|(_, micros)| micros);
        assert_eq!(asked(0), Some(5_000));
        sending.on_path(Time::from_micros(1), Some(Duration::from_millis(320)), false, 1_500);
        let mut asked = |millis: u64| sending.floor_due(Time::from_micros(millis * 1_000)).map(|(_, micros)| micros);
        assert_eq!([asked(17), asked(18), asked(71)], [Some(10_000), None, Some(40_000)]);
    }

    #[test]
    fn no_number_is_used_that_the_peer_has_no_key_for() {
        let mut sending = Sending::new(Time::ZERO, &Config::server(SessionId(1), 0));
        sending.reported = Some(5);
        while sending.admits_number() {
            sending.on_sent(Time::ZERO, packet(), 128, false);
        }
        assert_eq!(sending.ring.next() >> EPOCH_BITS, 9, "the ninth epoch is one too far");
        sending.reported = Some(1 << EPOCH_BITS);
        assert!(sending.admits_number());
    }

    #[test]
    fn no_number_is_used_that_the_widest_replay_window_would_refuse() {
        let mut sending = Sending::new(Time::ZERO, &Config::server(SessionId(1), 0));
        while sending.admits_number() {
            let number = sending.ring.next();
            sending.on_sent(Time::ZERO, Packet { asks: number == 0, ..packet() }, 128, false);
        }
        assert_eq!(sending.ring.span(), MAX_SPAN);
    }
}
