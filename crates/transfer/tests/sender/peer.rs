//! The other end, as a model: decodes the layout, keeps every file in memory,
//! and checks on the way whatever the protocol promises.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use limosa_ranges::RangeSet;
use limosa_seal::{AlgorithmSet, ContentAlgorithm, ContentHasher};
use limosa_transfer::content::Chunks;
use limosa_wire::layout::{Digest, Entry, EntryKind, LayoutRecord, Outcome};
use limosa_wire::setup::ContentDigest;
use limosa_wire::verdict::VerdictRecord;
use limosa_wire::{Code, EntryId, Offset};

/// What the model says to an announced entry.
#[derive(Clone, Debug)]
pub(crate) enum Decision {
    Take,
    Skip,
    Resume(Vec<(u64, u64)>),
    Refuse(Code),
}

/// The digest in use.
pub(crate) fn algorithm() -> ContentAlgorithm {
    AlgorithmSet::Ordinary.content(ContentDigest::Blake3).expect("BLAKE3 is ordinary")
}

/// How an entry ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Open,
    Settled,
    Skipped,
    Failed(Code),
}

/// An entry as announced, and what came of it.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) entry: Entry,
    pub(crate) fate: Fate,
    pub(crate) content: Vec<u8>,
    /// Bytes of the file that are there.
    have: RangeSet,
    /// Bytes that have a place, or are there anyway.
    placed: RangeSet,
    digests: BTreeMap<u64, Digest>,
    end: Option<(u64, Outcome)>,
    /// Chunks still to be called wrong once.
    doubted: Vec<u64>,
    /// Chunks asked for again and not there yet.
    awaited: Vec<u64>,
    judged: bool,
}

#[derive(Clone, Debug)]
struct Place {
    entry: EntryId,
    file_offset: u64,
    length: u64,
}

/// Names the chunks of a file to be called wrong.
type Doubt = Box<dyn FnMut(&Entry) -> Vec<u64>>;

/// The model.
pub(crate) struct Peer {
    fresh: bool,
    decide: Box<dyn FnMut(&Entry) -> Decision>,
    doubt: Doubt,
    layout: Vec<u8>,
    hasher: Option<ContentHasher>,
    pub(crate) entries: Vec<Received>,
    places: BTreeMap<u64, Place>,
    placed_end: u64,
    arrived: RangeSet,
    void: RangeSet,
    /// Data without a place yet.
    orphans: Vec<(u64, Vec<u8>)>,
    pub(crate) verdicts: Vec<u8>,
    pub(crate) announced_bytes: u64,
    standing: BTreeMap<Vec<u8>, Vec<u8>>,
    paths: HashSet<Vec<u8>>,
    /// The directory announced last that is not over, and those above it.
    inside: Vec<Vec<u8>>,
    open: usize,
    pub(crate) complete: bool,
}

impl Peer {
    pub(crate) fn new(fresh: bool, decide: impl FnMut(&Entry) -> Decision + 'static) -> Self {
        Self {
            fresh,
            decide: Box::new(decide),
            doubt: Box::new(|_| Vec::new()),
            layout: Vec::new(),
            hasher: Some(algorithm().hasher()),
            entries: Vec::new(),
            places: BTreeMap::new(),
            placed_end: 0,
            arrived: RangeSet::new(),
            void: RangeSet::new(),
            orphans: Vec::new(),
            verdicts: Vec::new(),
            announced_bytes: 0,
            standing: BTreeMap::new(),
            paths: HashSet::new(),
            inside: Vec::new(),
            open: 0,
            complete: false,
        }
    }

    /// Calls the chunks that `doubt` names of each file wrong, once.
    pub(crate) fn doubting(mut self, doubt: impl FnMut(&Entry) -> Vec<u64> + 'static) -> Self {
        self.doubt = Box::new(doubt);
        self
    }

    /// Content that stands at the destination already.
    pub(crate) fn prefill(&mut self, path: &[u8], content: Vec<u8>) {
        self.standing.insert(path.to_vec(), content);
    }

