//! The journal beside a large partial file: which of its chunks are verified
//! and on disk, so that a later session continues where this one stopped.
//!
//! ```text
//! header:  "limosa-j" · version(1) · digest(1) · chunk log2(1) · 0 · identity(16) · size(8) · check(8)
//! record:  first chunk(4) · count(2) · digest(32) × count · check(8)
//! ```
//!
//! All integers are big-endian. The first check is the CRC-64 of the header;
//! every further one continues from the check before, so that a record counts
//! only behind exactly the records it was written behind: what is torn,
//! altered or left over from another journal ends the reading there. Only
//! chunks whose bytes were synced before are written into a journal, in *file*
//! terms alone: a place in a linear space means nothing to the next session.

mod crc64;

use std::collections::BTreeMap;

use limosa_wire::codec::{DecodeError, Reader, Sink};
use limosa_wire::layout::{Digest, MAX_CHUNKS, SourceIdentity};
use limosa_wire::setup::ContentDigest;

const MAGIC: [u8; 8] = *b"limosa-j";
const VERSION: u8 = 1;
/// Bytes of a header.
const HEADER: usize = 8 + 4 + 16 + 8 + 8;
/// Bytes of a record beside its digests.
const RECORD_FRAME: usize = 4 + 2 + 8;
/// Most digests in one record.
const MAX_COUNT: usize = 4096;
/// Longest journal that is read, bytes. One of the most chunks, each in a
/// record of its own, and all of them written twice, is shorter.
pub const MAX_JOURNAL: u64 = HEADER as u64 + 2 * MAX_CHUNKS * (RECORD_FRAME as u64 + 32);

/// What a journal belongs to. One for anything else is foreign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalHeader {
    /// How chunks are digested.
    pub digest: ContentDigest,
    /// Size of a chunk, as a power of two.
    pub chunk_log2: u8,
    /// Which state of which source.
    pub identity: SourceIdentity,
    /// Size of the file, bytes.
    pub size: u64,
}

impl JournalHeader {
    /// The header as bytes, check included.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER);
        bytes.put(&MAGIC);
        bytes.put(&[VERSION, self.digest.number(), self.chunk_log2, 0]);
        bytes.put(&self.identity);
        bytes.put_u64(self.size);
        let check = crc64::continued(0, &bytes);
        bytes.put_u64(check);
        bytes
    }

    /// Chunks of the file.
    #[must_use]
    pub fn chunks(&self) -> u64 {
        self.size.div_ceil(1 << self.chunk_log2.min(63))
    }

    /// The journal's first part: the header, and the check that the first
    /// record continues from.
    #[must_use]
    pub fn start(&self) -> (Vec<u8>, Chain) {
        let bytes = self.encode();
        let chain = Chain(crc64::continued(0, &bytes[..HEADER - 8]));
        (bytes, chain)
    }
}

/// The check of the last record written, which the next one continues from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain(u64);

impl Chain {
    /// Appends records for verified and synced `chunks`, ascending.
    pub fn append(&mut self, chunks: &[(u32, Digest)], sink: &mut Vec<u8>) {
        let mut rest = chunks;
        while let Some(&(first, _)) = rest.first() {
            let run = rest.iter().zip(first..).take(MAX_COUNT).take_while(|((chunk, _), next)| chunk == next).count();
            let (now, later) = rest.split_at(run);
            self.append_run(first, now, sink);
            rest = later;
        }
    }

    fn append_run(&mut self, first: u32, run: &[(u32, Digest)], sink: &mut Vec<u8>) {
        let start = sink.len();
        sink.put_u32(first);
        sink.put_u16(u16::try_from(run.len()).expect("a run has at most MAX_COUNT chunks"));
        for (_, digest) in run {
            sink.put(digest);
        }
        self.0 = crc64::continued(self.0, &sink[start..]);
        sink.put_u64(self.0);
    }
}

/// What a journal says that can be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// The verified chunks and their digests.
    pub held: BTreeMap<u32, Digest>,
    /// Bytes up to the end of the last good record; what follows is torn.
    pub length: u64,
    /// Where to go on writing.
    pub chain: Chain,
}

impl Replay {
    /// Reads `bytes` as the journal of `header`; `None` if it is that of
    /// something else, or its header is damaged.
    #[must_use]
    pub fn of(bytes: &[u8], header: &JournalHeader) -> Option<Self> {
        let (expected, chain) = header.start();
        let mut rest = bytes.strip_prefix(&expected[..])?;
        let mut replay = Self { held: BTreeMap::new(), length: HEADER as u64, chain };
        while let Ok((used, first, digests, chain)) = read_record(rest, replay.chain) {
            let chunks = first..;
            if u64::from(first) + digests.len() as u64 > header.chunks() {
                break;
            }
            replay.held.extend(chunks.zip(digests));
            replay.length += used as u64;
            replay.chain = chain;
            rest = &rest[used..];
        }
        Some(replay)
    }

    /// Whether the journal would shrink a good deal if it were written anew:
    /// it repeats chunks, or came in very small records.
    #[must_use]
    pub fn is_worth_compacting(&self) -> bool {
        let compact = HEADER as u64 + self.held.len() as u64 * 32;
        self.length > 2 * compact + 4096
    }

    /// The same journal without repetition.
    #[must_use]
    pub fn compacted(&self, header: &JournalHeader) -> (Vec<u8>, Chain) {
        let (mut bytes, mut chain) = header.start();
        let chunks: Vec<_> = self.held.iter().map(|(&chunk, &digest)| (chunk, digest)).collect();
        chain.append(&chunks, &mut bytes);
        (bytes, chain)
    }
}

/// Length, first chunk, digests and check of the first record of `bytes`.
fn read_record(bytes: &[u8], chain: Chain) -> Result<(usize, u32, Vec<Digest>, Chain), DecodeError> {
    let mut reader = Reader::new("journal record", bytes);
    let first = reader.u32()?;
    let count = usize::from(reader.u16()?);
    if count == 0 || count > MAX_COUNT {
        return Err(reader.range());
    }
    let digests = (0..count).map(|_| reader.array()).collect::<Result<Vec<Digest>, _>>()?;
    let body = bytes.len() - reader.rest().len();
    let check = crc64::continued(chain.0, &bytes[..body]);
    if reader.u64()? != check {
        return Err(reader.range());
    }
    Ok((body + 8, first, digests, Chain(check)))
}

#[cfg(test)]
mod tests;
