//! Sets of byte ranges: what is acknowledged, lost, received.

use std::collections::BTreeMap;
use std::ops::Range;

/// A set of numbers kept as disjoint, non-touching ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RangeSet {
    /// Start to end.
    ranges: BTreeMap<u64, u64>,
    total: u64,
}

impl RangeSet {
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Numbers in the set.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Ranges in the set.
    pub(crate) fn count(&self) -> usize {
        self.ranges.len()
    }

    /// The lowest range.
    pub(crate) fn first(&self) -> Option<Range<u64>> {
        self.ranges.first_key_value().map(|(start, end)| *start..*end)
    }

    /// The ranges, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.ranges.iter().map(|(start, end)| *start..*end)
    }

    /// Adds a range; returns how many numbers are new.
    pub(crate) fn insert(&mut self, range: Range<u64>) -> u64 {
        if range.is_empty() {
            return 0;
        }
        if let Some(mut last) = self.ranges.last_entry()
            && *last.key() <= range.start
            && range.start <= *last.get()
        {
            let added = range.end.saturating_sub(*last.get());
            *last.get_mut() += added;
            self.total += added;
            return added;
        }
        self.insert_anywhere(range)
    }

    fn insert_anywhere(&mut self, range: Range<u64>) -> u64 {
        let Range { mut start, mut end } = range;
        let mut swallowed = 0;
        while let Some((&s, &e)) = self.ranges.range(..=end).next_back() {
            if e < start {
                break;
            }
            self.ranges.remove(&s);
            swallowed += e - s;
            start = start.min(s);
            end = end.max(e);
        }
        self.ranges.insert(start, end);
        let added = end - start - swallowed;
        self.total += added;
        added
    }

    /// Takes a range out; returns how many numbers were in.
    pub(crate) fn remove(&mut self, range: Range<u64>) -> u64 {
        let mut removed = 0;
        while let Some((&s, &e)) = self.ranges.range(..range.end).next_back() {
            if e <= range.start || range.is_empty() {
                break;
            }
            self.ranges.remove(&s);
            if s < range.start {
                self.ranges.insert(s, range.start);
            }
            if e > range.end {
                self.ranges.insert(range.end, e);
            }
            removed += e.min(range.end) - s.max(range.start);
        }
        self.total -= removed;
        removed
    }

    /// How many numbers of `range` are in the set.
    pub(crate) fn overlap(&self, range: Range<u64>) -> u64 {
        let mut count = 0;
        for (&s, &e) in self.ranges.range(..range.end).rev() {
            if e <= range.start {
                break;
            }
            count += e.min(range.end) - s.max(range.start);
        }
        count
    }

    /// Calls `each` with the parts of `range` that are not in the set,
    /// ascending.
    pub(crate) fn missing(&self, range: Range<u64>, mut each: impl FnMut(Range<u64>)) {
        let before = self.ranges.range(..=range.start).next_back().map_or(range.start, |(_, end)| *end);
        let mut at = before.max(range.start);
        if at >= range.end {
            return;
        }
        for (&s, &e) in self.ranges.range(at..range.end) {
            if s > at {
                each(at..s);
            }
            at = e;
        }
        if at < range.end {
            each(at..range.end);
        }
    }

    /// The end of the range that holds `at`, or `at` itself.
    pub(crate) fn end_of(&self, at: u64) -> u64 {
        self.ranges.range(..=at).next_back().map_or(at, |(_, end)| (*end).max(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn behaves_as_a_set_of_numbers(
            steps in proptest::collection::vec((any::<bool>(), 0u64..120, 0u64..30), 1..60),
        ) {
            let (mut set, mut model) = (RangeSet::default(), BTreeSet::new());
            for (insert, start, length) in steps {
                let range = start..start + length;
                let held = range.clone().filter(|n| model.contains(n)).count() as u64;
                prop_assert_eq!(set.overlap(range.clone()), held);
                let mut missing = Vec::new();
                set.missing(range.clone(), |part| missing.extend(part));
                prop_assert_eq!(missing, range.clone().filter(|n| !model.contains(n)).collect::<Vec<_>>());
                if insert {
                    prop_assert_eq!(set.insert(range.clone()), length - held);
                    model.extend(range);
                } else {
                    prop_assert_eq!(set.remove(range.clone()), held);
                    model.retain(|n| !range.contains(n));
                }
                prop_assert_eq!(set.total(), model.len() as u64);
                prop_assert_eq!(set.iter().flatten().collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
                for (a, b) in set.iter().zip(set.iter().skip(1)) {
                    prop_assert!(a.end < b.start, "ranges touch");
                }
                let end = (start..).find(|n| !model.contains(n)).unwrap();
                prop_assert_eq!(set.end_of(start), end);
            }
        }
    }
}
