//! A running session: the thread of its data path, its supervisor, and the
//! handle by which others watch and steer it.
//!
//! The supervisor owns the SSH channel. Its orderly end, or the peer's word on
//! it that the session is over, ends the session after a short grace; if it
//! merely breaks, the session lives on for as long as datagrams arrive.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use limosa_datapath::{Clock, Driver, Link, Waker, Wakeup};
use limosa_seal::schedule::Role;
use limosa_storage::Store;
use limosa_transfer::job::{self, Job};
use limosa_transport::{Closed, ClosedBy, Config, Connection, Statistics};
use limosa_wire::Code;
use limosa_wire::setup::{Ended, SetupMessage};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::engine::SessionEngine;
use crate::files::FileThreads;
use crate::jobs::SessionJob;
use crate::keys::SessionProtection;
use crate::outcome::{Order, Outcome, SessionEvent, Snapshot, Times};
use crate::setup::{SetupChannel, printable};

/// Events that may wait for whoever watches.
const EVENTS: usize = 4096;
/// Orders that may wait for the data path.
const ORDERS: usize = 64;
/// Threads for files, per session.
const FILE_THREADS: usize = 4;
/// File operations that may wait for a thread.
const FILE_QUEUE: usize = 64;
/// How long the end of the data path may come after the end of the channel.
const GRACE: Duration = Duration::from_secs(3);
/// How often the server says what reached it, until the session opens.
const TELL_EVERY: Duration = Duration::from_millis(1200);

/// What a session is made of.
pub(crate) struct Parts {
    pub(crate) role: Role,
    pub(crate) clock: Clock,
    pub(crate) config: Config,
    pub(crate) protection: SessionProtection,
    pub(crate) link: Link,
    pub(crate) waker: Waker,
    pub(crate) wakeup: Wakeup,
    pub(crate) job: SessionJob,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) setup_time: Duration,
}

/// A running session.
#[derive(Debug)]
pub struct Running {
    /// What happens, in order. Whoever does not care drops it.
    pub events: mpsc::Receiver<SessionEvent>,
    /// Where it stands.
    pub snapshots: watch::Receiver<Option<Snapshot>>,
    failures_only: Arc<AtomicBool>,
    steering: Steering,
    outcome: oneshot::Receiver<Outcome>,
}

/// Steers a running session; clones steer the same one.
#[derive(Clone, Debug)]
pub struct Steering {
    orders: SyncSender<Order>,
    waker: Waker,
}

impl Steering {
    /// Gives an order. One given when the session has ended, or when more wait
    /// than a person can give, is lost.
    pub fn order(&self, order: Order) {
        if self.orders.try_send(order).is_ok() {
            self.waker.wake();
        }
    }
}

impl Running {
    /// A handle to steer the session by.
    #[must_use]
    pub fn steering(&self) -> Steering {
        self.steering.clone()
    }

    /// Says that of what happens to entries only failures matter, which spares
    /// the session the rest: it is much where files are small.
    pub fn tell_failures_only(&self) {
        self.failures_only.store(true, Ordering::Relaxed);
    }

    /// Waits for the end.
    pub async fn outcome(&mut self) -> Outcome {
        let lost = || Outcome::early(Code::INTERNAL, "the session's supervisor is gone");
        (&mut self.outcome).await.unwrap_or_else(|_| lost())
    }
}

