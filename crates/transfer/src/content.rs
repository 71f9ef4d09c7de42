//! How a file is cut: into chunks, which have digests, and blocks, which are
//! read, kept and written at once.

use std::ops::Range;

use limosa_wire::layout::{MAX_CHUNK_LOG2, MAX_CHUNKS, MIN_CHUNK_LOG2, chunk_log2_for};

/// A block as a power of two: 1 MiB, which is also the smallest chunk, so that
/// a chunk is always whole blocks.
pub const BLOCK_LOG2: u8 = MIN_CHUNK_LOG2;
/// Size of a block, bytes. The last one of a file may be shorter.
pub const BLOCK: u64 = 1 << BLOCK_LOG2;

/// Bytes that are read or written and digested together, so that the second of
/// the two finds them in the processor's cache.
pub const PORTION: usize = 128 << 10;

/// The chunks of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunks {
    size: u64,
    log2: u8,
}

impl Chunks {
    /// A file of `size` bytes cut as the protocol has it for that size.
    #[must_use]
    pub fn of(size: u64) -> Self {
        Self { size, log2: chunk_log2_for(size) }
    }

    /// A file of `size` bytes in chunks of `1 << log2` bytes; `None` for chunks
    /// that the protocol does not know, or too many of them.
    #[must_use]
    pub fn new(size: u64, log2: u8) -> Option<Self> {
        let chunks = Self { size, log2 };
        ((MIN_CHUNK_LOG2..=MAX_CHUNK_LOG2).contains(&log2) && chunks.count() <= MAX_CHUNKS).then_some(chunks)
    }

    /// Size of the file, bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Size of a chunk, as a power of two.
    #[must_use]
    pub fn log2(&self) -> u8 {
        self.log2
    }

    /// How many there are; none in an empty file.
    #[must_use]
    pub fn count(&self) -> u64 {
        let whole = self.size >> self.log2;
        whole + u64::from(whole << self.log2 != self.size)
    }

    /// The chunk that holds the byte at `offset`.
    #[must_use]
    pub fn at(&self, offset: u64) -> u64 {
        offset >> self.log2
    }

    /// The bytes of chunk `index`; empty behind the end of the file.
    #[must_use]
    pub fn bytes(&self, index: u64) -> Range<u64> {
        self.span(index, 1)
    }

    /// The bytes of `count` chunks from `first` on, as far as the file goes.
    #[must_use]
    pub fn span(&self, first: u64, count: u64) -> Range<u64> {
        let edge = |chunk: u64| match chunk.checked_shl(self.log2.into()) {
            Some(bytes) if bytes >> self.log2 == chunk => bytes.min(self.size),
            _ => self.size,
        };
        edge(first)..edge(first.saturating_add(count))
    }

    /// The chunks that `bytes` touches.
    #[must_use]
    pub fn touched(&self, bytes: &Range<u64>) -> Range<u64> {
        if bytes.is_empty() {
            return 0..0;
        }
        self.at(bytes.start)..(self.at(bytes.end - 1) + 1).min(self.count())
    }
}

/// The bytes that `a` and `b` share; empty (at some place) if none.
#[must_use]
pub fn overlap(a: &Range<u64>, b: &Range<u64>) -> Range<u64> {
    let start = a.start.max(b.start);
    start..a.end.min(b.end).max(start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn small_files_have_one_chunk_and_empty_ones_none() {
        assert_eq!(Chunks::of(0).count(), 0);
        assert_eq!(Chunks::of(1).count(), 1);
        assert_eq!(Chunks::of(BLOCK).count(), 1);
        assert_eq!(Chunks::of(BLOCK + 1).count(), 2);
        assert_eq!(Chunks::of(BLOCK + 1).bytes(1), BLOCK..BLOCK + 1);
    }

    #[test]
    fn foreign_cuts_are_checked() {
        assert!(Chunks::new(1 << 40, MIN_CHUNK_LOG2).is_none(), "too many chunks");
        assert!(Chunks::new(10, MIN_CHUNK_LOG2 - 1).is_none());
        assert!(Chunks::new(10, 64).is_none());
    }

    proptest! {
        #[test]
        fn chunks_cover_the_file_once(size in 0u64..1 << 50, probe: u64) {
            let chunks = Chunks::of(size);
            prop_assert!(chunks.count() <= MAX_CHUNKS);
            prop_assert_eq!(chunks.span(0, chunks.count()), 0..size);
            if size > 0 {
                let offset = probe % size;
                prop_assert!(chunks.bytes(chunks.at(offset)).contains(&offset));
                prop_assert_eq!(chunks.touched(&(offset..offset + 1)), chunks.at(offset)..chunks.at(offset) + 1);
            }
            prop_assert!(chunks.span(u64::MAX, u64::MAX).is_empty());
        }
    }
}
