//! From bytes to written and digested blocks.

use std::ops::Range;

use super::super::bench::{Bench, Wait};
use super::super::operation::{DestinationWork, WriteBlock};
use super::super::step::Step;
use super::LargeFile;
use crate::buffer::Buffer;
use crate::content::{BLOCK, BLOCK_LOG2};
use crate::prefetch::prefetch;

/// Bytes of pieces that are written without waiting for the pieces before.
const PIECES_AT_ONCE: u64 = 512 << 10;
/// What a piece costs beside its bytes.
const PIECE_COST: u64 = 64;

/// A block that is not yet digested.
#[derive(Debug)]
pub(super) enum Block {
    /// In memory, with gaps.
    Assembling(Buffer),
    /// In memory, complete: it waits for its file to be open.
    Waiting(Buffer),
    /// It left memory with gaps; so many operations write stretches of it.
    Stored { writes: u32 },
    /// It is being written and digested, or read back.
    Digesting,
}

impl LargeFile {
    /// The bytes of a block, as far as the file is known to reach.
    pub(super) fn block_range(&self, block: u64) -> Range<u64> {
        let start = block << BLOCK_LOG2;
        let end = start.saturating_add(BLOCK);
        start..self.known_size().map_or(end, |size| end.min(size).max(start))
    }

    /// Takes bytes over; returns how many, which is fewer where memory is full.
    pub(in super::super) fn accept(&mut self, offset: u64, bytes: &[u8], force: bool, bench: &mut Bench) -> usize {
        if self.failing.is_some() || self.publishing {
            bench.memory.pass(bytes.len() as u64);
            return bytes.len();
        }
        let may_take = force || (self.wanted && self.open(bench));
        if !may_take {
            return 0;
        }
        let mut taken = 0;
        while taken < bytes.len() {
            let at = offset + taken as u64;
            let room = index((((at >> BLOCK_LOG2) + 1) << BLOCK_LOG2) - at);
            let portion = &bytes[taken..bytes.len().min(taken.saturating_add(room))];
            if !self.accept_in_block(at, portion, force, bench) {
                break;
            }
            taken += portion.len();
        }
        taken
    }

    /// Takes bytes of one block over, if there is room.
    fn accept_in_block(&mut self, at: u64, portion: &[u8], force: bool, bench: &mut Bench) -> bool {
        let range = at..at + portion.len() as u64;
        let block = at >> BLOCK_LOG2;
        let mut missing = self.covered.first_missing(&range);
        if missing.is_none() {
            bench.memory.pass(portion.len() as u64);
            return true;
        }
        if !self.make_block(block, portion.len() as u64, force, bench) {
            return false;
        }
        while let Some(part) = missing {
            self.keep(block, part.start, &portion[index(part.start - at)..index(part.end - at)], bench);
            let rest = part.end..range.end;
            self.covered.insert(part);
            missing = if rest.is_empty() { None } else { self.covered.first_missing(&rest) };
        }
        self.resolve_again(block);
        if self.is_complete(block) {
            self.advance_block(block, bench);
        }
        self.write_pieces(bench);
        true
    }

    /// Sees that a block is there to be filled, and that there is memory for
    /// `portion` bytes of it.
    fn make_block(&mut self, block: u64, portion: u64, force: bool, bench: &mut Bench) -> bool {
        match self.blocks.get(&block) {
            Some(Block::Assembling(_)) => return true,
            // Some of its bytes come again.
            Some(Block::Waiting(_)) => {
                self.wait_no_more(block, bench);
                return true;
            }
            // Its bytes are kept as pieces.
            Some(Block::Stored { .. } | Block::Digesting) => {
                return force || bench.memory.has_room(portion + PIECE_COST);
            }
            None => {}
        }
        let range = self.block_range(block);
        let length = range.end - range.start;
        if !force && !bench.memory.has_room(length) {
            return false;
        }
        let buffer = bench.memory.take(length);
        self.start_assembly(block, buffer, bench);
        true
    }

    fn start_assembly(&mut self, block: u64, buffer: Buffer, bench: &mut Bench) {
        self.blocks.insert(block, Block::Assembling(buffer));
        bench.assembling.push_back((self.about.id, block));
    }

