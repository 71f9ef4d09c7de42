//! The protocol core alone: two connections and a line between them in virtual
//! time, so that what a datagram costs can be counted to the instruction.
//!
//! Nothing is encrypted and nobody reads the payload: what is counted is the
//! bookkeeping of both ends. The line itself allocates nothing once it is warm.

use std::net::SocketAddr;

use limosa_transport::rate::{Policy, RateLimits};
use limosa_transport::{Application, Config, Connection, Delivery, Ecn, Protection, QueueState, Time};
use limosa_wire::datagram::TAG_LEN;
use limosa_wire::frame::StreamId;
use limosa_wire::{Offset, PacketNumber, Rate, SessionId};

use crate::line::{DATAGRAM, DELAY, Way};

const SESSION: SessionId = SessionId(7);
const RATE: u64 = 1_000_000_000;
/// What a driver gives the connection to fill.
const BURST: usize = 65_536;

/// No protection at all.
#[derive(Debug)]
struct Open;

impl Protection for Open {
    fn seal(&mut self, _: PacketNumber, _: &[u8], _: &mut [u8]) {}

    fn open(&mut self, _: PacketNumber, _: &[u8], inside: &mut [u8]) -> Option<usize> {
        inside.len().checked_sub(TAG_LEN)
    }
}

/// Bytes that nobody looks at.
#[derive(Debug, Default)]
struct Space {
    /// Whether the datagram at hand brought any.
    delivered: bool,
    datagrams: u64,
}

impl Application for Space {
    fn fill(&mut self, _: Offset, out: &mut [u8]) -> usize {
        out.len()
    }

    fn acknowledged(&mut self, _: Offset, _: u64) {}

    fn deliver(&mut self, _: Offset, _: &[u8]) -> Delivery {
        self.delivered = true;
        Delivery::Kept
    }

    fn queue(&self) -> QueueState {
        QueueState::default()
    }

    fn stream(&mut self, _: StreamId, _: &[u8]) {}
}

/// One end.
#[derive(Debug)]
struct End {
    connection: Connection<Open>,
    space: Space,
    address: SocketAddr,
}

impl End {
    fn transmit(&mut self, now: Time, way: &mut Way, buffer: &mut [u8]) {
        while let Some(transmit) = self.connection.poll_transmit(now, &mut self.space, buffer) {
            for datagram in buffer[..transmit.length].chunks(transmit.segment) {
                way.send(now, datagram);
            }
        }
        while self.connection.poll_event().is_some() {}
    }

    fn receive(&mut self, now: Time, from: SocketAddr, way: &mut Way) {
        while let Some(mut flying) = way.arrived(now) {
            self.connection.handle_datagram(now, from, Ecn::NotCapable, flying.bytes(), &mut self.space);
            self.space.datagrams += u64::from(std::mem::take(&mut self.space.delivered));
            way.take_back(flying);
        }
        if self.connection.next_deadline().is_some_and(|at| at <= now) {
            self.connection.handle_deadline(now);
        }
    }
}

/// Two ends and the line between them.
#[derive(Debug)]
pub struct Core {
    now: Time,
    client: End,
    server: End,
    up: Way,
    down: Way,
    buffer: Vec<u8>,
}

impl Core {
    /// A session of 1 Gbit/s over 20 ms in which the client sends without end
    /// and each `lost`-th of its datagrams is lost; none for 0.
    #[must_use]
    pub fn new(lost: u64) -> Self {
        let limits = RateLimits { target: None, cap: Rate::from_bits_per_second(RATE) };
        let addresses = [40_000, 33_001].map(|port| SocketAddr::from(([192, 0, 2, 1], port)));
        let end = |config: Config, address| {
            let config = config.with_rate(Policy::Fair, limits).with_rtt(2 * DELAY).with_largest_packet(DATAGRAM);
            End { connection: Connection::new(Time::ZERO, config, Open), space: Space::default(), address }
        };
        let mut client = end(Config::client(SESSION, addresses[1], 1), addresses[0]);
        let server = end(Config::server(SESSION, 2), addresses[1]);
        client.connection.offer(Offset(0), u64::MAX / 4);
        Self { now: Time::ZERO, client, server, up: Way::losing(lost), down: Way::default(), buffer: vec![0; BURST] }
    }

    /// Goes on until so many more datagrams with payload have arrived.
    ///
    /// # Panics
    /// If the session stands still, which it never does.
    pub fn carry(&mut self, datagrams: u64) {
        let goal = self.server.space.datagrams + datagrams;
        while self.server.space.datagrams < goal {
            self.client.transmit(self.now, &mut self.up, &mut self.buffer);
            self.server.transmit(self.now, &mut self.down, &mut self.buffer);
            let arrivals = [&self.up, &self.down].map(Way::next_arrival);
            let deadlines = [&self.client, &self.server].map(|end| end.connection.next_deadline());
            let next = arrivals.into_iter().chain(deadlines).flatten().min();
            self.now = self.now.max(next.expect("something is always to come"));
            self.server.receive(self.now, self.client.address, &mut self.up);
            self.client.receive(self.now, self.server.address, &mut self.down);
        }
    }

    /// Rate of delivery since the session began, in bits of packets per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.server.space.datagrams as f64 * 1500.0 * 8.0 / self.now.since(Time::ZERO).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_runs_at_the_rate_it_should() {
        for lost in [0, 100] {
            let mut core = Core::new(lost);
            core.carry(200_000);
            assert!((0.9..1.01).contains(&(core.rate() / RATE as f64)), "{:.3e}", core.rate());
        }
    }
}
