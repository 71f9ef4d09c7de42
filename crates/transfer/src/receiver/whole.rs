//! Files of at most one block: assembled in memory, then written, checked and
//! published in one operation.

use std::ops::Range;

use limosa_ranges::RangeSet;
use limosa_seal::envelope::MAGIC;
use limosa_storage::{self as storage, StorageError, StorePath};
use limosa_wire::layout::Digest;
use limosa_wire::{Code, EntryId};

use super::MAX_REPEATS;
use super::bench::Bench;
use super::error::code_of_path;
use super::operation::{WholeOutcome, WriteWhole};
use super::step::Step;
use crate::buffer::Buffer;
use crate::failure::Failure;

/// A file that fits one block.
#[derive(Debug)]
pub(super) struct WholeFile {
    id: EntryId,
    to: StorePath,
    size: u64,
    attributes: storage::Attributes,
    /// Whether the other end was told to send it.
    wanted: bool,
    digest: Option<Digest>,
    ended: bool,
    /// Bytes placed that have not arrived.
    missing: u64,
    withdrawn: bool,
    buffer: Option<Buffer>,
    covered: RangeSet,
    /// What has to come once more after a mismatch.
    needed: RangeSet,
    repeats: u8,
    writing: bool,
    failing: Option<Failure>,
}

impl WholeFile {
    pub(super) fn new(id: EntryId, to: StorePath, size: u64, attributes: storage::Attributes, wanted: bool) -> Self {
        Self {
            id,
            to,
            size,
            attributes,
            wanted,
            digest: None,
            ended: false,
            missing: 0,
            withdrawn: false,
            buffer: None,
            covered: RangeSet::new(),
            needed: RangeSet::new(),
            repeats: 0,
            writing: false,
            failing: None,
        }
    }

