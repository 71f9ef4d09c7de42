//! What goes over the socket between the owner of a port and a borrower.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use limosa_transport::Ecn;
use limosa_wire::SessionId;
use limosa_wire::codec::{DecodeError, Reader, Sink};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

/// Longest message: the largest UDP payload and what is said about it.
pub(super) const LONGEST: usize = 66_000;

/// A message. `Registered`, `Refused` and `Datagram` go to the borrower, and
/// `Connected` along with an open socket; the others go to the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message<'a> {
    /// Hand me the datagrams of this session.
    Register(SessionId),
    /// Done; this is the port.
    Registered(u16),
    /// No: the session id is taken, or there can be no such socket.
    Refused,
    /// A datagram, or several of `segment` bytes each, to be sent or that came.
    Datagram {
        /// The other end.
        peer: SocketAddr,
        /// The address of this machine.
        local: Option<IpAddr>,
        /// Marking of the IP header.
        ecn: Ecn,
        /// Size of each datagram but the last.
        segment: u32,
        /// All of them.
        bytes: &'a [u8],
    },
    /// I want a socket connected to this peer.
    Connect(SocketAddr, Option<IpAddr>),
    /// Here it is.
    Connected(SocketAddr),
}

const REGISTER: u8 = 1;
const REGISTERED: u8 = 2;
const REFUSED: u8 = 3;
const DATAGRAM: u8 = 4;
const CONNECT: u8 = 5;
const CONNECTED: u8 = 6;

impl<'a> Message<'a> {
    /// Writes the message to `sink`, which is empty.
    pub(super) fn encode(&self, sink: &mut Vec<u8>) {
        match self {
            Self::Register(session) => {
                sink.put_u8(REGISTER);
                sink.put_u32(session.0);
            }
            Self::Registered(port) => {
                sink.put_u8(REGISTERED);
                sink.put_u16(*port);
            }
            Self::Refused => sink.put_u8(REFUSED),
            Self::Datagram { peer, local, ecn, segment, bytes } => {
                sink.put_u8(DATAGRAM);
                put_address(sink, *peer);
                put_ip(sink, *local);
                sink.put_u8(number(*ecn));
                sink.put_u32(*segment);
                sink.put(bytes);
            }
            Self::Connect(peer, local) => {
                sink.put_u8(CONNECT);
                put_address(sink, *peer);
                put_ip(sink, *local);
            }
            Self::Connected(peer) => {
                sink.put_u8(CONNECTED);
                put_address(sink, *peer);
            }
        }
    }

    /// The message in `bytes`.
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("port", bytes);
        let reader = &mut reader;
        let message = match reader.u8()? {
            REGISTER => Self::Register(SessionId(reader.u32()?)),
            REGISTERED => Self::Registered(reader.u16()?),
            REFUSED => Self::Refused,
            DATAGRAM => {
                let (peer, local, ecn, segment) = (address(reader)?, ip(reader)?, ecn(reader)?, reader.u32()?);
                let bytes = reader.take(reader.rest().len())?;
                Self::Datagram { peer, local, ecn, segment, bytes }
            }
            CONNECT => Self::Connect(address(reader)?, ip(reader)?),
            CONNECTED => Self::Connected(address(reader)?),
            _ => return Err(reader.unknown()),
        };
        if reader.is_empty() { Ok(message) } else { Err(DecodeError::Trailing("port")) }
    }

    /// Sends the message, and an open socket with it; waits for room unless
    /// told not to. `buffer` is reused.
    pub(super) fn send(
        &self,
        to: impl AsFd,
        socket: Option<BorrowedFd<'_>>,
        flags: SendFlags,
        buffer: &mut Vec<u8>,
    ) -> io::Result<()> {
        buffer.clear();
        self.encode(buffer);
        let sockets: Vec<BorrowedFd<'_>> = socket.into_iter().collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !sockets.is_empty() {
            ancillary.push(SendAncillaryMessage::ScmRights(&sockets));
        }
        sendmsg(to, &[IoSlice::new(buffer)], &mut ancillary, flags | SendFlags::NOSIGNAL)?;
        Ok(())
    }
}

/// Receives a message into `buffer`: its length, and the open socket that came
/// with it. A length of 0 is the end.
pub(super) fn receive(from: impl AsFd, flags: RecvFlags, buffer: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = flags | RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(from, &mut [IoSliceMut::new(buffer)], &mut ancillary, flags)?;
    let mut sockets = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(sockets) => Some(sockets),
        _ => None,
    });
    let socket = sockets.next().and_then(|mut sockets| sockets.next());
    Ok((received.bytes.min(buffer.len()), socket))
}

fn put_address(sink: &mut Vec<u8>, address: SocketAddr) {
    put_ip(sink, Some(address.ip()));
    sink.put_u16(address.port());
    // Which interface a link-local address is on.
    sink.put_u32(if let SocketAddr::V6(v6) = address { v6.scope_id() } else { 0 });
}

fn address(reader: &mut Reader<'_>) -> Result<SocketAddr, DecodeError> {
    let ip = ip(reader)?.ok_or_else(|| reader.range())?;
    let mut address = SocketAddr::new(ip, reader.u16()?);
    let scope = reader.u32()?;
    if let SocketAddr::V6(v6) = &mut address {
        v6.set_scope_id(scope);
    }
    Ok(address)
}

fn put_ip(sink: &mut Vec<u8>, ip: Option<IpAddr>) {
    match ip {
        None => sink.put_u8(0),
        Some(IpAddr::V4(v4)) => {
            sink.put_u8(4);
            sink.put(&v4.octets());
        }
        Some(IpAddr::V6(v6)) => {
            sink.put_u8(6);
            sink.put(&v6.octets());
        }
    }
}

fn ip(reader: &mut Reader<'_>) -> Result<Option<IpAddr>, DecodeError> {
    Ok(match reader.u8()? {
        0 => None,
        4 => Some(reader.array::<4>()?.into()),
        6 => Some(reader.array::<16>()?.into()),
        _ => return Err(reader.unknown()),
    })
}

const fn number(ecn: Ecn) -> u8 {
    match ecn {
        Ecn::NotCapable => 0,
        Ecn::Capable1 => 1,
        Ecn::Capable => 2,
        Ecn::Congestion => 3,
    }
}

fn ecn(reader: &mut Reader<'_>) -> Result<Ecn, DecodeError> {
    Ok(match reader.u8()? {
        0 => Ecn::NotCapable,
        1 => Ecn::Capable1,
        2 => Ecn::Capable,
        3 => Ecn::Congestion,
        _ => return Err(reader.unknown()),
    })
}
