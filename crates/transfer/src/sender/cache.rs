//! Blocks of files in memory, from their reading until the other end has them.
//!
//! Files of one chunk are one block, which stays: the digest that was announced
//! is of those very bytes. Blocks of a large file that were sent may be dropped
//! while the file is still open and read again if a datagram with them was
//! lost.

use std::collections::{BTreeMap, VecDeque};
use std::ops::{Range, RangeInclusive};

use super::space::Owner;
use crate::buffer::Buffer;
use crate::content::{BLOCK, BLOCK_LOG2};
use crate::prefetch::prefetch;

/// Buffers kept for the next reads however little of the budget is left.
const ALWAYS_SPARE: u64 = 16;
/// So many requests in vain, and blocks that were read again are given up.
const MISSES: u32 = 4096;
/// What a block costs beyond its bytes.
const OVERHEAD: u64 = 256;

/// Names a block: whose, and its number within the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct BlockKey {
    pub(super) owner: Owner,
    pub(super) index: u64,
}

impl BlockKey {
    /// The block that holds the byte at `offset` of a file.
    pub(super) fn at(owner: Owner, offset: u64) -> Self {
        Self { owner, index: offset >> BLOCK_LOG2 }
    }

    /// First byte of the block within the file.
    pub(super) fn start(self) -> u64 {
        self.index << BLOCK_LOG2
    }
}

/// Where the bytes of a block are.
#[derive(Debug)]
enum Content {
    Here(Buffer),
    /// Dropped after it was sent.
    Dropped,
    /// Dropped, asked for, and being read again.
    Coming,
}

#[derive(Debug)]
struct Block {
    content: Content,
    /// Length of the content, here or not.
    length: u64,
    /// Bytes of it that have a place and are not acknowledged.
    unacknowledged: u64,
    /// Bytes of it that have a place and were not copied out yet.
    unsent: u64,
    /// It may be dropped once it was sent.
    droppable: bool,
    /// It was read again because somebody asked, and not copied since.
    asked_for: bool,
}

/// What became of a request for bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copied {
    /// So many were copied.
    Bytes(usize),
    /// The block was dropped: it has to be read again, `length` bytes for which
    /// room was reserved.
    ReadAgain { length: u64 },
    /// It is being read, or waits for room.
    Coming,
    /// There is no such block.
    Unknown,
}

/// The blocks in memory.
#[derive(Debug)]
pub(super) struct BlockCache {
    blocks: BTreeMap<BlockKey, Block>,
    /// Droppable blocks, oldest first; may name some that have gone.
    order: VecDeque<BlockKey>,
    /// Buffers for the next reads: with what is used they fill the budget at
    /// most, but for [`ALWAYS_SPARE`] of them.
    spare: Vec<Buffer>,
    budget: u64,
    /// Nothing is read ahead beyond so many bytes being read or not yet sent.
    ahead: u64,
    /// Bytes being read for the first time.
    under_way: u64,
    /// Bytes in blocks, and reserved for reads under way.
    used: u64,
    /// Bytes in blocks that were not sent yet.
    unsent: u64,
    peak: u64,
    /// Requests for dropped blocks refused one after the other.
    misses: u32,
}

impl BlockCache {
    pub(super) fn new(budget: u64, ahead: u64) -> Self {
        Self {
            blocks: BTreeMap::new(),
            order: VecDeque::new(),
            spare: Vec::new(),
            budget,
            ahead,
            under_way: 0,
            used: 0,
            unsent: 0,
            peak: 0,
            misses: 0,
        }
    }

    /// Bytes in use now, and the most there ever were.
    pub(super) fn usage(&self) -> (u64, u64) {
        (self.used, self.peak)
    }

    /// Reserves room for a read of `bytes`, dropping sent blocks if little is
    /// left that was read ahead. False if there is no room now, or enough was
    /// read ahead. The read ends with [`Self::release_read`].
    pub(super) fn reserve(&mut self, bytes: u64) -> bool {
        if self.unsent + self.under_way >= self.ahead {
            return false;
        }
        while self.used + bytes > self.budget {
            if self.unsent >= self.budget / 4 || !self.drop_oldest() {
                return false;
            }
        }
        self.under_way += bytes;
        self.reserve_anyway(bytes);
        true
    }

