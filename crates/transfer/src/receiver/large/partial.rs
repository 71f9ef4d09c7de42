//! The partial file of a large one: opened, checkpointed, published, let go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use limosa_ranges::RangeSet;
use limosa_storage::{ErrorKind, StorageError};
use limosa_transport::Time;
use limosa_wire::Code;
use limosa_wire::layout::Digest;
use limosa_wire::setup::{Durability, ResumeLevel};

use super::super::bench::{Bench, Wait};
use super::super::error::code_of_path;
use super::super::operation::{
    DestinationOutput, DestinationWork, Earlier, Fate, OpenJournal, OpenPartial, Partial, PublishPartial, ResumeFrom,
};
use super::super::step::Step;
use super::{Announced, LargeFile, chunk_number};
use crate::failure::Failure;
use crate::journal::{Chain, JournalHeader};

/// Data is synced after so many bytes,
const SYNC_BYTES: u64 = 64 << 20;
/// or after so long, whichever comes first.
const SYNC_AFTER: Duration = Duration::from_secs(1);
/// How often a lock is tried that somebody else holds.
const LOCK_RETRY: Duration = Duration::from_millis(100);

/// Where the partial file is.
#[derive(Debug)]
pub(super) enum Handle {
    /// Nothing was asked for yet.
    Closed,
    /// Too many others are open.
    Queued,
    /// Being opened, first tried at this time.
    Opening(Time),
    /// Another session holds the lock: when it was first tried, and when next.
    Locked { since: Time, retry: Time },
    /// Open.
    Open(Arc<Partial>),
    /// Published or let go.
    Gone,
}

/// The journal of an open partial file.
#[derive(Debug)]
pub(super) struct JournalState {
    chain: Chain,
    /// Verified chunks not yet journalled.
    pub(super) waiting: Vec<(u32, Digest)>,
}

impl Announced {
    /// Whether a file under way can lie beside its destination.
    pub(in super::super) fn check_names(&self, bench: &Bench) -> Result<(), Failure> {
        let names = &bench.options.names;
        let checked = if self.is_journaled() {
            names.journaled(&self.to, &self.identity).map(|_| ())
        } else {
            names.unjournaled(&self.to, self.id).map(|_| ())
        };
        checked.map_err(|error| Failure::because(code_of_path(error), error.to_string()))
    }

    /// Where an earlier session may have left a part, and what it must fit.
    pub(in super::super) fn resume_from(&self, bench: &Bench) -> Result<Option<ResumeFrom>, Failure> {
        let (true, Some(size)) = (self.is_journaled(), self.size) else { return Ok(None) };
        let names = bench.options.names.journaled(&self.to, &self.identity);
        let (partial, journal) = names.map_err(|error| Failure::because(code_of_path(error), error.to_string()))?;
        let header = JournalHeader {
            digest: bench.options.algorithm.digest(),
            chunk_log2: self.chunk_log2,
            identity: self.identity,
            size,
        };
        let by_front = bench.options.by_front;
        Ok(Some(ResumeFrom { partial, journal, header, by_front }))
    }
}

impl LargeFile {
    /// Sees that the partial file is open or being opened; false where it has
    /// to wait.
    pub(super) fn open(&mut self, bench: &mut Bench) -> bool {
        match self.handle {
            Handle::Open(_) | Handle::Opening(_) => return true,
            Handle::Closed => {}
            Handle::Queued | Handle::Locked { .. } | Handle::Gone => return false,
        }
        if bench.open_files >= bench.options.limits.open_files {
            self.handle = Handle::Queued;
            bench.waiting_to_open.push_back(self.about.id);
            return false;
        }
        bench.open_files += 1;
        self.ask_to_open(bench.now, bench)
    }

    /// Another file was closed: this one may be opened.
    pub(in super::super) fn leave_queue(&mut self, bench: &mut Bench) {
        if matches!(self.handle, Handle::Queued) && self.failing.is_none() {
            self.handle = Handle::Closed;
            self.open(bench);
        }
    }

    fn ask_to_open(&mut self, since: Time, bench: &mut Bench) -> bool {
        self.handle = Handle::Opening(since);
        bench.active.insert(self.about.id);
        let work = match self.opening(bench) {
            Ok(work) => work,
            Err(failure) => {
                self.handle = Handle::Gone;
                bench.open_files -= 1;
                self.failing = Some(super::Failing { failure, discard: true });
                return false;
            }
        };
        self.ask(Wait::Opened, 0, DestinationWork::OpenPartial(Box::new(work)), bench);
        true
    }

