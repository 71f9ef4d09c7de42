//! What a connection is told when it is made.

use std::net::SocketAddr;
use std::time::Duration;

use limosa_wire::{PacketNumber, Rate, SessionId};

use crate::rate::{Policy, RateLimits};

/// Which end of the session this is. The client sends first; the server learns
/// its address from that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Knows where the server listens.
    Client {
        /// The server's address.
        server: SocketAddr,
    },
    /// Waits for the client's first datagram.
    Server,
}

/// How the bytes of the linear space cross the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Payload {
    /// As themselves.
    #[default]
    Bytes,
    /// As their number only, for simulations of large lines: see
    /// [`crate::lengths`]. Both ends must agree.
    Lengths,
}

/// Settings of one end of a session; see the methods for what may be changed.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) session: SessionId,
    pub(crate) role: Role,
    pub(crate) seed: u64,
    pub(crate) rtt: Option<Duration>,
    pub(crate) policy: Policy,
    pub(crate) limits: RateLimits,
    pub(crate) payload: Payload,
    pub(crate) timeout: Duration,
    pub(crate) largest_packet: usize,
    pub(crate) ecn: bool,
    pub(crate) first_number: PacketNumber,
}

impl Config {
    /// The end that opens the session. `seed` must be unpredictable where the
    /// network is real: address challenges come from it.
    #[must_use]
    pub fn client(session: SessionId, server: SocketAddr, seed: u64) -> Self {
        Self::new(session, Role::Client { server }, seed)
    }

    /// The end that is contacted. `seed` as for [`Self::client`].
    #[must_use]
    pub fn server(session: SessionId, seed: u64) -> Self {
        Self::new(session, Role::Server, seed)
    }

    fn new(session: SessionId, role: Role, seed: u64) -> Self {
        Self {
            session,
            role,
            seed,
            rtt: None,
            policy: Policy::Fair,
            limits: RateLimits { target: None, cap: Rate::UNLIMITED },
            payload: Payload::Bytes,
            timeout: Duration::from_secs(60),
            largest_packet: 9_000,
            ecn: true,
            first_number: PacketNumber::default(),
        }
    }

    /// The round trip seen while the session was set up, for the time before
    /// the first own measurement.
    #[must_use]
    pub fn with_rtt(mut self, rtt: Duration) -> Self {
        self.rtt = Some(rtt.clamp(Duration::from_micros(50), Duration::from_secs(10)));
        self
    }

    /// The law that sets the pace, and its limits. Default: `fair`, none.
    #[must_use]
    pub fn with_rate(mut self, policy: Policy, limits: RateLimits) -> Self {
        self.policy = policy;
        self.limits = limits;
        self
    }

    /// How payload crosses the line. Default: as itself.
    #[must_use]
    pub fn with_payload(mut self, payload: Payload) -> Self {
        self.payload = payload;
        self
    }

    /// How long nothing authentic may be heard before the session ends.
    /// Default: 60 s.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The largest IP packet that is ever tried, in bytes. Default: 9,000.
    #[must_use]
    pub fn with_largest_packet(mut self, bytes: usize) -> Self {
        self.largest_packet = bytes.clamp(limosa_wire::datagram::MIN_PACKET, 9_000);
        self
    }

    /// Leaves datagrams unmarked, for paths that mistreat ECN.
    #[must_use]
    pub fn without_ecn(mut self) -> Self {
        self.ecn = false;
        self
    }

    /// Starts this direction's packet numbers elsewhere than at zero, so that
    /// their end can be tested.
    #[must_use]
    pub fn with_first_number(mut self, number: PacketNumber) -> Self {
        self.first_number = number;
        self
    }
}
