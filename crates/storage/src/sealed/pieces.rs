//! What waits in memory of one segment until it is sealed.

use limosa_seal::envelope::HEAD;

use crate::coverage::Coverage;

/// Bytes of a segment, with room for its head before them.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    /// Empty while nothing was put in.
    segment: Vec<u8>,
    /// What was put in.
    covered: Coverage,
}

impl Pieces {
    /// Puts in bytes at a place in the segment.
    pub(super) fn put(&mut self, within: usize, bytes: &[u8]) {
        let range = within..within + bytes.len();
        if self.segment.len() < HEAD + range.end {
            self.segment.resize(HEAD + range.end, 0);
        }
        self.segment[HEAD..][range.clone()].copy_from_slice(bytes);
        self.covered.add(range);
    }

    /// Whether nothing was put in.
    pub(super) fn is_empty(&self) -> bool {
        self.covered.is_empty()
    }

    /// Whether the first `length` bytes all were put in.
    pub(super) fn fills(&self, length: usize) -> bool {
        self.covered.fills(length)
    }

    /// The segment of `length` bytes, head first; `base`, likewise with a head,
    /// is what stood there before, and zeros what nobody wrote.
    pub(super) fn into_segment(mut self, length: usize, base: Option<Vec<u8>>) -> Vec<u8> {
        let Some(mut base) = base else {
            self.segment.resize(HEAD + length, 0);
            return self.segment;
        };
        base.resize(HEAD + length, 0);
        for range in self.covered.stretches() {
            base[HEAD..][range.clone()].copy_from_slice(&self.segment[HEAD..][range]);
        }
        base
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_come_together(
            writes in prop::collection::vec((0..100_usize, prop::collection::vec(1..=255_u8, 1..40)), 0..12),
        ) {
            const LENGTH: usize = 140;
            let (mut pieces, mut model) = (Pieces::default(), vec![0; LENGTH]);
            for (within, bytes) in &writes {
                pieces.put(*within, bytes);
                model[*within..][..bytes.len()].copy_from_slice(bytes);
            }
            let written = model.iter().take_while(|byte| **byte != 0).count();
            prop_assert!(pieces.fills(written) && !pieces.fills(written + 1));
            let base = vec![7; HEAD + LENGTH];
            let expected: Vec<u8> = model.iter().map(|byte| if *byte == 0 { 7 } else { *byte }).collect();
            let copy = Pieces { segment: pieces.segment.clone(), covered: pieces.covered.clone() };
            prop_assert_eq!(&copy.into_segment(LENGTH, Some(base))[HEAD..], expected);
            prop_assert_eq!(&pieces.into_segment(LENGTH, None)[HEAD..], model);
        }
    }
}
