//! The memory of a session: bytes that were taken over and are not yet on
//! disk, counted, and blocks that are used again.

use limosa_transport::QueueState;

use crate::buffer::Buffer;
use crate::content::BLOCK;

/// Blocks kept for use again however little room there is.
const ALWAYS_FREE: u64 = 16;

/// Least capacity that works: a few blocks.
const LEAST: u64 = 4 * BLOCK;

/// Counts what is in memory.
///
/// Bytes are *assembled* while others of their block are missing, then
/// *queued* until the disk has them. At most three quarters are assembled
/// where files can take incomplete blocks; the rest is for the queue.
#[derive(Debug)]
pub(super) struct Memory {
    capacity: u64,
    assembled: u64,
    queued: u64,
    drained: u64,
    /// Blocks for use again: with what is used they fill the capacity at most,
    /// but for [`ALWAYS_FREE`] of them.
    free: Vec<Buffer>,
}

impl Memory {
    pub(super) fn new(capacity: u64) -> Self {
        Self { capacity: capacity.max(LEAST), assembled: 0, queued: 0, drained: 0, free: Vec::new() }
    }

    /// Whether `bytes` more may be assembled.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        self.assembled + self.queued + bytes <= self.capacity
    }

    /// Whether incomplete blocks should make room.
    pub(super) fn is_crowded(&self) -> bool {
        self.assembled > self.capacity / 4 * 3
    }

    /// Memory for `bytes`, of any content, now counted as assembled.
    pub(super) fn take(&mut self, bytes: u64) -> Buffer {
        let free = if bytes == BLOCK { self.free.pop() } else { None };
        self.assemble(bytes);
        let length = usize::try_from(bytes).expect("at most a block is assembled in one piece");
        free.unwrap_or_default().reused_for(length)
    }

    /// Counts `bytes` that were copied elsewhere as assembled.
    pub(super) fn assemble(&mut self, bytes: u64) {
        self.assembled += bytes;
        while self.free.len() as u64 > self.most_free() {
            self.free.pop();
        }
    }

    /// Assembled bytes go to the disk.
    pub(super) fn enqueue(&mut self, bytes: u64) {
        self.assembled = self.assembled.saturating_sub(bytes);
        self.queued += bytes;
    }

    /// Queued bytes are assembled further.
    pub(super) fn unqueue(&mut self, bytes: u64) {
        self.queued = self.queued.saturating_sub(bytes);
        self.assembled += bytes;
    }

    /// Queued bytes are on disk.
    pub(super) fn drain(&mut self, bytes: u64) {
        self.queued = self.queued.saturating_sub(bytes);
        self.drained += bytes;
    }

    /// Assembled bytes are needless.
    pub(super) fn discard(&mut self, bytes: u64) {
        self.assembled = self.assembled.saturating_sub(bytes);
        self.drained += bytes;
    }

    /// Bytes were needless before they were counted.
    pub(super) fn pass(&mut self, bytes: u64) {
        self.drained += bytes;
    }

    /// Takes memory back for use again.
    pub(super) fn give_back(&mut self, buffer: Buffer) {
        if buffer.capacity() as u64 == BLOCK && (self.free.len() as u64) < self.most_free() {
            self.free.push(buffer);
        }
    }

    /// Most blocks kept for use again.
    fn most_free(&self) -> u64 {
        (self.capacity.saturating_sub(self.used()) / BLOCK).max(ALWAYS_FREE)
    }

    /// Bytes in memory that wait for others or for the disk.
    pub(super) fn used(&self) -> u64 {
        self.assembled + self.queued
    }

    /// How full the queue to the disk is. What is being assembled takes from
    /// its capacity, not from its room: it waits for the line.
    pub(super) fn state(&self) -> QueueState {
        let capacity = self.capacity.saturating_sub(self.assembled).max(self.capacity / 4);
        QueueState { queued: self.queued, capacity, drained: self.drained }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_used_again_as_far_as_the_capacity_goes() {
        let mut memory = Memory::new(40 * BLOCK);
        let blocks: Vec<_> = (0..40).map(|_| memory.take(BLOCK)).collect();
        memory.enqueue(40 * BLOCK);
        for block in blocks {
            memory.drain(BLOCK);
            memory.give_back(block);
        }
        assert_eq!((memory.free.len(), memory.used()), (40, 0));
        let again = memory.take(BLOCK);
        assert_eq!((memory.free.len(), again.len() as u64), (39, BLOCK));
        // Small files take their share of the capacity from the blocks kept.
        let files: Vec<_> = (0..30).map(|_| memory.take(BLOCK - 1)).collect();
        assert_eq!(files.len(), 30);
        assert_eq!(memory.free.len() as u64, ALWAYS_FREE);
    }
}