    fn opening(&self, bench: &Bench) -> Result<OpenPartial, Failure> {
        let parents = bench.options.parents();
        let size = self.about.size;
        let preallocate = size.filter(|size| self.missing == *size && self.furthest == *size);
        if let Some(from) = self.about.resume_from(bench)? {
            let promised = self.promised.as_ref().and_then(|promise| promise.front.clone());
            let earlier = match (bench.options.resume, promised) {
                (ResumeLevel::None, _) => Earlier::Nothing,
                (_, Some(front)) => Earlier::Beginning(front),
                // What was not promised would be sealed otherwise than what comes.
                (_, None) if from.by_front => Earlier::Nothing,
                (_, None) => Earlier::Any,
            };
            let journal = OpenJournal { path: from.journal, header: from.header, earlier };
            return Ok(OpenPartial { path: from.partial, journal: Some(journal), size, preallocate, parents });
        }
        let path = bench.options.names.unjournaled(&self.about.to, self.about.id);
        let path = path.map_err(|error| Failure::because(code_of_path(error), error.to_string()))?;
        Ok(OpenPartial { path, journal: None, size, preallocate, parents })
    }

    /// The partial file is open, or cannot be.
    pub(super) fn opened(&mut self, result: Result<DestinationOutput, StorageError>, bench: &mut Bench) -> Step {
        match result {
            Ok(DestinationOutput::Opened { partial, chain, held }) => {
                self.handle = Handle::Open(partial);
                self.journal = chain.map(|chain| JournalState { chain, waiting: Vec::new() });
                self.adopt(held, bench);
                self.advance(bench)
            }
            Err(error) if error.kind() == ErrorKind::Locked && self.failing.is_none() => self.locked(&error, bench),
            result => {
                self.handle = Handle::Gone;
                bench.open_files -= 1;
                let failure = match result {
                    Err(error) => Failure::from(&error),
                    Ok(_) => Failure::because(Code::INTERNAL, "an operation gave what was not asked for"),
                };
                self.fail(failure, false, bench)
            }
        }
    }

    /// Takes over what an earlier session verified, and asks for what was
    /// promised to be there and is not.
    fn adopt(&mut self, held: BTreeMap<u32, Digest>, bench: &mut Bench) {
        let Some(chunks) = self.chunks() else { return };
        for (chunk, digest) in held {
            let bytes = chunks.bytes(chunk.into());
            // What arrived before the file was open is on its way already.
            let untouched = self.covered.first_missing(&bytes) == Some(bytes.clone());
            // Nor is what the sender has changed since.
            let outdated = self.expected.get(&chunk).is_some_and(|expected| *expected != digest);
            if untouched && !outdated {
                bench.summary.resumed += bytes.end - bytes.start;
                self.covered.insert(bytes);
                self.expected.remove(&chunk);
                self.verified.insert(chunk, digest);
            }
        }
        let Some(promised) = self.promised.take() else { return };
        let mut coming = RangeSet::new();
        for (first, count) in &promised.missing {
            coming.insert(*first..first + count);
        }
        for chunk in 0..chunk_number(chunks.count()) {
            if !self.verified.contains_key(&chunk) && !coming.contains(&(chunk.into()..u64::from(chunk) + 1)) {
                self.ask_for_lost(chunk, &chunks, bench);
            }
        }
    }

    /// Another session has lost what was promised to be here.
    fn ask_for_lost(&mut self, chunk: u32, chunks: &crate::content::Chunks, bench: &mut Bench) {
        let bytes = chunks.bytes(chunk.into());
        let mut needed = RangeSet::new();
        needed.insert(bytes.clone());
        self.again.insert(chunk, needed);
        self.undigested.insert(chunk);
        bench.verdicts.again(self.about.id, bytes.start, bytes.end - bytes.start);
    }

    fn locked(&mut self, error: &StorageError, bench: &mut Bench) -> Step {
        let since = match self.handle {
            Handle::Opening(since) => since,
            _ => bench.now,
        };
        if bench.now.since(since) >= bench.options.lock_patience {
            self.handle = Handle::Gone;
            bench.open_files -= 1;
            return self.fail(Failure::from(error), false, bench);
        }
        self.handle = Handle::Locked { since, retry: bench.now + LOCK_RETRY };
        Step::Going
    }

    /// When something is due.
    pub(in super::super) fn deadline(&self) -> Option<Time> {
        let sync = self.unsynced_since.filter(|_| !self.checkpointing).map(|since| since + SYNC_AFTER);
        match self.handle {
            Handle::Locked { retry, .. } => Some(retry),
            Handle::Open(_) if self.failing.is_none() && !self.publishing => sync,
            _ => None,
        }
    }

    /// Does what is due.
    pub(in super::super) fn tick(&mut self, bench: &mut Bench) -> Step {
        match self.handle {
            Handle::Locked { since, retry } if bench.now >= retry => {
                self.ask_to_open(since, bench);
            }
            _ => self.checkpoint(bench),
        }
        if self.failing.is_some() { self.wind_up(bench) } else { Step::Going }
    }

    /// `bytes` were written, or a chunk was verified.
    pub(super) fn note_unsynced(&mut self, bytes: u64, bench: &mut Bench) {
        let synced_at_all = self.journal.is_some() || self.about.size.is_none();
        if !synced_at_all || bench.options.durability == Durability::None && self.journal.is_none() {
            return;
        }
        self.unsynced += bytes;
        self.unsynced_since.get_or_insert(bench.now);
        self.checkpoint(bench);
    }