    /// Keeps new bytes of a block: in its buffer, or as a piece of a block that
    /// left memory.
    fn keep(&mut self, block: u64, at: u64, bytes: &[u8], bench: &mut Bench) {
        match self.blocks.get_mut(&block) {
            Some(Block::Assembling(buffer)) => {
                let start = index(at - (block << BLOCK_LOG2));
                if let Some(place) = buffer.get_mut(start..start + bytes.len()) {
                    place.copy_from_slice(bytes);
                }
                let end = start + bytes.len();
                let next = end + bytes.len();
                prefetch(buffer.get(end..next.min(buffer.len())).unwrap_or_default());
            }
            _ => self.keep_piece(at, bytes, bench),
        }
    }

    /// Keeps bytes of a block that left memory, joined to the piece before
    /// where they follow it: many small pieces cost more than their bytes.
    fn keep_piece(&mut self, at: u64, bytes: &[u8], bench: &mut Bench) {
        let mut cost = bytes.len() as u64;
        match self.pieces.last_mut() {
            Some((start, piece)) if *start + piece.len() as u64 == at && *start >> BLOCK_LOG2 == at >> BLOCK_LOG2 => {
                piece.extend_from_slice(bytes);
            }
            _ => {
                cost += PIECE_COST;
                self.pieces.push((at, bytes.to_vec()));
            }
        }
        bench.memory.assemble(cost);
        self.piece_bytes += cost;
    }

    /// Whether a block has all bytes it will ever have.
    fn is_complete(&self, block: u64) -> bool {
        let range = self.block_range(block);
        let sized = self.known_size().is_some() || range.end - range.start == BLOCK;
        (sized && self.covered.contains(&range)) || self.is_all_here()
    }

    /// Does with all blocks what can be done now.
    pub(super) fn advance_blocks(&mut self, bench: &mut Bench) {
        let blocks: Vec<u64> = self.blocks.keys().copied().collect();
        for block in blocks {
            self.advance_block(block, bench);
        }
    }

    /// Writes a complete block; reads one back that was written in pieces.
    fn advance_block(&mut self, block: u64, bench: &mut Bench) {
        if !self.is_complete(block) {
            // Something it had been promised has to come again.
            return self.wait_no_more(block, bench);
        }
        let Some(partial) = self.partial() else { return self.wait_for_file(block, bench) };
        let range = self.block_range(block);
        let has_pieces = self.pieces.iter().any(|(at, _)| range.contains(at));
        match self.blocks.get_mut(&block) {
            Some(state @ Block::Assembling(_)) => {
                let Block::Assembling(bytes) = std::mem::replace(state, Block::Digesting) else { return };
                self.write_block(block, bytes, true, bench);
            }
            Some(state @ Block::Waiting(_)) => {
                let Block::Waiting(bytes) = std::mem::replace(state, Block::Digesting) else { return };
                bench.memory.unqueue(bytes.len() as u64);
                self.write_block(block, bytes, true, bench);
            }
            Some(Block::Stored { writes: 0 }) if !has_pieces => {
                self.blocks.insert(block, Block::Digesting);
                let algorithm = bench.options.algorithm;
                self.ask(Wait::Block(block), 0, DestinationWork::ReadBack { partial, range, algorithm }, bench);
            }
            _ => {}
        }
    }

    /// A complete block cannot be written yet. From here on it counts as queued
    /// for the disk, so that the sender slows down while the file is slow to
    /// open.
    fn wait_for_file(&mut self, block: u64, bench: &mut Bench) {
        if let Some(state @ Block::Assembling(_)) = self.blocks.get_mut(&block) {
            let Block::Assembling(bytes) = std::mem::replace(state, Block::Digesting) else { return };
            bench.memory.enqueue(bytes.len() as u64);
            *state = Block::Waiting(bytes);
        }
    }

    /// A block that waited for its file is incomplete again.
    fn wait_no_more(&mut self, block: u64, bench: &mut Bench) {
        if let Some(Block::Waiting(bytes)) = self.blocks.get_mut(&block) {
            let bytes = std::mem::take(bytes);
            bench.memory.unqueue(bytes.len() as u64);
            self.start_assembly(block, bytes, bench);
        }
    }