    /// The file announced under `path` that was settled.
    pub(crate) fn settled(&self, path: &[u8]) -> Option<&Received> {
        self.entries.iter().find(|received| received.entry.path == path && received.fate == Fate::Settled)
    }

    /// The last fate of `path`.
    pub(crate) fn fate(&self, path: &[u8]) -> Option<Fate> {
        self.entries.iter().rev().find(|received| received.entry.path == path).map(|received| received.fate)
    }

    /// Where in the linear space the places known so far end.
    pub(crate) fn placed_end(&self) -> u64 {
        self.placed_end
    }

    /// Whether every byte that was placed has come or was withdrawn.
    pub(crate) fn is_settled_space(&self) -> bool {
        let mut closed = self.arrived.clone();
        for range in self.void.iter() {
            closed.insert(range);
        }
        closed.contains(&(0..self.placed_end)) && self.orphans.is_empty()
    }

    pub(crate) fn take_layout(&mut self, bytes: &[u8]) {
        self.layout.extend_from_slice(bytes);
        let layout = std::mem::take(&mut self.layout);
        let mut rest = &layout[..];
        while let Some((record, used)) = LayoutRecord::decode(rest).expect("a record") {
            self.take_record(record, &rest[..used]);
            rest = &rest[used..];
        }
        self.layout = rest.to_vec();
        self.complete_if_done();
    }

    fn take_record(&mut self, record: LayoutRecord, encoded: &[u8]) {
        if let LayoutRecord::EndOfLayout { entries, bytes, digest } = record {
            let hasher = self.hasher.take().expect("one end");
            assert_eq!(digest, hasher.finish(), "digest of the layout");
            assert_eq!((entries, bytes), (self.entries.len() as u64, self.announced_bytes));
            return;
        }
        match &mut self.hasher {
            Some(hasher) => hasher.update(encoded),
            None => assert!(
                !matches!(record, LayoutRecord::Entry(_) | LayoutRecord::Whole { .. }),
                "an entry behind the end"
            ),
        }
        match record {
            LayoutRecord::Entry(entry) => drop(self.announce(entry)),
            LayoutRecord::Extent(extent) => self.place(extent.entry, extent.file_offset, extent.length, extent.base),
            LayoutRecord::Digests { entry, first_chunk, digests } => {
                let received = &mut self.entries[entry.0 as usize];
                for (chunk, digest) in (first_chunk..).zip(digests) {
                    received.digests.insert(chunk, digest);
                }
                self.look(entry);
            }
            LayoutRecord::End { entry, final_size, outcome } => {
                self.entries[entry.0 as usize].end = Some((final_size, outcome));
                self.look(entry);
            }
            LayoutRecord::Whole { entry, base, digest } => {
                let size = chunks_of(&entry).expect("a file of known size").size();
                let id = self.announce(entry);
                if size > 0 {
                    self.place(id, 0, size, base);
                    self.entries[id.0 as usize].digests.insert(0, digest);
                } else {
                    assert_eq!(digest, algorithm().hasher().finish());
                }
                self.entries[id.0 as usize].end = Some((size, Outcome::Complete { root: None }));
                self.look(id);
            }
            LayoutRecord::Void { base, length } => {
                let range = base.0..base.0 + length;
                assert!(range.end <= self.placed_end, "nothing was placed there");
                assert!(self.arrived.missing(&range).eq([range.clone()]), "void of what arrived");
                self.void.insert(range);
            }
            LayoutRecord::EndOfLayout { .. } => {}
        }
    }

    fn announce(&mut self, entry: Entry) -> EntryId {
        let id = entry.id;
        assert_eq!(id.0, self.entries.len() as u64, "numbers are dense");
        if self.paths.insert(entry.path.clone()) {
            self.keep_to_depth_first(&entry);
        }
        let size = if let EntryKind::File { size, .. } = entry.kind { size.unwrap_or(0) } else { 0 };
        self.announced_bytes += size;
        let doubted = (self.doubt)(&entry);
        self.entries.push(Received {
            entry,
            fate: Fate::Open,
            content: Vec::new(),
            have: RangeSet::new(),
            placed: RangeSet::new(),
            digests: BTreeMap::new(),
            end: None,
            doubted,
            awaited: Vec::new(),
            judged: false,
        });
        self.open += 1;
        self.judge(id);
        id
    }

