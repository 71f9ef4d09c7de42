//! Reading one large file, or once more some chunks of any file: which of its
//! bytes still need a place, which block is to be read next, and the digests
//! that come of it.
//!
//! Blocks are read and digested apart from each other, by several threads if
//! the driver likes; here their digests are put back in order and made those
//! of chunks.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use limosa_seal::{ContentAlgorithm, ContentTree};
use limosa_storage::{FollowLinks, ReadFile, StorePath};
use limosa_wire::front::Front;
use limosa_wire::layout::{Digest, MAX_DIGESTS, SourceIdentity};
use limosa_wire::{EntryId, Offset};

use crate::content::{BLOCK, BLOCK_LOG2, Chunks, overlap};

/// Most runs of data placed ahead of the reading.
const RUNS_AHEAD: usize = 256;
/// Most holes skipped at a time.
const HOLES_AT_ONCE: usize = 256;

/// Why a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// For the first time.
    First,
    /// The other end found chunks of it wrong.
    Repair,
}

/// The handle of the file.
#[derive(Clone, Debug)]
pub(super) enum Handle {
    Closed,
    Opening,
    Open(Arc<dyn ReadFile>),
    /// Read to its end and found unchanged; never opened again.
    Done,
}

/// What is known of the file beforehand.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) entry: EntryId,
    pub(super) path: StorePath,
    pub(super) links: FollowLinks,
    pub(super) identity: SourceIdentity,
    pub(super) chunks: Chunks,
    pub(super) dense: bool,
    /// How the part began that the other end holds.
    pub(super) front: Option<Arc<Front>>,
}

/// Bytes of the file that have a place.
#[derive(Clone, Debug)]
struct Run {
    file: Range<u64>,
    /// Place of the first byte.
    base: u64,
    /// Where in the layout stream the record that places them ends.
    layout_end: u64,
}

/// A part of a chunk on its way to a digest, in order.
#[derive(Debug)]
struct Piece {
    file: Range<u64>,
    digest: Option<Digest>,
    /// It is a whole chunk and not a block of one.
    chunk: bool,
}

/// A stretch of the linear space whose bytes were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) linear: Range<u64>,
    /// Where in the layout stream the record that places it ends.
    pub(super) layout_end: u64,
}

impl Run {
    /// What it has of the bytes `file`.
    fn share(&self, file: &Range<u64>) -> Option<Share> {
        let shared = overlap(&self.file, file);
        let start = self.base + (shared.start.saturating_sub(self.file.start));
        let linear = start..start + (shared.end - shared.start);
        (!shared.is_empty()).then_some(Share { linear, layout_end: self.layout_end })
    }
}

/// A block to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BlockRead {
    /// Its bytes.
    pub(super) file: Range<u64>,
}

/// Reading of one file.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) subject: Subject,
    pub(super) purpose: Purpose,
    pub(super) handle: Handle,
    pub(super) checking: bool,
    /// A search for data is under way.
    pub(super) finding: bool,
    algorithm: ContentAlgorithm,
    to_place: VecDeque<Range<u64>>,
    placed: VecDeque<Run>,
    /// Chunks to be read.
    to_read: VecDeque<Range<u64>>,
    /// First byte of the next block.
    cursor: u64,
    pieces: VecDeque<Piece>,
    /// Leaves of the chunk whose turn it is.
    chunk_tree: Option<Box<ContentTree>>,
    /// Chunks of the file, as long as every one is read.
    file_tree: Option<Box<ContentTree>>,
    /// Digests that are done: first chunk and those of the ones behind it.
    digests: Vec<(u64, Vec<Digest>)>,
}

impl Reading {
    /// Reads all of a file.
    pub(super) fn whole(subject: Subject, algorithm: ContentAlgorithm) -> Self {
        let size = subject.chunks.size();
        let chunks = 0..subject.chunks.count();
        let mut reading = Self::new(subject, Purpose::First, algorithm);
        reading.file_tree = Some(Box::new(algorithm.tree()));
        reading.to_place.push_back(0..size);
        reading.to_read.push_back(chunks);
        reading.drop_empty();
        reading
    }

