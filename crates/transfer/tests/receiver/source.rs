//! A hand-made sending side: follows the protocol, and can be told to break it.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use limosa_seal::{AlgorithmSet, ContentAlgorithm};
use limosa_transfer::content::Chunks;
use limosa_wire::layout::{Attributes, Digest, Entry, EntryKind, Extent, LayoutRecord, Outcome};
use limosa_wire::setup::ContentDigest;
use limosa_wire::verdict::VerdictRecord;
use limosa_wire::{Code, EntryId, Offset};

/// Files up to this size come in one record.
const WHOLE: u64 = 1 << 20;

pub(crate) fn algorithm() -> ContentAlgorithm {
    AlgorithmSet::Ordinary.content(ContentDigest::Blake3).unwrap()
}

pub(crate) fn digest(bytes: &[u8]) -> Digest {
    let mut hasher = algorithm().hasher();
    hasher.update(bytes);
    hasher.finish()
}

/// Random numbers from a seed (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).take(count).collect()
    }
}

/// One thing to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) path: Vec<u8>,
    pub(crate) attributes: Attributes,
    pub(crate) what: What,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    /// Content, and which parts of it are data (the rest is zero and a hole).
    File {
        content: Vec<u8>,
        data: Vec<Range<u64>>,
        known_size: bool,
    },
    Directory,
    Link(Vec<u8>),
    Removal,
    /// A file that could not be read to its end.
    Broken(Code),
}

impl Node {
    pub(crate) fn file(path: &str, content: Vec<u8>) -> Self {
        let data = if content.is_empty() { vec![] } else { vec![0..content.len() as u64] };
        Self::new(path, What::File { content, data, known_size: true })
    }

    pub(crate) fn sparse(path: &str, size: usize, parts: &[(usize, Vec<u8>)]) -> Self {
        let mut content = vec![0; size];
        let mut data = Vec::new();
        for (at, bytes) in parts {
            content[*at..at + bytes.len()].copy_from_slice(bytes);
            data.push(*at as u64..(at + bytes.len()) as u64);
        }
        Self::new(path, What::File { content, data, known_size: true })
    }

    pub(crate) fn directory(path: &str) -> Self {
        Self::new(path, What::Directory)
    }

    pub(crate) fn new(path: &str, what: What) -> Self {
        Self { path: path.as_bytes().to_vec(), attributes: Attributes::default(), what }
    }

    pub(crate) fn with_mode(mut self, mode: u16) -> Self {
        self.attributes.mode = Some(mode);
        self
    }

    pub(crate) fn with_time(mut self, seconds: i64, nanos: u32) -> Self {
        self.attributes.modified = Some((seconds, nanos));
        self
    }

    pub(crate) fn of_unknown_size(mut self) -> Self {
        if let What::File { known_size, .. } = &mut self.what {
            *known_size = false;
        }
        self
    }
}

/// A datagram's worth of the linear space.
pub(crate) type Packet = (u64, Vec<u8>);

/// The hand-made sender.
pub(crate) struct Source {
    nodes: Vec<Node>,
    fresh: bool,
    packet: usize,
    next_base: u64,
    hasher: limosa_seal::ContentHasher,
    done: bool,
    pub(crate) layout: VecDeque<u8>,
    pub(crate) packets: Vec<Packet>,
    pub(crate) verdicts: Vec<VerdictRecord>,
    /// Bytes of data ever made into packets.
    pub(crate) sent: u64,
    /// Chunks to spoil the first so many times they are sent: (entry, chunk).
    pub(crate) spoil: BTreeMap<(u64, u64), u32>,
    /// Files that changed and kept their identity, told by digests of all
    /// their chunks.
    pub(crate) changed: BTreeMap<u64, [u8; 16]>,
    waiting: usize,
}

impl Source {
    pub(crate) fn new(nodes: Vec<Node>, fresh: bool) -> Self {
        let waiting = if fresh { 0 } else { nodes.iter().filter(|n| matches!(n.what, What::File { .. })).count() };
        Self {
            nodes,
            fresh,
            packet: 1400,
            next_base: 0,
            hasher: algorithm().hasher(),
            done: false,
            layout: VecDeque::new(),
            packets: Vec::new(),
            verdicts: Vec::new(),
            sent: 0,
            spoil: BTreeMap::new(),
            changed: BTreeMap::new(),
            waiting,
        }
    }

    pub(crate) fn with_packets_of(mut self, bytes: usize) -> Self {
        self.packet = bytes;
        self
    }

    /// Lets entry `id` pass for what was `content` before.
    pub(crate) fn with_changed(mut self, id: u64, content: &[u8]) -> Self {
        self.changed.insert(id, identity(content));
        self
    }

    pub(crate) fn put(&mut self, record: &LayoutRecord) {
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        if !self.done {
            self.hasher.update(&bytes);
        }
        self.layout.extend(bytes);
    }

    /// Announces everything, with data where it need not wait.
    pub(crate) fn announce(&mut self) {
        for (id, node) in self.nodes.clone().into_iter().enumerate() {
            self.announce_node(EntryId(id as u64), &node);
        }
        self.end_if_done();
    }

    fn end_if_done(&mut self) {
        if self.waiting == 0 && !self.done {
            let end = LayoutRecord::EndOfLayout {
                entries: self.nodes.len() as u64,
                bytes: 0,
                digest: self.hasher.clone().finish(),
            };
            self.put(&end);
            self.done = true;
        }
    }

