//! One end of a job over one connection: wires an engine to the connection's
//! streams and linear space, and both ends to each other by the control
//! stream.
//!
//! A [`Job`] is the connection's [`Application`], whose calls come while
//! datagrams are handled, and has [`Job::advance`], which the driver calls once
//! per turn and which alone acts on the connection. File operations leave by
//! [`Job::poll_operation`], are carried out by [`perform`] on whatever thread
//! may block, and come back by [`Job::complete`]. The real driver and the
//! simulator use it alike.
//!
//! # The end
//! When an engine has nothing left to do, its end sends a summary as its last
//! record. The sending end closes the connection when it has both summaries and
//! the other end has its own; the receiving end does so itself only if that
//! takes too long.

mod control;
mod operation;
mod verdict;

#[cfg(test)]
mod tests;

pub use operation::{JobDone, JobOperation, perform};

use std::time::Duration;

use limosa_transport::rate::{Policy, RateLimits};
use limosa_transport::{Application, Connection, Delivery, Protection, QueueState, Time};
use limosa_wire::control::{ControlRecord, Summary};
use limosa_wire::frame::StreamId;
use limosa_wire::setup::RatePolicy;
use limosa_wire::{Code, Offset, Rate};

use self::control::ControlStream;
use self::verdict::Tally;
use crate::event::{Event, Progress};
use crate::receiver::Receiver;
use crate::sender::Sender;

/// Bytes of a stream taken from an engine at a time.
const PORTION: usize = 64 << 10;
/// How long an end that is done waits for the other one.
const PATIENCE: Duration = Duration::from_secs(10);

/// The engine of one end.
#[derive(Debug)]
enum Engine {
    Sending(Box<Sender>),
    Receiving(Box<Receiver>),
}

/// One end of a job; see the [module](self).
#[derive(Debug)]
pub struct Job {
    engine: Engine,
    control: ControlStream,
    /// Bytes of layout or verdicts that the connection had no room for.
    outgoing: Vec<u8>,
    now: Time,
    limits: RateLimits,
    permitted: Permitted,
    paused: Paused,
    tally: Tally,
    /// Why it ends before its time.
    ending: Option<Code>,
    /// The other end broke the protocol.
    broken: Option<(Code, String)>,
    /// When this end had nothing left to do.
    done_at: Option<Time>,
    theirs: Option<Summary>,
}

/// What the other end may order a sending end to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permitted {
    /// Policies it may change to.
    pub policies: Vec<RatePolicy>,
    /// Highest rate it may set.
    pub rate: Rate,
}

/// Who wants data to stand still.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Paused {
    here: bool,
    there: bool,
}

impl Job {
    /// The sending end, under these limits, which the other end may change as
    /// it likes unless [`Self::permitting`] says otherwise.
    #[must_use]
    pub fn sending(sender: Sender, limits: RateLimits) -> Self {
        Self::new(Engine::Sending(Box::new(sender)), limits)
    }

    /// With this for the other end to choose from.
    #[must_use]
    pub fn permitting(mut self, permitted: Permitted) -> Self {
        self.permitted = permitted;
        self
    }

    /// The receiving end.
    #[must_use]
    pub fn receiving(receiver: Receiver) -> Self {
        Self::new(Engine::Receiving(Box::new(receiver)), RateLimits { target: None, cap: Rate::UNLIMITED })
    }

    fn new(engine: Engine, limits: RateLimits) -> Self {
        Self {
            engine,
            control: ControlStream::default(),
            outgoing: Vec::new(),
            now: Time::ZERO,
            limits,
            permitted: Permitted { policies: RatePolicy::ALL.to_vec(), rate: Rate::UNLIMITED },
            paused: Paused::default(),
            tally: Tally::default(),
            ending: None,
            broken: None,
            done_at: None,
            theirs: None,
        }
    }

    /// The next file operation to be carried out; each must be completed.
    pub fn poll_operation(&mut self) -> Option<JobOperation> {
        match &mut self.engine {
            Engine::Sending(sender) => sender.poll_operation().map(JobOperation::Source),
            Engine::Receiving(receiver) => receiver.next_operation().map(JobOperation::Destination),
        }
    }

