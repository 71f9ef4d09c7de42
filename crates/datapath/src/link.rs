//! What one session has of the network: a socket of its own, or a place at a
//! shared port with, once its peer is confirmed, a connected socket there.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use limosa_transport::Ecn;

use crate::batch::{Arrival, ReceiveBatch};
use crate::lending::LentPort;
use crate::port::{Forwarded, Registration};
use crate::socket::{Outgoing, Sent, SocketStatistics, UdpSocket};

/// Datagrams taken over from the shared port in one turn, so that a flood of
/// them cannot keep a session from its other work.
const FORWARDED_PER_TURN: usize = 64;

/// A session's access to the network.
#[derive(Debug)]
pub enum Link {
    /// A socket of its own: a client's, or a server's with a port per session.
    /// It stays unconnected, so that it works on when this machine moves.
    Own(UdpSocket),
    /// A place at a shared port.
    Port(PortLink),
}

/// The state of a [`Link`] at a shared port.
#[derive(Debug)]
pub struct PortLink {
    place: Place,
    /// Connected to the confirmed peer.
    connected: Option<(SocketAddr, UdpSocket)>,
    /// The newest address a forwarded datagram came from, and where it went to.
    newest: Option<(SocketAddr, Option<IpAddr>)>,
    /// Taken over from the shared port, to be handed on once the session's own
    /// socket was found empty: a copy sent from elsewhere must not be taken for
    /// the original, which would make its sender the new peer.
    forwarded: Vec<Forwarded>,
    /// Figures of sockets given up.
    past: (SocketStatistics, u64),
}

/// A place at a port of this process or of another.
#[derive(Debug)]
enum Place {
    Here(Registration),
    Lent(Box<LentPort>),
}

impl Place {
    fn take(&self) -> Option<Forwarded> {
        match self {
            Self::Here(registration) => registration.take(),
            Self::Lent(lent) => lent.take(),
        }
    }

    fn send(&self, outgoing: &Outgoing<'_>) -> io::Result<Sent> {
        match self {
            Self::Here(registration) => registration.send(outgoing),
            Self::Lent(lent) => lent.send(outgoing),
        }
    }

    fn connect(&self, local: Option<IpAddr>, peer: SocketAddr) -> io::Result<UdpSocket> {
        match self {
            Self::Here(registration) => registration.connect(local, peer),
            Self::Lent(lent) => lent.connect(local, peer),
        }
    }
}

impl From<UdpSocket> for Link {
    fn from(socket: UdpSocket) -> Self {
        Self::Own(socket)
    }
}

impl From<Registration> for Link {
    fn from(registration: Registration) -> Self {
        Self::Port(PortLink::at(Place::Here(registration)))
    }
}

impl From<LentPort> for Link {
    fn from(lent: LentPort) -> Self {
        Self::Port(PortLink::at(Place::Lent(Box::new(lent))))
    }
}

impl Link {
    /// Receives what has arrived and hands each datagram to `take`. Whether
    /// more is likely waiting.
    ///
    /// # Errors
    /// If the socket is broken.
    pub(crate) fn receive(
        &mut self,
        batch: &mut ReceiveBatch,
        mut take: impl FnMut(Arrival, &mut [u8]),
    ) -> io::Result<bool> {
        if let Self::Port(port) = self {
            port.collect_forwarded();
        }
        let mut more = false;
        if let Some(socket) = self.socket_mut() {
            socket.receive(batch)?;
            batch.datagrams().for_each(|(arrival, datagram)| take(arrival, datagram));
            more = batch.is_full();
        }
        if let Self::Port(port) = self {
            // However much arrives on the session's own socket.
            more |= port.take_forwarded(take) == FORWARDED_PER_TURN;
        }
        Ok(more)
    }

    /// Sends some of `bytes` to `to`.
    ///
    /// # Errors
    /// If the socket is broken.
    pub(crate) fn send(&mut self, to: SocketAddr, ecn: Ecn, segment: usize, bytes: &[u8]) -> io::Result<Sent> {
        let mut outgoing = Outgoing { to, local: None, ecn, segment, bytes };
        match self {
            Self::Own(socket) => socket.send(&outgoing),
            Self::Port(PortLink { connected: Some((peer, socket)), .. }) if *peer == to => socket.send(&outgoing),
            Self::Port(port) => {
                outgoing.local = port.local_for(to);
                port.place.send(&outgoing)
            }
        }
    }

    /// The peer is confirmed at this address.
    ///
    /// # Errors
    /// If there is to be a socket for it and the system has none; the link goes
    /// on working as before.
    pub(crate) fn confirm(&mut self, peer: SocketAddr) -> io::Result<()> {
        match self {
            Self::Own(_) => Ok(()),
            Self::Port(PortLink { connected: Some((known, _)), .. }) if *known == peer => Ok(()),
            Self::Port(port) => port.connect(peer),
        }
    }

    fn socket_mut(&mut self) -> Option<&mut UdpSocket> {
        match self {
            Self::Own(socket) => Some(socket),
            Self::Port(port) => port.connected.as_mut().map(|(_, socket)| socket),
        }
    }

    fn socket(&self) -> Option<&UdpSocket> {
        match self {
            Self::Own(socket) => Some(socket),
            Self::Port(port) => port.connected.as_ref().map(|(_, socket)| socket),
        }
    }

    /// What to wait for, beside wake-ups.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.socket().map(AsFd::as_fd)
    }

    /// What happened at the session's own sockets so far.
    #[must_use]
    pub fn statistics(&self) -> SocketStatistics {
        let own = self.socket().map(UdpSocket::statistics).unwrap_or_default();
        match self {
            Self::Own(_) => own,
            Self::Port(port) => port.past.0.plus(own),
        }
    }

    /// Datagrams this machine dropped at the session's own sockets, where the
    /// system tells.
    pub(crate) fn drops(&self) -> u64 {
        let own = self.socket().and_then(UdpSocket::drops).unwrap_or(0);
        match self {
            Self::Own(_) => own,
            Self::Port(port) => port.past.1 + own,
        }
    }
}

impl PortLink {
    fn at(place: Place) -> Self {
        let forwarded = Vec::with_capacity(FORWARDED_PER_TURN);
        Self { place, connected: None, newest: None, forwarded, past: Default::default() }
    }

    fn collect_forwarded(&mut self) {
        while self.forwarded.len() < FORWARDED_PER_TURN {
            let Some(forwarded) = self.place.take() else { return };
            self.forwarded.push(forwarded);
        }
    }

    /// Hands on what was collected; how many datagrams that were.
    fn take_forwarded(&mut self, mut take: impl FnMut(Arrival, &mut [u8])) -> usize {
        let count = self.forwarded.len();
        for mut forwarded in self.forwarded.drain(..) {
            self.newest = Some((forwarded.arrival.from, forwarded.arrival.local));
            take(forwarded.arrival, &mut forwarded.bytes);
        }
        count
    }

    fn local_for(&self, peer: SocketAddr) -> Option<IpAddr> {
        self.newest.filter(|(from, _)| *from == peer).and_then(|(_, local)| local)
    }

    fn connect(&mut self, peer: SocketAddr) -> io::Result<()> {
        let socket = self.place.connect(self.local_for(peer), peer)?;
        if let Some((_, old)) = self.connected.replace((peer, socket)) {
            self.past = (self.past.0.plus(old.statistics()), self.past.1 + old.drops().unwrap_or(0));
        }
        Ok(())
    }
}