    /// A directory is over with the first entry that is not below it: what is
    /// told of its inside later would come too late for its time. Only files
    /// that are sent once more, whose paths are known, may come then.
    fn keep_to_depth_first(&mut self, entry: &Entry) {
        let parent = entry.path.iter().rposition(|&byte| byte == b'/').map(|at| &entry.path[..at]);
        while self.inside.last().is_some_and(|inside| Some(&inside[..]) != parent) {
            self.inside.pop();
        }
        let path = String::from_utf8_lossy(&entry.path);
        let found = parent.is_none() || !self.inside.is_empty();
        assert!(found, "{path} came before its directory, or when that was over");
        if entry.kind == EntryKind::Directory {
            self.inside.push(entry.path.clone());
        }
    }

    fn judge(&mut self, id: EntryId) {
        let received = &mut self.entries[id.0 as usize];
        if !matches!(received.entry.kind, EntryKind::File { .. }) {
            self.say(&VerdictRecord::Settled { first: id, count: 1 });
            return self.close(id, Fate::Settled);
        }
        let decision = (self.decide)(&received.entry);
        received.judged = true;
        match decision {
            Decision::Take if self.fresh => {}
            Decision::Take => self.say(&VerdictRecord::Take { first: id, count: 1 }),
            Decision::Skip => {
                self.say(&VerdictRecord::Skip { first: id, count: 1 });
                self.close(id, Fate::Skipped);
            }
            Decision::Resume(missing) => {
                let chunks = chunks_of(&received.entry).expect("a size");
                received.have.insert(0..chunks.size());
                for &(first, count) in &missing {
                    received.have.remove(&chunks.span(first, count));
                }
                received.placed = received.have.clone();
                received.content = self.standing.remove(&received.entry.path).unwrap_or_default();
                self.say(&VerdictRecord::Resume { entry: id, missing, front: None });
            }
            Decision::Refuse(code) => {
                self.say(&VerdictRecord::Refuse { entry: id, code, detail: "no".into() });
                self.close(id, Fate::Failed(code));
            }
        }
    }

    fn say(&mut self, verdict: &VerdictRecord) {
        verdict.encode(&mut self.verdicts);
    }

    fn close(&mut self, id: EntryId, fate: Fate) {
        let received = &mut self.entries[id.0 as usize];
        assert_eq!(received.fate, Fate::Open);
        received.fate = fate;
        self.open -= 1;
    }

    fn place(&mut self, entry: EntryId, file_offset: u64, length: u64, base: Offset) {
        assert_eq!(base.0, self.placed_end, "places are given in order");
        self.placed_end += length;
        self.places.insert(base.0, Place { entry, file_offset, length });
        let received = &mut self.entries[entry.0 as usize];
        let size = chunks_of(&received.entry).expect("a size").size();
        assert!(length > 0 && file_offset + length <= size, "an extent outside of its file");
        let file = file_offset..file_offset + length;
        if received.awaited.is_empty() {
            assert!(received.placed.missing(&file).eq([file.clone()]), "placed twice");
        }
        received.placed.insert(file);
        let adopted = std::mem::take(&mut self.orphans);
        for (offset, bytes) in adopted {
            self.deliver(offset, &bytes);
        }
    }

    /// Data arrives; perhaps before its place, perhaps twice.
    pub(crate) fn deliver(&mut self, offset: u64, bytes: &[u8]) {
        let range = offset..offset + bytes.len() as u64;
        let known = range.end.min(self.placed_end);
        let (now, later) = bytes.split_at(known.saturating_sub(offset) as usize);
        if !later.is_empty() {
            self.orphans.push((known.max(offset), later.to_vec()));
        }
        let mut at = offset;
        let mut rest = now;
        while !rest.is_empty() {
            let (base, place) = self.places.range(..=at).next_back().expect("a place");
            let inside = at - base;
            let count = rest.len().min((place.length - inside) as usize);
            let (id, start) = (place.entry, place.file_offset + inside);
            self.store(id, start, &rest[..count]);
            rest = &rest[count..];
            at += count as u64;
        }
        self.arrived.insert(offset..at);
        assert!(self.void.iter().all(|void| range.end <= void.start || void.end <= range.start), "void data came");
        self.complete_if_done();
    }

