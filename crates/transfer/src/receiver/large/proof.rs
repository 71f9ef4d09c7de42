//! From digests of blocks to verified chunks.

use limosa_wire::Code;
use limosa_wire::layout::Digest;

use super::super::MAX_REPEATS;
use super::super::bench::Bench;
use super::super::step::Step;
use super::{LargeFile, chunk_number};
use crate::content::{BLOCK_LOG2, Chunks};
use crate::failure::Failure;
use crate::ranges::RangeSet;

impl LargeFile {
    /// The sender's digests of consecutive chunks.
    pub(in super::super) fn digests(&mut self, first: u64, digests: &[Digest], bench: &mut Bench) -> Step {
        for (chunk, digest) in (first..).zip(digests) {
            let chunk = chunk_number(chunk);
            if self.failing.is_some() || self.verified.contains_key(&chunk) {
                continue;
            }
            self.expected.insert(chunk, *digest);
            if let Some(computed) = self.computed.remove(&chunk)
                && let Some(step) = self.compare(chunk, computed, bench)
            {
                return step;
            }
        }
        Step::Going
    }

    /// A block is on disk and has this digest.
    pub(super) fn digested(&mut self, block: u64, digest: Digest, bench: &mut Bench) -> Step {
        if self.failing.is_some() {
            return self.wind_up(bench);
        }
        let range = self.block_range(block);
        self.note_unsynced(range.end - range.start, bench);
        self.blocks.remove(&block);
        let chunk = self.chunk_of(block);
        self.leaves.entry(chunk).or_default().insert(block, digest);
        if let Some(step) = self.close_chunk(chunk, bench) {
            return step;
        }
        self.finish(bench)
    }

    fn chunk_of(&self, block: u64) -> u32 {
        chunk_number(block >> (self.about.chunk_log2 - BLOCK_LOG2))
    }

    /// The blocks of a chunk; `None` while it is not known where it ends.
    fn blocks_of(&self, chunk: u32) -> Option<std::ops::Range<u64>> {
        let log2 = self.about.chunk_log2 - BLOCK_LOG2;
        let first = u64::from(chunk) << log2;
        if log2 == 0 {
            return Some(first..first + 1);
        }
        let end = match self.known_size() {
            Some(size) => ((size.max(1) - 1) >> BLOCK_LOG2) + 1,
            // A later byte has arrived: the chunk is not the last.
            None if self.furthest >> self.about.chunk_log2 > u64::from(chunk) => u64::MAX,
            None => return None,
        };
        Some(first..(first + (1 << log2)).min(end))
    }

    /// Digests a chunk whose blocks all have a digest, and compares.
    fn close_chunk(&mut self, chunk: u32, bench: &mut Bench) -> Option<Step> {
        let blocks = self.blocks_of(chunk)?;
        let leaves = self.leaves.get(&chunk)?;
        if leaves.len() as u64 != blocks.end - blocks.start {
            return None;
        }
        let mut tree = bench.options.algorithm.tree();
        leaves.values().for_each(|leaf| tree.push(*leaf));
        let digest = tree.digest()?;
        self.leaves.remove(&chunk);
        self.compare(chunk, digest, bench)
    }

    /// Compares what a chunk is with what it should be.
    fn compare(&mut self, chunk: u32, digest: Digest, bench: &mut Bench) -> Option<Step> {
        match self.expected.get(&chunk) {
            None => {
                self.computed.insert(chunk, digest);
                None
            }
            Some(expected) if *expected == digest => {
                self.verify(chunk, digest, bench);
                None
            }
            Some(_) => self.repeat(chunk, bench),
        }
    }

    fn verify(&mut self, chunk: u32, digest: Digest, bench: &mut Bench) {
        self.expected.remove(&chunk);
        self.verified.insert(chunk, digest);
        if let Some(journal) = &mut self.journal {
            journal.waiting.push((chunk, digest));
            self.note_unsynced(0, bench);
        }
    }