    /// Gives back what was reserved for a read that ended: what it brought is
    /// charged by its own length.
    pub(super) fn release_read(&mut self, bytes: u64) {
        self.under_way = self.under_way.saturating_sub(bytes);
        self.release(bytes);
    }

    /// Reserves room to read a dropped block again, beyond the budget by half of
    /// it: the line waits for what was lost, whatever else is in memory. False
    /// if even that is used up; then [`Self::give_up_asked`] helps in the end.
    fn reserve_again(&mut self, bytes: u64) -> bool {
        while self.used + bytes > self.budget {
            if !self.drop_oldest() {
                break;
            }
        }
        let room = self.used + bytes <= self.budget + self.budget / 2;
        if room {
            self.misses = 0;
            self.reserve_anyway(bytes);
        } else {
            self.misses += 1;
            if self.misses >= MISSES {
                self.misses = 0;
                self.give_up_asked();
            }
        }
        room
    }

    /// Lets the blocks go that were asked for, read again, and not asked for
    /// since: what was lost of them may have arrived late.
    fn give_up_asked(&mut self) {
        self.blocks.values_mut().for_each(|block| block.asked_for = false);
    }

    /// Reserves what is known to fit, or is in memory already.
    pub(super) fn reserve_anyway(&mut self, bytes: u64) {
        self.used += bytes;
        self.peak = self.peak.max(self.used);
        while self.spare.len() as u64 > self.most_spare() {
            self.spare.pop();
        }
    }

    /// Gives back what was reserved.
    pub(super) fn release(&mut self, bytes: u64) {
        self.used = self.used.saturating_sub(bytes);
    }

    /// A buffer for a read of `bytes`, its content left over from the last one.
    /// Only whole blocks use memory again: it is charged by their length.
    pub(super) fn buffer(&mut self, bytes: u64) -> Buffer {
        if bytes == BLOCK { self.spare.pop().unwrap_or_default() } else { Buffer::default() }
    }

    /// Takes a buffer back.
    pub(super) fn recycle(&mut self, buffer: Buffer) {
        if buffer.capacity() as u64 >= BLOCK && (self.spare.len() as u64) < self.most_spare() {
            self.spare.push(buffer);
        }
    }

    /// Most buffers kept for the next reads.
    fn most_spare(&self) -> u64 {
        (self.budget.saturating_sub(self.used) / BLOCK).max(ALWAYS_SPARE)
    }

    /// Takes a block in that may be sent at once, of which `placed` bytes have a
    /// place in the space. Its length must have been reserved.
    pub(super) fn insert(&mut self, key: BlockKey, bytes: Buffer, placed: u64, droppable: bool) {
        self.hold(key, bytes, placed, droppable);
        self.offer(key);
    }

    /// The same of a block that waits for the other end's word: no line can
    /// carry it, so it is not read ahead of one.
    pub(super) fn hold(&mut self, key: BlockKey, bytes: Buffer, placed: u64, droppable: bool) {
        let length = bytes.len() as u64;
        self.reserve_anyway(OVERHEAD);
        let block = Block {
            content: Content::Here(bytes),
            length,
            unacknowledged: placed,
            unsent: 0,
            droppable,
            asked_for: false,
        };
        self.blocks.insert(key, block);
        if droppable {
            self.order.push_back(key);
        }
    }

    /// A block that was held may be sent.
    pub(super) fn offer(&mut self, key: BlockKey) {
        let Some(block) = self.blocks.get_mut(&key) else { return };
        self.unsent += block.unacknowledged - block.unsent;
        block.unsent = block.unacknowledged;
    }

    /// Puts a block back that was read again. It may have gone meanwhile.
    pub(super) fn restore(&mut self, key: BlockKey, bytes: Buffer) {
        match self.blocks.get_mut(&key) {
            Some(block) if bytes.len() as u64 == block.length => {
                block.content = Content::Here(bytes);
                block.asked_for = true;
                if block.droppable {
                    self.order.push_back(key);
                }
            }
            _ => {
                self.release(bytes.len() as u64);
                self.recycle(bytes);
            }
        }
    }