    /// Reads the chunks `missing`: first and count, ascending.
    pub(super) fn resumed(subject: Subject, algorithm: ContentAlgorithm, missing: &[(u64, u64)]) -> Self {
        let mut reading = Self::new(subject, Purpose::First, algorithm);
        for &(first, count) in missing {
            reading.to_place.push_back(reading.subject.chunks.span(first, count));
            reading.to_read.push_back(first..first + count);
        }
        reading.drop_empty();
        reading
    }

    /// Reads the chunks that `file` touches, to send its bytes once more.
    pub(super) fn repair(subject: Subject, algorithm: ContentAlgorithm, file: Range<u64>) -> Self {
        let touched = subject.chunks.touched(&file);
        let mut reading = Self::new(subject, Purpose::Repair, algorithm);
        reading.to_place.push_back(file);
        reading.to_read.push_back(touched);
        reading.drop_empty();
        reading
    }

    fn new(subject: Subject, purpose: Purpose, algorithm: ContentAlgorithm) -> Self {
        Self {
            subject,
            purpose,
            handle: Handle::Closed,
            checking: false,
            finding: false,
            algorithm,
            to_place: VecDeque::new(),
            placed: VecDeque::new(),
            to_read: VecDeque::new(),
            cursor: 0,
            pieces: VecDeque::new(),
            chunk_tree: None,
            file_tree: None,
            digests: Vec::new(),
        }
    }

    fn drop_empty(&mut self) {
        self.to_place.retain(|range| !range.is_empty());
        self.to_read.retain(|range| !range.is_empty());
        self.cursor = self.to_read.front().map_or(0, |range| self.subject.chunks.bytes(range.start).start);
    }

    /// Whether nothing is left to be read or digested.
    pub(super) fn all_read(&self) -> bool {
        self.to_place.is_empty() && self.to_read.is_empty() && self.pieces.is_empty()
    }

    /// Root of the content tree, if every chunk was read.
    pub(super) fn root(&self) -> Option<Digest> {
        self.file_tree.as_ref().map(|tree| tree.root(self.subject.chunks.size()))
    }

    /// The next bytes to be placed of a file without holes; they count as
    /// placed.
    pub(super) fn place_dense(&mut self) -> Option<Range<u64>> {
        // What is sent again is known to be data, or does not matter.
        (self.subject.dense || self.purpose == Purpose::Repair).then(|| self.to_place.pop_front())?
    }

    /// Where to look for data next, if it is time to.
    pub(super) fn look_for_data(&self) -> Option<u64> {
        let due = !self.finding && self.placed.len() < RUNS_AHEAD;
        self.to_place.front().filter(|_| due).map(|range| range.start)
    }

    /// What was found at the place looked at: the bytes to be placed of it.
    pub(super) fn found(&mut self, data: Option<Range<u64>>) -> Option<Range<u64>> {
        self.finding = false;
        let front = self.to_place.front_mut()?;
        let run = data.map(|data| overlap(&data, front)).filter(|run| !run.is_empty());
        front.start = run.as_ref().map_or(front.end, |run| run.end);
        if front.is_empty() {
            self.to_place.pop_front();
        }
        run
    }

    /// Says that bytes were placed at `base`, by a record that ends at
    /// `layout_end`.
    pub(super) fn placed(&mut self, file: Range<u64>, base: Offset, layout_end: u64) {
        self.placed.push_back(Run { file, base: base.0, layout_end });
    }

    /// The next block to be read, if one can be. Holes before it get their
    /// digests on the way.
    pub(super) fn next_block(&mut self) -> Option<BlockRead> {
        for _ in 0..HOLES_AT_ONCE {
            let chunk = self.to_read.front()?.start;
            let bytes = self.subject.chunks.bytes(chunk);
            let block = self.cursor..bytes.end.min(self.cursor + BLOCK);
            if self.cursor == bytes.start && self.is_hole(&bytes) {
                self.skip_chunk(chunk, &bytes);
            } else if self.is_hole(&block) {
                self.skip_block(&block);
            } else if self.is_planned(&block) {
                return Some(BlockRead { file: block });
            } else {
                return None;
            }
        }
        None
    }

    /// Counts the block that [`Self::next_block`] named as being read.
    pub(super) fn reading(&mut self, block: &BlockRead) {
        self.pieces.push_back(Piece { file: block.file.clone(), digest: None, chunk: false });
        self.advance(block.file.end);
    }

