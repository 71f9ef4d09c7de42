//! A window of bits over ever-growing numbers: which packet numbers arrived,
//! which are in flight.

use std::ops::Range;

/// One bit per number, for as many consecutive numbers as it has room for; a
/// number and the one a whole window later share a bit, so whoever slides the
/// window clears what it slides over.
#[derive(Clone, Debug)]
pub(crate) struct BitWindow {
    words: Vec<u64>,
}

impl BitWindow {
    /// A window of at least `bits` numbers, all clear.
    pub(crate) fn new(bits: u64) -> Self {
        let words = usize::try_from(bits.div_ceil(64)).unwrap_or(1).max(1).next_power_of_two();
        Self { words: vec![0; words] }
    }

    /// How many numbers it covers.
    pub(crate) fn len(&self) -> u64 {
        self.words.len() as u64 * 64
    }

    #[allow(clippy::cast_possible_truncation)]
    fn place(&self, number: u64) -> (usize, u64) {
        ((number / 64) as usize & (self.words.len() - 1), 1 << (number % 64))
    }

    pub(crate) fn get(&self, number: u64) -> bool {
        let (word, bit) = self.place(number);
        self.words[word] & bit != 0
    }

    pub(crate) fn set(&mut self, number: u64) {
        let (word, bit) = self.place(number);
        self.words[word] |= bit;
    }

    pub(crate) fn clear(&mut self, number: u64) {
        let (word, bit) = self.place(number);
        self.words[word] &= !bit;
    }

    /// Clears a stretch of numbers; all of them if it is longer than the
    /// window.
    pub(crate) fn clear_range(&mut self, range: Range<u64>) {
        if range.end.saturating_sub(range.start) >= self.len() {
            self.words.fill(0);
            return;
        }
        for (word, mask) in words(range) {
            let (place, _) = self.place(word * 64);
            self.words[place] &= !mask;
        }
    }

    /// Whether any number of the stretch is set; the lowest such.
    pub(crate) fn first_set(&self, range: Range<u64>) -> Option<u64> {
        words(range).find_map(|(word, mask)| {
            let set = self.words[self.place(word * 64).0] & mask;
            (set != 0).then(|| word * 64 + u64::from(set.trailing_zeros()))
        })
    }

    /// Calls `each` with the set numbers of the stretch, ascending.
    #[cfg(test)]
    fn set_numbers(&self, range: Range<u64>) -> Vec<u64> {
        range.filter(|number| self.get(*number)).collect()
    }

    /// The fate of the number at the start of `range` and the end of the run
    /// of numbers that share it. `range` must not be empty.
    pub(crate) fn run(&self, range: Range<u64>) -> (bool, u64) {
        let value = self.get(range.start);
        let end = words(range.clone()).find_map(|(word, mask)| {
            let bits = self.words[self.place(word * 64).0];
            let other = if value { !bits } else { bits } & mask;
            (other != 0).then(|| word * 64 + u64::from(other.trailing_zeros()))
        });
        (value, end.unwrap_or(range.end))
    }

    /// How often the fate changes within the stretch: a measure of how long
    /// its description is.
    pub(crate) fn changes(&self, range: Range<u64>) -> u64 {
        let mut last = None;
        let mut count = 0;
        for (word, mask) in words(range) {
            let bits = self.words[self.place(word * 64).0];
            let first = mask.trailing_zeros();
            let width = mask.count_ones();
            let bits = (bits & mask) >> first;
            let shifted = bits ^ (bits >> 1);
            count += u64::from((shifted & low_mask(width - 1)).count_ones());
            count += u64::from(last.is_some_and(|last| last != bits & 1));
            last = Some(bits >> (width - 1) & 1);
        }
        count
    }

    /// Widens the window to at least `bits`, keeping the bits of `range`.
    pub(crate) fn grow(&mut self, bits: u64, range: Range<u64>) {
        if bits <= self.len() {
            return;
        }
        let mut wider = Self::new(bits);
        let mut at = range.start;
        while let Some(number) = self.first_set(at..range.end) {
            wider.set(number);
            at = number + 1;
        }
        *self = wider;
    }

    /// The bits of one word of the stretch at a time, as `(number of the
    /// word's first bit, set bits)`.
    pub(crate) fn word(&self, word: u64) -> u64 {
        self.words[self.place(word * 64).0]
    }
}

/// The words that a stretch of numbers touches, each with the mask of the bits
/// that belong to it.
pub(crate) fn words(range: Range<u64>) -> impl Iterator<Item = (u64, u64)> {
    let last = range.end.saturating_sub(1) / 64;
    let first = if range.is_empty() { last + 1 } else { range.start / 64 };
    (first..=last).map(move |word| {
        let low = range.start.saturating_sub(word * 64);
        let high = (range.end - word * 64).min(64);
        #[allow(clippy::cast_possible_truncation)]
        let mask = low_mask(high as u32) & !low_mask(low as u32);
        (word, mask)
    })
}

fn low_mask(bits: u32) -> u64 {
    if bits >= 64 { u64::MAX } else { (1 << bits) - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn behaves_as_a_set_of_numbers(
            start in 0u64..10_000,
            steps in proptest::collection::vec((0u64..256, 0u64..40, 0u8..3), 1..80),
        ) {
            let mut bits = BitWindow::new(256);
            let mut model = BTreeSet::new();
            for (at, length, what) in steps {
                let number = start + at;
                match what {
                    0 => { bits.set(number); model.insert(number); }
                    1 => { bits.clear(number); model.remove(&number); }
                    _ => {
                        let end = (number + length).min(start + 256);
                        bits.clear_range(number..end);
                        model.retain(|n| !(number..end).contains(n));
                    }
                }
                prop_assert_eq!(bits.set_numbers(start..start + 256), model.iter().copied().collect::<Vec<_>>());
                prop_assert_eq!(bits.first_set(number..start + 256), model.range(number..).next().copied());
                let (value, end) = bits.run(number..start + 256);
                prop_assert!((number..end).all(|n| model.contains(&n) == value));
                prop_assert!(end == start + 256 || model.contains(&end) != value);
                let changes = (number + 1..start + 256).filter(|n| model.contains(n) != model.contains(&(n - 1))).count();
                prop_assert_eq!(bits.changes(number..start + 256), changes as u64);
            }
            let mut wider = bits.clone();
            wider.grow(1000, start..start + 256);
            prop_assert_eq!(wider.set_numbers(start..start + 1000), bits.set_numbers(start..start + 256));
        }
    }
}
