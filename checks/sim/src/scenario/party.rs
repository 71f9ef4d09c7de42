//! The endpoints a scenario can place.

use limosa_transport::Time;
use limosa_transport::rate::RateLimits;

use crate::datagram::Datagram;
use crate::network::{Address, Endpoint, Transmit};
use crate::pace::Gauge;
use crate::{pace, session, tcp};

/// An endpoint of one of the kinds that can share a line.
#[derive(Debug)]
pub enum Party {
    /// Sender of a TCP model.
    TcpSender(tcp::Sender),
    /// Receiver of a TCP model.
    TcpReceiver(tcp::Receiver),
    /// Paced sender.
    PacedSender(Box<pace::Sender>),
    /// Receiver of a paced sender.
    PacedReceiver(Box<pace::Receiver>),
    /// One end of a session of the real transport.
    Session(Box<session::End>),
}

impl Party {
    /// Bytes that arrived here, each counted once: of payload for a session,
    /// else on the wire. At the sending end of a session: known to have
    /// arrived.
    #[must_use]
    pub fn delivered_bytes(&self) -> u64 {
        match self {
            Self::TcpReceiver(receiver) => receiver.delivered() * u64::from(tcp::SEGMENT_SIZE),
            Self::PacedReceiver(receiver) => receiver.delivered_bytes(),
            Self::Session(end) => end.space().settled_bytes(),
            Self::TcpSender(_) | Self::PacedSender(_) => 0,
        }
    }

    /// Packets sent from here.
    #[must_use]
    pub fn sent_packets(&self) -> u64 {
        match self {
            Self::TcpSender(sender) => sender.sent(),
            Self::PacedSender(sender) => sender.sent(),
            Self::Session(end) => end.statistics().sent.datagrams,
            Self::TcpReceiver(_) | Self::PacedReceiver(_) => 0,
        }
    }

    /// Packets taken for lost that arrived later after all.
    #[must_use]
    pub fn spurious_losses(&self) -> u64 {
        match self {
            Self::PacedSender(sender) => sender.spurious(),
            Self::Session(end) => end.statistics().sent.spurious,
            _ => 0,
        }
    }

    /// What a paced sender believes and does.
    #[must_use]
    pub fn gauge(&self) -> Option<Gauge> {
        match self {
            Self::PacedSender(sender) => Some(sender.gauge()),
            Self::Session(end) => Some(end.gauge()),
            _ => None,
        }
    }

    /// The session whose end it is, if any.
    #[must_use]
    pub fn session(&self) -> Option<&session::End> {
        match self {
            Self::Session(end) => Some(end),
            _ => None,
        }
    }

    /// Sets a sender's limits; TCP has none.
    pub fn set_limits(&mut self, now: Time, limits: RateLimits) {
        match self {
            Self::PacedSender(sender) => sender.set_limits(now, limits),
            Self::Session(end) => end.set_limits(now, limits),
            _ => {}
        }
    }
}

/// Calls the same method of whichever endpoint it is.
macro_rules! each {
    ($party:expr, $endpoint:ident => $call:expr) => {
        match $party {
            Party::TcpSender($endpoint) => $call,
            Party::TcpReceiver($endpoint) => $call,
            Party::PacedSender($endpoint) => $call,
            Party::PacedReceiver($endpoint) => $call,
            Party::Session($endpoint) => $call,
        }
    };
}

impl Endpoint for Party {
    type Datagram = Datagram;

    fn handle(&mut self, now: Time, from: Address, datagram: Datagram) {
        each!(self, endpoint => endpoint.handle(now, from, datagram));
    }

    fn on_timeout(&mut self, now: Time) {
        each!(self, endpoint => endpoint.on_timeout(now));
    }

    fn transmit(&mut self, now: Time) -> Option<Transmit<Datagram>> {
        each!(self, endpoint => endpoint.transmit(now))
    }

    fn next_timeout(&self) -> Option<Time> {
        each!(self, endpoint => endpoint.next_timeout())
    }
}
