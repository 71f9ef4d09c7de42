//! The UDP ports of a session: one port of a server for all its sessions, one
//! out of a range for a session program on its own, any for a client.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use limosa_datapath::{BufferSizes, LentPort, Link, SharedPort, UdpSocket, Waker, Wakeup, any_address_for, waker};
use limosa_wire::SessionId;

use crate::keys::fresh_session_id;

/// Where a server's sessions get their ports.
#[derive(Clone, Debug)]
pub enum ServerPorts {
    /// One port for all sessions of this process, told apart by session id.
    Shared(SharedUdp),
    /// A port of its own for each session, out of these.
    Range {
        /// First port.
        first: u16,
        /// Last port.
        last: u16,
    },
    /// The port of another process, which lends it at this Unix socket.
    Lent(PathBuf),
}

impl ServerPorts {
    /// Whether somebody lends a port at the Unix socket `path`.
    #[must_use]
    pub fn is_lent_at(path: &Path) -> bool {
        connect_to_lender(path).is_ok()
    }
}

/// One UDP port for all sessions of a process; clones share it.
#[derive(Clone, Debug)]
pub struct SharedUdp(Arc<SharedPort>);

impl SharedUdp {
    /// Opens the port.
    ///
    /// # Errors
    /// If the address is not this machine's or the port is taken.
    pub fn open(local: SocketAddr) -> io::Result<Self> {
        SharedPort::open(local, BufferSizes::default()).map(|port| Self(Arc::new(port)))
    }

    /// The address it is open at.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.0.local_addr()
    }

    /// Lends a place at the port to the process at the other end of `socket`,
    /// for as long as that keeps it; then calls `ended`.
    ///
    /// # Errors
    /// If there can be no thread for it.
    pub fn lend(&self, socket: OwnedFd, ended: impl FnOnce() + Send + 'static) -> io::Result<()> {
        limosa_datapath::lend(Arc::clone(&self.0), socket, ended)
    }

    /// A handle that does not keep the port open.
    #[must_use]
    pub fn downgrade(&self) -> WeakUdp {
        WeakUdp(Arc::downgrade(&self.0))
    }

    /// What an administrator can do about socket buffers that are too small.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        self.0.buffers().advice()
    }
}

/// A [`SharedUdp`] that may be closed already.
#[derive(Clone, Debug, Default)]
pub struct WeakUdp(Weak<SharedPort>);

impl WeakUdp {
    /// The port, if it is still open.
    #[must_use]
    pub fn upgrade(&self) -> Option<SharedUdp> {
        self.0.upgrade().map(SharedUdp)
    }
}

/// A session's place on the network, before its driver runs.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) session: SessionId,
    pub(crate) link: Link,
    pub(crate) port: u16,
    pub(crate) waker: Waker,
    pub(crate) wakeup: Wakeup,
}

impl ServerPorts {
    /// A new session's place. `reached` is the address at which the client
    /// reached this machine, to listen in its family.
    pub(crate) fn reserve(&self, reached: Option<IpAddr>) -> io::Result<Place> {
        let (waker, wakeup) = waker()?;
        match self {
            Self::Shared(SharedUdp(port)) => {
                let mut registration = None;
                let session = fresh_session_id(|id| {
                    registration = port.register(id, waker.clone());
                    registration.is_none()
                });
                let registration = registration.expect("an id is fresh only once it is registered");
                Ok(Place { session, link: registration.into(), port: port.local_addr().port(), waker, wakeup })
            }
            Self::Range { first, last } => {
                let socket = bind_in_range(*first..=*last, any_like(reached))?;
                let port = socket.local_addr().port();
                Ok(Place { session: fresh_session_id(|_| false), link: socket.into(), port, waker, wakeup })
            }
            Self::Lent(path) => {
                let draw = || fresh_session_id(|_| false);
                let (session, lent) = LentPort::borrow(connect_to_lender(path)?, waker.clone(), draw)?;
                Ok(Place { session, port: lent.port(), link: lent.into(), waker, wakeup })
            }
        }
    }
}

fn connect_to_lender(path: &Path) -> io::Result<OwnedFd> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

fn any_like(address: Option<IpAddr>) -> IpAddr {
    match address {
        Some(IpAddr::V4(_)) => Ipv4Addr::UNSPECIFIED.into(),
        _ => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// Binds to the first port that is free, counted from a random one so that
/// sessions which start together rarely collide.
fn bind_in_range(ports: std::ops::RangeInclusive<u16>, any: IpAddr) -> io::Result<UdpSocket> {
    let count = u32::from(ports.end() - ports.start()) + 1;
    let start = u32::from_be_bytes(limosa_seal::random()) % count;
    let mut refusal = None;
    for step in 0..count {
        // Below `count`, which fits a port.
        #[allow(clippy::cast_possible_truncation)]
        let port = ports.start() + ((start + step) % count) as u16;
        let v4 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
        let socket = match UdpSocket::bind(SocketAddr::new(any, port), BufferSizes::default()) {
            // A machine without IPv6.
            Err(error) if any.is_ipv6() && error.kind() != io::ErrorKind::AddrInUse => {
                UdpSocket::bind(v4, BufferSizes::default())
            }
            bound => bound,
        };
        match socket {
            Ok(socket) => return Ok(socket),
            Err(error) => refusal = Some(error),
        }
    }
    Err(refusal.unwrap_or_else(|| io::Error::from(io::ErrorKind::AddrInUse)))
}

/// A client's socket towards `server`, at `port` or any.
pub(crate) fn client_socket(server: SocketAddr, port: Option<u16>) -> io::Result<UdpSocket> {
    let mut local = any_address_for(server);
    local.set_port(port.unwrap_or(0));
    UdpSocket::bind(local, BufferSizes::default())
}

/// What the user or an administrator can do about the buffers this machine
/// grants, if they are too small.
///
/// # Errors
/// If no socket can be had.
pub fn buffer_advice() -> io::Result<Option<String>> {
    let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
    UdpSocket::bind(any, BufferSizes::default()).map(|socket| socket.buffers().advice())
}
