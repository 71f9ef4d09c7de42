//! A UDP socket that sends and receives many datagrams per system call.
//!
//! Many equal datagrams leave as one call that the kernel or the network card
//! cuts up (GSO), and arrive coalesced (GRO). Where that is not to be had the
//! same calls carry fewer. Datagrams are never fragmented; the socket does not
//! block.
//!
//! What the network reports about single datagrams (unreachable, refused, too
//! large) is counted, not returned: to the protocol it is loss.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use limosa_transport::Ecn;
use quinn_udp::{EcnCodepoint, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use crate::batch::ReceiveBatch;
use crate::buffers::{BufferSizes, GrantedBuffers};
use crate::sockopt;

/// Most bytes in one call: the largest UDP payload over IPv4.
const MOST_BYTES: usize = 65_507;
/// Errors of earlier datagrams that are passed over in one call.
const MOST_PENDING_ERRORS: usize = 16;
/// A classic filter program whose only instruction is "take nothing of it".
const DROP_ALL: SockFilter = SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, 0);

/// Datagrams of equal size (but for the last), back to back, to one address.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Where to.
    pub to: SocketAddr,
    /// From which address of this machine; `None` leaves it to the system.
    pub local: Option<IpAddr>,
    /// Marking of the IP header.
    pub ecn: Ecn,
    /// Size of each but the last, bytes; at least 1.
    pub segment: usize,
    /// All of them.
    pub bytes: &'a [u8],
}

/// What became of [`Outgoing`] datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// So many bytes from the front left or were given up; the rest is yet to
    /// be sent.
    Bytes(usize),
    /// The socket's buffer is full: wait until it is writable.
    Blocked,
}

/// Counts of what happened at a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketStatistics {
    /// System calls that sent.
    pub send_calls: u64,
    /// System calls that received.
    pub receive_calls: u64,
    /// Sends refused because a datagram was larger than the path or interface
    /// takes.
    pub too_large: u64,
    /// Sends and receives that reported the other side or the network
    /// unreachable.
    pub unreachable: u64,
}

impl SocketStatistics {
    /// The sums of two counts.
    pub(crate) const fn plus(self, other: Self) -> Self {
        Self {
            send_calls: self.send_calls + other.send_calls,
            receive_calls: self.receive_calls + other.receive_calls,
            too_large: self.too_large + other.too_large,
            unreachable: self.unreachable + other.unreachable,
        }
    }
}

/// A UDP socket; see the [module](self).
#[derive(Debug)]
pub struct UdpSocket {
    socket: Socket,
    state: UdpSocketState,
    local: SocketAddr,
    buffers: GrantedBuffers,
    statistics: SocketStatistics,
    segments_at_first: usize,
    /// Drops counted before the socket was put to its use.
    drops_before: u32,
}

impl UdpSocket {
    /// A socket of this process alone. Port 0 takes a free one; the IPv6
    /// wildcard takes IPv4 too.
    ///
    /// # Errors
    /// If the address is not this machine's or the port is taken.
    pub fn bind(local: SocketAddr, buffers: BufferSizes) -> io::Result<Self> {
        Self::with_port_shared(local, buffers, false)
    }

    /// A socket whose port other sockets of this user may bind too, if they ask
    /// for it in the same way.
    ///
    /// # Errors
    /// As [`Self::bind`].
    pub fn bind_shared(local: SocketAddr, buffers: BufferSizes) -> io::Result<Self> {
        Self::with_port_shared(local, buffers, true)
    }

    fn with_port_shared(local: SocketAddr, buffers: BufferSizes, shared: bool) -> io::Result<Self> {
        let socket = open(local)?;
        socket.set_reuse_port(shared)?;
        socket.bind(&local.into())?;
        Self::finish(socket, buffers)
    }

    /// A socket at the port of a shared one that takes datagrams from `peer`
    /// alone, sent to the address `at` of this machine.
    ///
    /// Between being bound and being connected it would be given datagrams of
    /// strangers; a filter drops those few, so that they cannot be taken for
    /// the peer's.
    ///
    /// # Errors
    /// If the system refuses; most often because there are too many open files.
    pub fn connected(&self, at: Option<IpAddr>, peer: SocketAddr, buffers: BufferSizes) -> io::Result<Self> {
        let local = SocketAddr::new(self.family_of(at.unwrap_or(self.local.ip())), self.local.port());
        let socket = open(local)?;
        socket.set_reuse_port(true)?;
        socket.attach_filter(&[DROP_ALL])?;
        socket.bind(&local.into())?;
        socket.connect(&self.address(peer).into())?;
        socket.detach_filter()?;
        Self::finish(socket, buffers)
    }

    /// A socket that another process made, connected and set the buffers of.
    ///
    /// # Errors
    /// If it is no UDP socket.
    pub(crate) fn adopt(socket: OwnedFd) -> io::Result<Self> {
        let socket = Socket::from(socket);
        socket.set_nonblocking(true)?;
        let buffers = GrantedBuffers::read_back(&socket, BufferSizes::default())?;
        Self::with_buffers(socket, buffers)
    }

    fn finish(socket: Socket, buffers: BufferSizes) -> io::Result<Self> {
        let buffers = GrantedBuffers::request(&socket, buffers)?;
        Self::with_buffers(socket, buffers)
    }

    fn with_buffers(socket: Socket, buffers: GrantedBuffers) -> io::Result<Self> {
        let state = new_state(&socket)?;
        let local = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
        let drops_before = sockopt::drops(socket.as_fd()).unwrap_or(0);
        let segments_at_first = state.max_gso_segments();
        let statistics = SocketStatistics::default();
        Ok(Self { socket, state, local, buffers, statistics, segments_at_first, drops_before })
    }