    /// Copies bytes of the file at `offset` from the block that holds them, up
    /// to its end. A block that is not here is counted as asked for.
    pub(super) fn copy(&mut self, owner: Owner, offset: u64, out: &mut [u8]) -> Copied {
        let key = BlockKey::at(owner, offset);
        let Some(block) = self.blocks.get_mut(&key) else { return Copied::Unknown };
        match &block.content {
            Content::Dropped => {
                let length = block.length;
                self.fetch(key, length)
            }
            Content::Coming => Copied::Coming,
            Content::Here(bytes) => {
                let start = usize::try_from(offset - key.start()).unwrap_or(usize::MAX);
                let bytes = bytes.get(start..).unwrap_or_default();
                let count = bytes.len().min(out.len());
                let (now, later) = bytes.split_at(count);
                out[..count].copy_from_slice(now);
                prefetch(&later[..later.len().min(count)]);
                let sent = block.unsent.min(count as u64);
                block.unsent -= sent;
                block.asked_for = false;
                self.unsent -= sent;
                Copied::Bytes(count)
            }
        }
    }

    fn fetch(&mut self, key: BlockKey, length: u64) -> Copied {
        if !self.reserve_again(length) {
            return Copied::Coming;
        }
        if let Some(block) = self.blocks.get_mut(&key) {
            block.content = Content::Coming;
        }
        Copied::ReadAgain { length }
    }

    /// The other end has bytes `file` of the file. Tells how many blocks went.
    pub(super) fn acknowledged(&mut self, owner: Owner, file: Range<u64>) -> usize {
        let mut gone = 0;
        let mut start = file.start;
        while start < file.end {
            let key = BlockKey::at(owner, start);
            let end = file.end.min(key.start() + BLOCK);
            if let Some(block) = self.blocks.get_mut(&key) {
                block.unacknowledged = block.unacknowledged.saturating_sub(end - start);
                if block.unacknowledged == 0 {
                    self.remove(key);
                    gone += 1;
                }
            }
            start = end;
        }
        gone
    }

    /// Forbids to drop any more blocks of `owner` from now on.
    pub(super) fn pin(&mut self, owner: Owner) {
        for (_, block) in self.blocks.range_mut(blocks_of(owner)) {
            block.droppable = false;
        }
    }

    /// Whether any block of `owner` is kept.
    pub(super) fn keeps(&self, owner: Owner) -> bool {
        self.blocks.range(blocks_of(owner)).next().is_some()
    }

    /// Whether any block of `owner` was dropped and may be asked for.
    pub(super) fn lacks(&self, owner: Owner) -> bool {
        self.blocks.range(blocks_of(owner)).any(|(_, block)| !matches!(block.content, Content::Here(_)))
    }

    /// The stretches of the file whose blocks are kept, ascending.
    pub(super) fn stretches(&self, owner: Owner) -> Vec<Range<u64>> {
        let blocks = self.blocks.range(blocks_of(owner));
        blocks.map(|(key, block)| key.start()..key.start() + block.length).collect()
    }

    /// Forgets the blocks of `owner` that are not in memory.
    pub(super) fn forget_dropped(&mut self, owner: Owner) {
        let blocks = self.blocks.range(blocks_of(owner));
        let dropped = blocks.filter(|(_, block)| !matches!(block.content, Content::Here(_)));
        let dropped: Vec<BlockKey> = dropped.map(|(key, _)| *key).collect();
        dropped.into_iter().for_each(|key| self.remove(key));
    }

    /// Blocks kept, in memory or not.
    pub(super) fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Forgets a block.
    pub(super) fn remove(&mut self, key: BlockKey) {
        let Some(block) = self.blocks.remove(&key) else { return };
        self.unsent -= block.unsent;
        self.release(OVERHEAD);
        if let Content::Here(bytes) = block.content {
            self.release(bytes.len() as u64);
            self.recycle(bytes);
        }
    }

    /// Drops the oldest block that was sent; false if there is none.
    fn drop_oldest(&mut self) -> bool {
        let mut at = 0;
        while let Some(&key) = self.order.get(at) {
            match self.blocks.get_mut(&key) {
                Some(block) if block.droppable && (block.unsent > 0 || block.asked_for) => at += 1,
                Some(block) if block.droppable => {
                    self.order.remove(at);
                    if let Content::Here(bytes) = std::mem::replace(&mut block.content, Content::Dropped) {
                        self.release(bytes.len() as u64);
                        self.recycle(bytes);
                        return true;
                    }
                }
                // Acknowledged, or to stay.
                _ => {
                    self.order.remove(at);
                }
            }
        }
        false
    }
}

