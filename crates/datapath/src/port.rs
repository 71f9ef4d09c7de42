//! One UDP port of a server for all its sessions.
//!
//! A thread reads the shared socket and hands each datagram to the session it
//! names, through a bounded queue; what names none is dropped, counted, never
//! answered. In steady state it has nothing to do: a session whose peer is
//! confirmed has a connected socket of its own at the same port, and the kernel
//! delivers there. The shared socket only sees first datagrams, moved clients
//! and strangers.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use limosa_wire::SessionId;
use limosa_wire::datagram::Header;

use crate::batch::{Arrival, ReceiveBatch};
use crate::buffers::{BufferSizes, GrantedBuffers};
use crate::socket::{Outgoing, Sent, UdpSocket};
use crate::wait::{readable, wait};
use crate::wake::{Waker, Wakeup, waker};

/// Datagrams that may wait for one session at the shared port; beyond, they
/// are lost like any others.
pub(crate) const QUEUE: usize = 256;

/// Rest after a first failure at the port; each further one in a row doubles
/// it.
const FIRST_REST: Duration = Duration::from_millis(1);

/// Longest rest after a failure.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// A datagram that came in at the shared port.
#[derive(Debug)]
pub(crate) struct Forwarded {
    pub(crate) arrival: Arrival,
    pub(crate) bytes: Box<[u8]>,
}

/// Counts of what happened at a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStatistics {
    /// Datagrams handed to a session.
    pub forwarded: u64,
    /// Datagrams that were none of this protocol or named no session.
    pub foreign: u64,
    /// Datagrams dropped because a session's queue was full.
    pub overflowed: u64,
}

#[derive(Debug, Default)]
struct Counters {
    forwarded: AtomicU64,
    foreign: AtomicU64,
    overflowed: AtomicU64,
}

#[derive(Debug)]
struct Route {
    queue: SyncSender<Forwarded>,
    waker: Waker,
}

#[derive(Debug)]
struct Shared {
    socket: Mutex<UdpSocket>,
    routes: Mutex<HashMap<SessionId, Route>>,
    counters: Counters,
    closing: AtomicBool,
    local: SocketAddr,
    buffers: GrantedBuffers,
}

/// A panic elsewhere leaves nothing half done behind these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A server's port; dropping it closes the port, while sessions with sockets of
/// their own go on.
#[derive(Debug)]
pub struct SharedPort {
    shared: Arc<Shared>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl SharedPort {
    /// Opens the port and starts its thread.
    ///
    /// # Errors
    /// If the address is not this machine's, the port is taken, or no thread
    /// can be started.
    pub fn open(local: SocketAddr, buffers: BufferSizes) -> io::Result<Self> {
        let socket = UdpSocket::bind_shared(local, buffers)?;
        // To wait at without the lock; made now, as later there may be no
        // descriptor left.
        let waited_at = socket.as_fd().try_clone_to_owned()?;
        let shared = Arc::new(Shared {
            local: socket.local_addr(),
            buffers: socket.buffers(),
            socket: Mutex::new(socket),
            routes: Mutex::default(),
            counters: Counters::default(),
            closing: AtomicBool::new(false),
        });
        let (waker, wakeup) = waker()?;
        let thread = {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new().name("udp-port".into()).spawn(move || shared.serve(&waited_at, &wakeup))?
        };
        Ok(Self { shared, waker, thread: Some(thread) })
    }

    /// The address it is open at.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.local
    }

    /// Sizes of the shared socket's buffers; those of the sessions' sockets are
    /// granted alike.
    #[must_use]
    pub fn buffers(&self) -> GrantedBuffers {
        self.shared.buffers
    }

    /// What happened so far.
    #[must_use]
    pub fn statistics(&self) -> PortStatistics {
        let Counters { forwarded, foreign, overflowed } = &self.shared.counters;
        PortStatistics {
            forwarded: forwarded.load(Ordering::Relaxed),
            foreign: foreign.load(Ordering::Relaxed),
            overflowed: overflowed.load(Ordering::Relaxed),
        }
    }

    /// Lets datagrams that name `session` be handed to the caller, whose driver
    /// `waker` wakes. `None` if a live session has this id: draw another.
    #[must_use]
    pub fn register(&self, session: SessionId, waker: Waker) -> Option<Registration> {
        let (queue, datagrams) = sync_channel(QUEUE);
        match lock(&self.shared.routes).entry(session) {
            Entry::Occupied(_) => None,
            Entry::Vacant(place) => {
                place.insert(Route { queue, waker });
                Some(Registration { shared: Arc::clone(&self.shared), session, datagrams })
            }
        }
    }
}

impl Drop for SharedPort {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn serve(&self, socket: &OwnedFd, wakeup: &Wakeup) {
        let mut batch = ReceiveBatch::new();
        let mut rest = FIRST_REST;
        while !self.closing.load(Ordering::Acquire) {
            match self.serve_once(socket, wakeup, &mut batch) {
                Ok(()) => rest = FIRST_REST,
                Err(error) => rest = self.rest_after(&error, rest, wakeup),
            }
        }
    }

    /// Rests after a failure, which may pass, as running out of memory does;
    /// how long to rest after the next.
    fn rest_after(&self, error: &io::Error, rest: Duration, wakeup: &Wakeup) -> Duration {
        tracing::error!(port = self.local.port(), %error, ?rest, "the UDP port failed, and is tried again");
        if wait(&mut [readable(wakeup)], Some(rest)).is_err() {
            std::thread::sleep(rest);
        }
        LONGEST_REST.min(rest * 2)
    }

    fn serve_once(&self, socket: &OwnedFd, wakeup: &Wakeup, batch: &mut ReceiveBatch) -> io::Result<()> {
        wakeup.clear();
        lock(&self.socket).receive(batch)?;
        for (arrival, datagram) in batch.datagrams() {
            self.forward(arrival, datagram);
        }
        if batch.is_empty() && !self.closing.load(Ordering::Acquire) {
            wait(&mut [readable(socket), readable(wakeup)], None)?;
        }
        Ok(())
    }

    fn forward(&self, arrival: Arrival, datagram: &[u8]) {
        let count = |counter: &AtomicU64| _ = counter.fetch_add(1, Ordering::Relaxed);
        let Ok((header, _)) = Header::decode(datagram) else { return count(&self.counters.foreign) };
        let routes = lock(&self.routes);
        let Some(route) = routes.get(&header.session) else { return count(&self.counters.foreign) };
        match route.queue.try_send(Forwarded { arrival, bytes: datagram.into() }) {
            Ok(()) => {
                count(&self.counters.forwarded);
                route.waker.wake();
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => count(&self.counters.overflowed),
        }
    }
}

/// A session's place at a shared port; dropping it gives the place up.
#[derive(Debug)]
pub struct Registration {
    shared: Arc<Shared>,
    session: SessionId,
    datagrams: Receiver<Forwarded>,
}

impl Registration {
    /// The next datagram that came in at the shared port.
    pub(crate) fn take(&self) -> Option<Forwarded> {
        self.datagrams.try_recv().ok()
    }

    /// Sends from the shared port.
    pub(crate) fn send(&self, outgoing: &Outgoing<'_>) -> io::Result<Sent> {
        lock(&self.shared.socket).send(outgoing)
    }

    /// A socket at this port that takes datagrams of `peer` alone.
    pub(crate) fn connect(&self, local: Option<IpAddr>, peer: SocketAddr) -> io::Result<UdpSocket> {
        lock(&self.shared.socket).connected(local, peer, self.shared.buffers.asked)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        lock(&self.shared.routes).remove(&self.session);
    }
}

#[cfg(test)]
mod tests;
