//! Two ends, a virtual clock that jumps to whatever happens next, and a link
//! each way with every fault that links have.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use limosa_transport::lengths;
use limosa_transport::rate::{Policy, RateLimits};
use limosa_transport::testing::NullProtection;
use limosa_transport::{Closed, Config, Connection, Ecn, Event, Receipt, Time};
use limosa_wire::{Offset, Rate, SessionId};

use crate::application::TestApplication;

pub(crate) const SESSION: SessionId = SessionId(0x00c0_ffee);

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) fn at(ms: u64) -> Time {
    Time::from_micros(ms * 1000)
}

pub(crate) fn client_address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 50_000))
}

pub(crate) fn moved_address() -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 9], 61_000))
}

pub(crate) fn server_address() -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 7], 33_001))
}

/// One direction of the line. Everything is off by default but the delay.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) delay: Duration,
    /// Bottleneck, bits per second; none for an infinite line.
    pub(crate) rate: Option<u64>,
    /// Longest queue in front of the bottleneck.
    pub(crate) buffer: Duration,
    pub(crate) loss: f64,
    pub(crate) reorder: f64,
    pub(crate) reorder_by: Duration,
    pub(crate) duplicate: f64,
    pub(crate) corrupt: f64,
    pub(crate) mtu: usize,
    pub(crate) dark: Range<Time>,
    pub(crate) carried: u64,
    pub(crate) dropped: u64,
    free_at: Time,
}

