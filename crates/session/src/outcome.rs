//! How a session ended, and what is told while it runs.

use std::net::SocketAddr;
use std::time::Duration;

use limosa_transfer::event::{Event as EntryEvent, Progress};
use limosa_transport::Statistics;
use limosa_wire::control::Summary;
use limosa_wire::setup::RatePolicy;
use limosa_wire::{Code, Rate};

/// Something that happened in a running session, in order.
#[derive(Clone, Debug)]
pub enum SessionEvent {
    /// Datagrams pass both ways; bulk flows from now on.
    Opened {
        /// The peer's address.
        peer: SocketAddr,
        /// Round trip of the opening.
        rtt: Option<Duration>,
    },
    /// Five seconds of datagrams and no answer.
    UdpBlocked {
        /// Where they went.
        server: SocketAddr,
    },
    /// Something happened to an entry.
    Entry(EntryEvent),
    /// The line fell silent; sending is suspended.
    LineSilent,
    /// The line is back after this time.
    LineBack(Duration),
    /// The peer moved to another address.
    PeerMoved(SocketAddr),
    /// The largest packet in use changed, bytes.
    PacketSize(usize),
}

/// Where a session stands at a moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Time since the session's clock started.
    pub at: Duration,
    /// How far the job is.
    pub progress: Progress,
    /// The connection's figures.
    pub connection: Statistics,
    /// Datagrams pass both ways.
    pub open: bool,
}

/// An order to a running session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// At most this rate from now on.
    SetRate(Rate),
    /// Another law for the pace. Where the other end sends, it ends the transfer
    /// if it does not permit that law.
    SetPolicy(RatePolicy),
    /// Stop sending data until [`Order::Resume`].
    Pause,
    /// Go on.
    Resume,
    /// End in order, keeping what can be continued.
    Cancel(Code),
    /// End now.
    Abort(Code),
}

/// How a session ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The numbered code; [`Code::OK`] if every entry is settled.
    pub code: Code,
    /// More about it, for people; may be empty.
    pub detail: String,
    /// What was done, as this side counted it.
    pub summary: Summary,
    /// What the other side counted, if it told.
    pub theirs: Option<Summary>,
    /// Times of the session.
    pub times: Times,
    /// Figures of the connection at its end.
    pub connection: Option<Statistics>,
}

/// When things happened, on the session's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Set-up over SSH, before the session's clock started.
    pub setup: Duration,
    /// Bulk could flow.
    pub opened: Option<Duration>,
    /// The end.
    pub ended: Duration,
}

impl Outcome {
    /// An end before anything was moved.
    #[must_use]
    pub fn early(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            summary: Summary::default(),
            theirs: None,
            times: Times::default(),
            connection: None,
        }
    }
}
