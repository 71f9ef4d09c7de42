//! Packet numbers of the receiving direction: each is taken once, and what
//! arrived can be told.
//!
//! One window of bits serves both the replay check and the reports.

use std::ops::Range;

use limosa_wire::PacketNumber;

use crate::bits::BitWindow;

/// The window at first, and its limit.
const WINDOW: Range<u64> = 1 << 16..1 << 22;

/// Numbers that arrived.
#[derive(Debug)]
pub(crate) struct Numbers {
    bits: BitWindow,
    /// The number after the highest that arrived.
    end: u64,
    /// What the peer no longer cares for.
    floor: u64,
    /// Numbers below this slid out of the window: it never widens backwards,
    /// or they would be taken again.
    oldest: u64,
}

impl Numbers {
    pub(crate) fn new() -> Self {
        Self { bits: BitWindow::new(WINDOW.start), end: 0, floor: 0, oldest: 0 }
    }

    /// Whether a datagram with this number may be taken: asked before any
    /// cryptography.
    pub(crate) fn is_fresh(&self, number: PacketNumber) -> bool {
        let number = number.get();
        number >= self.end || (number >= self.oldest && !self.bits.get(number))
    }

    /// Notes an authentic number; returns whether it is the highest so far.
    pub(crate) fn insert(&mut self, number: PacketNumber) -> bool {
        let number = number.get();
        let highest = number >= self.end;
        if highest {
            self.make_room(number);
            if number > self.end {
                self.bits.clear_range(self.end..number);
            }
            self.end = number + 1;
            self.oldest = self.oldest.max(self.end.saturating_sub(self.bits.len()));
        }
        self.bits.set(number);
        highest
    }

    /// Widens the window while the stretch that reports cover needs half of
    /// it: what is reported upon spans at least a round trip.
    fn make_room(&mut self, number: u64) {
        if self.bits.len() >= WINDOW.end {
            return;
        }
        let from = self.floor.max(self.oldest);
        if from < self.end && number + 1 - from > self.bits.len() / 2 && number - self.end < self.bits.len() {
            let range = self.oldest..self.end;
            self.bits.grow(self.bits.len() * 2, range);
        }
    }

    /// The peer does not care for numbers below `floor` any more.
    pub(crate) fn set_floor(&mut self, floor: PacketNumber) {
        self.floor = self.floor.max(floor.get());
    }

    /// Highest number that arrived.
    pub(crate) fn largest(&self) -> Option<PacketNumber> {
        PacketNumber::new(self.end.checked_sub(1)?)
    }

    /// The numbers that reports speak of; empty before the first arrival.
    pub(crate) fn reported(&self) -> Range<u64> {
        self.floor.max(self.oldest).min(self.end)..self.end
    }

    /// Whether the number at the start of `range` arrived, and where the run
    /// of its like ends.
    pub(crate) fn run(&self, range: Range<u64>) -> (bool, u64) {
        self.bits.run(range)
    }

    /// How often arrived and missing numbers alternate in `range`.
    pub(crate) fn changes(&self, range: Range<u64>) -> u64 {
        self.bits.changes(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn number(n: u64) -> PacketNumber {
        PacketNumber::new(n).unwrap()
    }

    proptest! {
        #[test]
        fn takes_each_number_once_and_none_that_is_too_old(
            steps in proptest::collection::vec((0u64..1000, any::<bool>(), 0u64..5), 1..400),
            stride in prop_oneof![Just(1u64), Just(100), Just(20_000)],
        ) {
            let mut numbers = Numbers::new();
            let mut seen = HashSet::new();
            let mut end = 0u64;
            for (at, ahead, _) in steps {
                let n = if ahead { end + at * stride / 100 } else { end.saturating_sub(at * stride / 10) };
                let before = end.saturating_sub(numbers.bits.len());
                prop_assert!(numbers.oldest >= before);
                prop_assert_eq!(numbers.is_fresh(number(n)), n >= numbers.oldest && !seen.contains(&n));
                if numbers.is_fresh(number(n)) {
                    prop_assert_eq!(numbers.insert(number(n)), n >= end);
                    seen.insert(n);
                    end = end.max(n + 1);
                }
                prop_assert!(!numbers.is_fresh(number(n)));
            }
            let reported = numbers.reported();
            let mut at = reported.start;
            while at < reported.end {
                let (arrived, until) = numbers.run(at..reported.end);
                prop_assert!((at..until).all(|n| seen.contains(&n) == arrived));
                at = until;
            }
        }
    }

    #[test]
    fn covers_two_to_the_sixteen_numbers_at_least_and_grows_with_the_path() {
        let mut numbers = Numbers::new();
        numbers.insert(number(0));
        numbers.insert(number((1 << 16) - 1));
        assert!(!numbers.is_fresh(number(0)));
        for n in 1 << 16..1 << 20 {
            numbers.insert(number(n));
        }
        assert!(numbers.bits.len() >= 1 << 20, "the floor never moved: {}", numbers.bits.len());
        for n in 1 << 20..1 << 24 {
            numbers.insert(number(n));
        }
        assert_eq!(numbers.bits.len(), 1 << 22);
        assert!(!numbers.is_fresh(number((1 << 24) - (1 << 22))));
        assert!(!numbers.is_fresh(number(5)), "too old to tell is not fresh");
    }

    #[test]
    fn a_floor_shortens_what_is_reported() {
        let mut numbers = Numbers::new();
        for n in 0..100 {
            numbers.insert(number(n));
        }
        numbers.set_floor(number(60));
        numbers.set_floor(number(50));
        assert_eq!(numbers.reported(), 60..100);
        numbers.set_floor(number(1000));
        assert!(numbers.reported().is_empty());
    }
}
