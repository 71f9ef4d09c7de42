//! Which segments of a file something is true of.

use std::collections::BTreeMap;
use std::ops::Range;

/// Segments, as ranges that do not touch.
#[derive(Debug, Default)]
pub(crate) struct Segments(BTreeMap<u64, u64>);

impl Segments {
    /// Whether `number` is among them.
    pub(crate) fn contains(&self, number: u64) -> bool {
        self.0.range(..=number).next_back().is_some_and(|(_, end)| number < *end)
    }

    /// Adds a run.
    pub(crate) fn insert(&mut self, added: Range<u64>) {
        if added.is_empty() {
            return;
        }
        let (mut start, mut end) = (added.start, added.end);
        while let Some((&known, &known_end)) = self.0.range(..=end).next_back().filter(|(_, past)| **past >= start) {
            self.0.remove(&known);
            (start, end) = (start.min(known), end.max(known_end));
        }
        self.0.insert(start, end);
    }

    /// Takes away `number` and all behind it.
    pub(crate) fn cut(&mut self, number: u64) {
        self.0.split_off(&number);
        if let Some((_, end)) = self.0.range_mut(..number).next_back() {
            *end = number.min(*end);
        }
    }

    /// Takes away one.
    pub(crate) fn remove(&mut self, number: u64) {
        if let Some((&start, &end)) = self.0.range(..=number).next_back().filter(|(_, end)| number < **end) {
            self.0.remove(&start);
            self.insert(start..number);
            self.insert(number + 1..end);
        }
    }

    /// The first run below `limit` that is not in here.
    pub(crate) fn gap(&self, limit: u64) -> Option<Range<u64>> {
        let start = match self.0.first_key_value() {
            Some((0, &end)) => end,
            _ => 0,
        };
        let end = self.0.range(start..).next().map_or(limit, |(&next, _)| next.min(limit));
        (start < end).then_some(start..end)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_hold_what_was_put_in(steps in prop::collection::vec((0..40_u64, 0..6_u64, 0..5_u8), 0..30)) {
            let (mut segments, mut model) = (Segments::default(), BTreeSet::new());
            for (at, count, what) in steps {
                match what {
                    0 => {
                        segments.cut(at);
                        model.retain(|number| *number < at);
                    }
                    1 => {
                        segments.remove(at);
                        model.remove(&at);
                    }
                    _ => {
                        segments.insert(at..at + count);
                        model.extend(at..at + count);
                    }
                }
                for number in 0..50 {
                    prop_assert_eq!(segments.contains(number), model.contains(&number), "{}", number);
                }
                let first = (0..45).find(|number| !model.contains(number));
                prop_assert_eq!(segments.gap(45).map(|gap| gap.start), first);
                if let Some(gap) = segments.gap(45) {
                    prop_assert!(gap.clone().all(|number| !model.contains(&number)));
                    prop_assert!(gap.end == 45 || model.contains(&gap.end));
                }
            }
        }
    }
}
