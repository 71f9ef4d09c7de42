//! The real transport as an endpoint: a [`Connection`] at either end, with a
//! linear space above it that knows what every byte must be.

mod disk;
mod space;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use limosa_transport::rate::{Policy, RateLimits};
use limosa_transport::testing::NullProtection;
use limosa_transport::{Config, Connection, Event, Payload, Receipt, Statistics, Time};
use limosa_wire::datagram::OVERHEAD;
use limosa_wire::frame::DATA_HEADER;
use limosa_wire::{Code, Offset, SessionId};

pub use disk::Disk;
pub use space::Space;

use crate::datagram::{Datagram, IPV4_HEADER, UDP_HEADER, Udp};
use crate::line::Side;
use crate::network::{Address, Endpoint, Transmit};
use crate::pace::Gauge;
use crate::random::Seed;

/// Room for the datagrams of one burst.
const BUFFER: usize = 1 << 17;
/// The port that addresses carry before a NAT changes them.
const FIRST_PORT: u16 = 33_001;

/// One session to simulate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionPlan {
    /// Bytes to move.
    pub bytes: u64,
    /// Which law the sender is under.
    pub policy: Policy,
    /// Whether bytes are real or lengths only.
    pub payload: Payload,
    /// Which end is the client. The bytes always go from the near end to the
    /// far one: an upload has its client near, a download far.
    pub client: Side,
    /// What is below the receiver.
    pub disk: Disk,
    /// Largest IP packet that is tried.
    pub largest_packet: usize,
}

impl SessionPlan {
    /// An upload of `bytes` under `fair` with real bytes onto an infinitely
    /// fast disk, over paths of Ethernet's packet size.
    #[must_use]
    pub fn upload(bytes: u64) -> Self {
        Self {
            bytes,
            policy: Policy::Fair,
            payload: Payload::Bytes,
            client: Side::Near,
            disk: Disk::default(),
            largest_packet: 1500,
        }
    }

    /// A download, otherwise like [`Self::upload`].
    #[must_use]
    pub fn download(bytes: u64) -> Self {
        Self { client: Side::Far, ..Self::upload(bytes) }
    }

    /// The same with lengths in place of bytes.
    #[must_use]
    pub fn as_lengths(mut self) -> Self {
        self.payload = Payload::Lengths;
        self
    }

    /// Share of the line's bytes that payload can be, in full packets.
    #[must_use]
    pub fn payload_share(&self) -> f64 {
        let overhead = (IPV4_HEADER + UDP_HEADER) as usize + OVERHEAD + DATA_HEADER;
        1.0 - overhead as f64 / self.largest_packet as f64
    }

    /// Both ends of flow number `flow`, at the line's round trip `rtt`.
    #[must_use]
    pub fn ends(&self, flow: u32, now: Time, rtt: std::time::Duration, limits: RateLimits, seed: Seed) -> (End, End) {
        let (client_keys, server_keys) = NullProtection::pair(seed.stream("keys").next_u64());
        let session = SessionId(seed.stream("session").next_u64() as u32);
        let server = socket_address(Address { flow, side: self.client.other(), binding: 0 });
        let client = Config::client(session, server, seed.stream("client").next_u64());
        let server = Config::server(session, seed.stream("server").next_u64());
        let end = |config: Config, keys, side| {
            let config = config
                .with_rtt(rtt)
                .with_rate(self.policy, limits)
                .with_payload(self.payload)
                .with_largest_packet(self.largest_packet);
            End::new(Connection::new(now, config, keys), self, side)
        };
        match self.client {
            Side::Near => (end(client, client_keys, Side::Near), end(server, server_keys, Side::Far)),
            Side::Far => (end(server, server_keys, Side::Near), end(client, client_keys, Side::Far)),
        }
    }
}

/// One end of a session.
#[derive(Debug)]
pub struct End {
    connection: Connection<NullProtection>,
    space: Space,
    /// Bytes to offer when the flow starts; none at the receiving end.
    offers: Option<u64>,
    buffer: Vec<u8>,
    outbox: VecDeque<Transmit<Datagram>>,
    events: Vec<(Time, Event)>,
    dropped: u64,
    finished: Option<Time>,
    sent: Option<Time>,
}

impl End {
    fn new(connection: Connection<NullProtection>, plan: &SessionPlan, side: Side) -> Self {
        let sends = side == Side::Near;
        Self {
            connection,
            space: Space::new(plan.bytes, plan.payload, plan.disk),
            offers: sends.then_some(plan.bytes),
            buffer: vec![0; BUFFER],
            outbox: VecDeque::new(),
            events: Vec::new(),
            dropped: 0,
            finished: None,
            sent: None,
        }
    }