    /// Asks for a chunk once more.
    fn repeat(&mut self, chunk: u32, bench: &mut Bench) -> Option<Step> {
        let bytes = self.chunks().map_or_else(|| self.whole_chunk(chunk), |chunks| chunks.bytes(chunk.into()));
        let repeats = self.repeats.entry(chunk).or_default();
        *repeats += 1;
        if *repeats > MAX_REPEATS || bytes.is_empty() {
            let detail = format!("bytes {} to {} differ from what was sent", bytes.start, bytes.end);
            return Some(self.fail(Failure::because(Code::CONTENT_MISMATCH, detail), false, bench));
        }
        let mut needed = RangeSet::new();
        needed.insert(bytes.clone());
        for hole in self.covered.missing(&bytes) {
            needed.remove(&hole);
        }
        if needed.is_empty() {
            needed.insert(bytes.clone());
        }
        self.covered.remove(&bytes);
        self.again.insert(chunk, needed);
        bench.verdicts.again(self.about.id, bytes.start, bytes.end - bytes.start);
        None
    }

    fn whole_chunk(&self, chunk: u32) -> std::ops::Range<u64> {
        Chunks::new(u64::MAX >> 16, self.about.chunk_log2).map_or(0..0, |chunks| chunks.bytes(chunk.into()))
    }

    /// Bytes of a block arrived: perhaps all that was asked for again.
    pub(super) fn resolve_again(&mut self, block: u64) {
        if self.again.is_empty() {
            return;
        }
        let chunk = self.chunk_of(block);
        let covered = &self.covered;
        if self.again.get(&chunk).is_some_and(|needed| needed.iter().all(|range| covered.contains(&range))) {
            self.again.remove(&chunk);
        }
    }

    /// Once nothing more comes, what no block holds is a hole: its digest is
    /// known. It is compared with the sender's all the same, so that nothing
    /// that went missing ever passes for a hole.
    pub(super) fn close_holes(&mut self, bench: &mut Bench) -> Option<Step> {
        // Before the file is open it is not known what an earlier session left.
        if !self.is_all_here() || self.partial().is_none() {
            return None;
        }
        let chunks = self.chunks()?;
        for chunk in 0..chunk_number(chunks.count()) {
            if self.verified.contains_key(&chunk) || self.computed.contains_key(&chunk) {
                continue;
            }
            let bytes = chunks.bytes(chunk.into());
            let step = if self.covered.missing(&bytes).next() == Some(bytes.clone()) {
                self.close_hole(chunk, bytes.end - bytes.start, bench)
            } else {
                self.fill_leaves(chunk, bench)
            };
            if step.is_some() {
                return step;
            }
        }
        None
    }

    /// A chunk without any data.
    fn close_hole(&mut self, chunk: u32, length: u64, bench: &mut Bench) -> Option<Step> {
        let algorithm = bench.options.algorithm;
        let digest = if length == 1 << self.about.chunk_log2 {
            algorithm.zeros(self.about.chunk_log2)
        } else {
            let mut hasher = algorithm.hasher();
            hasher.update_zeros(length);
            hasher.finish()
        };
        self.compare(chunk, digest, bench)
    }

    /// A chunk with data in some of its blocks: the others are holes.
    fn fill_leaves(&mut self, chunk: u32, bench: &mut Bench) -> Option<Step> {
        for block in self.blocks_of(chunk)? {
            let range = self.block_range(block);
            let empty = self.covered.missing(&range).next() == Some(range.clone());
            if empty && !self.blocks.contains_key(&block) {
                let mut hasher = bench.options.algorithm.hasher();
                hasher.update_zeros(range.end - range.start);
                self.leaves.entry(chunk).or_default().insert(block, hasher.finish());
            }
        }
        self.close_chunk(chunk, bench)
    }

    /// Whether the root the sender gave is that of the verified chunks.
    pub(super) fn root_fits(&self, size: u64, root: Option<Digest>, bench: &Bench) -> bool {
        let Some(root) = root else { return true };
        let mut tree = bench.options.algorithm.tree();
        self.verified.values().for_each(|digest| tree.push(*digest));
        tree.root(size) == root
    }
}
