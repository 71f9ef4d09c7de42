//! One direction of a line: queue, bottleneck, delay, and what goes wrong.
//!
//! A packet that is sent passes, in this order: the MTU; loss in front of the
//! queue; a drop-tail FIFO, with active management before and behind it where
//! there is such; the bottleneck, which takes its length at the link's rate
//! unless it stalls (or what a token bucket has saved up at a higher one);
//! blackout, loss behind the bottleneck (it has used line time by then),
//! corruption, duplication; the delay with its jitter.

mod bucket;
mod counters;
mod faults;
mod flight;
mod managed;
mod settings;

use std::collections::VecDeque;
use std::time::Duration;

use limosa_transport::Time;

pub use counters::{Counters, Tally};
pub use settings::{
    Bucket, Bursts, Discipline, Jitter, LinkSettings, LossPlace, ManagedQueue, Queue, Reordering, Stalls,
};

use crate::datagram::Wire;
use crate::random::Seed;
use bucket::Tokens;
use faults::Faults;
pub(crate) use flight::Flight;
use managed::Manager;

/// Why a link took a packet and will not deliver it, known at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Longer than the MTU; nobody is told.
    TooLong,
    /// The queue was full.
    QueueFull,
    /// Dropped by what keeps the queue short.
    Managed,
    /// Lost in front of the queue.
    Lost,
}

/// One direction of a line.
#[derive(Debug)]
pub struct Link<D> {
    settings: LinkSettings,
    queue_limit: u64,
    queue: VecDeque<Queued<D>>,
    /// Bytes waiting, without the packet in transmission.
    waiting: u64,
    /// When the packet at the head of the queue has left the bottleneck.
    head_leaves: Time,
    /// Rounding left over from the last transmission, in units of 1/rate ns.
    remainder: u64,
    flight: Flight<D>,
    /// Whether a packet may arrive before one that left earlier.
    overtaking: bool,
    tokens: Tokens,
    manager: Manager,
    faults: Faults,
    counters: Counters,
}

#[derive(Debug)]
struct Queued<D> {
    datagram: D,
    length: u32,
    arrived: Time,
}

impl<D: Wire> Link<D> {
    /// An idle link.
    #[must_use]
    pub fn new(settings: LinkSettings, seed: Seed) -> Self {
        Self {
            queue_limit: settings.queue.bytes(settings.rate),
            overtaking: settings.overtakes(),
            tokens: Tokens::default(),
            manager: Manager::new(&seed),
            faults: Faults::new(seed),
            settings,
            queue: VecDeque::new(),
            waiting: 0,
            head_leaves: Time::ZERO,
            remainder: 0,
            flight: Flight::default(),
            counters: Counters::default(),
        }
    }

    /// Puts a packet on the link at `now`.
    ///
    /// # Errors
    /// Where the packet went if it did not enter the queue. Later losses are
    /// only counted, as on a real line.
    pub fn send(&mut self, now: Time, mut datagram: D) -> Result<(), Refused> {
        self.advance(now);
        let length = datagram.wire_length();
        self.counters.offered.add(length);
        if length > self.settings.mtu {
            self.counters.too_long.add(length);
            return Err(Refused::TooLong);
        }
        if self.settings.loss_place == LossPlace::BeforeQueue && self.faults.loses(&self.settings) {
            self.counters.lost.add(length);
            return Err(Refused::Lost);
        }
        if !self.queue.is_empty() && self.waiting + u64::from(length) > self.queue_limit {
            self.counters.queue_full.add(length);
            return Err(Refused::QueueFull);
        }
        if !self.admits(now, &mut datagram, length) {
            return Err(Refused::Managed);
        }
        self.enqueue(now, datagram, length);
        Ok(())
    }

    /// Whether the management lets a packet into the queue, marked perhaps.
    fn admits(&mut self, now: Time, datagram: &mut D, length: u32) -> bool {
        let Some(managed) = self.settings.managed.filter(|_| !self.queue.is_empty()) else { return true };
        let delay = self.head_leaves.since(now) + self.settings.rate.time_for(self.waiting);
        let strikes = self.manager.strikes_on_entry(&managed, now, delay, self.waiting);
        !strikes || self.spares(&managed, datagram, length)
    }

    /// Marks a packet that is to be dropped, if that can be; counts either.
    fn spares(&mut self, managed: &ManagedQueue, datagram: &mut D, length: u32) -> bool {
        let marked = managed.marks && datagram.mark();
        let tally = if marked { &mut self.counters.marked } else { &mut self.counters.managed };
        tally.add(length);
        marked
    }

    fn enqueue(&mut self, now: Time, datagram: D, length: u32) {
        let idle = self.queue.is_empty();
        self.queue.push_back(Queued { datagram, length, arrived: now });
        if idle {
            self.transmit_head(now);
        } else {
            self.waiting += u64::from(length);
        }
    }

