//! The session's side of a lent port: the same as a place at a port of one's
//! own process, with a thread that reads what the owner hands over.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use limosa_wire::SessionId;
use rustix::net::{RecvFlags, SendFlags, Shutdown, shutdown};

use super::message::{LONGEST, Message, receive};
use crate::batch::Arrival;
use crate::port::{Forwarded, QUEUE};
use crate::socket::{Outgoing, Sent, UdpSocket};
use crate::wait::{readable, wait};
use crate::wake::Waker;

/// How long the owner may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a session waits for a socket of its own before it goes on without.
const SOCKET_PATIENCE: Duration = Duration::from_millis(200);

/// A place of a session at a port that another process owns; dropping it gives
/// the place up.
#[derive(Debug)]
pub struct LentPort {
    socket: Arc<OwnedFd>,
    port: u16,
    datagrams: Receiver<Forwarded>,
    sockets: Receiver<Option<(SocketAddr, OwnedFd)>>,
    buffer: Mutex<Vec<u8>>,
}

impl LentPort {
    /// Asks the owner at the other end of `socket` for a place, with an id that
    /// `draw` draws, again if it is taken; `waker` wakes the session's driver.
    ///
    /// # Errors
    /// If the owner does not answer, or not as one does.
    pub fn borrow(socket: OwnedFd, waker: Waker, mut draw: impl FnMut() -> SessionId) -> io::Result<(SessionId, Self)> {
        let (mut incoming, mut buffer) = (vec![0; LONGEST], Vec::new());
        let (session, port) = loop {
            let session = draw();
            Message::Register(session).send(&socket, None, SendFlags::empty(), &mut buffer)?;
            wait(&mut [readable(&socket)], Some(PATIENCE))?;
            let (length, _) = receive(&socket, RecvFlags::DONTWAIT, &mut incoming)?;
            match Message::decode(&incoming[..length]) {
                Ok(Message::Registered(port)) => break (session, port),
                Ok(Message::Refused) => {}
                _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "the owner of the port is none")),
            }
        };
        let socket = Arc::new(socket);
        let (queue, datagrams) = sync_channel(QUEUE);
        let (tell_socket, sockets) = sync_channel(4);
        let reader = Reader { socket: Arc::clone(&socket), queue, tell_socket, waker };
        std::thread::Builder::new().name("udp-lent".into()).spawn(move || reader.run(&mut incoming))?;
        Ok((session, Self { socket, port, datagrams, sockets, buffer: Mutex::new(buffer) }))
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The next datagram that the owner handed over.
    pub(crate) fn take(&self) -> Option<Forwarded> {
        self.datagrams.try_recv().ok()
    }

    /// Lets the owner send. A session does that for a few datagrams, until its
    /// peer is confirmed.
    pub(crate) fn send(&self, outgoing: &Outgoing<'_>) -> io::Result<Sent> {
        let Outgoing { to, local, ecn, segment, bytes } = *outgoing;
        let segment = u32::try_from(segment).unwrap_or(u32::MAX);
        let message = Message::Datagram { peer: to, local, ecn, segment, bytes };
        match self.tell(&message, SendFlags::DONTWAIT) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Sent::Blocked),
            // Without its owner the port is shut; a connected socket lives on.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Sent::Bytes(bytes.len())),
            Err(error) => Err(error),
            Ok(()) => Ok(Sent::Bytes(bytes.len())),
        }
    }

    /// A socket at the port that takes datagrams of `peer` alone.
    pub(crate) fn connect(&self, local: Option<IpAddr>, peer: SocketAddr) -> io::Result<UdpSocket> {
        self.tell(&Message::Connect(peer, local), SendFlags::empty())?;
        loop {
            let answer = self.sockets.recv_timeout(SOCKET_PATIENCE);
            let answer = answer.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the port's owner is silent"))?;
            match answer {
                Some((connected, socket)) if connected == peer => return UdpSocket::adopt(socket),
                // The late answer to an earlier question.
                Some(_) => {}
                None => return Err(io::Error::other("the port's owner has no socket for this peer")),
            }
        }
    }

    fn tell(&self, message: &Message<'_>, flags: SendFlags) -> io::Result<()> {
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        message.send(&*self.socket, None, flags, &mut buffer)
    }
}

impl Drop for LentPort {
    fn drop(&mut self) {
        // Ends the reader and tells the owner.
        let _ = shutdown(&*self.socket, Shutdown::Both);
    }
}

/// Reads what the owner says.
struct Reader {
    socket: Arc<OwnedFd>,
    queue: SyncSender<Forwarded>,
    tell_socket: SyncSender<Option<(SocketAddr, OwnedFd)>>,
    waker: Waker,
}

impl Reader {
    fn run(self, incoming: &mut [u8]) {
        while let Ok((length, socket)) = receive(&*self.socket, RecvFlags::empty(), incoming) {
            let Ok(message) = Message::decode(&incoming[..length]) else { return };
            match (message, socket) {
                (Message::Datagram { peer, local, ecn, bytes, .. }, _) => {
                    let arrival = Arrival { from: peer, local, ecn };
                    match self.queue.try_send(Forwarded { arrival, bytes: bytes.into() }) {
                        Ok(()) | Err(TrySendError::Full(_)) => self.waker.wake(),
                        Err(TrySendError::Disconnected(_)) => return,
                    }
                }
                // Answers that nobody waits for any more may be lost.
                (Message::Connected(peer), Some(socket)) => drop(self.tell_socket.try_send(Some((peer, socket)))),
                (Message::Refused, _) => drop(self.tell_socket.try_send(None)),
                _ => return,
            }
        }
    }
}
