//! Sets of 64-bit numbers, kept as ranges: what has arrived of a space of
//! bytes, what was acknowledged, what is missing.
//!
//! A line delivers nearly everything in order, so nearly every number that is
//! added follows the highest of the set, and nearly every question is about
//! numbers beside it. The highest range therefore stands by itself, and only
//! what was lost on the way and comes late looks into the tree of the others.
//!
//! A range that ends where it starts, or before, is empty.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::ops::Range;

/// A set of numbers, kept as the fewest ranges that make it up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeSet {
    /// Start of each range but the highest, and its end. Ranges are not empty
    /// and do not touch.
    below: BTreeMap<u64, u64>,
    /// The highest range; empty only if the set is.
    last: Range<u64>,
    total: u64,
}

impl RangeSet {
    /// The empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.last.is_empty()
    }

    /// How many separate ranges there are, which is what it costs to keep.
    #[must_use]
    pub fn pieces(&self) -> usize {
        self.below.len() + usize::from(!self.last.is_empty())
    }

    /// How many numbers are in it.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The ranges, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Range<u64>> + '_ {
        self.below.iter().map(|(&start, &end)| start..end).chain(self.highest())
    }

    /// The lowest range.
    #[must_use]
    pub fn first(&self) -> Option<Range<u64>> {
        self.below.first_key_value().map(|(&start, &end)| start..end).or_else(|| self.highest())
    }

    fn highest(&self) -> Option<Range<u64>> {
        (!self.last.is_empty()).then(|| self.last.clone())
    }

    /// The range that holds `number`.
    #[must_use]
    #[inline]
    pub fn piece_at(&self, number: u64) -> Option<Range<u64>> {
        if number >= self.last.start {
            return (number < self.last.end).then(|| self.last.clone());
        }
        self.piece_below(number)
    }

    fn piece_below(&self, number: u64) -> Option<Range<u64>> {
        let (&start, &end) = self.below.range(..=number).next_back()?;
        (end > number).then_some(start..end)
    }

    /// Whether all of `range` is in it; an empty one always is.
    #[must_use]
    #[inline]
    pub fn contains(&self, range: &Range<u64>) -> bool {
        range.is_empty() || self.piece_at(range.start).is_some_and(|piece| piece.end >= range.end)
    }

    /// The end of the range that holds `number`, or `number` itself.
    #[must_use]
    #[inline]
    pub fn end_of(&self, number: u64) -> u64 {
        self.piece_at(number).map_or(number, |piece| piece.end)
    }

    /// How many numbers of `range` are in it.
    #[must_use]
    pub fn overlap(&self, range: &Range<u64>) -> u64 {
        let missing: u64 = self.missing(range).map(|gap| gap.end - gap.start).sum();
        range.end.saturating_sub(range.start) - missing
    }

    /// The first part of `range` that is not in it.
    #[must_use]
    #[inline]
    pub fn first_missing(&self, range: &Range<u64>) -> Option<Range<u64>> {
        let start = self.end_of(range.start);
        if start >= range.end {
            return None;
        }
        if start >= self.last.start {
            return Some(start..range.end);
        }
        self.first_missing_below(&(start..range.end))
    }

    /// The same for a range that starts in a gap below the highest range.
    fn first_missing_below(&self, range: &Range<u64>) -> Option<Range<u64>> {
        let start = range.start;
        let next = self.below.range(start..range.end).next().map_or(self.last.start, |(&next, _)| next);
        Some(start..next.min(range.end))
    }

    /// The parts of `range` that are not in it, ascending.
    pub fn missing(&self, range: &Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let Range { start, end } = range.clone();
        let mut cursor = if start < end { self.end_of(start) } else { end };
        let looks_below = cursor < end.min(self.last.start) && !self.below.is_empty();
        let below = looks_below.then(|| self.below.range(cursor..end).map(|(&start, &end)| start..end));
        let mut pieces = below.into_iter().flatten().chain(self.highest().filter(|last| cursor <= last.start));
        std::iter::from_fn(move || {
            while cursor < end {
                let gap = cursor;
                let Some(piece) = pieces.next().filter(|piece| piece.start < end) else {
                    cursor = end;
                    return Some(gap..end);
                };
                cursor = piece.end;
                if gap < piece.start {
                    return Some(gap..piece.start);
                }
            }
            None
        })
    }

    /// Adds `range`; returns how many of its numbers are new.
    pub fn insert(&mut self, range: Range<u64>) -> u64 {
        self.insert_with(range, |_| {})
    }

    /// Adds `range` and tells `added` which parts of it were missing; returns
    /// how many numbers these are.
    pub fn insert_with(&mut self, range: Range<u64>, mut added: impl FnMut(Range<u64>)) -> u64 {
        if range.is_empty() {
            return 0;
        }
        let before = self.total;
        if range.start > self.last.end || self.last.is_empty() {
            self.push_last(range.clone());
            self.total += range.end - range.start;
            added(range);
        } else if range.start >= self.last.start {
            if range.end > self.last.end {
                let new = self.last.end..range.end;
                self.last.end = new.end;
                self.total += new.end - new.start;
                added(new);
            }
        } else if range.end < self.last.start {
            self.insert_below(range, added);
        } else {
            self.with_last_below(|set| set.insert_below(range, added));
        }
        self.total - before
    }

    /// Makes `range`, which is above all others, the highest.
    fn push_last(&mut self, range: Range<u64>) {
        let before = std::mem::replace(&mut self.last, range);
        if !before.is_empty() {
            self.below.insert(before.start, before.end);
        }
    }

    /// Lets `change` see all ranges in the tree.
    fn with_last_below(&mut self, change: impl FnOnce(&mut Self)) {
        self.push_last(0..0);
        change(self);
        self.last = self.below.pop_last().map_or(0..0, |(start, end)| start..end);
    }

    /// Adds `range` among the ranges of the tree.
    fn insert_below(&mut self, range: Range<u64>, mut added: impl FnMut(Range<u64>)) {
        let (mut start, mut end, mut cursor) = (range.start, range.end, range.start);
        if let Some((&before, &before_end)) = self.below.range(..=range.start).next_back()
            && before_end >= range.start
        {
            if before_end >= range.end {
                return;
            }
            (start, cursor) = (before, before_end);
        }
        let mut swallowed = cursor - start;
        while cursor <= range.end
            && let Some((&next, &next_end)) = self.below.range(cursor..=range.end).next()
        {
            if cursor < next {
                added(cursor..next);
            }
            swallowed += next_end - next;
            cursor = next_end;
            end = end.max(next_end);
            self.below.remove(&next);
        }
        if cursor < range.end {
            added(cursor..range.end);
        }
        self.below.insert(start, end);
        self.total += end - start - swallowed;
    }

    /// Takes `range` out; returns how many of its numbers were in.
    #[inline]
    pub fn remove(&mut self, range: &Range<u64>) -> u64 {
        if range.is_empty() || range.start >= self.last.end { 0 } else { self.remove_present(range) }
    }

    fn remove_present(&mut self, range: &Range<u64>) -> u64 {
        let before = self.total;
        if range.end <= self.last.start {
            self.remove_below(range);
        } else {
            self.with_last_below(|set| set.remove_below(range));
        }
        before - self.total
    }

    fn remove_below(&mut self, range: &Range<u64>) {
        while let Some((&start, &end)) = self.below.range(..range.end).next_back() {
            if end <= range.start {
                break;
            }
            self.below.remove(&start);
            if end > range.end {
                self.below.insert(range.end, end);
            }
            if start < range.start {
                self.below.insert(start, range.start);
            }
            self.total -= end.min(range.end) - start.max(range.start);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SPAN: u64 = 64;

    fn range() -> impl Strategy<Value = Range<u64>> {
        (0..SPAN, 0..12u64).prop_map(|(start, length)| start..(start + length).min(SPAN))
    }

    /// Sometimes one that ends before it starts.
    fn probe() -> impl Strategy<Value = Range<u64>> {
        (range(), 0..8u8).prop_map(|(range, turned)| if turned == 0 { range.end..range.start } else { range })
    }

    /// The numbers in `range` that are in `model`, or are not.
    fn numbers(model: &[bool], range: &Range<u64>, inside: bool) -> Vec<u64> {
        range.clone().filter(|&n| model[usize::try_from(n).unwrap()] == inside).collect()
    }

    fn check(set: &RangeSet, model: &[bool], probe: &Range<u64>) -> Result<(), TestCaseError> {
        let all = numbers(model, &(0..SPAN), true);
        prop_assert_eq!(set.iter().flatten().collect::<Vec<_>>(), &all[..]);
        prop_assert_eq!(set.iter().rev().count(), set.pieces());
        prop_assert_eq!(set.total(), all.len() as u64);
        prop_assert_eq!((set.is_empty(), set.first()), (all.is_empty(), set.iter().next()));
        prop_assert!(set.iter().zip(set.iter().skip(1)).all(|(a, b)| a.end < b.start), "{:?}", set);
        let (held, missing) = (numbers(model, probe, true), numbers(model, probe, false));
        prop_assert_eq!(set.overlap(probe), held.len() as u64);
        prop_assert_eq!(set.missing(probe).flatten().collect::<Vec<_>>(), &missing[..]);
        prop_assert!(set.missing(probe).all(|gap| !gap.is_empty()));
        prop_assert_eq!(set.first_missing(probe), set.missing(probe).next());
        prop_assert_eq!(set.contains(probe), missing.is_empty());
        let at = probe.start;
        let end = (at..).find(|&n| n >= SPAN || !model[usize::try_from(n).unwrap()]).unwrap();
        prop_assert_eq!(set.end_of(at), end);
        prop_assert_eq!(set.piece_at(at).map(|piece| piece.end), (end > at).then_some(end));
        prop_assert!(set.piece_at(at).is_none_or(|piece| piece.contains(&at)));
        Ok(())
    }

    proptest! {
        #[test]
        fn behaves_as_a_set(steps in proptest::collection::vec((0..3u8, range(), probe()), 0..60)) {
            let mut set = RangeSet::new();
            let mut model = vec![false; usize::try_from(SPAN).unwrap()];
            for (kind, range, probe) in steps {
                let insert = kind > 0;
                let changed = numbers(&model, &range, !insert);
                if insert {
                    let mut added = Vec::new();
                    prop_assert_eq!(set.insert_with(range.clone(), |part| added.extend(part)), changed.len() as u64);
                    prop_assert_eq!(added, changed);
                } else {
                    prop_assert_eq!(set.remove(&range), changed.len() as u64);
                }
                range.for_each(|n| model[usize::try_from(n).unwrap()] = insert);
                check(&set, &model, &probe)?;
            }
        }
    }

    #[test]
    fn the_ends_of_the_numbers_are_in_reach() {
        let mut set = RangeSet::new();
        assert_eq!(set.insert(u64::MAX - 2..u64::MAX), 2);
        assert_eq!(set.insert(0..1), 1);
        assert!(set.missing(&(0..u64::MAX)).eq(std::iter::once(1..u64::MAX - 2)));
        assert_eq!(set.remove(&(0..u64::MAX)), 3);
        assert!(set.is_empty() && set.first().is_none());
    }
}
