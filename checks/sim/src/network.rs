//! The event loop: a line, the endpoints at its two sides, and virtual time.
//!
//! Everything that can happen next has one slot in an agenda: each link, each
//! flow's access delays, each endpoint's timer, the next change of the line.
//! The earliest slot is served, the lowest-numbered of equals first, so a run
//! is a function of its settings and seed alone.

use std::time::Duration;

use limosa_transport::Time;

use crate::datagram::Wire;
pub use crate::line::{Address, Side};
use crate::line::{Arrival, Line, Parcel};

/// What is plugged into a line: a state machine that is handed datagrams and
/// time, and polled for datagrams and its next deadline.
pub trait Endpoint {
    /// What it sends and understands.
    type Datagram: Wire;

    /// `datagram` arrived from `from`.
    fn handle(&mut self, now: Time, from: Address, datagram: Self::Datagram);

    /// The time that [`Endpoint::next_timeout`] named has come; also called
    /// once when the flow starts.
    fn on_timeout(&mut self, now: Time);

    /// The next datagram to send now. Called after every event until it has
    /// none.
    fn transmit(&mut self, now: Time) -> Option<Transmit<Self::Datagram>>;

    /// When to be called again at the latest. Must lie in the future once
    /// nothing is left to transmit.
    fn next_timeout(&self) -> Option<Time>;
}

/// A datagram that an endpoint wants to send.
#[derive(Clone, Debug)]
pub struct Transmit<D> {
    /// Where to; `None` is the other side wherever it is at present, for
    /// models that know nothing of addresses.
    pub to: Option<Address>,
    /// What to send.
    pub datagram: D,
}

impl<D> Transmit<D> {
    /// A datagram for the other side of the flow.
    pub fn to_peer(datagram: D) -> Self {
        Self { to: None, datagram }
    }
}

/// A flow's place on the line and in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowSettings {
    /// Added to the delay of the shared line, each way.
    pub access_delay: Duration,
    /// When its endpoints are first called.
    pub start: Time,
    /// When they are switched off, if ever.
    pub stop: Option<Time>,
}

impl Default for FlowSettings {
    fn default() -> Self {
        Self { access_delay: Duration::ZERO, start: Time::ZERO, stop: None }
    }
}

#[derive(Debug)]
struct Flow<E> {
    endpoints: [E; 2],
    settings: FlowSettings,
    started: [bool; 2],
}

/// A change of the line at a set time.
type Change<D> = Box<dyn FnOnce(Time, &mut Line<D>)>;

/// A line with everything plugged into it.
pub struct Network<E: Endpoint> {
    now: Time,
    line: Line<E::Datagram>,
    flows: Vec<Flow<E>>,
    /// Latest first.
    changes: Vec<(Time, Change<E::Datagram>)>,
    agenda: Agenda,
}

/// Slots of the agenda: the changes, the two links, then four per flow.
const CHANGES: usize = 0;
const LINKS: usize = 1;
const FLOWS: usize = 3;
const PER_FLOW: usize = 4;

impl<E: Endpoint> Network<E> {
    /// A line with nothing plugged in, at time zero.
    #[must_use]
    pub fn new(line: Line<E::Datagram>) -> Self {
        Self { now: Time::ZERO, line, flows: Vec::new(), changes: Vec::new(), agenda: Agenda::new(FLOWS) }
    }

    /// Plugs in a pair of endpoints; returns the number of the flow.
    pub fn add_flow(&mut self, near: E, far: E, settings: FlowSettings) -> u32 {
        let flow = self.line.add_flow(settings.access_delay);
        self.flows.push(Flow { endpoints: [near, far], settings, started: [false; 2] });
        self.agenda.add(PER_FLOW);
        for side in [Side::Near, Side::Far] {
            self.agenda.set(timer_slot(flow, side), Some(settings.start));
        }
        flow
    }

    /// Applies `change` to the line at `at`; of several at one time in the
    /// order they were added.
    pub fn at(&mut self, at: Time, change: impl FnOnce(Time, &mut Line<E::Datagram>) + 'static) {
        let place = self.changes.partition_point(|(other, _)| *other > at);
        self.changes.insert(place, (at, Box::new(change)));
        self.schedule_change();
    }

    fn schedule_change(&mut self) {
        let next = self.changes.last().map(|(at, _)| *at);
        self.agenda.set(CHANGES, next);
    }

    /// The present.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// The line.
    #[must_use]
    pub fn line(&self) -> &Line<E::Datagram> {
        &self.line
    }

    /// The line, to change it now.
    pub fn line_mut(&mut self) -> &mut Line<E::Datagram> {
        &mut self.line
    }

    /// One end of a flow.
    #[must_use]
    pub fn endpoint(&self, flow: u32, side: Side) -> &E {
        &self.flows[flow as usize].endpoints[side.index()]
    }

    /// One end of a flow, to give it an order; it is polled at once.
    pub fn with_endpoint<R>(&mut self, flow: u32, side: Side, order: impl FnOnce(&mut E, Time) -> R) -> R {
        let result = order(&mut self.flows[flow as usize].endpoints[side.index()], self.now);
        self.poll(flow, side);
        result
    }

    /// Runs until `until`, or until nothing is left to happen. Events at
    /// `until` itself have happened.
    pub fn run_until(&mut self, until: Time) {
        while let Some((at, slot)) = self.agenda.next() {
            if at > until {
                break;
            }
            self.now = at.max(self.now);
            self.serve(slot);
        }
        self.now = self.now.max(until);
    }

