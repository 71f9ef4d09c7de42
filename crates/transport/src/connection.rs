//! One end of one session, both directions.
//!
//! This file only routes: each concern (opening, addresses, reports, loss,
//! pacing, silence, the end, …) is a machine in a file of its own.

mod input;
mod output;

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;

use limosa_wire::frame::StreamId;
use limosa_wire::{Code, Offset};

use crate::Time;
use crate::close::Ending;
use crate::config::{Config, Role};
use crate::event::{Closed, ClosedBy, Event};
use crate::opening::Opening;
use crate::path::Path;
use crate::protection::Protection;
use crate::rate::{Policy, RateLimits};
use crate::receiving::Receiving;
use crate::sending::Sending;
use crate::silence::Silence;
use crate::statistics::{PathState, Statistics};
use crate::timer::{Deadlines, Timer};

/// Events kept for a driver that does not collect them, at most.
const EVENTS: usize = 64;

/// One end of one session.
///
/// A driver owns a connection and does four things, in any order and as often
/// as it likes: hands in datagrams, asks for datagrams to send, calls when a
/// deadline has passed, and collects events.
///
/// ```text
/// loop {
///     wait for a datagram, for news of the application, or for next_deadline()
///     handle_datagram(..) for each that came; handle_deadline(now)
///     while let Some(t) = poll_transmit(..) { send it }
///     while let Some(e) = poll_event() { .. }
/// }
/// ```
pub struct Connection<P> {
    config: Config,
    protection: P,
    path: Path,
    /// Until the session is open, at the client.
    opening: Option<Opening>,
    open: bool,
    silence: Silence,
    ending: Ending,
    sending: Sending,
    receiving: Receiving,
    events: VecDeque<Event>,
}

impl<P> fmt::Debug for Connection<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("session", &self.config.session)
            .field("role", &self.config.role)
            .field("open", &self.open)
            .field("ending", &self.ending)
            .finish_non_exhaustive()
    }
}

impl<P: Protection> Connection<P> {
    /// A connection that begins now.
    #[must_use]
    pub fn new(now: Time, config: Config, protection: P) -> Self {
        Self {
            protection,
            path: Path::new(config.role, config.seed),
            opening: matches!(config.role, Role::Client { .. }).then(|| Opening::new(now)),
            open: false,
            silence: Silence::new(now, config.timeout),
            ending: Ending::default(),
            sending: Sending::new(now, &config),
            receiving: Receiving::new(now, config.payload),
            events: VecDeque::new(),
            config,
        }
    }

    /// Bytes of the linear space may leave from now on, each range once. They
    /// leave in the order offered.
    pub fn offer(&mut self, offset: Offset, length: u64) {
        self.sending.space.offer(offset.0..offset.0.saturating_add(length));
    }

    /// Bytes that were offered need not cross any more.
    pub fn withdraw(&mut self, offset: Offset, length: u64) {
        self.sending.space.withdraw(offset.0..offset.0.saturating_add(length));
    }

    /// Appends to a stream as many bytes as there is room for, and returns how
    /// many that were.
    pub fn write_stream(&mut self, stream: StreamId, bytes: &[u8]) -> usize {
        self.sending.streams[stream.index()].write(bytes)
    }

    /// Bytes that [`Self::write_stream`] would take now.
    #[must_use]
    pub fn stream_room(&self, stream: StreamId) -> usize {
        self.sending.streams[stream.index()].room()
    }

    /// Bytes of a stream, from its start, that the peer has.
    #[must_use]
    pub fn stream_acknowledged(&self, stream: StreamId) -> u64 {
        self.sending.streams[stream.index()].acknowledged()
    }

    /// Bytes written to a stream that the peer does not have.
    #[must_use]
    pub fn stream_unacknowledged(&self, stream: StreamId) -> u64 {
        self.sending.streams[stream.index()].unacknowledged()
    }

    /// Bytes offered that wait to be sent, for the first time or again.
    #[must_use]
    pub fn unsent(&self) -> u64 {
        self.sending.space.waiting()
    }

    /// Bytes offered that the peer does not have. Zero, with
    /// [`Self::stream_unacknowledged`] of all streams, means that all has
    /// crossed.
    #[must_use]
    pub fn unacknowledged(&self) -> u64 {
        self.sending.space.unsettled()
    }

    /// Changes the rate limits at once.
    pub fn set_limits(&mut self, now: Time, limits: RateLimits) {
        self.sending.set_limits(now, limits);
    }

    /// Changes the law that sets the pace; one of another family starts afresh.
    pub fn set_policy(&mut self, now: Time, policy: Policy) {
        self.config.policy = policy;
        self.sending.set_policy(now, policy);
    }