/// Starts the threads of a session and its supervisor.
///
/// # Errors
/// If a thread cannot be started.
pub(crate) fn start<S>(parts: Parts, channel: SetupChannel<S>) -> std::io::Result<Running>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Parts { role, clock, config, protection, link, waker, wakeup, job, store, setup_time } = parts;
    let (orders, ordered) = sync_channel(ORDERS);
    let (tell_event, events) = mpsc::channel(EVENTS);
    let (show, snapshots) = watch::channel(None);
    let wake = waker.clone();
    let files = FileThreads::start(
        FILE_THREADS,
        FILE_QUEUE,
        move |operation| job::perform(&*store, operation),
        move || wake.wake(),
    )?;
    let now = clock.now();
    let failures_only = Arc::new(AtomicBool::new(false));
    let tell_event = (tell_event, Arc::clone(&failures_only));
    let engine = SessionEngine::new(now, job, files, ordered, tell_event, show);
    let driver = Driver::new(Connection::new(now, config, protection), engine, link, wakeup, clock);
    let (tell_finished, finished) = oneshot::channel();
    std::thread::Builder::new().name("datapath".into()).spawn(move || {
        let finished = driver.run();
        let code = finished.result.as_ref().map_or(Code::UDP_BIND, |closed| closed.code);
        let (job, opened, files) = finished.engine.wind_down(clock, code);
        let ending = Ending { job, opened, result: finished.result, connection: finished.connection };
        // Whoever waited is gone if this fails, and nobody wants to know.
        let _ = tell_finished.send(ending);
        // Joins the threads, which is nothing for whoever waits for the end.
        drop(files);
    })?;
    let steering = Steering { orders, waker };
    let (tell_outcome, outcome) = oneshot::channel();
    let supervisor = Supervisor {
        role,
        clock,
        began: clock.now(),
        setup_time,
        channel,
        steering: steering.clone(),
        snapshots: snapshots.clone(),
        heard: Heard::default(),
        told_udp_seen: false,
    };
    tokio::spawn(async move {
        let _ = tell_outcome.send(supervisor.run(finished).await);
    });
    Ok(Running { events, snapshots, failures_only, steering, outcome })
}

/// What the thread of the data path leaves behind.
#[derive(Debug)]
struct Ending {
    job: Job,
    /// When bulk could flow, counted from the session's start.
    opened: Option<Duration>,
    result: std::io::Result<Closed>,
    connection: Statistics,
}

/// Watches over the SSH channel while the data path runs.
struct Supervisor<S> {
    role: Role,
    clock: Clock,
    began: limosa_transport::Time,
    setup_time: Duration,
    channel: SetupChannel<S>,
    steering: Steering,
    snapshots: watch::Receiver<Option<Snapshot>>,
    heard: Heard,
    /// The peer knows that datagrams reach this end.
    told_udp_seen: bool,
}

