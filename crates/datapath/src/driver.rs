//! The thread that pumps one connection.
//!
//! One thread per session moves both directions: bulk flows one way, reports
//! the other, and both need the same state, so a second thread would add a lock
//! and no throughput. A turn of the loop receives a batch, lets the engine make
//! progress, sends what may leave, and sleeps until a datagram, a wake-up or
//! the next deadline, whichever is first. Nothing in it waits for files:
//! [`Engine`] and [`limosa_transport::Application`] answer from memory.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use limosa_transport::{Application, Closed, Connection, Ecn, Event, Protection, Statistics, Time};

use crate::batch::ReceiveBatch;
use crate::link::Link;
use crate::socket::{Sent, SocketStatistics};
use crate::wait::{Clock, readable, readable_and_writable, sleep_precisely, wait};
use crate::wake::Wakeup;

/// Most bytes made at once for sending: what one system call can take.
const SEND_BUFFER: usize = 65_507;
/// Most calls of `poll_transmit` between two looks at what arrived.
const TRANSMITS_PER_TURN: usize = 16;
/// Pause before the shared socket is tried again when its buffer is full.
const RETRY: Duration = Duration::from_millis(1);
/// How often the kernel is asked for the datagrams it dropped here.
const DROPS_INTERVAL: Duration = Duration::from_millis(20);

/// What a session puts on top of a connection. Called by the driver alone, on
/// its thread; never blocks.
pub trait Engine<P: Protection>: Application {
    /// Takes in what happened elsewhere (files read and written, orders given)
    /// and acts on the connection. Called once per turn. Returns when it wants
    /// to be called again at the latest; a [`crate::Waker`] does it earlier.
    fn progress(&mut self, now: Time, connection: &mut Connection<P>) -> Option<Time>;

    /// Something happened at the connection.
    fn event(&mut self, now: Time, event: &Event, connection: &mut Connection<P>);
}

/// How a driver ended.
#[derive(Debug)]
pub struct Finished<E> {
    /// The engine.
    pub engine: E,
    /// How the session ended, or what broke its socket.
    pub result: io::Result<Closed>,
    /// Figures of the connection.
    pub connection: Statistics,
    /// Figures of the sockets.
    pub sockets: SocketStatistics,
}

/// Pumps one connection; see the [module](self).
pub struct Driver<P, E> {
    connection: Connection<P>,
    engine: E,
    link: Link,
    wakeup: Wakeup,
    clock: Clock,
    batch: ReceiveBatch,
    outgoing: Outbox,
    drops_checked: Time,
}

/// Datagrams made and not yet sent.
struct Outbox {
    buffer: Box<[u8]>,
    to: SocketAddr,
    ecn: Ecn,
    segment: usize,
    unsent: std::ops::Range<usize>,
}

/// Why sending stopped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sending {
    /// Nothing more to send now.
    Idle,
    /// There may be more.
    More,
    /// The socket's buffer is full.
    Blocked,
}

impl<P: Protection, E: Engine<P>> Driver<P, E> {
    /// A driver for `connection`, made with times of `clock`. `wakeup` is what
    /// the wakers given to others wake.
    #[must_use]
    pub fn new(connection: Connection<P>, engine: E, link: impl Into<Link>, wakeup: Wakeup, clock: Clock) -> Self {
        let outgoing = Outbox {
            buffer: vec![0; SEND_BUFFER].into(),
            to: SocketAddr::from(([0; 4], 0)),
            ecn: Ecn::NotCapable,
            segment: 1,
            unsent: 0..0,
        };
        let batch = ReceiveBatch::new();
        Self { connection, engine, link: link.into(), wakeup, clock, batch, outgoing, drops_checked: Time::ZERO }
    }

    /// Pumps until the session has ended. Meant for a thread of its own.
    pub fn run(mut self) -> Finished<E> {
        sleep_precisely();
        let result = loop {
            match self.turn() {
                Ok(None) => {}
                Ok(Some(closed)) => break Ok(closed),
                Err(error) => break Err(error),
            }
        };
        Finished {
            engine: self.engine,
            result,
            connection: self.connection.statistics(),
            sockets: self.link.statistics(),
        }
    }