    /// Figures of the connection.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.connection.statistics()
    }

    /// What is above the connection.
    #[must_use]
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// What the connection told, and when.
    #[must_use]
    pub fn events(&self) -> &[(Time, Event)] {
        &self.events
    }

    /// Datagrams that the connection did not take.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// When the last byte had arrived here, or, at the sending end, was known
    /// to have arrived.
    #[must_use]
    pub fn finished(&self) -> Option<Time> {
        self.finished
    }

    /// When the last byte was sent for the first time.
    #[must_use]
    pub fn sent(&self) -> Option<Time> {
        self.sent
    }

    /// The connection, for orders: pause, close, limits.
    pub fn connection_mut(&mut self) -> &mut Connection<NullProtection> {
        &mut self.connection
    }

    /// Ends the session in order.
    pub fn close(&mut self, now: Time, code: Code) {
        self.connection.close(now, code, "");
    }

    /// Sets new rate limits.
    pub fn set_limits(&mut self, now: Time, limits: RateLimits) {
        self.connection.set_limits(now, limits);
    }

    /// What it believes and does now.
    #[must_use]
    pub fn gauge(&self) -> Gauge {
        let Statistics { path, rate, .. } = self.connection.statistics();
        Gauge {
            pace: path.pace,
            capacity: rate.capacity,
            queue: rate.queue,
            baseline_loss: rate.baseline_loss,
            in_flight: path.in_flight,
            phase: rate.phase,
        }
    }

    fn note(&mut self, now: Time) {
        while let Some(event) = self.connection.poll_event() {
            self.events.push((now, event));
        }
        if self.finished.is_none() && self.space.is_complete() {
            self.finished = Some(now);
        }
        if self.sent.is_none() && self.space.is_sent() {
            self.sent = Some(now);
        }
    }

    /// Cuts what the connection made into datagrams.
    fn post(&mut self, transmit: &limosa_transport::Transmit, payload: Payload) {
        let made = self.buffer.get(..transmit.length).unwrap_or_default();
        for bytes in made.chunks(transmit.segment.max(1)) {
            let mut udp = match payload {
                Payload::Bytes => Udp::real(bytes.to_vec()),
                Payload::Lengths => Udp::claiming(bytes.to_vec(), limosa_transport::lengths::claimed(bytes)),
            };
            udp.ecn = transmit.ecn;
            // What goes to an address that no line has is lost at once.
            if let Some(to) = address(transmit.to) {
                self.outbox.push_back(Transmit { to: Some(to), datagram: Datagram::Udp(udp) });
            }
        }
    }
}

impl Endpoint for End {
    type Datagram = Datagram;

    fn handle(&mut self, now: Time, from: Address, datagram: Datagram) {
        let Datagram::Udp(mut udp) = datagram else { return };
        self.space.advance(now);
        let from = socket_address(from);
        let receipt = self.connection.handle_datagram(now, from, udp.ecn, &mut udp.bytes, &mut self.space);
        self.dropped += u64::from(receipt != Receipt::Taken);
        self.note(now);
    }

    fn on_timeout(&mut self, now: Time) {
        self.space.advance(now);
        if let Some(bytes) = self.offers.take() {
            self.connection.offer(Offset(0), bytes);
        }
        self.connection.handle_deadline(now);
        self.note(now);
    }

    fn transmit(&mut self, now: Time) -> Option<Transmit<Datagram>> {
        if self.outbox.is_empty()
            && let Some(transmit) = self.connection.poll_transmit(now, &mut self.space, &mut self.buffer)
        {
            self.post(&transmit, self.space.payload());
            self.note(now);
        }
        self.outbox.pop_front()
    }

    fn next_timeout(&self) -> Option<Time> {
        self.connection.next_deadline()
    }
}

/// The socket address that stands for an address on the line.
pub(crate) fn socket_address(address: Address) -> SocketAddr {
    let [_, high, middle, low] = address.flow.to_be_bytes();
    let network = if address.side == Side::Near { 10 } else { 11 };
    let port = FIRST_PORT.wrapping_add(address.binding as u16);
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(network, high, middle, low)), port)
}

/// The address on the line that a socket address stands for.
pub(crate) fn address(address: SocketAddr) -> Option<Address> {
    let IpAddr::V4(ip) = address.ip() else { return None };
    let [network, high, middle, low] = ip.octets();
    Some(Address {
        flow: u32::from_be_bytes([0, high, middle, low]),
        side: if network == 10 { Side::Near } else { Side::Far },
        binding: u32::from(address.port().wrapping_sub(FIRST_PORT)),
    })
}

#[cfg(test)]
mod tests;