    /// Starts the transmission of the packet at the head of the queue.
    fn transmit_head(&mut self, start: Time) {
        let start = self.faults.next_working(&self.settings, start);
        self.drop_at_head(start);
        let Some(head) = self.queue.front() else { return };
        let length = head.length;
        let start = self.tokens.ready(&self.settings, start, length);
        self.counters.queueing.record(start.since(head.arrived));
        self.head_leaves = start + self.transmission_time(length);
    }

    /// Removes the packets that the management drops where they leave.
    fn drop_at_head(&mut self, now: Time) {
        let Some(managed) = self.settings.managed else { return };
        while let Some(head) = self.queue.front() {
            let sojourn = now.since(head.arrived);
            if !self.manager.strikes_at_head(&managed, now, sojourn, self.waiting) {
                return;
            }
            let Some(mut head) = self.queue.pop_front() else { return };
            if self.spares(&managed, &mut head.datagram, head.length) {
                return self.queue.push_front(head);
            }
            self.waiting -= self.queue.front().map_or(0, |next| u64::from(next.length));
        }
    }

    fn transmission_time(&mut self, length: u32) -> Duration {
        let rate = self.settings.bucket.map_or(self.settings.rate, |bucket| bucket.peak).bits_per_second().max(1);
        if rate == u64::MAX {
            return Duration::ZERO;
        }
        let work = u64::from(length) * 8_000_000_000 + self.remainder;
        self.remainder = work % rate;
        Duration::from_nanos(work / rate)
    }

    /// Moves everything that has left the bottleneck by `now` on to the line.
    fn advance(&mut self, now: Time) {
        while self.head_leaves <= now {
            let Some(head) = self.queue.pop_front() else { return };
            let left = self.head_leaves;
            if let Some(next) = self.queue.front() {
                self.waiting -= u64::from(next.length);
                self.transmit_head(left);
            }
            self.depart(left, head);
        }
    }

    fn depart(&mut self, left: Time, packet: Queued<D>) {
        let Queued { mut datagram, length, .. } = packet;
        let lost = self.settings.loss_place == LossPlace::AfterQueue && self.faults.loses(&self.settings);
        if self.settings.blackout {
            self.counters.blackout.add(length);
            return;
        }
        if lost {
            self.counters.lost.add(length);
            return;
        }
        if self.faults.corrupts(&self.settings) {
            self.counters.corrupted.add(length);
            if !datagram.corrupt(self.faults.corruption()) {
                return;
            }
        }
        if self.faults.duplicates(&self.settings) {
            self.counters.duplicated.add(length);
            let arrival = self.faults.arrival(&self.settings, left);
            self.flight.push(arrival, datagram.clone());
        }
        let arrival = self.faults.arrival(&self.settings, left);
        self.flight.push(arrival, datagram);
    }

    /// When the link next has something to do: [`Link::receive`] should be
    /// called then.
    #[must_use]
    pub fn next_event(&self) -> Option<Time> {
        let leaves = (!self.queue.is_empty()).then_some(self.head_leaves);
        match self.flight.next_arrival() {
            // In order: whatever is still in the queue arrives after this one,
            // so its departure needs no event of its own.
            Some(arrival) if !self.overtaking => Some(arrival),
            Some(arrival) => Some(leaves.map_or(arrival, |leaves| leaves.min(arrival))),
            None => leaves,
        }
    }

    /// The next packet that has arrived by `now`.
    pub fn receive(&mut self, now: Time) -> Option<D> {
        self.advance(now);
        let datagram = self.flight.pop(now)?;
        self.counters.delivered.add(datagram.wire_length());
        Some(datagram)
    }

    /// Changes the link's properties at `now`. Packets already in transmission
    /// or on the line stay as they are; those in the queue meet the new ones,
    /// and with a shorter delay overtake those before them, as on a new route.
    /// The queue keeps its size in bytes unless `change` sets another.
    pub fn change(&mut self, now: Time, change: impl FnOnce(&mut LinkSettings)) {
        self.advance(now);
        let before = self.settings.clone();
        change(&mut self.settings);
        if self.settings.queue != before.queue {
            self.queue_limit = self.settings.queue.bytes(self.settings.rate);
        }
        if self.settings.rate != before.rate {
            self.remainder = 0;
        }
        self.overtaking |= self.settings.overtakes() || self.settings.delay < before.delay;
    }

    /// What the link is like at present.
    #[must_use]
    pub fn settings(&self) -> &LinkSettings {
        &self.settings
    }

    /// What has happened on it so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How long a packet sent at `now` would wait before its transmission.
    pub fn backlog(&mut self, now: Time) -> Duration {
        self.advance(now);
        if self.queue.is_empty() {
            return Duration::ZERO;
        }
        self.head_leaves.since(now) + self.settings.rate.time_for(self.waiting)
    }
}

#[cfg(test)]
mod tests;
