//! The memory of a session: bytes that were taken over and are not yet on
//! disk, counted, and blocks that are used again.

use limosa_transport::QueueState;

use crate::content::BLOCK;

/// Blocks kept for use again.
const MAX_FREE: usize = 16;

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
    free: Vec<Vec<u8>>,
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
    pub(super) fn take(&mut self, bytes: u64) -> Vec<u8> {
        self.assembled += bytes;
        let length = usize::try_from(bytes).expect("at most a block is assembled in one piece");
        if bytes == BLOCK
            && let Some(block) = self.free.pop()
        {
            return block;
        }
        vec![0; length]
    }

    /// Counts `bytes` that were copied elsewhere as assembled.
    pub(super) fn assemble(&mut self, bytes: u64) {
        self.assembled += bytes;
    }

    /// Assembled bytes go to the disk.
    pub(super) fn enqueue(&mut self, bytes: u64) {
        self.assembled = self.assembled.saturating_sub(bytes);
        self.queued += bytes;
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
    pub(super) fn give_back(&mut self, buffer: Vec<u8>) {
        if buffer.len() as u64 == BLOCK && self.free.len() < MAX_FREE {
            self.free.push(buffer);
        }
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