fn blocks_of(owner: Owner) -> RangeInclusive<BlockKey> {
    BlockKey { owner, index: 0 }..=BlockKey { owner, index: u64::MAX }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: Owner = Owner(7);

    fn filled_with(byte: u8) -> Buffer {
        let mut buffer = Buffer::zeroed(BLOCK as usize);
        buffer.fill(byte);
        buffer
    }

    fn block(cache: &mut BlockCache, index: u64, droppable: bool) {
        assert!(cache.reserve(BLOCK), "no room for block {index}");
        cache.release_read(BLOCK);
        cache.reserve_anyway(BLOCK);
        cache.insert(BlockKey { owner: FILE, index }, filled_with(index as u8), BLOCK, droppable);
    }

    #[test]
    fn only_sent_blocks_give_way_and_come_back_when_asked_for() {
        let mut cache = BlockCache::new(5 * BLOCK, u64::MAX);
        (0..4).for_each(|index| block(&mut cache, index, index != 0));
        assert!(!cache.reserve(BLOCK), "nothing was sent");
        let mut out = vec![0; BLOCK as usize];
        for index in 0..4 {
            assert_eq!(cache.copy(FILE, index * BLOCK, &mut out), Copied::Bytes(BLOCK as usize));
        }
        assert!(cache.reserve(BLOCK));
        assert!(cache.lacks(FILE));
        assert_eq!(cache.copy(FILE, 5, &mut out[..3]), Copied::Bytes(3), "the first may not be dropped");
        assert_eq!(cache.copy(FILE, BLOCK, &mut out), Copied::ReadAgain { length: BLOCK });
        assert_eq!(cache.copy(FILE, BLOCK, &mut out), Copied::Coming);
        cache.restore(BlockKey { owner: FILE, index: 1 }, filled_with(9));
        assert_eq!(cache.copy(FILE, BLOCK + 1, &mut out[..2]), Copied::Bytes(2));
        assert_eq!(out[..2], [9, 9]);
    }

    #[test]
    fn reading_ahead_waits_until_some_of_it_was_sent() {
        let mut cache = BlockCache::new(8 * BLOCK, 2 * BLOCK);
        (0..2).for_each(|index| block(&mut cache, index, true));
        assert!(!cache.reserve(BLOCK), "two blocks wait to be sent");
        assert_eq!(cache.copy(FILE, 0, &mut [0; 1]), Copied::Bytes(1));
        assert!(cache.reserve(BLOCK));
        assert!(!cache.reserve(BLOCK), "one waits to be sent, and one is being read");
        cache.release_read(BLOCK);
        assert!(cache.reserve(BLOCK), "the read failed");
    }

    #[test]
    fn what_waits_for_a_verdict_is_not_read_ahead() {
        let mut cache = BlockCache::new(8 * BLOCK, BLOCK);
        let key = BlockKey { owner: FILE, index: 0 };
        cache.reserve_anyway(BLOCK);
        cache.hold(key, filled_with(1), BLOCK, false);
        assert!(cache.reserve(BLOCK), "the line cannot carry the first yet");
        cache.release_read(BLOCK);
        cache.offer(key);
        assert!(!cache.reserve(BLOCK), "now it can");
        cache.remove(key);
        assert!(cache.reserve(BLOCK), "nothing is left of it");
    }

    #[test]
    fn acknowledged_blocks_leave_nothing_behind() {
        let mut cache = BlockCache::new(8 * BLOCK, u64::MAX);
        (0..3).for_each(|index| block(&mut cache, index, true));
        assert_eq!(cache.acknowledged(FILE, 10..2 * BLOCK), 1);
        assert_eq!(cache.acknowledged(FILE, 0..10), 1);
        assert_eq!(cache.acknowledged(FILE, 2 * BLOCK..3 * BLOCK), 1);
        assert!(!cache.keeps(FILE));
        assert_eq!(cache.usage().0, 0);
        assert_eq!(cache.buffer(BLOCK).len(), BLOCK as usize, "its memory is used again");
    }

    #[test]
    fn buffers_are_used_again_as_far_as_the_budget_goes() {
        let mut cache = BlockCache::new(40 * BLOCK, u64::MAX);
        (0..36).for_each(|index| block(&mut cache, index, true));
        cache.acknowledged(FILE, 0..36 * BLOCK);
        assert_eq!(cache.spare.len(), 36);
        // What else is in memory takes its room from the buffers kept.
        assert!(cache.reserve(30 * BLOCK));
        assert_eq!(cache.spare.len() as u64, ALWAYS_SPARE);
    }
}