    fn announce_node(&mut self, id: EntryId, node: &Node) {
        let kind = match &node.what {
            What::Directory => EntryKind::Directory,
            What::Link(target) => EntryKind::Symlink { target: target.clone() },
            What::Removal => EntryKind::Removal,
            What::Broken(_) => EntryKind::File { size: None, chunk_log2: 20, identity: [0; 16] },
            What::File { content, known_size, .. } => EntryKind::File {
                size: known_size.then_some(content.len() as u64),
                chunk_log2: chunks(content).log2(),
                identity: self.changed.get(&id.0).copied().unwrap_or_else(|| identity(content)),
            },
        };
        let entry = Entry { id, kind, path: node.path.clone(), attributes: node.attributes };
        match &node.what {
            What::File { content, data, known_size: true }
                if self.fresh && content.len() as u64 <= WHOLE && data.len() <= 1 && dense(content, data) =>
            {
                let base = Offset(self.next_base);
                self.next_base += content.len() as u64;
                self.put(&LayoutRecord::Whole { entry, base, digest: digest(content) });
                self.send(id, base.0, 0, content);
            }
            What::File { .. } => {
                self.put(&LayoutRecord::Entry(entry));
                if self.fresh {
                    self.send_file(id, None);
                }
            }
            What::Broken(code) => {
                self.put(&LayoutRecord::Entry(entry));
                self.put(&LayoutRecord::End { entry: id, final_size: 0, outcome: Outcome::Failed(*code) });
            }
            _ => self.put(&LayoutRecord::Entry(entry)),
        }
    }

    /// Extents, data, digests and end of a file: of all chunks, or those missing.
    fn send_file(&mut self, id: EntryId, missing: Option<&[(u64, u64)]>) {
        let What::File { content, data, .. } = self.nodes[id.0 as usize].what.clone() else { return };
        let chunks = chunks(&content);
        let all = [(0, chunks.count())];
        if self.changed.contains_key(&id.0) {
            let digests = content.chunks(1 << chunks.log2()).map(digest).collect();
            self.put(&LayoutRecord::Digests { entry: id, first_chunk: 0, digests });
        }
        for &(first, count) in missing.unwrap_or(&all) {
            for chunk in first..first + count {
                let bytes = chunks.bytes(chunk);
                for part in &data {
                    let range = part.start.max(bytes.start)..part.end.min(bytes.end);
                    if range.start < range.end {
                        self.send_range(id, &content, range);
                    }
                }
                let digest = digest(&content[bytes.start as usize..bytes.end as usize]);
                self.put(&LayoutRecord::Digests { entry: id, first_chunk: chunk, digests: vec![digest] });
            }
        }
        let root = missing.is_none().then(|| root(&content));
        let outcome = Outcome::Complete { root };
        self.put(&LayoutRecord::End { entry: id, final_size: content.len() as u64, outcome });
    }

    fn send_range(&mut self, id: EntryId, content: &[u8], range: Range<u64>) {
        let base = self.next_base;
        let length = range.end - range.start;
        self.next_base += length;
        self.put(&LayoutRecord::Extent(Extent { entry: id, file_offset: range.start, length, base: Offset(base) }));
        self.send(id, base, range.start, &content[range.start as usize..range.end as usize]);
    }

    /// Makes packets of bytes at a place; small ones are joined as they lie.
    fn send(&mut self, id: EntryId, base: u64, file_offset: u64, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        let chunk = file_offset >> 20;
        if let Some(times) = self.spoil.get_mut(&(id.0, chunk))
            && *times > 0
            && !bytes.is_empty()
        {
            *times -= 1;
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
        self.sent += bytes.len() as u64;
        let mut at = base;
        for part in bytes.chunks(self.packet) {
            match self.packets.last_mut() {
                Some((last, joined))
                    if *last + joined.len() as u64 == at && joined.len() + part.len() <= self.packet =>
                {
                    joined.extend_from_slice(part);
                }
                _ => self.packets.push((at, part.to_vec())),
            }
            at += part.len() as u64;
        }
    }

    /// Reacts to verdicts as a sender does.
    pub(crate) fn hear(&mut self, records: Vec<VerdictRecord>) {
        for record in records {
            match &record {
                VerdictRecord::Take { first, count } => {
                    for id in first.0..first.0 + count {
                        self.send_file(EntryId(id), None);
                        self.waiting -= 1;
                    }
                }
                VerdictRecord::Skip { count, .. } => self.waiting -= *count as usize,
                VerdictRecord::Refuse { .. } if !self.fresh => self.waiting -= 1,
                VerdictRecord::Resume { entry, missing, .. } => {
                    self.send_file(*entry, Some(missing));
                    self.waiting -= 1;
                }
                VerdictRecord::Again { entry, file_offset, length } => {
                    let What::File { content, .. } = self.nodes[entry.0 as usize].what.clone() else { panic!() };
                    self.send_range(*entry, &content, *file_offset..file_offset + length);
                    for chunk in chunks(&content).touched(&(*file_offset..file_offset + length)) {
                        let bytes = chunks(&content).bytes(chunk);
                        let digests = vec![digest(&content[bytes.start as usize..bytes.end as usize])];
                        self.put(&LayoutRecord::Digests { entry: *entry, first_chunk: chunk, digests });
                    }
                }
                _ => {}
            }
            self.verdicts.push(record);
        }
        self.end_if_done();
    }
}

fn dense(content: &[u8], data: &[Range<u64>]) -> bool {
    content.is_empty() || data == [0..content.len() as u64]
}

fn chunks(content: &[u8]) -> Chunks {
    Chunks::of(content.len() as u64)
}

fn root(content: &[u8]) -> Digest {
    let mut tree = algorithm().tree();
    for chunk in 0..chunks(content).count() {
        let bytes = chunks(content).bytes(chunk);
        tree.push(digest(&content[bytes.start as usize..bytes.end as usize]));
    }
    tree.root(content.len() as u64)
}

fn identity(content: &[u8]) -> [u8; 16] {
    *digest(content).first_chunk().unwrap()
}
