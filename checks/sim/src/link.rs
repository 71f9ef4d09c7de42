//! One direction of a line: queue, bottleneck, delay, and what goes wrong.
//!
//! A packet that is sent passes, in this order: the MTU; loss in front of the
//! queue; a drop-tail FIFO; the bottleneck, which takes its length at the
//! link's rate unless it stalls; blackout, loss behind the bottleneck (it has used line time by
//! then), corruption, duplication; the delay with its jitter.

mod counters;
mod faults;
mod flight;
mod settings;

use std::collections::VecDeque;
use std::time::Duration;

use limosa_transport::Time;

pub use counters::{Counters, Tally};
pub use settings::{Bursts, Jitter, LinkSettings, LossPlace, Queue, Reordering, Stalls};

use crate::datagram::Wire;
use crate::random::Seed;
use faults::Faults;
pub(crate) use flight::Flight;

/// Why a link took a packet and will not deliver it, known at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Longer than the MTU; nobody is told.
    TooLong,
    /// The queue was full.
    QueueFull,
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
    pub fn send(&mut self, now: Time, datagram: D) -> Result<(), Refused> {
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
        self.enqueue(now, datagram, length);
        Ok(())
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
        let Some(head) = self.queue.front() else { return };
        let start = self.faults.next_working(&self.settings, start);
        self.counters.queueing.record(start.since(head.arrived));
        self.head_leaves = start + self.transmission_time(head.length);
    }

    fn transmission_time(&mut self, length: u32) -> Duration {
        let rate = self.settings.rate.bits_per_second().max(1);
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
