//! Files of more than one block, or of unknown size: written block by block
//! into a partial file, proven chunk by chunk, published when all are.
//!
//! A *block* (1 MiB) is what is assembled in memory and written at once; its
//! digest is a leaf of the content tree, so that a chunk of many blocks is
//! proven without being read again. A block that had to leave memory before it
//! was complete is read back once.
//!
//! * [`blocks`]: from bytes to written and digested blocks.
//! * [`proof`]: from digests of blocks to verified chunks.
//! * [`partial`]: the partial file: opened, checkpointed, published, let go.

mod blocks;
mod partial;
mod proof;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use limosa_ranges::RangeSet;
use limosa_storage::{self as storage, StorageError, StorePath};
use limosa_transport::Time;
use limosa_wire::EntryId;
use limosa_wire::layout::{Digest, MAX_CHUNKS, SourceIdentity};

use self::blocks::Block;
use self::partial::{Handle, JournalState};
use super::bench::{Bench, Wait};
use super::error::is_misfit;
use super::operation::{DestinationOutput, Partial, Promise};
use super::step::Step;
use crate::content::Chunks;
use crate::failure::Failure;

/// Files above this size have a journal, bytes.
pub(super) const JOURNAL_ABOVE: u64 = 16 << 20;

/// What is known of a large file when it is announced.
#[derive(Debug)]
pub(super) struct Announced {
    pub(super) id: EntryId,
    pub(super) to: StorePath,
    pub(super) size: Option<u64>,
    pub(super) chunk_log2: u8,
    pub(super) identity: SourceIdentity,
    pub(super) attributes: storage::Attributes,
}

impl Announced {
    /// Whether it can be continued by a later session.
    pub(super) fn is_journaled(&self) -> bool {
        self.size.is_some_and(|size| size > JOURNAL_ABOVE)
    }
}

/// How the sender's reading ended well.
#[derive(Clone, Copy, Debug)]
struct End {
    size: u64,
    root: Option<Digest>,
}

/// A file under way.
#[derive(Debug)]
pub(super) struct LargeFile {
    about: Announced,
    /// Whether the other end was told to send it.
    wanted: bool,
    /// Chunks the other end was told to send, where not all.
    promised: Option<Promise>,
    end: Option<End>,
    /// Bytes placed that have not arrived.
    missing: u64,
    /// Where the furthest extent ends.
    furthest: u64,
    /// Bytes in memory, on their way to the disk, or there.
    covered: RangeSet,
    blocks: BTreeMap<u64, Block>,
    /// Stretches of blocks that left memory, waiting to be written together.
    pieces: Vec<(u64, Vec<u8>)>,
    /// What they cost, bytes.
    piece_bytes: u64,
    pieces_writing: bool,
    /// Digests of blocks by chunk, for chunks of several blocks.
    leaves: BTreeMap<u32, BTreeMap<u64, Digest>>,
    /// The sender's digests of chunks not yet verified.
    expected: BTreeMap<u32, Digest>,
    /// Digests of chunks whose expected one has not come.
    computed: BTreeMap<u32, Digest>,
    /// Verified chunks.
    verified: BTreeMap<u32, Digest>,
    /// Chunks asked for again: what of them has to come.
    again: BTreeMap<u32, RangeSet>,
    repeats: BTreeMap<u32, u8>,
    /// Chunks asked for again whose digests have not come anew.
    undigested: BTreeSet<u32>,
    handle: Handle,
    journal: Option<JournalState>,
    /// Bytes written since the last sync was asked for.
    unsynced: u64,
    /// Since when there is something to be synced or journalled.
    unsynced_since: Option<Time>,
    checkpointing: bool,
    publishing: bool,
    /// Operations outstanding.
    operations: u32,
    failing: Option<Failing>,
}

/// A file that ends before its time, once its operations are back.
#[derive(Debug)]
struct Failing {
    failure: Failure,
    /// Whether what is there is of no use to a later session.
    discard: bool,
}

impl LargeFile {
    pub(super) fn new(about: Announced, wanted: bool) -> Self {
        Self {
            about,
            wanted,
            promised: None,
            end: None,
            missing: 0,
            furthest: 0,
            covered: RangeSet::new(),
            blocks: BTreeMap::new(),
            pieces: Vec::new(),
            piece_bytes: 0,
            pieces_writing: false,
            leaves: BTreeMap::new(),
            expected: BTreeMap::new(),
            computed: BTreeMap::new(),
            verified: BTreeMap::new(),
            again: BTreeMap::new(),
            repeats: BTreeMap::new(),
            undigested: BTreeSet::new(),
            handle: Handle::Closed,
            journal: None,
            unsynced: 0,
            unsynced_since: None,
            checkpointing: false,
            publishing: false,
            operations: 0,
            failing: None,
        }
    }

