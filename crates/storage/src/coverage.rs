//! Which bytes of one segment there are.

use std::ops::Range;

/// Stretches of a segment, apart and in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Coverage(Vec<Range<usize>>);

impl Coverage {
    /// All of the first `length` bytes.
    pub(crate) fn whole(length: usize) -> Self {
        let mut coverage = Self::default();
        coverage.add(0..length);
        coverage
    }

    /// Adds a stretch.
    pub(crate) fn add(&mut self, mut range: Range<usize>) {
        let joined = |known: &Range<usize>, range: &Range<usize>| known.start <= range.end && range.start <= known.end;
        for known in self.0.extract_if(.., |known| joined(known, &range)).collect::<Vec<_>>() {
            range = range.start.min(known.start)..range.end.max(known.end);
        }
        let at = self.0.partition_point(|known| known.start < range.start);
        self.0.insert(at, range);
    }

    /// Whether nothing was added.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the first `length` bytes all were added.
    pub(crate) fn fills(&self, length: usize) -> bool {
        length == 0 || self.0.first().is_some_and(|first| first.start == 0 && first.end >= length)
    }

    /// The stretches, from the front.
    pub(crate) fn stretches(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.0.iter().cloned()
    }
}
