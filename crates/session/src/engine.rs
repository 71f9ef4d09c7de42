//! What a session puts on top of its connection: the job, the file threads,
//! orders in, events out. Runs on the data path's thread and never blocks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use limosa_datapath::{Clock, Engine};
use limosa_transfer::job::{Job, JobDone, JobOperation};
use limosa_transport::{Application, Connection, Delivery, Event, QueueState, Time};
use limosa_wire::frame::StreamId;
use limosa_wire::{Code, Offset};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};

use crate::files::FileThreads;
use crate::keys::SessionProtection;
use crate::outcome::{Order, SessionEvent, Snapshot};

/// How often where the session stands is shown.
const SHOW_EVERY: Duration = Duration::from_millis(100);
/// How long files may take to be closed once the connection is.
const WIND_DOWN: Duration = Duration::from_secs(20);

/// The threads that do the job's file operations.
pub(crate) type Files = FileThreads<JobOperation, JobDone>;

/// The application of a session's connection.
#[derive(Debug)]
pub(crate) struct SessionEngine {
    job: Job,
    files: Files,
    /// An operation that found the queue full.
    waiting: Option<JobOperation>,
    orders: Receiver<Order>,
    events: mpsc::Sender<SessionEvent>,
    /// An event that found the queue full.
    unsent: Option<SessionEvent>,
    /// Whoever listens to events cares for failures alone.
    failures_only: Arc<AtomicBool>,
    shown: watch::Sender<Option<Snapshot>>,
    show_at: Time,
    began: Time,
    opened: Option<Time>,
}

impl SessionEngine {
    pub(crate) fn new(
        began: Time,
        job: Job,
        files: Files,
        orders: Receiver<Order>,
        (events, failures_only): (mpsc::Sender<SessionEvent>, Arc<AtomicBool>),
        shown: watch::Sender<Option<Snapshot>>,
    ) -> Self {
        Self {
            job,
            files,
            waiting: None,
            orders,
            events,
            unsent: None,
            failures_only,
            shown,
            show_at: began,
            began,
            opened: None,
        }
    }

    /// Ends the job after the driver has: however the connection closed, what
    /// can be continued is kept, operations under way come back and files are
    /// closed, unless a disk takes too long. Blocks. Returns the job, when bulk
    /// could flow, and the threads for whoever may wait for their end.
    pub(crate) fn wind_down(mut self, clock: Clock, code: Code) -> (Job, Option<Duration>, Files) {
        if !self.job.is_complete() {
            let code = if code == Code::OK { Code::PEER_GONE } else { code };
            self.job.cancel(clock.now(), code);
        }
        let give_up_at = clock.now() + WIND_DOWN;
        while !self.job.is_idle() && clock.now() < give_up_at {
            self.submit_operations();
            match self.files.completed_within(SHOW_EVERY) {
                Ok(Some(done)) => self.job.complete(clock.now(), done),
                Ok(None) => {}
                Err(_) => break,
            }
        }
        self.tell_events();
        // The failures among those that nobody takes count all the same.
        while self.job.poll_event().is_some() {}
        (self.job, self.opened.map(|opened| opened.since(self.began)), self.files)
    }

    fn take_orders(&mut self, now: Time, connection: &mut Connection<SessionProtection>) {
        loop {
            match self.orders.try_recv() {
                Ok(Order::SetRate(rate)) => self.job.set_rate(now, rate, connection),
                Ok(Order::SetPolicy(policy)) => self.job.set_policy(now, policy, connection),
                Ok(Order::Pause) => self.job.pause(connection),
                Ok(Order::Resume) => self.job.resume(connection),
                Ok(Order::Cancel(code)) => self.job.cancel(now, code),
                Ok(Order::Abort(code)) => connection.close(now, code, ""),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return,
            }
        }
    }

    fn take_completions(&mut self, now: Time, connection: &mut Connection<SessionProtection>) {
        loop {
            match self.files.completed() {
                Ok(Some(done)) => self.job.complete(now, done),
                Ok(None) => return,
                Err(broken) => return connection.close(now, Code::INTERNAL, &broken.to_string()),
            }
        }
    }

    fn submit_operations(&mut self) {
        while let Some(operation) = self.waiting.take().or_else(|| self.job.poll_operation()) {
            if let Err(operation) = self.files.submit(operation) {
                self.waiting = Some(operation);
                return;
            }
        }
    }

    fn tell_events(&mut self) {
        if self.events.is_closed() || self.failures_only.load(Ordering::Relaxed) {
            self.job.tell_failures_only();
        }
        while let Some(event) = self.unsent.take().or_else(|| self.job.poll_event().map(SessionEvent::Entry)) {
            if let Err(TrySendError::Full(event)) = self.events.try_send(event) {
                self.unsent = Some(event);
                return;
            }
        }
    }

    fn show(&mut self, now: Time, connection: &Connection<SessionProtection>) {
        if now >= self.show_at {
            self.show_at = now + SHOW_EVERY;
            let snapshot = Snapshot {
                at: now.since(self.began),
                progress: self.job.progress(),
                connection: connection.statistics(),
                open: connection.is_open(),
            };
            self.shown.send_replace(Some(snapshot));
        }
    }

    /// Tells what happened at the connection; not kept where nobody listens
    /// fast enough, since the figures say the same.
    fn tell(&self, event: SessionEvent) {
        let _ = self.events.try_send(event);
    }
}

impl Engine<SessionProtection> for SessionEngine {
    fn progress(&mut self, now: Time, connection: &mut Connection<SessionProtection>) -> Option<Time> {
        self.take_orders(now, connection);
        self.take_completions(now, connection);
        let wanted = self.job.advance(now, connection);
        self.submit_operations();
        self.tell_events();
        self.show(now, connection);
        Some(wanted.map_or(self.show_at, |wanted| wanted.min(self.show_at)))
    }

    fn event(&mut self, now: Time, event: &Event, connection: &mut Connection<SessionProtection>) {
        match event {
            Event::Opened { peer, rtt } => {
                self.opened.get_or_insert(now);
                self.tell(SessionEvent::Opened { peer: *peer, rtt: *rtt });
            }
            Event::UdpBlocked { server } => {
                self.tell(SessionEvent::UdpBlocked { server: *server });
                connection.close(now, Code::UDP_BLOCKED, &format!("no answer from UDP {server}"));
            }
            Event::PeerMoved { peer } => self.tell(SessionEvent::PeerMoved(*peer)),
            Event::LineSilent => self.tell(SessionEvent::LineSilent),
            Event::LineBack { after } => self.tell(SessionEvent::LineBack(*after)),
            Event::PacketSize { bytes } => self.tell(SessionEvent::PacketSize(*bytes)),
            Event::Closed(_) => {
                self.show_at = now;
                self.show(now, connection);
            }
        }
    }
}

impl Application for SessionEngine {
    fn fill(&mut self, offset: Offset, out: &mut [u8]) -> usize {
        self.job.fill(offset, out)
    }

    fn acknowledged(&mut self, offset: Offset, length: u64) {
        self.job.acknowledged(offset, length);
    }

    fn deliver(&mut self, offset: Offset, bytes: &[u8]) -> Delivery {
        self.job.deliver(offset, bytes)
    }

    fn queue(&self) -> QueueState {
        self.job.queue()
    }

    fn stream(&mut self, stream: StreamId, bytes: &[u8]) {
        self.job.stream(stream, bytes);
    }
}