    /// The address it is bound to.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Sizes of its buffers.
    #[must_use]
    pub const fn buffers(&self) -> GrantedBuffers {
        self.buffers
    }

    /// What happened so far.
    #[must_use]
    pub const fn statistics(&self) -> SocketStatistics {
        self.statistics
    }

    /// Datagrams dropped because the receive buffer was full, where the system
    /// tells.
    #[must_use]
    pub fn drops(&self) -> Option<u64> {
        sockopt::drops(self.socket.as_fd()).map(|drops| u64::from(drops.wrapping_sub(self.drops_before)))
    }

    /// Most datagrams of `segment` bytes that one call can send now. May fall
    /// to 1 while the socket is in use.
    #[must_use]
    pub fn max_segments(&self, segment: usize) -> usize {
        self.state.max_gso_segments().min(MOST_BYTES / segment.max(1)).max(1)
    }

    /// Sends datagrams from the front of `outgoing` with one system call.
    ///
    /// # Errors
    /// If the socket itself is broken; what befalls datagrams is no error.
    pub fn send(&mut self, outgoing: &Outgoing<'_>) -> io::Result<Sent> {
        let segments = self.max_segments(outgoing.segment);
        let length = outgoing.bytes.len().min(segments.saturating_mul(outgoing.segment));
        let transmit = Transmit {
            destination: self.address(outgoing.to),
            ecn: codepoint(outgoing.ecn),
            contents: &outgoing.bytes[..length],
            segment_size: Some(outgoing.segment),
            src_ip: outgoing.local.map(|ip| self.family_of(ip)),
        };
        self.statistics.send_calls += 1;
        match self.state.try_send(UdpSockRef::from(&self.socket), &transmit) {
            Ok(()) => Ok(Sent::Bytes(length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Sent::Blocked),
            Err(error) => {
                let gone = self.judge_send(error, length > outgoing.segment)?;
                Ok(Sent::Bytes(if gone { length } else { 0 }))
            }
        }
    }

    /// Decides what a refused send means: whether the datagrams are given up,
    /// or to be tried again, one by one.
    fn judge_send(&mut self, error: io::Error, many: bool) -> io::Result<bool> {
        match error.raw_os_error() {
            Some(libc::EMSGSIZE) => {
                self.statistics.too_large += 1;
                if self.state.max_gso_segments() < self.segments_at_first {
                    // An older kernel called the size invalid when many were
                    // sent at once, and quinn-udp gave that up for good.
                    self.state = new_state(&self.socket)?;
                }
                Ok(true)
            }
            Some(libc::EIO | libc::EINVAL) if many => Ok(false),
            _ if is_about_the_network(&error) => {
                self.statistics.unreachable += 1;
                Ok(true)
            }
            _ => Err(error),
        }
    }

    /// Receives what has arrived, with one system call. The batch is empty if
    /// nothing has.
    ///
    /// # Errors
    /// If the socket itself is broken.
    pub fn receive(&mut self, batch: &mut ReceiveBatch) -> io::Result<()> {
        for _ in 0..MOST_PENDING_ERRORS {
            self.statistics.receive_calls += 1;
            let state = &self.state;
            let socket = UdpSockRef::from(&self.socket);
            match batch.fill(|buffers, meta| state.recv(socket, buffers, meta)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if is_about_the_network(&error) => self.statistics.unreachable += 1,
                other => return other,
            }
        }
        Ok(())
    }

    /// `ip` in the family of this socket.
    fn family_of(&self, ip: IpAddr) -> IpAddr {
        match (self.local, ip) {
            (SocketAddr::V6(_), IpAddr::V4(v4)) if v4.is_unspecified() => Ipv6Addr::UNSPECIFIED.into(),
            (SocketAddr::V6(_), IpAddr::V4(v4)) => v4.to_ipv6_mapped().into(),
            _ => ip,
        }
    }

    fn address(&self, address: SocketAddr) -> SocketAddr {
        match address {
            SocketAddr::V4(v4) => SocketAddr::new(self.family_of(IpAddr::V4(*v4.ip())), v4.port()),
            SocketAddr::V6(_) => address,
        }
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn open(local: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))?;
    if local.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    Ok(socket)
}

fn new_state(socket: &Socket) -> io::Result<UdpSocketState> {
    let state = UdpSocketState::new(UdpSockRef::from(socket))?;
    sockopt::disable_receive_times(socket.as_fd())?;
    Ok(state)
}

fn codepoint(ecn: Ecn) -> Option<EcnCodepoint> {
    match ecn {
        Ecn::NotCapable => None,
        Ecn::Capable => Some(EcnCodepoint::Ect0),
        Ecn::Capable1 => Some(EcnCodepoint::Ect1),
        Ecn::Congestion => Some(EcnCodepoint::Ce),
    }
}

/// Whether an error tells of the way or the other side, not of the socket.
fn is_about_the_network(error: &io::Error) -> bool {
    const CODES: [i32; 11] = [
        libc::ECONNREFUSED,
        libc::ECONNRESET,
        libc::EHOSTUNREACH,
        libc::EHOSTDOWN,
        libc::ENETUNREACH,
        libc::ENETDOWN,
        libc::EADDRNOTAVAIL, // the local address went away: the host moved
        libc::EPERM,         // a local firewall rule
        libc::EACCES,
        libc::EPROTO,
        libc::ENOBUFS, // the interface's queue is full
    ];
    error.raw_os_error().is_some_and(|code| CODES.contains(&code))
}

/// The wildcard address of the family of `peer`, any port: where a client
/// binds.
#[must_use]
pub fn any_address_for(peer: SocketAddr) -> SocketAddr {
    match peer {
        SocketAddr::V4(_) => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
        SocketAddr::V6(_) => SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0),
    }
}

#[cfg(test)]
mod tests;