    pub(super) fn path(&self) -> &StorePath {
        &self.to
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The other end was told to send it.
    pub(super) fn want(&mut self, bench: &mut Bench) -> Step {
        self.wanted = true;
        self.advance(bench)
    }

    /// `length` of its bytes have a place now.
    pub(super) fn place(&mut self, length: u64) {
        self.missing += length;
    }

    pub(super) fn digest(&mut self, digest: Digest, bench: &mut Bench) -> Step {
        self.digest = Some(digest);
        self.advance(bench)
    }

    /// Everything about it is announced.
    pub(super) fn end(&mut self, bench: &mut Bench) -> Step {
        self.ended = true;
        self.advance(bench)
    }

    /// `bytes` that had a place will not come.
    pub(super) fn withdraw(&mut self, bytes: u64, bench: &mut Bench) -> Step {
        self.missing = self.missing.saturating_sub(bytes);
        self.withdrawn = true;
        self.advance(bench)
    }

    /// Takes bytes over; returns how many.
    pub(super) fn accept(&mut self, offset: u64, bytes: &[u8], force: bool, bench: &mut Bench) -> usize {
        if self.failing.is_some() || self.writing {
            bench.memory.pass(bytes.len() as u64);
            return bytes.len();
        }
        if !self.wanted && !force {
            return 0;
        }
        if self.buffer.is_none() {
            if !force && !bench.memory.has_room(self.size) {
                return 0;
            }
            self.buffer = Some(bench.memory.take(self.size));
        }
        let range = offset..offset + bytes.len() as u64;
        if let Some(target) = self.buffer.as_mut().and_then(|buffer| buffer.get_mut(in_memory(&range))) {
            target.copy_from_slice(bytes);
            self.covered.insert(range);
        }
        bytes.len()
    }

    /// `bytes` that had a place have arrived.
    pub(super) fn arrive(&mut self, bytes: u64, bench: &mut Bench) -> Step {
        self.missing = self.missing.saturating_sub(bytes);
        self.advance(bench)
    }

    fn advance(&mut self, bench: &mut Bench) -> Step {
        if !self.wanted || !self.ended || self.missing > 0 || self.writing {
            return Step::Going;
        }
        if !self.needed.iter().all(|range| self.covered.contains(&range)) {
            return Step::Going;
        }
        if self.withdrawn {
            return self.fail(Failure::because(Code::SOURCE_CHANGED, "its bytes were withdrawn"), bench);
        }
        if self.digest.is_none() && self.repeats > 0 {
            return Step::Going;
        }
        let Some(digest) = self.digest.or_else(|| self.digest_of_nothing(bench)) else {
            return self.fail(Failure::because(Code::CONTENT_MISMATCH, "it came without a digest"), bench);
        };
        self.write(digest, bench)
    }

    /// An empty file has no chunk, and needs no digest.
    fn digest_of_nothing(&self, bench: &Bench) -> Option<Digest> {
        (self.size == 0).then(|| bench.options.algorithm.hasher().finish())
    }

    fn write(&mut self, digest: Digest, bench: &mut Bench) -> Step {
        let staged = match bench.options.names.unjournaled(&self.to, self.id) {
            Ok(staged) => staged,
            Err(error) => return self.fail(Failure::because(code_of_path(error), error.to_string()), bench),
        };
        let mut bytes = self.buffer.take().unwrap_or_else(|| bench.memory.take(self.size));
        for gap in self.covered.missing(&(0..self.size)) {
            if let Some(hole) = bytes.get_mut(in_memory(&gap)) {
                hole.fill(0);
            }
        }
        if bench.options.envelopes_only && !bytes.starts_with(&MAGIC) {
            bench.memory.discard(self.size);
            let detail = "the file is not encrypted";
            return self.fail(Failure::because(Code::CONTENT_PROTECTION_REQUIRED, detail), bench);
        }
        self.needed = std::mem::take(&mut self.covered);
        self.writing = true;
        let whole = WriteWhole {
            staged,
            to: self.to.clone(),
            bytes,
            digest,
            algorithm: bench.options.algorithm,
            attributes: self.attributes,
            publish: bench.options.publish(),
            parents: bench.options.parents(),
        };
        bench.write_whole(self.id, whole);
        Step::Going
    }

    /// The operation came back.
    pub(super) fn written(&mut self, result: Result<WholeOutcome, StorageError>, bench: &mut Bench) -> Step {
        self.writing = false;
        match (result, self.failing.take()) {
            (Ok(WholeOutcome::Published), _) => Step::Settled { bytes: self.size },
            (_, Some(failure)) => Step::Failed(failure),
            (Ok(WholeOutcome::Mismatch), None) => self.repeat(bench),
            (Err(error), None) => Step::Failed(Failure::from(&error)),
        }
    }

    /// Asks for all of it once more.
    fn repeat(&mut self, bench: &mut Bench) -> Step {
        if self.repeats == MAX_REPEATS || self.size == 0 {
            return Step::Failed(Failure::new(Code::CONTENT_MISMATCH));
        }
        self.repeats += 1;
        // It is read anew, and may be sealed otherwise: so is its digest.
        self.digest = None;
        if self.needed.is_empty() {
            self.needed.insert(0..self.size);
        }
        bench.verdicts.again(self.id, 0, self.size);
        Step::Going
    }

    /// Forgets what is in memory.
    pub(super) fn drop_memory(&mut self, bench: &mut Bench) {
        if self.buffer.take().is_some() {
            bench.memory.discard(self.size);
        }
    }

    /// Gives up, now or when the operation comes back.
    pub(super) fn fail(&mut self, failure: Failure, bench: &mut Bench) -> Step {
        self.drop_memory(bench);
        if self.writing {
            self.failing = Some(failure);
            return Step::Going;
        }
        Step::Failed(failure)
    }
}

/// A stretch of a file that is whole in memory.
fn in_memory(range: &Range<u64>) -> Range<usize> {
    let index = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
    index(range.start)..index(range.end)
}