    /// Takes the result of an operation.
    pub fn complete(&mut self, now: Time, done: JobDone) {
        self.now = now;
        match (&mut self.engine, done) {
            (Engine::Sending(sender), JobDone::Source(done)) => sender.complete(done),
            (Engine::Receiving(receiver), JobDone::Destination(ticket, done)) => receiver.completed(now, ticket, done),
            _ => debug_assert!(false, "an operation of the other end"),
        }
    }

    /// Does what can be done now, and says when it wants to be called again at
    /// the latest.
    pub fn advance<P: Protection>(&mut self, now: Time, connection: &mut Connection<P>) -> Option<Time> {
        self.now = now;
        self.obey(now, connection);
        match &mut self.engine {
            Engine::Sending(_) => self.advance_sender(connection),
            Engine::Receiving(receiver) => {
                receiver.tick(now);
                self.advance_receiver(connection);
            }
        }
        if let Some((code, detail)) = &self.broken {
            connection.close(now, *code, detail);
        }
        self.finish(now, connection);
        self.control.write(connection);
        self.deadline()
    }

    fn advance_sender<P: Protection>(&mut self, connection: &mut Connection<P>) {
        let Engine::Sending(sender) = &mut self.engine else { return };
        sender.layout_acknowledged(connection.stream_acknowledged(StreamId::Layout));
        loop {
            if self.outgoing.is_empty() {
                sender.poll_layout(PORTION, &mut self.outgoing);
            }
            if !write_some(connection, StreamId::Layout, &mut self.outgoing) {
                break;
            }
        }
        while let Some((offset, length)) = sender.poll_offer() {
            connection.offer(offset, length);
        }
    }

    fn advance_receiver<P: Protection>(&mut self, connection: &mut Connection<P>) {
        let Engine::Receiving(receiver) = &mut self.engine else { return };
        loop {
            if self.outgoing.is_empty() {
                for record in receiver.verdicts() {
                    record.encode(&mut self.outgoing);
                }
            }
            if !write_some(connection, StreamId::Verdicts, &mut self.outgoing) {
                break;
            }
        }
    }

    /// Carries out what the other end wants.
    fn obey<P: Protection>(&mut self, now: Time, connection: &mut Connection<P>) {
        loop {
            match self.control.next() {
                Ok(Some(record)) => self.obey_one(now, &record, connection),
                Ok(None) => return,
                Err(error) => {
                    self.broken.get_or_insert((Code::PROTOCOL, error.to_string()));
                    return;
                }
            }
        }
    }

    fn obey_one<P: Protection>(&mut self, now: Time, record: &ControlRecord, connection: &mut Connection<P>) {
        let sends = matches!(self.engine, Engine::Sending(_)) && self.done_at.is_none();
        match *record {
            ControlRecord::SetRate(rate) if sends => self.apply_rate(now, rate.min(self.permitted.rate), connection),
            ControlRecord::SetPolicy(policy) if sends => self.obey_policy(now, policy, connection),
            // Who sends no data has no pace to change.
            ControlRecord::SetRate(_) | ControlRecord::SetPolicy(_) => {}
            ControlRecord::Progress { .. } => {}
            ControlRecord::Pause => self.set_paused(Paused { there: true, ..self.paused }, connection),
            ControlRecord::Resume => self.set_paused(Paused { there: false, ..self.paused }, connection),
            ControlRecord::Cancel(Code::OK) => {
                let text = "it cancels with the code of success".to_owned();
                self.broken.get_or_insert((Code::PROTOCOL, text));
            }
            ControlRecord::Cancel(code) => self.end_early(now, code),
            ControlRecord::Summary(summary) => self.theirs = Some(summary),
        }
    }

    /// Lets data flow at most at `rate` from now on, wherever it is sent from.
    pub fn set_rate<P: Protection>(&mut self, now: Time, rate: Rate, connection: &mut Connection<P>) {
        match self.engine {
            Engine::Sending(_) => self.apply_rate(now, rate, connection),
            Engine::Receiving(_) => self.control.push(&ControlRecord::SetRate(rate)),
        }
    }

    fn apply_rate<P: Protection>(&mut self, now: Time, rate: Rate, connection: &mut Connection<P>) {
        self.limits.target = Some(rate);
        connection.set_limits(now, self.limits);
    }

