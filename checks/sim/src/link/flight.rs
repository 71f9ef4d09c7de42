//! Packets on their way: in order of arrival, cheap while they keep in order.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};

use limosa_transport::Time;

/// Packets between bottleneck and receiver.
///
/// Those that arrive in the order they left form a plain queue; only those that
/// are overtaken or overtake go through a heap.
#[derive(Debug)]
pub(crate) struct Flight<D> {
    in_order: VecDeque<(Time, D)>,
    stragglers: BinaryHeap<Reverse<Straggler<D>>>,
    counter: u64,
}

#[derive(Debug)]
struct Straggler<D> {
    arrival: Time,
    /// Makes packets with the same arrival keep their order.
    number: u64,
    datagram: D,
}

impl<D> Default for Flight<D> {
    fn default() -> Self {
        Self { in_order: VecDeque::new(), stragglers: BinaryHeap::new(), counter: 0 }
    }
}

impl<D> Flight<D> {
    pub(crate) fn push(&mut self, arrival: Time, datagram: D) {
        if self.in_order.back().is_none_or(|(last, _)| *last <= arrival) {
            self.in_order.push_back((arrival, datagram));
        } else {
            self.counter += 1;
            let number = self.counter;
            self.stragglers.push(Reverse(Straggler { arrival, number, datagram }));
        }
    }

    pub(crate) fn next_arrival(&self) -> Option<Time> {
        let straggler = self.stragglers.peek().map(|Reverse(s)| s.arrival);
        match (self.in_order.front(), straggler) {
            (Some((first, _)), Some(straggler)) => Some(straggler.min(*first)),
            (Some((first, _)), None) => Some(*first),
            (None, straggler) => straggler,
        }
    }

    /// The first packet that has arrived by `now`.
    pub(crate) fn pop(&mut self, now: Time) -> Option<D> {
        let first = self.next_arrival()?;
        if first > now {
            return None;
        }
        if self.in_order.front().is_some_and(|(at, _)| *at == first) {
            return self.in_order.pop_front().map(|(_, datagram)| datagram);
        }
        self.stragglers.pop().map(|Reverse(s)| s.datagram)
    }
}

impl<D> PartialEq for Straggler<D> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<D> Eq for Straggler<D> {}

impl<D> PartialOrd for Straggler<D> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<D> Ord for Straggler<D> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.arrival, self.number).cmp(&(other.arrival, other.number))
    }
}