    fn store(&mut self, id: EntryId, start: u64, bytes: &[u8]) {
        let fresh = self.fresh;
        let received = &mut self.entries[id.0 as usize];
        assert!(fresh || received.judged, "data before the verdict");
        let end = start as usize + bytes.len();
        if received.content.len() < end {
            received.content.resize(end, 0);
        }
        received.content[start as usize..end].copy_from_slice(bytes);
        received.have.insert(start..end as u64);
        self.look(id);
    }

    /// Settles a file that is whole.
    fn look(&mut self, id: EntryId) {
        let received = &mut self.entries[id.0 as usize];
        let Some((size, outcome)) = received.end else { return };
        if received.fate != Fate::Open {
            return;
        }
        match outcome {
            Outcome::Failed(code) => return self.close(id, Fate::Failed(code)),
            Outcome::Retaken => return self.close(id, Fate::Failed(Code::SOURCE_CHANGED)),
            Outcome::Complete { .. } => {}
        }
        let chunks = chunks_of(&received.entry).expect("a size");
        assert_eq!(size, chunks.size());
        let complete = |range: &Range<u64>| {
            received.placed.iter().all(|placed| {
                let shared = limosa_transfer::content::overlap(&placed, range);
                received.have.contains(&shared)
            })
        };
        if !complete(&(0..size)) {
            return;
        }
        if !received.awaited.is_empty() {
            let awaited = std::mem::take(&mut received.awaited);
            received.awaited = awaited.into_iter().filter(|chunk| !received.digests.contains_key(chunk)).collect();
        }
        if !received.awaited.is_empty() {
            return;
        }
        if let Some(chunk) = received.doubted.pop() {
            let bytes = chunks.bytes(chunk);
            received.have.remove(&bytes);
            received.placed.insert(bytes.clone());
            received.digests.remove(&chunk);
            received.awaited.push(chunk);
            return self.say(&VerdictRecord::Again {
                entry: id,
                file_offset: bytes.start,
                length: bytes.end - bytes.start,
            });
        }
        received.content.resize(size as usize, 0);
        check_digests(received, &chunks, outcome);
        self.say(&VerdictRecord::Settled { first: id, count: 1 });
        self.close(id, Fate::Settled);
    }

    fn complete_if_done(&mut self) {
        if self.hasher.is_none() && self.open == 0 && !self.complete {
            self.complete = true;
            let failed = |received: &&Received| matches!(received.fate, Fate::Failed(_));
            let failed = self.entries.iter().filter(failed).count() as u64;
            self.say(&VerdictRecord::Complete { settled: self.entries.len() as u64 - failed, failed });
        }
    }
}

fn check_digests(received: &Received, chunks: &Chunks, outcome: Outcome) {
    let mut tree = algorithm().tree();
    let mut all = true;
    for chunk in 0..chunks.count() {
        let bytes = chunks.bytes(chunk);
        let mut hasher = algorithm().hasher();
        hasher.update(&received.content[bytes.start as usize..bytes.end as usize]);
        let digest = hasher.finish();
        match received.digests.get(&chunk) {
            Some(known) => assert_eq!(*known, digest, "digest of chunk {chunk}"),
            None => all = false,
        }
        tree.push(digest);
    }
    if let Outcome::Complete { root: Some(root) } = outcome {
        assert!(all);
        assert_eq!(root, tree.root(chunks.size()), "root of the content tree");
    }
}

fn chunks_of(entry: &Entry) -> Option<Chunks> {
    match entry.kind {
        EntryKind::File { size, chunk_log2, .. } => Chunks::new(size?, chunk_log2),
        _ => None,
    }
}
