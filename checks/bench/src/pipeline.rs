//! A whole transfer from file to file on one thread and in virtual time, so that
//! what a megabyte costs can be counted: allocations, system calls, instructions.
//!
//! Engines, connections, protection, digests and files are those that ship; only
//! sockets, threads and the clock are missing, and with them all that differs
//! from run to run. What the data path would hand to the kernel is counted
//! instead: each [`Connection::poll_transmit`] is one call that sends.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use limosa_storage::{Confinement, LocalStore, StorageError, StorePath};
use limosa_transfer::job::{Job, perform};
use limosa_transfer::receiver::{Destination, PartialNames, Receiver, ReceiverOptions, Survey};
use limosa_transfer::sender::{self, Sender, SenderConfig, Source};
use limosa_transport::rate::{Policy, RateLimits};
use limosa_transport::{Config, Connection, Ecn, Event, Time};
use limosa_wire::setup::Durability;
use limosa_wire::{Code, Rate, SessionId};

use crate::line::{DATAGRAM, DELAY, Way};
use crate::protection::{Sealed, algorithm};

const SESSION: SessionId = SessionId(9);
const RATE: u64 = 1_000_000_000;
/// What a driver gives the connection to fill.
const BURST: usize = 65_507;
/// Nothing takes so long, in virtual time.
const LIMIT: Duration = Duration::from_secs(600);
/// Where the file is below the source's root, and where it goes.
const SOURCE: &str = "source";
const DESTINATION: &str = "in/";

/// What a run took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Calls that hand datagrams to the kernel, at the sending end.
    pub sends: u64,
    /// Datagrams that these held.
    pub datagrams: u64,
    /// Calls that send reports and verdicts, at the receiving end.
    pub returns: u64,
}

/// One end: connection, job, files.
struct End {
    connection: Connection<Sealed>,
    job: Job,
    store: LocalStore,
    address: SocketAddr,
    wanted: Option<Time>,
    closed: Option<Code>,
    sends: u64,
    datagrams: u64,
}

impl End {
    fn new(config: Config, protection: Sealed, job: Job, store: LocalStore, address: SocketAddr) -> Self {
        let limits = RateLimits { target: None, cap: Rate::from_bits_per_second(RATE) };
        let config = config.with_rate(Policy::Fair, limits).with_rtt(2 * DELAY).with_largest_packet(DATAGRAM);
        let connection = Connection::new(Time::ZERO, config, protection);
        Self { connection, job, store, address, wanted: None, closed: None, sends: 0, datagrams: 0 }
    }

    /// Lets the job and its files work, then sends what may leave.
    fn turn(&mut self, now: Time, way: &mut Way, buffer: &mut [u8]) {
        if self.connection.next_deadline().is_some_and(|at| at <= now) {
            self.connection.handle_deadline(now);
        }
        self.wanted = self.job.advance(now, &mut self.connection);
        while let Some(operation) = self.job.poll_operation() {
            self.job.complete(now, perform(&self.store, operation));
            self.wanted = self.job.advance(now, &mut self.connection);
        }
        while self.job.poll_event().is_some() {}
        while let Some(transmit) = self.connection.poll_transmit(now, &mut self.job, buffer) {
            self.sends += 1;
            for datagram in buffer[..transmit.length].chunks(transmit.segment) {
                self.datagrams += 1;
                way.send(now, datagram);
            }
        }
        while let Some(event) = self.connection.poll_event() {
            if let Event::Closed(closed) = event {
                self.closed = Some(closed.code);
            }
        }
    }

    fn receive(&mut self, now: Time, from: SocketAddr, way: &mut Way) {
        while let Some(mut flying) = way.arrived(now) {
            self.connection.handle_datagram(now, from, Ecn::NotCapable, flying.bytes(), &mut self.job);
            way.take_back(flying);
        }
    }

    /// When there is something to do next.
    fn deadline(&self) -> Option<Time> {
        [self.wanted, self.connection.next_deadline()].into_iter().flatten().min()
    }
}

