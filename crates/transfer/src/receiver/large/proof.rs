//! From digests of blocks to verified chunks.

use std::ops::Range;

use limosa_ranges::RangeSet;
use limosa_wire::Code;
use limosa_wire::layout::Digest;

use super::super::MAX_REPEATS;
use super::super::bench::Bench;
use super::super::step::Step;
use super::{LargeFile, chunk_number};
use crate::content::{BLOCK_LOG2, Chunks};
use crate::failure::Failure;

impl LargeFile {
    /// The sender's digests of consecutive chunks.
    pub(in super::super) fn digests(&mut self, first: u64, digests: &[Digest], bench: &mut Bench) -> Step {
        for (chunk, digest) in (first..).zip(digests) {
            let chunk = chunk_number(chunk);
            self.undigested.remove(&chunk);
            if self.failing.is_some() || self.publishing || self.verified.get(&chunk) == Some(digest) {
                continue;
            }
            self.expected.insert(chunk, *digest);
            if let Some(held) = self.disown(chunk) {
                // What was held is not what the sender has now.
                if let Some(step) = self.compare(chunk, held, bench) {
                    return step;
                }
                continue;
            }
            if let Some(computed) = self.computed.remove(&chunk)
                && let Some(step) = self.compare(chunk, computed, bench)
            {
                return step;
            }
        }
        if self.end.is_some() { self.advance(bench) } else { Step::Going }
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
    fn blocks_of(&self, chunk: u32) -> Option<Range<u64>> {
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
        let digest = self.chunk_digest(chunk, blocks, bench)?;
        self.leaves.remove(&chunk);
        self.compare(chunk, digest, bench)
    }

    /// The digest of a chunk; `None` while some of its blocks may still come.
    /// Blocks without data are holes, and their leaves are kept nowhere: a
    /// chunk may have very many of them.
    fn chunk_digest(&self, chunk: u32, blocks: Range<u64>, bench: &Bench) -> Option<Digest> {
        let leaves = self.leaves.get(&chunk)?;
        let has_holes = leaves.len() as u64 != blocks.end - blocks.start;
        if has_holes && (!self.may_have_holes() || self.blocks.range(blocks.clone()).next().is_some()) {
            return None;
        }
        let mut tree = bench.options.algorithm.tree();
        for block in blocks {
            let leaf = leaves.get(&block).copied().or_else(|| self.leaf_of_hole(block, bench));
            tree.push(leaf?);
        }
        tree.digest()
    }

    /// The digest of a block without any data; `None` if it has some.
    fn leaf_of_hole(&self, block: u64, bench: &Bench) -> Option<Digest> {
        let range = self.block_range(block);
        if self.covered.first_missing(&range) != Some(range.clone()) {
            return None;
        }
        Some(digest_of_zeros(range.end - range.start, BLOCK_LOG2, bench))
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

    /// Takes back that a chunk is verified; says what it was.
    fn disown(&mut self, chunk: u32) -> Option<Digest> {
        let held = self.verified.remove(&chunk)?;
        if let Some(journal) = &mut self.journal {
            journal.waiting.retain(|(waiting, _)| *waiting != chunk);
        }
        Some(held)
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
        // It is read anew, and may be sealed otherwise: so is its digest.
        self.expected.remove(&chunk);
        self.undigested.insert(chunk);
        bench.verdicts.again(self.about.id, bytes.start, bytes.end - bytes.start);
        None
    }

    fn whole_chunk(&self, chunk: u32) -> Range<u64> {
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
        if !self.may_have_holes() {
            return None;
        }
        let chunks = self.chunks()?;
        for chunk in 0..chunk_number(chunks.count()) {
            if self.verified.contains_key(&chunk) || self.computed.contains_key(&chunk) {
                continue;
            }
            let bytes = chunks.bytes(chunk.into());
            let step = if self.covered.first_missing(&bytes) == Some(bytes.clone()) {
                self.close_hole(chunk, bytes.end - bytes.start, bench)
            } else {
                self.close_chunk(chunk, bench)
            };
            if step.is_some() {
                return step;
            }
        }
        None
    }

    /// Whether what no block holds is a hole. Before the file is open it is not
    /// known what an earlier session left.
    fn may_have_holes(&self) -> bool {
        self.is_all_here() && self.partial().is_some()
    }

    /// A chunk without any data.
    fn close_hole(&mut self, chunk: u32, length: u64, bench: &mut Bench) -> Option<Step> {
        let digest = digest_of_zeros(length, self.about.chunk_log2, bench);
        self.compare(chunk, digest, bench)
    }

    /// Whether the root the sender gave is that of the verified chunks.
    pub(super) fn root_fits(&self, size: u64, root: Option<Digest>, bench: &Bench) -> bool {
        let Some(root) = root else { return true };
        let mut tree = bench.options.algorithm.tree();
        self.verified.values().for_each(|digest| tree.push(*digest));
        tree.root(size) == root
    }
}

/// The digest of zeros: looked up for `2^whole_log2` of them, else computed.
fn digest_of_zeros(length: u64, whole_log2: u8, bench: &Bench) -> Digest {
    let algorithm = bench.options.algorithm;
    if length == 1 << whole_log2 {
        return algorithm.zeros(whole_log2);
    }
    let mut hasher = algorithm.hasher();
    hasher.update_zeros(length);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use limosa_seal::AlgorithmSet;
    use limosa_storage::memory::MemoryStore;
    use limosa_storage::{Attributes, StorePath};
    use limosa_wire::EntryId;
    use limosa_wire::setup::ContentDigest;

    use super::super::super::bench::Purpose;
    use super::super::super::{Destination, PartialNames, ReceiverOptions, Survey, perform};
    use super::super::Announced;
    use super::*;

    /// Executes the operations at hand and completes all but the last of them.
    fn execute(store: &MemoryStore, file: &mut LargeFile, bench: &mut Bench, keep_last: bool) {
        let mut operations: Vec<_> = std::iter::from_fn(|| bench.next_operation()).collect();
        if keep_last {
            operations.pop().unwrap();
        }
        for operation in operations {
            let done = perform(store, operation.work);
            if let Some(Purpose::Entry(_, wait)) = bench.redeem(operation.ticket) {
                assert_eq!(file.completed(wait, done.result, bench), Step::Going);
            }
        }
    }

    #[test]
    fn holes_take_no_memory() {
        let store = MemoryStore::new();
        let survey = Survey::of(&store, Destination::parse(b"f").unwrap()).unwrap();
        let algorithm = AlgorithmSet::Ordinary.content(ContentDigest::Blake3).unwrap();
        let names = PartialNames::new(b"anna", [0; 16]);
        let mut bench = Bench::new(ReceiverOptions::new(survey, 1, names, algorithm));
        let (id, size) = (EntryId(0), 4 << 30);
        let to = StorePath::parse(b"f").unwrap();
        let attributes = Attributes::default();
        let about = Announced { id, to, size: Some(size), chunk_log2: 31, identity: [1; 16], attributes };
        let mut file = LargeFile::new(about, true);
        for at in [0, 7 << 20, 2 << 30] {
            file.place(at, 1);
            assert_eq!(file.accept(at, &[9], false, &mut bench), 1);
            file.arrive(1, &mut bench);
        }
        file.end(size, None, &mut bench);
        execute(&store, &mut file, &mut bench, false);
        execute(&store, &mut file, &mut bench, true);
        let leaves: usize = file.leaves.values().map(std::collections::BTreeMap::len).sum();
        assert!(leaves <= 3, "{leaves} leaves are kept for 3 blocks of data");
        assert!(file.computed.contains_key(&0), "a chunk without blocks under way is proven");
        assert!(!file.computed.contains_key(&1), "its block is under way");
    }
}
