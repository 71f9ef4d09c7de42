//! Two ends of a session without files: real sockets, real protection, bytes
//! made up by the sender and compared or dropped by the receiver.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use limosa_datapath::{BufferSizes, Clock, Driver, Engine, Finished, Link, UdpSocket, Waker, waker};
use limosa_seal::datagram::{DatagramOpener, DatagramSealer};
use limosa_seal::schedule::{KeyMaterial, Role, Transcript};
use limosa_seal::{AlgorithmSet, Secret};
use limosa_transport::{Application, Config, Connection, Delivery, Event, Protection, QueueState, Time};
use limosa_wire::frame::StreamId;
use limosa_wire::setup::Suite;
use limosa_wire::{Code, Offset, PacketNumber, SessionId};

/// Protection by the keys of a session.
pub struct Sealed(DatagramSealer, DatagramOpener);

impl Protection for Sealed {
    fn seal(&mut self, number: PacketNumber, header: &[u8], inside: &mut [u8]) {
        self.0.seal(number, header, inside).expect("numbers rise, and there is room for the tag");
    }

    fn open(&mut self, number: PacketNumber, header: &[u8], inside: &mut [u8]) -> Option<usize> {
        self.1.open(number, header, inside).ok().map(|frames| frames.len())
    }
}

/// The protection of both ends of one session: client, server.
pub fn protections(session: SessionId) -> (Sealed, Sealed) {
    let (server_random, client_random) = (Secret::random(), Secret::random());
    let keys = |role| {
        let material = KeyMaterial {
            server_random: &server_random,
            client_random: &client_random,
            suite: AlgorithmSet::Ordinary.suite(Suite::Aes128Gcm).expect("it is an ordinary suite"),
            session,
            transcript: Transcript::start().client_hello(b"1").request(b"2").server_hello(b"3").answer(b"4"),
        };
        let (sealer, opener) = material.keys(role);
        Sealed(sealer, opener)
    };
    (keys(Role::Client), keys(Role::Server))
}

/// The byte at a place of the made-up content.
const PERIOD: usize = 1 << 20;

fn period() -> Vec<u8> {
    (0..PERIOD as u32).map(|at| (at ^ (at >> 8).wrapping_mul(31) ^ (at >> 15)) as u8).collect()
}

/// How far an end has come, for others to watch.
pub type Progress = Arc<AtomicU64>;

/// Sends made-up bytes and closes when the peer has all.
pub struct Source {
    length: u64,
    offered: bool,
    content: Vec<u8>,
    pub events: Vec<Event>,
    pub acknowledged: Progress,
}

impl Source {
    pub fn new(length: u64) -> Self {
        Self { length, offered: false, content: period(), events: Vec::new(), acknowledged: Progress::default() }
    }
}

impl Application for Source {
    fn fill(&mut self, offset: Offset, out: &mut [u8]) -> usize {
        let at = offset.0 as usize % PERIOD;
        let length = out.len().min(PERIOD - at);
        out[..length].copy_from_slice(&self.content[at..at + length]);
        length
    }

    fn acknowledged(&mut self, _: Offset, length: u64) {
        self.acknowledged.fetch_add(length, Ordering::Relaxed);
    }

    fn deliver(&mut self, _: Offset, _: &[u8]) -> Delivery {
        Delivery::Duplicate
    }

    fn queue(&self) -> QueueState {
        QueueState { queued: 0, capacity: 1, drained: 0 }
    }

    fn stream(&mut self, _: StreamId, _: &[u8]) {}
}

impl<P: Protection> Engine<P> for Source {
    fn progress(&mut self, now: Time, connection: &mut Connection<P>) -> Option<Time> {
        if connection.is_open() && !self.offered {
            connection.offer(Offset(0), self.length);
            self.offered = true;
        } else if self.offered && connection.unacknowledged() == 0 && !connection.is_closed() {
            connection.close(now, Code::OK, "all sent");
        }
        None
    }

    fn event(&mut self, _: Time, event: &Event, _: &mut Connection<P>) {
        self.events.push(event.clone());
    }
}

/// Compares what arrives with the made-up content and forgets it.
pub struct Sink {
    content: Vec<u8>,
    ranges: BTreeMap<u64, u64>,
    pub received: u64,
    pub wrong: u64,
    compare: bool,
    pub events: Vec<Event>,
}

impl Sink {
    /// `compare`: look at every byte.
    pub fn new(compare: bool) -> Self {
        Self { content: period(), ranges: BTreeMap::new(), received: 0, wrong: 0, compare, events: Vec::new() }
    }

    /// Notes a range; how many bytes of it are new.
    fn note(&mut self, start: u64, end: u64) -> u64 {
        let (mut low, mut high, mut known) = (start, end, 0);
        let touching: Vec<_> = self.ranges.range(..=end).rev().take_while(|(_, last)| **last >= start).collect();
        let touching: Vec<_> = touching.into_iter().map(|(first, last)| (*first, *last)).collect();
        for (first, last) in touching {
            known += last.min(end).saturating_sub(first.max(start));
            low = low.min(first);
            high = high.max(last);
            self.ranges.remove(&first);
        }
        self.ranges.insert(low, high);
        end - start - known
    }
}

impl Application for Sink {
    fn fill(&mut self, _: Offset, _: &mut [u8]) -> usize {
        0
    }

    fn acknowledged(&mut self, _: Offset, _: u64) {}

    fn deliver(&mut self, offset: Offset, bytes: &[u8]) -> Delivery {
        let at = offset.0 as usize % PERIOD;
        if self.compare {
            let expected = self.content.iter().cycle().skip(at);
            self.wrong += bytes.iter().zip(expected).filter(|(a, b)| a != b).count() as u64;
        } else {
            // What a receiver does at least: copy it once.
            let length = bytes.len().min(PERIOD - at);
            self.content[at..at + length].copy_from_slice(&bytes[..length]);
        }
        let new = self.note(offset.0, offset.0 + bytes.len() as u64);
        self.received += new;
        if new == 0 { Delivery::Duplicate } else { Delivery::Kept }
    }

    fn queue(&self) -> QueueState {
        QueueState { queued: 0, capacity: 64 << 20, drained: self.received }
    }

    fn stream(&mut self, _: StreamId, _: &[u8]) {}
}

impl<P: Protection> Engine<P> for Sink {
    fn progress(&mut self, _: Time, _: &mut Connection<P>) -> Option<Time> {
        None
    }

    fn event(&mut self, _: Time, event: &Event, _: &mut Connection<P>) {
        self.events.push(event.clone());
    }
}

/// A socket on loopback.
pub fn loopback_socket() -> UdpSocket {
    UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), BufferSizes::default()).expect("loopback has a port")
}

/// An end that pumps in a thread of its own.
pub type Running<E> = std::thread::JoinHandle<Finished<E>>;

/// Starts one end. `link` gets the waker that the end is woken by.
pub fn start<E: Engine<Sealed> + Send + 'static>(
    config: Config,
    protection: Sealed,
    engine: E,
    link: impl FnOnce(Waker) -> Link,
) -> Running<E> {
    let (waker, wakeup) = waker().expect("there are descriptors left");
    let clock = Clock::start();
    let connection = Connection::new(clock.now(), config, protection);
    let driver = Driver::new(connection, engine, link(waker), wakeup, clock);
    std::thread::spawn(move || driver.run())
}
