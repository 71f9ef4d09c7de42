//! A machine on the line: one end of a transfer with its connection, its disk
//! and the threads that work on it.
//!
//! It is driven as a real session is: datagrams and deadlines go to the
//! connection, [`Job::advance`] is called once a turn, file operations are
//! carried out by [`perform`] and come back when the disk is done with them.
//! A disk that has stopped takes the machine with it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use limosa_storage::{Store, StorePath};
use limosa_transfer::Failure;
use limosa_transfer::event::Event as JobEvent;
use limosa_transfer::job::{Job, JobDone, perform};
use limosa_transport::testing::NullProtection;
use limosa_transport::{Closed, Connection, Event, Statistics, Time};
use limosa_wire::Code;

use crate::datagram::{Datagram, Udp};
use crate::disk::Disk;
use crate::network::{Address, Endpoint, Transmit};
use crate::session::{address, socket_address};

/// Room for the datagrams of one burst.
const BUFFER: usize = 1 << 17;
/// File operations under way at a time, as many as there are file threads.
const THREADS: usize = 4;

/// One end of a transfer; see the [module](self).
#[derive(Debug)]
pub struct Machine {
    connection: Connection<NullProtection>,
    job: Job,
    disk: Disk,
    /// What the job's operations are done on: the disk, or what stands before it.
    store: Arc<dyn Store>,
    /// Operations the disk is busy with, by when they are over.
    under_way: BTreeMap<(Time, u64), JobDone>,
    started: u64,
    /// When the job wants to be called.
    wanted: Option<Time>,
    buffer: Vec<u8>,
    outbox: VecDeque<Transmit<Datagram>>,
    closed: Option<(Time, Closed)>,
    failures: Vec<(StorePath, Failure)>,
    settled: Vec<StorePath>,
    off: bool,
}

impl Machine {
    /// A machine that is switched on.
    #[must_use]
    pub fn new(connection: Connection<NullProtection>, job: Job, disk: Disk) -> Self {
        let store = Arc::new(disk.clone());
        Self::with_store(connection, job, disk, store)
    }

    /// A machine whose job sees `store`, which keeps its files on `disk`.
    #[must_use]
    pub fn with_store(connection: Connection<NullProtection>, job: Job, disk: Disk, store: Arc<dyn Store>) -> Self {
        Self {
            connection,
            job,
            disk,
            store,
            under_way: BTreeMap::new(),
            started: 0,
            wanted: None,
            buffer: vec![0; BUFFER],
            outbox: VecDeque::new(),
            closed: None,
            failures: Vec::new(),
            settled: Vec::new(),
            off: false,
        }
    }