impl Link {
    pub(crate) fn new(delay: Duration) -> Self {
        Self {
            delay,
            rate: None,
            buffer: ms(100),
            loss: 0.0,
            reorder: 0.0,
            reorder_by: ms(1),
            duplicate: 0.0,
            corrupt: 0.0,
            mtu: 1500,
            dark: Time::ZERO..Time::ZERO,
            carried: 0,
            dropped: 0,
            free_at: Time::ZERO,
        }
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flying {
    arrives: Time,
    order: u64,
    to_server: bool,
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

/// One end with its application and what it has told.
pub(crate) struct End {
    pub(crate) connection: Connection<NullProtection>,
    pub(crate) app: TestApplication,
    pub(crate) events: Vec<Event>,
    address: SocketAddr,
    /// Datagrams sent, with when and where to.
    pub(crate) log: Vec<(Time, SocketAddr, usize)>,
    /// A killed process: hears and says nothing.
    pub(crate) dead: bool,
}

impl End {
    fn new(connection: Connection<NullProtection>, address: SocketAddr) -> Self {
        let app = TestApplication::default();
        Self { connection, app, events: Vec::new(), address, log: Vec::new(), dead: false }
    }

    pub(crate) fn closed(&self) -> Option<&Closed> {
        self.events.iter().find_map(|event| if let Event::Closed(closed) = event { Some(closed) } else { None })
    }

    pub(crate) fn has(&self, wanted: impl Fn(&Event) -> bool) -> bool {
        self.events.iter().any(wanted)
    }
}

/// The two ends and the line between them.
pub(crate) struct Pair {
    pub(crate) now: Time,
    pub(crate) client: End,
    pub(crate) server: End,
    pub(crate) up: Link,
    pub(crate) down: Link,
    /// Every datagram that reached an end, kept if wanted.
    pub(crate) recorded: Option<Vec<(bool, SocketAddr, Vec<u8>)>>,
    flying: BinaryHeap<Reverse<Flying>>,
    order: u64,
    random: u64,
    buffer: Vec<u8>,
    /// Datagrams stand for larger ones.
    pub(crate) lengths: bool,
}

pub(crate) fn fixed(megabits: u64) -> (Policy, RateLimits) {
    let target = Some(Rate::from_bits_per_second(megabits * 1_000_000));
    (Policy::Fixed, RateLimits { target, cap: Rate::UNLIMITED })
}

pub(crate) fn fair() -> (Policy, RateLimits) {
    (Policy::Fair, RateLimits { target: None, cap: Rate::UNLIMITED })
}

impl Pair {
    /// A line of the given round trip; both ends follow `rate`.
    pub(crate) fn new(rtt: Duration, rate: (Policy, RateLimits)) -> Self {
        Self::with(rtt, rate, |config| config)
    }

    pub(crate) fn with(
        rtt: Duration,
        (policy, limits): (Policy, RateLimits),
        adjust: impl Fn(Config) -> Config,
    ) -> Self {
        let (a, b) = NullProtection::pair(42);
        let now = at(1);
        let adjust = |config: Config| adjust(config.with_rate(policy, limits).with_rtt(rtt));
        let client = Connection::new(now, adjust(Config::client(SESSION, server_address(), 1)), a);
        let server = Connection::new(now, adjust(Config::server(SESSION, 2)), b);
        Self {
            now,
            client: End::new(client, client_address()),
            server: End::new(server, server_address()),
            up: Link::new(rtt / 2),
            down: Link::new(rtt / 2),
            recorded: None,
            flying: BinaryHeap::new(),
            order: 0,
            random: 0x1234_5678_9abc_def0,
            buffer: vec![0; 65_536],
            lengths: false,
        }
    }

    pub(crate) fn seed(&mut self, seed: u64) {
        self.random ^= seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    }

    fn chance(&mut self, probability: f64) -> bool {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / ((1u64 << 53) as f64) < probability
    }

    /// The client offers so many bytes.
    pub(crate) fn upload(&mut self, bytes: u64) {
        self.client.connection.offer(Offset(0), bytes);
    }

    /// The client's address changes, as behind a NAT that forgot it.
    pub(crate) fn rebind(&mut self) {
        self.client.address = moved_address();
    }

    /// A datagram from anywhere appears at an end.
    pub(crate) fn inject(&mut self, to_server: bool, from: SocketAddr, bytes: &mut [u8]) -> Receipt {
        let end = if to_server { &mut self.server } else { &mut self.client };
        end.connection.handle_datagram(self.now, from, Ecn::NotCapable, bytes, &mut end.app)
    }

    /// Runs until `done` or `limit`; whether it was done.
    pub(crate) fn run_until(&mut self, limit: Time, done: impl Fn(&Self) -> bool) -> bool {
        let mut idle = 0;
        loop {
            self.pump();
            if done(self) {
                return true;
            }
            let next = self.next_wakeup();
            if next >= limit {
                self.now = limit;
                return done(self);
            }
            idle = if next <= self.now { idle + 1 } else { 0 };
            assert!(idle < 1000, "spins at {:?}: {:?} {:?}", self.now, self.client.connection, self.server.connection);
            self.now = self.now.max(next);
            self.arrive();
            for end in [&mut self.client, &mut self.server] {
                if !end.dead && end.connection.next_deadline().is_some_and(|at| at <= self.now) {
                    end.connection.handle_deadline(self.now);
                }
            }
        }
    }

    /// Runs for some time.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        self.run_until(until, |_| false);
    }

    /// Runs until all the client offered has crossed; fails after `limit`.
    /// Returns how long it took.
    #[track_caller]
    pub(crate) fn run_to_end(&mut self, limit: Duration) -> Duration {
        let start = self.now;
        let done = self.run_until(start + limit, |pair| pair.client.connection.unacknowledged() == 0);
        assert!(
            done,
            "{} bytes left after {limit:?}: {:#?}",
            self.client.connection.unacknowledged(),
            self.client.connection.statistics()
        );
        self.now.since(start)
    }

    fn next_wakeup(&self) -> Time {
        let deadline = |end: &End| if end.dead { None } else { end.connection.next_deadline() };
        let arrival = self.flying.peek().map(|Reverse(flying)| flying.arrives);
        let app = [&self.client, &self.server].into_iter().filter_map(|end| end.app.next_change(self.now)).min();
        [deadline(&self.client), deadline(&self.server), arrival, app]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(Time::from_nanos(u64::MAX))
    }

    fn arrive(&mut self) {
        while self.flying.peek().is_some_and(|Reverse(flying)| flying.arrives <= self.now) {
            let Some(Reverse(mut flying)) = self.flying.pop() else { break };
            if let Some(recorded) = &mut self.recorded {
                recorded.push((flying.to_server, flying.from, flying.bytes.clone()));
            }
            let end = if flying.to_server { &mut self.server } else { &mut self.client };
            if end.dead || flying.to != end.address {
                continue;
            }
            end.app.now = self.now;
            end.connection.handle_datagram(self.now, flying.from, Ecn::Capable, &mut flying.bytes, &mut end.app);
        }
    }

    fn pump(&mut self) {
        for to_server in [true, false] {
            let mut sent = Vec::new();
            let end = if to_server { &mut self.client } else { &mut self.server };
            end.app.now = self.now;
            while !end.dead
                && let Some(transmit) = end.connection.poll_transmit(self.now, &mut end.app, &mut self.buffer)
            {
                let burst = self.buffer[..transmit.length].chunks(transmit.segment);
                for datagram in burst {
                    end.log.push((self.now, transmit.to, datagram.len()));
                    sent.push((end.address, transmit.to, datagram.to_vec()));
                }
            }
            end.events.extend(std::iter::from_fn(|| end.connection.poll_event()));
            for (from, to, bytes) in sent {
                self.carry(to_server, from, to, bytes);
            }
        }
    }

    fn carry(&mut self, to_server: bool, from: SocketAddr, to: SocketAddr, mut bytes: Vec<u8>) {
        let size = if self.lengths { lengths::claimed(&bytes) } else { bytes.len() } + 28;
        let now = self.now;
        let link = if to_server { &mut self.up } else { &mut self.down };
        let start = link.free_at.max(now);
        let (delay, reorder_by) = (link.delay, link.reorder_by);
        let full = link.rate.is_some() && start.since(now) > link.buffer;
        if size > link.mtu || link.dark.contains(&now) || full {
            link.dropped += 1;
            return;
        }
        let time = link.rate.map_or(Duration::ZERO, |rate| Rate::from_bits_per_second(rate).time_for(size as u64));
        link.free_at = start + time;
        link.carried += size as u64;
        let (loss, reorder, duplicate, corrupt) = (link.loss, link.reorder, link.duplicate, link.corrupt);
        let mut arrives = start + time + delay;
        if self.chance(loss) {
            return;
        }
        if self.chance(reorder) {
            arrives = arrives + reorder_by;
        }
        if self.chance(duplicate) {
            self.fly(Flying { arrives: arrives + ms(1), order: 0, to_server, from, to, bytes: bytes.clone() });
        }
        if self.chance(corrupt) {
            let index = (self.random % bytes.len() as u64) as usize;
            bytes[index] ^= 1 << (self.random >> 32 & 7);
        }
        self.fly(Flying { arrives, order: 0, to_server, from, to, bytes });
    }

    fn fly(&mut self, mut flying: Flying) {
        self.order += 1;
        flying.order = self.order;
        self.flying.push(Reverse(flying));
    }
}
