//! One end of one session, both directions.
//!
//! A driver owns a connection and does four things, in any order and as often
//! as it likes: hands in datagrams, asks for datagrams to send, calls when a
//! deadline has passed, and collects events.
//!
//! ```text
//! loop {
//!     wait for a datagram, for news of the application, or for next_deadline()
//!     handle_datagram(..) for each that came; handle_deadline(now)
//!     while let Some(t) = poll_transmit(..) { send it }
//!     while let Some(e) = poll_event() { .. }
//! }
//! ```

use limosa_wire::frame::StreamId;
use limosa_wire::{Code, Offset};
use std::net::SocketAddr;

use crate::config::Config;
use crate::event::{DropReason, Ecn, Event, Receipt, Transmit};
use crate::protection::Protection;
use crate::rate::{Policy, RateLimits};
use crate::statistics::Statistics;
use crate::{Application, Time};

/// One end of one session; see the [module](self) for how it is driven.
#[derive(Debug)]
pub struct Connection<P> {
    _config: Config,
    _protection: P,
}

#[allow(missing_docs, unused_variables, clippy::all)]
impl<P: Protection> Connection<P> {
    /// A connection that begins now.
    pub fn new(now: Time, config: Config, protection: P) -> Self {
        Self { _config: config, _protection: protection }
    }
    /// Takes one datagram, uncovering it in place.
    pub fn handle_datagram(
        &mut self,
        now: Time,
        from: SocketAddr,
        ecn: Ecn,
        datagram: &mut [u8],
        app: &mut impl Application,
    ) -> Receipt {
        Receipt::Dropped(DropReason::Closed)
    }
    /// Makes datagrams to send now: equal in size but for the last, sealed,
    /// back to back at the front of `buffer`.
    pub fn poll_transmit(&mut self, now: Time, app: &mut impl Application, buffer: &mut [u8]) -> Option<Transmit> {
        None
    }
    /// When to call [`Self::handle_deadline`] (and then
    /// [`Self::poll_transmit`]) if nothing else happens before.
    pub fn next_deadline(&self) -> Option<Time> {
        None
    }
    /// Does what is due.
    pub fn handle_deadline(&mut self, now: Time) {}
    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }
    /// Bytes of the linear space may leave from now on.
    pub fn offer(&mut self, offset: Offset, length: u64) {}
    /// Bytes of the linear space need not cross any more.
    pub fn withdraw(&mut self, offset: Offset, length: u64) {}
    /// Appends to a stream as many bytes as there is room for.
    pub fn write_stream(&mut self, stream: StreamId, bytes: &[u8]) -> usize {
        0
    }
    /// Bytes that [`Self::write_stream`] would take now.
    pub fn stream_room(&self, stream: StreamId) -> usize {
        0
    }
    /// Bytes of a stream that the peer has, from its start.
    pub fn stream_acknowledged(&self, stream: StreamId) -> u64 {
        0
    }
    /// Bytes offered that wait to be sent (again).
    pub fn unsent(&self) -> u64 {
        0
    }
    /// Bytes offered that the peer does not have yet.
    pub fn unacknowledged(&self) -> u64 {
        0
    }
    /// Changes the rate limits.
    pub fn set_limits(&mut self, now: Time, limits: RateLimits) {}
    /// Changes the law.
    pub fn set_policy(&mut self, now: Time, policy: Policy) {}
    /// Stops sending bytes of the linear space; streams go on.
    pub fn pause(&mut self) {}
    /// Ends a pause.
    pub fn resume(&mut self) {}
    /// Whether it is paused.
    pub fn is_paused(&self) -> bool {
        false
    }
    /// Ends the session.
    pub fn close(&mut self, now: Time, code: Code, reason: &str) {}
    /// Whether the session has ended.
    pub fn is_closed(&self) -> bool {
        false
    }
    /// Whether bulk may flow.
    pub fn is_open(&self) -> bool {
        false
    }
    /// Where the peer is, if known.
    pub fn peer(&self) -> Option<SocketAddr> {
        None
    }
    /// Datagrams that this machine is known to have dropped before they got
    /// here (socket overflow), in all.
    pub fn set_local_drops(&mut self, total: u64) {}
    /// Figures.
    pub fn statistics(&self) -> Statistics {
        Statistics {
            sent: Default::default(),
            received: Default::default(),
            path: crate::PathState {
                rtt: None,
                rtt_min: None,
                pace: Default::default(),
                in_flight: 0,
                loss: 0.0,
                packet_size: 1280,
                silent: false,
                peer_queue: (0, 0),
            },
            rate: crate::rate::RateStatistics {
                phase: "startup",
                capacity: Default::default(),
                base_rtt: Default::default(),
                queue: Default::default(),
                baseline_loss: 0.0,
            },
        }
    }
}