    /// Whether it is known which of these bytes have a place.
    fn is_planned(&self, file: &Range<u64>) -> bool {
        self.to_place.front().is_none_or(|range| range.start >= file.end)
    }

    /// Whether there is nothing in these bytes: no data, or none of interest.
    fn is_hole(&self, file: &Range<u64>) -> bool {
        self.purpose == Purpose::First
            && self.is_planned(file)
            && self.placed.iter().take_while(|run| run.file.start < file.end).all(|run| run.file.end <= file.start)
    }

    fn skip_chunk(&mut self, chunk: u64, bytes: &Range<u64>) {
        let length = bytes.end - bytes.start;
        let log2 = self.subject.chunks.log2();
        let digest = if length == 1 << log2 {
            self.algorithm.zeros(log2)
        } else {
            let mut hasher = self.algorithm.hasher();
            hasher.update_zeros(length);
            hasher.finish()
        };
        debug_assert_eq!(self.subject.chunks.at(bytes.start), chunk);
        self.pieces.push_back(Piece { file: bytes.clone(), digest: Some(digest), chunk: true });
        self.advance(bytes.end);
        self.digest();
    }

    fn skip_block(&mut self, block: &Range<u64>) {
        let length = block.end - block.start;
        let mut hasher = self.algorithm.hasher();
        hasher.update_zeros(length);
        let digest = if length == BLOCK { self.algorithm.zeros(BLOCK_LOG2) } else { hasher.finish() };
        self.pieces.push_back(Piece { file: block.clone(), digest: Some(digest), chunk: false });
        self.advance(block.end);
        self.digest();
    }

    /// Goes on behind `end`, to the next chunk wanted if one ends there.
    fn advance(&mut self, end: u64) {
        self.cursor = end;
        let Some(front) = self.to_read.front_mut() else { return };
        if end < self.subject.chunks.bytes(front.start).end {
            return;
        }
        front.start += 1;
        if front.is_empty() {
            self.to_read.pop_front();
        }
        if let Some(next) = self.to_read.front() {
            self.cursor = self.subject.chunks.bytes(next.start).start;
        }
    }

    /// A block was read: says where its bytes have their places. Runs behind
    /// which all was read are forgotten.
    pub(super) fn read(&mut self, file: &Range<u64>, digest: Digest) -> Vec<Share> {
        if let Some(piece) = self.pieces.iter_mut().find(|piece| piece.file == *file) {
            piece.digest = Some(digest);
        }
        let shares = self.placed.iter().filter_map(|run| run.share(file)).collect();
        self.digest();
        let behind = self.pieces.front().map_or(self.cursor, |piece| piece.file.start);
        let behind = if self.to_read.is_empty() && self.pieces.is_empty() { u64::MAX } else { behind };
        while self.placed.front().is_some_and(|run| run.file.end <= behind) {
            self.placed.pop_front();
        }
        shares
    }

    /// Makes digests of chunks out of what has come in, in order.
    fn digest(&mut self) {
        while let Some(piece) = self.pieces.pop_front_if(|piece| piece.digest.is_some()) {
            let Some(digest) = piece.digest else { break };
            let chunk = self.subject.chunks.at(piece.file.start);
            if piece.chunk {
                self.chunk_done(chunk, digest);
                continue;
            }
            let algorithm = self.algorithm;
            let tree = self.chunk_tree.get_or_insert_with(|| Box::new(algorithm.tree()));
            tree.push(digest);
            if piece.file.end == self.subject.chunks.bytes(chunk).end
                && let Some(digest) = tree.digest()
            {
                **tree = algorithm.tree();
                self.chunk_done(chunk, digest);
            }
        }
    }

    fn chunk_done(&mut self, chunk: u64, digest: Digest) {
        if let Some(tree) = &mut self.file_tree {
            tree.push(digest);
        }
        match self.digests.last_mut() {
            Some((first, list)) if *first + list.len() as u64 == chunk && list.len() < MAX_DIGESTS => list.push(digest),
            _ => self.digests.push((chunk, vec![digest])),
        }
    }

    /// Takes the digests that are done: first chunk and those behind it.
    pub(super) fn take_digests(&mut self) -> Vec<(u64, Vec<Digest>)> {
        std::mem::take(&mut self.digests)
    }
}