    fn turn(&mut self) -> io::Result<Option<Closed>> {
        self.wakeup.clear();
        let more = self.receive()?;
        let now = self.clock.now();
        if self.connection.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.connection.handle_deadline(now);
        }
        let wanted = self.engine.progress(now, &mut self.connection);
        let sending = self.transmit()?;
        let closed = self.events();
        if closed.is_some() {
            self.transmit()?;
        } else if !more && sending != Sending::More {
            self.sleep(wanted, sending)?;
        }
        Ok(closed)
    }

    fn receive(&mut self) -> io::Result<bool> {
        let Self { connection, engine, link, batch, clock, .. } = self;
        // The clock is read behind the system call, once for all it brought.
        let mut now = None;
        let more = link.receive(batch, |arrival, datagram| {
            let now = *now.get_or_insert_with(|| clock.now());
            connection.handle_datagram(now, arrival.from, arrival.ecn, datagram, engine);
        })?;
        if let Some(now) = now
            && now.since(self.drops_checked) >= DROPS_INTERVAL
        {
            self.drops_checked = now;
            self.connection.set_socket_drops(self.link.drops());
        }
        Ok(more)
    }

    fn transmit(&mut self) -> io::Result<Sending> {
        for _ in 0..TRANSMITS_PER_TURN {
            if self.outgoing.unsent.is_empty() {
                let now = self.clock.now();
                let made = self.connection.poll_transmit(now, &mut self.engine, &mut self.outgoing.buffer);
                let Some(transmit) = made else { return Ok(Sending::Idle) };
                self.outgoing.to = transmit.to;
                self.outgoing.ecn = transmit.ecn;
                self.outgoing.segment = transmit.segment;
                self.outgoing.unsent = 0..transmit.length;
            }
            if !self.outgoing.send(&mut self.link)? {
                return Ok(Sending::Blocked);
            }
        }
        Ok(Sending::More)
    }

    fn events(&mut self) -> Option<Closed> {
        while let Some(event) = self.connection.poll_event() {
            if let Event::Opened { peer, .. } | Event::PeerMoved { peer } = event
                && let Err(error) = self.link.confirm(peer)
            {
                tracing::warn!(%peer, %error, "no socket for this peer alone; using the shared one");
            }
            self.engine.event(self.clock.now(), &event, &mut self.connection);
            if let Event::Closed(closed) = event {
                return Some(closed);
            }
        }
        None
    }

    /// Sleeps until there is something to do.
    fn sleep(&self, wanted: Option<Time>, sending: Sending) -> io::Result<()> {
        let deadline = [wanted, self.connection.next_deadline()].into_iter().flatten().min();
        let timeout = deadline.map(|deadline| deadline.since(self.clock.now()));
        if timeout == Some(Duration::ZERO) {
            return Ok(());
        }
        let wakeup = readable(&self.wakeup);
        match (self.link.fd(), sending) {
            (Some(socket), Sending::Blocked) => wait(&mut [wakeup, readable_and_writable(&socket)], timeout),
            (Some(socket), _) => wait(&mut [wakeup, readable(&socket)], timeout),
            // Blocked at the shared socket, which others wait for too.
            (None, Sending::Blocked) => wait(&mut [wakeup], Some(timeout.unwrap_or(RETRY).min(RETRY))),
            (None, _) => wait(&mut [wakeup], timeout),
        }
    }
}

impl Outbox {
    /// Sends what is unsent; whether all of it left.
    fn send(&mut self, link: &mut Link) -> io::Result<bool> {
        while !self.unsent.is_empty() {
            match link.send(self.to, self.ecn, self.segment, &self.buffer[self.unsent.clone()])? {
                Sent::Bytes(bytes) => self.unsent.start += bytes,
                Sent::Blocked => return Ok(false),
            }
        }
        Ok(true)
    }
}

impl<P, E> std::fmt::Debug for Driver<P, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("link", &self.link).finish_non_exhaustive()
    }
}