    /// The law that sets the pace.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.config.policy
    }

    /// Stops sending bytes of the linear space; streams, reports and signs of
    /// life go on.
    pub fn pause(&mut self) {
        self.sending.paused = true;
    }

    /// Ends a pause.
    pub fn resume(&mut self) {
        self.sending.paused = false;
    }

    /// Whether bytes of the linear space are held back by [`Self::pause`].
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.sending.paused
    }

    /// Ends the session: the peer is told (a few times, for at most a few
    /// round trips), then [`Event::Closed`] comes. Orderly with [`Code::OK`].
    /// What has not crossed by now does not cross any more.
    pub fn close(&mut self, now: Time, code: Code, reason: &str) {
        self.ending.say(now, code, reason, ClosedBy::Us);
        self.skip_saying_to_nobody();
    }

    fn skip_saying_to_nobody(&mut self) {
        if self.path.target().is_none()
            && let Some(closed) = self.ending.end_unsaid()
        {
            self.on_closed(closed);
        }
    }

    /// Whether the session has ended and [`Event::Closed`] was, or is to be,
    /// collected.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.ending.is_over()
    }

    /// Whether bulk may flow: datagrams pass both ways and the peer's address
    /// is confirmed.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// The peer's address, once it is confirmed.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.path.confirmed()
    }

    /// Tells how many datagrams this machine is known to have dropped before
    /// they got here (socket overflow), in all: they are reported as such.
    pub fn set_socket_drops(&mut self, total: u64) {
        self.receiving.set_socket_drops(total);
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// A snapshot of figures.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        Statistics {
            sent: self.sending.counts,
            received: self.receiving.counts,
            path: PathState {
                rtt: self.sending.rtt.smoothed(),
                rtt_min: self.sending.rtt.smallest(),
                pace: self.sending.pace(),
                in_flight: self.sending.ring.in_flight(),
                loss: self.sending.loss_rate(),
                packet_size: self.sending.mtu.current(),
                silent: self.silence.is_silent(),
                peer_queue: self.sending.brake.queue(),
            },
            rate: self.sending.rate_statistics(),
        }
    }

    /// When to call [`Self::handle_deadline`] (and then
    /// [`Self::poll_transmit`]) if nothing else happens before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        self.deadlines().earliest().map(|(at, _)| at)
    }

    fn deadlines(&self) -> Deadlines {
        let mut deadlines = Deadlines::default();
        deadlines.add(Timer::Close, self.ending.deadline());
        if !self.ending.is_open() {
            return deadlines;
        }
        deadlines
            .add(Timer::Timeout, Some(self.silence.over_at()))
            .add(Timer::Path, self.path.deadline())
            .add(Timer::Opening, self.opening.as_ref().map(Opening::deadline))
            .add(Timer::Report, self.receiving.reporter.deadline().filter(|_| self.path.target().is_some()));
        if self.open {
            deadlines.add(Timer::Silence, Some(self.silence.deadline(self.sending.rtt.estimate())));
        }
        if self.may_send_bulk() {
            let [pace, tail, echo, receiver] = self.sending.deadlines();
            deadlines
                .add(Timer::Mtu, Some(self.sending.mtu.deadline()))
                .add(Timer::Pace, pace)
                .add(Timer::Tail, tail)
                .add(Timer::Echo, echo)
                .add(Timer::Receiver, receiver);
        }
        deadlines
    }

    fn may_send_bulk(&self) -> bool {
        self.open && !self.silence.is_silent() && self.ending.is_open()
    }

    /// Does what is due at `now`.
    pub fn handle_deadline(&mut self, now: Time) {
        if let Some(closed) = self.ending.give_up(now) {
            self.on_closed(closed);
        }
        if !self.ending.is_open() {
            return;
        }
        if self.silence.is_over(now) {
            let code = if self.open { Code::PEER_SILENT } else { Code::UDP_BLOCKED };
            if let Some(closed) = self.ending.drop_silently(code) {
                self.on_closed(closed);
            }
            return;
        }
        if let Some(opening) = &mut self.opening
            && opening.is_blocked(now)
            && let Some(server) = self.path.target()
        {
            self.push(Event::UdpBlocked { server });
        }
        if self.open {
            self.handle_silence(now);
        }
    }

    fn handle_silence(&mut self, now: Time) {
        if self.silence.notice(now, self.sending.rtt.estimate()) {
            self.sending.on_silence(now);
        }
        if self.silence.tell(now) {
            self.push(Event::LineSilent);
        }
    }

    fn on_closed(&mut self, closed: Closed) {
        self.push(Event::Closed(closed));
    }

    fn push(&mut self, event: Event) {
        if self.events.len() >= EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }
}
