//! A long line made of two UDP sockets: rate, delay, loss, a queue.
//!
//! For showing and testing on one machine, without root: clients send to the
//! relay instead of the server, and all their datagrams share one bottleneck
//! each way. Each client address gets a socket of its own towards the server,
//! as behind address translation, and [`Relay::rebind`] gives it another, as
//! when such a mapping is lost. Everything crosses real sockets; one thread
//! does it all.
//!
//! The line is a first-in, first-out queue in front of a transmitter of fixed
//! rate, counting IP and UDP headers; datagrams that would wait longer than the
//! queue lasts are dropped, those that are transmitted are lost at random with
//! the given probability, each way, and the rest arrive half a round trip
//! later.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::BufferSizes;
use crate::socket::UdpSocket;
use crate::wake::{Waker, waker};

mod forward;
mod line;

use forward::{Forwarder, Pause};
pub use line::{InvalidLine, Line, LineCounts};

/// Which way a relay lets nothing through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Blackout {
    /// None: all passes.
    #[default]
    Off,
    /// From clients to the server.
    Forward,
    /// From the server to clients.
    Back,
    /// Both ways.
    Both,
}

/// What a relay has carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RelayStatistics {
    /// From clients to the server.
    pub forward: LineCounts,
    /// From the server to clients.
    pub back: LineCounts,
}

/// What the relay's thread is told and tells.
#[derive(Debug, Default)]
struct Board {
    line: Line,
    blackout: Blackout,
    rebind: bool,
    statistics: RelayStatistics,
}

#[derive(Debug)]
struct Shared {
    board: Mutex<Board>,
    closing: AtomicBool,
}

impl Shared {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running relay; dropping it ends it.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Starts a relay to `server`, at a free port of the same address. `seed`
    /// decides which datagrams are lost.
    ///
    /// # Errors
    /// If a socket or thread cannot be had.
    pub fn start(server: SocketAddr, line: Line, seed: u64) -> io::Result<Self> {
        let front = UdpSocket::bind(SocketAddr::new(server.ip(), 0), BufferSizes::default())?;
        let address = front.local_addr();
        let board = Mutex::new(Board { line, ..Board::default() });
        let shared = Arc::new(Shared { board, closing: AtomicBool::new(false) });
        let (waker, wakeup) = waker()?;
        let mut forwarder = Forwarder::new(front, server, seed);
        let thread = {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new().name("relay".into()).spawn(move || {
                while !shared.closing.load(Ordering::Acquire) {
                    // The board is free again before the thread sleeps.
                    let turn = forwarder.turn(&mut shared.board(), &wakeup);
                    if let Err(error) = turn.and_then(Pause::sleep) {
                        tracing::error!(%error, "the relay failed");
                        return;
                    }
                }
            })?
        };
        Ok(Self { address, shared, waker, thread: Some(thread) })
    }

    /// Where clients send instead of to the server.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the line; what is under way arrives as it would have.
    pub fn set_line(&self, line: Line) {
        self.shared.board().line = line;
    }

    /// Lets nothing through, one way or both, until told otherwise.
    pub fn set_blackout(&self, blackout: Blackout) {
        self.shared.board().blackout = blackout;
    }

    /// Gives every client another address towards the server. What the server
    /// still sends to the old ones is lost.
    pub fn rebind(&self) {
        self.shared.board().rebind = true;
        self.waker.wake();
    }

    /// What was carried so far.
    #[must_use]
    pub fn statistics(&self) -> RelayStatistics {
        self.shared.board().statistics
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