    /// Its end of the transfer.
    #[must_use]
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// Figures of its connection.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.connection.statistics()
    }

    /// Entries that failed, and why.
    #[must_use]
    pub fn failures(&self) -> &[(StorePath, Failure)] {
        &self.failures
    }

    /// Entries that it called settled: a receiving end names their destinations.
    #[must_use]
    pub fn settled(&self) -> &[StorePath] {
        &self.settled
    }

    /// How and when its connection ended.
    #[must_use]
    pub fn closed(&self) -> Option<&(Time, Closed)> {
        self.closed.as_ref()
    }

    /// Whether it does nothing any more: it is switched off, or its connection
    /// has ended and so have its file operations.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.off || self.closed.is_some() && self.under_way.is_empty()
    }

    /// Whether it is switched off.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.off
    }

    /// Switches it off between two instructions. What becomes of its disk is
    /// the disk's affair.
    pub fn switch_off(&mut self) {
        self.off = true;
    }

    /// Gives the job an order.
    pub fn order<T>(&mut self, give: impl FnOnce(&mut Job, &mut Connection<NullProtection>) -> T) -> T {
        give(&mut self.job, &mut self.connection)
    }

    /// Ends a session without the other end, as one that takes over does:
    /// nothing new is begun, what can be continued is kept.
    pub fn end(&mut self, now: Time, code: Code) {
        self.connection.close(now, code, "");
        self.job.cancel(now, code);
        self.settle(now);
    }

    /// Lets the job and the disk work until neither has anything to do now.
    fn turn(&mut self, now: Time) {
        if self.off || self.closed.is_some() {
            return;
        }
        loop {
            self.complete(now);
            self.wanted = self.job.advance(now, &mut self.connection);
            self.start_operations(now);
            self.note(now);
            let over = self.off || self.closed.is_some();
            if over || self.under_way.first_key_value().is_none_or(|((end, _), _)| *end > now) {
                return;
            }
        }
    }

    /// Hands the job what the disk is done with.
    fn complete(&mut self, now: Time) {
        while let Some(first) = self.under_way.first_entry()
            && first.key().0 <= now
        {
            self.job.complete(now, first.remove());
        }
    }

    fn start_operations(&mut self, now: Time) {
        while self.under_way.len() < THREADS {
            let Some(operation) = self.job.poll_operation() else { return };
            let (done, end) = self.disk.timed(now, || perform(&*self.store, operation));
            if self.disk.is_stopped() {
                self.off = true;
                return;
            }
            self.under_way.insert((end, self.started), done);
            self.started += 1;
        }
    }

    fn note(&mut self, now: Time) {
        while let Some(event) = self.job.poll_event() {
            match event {
                JobEvent::Failed { path, failure, .. } => self.failures.push((path, failure)),
                JobEvent::Settled { path, .. } => self.settled.push(path),
                _ => {}
            }
        }
        while let Some(event) = self.connection.poll_event() {
            if let Event::Closed(closed) = event {
                let code = closed.code;
                self.closed = Some((now, closed));
                if code != Code::OK {
                    self.job.cancel(now, code);
                }
                self.settle(now);
            }
        }
    }

    /// Carries out what is left to be done with files, however long it takes:
    /// nobody waits for it any more.
    fn settle(&mut self, now: Time) {
        loop {
            let mut end = now;
            while let Some(((at, _), done)) = self.under_way.pop_first() {
                end = end.max(at);
                self.job.complete(end, done);
            }
            self.start_operations(end);
            if self.off || self.under_way.is_empty() {
                return;
            }
        }
    }

    /// Cuts what the connection made into datagrams.
    fn post(&mut self, transmit: &limosa_transport::Transmit) {
        let made = self.buffer.get(..transmit.length).unwrap_or_default();
        for bytes in made.chunks(transmit.segment.max(1)) {
            let mut udp = Udp::real(bytes.to_vec());
            udp.ecn = transmit.ecn;
            if let Some(to) = address(transmit.to) {
                self.outbox.push_back(Transmit { to: Some(to), datagram: Datagram::Udp(udp) });
            }
        }
    }
}

impl Endpoint for Machine {
    type Datagram = Datagram;

    fn handle(&mut self, now: Time, from: Address, datagram: Datagram) {
        let Datagram::Udp(mut udp) = datagram else { return };
        if self.off {
            return;
        }
        self.connection.handle_datagram(now, socket_address(from), udp.ecn, &mut udp.bytes, &mut self.job);
        self.turn(now);
    }

    fn on_timeout(&mut self, now: Time) {
        if self.off {
            return;
        }
        self.connection.handle_deadline(now);
        self.turn(now);
    }

    fn transmit(&mut self, now: Time) -> Option<Transmit<Datagram>> {
        if self.off {
            return None;
        }
        if self.outbox.is_empty() {
            match self.connection.poll_transmit(now, &mut self.job, &mut self.buffer) {
                Some(transmit) => self.post(&transmit),
                // What was asked for may have to be read first.
                None => self.start_operations(now),
            }
        }
        self.outbox.pop_front()
    }

    fn next_timeout(&self) -> Option<Time> {
        if self.off {
            return None;
        }
        let disk = self.under_way.first_key_value().map(|((end, _), _)| *end);
        let job = self.wanted.filter(|_| self.closed.is_none());
        [self.connection.next_deadline(), job, disk].into_iter().flatten().min()
    }
}