    /// Asks for a sync and the records of what it makes sure, if it is time.
    fn checkpoint(&mut self, bench: &mut Bench) {
        let Some(since) = self.unsynced_since else { return };
        let due = self.unsynced >= SYNC_BYTES || bench.now.since(since) >= SYNC_AFTER;
        if !due || self.checkpointing || self.publishing || self.failing.is_some() {
            return;
        }
        let Some(partial) = self.partial() else { return };
        let records = self.records();
        self.unsynced = 0;
        self.unsynced_since = None;
        self.checkpointing = true;
        self.ask(Wait::Checkpoint, 0, DestinationWork::Checkpoint { partial, records }, bench);
    }

    /// Journal records of what was verified since the last ones.
    fn records(&mut self) -> Vec<u8> {
        let mut records = Vec::new();
        if let Some(journal) = &mut self.journal {
            let mut chunks = std::mem::take(&mut journal.waiting);
            chunks.sort_unstable_by_key(|(chunk, _)| *chunk);
            journal.chain.append(&chunks, &mut records);
        }
        records
    }

    /// A sync that failed leaves nothing certain about what was written.
    pub(super) fn checkpointed(&mut self, result: &Result<DestinationOutput, StorageError>, bench: &mut Bench) -> Step {
        self.checkpointing = false;
        if let Err(error) = result {
            self.journal = None;
            return self.fail(Failure::from(error), false, bench);
        }
        if self.failing.is_some() {
            return self.wind_up(bench);
        }
        self.checkpoint(bench);
        self.finish(bench)
    }

    /// Publishes the file when everything is verified.
    pub(super) fn finish(&mut self, bench: &mut Bench) -> Step {
        let Some(end) = self.end else { return Step::Going };
        let Some(chunks) = self.chunks() else { return Step::Going };
        let idle = self.blocks.is_empty() && self.pieces.is_empty() && self.operations == 0;
        if !self.is_all_here() || !idle || self.publishing || self.failing.is_some() {
            return Step::Going;
        }
        if !matches!(self.handle, Handle::Open(_)) {
            return Step::Going;
        }
        if self.verified.len() as u64 != chunks.count() {
            let missing = format!("{} of its chunks came without a digest", self.computed.len());
            return self.fail(Failure::because(Code::CONTENT_MISMATCH, missing), false, bench);
        }
        if !self.root_fits(end.size, end.root, bench) {
            let detail = "the root of its content tree differs";
            return self.fail(Failure::because(Code::CONTENT_MISMATCH, detail), true, bench);
        }
        self.publish(end.size, bench);
        Step::Going
    }

    fn publish(&mut self, size: u64, bench: &mut Bench) {
        let Handle::Open(partial) = std::mem::replace(&mut self.handle, Handle::Gone) else { return };
        self.publishing = true;
        let publish = PublishPartial {
            partial,
            to: self.about.to.clone(),
            size,
            attributes: self.about.attributes,
            publish: bench.options.publish(),
            envelopes_only: bench.options.envelopes_only,
            otherwise: if self.about.is_journaled() { Fate::Keep(self.records()) } else { Fate::Remove },
        };
        self.ask(Wait::Published, 0, DestinationWork::PublishPartial(Box::new(publish)), bench);
    }

    pub(super) fn published(&mut self, result: Result<DestinationOutput, StorageError>, bench: &mut Bench) -> Step {
        bench.open_files -= 1;
        match (result, self.end) {
            (Ok(_), end) => Step::Settled { bytes: end.map_or(0, |end| end.size) },
            (Err(error), _) => Step::Failed(Failure::from(&error)),
        }
    }

    /// Ends a file that fails, once its operations are back.
    pub(super) fn wind_up(&mut self, bench: &mut Bench) -> Step {
        if self.operations > 0 {
            return Step::Going;
        }
        let Some(failing) = &self.failing else { return Step::Going };
        // Without any verified chunk there is nothing to continue.
        let keep = self.about.is_journaled() && !failing.discard && !self.verified.is_empty();
        match std::mem::replace(&mut self.handle, Handle::Gone) {
            Handle::Open(partial) => {
                let fate = if keep { Fate::Keep(self.records()) } else { Fate::Remove };
                self.ask(Wait::Closed, 0, DestinationWork::ClosePartial { partial, fate }, bench);
                Step::Going
            }
            Handle::Locked { .. } | Handle::Opening(_) => {
                bench.open_files -= 1;
                Step::Failed(self.take_failure())
            }
            Handle::Closed | Handle::Queued | Handle::Gone => Step::Failed(self.take_failure()),
        }
    }

    /// What is left of a failed file was let go.
    pub(super) fn closed(&mut self, bench: &mut Bench) -> Step {
        bench.open_files -= 1;
        Step::Failed(self.take_failure())
    }

    fn take_failure(&mut self) -> Failure {
        self.failing.take().map_or_else(|| Failure::new(Code::INTERNAL), |failing| failing.failure)
    }
}