    /// Serves the next event if there is one by `until`; false if not.
    pub fn step(&mut self, until: Time) -> bool {
        match self.agenda.next() {
            Some((at, slot)) if at <= until => {
                self.now = at.max(self.now);
                self.serve(slot);
                true
            }
            _ => false,
        }
    }

    fn serve(&mut self, slot: usize) {
        if slot == CHANGES {
            self.apply_change();
        } else if slot < FLOWS {
            let side = if slot == LINKS { Side::Near } else { Side::Far };
            self.serve_link(side);
        } else {
            let flow = ((slot - FLOWS) / PER_FLOW) as u32;
            let place = (slot - FLOWS) % PER_FLOW;
            let side = if place.is_multiple_of(2) { Side::Near } else { Side::Far };
            if place < 2 {
                self.serve_timer(flow, side);
            } else {
                self.serve_access(flow, side);
            }
        }
    }

    fn apply_change(&mut self) {
        if let Some((_, change)) = self.changes.pop() {
            change(self.now, &mut self.line);
        }
        self.schedule_change();
        self.schedule_links();
    }

    fn schedule_links(&mut self) {
        for side in [Side::Near, Side::Far] {
            self.agenda.set(LINKS + side.index(), self.line.next_event(side));
        }
    }

    fn serve_link(&mut self, side: Side) {
        match self.line.receive(self.now, side) {
            Some(Arrival::Delivered(parcel)) => self.deliver(parcel),
            Some(Arrival::OnAccess(flow)) => {
                let next = self.line.next_access_event(flow, side);
                self.agenda.set(access_slot(flow, side), next);
            }
            None => {}
        }
        self.agenda.set(LINKS + side.index(), self.line.next_event(side));
    }

    fn serve_access(&mut self, flow: u32, side: Side) {
        if let Some(parcel) = self.line.receive_access(self.now, flow, side) {
            self.deliver(parcel);
        }
        let next = self.line.next_access_event(flow, side);
        self.agenda.set(access_slot(flow, side), next);
    }

    fn deliver(&mut self, parcel: Parcel<E::Datagram>) {
        if !self.line.is_reachable(&parcel) {
            return;
        }
        let Address { flow, side, .. } = parcel.to;
        let slot = &mut self.flows[flow as usize];
        if !slot.started[side.index()] || slot.settings.stop.is_some_and(|stop| stop <= self.now) {
            return;
        }
        slot.endpoints[side.index()].handle(self.now, parcel.from, parcel.datagram);
        self.poll(flow, side);
    }

    fn serve_timer(&mut self, flow: u32, side: Side) {
        let slot = &mut self.flows[flow as usize];
        if slot.settings.stop.is_some_and(|stop| stop <= self.now) {
            self.agenda.set(timer_slot(flow, side), None);
            return;
        }
        slot.started[side.index()] = true;
        slot.endpoints[side.index()].on_timeout(self.now);
        self.poll(flow, side);
    }

    /// Sends what an endpoint has to send and notes when it wants to be called.
    fn poll(&mut self, flow: u32, side: Side) {
        let endpoint = &mut self.flows[flow as usize].endpoints[side.index()];
        let mut sent = false;
        while let Some(transmit) = endpoint.transmit(self.now) {
            self.line.send(self.now, flow, side, transmit.to, transmit.datagram);
            sent = true;
        }
        let timeout = endpoint.next_timeout();
        self.agenda.set(timer_slot(flow, side), timeout);
        if sent {
            self.agenda.set(LINKS + side.index(), self.line.next_event(side));
        }
    }
}

fn timer_slot(flow: u32, side: Side) -> usize {
    FLOWS + flow as usize * PER_FLOW + side.index()
}

fn access_slot(flow: u32, side: Side) -> usize {
    FLOWS + flow as usize * PER_FLOW + 2 + side.index()
}

/// The time of the next event of each slot.
///
/// A line carries two to some twenty flows, and a scan over so few numbers
/// that lie side by side is faster than any heap.
#[derive(Debug)]
struct Agenda {
    times: Vec<u64>,
    /// How often in a row an event was served without time moving on.
    standstill: u32,
    last: u64,
}

const NEVER: u64 = u64::MAX;

/// More events than this at one instant mean an endpoint that asks to be called
/// in the past and does nothing then.
const STANDSTILL: u32 = 5_000_000;

impl Agenda {
    fn new(slots: usize) -> Self {
        Self { times: vec![NEVER; slots], standstill: 0, last: 0 }
    }

    fn add(&mut self, slots: usize) {
        self.times.resize(self.times.len() + slots, NEVER);
    }

    fn set(&mut self, slot: usize, at: Option<Time>) {
        self.times[slot] = at.map_or(NEVER, Time::nanos);
    }

    fn next(&mut self) -> Option<(Time, usize)> {
        let mut slot = 0;
        let mut earliest = NEVER;
        for (index, &at) in self.times.iter().enumerate() {
            if at < earliest {
                (slot, earliest) = (index, at);
            }
        }
        if earliest == NEVER {
            return None;
        }
        self.standstill = if earliest > self.last { 0 } else { self.standstill + 1 };
        self.last = self.last.max(earliest);
        assert!(self.standstill < STANDSTILL, "slot {slot} keeps time from moving on");
        Some((Time::from_nanos(earliest), slot))
    }
}

#[cfg(test)]
mod tests;