    pub(super) fn path(&self) -> &StorePath {
        &self.about.to
    }

    pub(super) fn about(&self) -> &Announced {
        &self.about
    }

    /// Where the furthest of its extents ends.
    pub(super) fn furthest(&self) -> u64 {
        self.furthest
    }

    /// The other end was told to send it: whole, or the chunks named.
    pub(super) fn want(&mut self, promised: Option<Promise>, bench: &mut Bench) -> Step {
        self.wanted = true;
        self.promised = promised;
        self.advance(bench)
    }

    /// Bytes of it have a place now.
    pub(super) fn place(&mut self, file_offset: u64, length: u64) {
        self.missing += length;
        self.furthest = self.furthest.max(file_offset + length);
    }

    /// Everything about it is announced.
    pub(super) fn end(&mut self, size: u64, root: Option<Digest>, bench: &mut Bench) -> Step {
        if self.end.is_none() {
            self.end = Some(End { size, root });
        }
        self.advance(bench)
    }

    /// `bytes` that had a place have arrived, or will not come.
    pub(super) fn arrive(&mut self, bytes: u64, bench: &mut Bench) -> Step {
        self.missing = self.missing.saturating_sub(bytes);
        if self.missing == 0 && self.end.is_some() { self.advance(bench) } else { Step::Going }
    }

    /// Size of the file as far as it is known: of the last block and chunk.
    pub(super) fn known_size(&self) -> Option<u64> {
        self.about.size.or(self.end.map(|end| end.size))
    }

    /// The chunks, as far as the size is known.
    fn chunks(&self) -> Option<Chunks> {
        Chunks::new(self.known_size()?, self.about.chunk_log2)
    }

    /// Whether nothing more comes: what is not covered is a hole.
    fn is_all_here(&self) -> bool {
        self.end.is_some() && self.missing == 0 && self.again.is_empty() && self.undigested.is_empty()
    }

    /// Does all that can be done now.
    fn advance(&mut self, bench: &mut Bench) -> Step {
        if self.failing.is_some() {
            return self.wind_up(bench);
        }
        if !self.wanted {
            return Step::Going;
        }
        if self.end.is_some() {
            self.open(bench);
            if self.failing.is_some() {
                return self.wind_up(bench);
            }
        }
        if let Some(step) = self.close_holes(bench) {
            return step;
        }
        self.advance_blocks(bench);
        self.write_pieces(bench);
        self.finish(bench)
    }

    /// An operation came back.
    pub(super) fn completed(
        &mut self,
        wait: Wait,
        result: Result<DestinationOutput, StorageError>,
        bench: &mut Bench,
    ) -> Step {
        self.operations = self.operations.saturating_sub(1);
        match (wait, result) {
            (Wait::Opened, result) => self.opened(result, bench),
            (Wait::Closed, _) => self.closed(bench),
            (Wait::Published, result) => self.published(result, bench),
            (Wait::Checkpoint, result) => self.checkpointed(&result, bench),
            (_, Err(error)) => self.fail(Failure::from(&error), is_misfit(&error), bench),
            (Wait::Block(block), Ok(DestinationOutput::Digested(digest))) => self.digested(block, digest, bench),
            (Wait::Pieces { blocks, bytes }, Ok(_)) => self.pieces_written(&blocks, bytes, bench),
            (_, Ok(_)) => Step::Going,
        }
    }

    /// Gives up, now or when its operations are back.
    pub(super) fn fail(&mut self, failure: Failure, discard: bool, bench: &mut Bench) -> Step {
        if self.failing.is_none() {
            self.failing = Some(Failing { failure, discard });
        }
        self.drop_memory(bench);
        self.wind_up(bench)
    }

    /// What it costs to know this file, bytes of memory, roughly.
    pub(super) fn cost(&self) -> u64 {
        let digests = self.expected.len() + self.computed.len() + self.verified.len();
        let pieces = self.covered.pieces() + self.promised.as_ref().map_or(0, |promise| promise.missing.len());
        (digests * 48 + pieces * 24 + self.blocks.len() * 64) as u64
    }

    /// The open partial file.
    fn partial(&self) -> Option<Arc<Partial>> {
        match &self.handle {
            Handle::Open(partial) => Some(partial.clone()),
            _ => None,
        }
    }
}

/// A chunk's number, which is below [`MAX_CHUNKS`].
fn chunk_number(chunk: u64) -> u32 {
    debug_assert!(chunk <= MAX_CHUNKS);
    u32::try_from(chunk).unwrap_or(u32::MAX)
}
