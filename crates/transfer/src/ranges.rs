//! Sets of ranges of 64-bit offsets, adjacent ones merged.

use std::collections::BTreeMap;
use std::ops::Range;

/// A set of offsets, kept as the fewest ranges that make it up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeSet {
    /// Start of each range and its end. Ranges are not empty and do not touch.
    ranges: BTreeMap<u64, u64>,
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
        self.ranges.is_empty()
    }

    /// How many separate ranges there are, which is what it costs to keep.
    #[must_use]
    pub fn pieces(&self) -> usize {
        self.ranges.len()
    }

    /// How many offsets are in it.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.iter().map(|range| range.end - range.start).sum()
    }

    /// The ranges, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Range<u64>> + '_ {
        self.ranges.iter().map(|(&start, &end)| start..end)
    }

    /// Whether all of `range` is in it; an empty one always is.
    #[must_use]
    pub fn contains(&self, range: &Range<u64>) -> bool {
        range.is_empty() || self.piece_at(range.start).is_some_and(|piece| piece.end >= range.end)
    }

    /// The range that holds `offset`.
    #[must_use]
    pub fn piece_at(&self, offset: u64) -> Option<Range<u64>> {
        let (&start, &end) = self.ranges.range(..=offset).next_back()?;
        (end > offset).then_some(start..end)
    }

    /// Where the range that starts at the lowest possible offset, 0, ends;
    /// 0 if there is none.
    #[must_use]
    pub fn prefix(&self) -> u64 {
        self.piece_at(0).map_or(0, |piece| piece.end)
    }

    /// Adds `range` and tells `added` which parts of it were missing.
    pub fn insert_with(&mut self, range: Range<u64>, mut added: impl FnMut(Range<u64>)) {
        if range.is_empty() {
            return;
        }
        if self.extend(&range) {
            added(range);
            return;
        }
        let (mut start, mut end) = (range.start, range.end);
        let mut cursor = range.start;
        if let Some((&before, &before_end)) = self.ranges.range(..=range.start).next_back()
            && before_end >= range.start
        {
            start = before;
            cursor = before_end;
            end = end.max(before_end);
            self.ranges.remove(&before);
        }
        while let Some((&next, &next_end)) = self.ranges.range(start..).next() {
            if next > range.end {
                break;
            }
            if cursor < next {
                added(cursor..next);
            }
            cursor = cursor.max(next_end);
            end = end.max(next_end);
            self.ranges.remove(&next);
        }
        if cursor < range.end {
            added(cursor..range.end);
        }
        self.ranges.insert(start, end);
    }

    /// Lengthens the range that ends where `range` starts, if no other is
    /// touched: what happens to nearly every datagram.
    fn extend(&mut self, range: &Range<u64>) -> bool {
        if self.ranges.range(range.start..=range.end).next().is_some() {
            return false;
        }
        match self.ranges.range_mut(..range.start).next_back() {
            Some((_, end)) if *end == range.start => {
                *end = range.end;
                true
            }
            _ => false,
        }
    }

    /// Adds `range`.
    pub fn insert(&mut self, range: Range<u64>) {
        self.insert_with(range, |_| {});
    }

    /// Takes `range` out.
    pub fn remove(&mut self, range: &Range<u64>) {
        if range.is_empty() {
            return;
        }
        while let Some((&start, &end)) = self.ranges.range(..range.end).next_back() {
            if end <= range.start {
                break;
            }
            self.ranges.remove(&start);
            if end > range.end {
                self.ranges.insert(range.end, end);
            }
            if start < range.start {
                self.ranges.insert(start, range.start);
            }
        }
    }

    /// The parts of `range` that are not in it, ascending.
    pub fn missing(&self, range: &Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let Range { start, end } = range.clone();
        let first = self.piece_at(start).map_or(start, |piece| piece.end);
        let mut cursor = first;
        let mut pieces = self.ranges.range(first..end.max(first));
        std::iter::from_fn(move || {
            while cursor < end {
                let gap = cursor;
                let Some((&next, &next_end)) = pieces.next() else {
                    cursor = end;
                    return Some(gap..end);
                };
                cursor = next_end;
                if gap < next {
                    return Some(gap..next);
                }
            }
            None
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SPAN: u64 = 64;

    fn offsets(set: &RangeSet) -> Vec<u64> {
        set.iter().flatten().collect()
    }

    fn range() -> impl Strategy<Value = Range<u64>> {
        (0..SPAN, 0..12u64).prop_map(|(start, length)| start..(start + length).min(SPAN))
    }

    proptest! {
        #[test]
        fn behaves_as_a_set(steps in proptest::collection::vec((any::<bool>(), range()), 0..40), probe in range()) {
            let mut set = RangeSet::new();
            let mut model = vec![false; SPAN as usize];
            for (insert, range) in steps {
                if insert {
                    let mut added = Vec::new();
                    set.insert_with(range.clone(), |part| added.extend(part));
                    let expected: Vec<u64> = range.clone().filter(|&o| !model[o as usize]).collect();
                    prop_assert_eq!(added, expected);
                } else {
                    set.remove(&range);
                }
                range.for_each(|offset| model[offset as usize] = insert);
            }
            let expected: Vec<u64> = (0..SPAN).filter(|&o| model[o as usize]).collect();
            prop_assert_eq!(offsets(&set), expected);
            prop_assert!(set.iter().zip(set.iter().skip(1)).all(|(a, b)| a.end < b.start), "{:?}", set);
            let missing: Vec<u64> = set.missing(&probe).flatten().collect();
            let expected: Vec<u64> = probe.clone().filter(|&o| !model[o as usize]).collect();
            prop_assert_eq!(missing, expected);
            prop_assert_eq!(set.contains(&probe), probe.clone().all(|o| model[o as usize]));
        }
    }
}
