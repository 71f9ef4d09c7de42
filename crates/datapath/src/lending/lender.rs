//! The owner's side: one thread for each borrower, asleep for nearly all of a
//! session's life.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use super::message::{LONGEST, Message, receive};
use crate::port::{Registration, SharedPort};
use crate::socket::Outgoing;
use crate::wait::{readable, wait};
use crate::wake::{Wakeup, waker};

/// How long a borrower may take to name its session.
const PATIENCE: Duration = Duration::from_secs(10);
/// Addresses remembered that datagrams of a session came from.
const PEERS: usize = 16;

/// Serves the borrower at the other end of `socket`, a Unix socket that keeps
/// messages apart, on a thread of its own until it closes its end. The port
/// stays open at least as long. `ended` is called then.
///
/// # Errors
/// If there can be no thread.
pub fn lend(port: Arc<SharedPort>, socket: OwnedFd, ended: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let serve = move || {
        if let Err(error) = Lender::register(&port, socket).and_then(|lender| lender.map_or(Ok(()), Lender::serve)) {
            tracing::debug!(%error, "a borrower of the port is gone");
        }
        ended();
    };
    std::thread::Builder::new().name("udp-lend".into()).spawn(serve).map(drop)
}

struct Lender {
    registration: Registration,
    wakeup: Wakeup,
    socket: OwnedFd,
    /// Where datagrams of the session came from, the newest last.
    peers: VecDeque<SocketAddr>,
    buffer: Vec<u8>,
}

impl Lender {
    /// Hears which session wants the port. `None` if the borrower left.
    fn register(port: &SharedPort, socket: OwnedFd) -> io::Result<Option<Self>> {
        let (waker, wakeup) = waker()?;
        let mut incoming = vec![0; LONGEST];
        let mut buffer = Vec::new();
        loop {
            wait(&mut [readable(&socket)], Some(PATIENCE))?;
            let (length, _) = receive(&socket, RecvFlags::DONTWAIT, &mut incoming)?;
            if length == 0 {
                return Ok(None);
            }
            let Ok(Message::Register(session)) = Message::decode(&incoming[..length]) else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            let registration = port.register(session, waker.clone());
            let answer = match registration {
                Some(_) => Message::Registered(port.local_addr().port()),
                None => Message::Refused,
            };
            answer.send(&socket, None, SendFlags::empty(), &mut buffer)?;
            if let Some(registration) = registration {
                return Ok(Some(Self { registration, wakeup, socket, peers: VecDeque::new(), buffer }));
            }
        }
    }

    fn serve(mut self) -> io::Result<()> {
        let mut incoming = vec![0; LONGEST];
        loop {
            self.wakeup.clear();
            self.hand_over()?;
            match receive(&self.socket, RecvFlags::DONTWAIT, &mut incoming) {
                Ok((0, _)) => return Ok(()),
                Ok((length, _)) => self.obey(&incoming[..length])?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    wait(&mut [readable(&self.socket), readable(&self.wakeup)], None)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Hands over what came in at the port.
    fn hand_over(&mut self) -> io::Result<()> {
        while let Some(forwarded) = self.registration.take() {
            let (arrival, bytes) = (forwarded.arrival, &forwarded.bytes);
            self.remember(arrival.from);
            let segment = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            let message =
                Message::Datagram { peer: arrival.from, local: arrival.local, ecn: arrival.ecn, segment, bytes };
            match message.send(&self.socket, None, SendFlags::DONTWAIT, &mut self.buffer) {
                // A borrower that does not keep up loses datagrams, as at any
                // full queue.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => other?,
            }
        }
        Ok(())
    }

    fn remember(&mut self, peer: SocketAddr) {
        if self.peers.back() != Some(&peer) {
            self.peers.retain(|known| *known != peer);
            self.peers.push_back(peer);
            if self.peers.len() > PEERS {
                self.peers.pop_front();
            }
        }
    }

    fn obey(&mut self, message: &[u8]) -> io::Result<()> {
        match Message::decode(message) {
            Ok(Message::Datagram { peer, local, ecn, segment, bytes }) if self.peers.contains(&peer) => {
                let segment = usize::try_from(segment).unwrap_or(usize::MAX).clamp(1, bytes.len().max(1));
                // Blocked, they are lost like any others.
                self.registration.send(&Outgoing { to: peer, local, ecn, segment, bytes }).map(drop)
            }
            Ok(Message::Connect(peer, local)) if self.peers.contains(&peer) => self.connect(peer, local),
            Ok(Message::Datagram { peer, .. }) => {
                tracing::warn!(%peer, "a borrower of the port wanted to send to a stranger");
                Ok(())
            }
            Ok(Message::Connect(..)) => Message::Refused.send(&self.socket, None, SendFlags::empty(), &mut self.buffer),
            _ => Err(io::Error::from(Errno::PROTO)),
        }
    }

    fn connect(&mut self, peer: SocketAddr, local: Option<IpAddr>) -> io::Result<()> {
        match self.registration.connect(local, peer) {
            Ok(socket) => {
                let answer = Message::Connected(peer);
                answer.send(&self.socket, Some(socket.as_fd()), SendFlags::empty(), &mut self.buffer)
            }
            Err(error) => {
                tracing::warn!(%peer, %error, "no socket for this peer alone");
                Message::Refused.send(&self.socket, None, SendFlags::empty(), &mut self.buffer)
            }
        }
    }
}