    /// Changes the law that sets the pace, wherever data are sent from.
    pub fn set_policy<P: Protection>(&mut self, now: Time, policy: RatePolicy, connection: &mut Connection<P>) {
        match self.engine {
            Engine::Sending(_) if self.lacks_rate(policy) => self.cancel(now, Code::FIXED_NEEDS_RATE),
            Engine::Sending(_) => connection.set_policy(now, law_of(policy)),
            Engine::Receiving(_) => self.control.push(&ControlRecord::SetPolicy(policy)),
        }
    }

    /// The other end wants another law; what it may not have ends the job.
    fn obey_policy<P: Protection>(&mut self, now: Time, policy: RatePolicy, connection: &mut Connection<P>) {
        let refused = match policy {
            _ if !self.permitted.policies.contains(&policy) => Some(Code::POLICY_NOT_ALLOWED),
            _ if self.lacks_rate(policy) => Some(Code::FIXED_NEEDS_RATE),
            _ => None,
        };
        match refused {
            Some(code) => self.cancel(now, code),
            None => connection.set_policy(now, law_of(policy)),
        }
    }

    fn lacks_rate(&self, policy: RatePolicy) -> bool {
        policy == RatePolicy::Fixed && self.limits.target.is_none()
    }

    /// Lets data stand still until [`Self::resume`].
    pub fn pause<P: Protection>(&mut self, connection: &mut Connection<P>) {
        self.set_paused(Paused { here: true, ..self.paused }, connection);
        if matches!(self.engine, Engine::Receiving(_)) {
            self.control.push(&ControlRecord::Pause);
        }
    }

    /// Ends a pause that this end asked for.
    pub fn resume<P: Protection>(&mut self, connection: &mut Connection<P>) {
        self.set_paused(Paused { here: false, ..self.paused }, connection);
        if matches!(self.engine, Engine::Receiving(_)) {
            self.control.push(&ControlRecord::Resume);
        }
    }

    fn set_paused<P: Protection>(&mut self, paused: Paused, connection: &mut Connection<P>) {
        self.paused = paused;
        let Engine::Sending(sender) = &mut self.engine else { return };
        if paused == Paused::default() {
            sender.resume();
            connection.resume();
        } else {
            sender.pause();
            connection.pause();
        }
    }

    /// Ends the job before its time, in order: the other end is told, and what
    /// can be continued is kept.
    pub fn cancel(&mut self, now: Time, code: Code) {
        if self.ending.is_none() {
            self.control.push(&ControlRecord::Cancel(code));
            self.end_early(now, code);
        }
    }

    fn end_early(&mut self, now: Time, code: Code) {
        self.ending.get_or_insert(code);
        match &mut self.engine {
            Engine::Sending(sender) => sender.cancel(),
            Engine::Receiving(receiver) => receiver.cancel(now, code),
        }
    }

    /// Whether this end has nothing left to do.
    fn is_done(&self) -> bool {
        match &self.engine {
            Engine::Sending(sender) => sender.is_complete() || self.ending.is_some(),
            Engine::Receiving(receiver) => receiver.is_finished() && self.outgoing.is_empty(),
        }
    }