/// A transfer of one file; see the [module](self).
pub struct Pipeline {
    now: Time,
    client: End,
    server: End,
    up: Way,
    down: Way,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for Pipeline {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Pipeline").field("now", &self.now).field("calls", &self.calls()).finish_non_exhaustive()
    }
}

impl Pipeline {
    /// A transfer of the file `source` in `directory` to `in/source` there, at
    /// 1 Gbit/s over 20 ms; each `lost`-th datagram is lost; none for 0.
    ///
    /// # Errors
    /// If the directory cannot be used.
    pub fn new(directory: &Path, lost: u64) -> io::Result<Self> {
        let open = || LocalStore::open(directory, Confinement::Inside);
        let (from, to) = (open().map_err(other)?, open().map_err(other)?);
        let (sender, receiver) = engines(&to).map_err(other)?;
        let [near, far] = Sealed::pair();
        let addresses = [40_000, 33_001].map(|port| SocketAddr::from(([192, 0, 2, 1], port)));
        let config = Config::client(SESSION, addresses[1], 1);
        Ok(Self {
            now: Time::ZERO,
            client: End::new(config, near, sender, from, addresses[0]),
            server: End::new(Config::server(SESSION, 2), far, receiver, to, addresses[1]),
            up: Way::losing(lost),
            down: Way::default(),
            buffer: vec![0; BURST],
        })
    }

    /// Goes on until so many bytes of the file have crossed, or to the end,
    /// whichever is first; whether it is at its end.
    ///
    /// # Errors
    /// If the transfer fails.
    pub fn carry(&mut self, bytes: u64) -> io::Result<bool> {
        while self.server.job.progress().bytes_crossed < bytes && !self.is_over() {
            self.step();
            if self.now.since(Time::ZERO) > LIMIT {
                return Err(io::Error::other("the transfer stands still"));
            }
        }
        match [&self.client, &self.server].iter().find_map(|end| end.closed.filter(|code| *code != Code::OK)) {
            Some(code) => Err(io::Error::other(format!("the transfer failed with code {code}"))),
            None => Ok(self.is_over()),
        }
    }

    /// What was handed to the kernel so far.
    #[must_use]
    pub fn calls(&self) -> Calls {
        Calls { sends: self.client.sends, datagrams: self.client.datagrams, returns: self.server.sends }
    }

    fn is_over(&self) -> bool {
        self.client.closed.is_some() && self.server.closed.is_some()
    }

    fn step(&mut self) {
        self.client.turn(self.now, &mut self.up, &mut self.buffer);
        self.server.turn(self.now, &mut self.down, &mut self.buffer);
        let arrivals = [&self.up, &self.down].map(Way::next_arrival);
        let deadlines = [&self.client, &self.server].map(End::deadline);
        let next = arrivals.into_iter().chain(deadlines).flatten().min();
        self.now = self.now.max(next.expect("something is always to come"));
        self.server.receive(self.now, self.client.address, &mut self.up);
        self.client.receive(self.now, self.server.address, &mut self.down);
    }
}

/// The engines of both ends, the receiving one for what `store` is.
fn engines(store: &LocalStore) -> Result<(Job, Job), StorageError> {
    let survey = Survey::of(store, Destination::parse(DESTINATION.as_bytes()).expect("a path"))?;
    let source = Source::itself(StorePath::parse(SOURCE.as_bytes()).expect("a path"));
    let config = SenderConfig::new(vec![source], algorithm());
    let sender = Sender::new(SenderConfig { destination: sender::Destination::Fresh, ..config });
    let names = PartialNames::new(b"user", [7; 16]);
    let options = ReceiverOptions::new(survey, 1, names, algorithm()).with_durability(Durability::None);
    let receiver = Receiver::new(options).expect("resume level 1 is there");
    let limits = RateLimits { target: None, cap: Rate::UNLIMITED };
    Ok((Job::sending(sender, limits), Job::receiving(receiver)))
}

fn other(error: StorageError) -> io::Error {
    io::Error::other(error)
}
