//! The layout stream as it leaves: encoded records, their running digest, and
//! how far the other end has it.

use limosa_seal::{ContentAlgorithm, ContentHasher};
use limosa_wire::layout::LayoutRecord;

/// Records waiting to be handed over.
#[derive(Debug)]
pub(super) struct LayoutWriter {
    buffer: Vec<u8>,
    /// How much of the buffer was handed over.
    taken: usize,
    /// Bytes of the stream ever encoded.
    written: u64,
    /// Over all records so far; gone once the layout is complete.
    hasher: Option<ContentHasher>,
    entries: u64,
    bytes: u64,
}

impl LayoutWriter {
    pub(super) fn new(algorithm: ContentAlgorithm) -> Self {
        Self { buffer: Vec::new(), taken: 0, written: 0, hasher: Some(algorithm.hasher()), entries: 0, bytes: 0 }
    }

    /// Number of the next entry to be announced.
    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    /// Bytes of all files announced.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Counts an entry of `size` bytes that is about to be announced.
    pub(super) fn count(&mut self, size: u64) {
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(size);
    }

    /// Encodes a record; returns where in the stream it ends.
    pub(super) fn put(&mut self, record: &LayoutRecord) -> u64 {
        let start = self.buffer.len();
        record.encode(&mut self.buffer);
        let encoded = self.buffer.get(start..).unwrap_or_default();
        self.written += encoded.len() as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(encoded);
        }
        self.written
    }

    /// Encodes the end of the layout. What is put afterwards answers requests
    /// for a repeat and is under no digest.
    pub(super) fn finish(&mut self) {
        if let Some(hasher) = self.hasher.take() {
            let end = LayoutRecord::EndOfLayout { entries: self.entries, bytes: self.bytes, digest: hasher.finish() };
            self.put(&end);
        }
    }

    /// Whether the end was encoded.
    pub(super) fn is_complete(&self) -> bool {
        self.hasher.is_none()
    }

    /// Bytes waiting to be handed over.
    pub(super) fn pending(&self) -> usize {
        self.buffer.len() - self.taken
    }

    /// Appends up to `room` waiting bytes to `out`; returns how many.
    pub(super) fn take(&mut self, room: usize, out: &mut Vec<u8>) -> usize {
        let end = self.taken + room.min(self.pending());
        let bytes = self.buffer.get(self.taken..end).unwrap_or_default();
        out.extend_from_slice(bytes);
        let count = bytes.len();
        self.taken = end;
        if self.taken == self.buffer.len() {
            self.buffer.clear();
            self.taken = 0;
        } else if self.taken > self.buffer.len() / 2 {
            self.buffer.drain(..self.taken);
            self.taken = 0;
        }
        count
    }
}
