//! The relay's thread: reads its sockets, keeps what is under way, sends what
//! is due.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use limosa_transport::{Ecn, Time};
use rustix::event::PollFd;

use super::line::{Bottleneck, LineCounts};
use super::{Blackout, Board};
use crate::batch::ReceiveBatch;
use crate::socket::{Outgoing, Sent, UdpSocket};
use crate::wait::{Clock, readable, sleep_precisely, wait};
use crate::wake::Wakeup;
use crate::{Arrival, BufferSizes};

/// What is due within this time is sent together.
const GRAIN: Duration = Duration::from_micros(100);
/// Most clients at once; the longest known gives way.
const MOST_CLIENTS: usize = 64;
/// Most bytes sent with one call.
const SEND_BUFFER: usize = 65_507;
/// Buffers kept for reuse.
const SPARE_BUFFERS: usize = 4096;

/// A datagram under way.
struct Flying {
    due: Time,
    client: SocketAddr,
    ecn: Ecn,
    bytes: Vec<u8>,
}

/// One direction.
struct Way {
    bottleneck: Bottleneck,
    flying: VecDeque<Flying>,
}

/// A client and the socket it has towards the server.
struct Client {
    address: SocketAddr,
    back: UdpSocket,
}

/// All the thread has.
pub(super) struct Forwarder {
    front: UdpSocket,
    server: SocketAddr,
    clients: Vec<Client>,
    forward: Way,
    back: Way,
    batch: ReceiveBatch,
    spare: Vec<Vec<u8>>,
    sending: Vec<u8>,
    clock: Option<Clock>,
}

/// What the thread waits for.
pub(super) struct Pause<'a> {
    fds: Vec<PollFd<'a>>,
    timeout: Option<Duration>,
}

impl Pause<'_> {
    pub(super) fn sleep(mut self) -> io::Result<()> {
        wait(&mut self.fds, self.timeout)
    }
}

impl Way {
    fn new(seed: u64) -> Self {
        Self { bottleneck: Bottleneck::new(seed), flying: VecDeque::new() }
    }
}

impl Forwarder {
    pub(super) fn new(front: UdpSocket, server: SocketAddr, seed: u64) -> Self {
        Self {
            front,
            server,
            clients: Vec::new(),
            forward: Way::new(seed),
            back: Way::new(!seed),
            batch: ReceiveBatch::new(),
            spare: Vec::new(),
            sending: Vec::with_capacity(SEND_BUFFER),
            clock: None,
        }
    }

    /// Does all that can be done now.
    pub(super) fn turn<'a>(&'a mut self, board: &mut Board, wakeup: &'a Wakeup) -> io::Result<Pause<'a>> {
        let clock = *self.clock.get_or_insert_with(|| {
            sleep_precisely();
            Clock::start()
        });
        wakeup.clear();
        if std::mem::take(&mut board.rebind) {
            for client in &mut self.clients {
                client.back = towards(self.server)?;
            }
        }
        let mut more = self.take_forward(board, clock)?;
        more |= self.take_back(board, clock)?;
        self.send_due(clock.now())?;
        let timeout = if more { Some(Duration::ZERO) } else { self.next_due(clock.now()) };
        let sockets = self.clients.iter().map(|client| readable(&client.back));
        let fds = [readable(wakeup), readable(&self.front)].into_iter().chain(sockets).collect();
        Ok(Pause { fds, timeout })
    }

    fn take_forward(&mut self, board: &mut Board, clock: Clock) -> io::Result<bool> {
        self.front.receive(&mut self.batch)?;
        let now = clock.now();
        let dark = matches!(board.blackout, Blackout::Forward | Blackout::Both);
        for (arrival, datagram) in self.batch.datagrams() {
            if !self.clients.iter().any(|client| client.address == arrival.from) {
                if self.clients.len() == MOST_CLIENTS {
                    self.clients.remove(0);
                }
                self.clients.push(Client { address: arrival.from, back: towards(self.server)? });
            }
            let counts = &mut board.statistics.forward;
            if !darkened(dark, counts)
                && let Some(due) = self.forward.bottleneck.pass(&board.line, now, datagram.len(), counts)
            {
                self.forward.flying.push_back(fly(due, arrival.from, arrival, datagram, &mut self.spare));
            }
        }
        Ok(self.batch.is_full())
    }

