//! What a connection tells the one who drives it.

use std::net::SocketAddr;
use std::time::Duration;

use limosa_wire::Code;

/// Something worth knowing happened; polled by `Connection::poll_event`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Datagrams pass both ways and the peer's address is confirmed: bulk may
    /// flow.
    Opened {
        /// Where the peer is.
        peer: SocketAddr,
        /// Round trip of the opening, if it was measured.
        rtt: Option<Duration>,
    },
    /// Five seconds of probes and no answer. The connection goes on trying
    /// until its timeout; the user should be told now.
    UdpBlocked {
        /// Where the probes went.
        server: SocketAddr,
    },
    /// The peer moved and confirmed its new address. A driver with a connected
    /// socket makes a new one.
    PeerMoved {
        /// Where it is now.
        peer: SocketAddr,
    },
    /// Nothing has been heard for a while although something should have been;
    /// sending is suspended.
    LineSilent,
    /// The line is back.
    LineBack {
        /// How long it was silent.
        after: Duration,
    },
    /// The largest IP packet in use changed.
    PacketSize {
        /// Bytes.
        bytes: usize,
    },
    /// The session ended; the last event.
    Closed(Closed),
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Why.
    pub code: Code,
    /// A word more, from whoever closed.
    pub reason: String,
    /// Who closed.
    pub by: ClosedBy,
}

/// Which side ended a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosedBy {
    /// Whoever called `Connection::close` here.
    Us,
    /// The peer said so.
    Peer,
    /// The connection itself, for the fault that the code names.
    Fault,
}

/// Congestion marking of a datagram's IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub enum Ecn {
    /// Not capable (00).
    #[default]
    NotCapable,
    /// ECT(1).
    Capable1,
    /// ECT(0), what this implementation sends.
    Capable,
    /// Congestion experienced (11).
    Congestion,
}

/// What became of a received datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Receipt {
    /// Authentic, new and taken.
    Taken,
    /// Not taken, silently.
    Dropped(DropReason),
}

/// Why a datagram was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// Not a datagram of this protocol, or of another session.
    Foreign,
    /// Its number was seen before, or is too old to tell.
    Replayed,
    /// Its tag is wrong.
    Forged,
    /// Authentic, but the application had no room left to even note the drop.
    NoRoom,
    /// Authentic, but what it says breaks the protocol.
    Malformed,
    /// The session has ended.
    Closed,
}

/// Datagrams to be sent, made by `Connection::poll_transmit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub to: SocketAddr,
    /// Bytes used at the front of the buffer.
    pub length: usize,
    /// Size of each datagram in it; the last may be shorter.
    pub segment: usize,
    /// Marking of all of them.
    pub ecn: Ecn,
}