/// What the peer said on the channel.
#[derive(Debug, Default)]
struct Heard {
    /// Datagrams that named the session, and authentic ones, at the server.
    udp: Option<(u64, u64)>,
    ended: Option<Ended>,
    /// The channel is over: in order, or broken.
    over: Option<ChannelEnd>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChannelEnd {
    Orderly,
    Broken,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Supervisor<S> {
    async fn run(mut self, mut finished: oneshot::Receiver<Ending>) -> Outcome {
        let mut tell_at = Instant::now() + TELL_EVERY;
        let mut give_up_at = None;
        let finished = loop {
            let opened = self.opened();
            tokio::select! {
                biased;
                finished = &mut finished => break finished,
                () = sleep_until(give_up_at.unwrap_or(tell_at)), if give_up_at.is_some() => {
                    give_up_at = None;
                    self.steering.order(Order::Abort(self.end_code()));
                }
                () = sleep_until(tell_at), if self.role == Role::Server && !opened && self.heard.over.is_none() => {
                    tell_at += TELL_EVERY;
                    self.tell_udp_seen().await;
                }
                // The first datagram is news at once: the client gives up soon.
                Ok(()) = self.snapshots.changed(), if self.must_tell_first_datagram(opened) => {
                    if self.datagrams_seen() > 0 {
                        self.told_udp_seen = true;
                        self.tell_udp_seen().await;
                    }
                }
                message = self.channel.read(), if self.heard.over.is_none() => {
                    self.hear(message);
                    if self.heard.ended.is_some() || self.heard.over == Some(ChannelEnd::Orderly) {
                        give_up_at = Some(Instant::now() + GRACE);
                    }
                }
            }
        };
        match finished {
            Ok(finished) => self.conclude(finished).await,
            Err(_) => Outcome::early(Code::INTERNAL, "the data path's thread is gone"),
        }
    }

    fn opened(&self) -> bool {
        self.snapshots.borrow().as_ref().is_some_and(|snapshot| snapshot.open)
    }

    fn must_tell_first_datagram(&self, opened: bool) -> bool {
        self.role == Role::Server && !opened && !self.told_udp_seen && self.heard.over.is_none()
    }

    /// Datagrams that named the session so far, authentic or not.
    fn datagrams_seen(&self) -> u64 {
        self.snapshots.borrow().as_ref().map_or(0, |snapshot| {
            let counts = snapshot.connection.received;
            let dropped = counts.foreign + counts.replayed + counts.forged + counts.no_room + counts.malformed;
            counts.datagrams + dropped
        })
    }

    fn hear(&mut self, message: Result<Option<(SetupMessage, Vec<u8>)>, crate::setup::SetupError>) {
        match message {
            Ok(Some((SetupMessage::UdpSeen { datagrams, authentic }, _))) => {
                self.heard.udp = Some((datagrams, authentic));
            }
            Ok(Some((SetupMessage::Ended(ended), _))) => {
                let detail = printable(ended.detail.as_bytes());
                self.heard.ended = Some(Ended { detail, ..ended });
            }
            Ok(Some(_)) => tracing::debug!("a message at the wrong time on the SSH channel"),
            Ok(None) => self.heard.over = Some(ChannelEnd::Orderly),
            Err(error) => {
                tracing::info!(%error, "the SSH channel broke; the session goes on over UDP");
                self.heard.over = Some(ChannelEnd::Broken);
            }
        }
    }

    async fn tell_udp_seen(&mut self) {
        let counts = self.snapshots.borrow().as_ref().map(|snapshot| snapshot.connection.received);
        let Some(counts) = counts else { return };
        let seen = SetupMessage::UdpSeen { datagrams: self.datagrams_seen(), authentic: counts.datagrams };
        self.send(&seen).await;
    }

    /// Sends a word on the channel if that is quickly done; it is only a word.
    async fn send(&mut self, message: &SetupMessage) {
        let written = timeout(GRACE, self.channel.write(&message.encode())).await;
        if !matches!(written, Ok(Ok(()))) {
            tracing::debug!("the SSH channel takes no more messages");
        }
    }

    /// The code of a session whose channel ended before it.
    fn end_code(&self) -> Code {
        match &self.heard.ended {
            Some(ended) if ended.code != Code::OK => ended.code,
            _ => Code::PEER_GONE,
        }
    }

    async fn conclude(mut self, finished: Ending) -> Outcome {
        let (code, detail) = self.verdict(&finished);
        let job = &finished.job;
        let summary = job.summary();
        if self.heard.over.is_none() {
            self.send(&SetupMessage::Ended(Ended { code, detail: detail.clone(), summary })).await;
        }
        Outcome {
            code,
            detail,
            summary,
            theirs: job.theirs(),
            times: Times { setup: self.setup_time, opened: finished.opened, ended: self.clock.now().since(self.began) },
            connection: Some(finished.connection),
        }
    }

    /// What the end of the data path means, in the light of what the channel
    /// said.
    fn verdict(&self, finished: &Ending) -> (Code, String) {
        let closed = match &finished.result {
            Ok(closed) => closed,
            Err(error) => return (Code::UDP_BIND, error.to_string()),
        };
        let job = &finished.job;
        let code = match closed.code {
            // The other end's word for success counts only with the work done.
            Code::OK if job.is_complete() => job.code(),
            Code::OK => Code::PEER_GONE,
            // Only its farewell was lost.
            _ if job.is_complete() && self.heard.ended.as_ref().is_some_and(|ended| ended.code == Code::OK) => {
                job.code()
            }
            Code::UDP_BLOCKED if self.role == Role::Client => self.blocked_direction(),
            Code::PEER_SILENT if self.heard.over == Some(ChannelEnd::Broken) => Code::LINE_DEAD,
            code => code,
        };
        let told = self.heard.ended.as_ref().filter(|ended| ended.code == code && closed.by != ClosedBy::Us);
        let detail = told.map_or_else(|| printable(closed.reason.as_bytes()), |ended| ended.detail.clone());
        (code, detail)
    }

    fn blocked_direction(&self) -> Code {
        match self.heard.udp {
            Some((0, _)) => Code::UDP_BLOCKED_OUT,
            Some(_) => Code::UDP_BLOCKED_BACK,
            None => Code::UDP_BLOCKED,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_session_whose_supervisor_is_gone_ends_as_a_fault_of_ours() {
        let (tell_outcome, outcome) = oneshot::channel();
        let (orders, _ordered) = sync_channel(1);
        let (waker, _wakeup) = limosa_datapath::waker().unwrap();
        let steering = Steering { orders, waker };
        let (_, events) = mpsc::channel(1);
        let mut running =
            Running { events, snapshots: watch::channel(None).1, failures_only: Arc::default(), steering, outcome };
        drop(tell_outcome);
        let outcome = running.outcome().await;
        assert_eq!((outcome.code, outcome.code.exit_status()), (Code::INTERNAL, 7));
        assert!(outcome.detail.contains("supervisor"), "{}", outcome.detail);
    }
}