    fn take_back(&mut self, board: &mut Board, clock: Clock) -> io::Result<bool> {
        let dark = matches!(board.blackout, Blackout::Back | Blackout::Both);
        let mut more = false;
        for client in &mut self.clients {
            client.back.receive(&mut self.batch)?;
            let now = clock.now();
            more |= self.batch.is_full();
            for (arrival, datagram) in self.batch.datagrams().filter(|(arrival, _)| arrival.from == self.server) {
                let counts = &mut board.statistics.back;
                if !darkened(dark, counts)
                    && let Some(due) = self.back.bottleneck.pass(&board.line, now, datagram.len(), counts)
                {
                    self.back.flying.push_back(fly(due, client.address, arrival, datagram, &mut self.spare));
                }
            }
        }
        Ok(more)
    }

    fn send_due(&mut self, now: Time) -> io::Result<()> {
        let Self { front, clients, forward, back, sending, spare, server, .. } = self;
        while let Some((client, ecn, segment)) = forward.gather(now, sending, spare) {
            if let Some(client) = clients.iter_mut().find(|known| known.address == client) {
                send(&mut client.back, *server, ecn, segment, sending)?;
            }
        }
        while let Some((client, ecn, segment)) = back.gather(now, sending, spare) {
            send(front, client, ecn, segment, sending)?;
        }
        Ok(())
    }

    /// How long until something is due, rounded up to the grain.
    fn next_due(&self, now: Time) -> Option<Duration> {
        let ways = [&self.forward, &self.back];
        let due = ways.iter().filter_map(|way| way.flying.front()).map(|flying| flying.due).min()?;
        Some(due.since(now).max(GRAIN))
    }
}

impl Way {
    /// Collects what is due and may leave with one call: datagrams of one
    /// client, equal in size but for the last. Says whose, how marked, and the
    /// size.
    fn gather(
        &mut self,
        now: Time,
        sending: &mut Vec<u8>,
        spare: &mut Vec<Vec<u8>>,
    ) -> Option<(SocketAddr, Ecn, usize)> {
        sending.clear();
        let first = self.flying.front().filter(|flying| flying.due <= now)?;
        let (client, ecn, segment) = (first.client, first.ecn, first.bytes.len());
        let fits = |flying: &Flying, used: usize| {
            flying.due <= now
                && (flying.client, flying.ecn) == (client, ecn)
                && flying.bytes.len() <= segment
                && used.is_multiple_of(segment)
                && used + flying.bytes.len() <= SEND_BUFFER
        };
        while let Some(flying) = self.flying.pop_front_if(|flying| fits(flying, sending.len())) {
            sending.extend_from_slice(&flying.bytes);
            if spare.len() < SPARE_BUFFERS {
                spare.push(flying.bytes);
            }
        }
        Some((client, ecn, segment))
    }
}

fn towards(server: SocketAddr) -> io::Result<UdpSocket> {
    UdpSocket::bind(SocketAddr::new(server.ip(), 0), BufferSizes::default())
}

fn darkened(dark: bool, counts: &mut LineCounts) -> bool {
    if dark {
        counts.entered += 1;
        counts.blacked_out += 1;
    }
    dark
}

fn fly(due: Time, client: SocketAddr, arrival: Arrival, datagram: &[u8], spare: &mut Vec<Vec<u8>>) -> Flying {
    let mut bytes = spare.pop().unwrap_or_default();
    bytes.clear();
    bytes.extend_from_slice(datagram);
    Flying { due, client, ecn: arrival.ecn, bytes }
}

/// Sends; what the socket has no room for is lost, as at any router.
fn send(socket: &mut UdpSocket, to: SocketAddr, ecn: Ecn, segment: usize, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match socket.send(&Outgoing { to, local: None, ecn, segment, bytes })? {
            Sent::Bytes(sent) => bytes = &bytes[sent..],
            Sent::Blocked => return Ok(()),
        }
    }
    Ok(())
}