    /// Whether every entry is settled or failed: nothing is left of the job but
    /// its farewell.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        match &self.engine {
            Engine::Sending(sender) => sender.is_complete(),
            Engine::Receiving(receiver) => receiver.is_complete(),
        }
    }

    /// Whether no operation has to be waited for: all is settled, or what was
    /// cancelled has come to rest.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        match &self.engine {
            Engine::Sending(_) => true,
            Engine::Receiving(receiver) => receiver.is_finished(),
        }
    }

    /// Says good-bye when there is nothing left to do.
    fn finish<P: Protection>(&mut self, now: Time, connection: &mut Connection<P>) {
        if !self.is_done() {
            return;
        }
        let done_at = *self.done_at.get_or_insert_with(|| {
            let summary = match &self.engine {
                Engine::Sending(sender) => sender.summary(),
                Engine::Receiving(receiver) => receiver.summary(),
            };
            self.control.push(&ControlRecord::Summary(summary));
            now
        });
        let closes = matches!(self.engine, Engine::Sending(_));
        let said = self.theirs.is_some() && self.control.is_acknowledged(connection);
        if closes && said || now.since(done_at) >= PATIENCE {
            connection.close(now, self.code(), "");
        }
    }

    /// The code by which the job ends, as far as it is known.
    #[must_use]
    pub fn code(&self) -> Code {
        let here = self.summary();
        let there = self.theirs.unwrap_or_default();
        self.ending.unwrap_or_else(|| self.tally.code(here.settled.max(there.settled), here.failed.max(there.failed)))
    }

    fn deadline(&self) -> Option<Time> {
        let engine = match &self.engine {
            Engine::Sending(_) => None,
            Engine::Receiving(receiver) => receiver.deadline(),
        };
        // Once it is used up there is nothing left to be called for.
        let patience = self.done_at.map(|done_at| done_at + PATIENCE).filter(|end| *end > self.now);
        [engine, patience].into_iter().flatten().min()
    }

    /// Tells from now on only of entries that failed, were left out or are sent
    /// again: nobody listens to the rest.
    pub fn tell_failures_only(&mut self) {
        match &mut self.engine {
            Engine::Sending(sender) => sender.tell_failures_only(),
            Engine::Receiving(receiver) => receiver.tell_failures_only(),
        }
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = match &mut self.engine {
            Engine::Sending(sender) => sender.poll_event(),
            Engine::Receiving(receiver) => receiver.next_event(),
        };
        if let Some(Event::Failed { failure, .. }) = &event {
            self.tally.note(failure);
        }
        event
    }

    /// How far the job is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        match &self.engine {
            Engine::Sending(sender) => sender.progress(),
            Engine::Receiving(receiver) => receiver.progress(),
        }
    }

    /// What this end did so far.
    #[must_use]
    pub fn summary(&self) -> Summary {
        match &self.engine {
            Engine::Sending(sender) => sender.summary(),
            Engine::Receiving(receiver) => receiver.summary(),
        }
    }

    /// What the other end did, once it has told.
    #[must_use]
    pub fn theirs(&self) -> Option<Summary> {
        self.theirs
    }

    /// The first failure of an entry, for a message at the end.
    #[must_use]
    pub fn first_failure(&self) -> Option<&crate::Failure> {
        self.tally.first()
    }
}

/// Writes what the connection takes; whether all of it was taken and there was
/// some.
fn write_some<P: Protection>(connection: &mut Connection<P>, stream: StreamId, bytes: &mut Vec<u8>) -> bool {
    if bytes.is_empty() {
        return false;
    }
    let written = connection.write_stream(stream, bytes);
    bytes.drain(..written);
    bytes.is_empty()
}

impl Application for Job {
    fn fill(&mut self, offset: Offset, out: &mut [u8]) -> usize {
        match &mut self.engine {
            Engine::Sending(sender) => sender.fill(offset, out),
            Engine::Receiving(_) => 0,
        }
    }

    fn acknowledged(&mut self, offset: Offset, length: u64) {
        if let Engine::Sending(sender) = &mut self.engine {
            sender.acknowledged(offset, length);
        }
    }

    fn deliver(&mut self, offset: Offset, bytes: &[u8]) -> Delivery {
        match &mut self.engine {
            // Bytes that nobody asked for.
            Engine::Sending(_) => Delivery::Duplicate,
            Engine::Receiving(receiver) => receiver.deliver(offset, bytes),
        }
    }

    fn queue(&self) -> QueueState {
        match &self.engine {
            Engine::Sending(_) => QueueState::default(),
            Engine::Receiving(receiver) => receiver.queue(),
        }
    }

    fn stream(&mut self, stream: StreamId, bytes: &[u8]) {
        let result = match (&mut self.engine, stream) {
            (_, StreamId::Control) => {
                self.control.received(bytes);
                Ok(())
            }
            (Engine::Receiving(receiver), StreamId::Layout) => {
                receiver.layout(self.now, bytes).map_err(|error| (error.code(), error.to_string()))
            }
            (Engine::Sending(sender), StreamId::Verdicts) => {
                sender.on_verdicts(bytes).map_err(|error| (error.code(), error.to_string()))
            }
            (_, stream) => Err((Code::PROTOCOL, format!("bytes on stream {stream:?} from the wrong side"))),
        };
        if let Err(broken) = result {
            self.broken.get_or_insert(broken);
        }
    }
}

/// The policy of the wire, as the connection names it.
#[must_use]
pub fn law_of(policy: RatePolicy) -> Policy {
    match policy {
        RatePolicy::Fixed => Policy::Fixed,
        RatePolicy::Fair => Policy::Fair,
        RatePolicy::High => Policy::High,
        RatePolicy::Low => Policy::Low,
    }
}
