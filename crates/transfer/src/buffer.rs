//! Memory for the content of files on its way between line and disk.
//!
//! A session holds up to its whole allowance in such buffers, uses them again
//! and again, and lets them go at its end, on whatever thread that is. Large
//! ones are therefore mappings of their own: they go back to the system the
//! moment they are dropped, while memory of the C library's allocator stays
//! with the arena of the thread that once asked for it, session after session.

use std::fmt;
use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;

/// From so many bytes on a buffer is a mapping.
const MAPPED_FROM: usize = 128 << 10;

/// Bytes in memory.
#[derive(Default)]
pub struct Buffer {
    memory: Memory,
    length: usize,
}

enum Memory {
    Heap(Box<[u8]>),
    Mapped(MmapMut),
}

impl Default for Memory {
    fn default() -> Self {
        Self::Heap(Box::default())
    }
}

impl Buffer {
    /// `length` zeros.
    #[must_use]
    pub fn zeroed(length: usize) -> Self {
        let mapped = if length >= MAPPED_FROM { MmapMut::map_anon(length).ok() } else { None };
        let memory = mapped.map_or_else(|| Memory::Heap(vec![0; length].into()), Memory::Mapped);
        Self { memory, length }
    }

    /// This memory, or other if it is too small, for `length` bytes of any
    /// content.
    #[must_use]
    pub fn reused_for(mut self, length: usize) -> Self {
        if length > self.capacity() {
            return Self::zeroed(length);
        }
        self.length = length;
        self
    }

    /// Shortens the content to `length` bytes, if it is longer.
    pub fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    /// How many bytes there is memory for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        match &self.memory {
            Memory::Heap(bytes) => bytes.len(),
            Memory::Mapped(bytes) => bytes.len(),
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let bytes = match &self.memory {
            Memory::Heap(bytes) => &bytes[..],
            Memory::Mapped(bytes) => &bytes[..],
        };
        &bytes[..self.length]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        let bytes = match &mut self.memory {
            Memory::Heap(bytes) => &mut bytes[..],
            Memory::Mapped(bytes) => &mut bytes[..],
        };
        &mut bytes[..self.length]
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Buffer({} bytes)", self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_of_either_kind_hold_what_is_put_into_them() {
        for length in [0, 1, MAPPED_FROM - 1, MAPPED_FROM, 1 << 20] {
            let mut buffer = Buffer::zeroed(length);
            assert!(buffer.iter().all(|byte| *byte == 0));
            buffer.fill(7);
            buffer.truncate(length / 2);
            assert_eq!((buffer.len(), buffer.capacity()), (length / 2, length));
            assert!(buffer.iter().all(|byte| *byte == 7));
        }
    }

    #[test]
    fn memory_is_used_again_as_far_as_it_goes() {
        let mut buffer = Buffer::zeroed(MAPPED_FROM);
        buffer.truncate(5);
        let place = buffer.as_ptr();
        let buffer = buffer.reused_for(MAPPED_FROM);
        assert_eq!((buffer.len(), buffer.as_ptr()), (MAPPED_FROM, place));
        assert_eq!(buffer.reused_for(MAPPED_FROM + 1).len(), MAPPED_FROM + 1);
        assert_eq!(Buffer::default().reused_for(3)[..], [0, 0, 0]);
    }
}