    /// Writes what is there of a block, digesting it if it is complete.
    fn write_block(&mut self, block: u64, mut bytes: Buffer, complete: bool, bench: &mut Bench) {
        let Some(partial) = self.partial() else { return };
        let range = self.block_range(block);
        let charged = bytes.len() as u64;
        bytes.truncate(index(range.end - range.start));
        if complete {
            for gap in self.covered.missing(&range) {
                bytes[index(gap.start - range.start)..index(gap.end - range.start)].fill(0);
            }
        }
        let (wait, algorithm) = if complete {
            (Wait::Block(block), Some(bench.options.algorithm))
        } else {
            (Wait::Pieces { blocks: vec![block], bytes: charged }, None)
        };
        let written = self.written_parts(&range);
        let work = WriteBlock { partial, offset: range.start, bytes, written, algorithm };
        self.ask(wait, charged, DestinationWork::WriteBlock(work), bench);
    }

    /// The parts of a block that are data, relative to it.
    fn written_parts(&self, range: &Range<u64>) -> Vec<Range<usize>> {
        let mut parts = Vec::new();
        let mut next = range.start;
        for gap in self.covered.missing(range) {
            if gap.start > next {
                parts.push(index(next - range.start)..index(gap.start - range.start));
            }
            next = gap.end;
        }
        if next < range.end {
            parts.push(index(next - range.start)..index(range.end - range.start));
        }
        parts
    }

    /// Lets an incomplete block leave memory; says whether it could.
    pub(in super::super) fn evict(&mut self, block: u64, bench: &mut Bench) -> bool {
        if self.partial().is_none() || self.failing.is_some() {
            return false;
        }
        let Some(state @ Block::Assembling(_)) = self.blocks.get_mut(&block) else { return false };
        let Block::Assembling(bytes) = std::mem::replace(state, Block::Stored { writes: 1 }) else { return false };
        self.write_block(block, bytes, false, bench);
        true
    }

    /// Whether a block is still being assembled.
    pub(in super::super) fn is_assembling(&self, block: u64) -> bool {
        matches!(self.blocks.get(&block), Some(Block::Assembling(_)))
    }

    /// Writes the pieces at hand, together: at once if they are many, else
    /// when those before are written.
    pub(super) fn write_pieces(&mut self, bench: &mut Bench) {
        let bytes = self.piece_bytes;
        if bytes == 0 || (self.pieces_writing && bytes < PIECES_AT_ONCE) {
            return;
        }
        let Some(partial) = self.partial() else { return };
        let pieces = std::mem::take(&mut self.pieces);
        self.piece_bytes = 0;
        let mut blocks: Vec<u64> = pieces.iter().map(|(at, _)| at >> BLOCK_LOG2).collect();
        blocks.sort_unstable();
        blocks.dedup();
        for block in &blocks {
            if let Some(Block::Stored { writes }) = self.blocks.get_mut(block) {
                *writes += 1;
            }
        }
        self.pieces_writing = true;
        let wait = Wait::Pieces { blocks, bytes };
        self.ask(wait, bytes, DestinationWork::WritePieces { partial, pieces }, bench);
    }

    /// Stretches of these blocks are written.
    pub(super) fn pieces_written(&mut self, blocks: &[u64], bytes: u64, bench: &mut Bench) -> Step {
        if self.failing.is_some() {
            return self.wind_up(bench);
        }
        self.pieces_writing = false;
        self.note_unsynced(bytes, bench);
        for block in blocks {
            if let Some(Block::Stored { writes }) = self.blocks.get_mut(block) {
                *writes = writes.saturating_sub(1);
            }
        }
        self.write_pieces(bench);
        for block in blocks {
            self.advance_block(*block, bench);
        }
        Step::Going
    }

    /// Forgets what is in memory.
    pub(in super::super) fn drop_memory(&mut self, bench: &mut Bench) {
        for (_, block) in std::mem::take(&mut self.blocks) {
            let bytes = match block {
                Block::Assembling(bytes) => {
                    bench.memory.discard(bytes.len() as u64);
                    bytes
                }
                Block::Waiting(bytes) => {
                    bench.memory.drain(bytes.len() as u64);
                    bytes
                }
                Block::Stored { .. } | Block::Digesting => continue,
            };
            bench.memory.give_back(bytes);
        }
        self.pieces = Vec::new();
        bench.memory.discard(std::mem::take(&mut self.piece_bytes));
    }

    /// Asks for an operation.
    pub(super) fn ask(&mut self, wait: Wait, bytes: u64, work: DestinationWork, bench: &mut Bench) {
        self.operations += 1;
        bench.ask(self.about.id, wait, bytes, work);
    }
}

/// An offset inside a block.
fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}
