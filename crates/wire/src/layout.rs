//! The layout stream, from the sending to the receiving side: what there is
//! and which part of the linear space carries which bytes of it.
//!
//! Entries are announced with dense ids in order; a directory comes before
//! what it holds. [`Extent`]s give bytes of a file a place in the linear
//! space, in any number, at any time before the file's [`LayoutRecord::End`].
//! Known files, holes (no extent), byte ranges, growing files, standard input
//! and resumed files are all made of the same two records.

use crate::codec::{DecodeError, Reader, Sink, varint_len};
use crate::{Code, EntryId, Offset};

/// Longest path or link target, bytes.
pub const MAX_PATH: usize = 4096;
/// Most digests in one record.
pub const MAX_DIGESTS: usize = 1024;
/// Longest record, bytes, header included; records of later versions too.
pub const MAX_RECORD: usize = 64 * 1024;
/// Smallest chunk of the content tree, as a power of two (1 MiB).
pub const MIN_CHUNK_LOG2: u8 = 20;
/// Largest chunk of the content tree, as a power of two.
pub const MAX_CHUNK_LOG2: u8 = 48;
/// Most chunks in one file.
pub const MAX_CHUNKS: u64 = 65_536;

/// The digest of a chunk or a tree of them.
pub type Digest = [u8; 32];

/// Names one state of one source file (device, inode, size, times, hashed), so
/// that a partial file is continued only by the same source.
pub type SourceIdentity = [u8; 16];

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File {
        /// Its size, where it is known beforehand.
        size: Option<u64>,
        /// Size of a chunk of its content tree, as a power of two.
        chunk_log2: u8,
        /// Which state of which source it is.
        identity: SourceIdentity,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink {
        /// Where it points, as stored in the link.
        target: Vec<u8>,
    },
    /// Something to be removed at the destination.
    Removal,
}

/// Attributes to be kept, each only if asked for and known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits, at most 0o7777.
    pub mode: Option<u16>,
    /// Time of last modification: seconds since 1970 and nanoseconds.
    pub modified: Option<(i64, u32)>,
}

/// Announces a file, directory, link or removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number: one more than the last.
    pub id: EntryId,
    /// What it is.
    pub kind: EntryKind,
    /// Path below the destination, components separated by `/`. Foreign bytes:
    /// the receiving side parses it before anything is done with it.
    pub path: Vec<u8>,
    /// Attributes to keep.
    pub attributes: Attributes,
}

/// Gives bytes of a file a place in the linear space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The file.
    pub entry: EntryId,
    /// First byte within the file.
    pub file_offset: u64,
    /// How many bytes; at least 1.
    pub length: u64,
    /// Place of the first byte in the linear space.
    pub base: Offset,
}

/// How the sending side's reading of a file ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Read whole.
    Complete {
        /// Root of the content tree, where the sender has read every chunk.
        root: Option<Digest>,
    },
    /// It could not be read whole, or changed while it was read: nothing may
    /// appear under its name.
    Failed(Code),
    /// It changed while it was read: nothing of this attempt may appear under
    /// its name, and another attempt follows as an entry of its own. No failure
    /// of the transfer.
    Retaken,
}

/// One record of the layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayoutRecord {
    /// Announces an entry.
    Entry(Entry),
    /// Places bytes of a file.
    Extent(Extent),
    /// Digests of consecutive chunks of a file, sent behind their data.
    Digests {
        /// The file.
        entry: EntryId,
        /// Number of the first chunk.
        first_chunk: u64,
        /// Its digest and those of the next ones.
        digests: Vec<Digest>,
    },
    /// No more extents and digests of this file.
    End {
        /// The file.
        entry: EntryId,
        /// Its size as read.
        final_size: u64,
        /// Whether it is good.
        outcome: Outcome,
    },
    /// A file of at most one chunk in one record: entry, extent, digest, end.
    Whole {
        /// The entry; a file of known size.
        entry: Entry,
        /// Place of its bytes in the linear space; meaningless when empty.
        base: Offset,
        /// Digest of its bytes.
        digest: Digest,
    },
    /// Withdraws a stretch of the linear space that will never come.
    Void {
        /// Its start.
        base: Offset,
        /// Its length; at least 1.
        length: u64,
    },
    /// The layout is complete.
    EndOfLayout {
        /// Entries announced.
        entries: u64,
        /// Bytes of all files.
        bytes: u64,
        /// Digest of all records before this one, as encoded.
        digest: Digest,
    },
}

const ENTRY: u8 = 0x01;
const EXTENT: u8 = 0x02;
const DIGESTS: u8 = 0x03;
const END: u8 = 0x04;
const WHOLE: u8 = 0x05;
const VOID: u8 = 0x06;
const END_OF_LAYOUT: u8 = 0x07;

const KIND_FILE: u8 = 1;
const KIND_DIRECTORY: u8 = 2;
const KIND_SYMLINK: u8 = 3;
const KIND_REMOVAL: u8 = 4;

const HAS_MODE: u8 = 0x01;
const HAS_MODIFIED: u8 = 0x02;
const HAS_SIZE: u8 = 0x04;

const COMPLETE_WITH_ROOT: u8 = 0;
const COMPLETE: u8 = 1;
const FAILED: u8 = 2;
const RETAKEN: u8 = 3;

impl LayoutRecord {
    /// Appends the record.
    pub fn encode(&self, sink: &mut Vec<u8>) {
        match self {
            Self::Entry(entry) => framed(sink, ENTRY, |body| put_entry(body, entry)),
            Self::Extent(extent) => framed(sink, EXTENT, |body| {
                body.put_varint(extent.entry.0);
                body.put_varint(extent.file_offset);
                body.put_varint(extent.length);
                body.put_varint(extent.base.0);
            }),
            Self::Digests { entry, first_chunk, digests } => framed(sink, DIGESTS, |body| {
                body.put_varint(entry.0);
                body.put_varint(*first_chunk);
                body.put_varint(digests.len() as u64);
                for digest in digests {
                    body.put(digest);
                }
            }),
            Self::End { entry, final_size, outcome } => framed(sink, END, |body| {
                body.put_varint(entry.0);
                body.put_varint(*final_size);
                put_outcome(body, *outcome);
            }),
            Self::Whole { entry, base, digest } => framed(sink, WHOLE, |body| {
                put_entry(body, entry);
                body.put_varint(base.0);
                body.put(digest);
            }),
            Self::Void { base, length } => framed(sink, VOID, |body| {
                body.put_varint(base.0);
                body.put_varint(*length);
            }),
            Self::EndOfLayout { entries, bytes, digest } => framed(sink, END_OF_LAYOUT, |body| {
                body.put_varint(*entries);
                body.put_varint(*bytes);
                body.put(digest);
            }),
        }
    }

    /// Reads the first record of `bytes` and says how many bytes it took;
    /// `None` while it is not complete.
    ///
    /// # Errors
    /// If the bytes are no record, or one longer than [`MAX_RECORD`].
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, DecodeError> {
        let Some((kind, body, used)) = unframe("layout record", bytes)? else { return Ok(None) };
        let mut reader = Reader::new("layout record", body);
        let record = match kind {
            ENTRY => Self::Entry(read_entry(&mut reader)?),
            EXTENT => Self::Extent(read_extent(&mut reader)?),
            DIGESTS => read_digests(&mut reader)?,
            END => Self::End {
                entry: EntryId(reader.varint()?),
                final_size: reader.varint()?,
                outcome: read_outcome(&mut reader)?,
            },
            WHOLE => read_whole(&mut reader)?,
            VOID => {
                let (base, length) = read_range(&mut reader)?;
                Self::Void { base: Offset(base), length }
            }
            END_OF_LAYOUT => {
                Self::EndOfLayout { entries: reader.varint()?, bytes: reader.varint()?, digest: reader.array()? }
            }
            _ => return Err(reader.unknown()),
        };
        reader.end()?;
        Ok(Some((record, used)))
    }
}

/// Writes `kind`, the length of what `fill` appends, and that.
pub(crate) fn framed(sink: &mut Vec<u8>, kind: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    // Most bodies are shorter than 128 bytes: leave one byte for the length
    // and move the body only where that was too little.
    sink.put_u8(kind);
    let start = sink.len();
    sink.put_u8(0);
    fill(sink);
    let length = (sink.len() - start - 1) as u64;
    let mut header = Vec::with_capacity(varint_len(length));
    header.put_varint(length);
    sink.splice(start..=start, header);
}

/// A record split off its stream: its kind, its body, and its length in all.
pub(crate) type Unframed<'a> = (u8, &'a [u8], usize);

/// Splits the first record off; `None` while it is not complete.
pub(crate) fn unframe<'a>(what: &'static str, bytes: &'a [u8]) -> Result<Option<Unframed<'a>>, DecodeError> {
    let mut reader = Reader::new(what, bytes);
    let header = reader.u8().and_then(|kind| Ok((kind, reader.count(MAX_RECORD)?)));
    match header.and_then(|(kind, length)| Ok((kind, reader.take(length)?))) {
        Ok((kind, body)) => Ok(Some((kind, body, bytes.len() - reader.rest().len()))),
        Err(DecodeError::Truncated(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn put_entry(sink: &mut Vec<u8>, entry: &Entry) {
    sink.put_varint(entry.id.0);
    sink.put_string(&entry.path);
    let attributes = &entry.attributes;
    let size = match entry.kind {
        EntryKind::File { size, .. } => size,
        _ => None,
    };
    let flags = [
        (attributes.mode.is_some(), HAS_MODE),
        (attributes.modified.is_some(), HAS_MODIFIED),
        (size.is_some(), HAS_SIZE),
    ];
    sink.put_u8(flags.iter().filter(|(set, _)| *set).map(|(_, flag)| flag).sum());
    if let Some(mode) = attributes.mode {
        sink.put_u16(mode);
    }
    if let Some((seconds, nanos)) = attributes.modified {
        sink.put_u64(seconds.cast_unsigned());
        sink.put_u32(nanos);
    }
    match &entry.kind {
        EntryKind::File { size, chunk_log2, identity } => {
            sink.put_u8(KIND_FILE);
            if let Some(size) = size {
                sink.put_varint(*size);
            }
            sink.put_u8(*chunk_log2);
            sink.put(identity);
        }
        EntryKind::Directory => sink.put_u8(KIND_DIRECTORY),
        EntryKind::Symlink { target } => {
            sink.put_u8(KIND_SYMLINK);
            sink.put_string(target);
        }
        EntryKind::Removal => sink.put_u8(KIND_REMOVAL),
    }
}

fn read_entry(reader: &mut Reader<'_>) -> Result<Entry, DecodeError> {
    let id = EntryId(reader.varint()?);
    let path = reader.string(MAX_PATH)?.to_vec();
    let flags = reader.u8()?;
    if flags & !(HAS_MODE | HAS_MODIFIED | HAS_SIZE) != 0 {
        return Err(reader.unknown());
    }
    let mut attributes = Attributes::default();
    if flags & HAS_MODE != 0 {
        let mode = reader.u16()?;
        attributes.mode = Some(if mode <= 0o7777 { mode } else { return Err(reader.range()) });
    }
    if flags & HAS_MODIFIED != 0 {
        let time = (reader.u64()?.cast_signed(), reader.u32()?);
        attributes.modified = Some(if time.1 < 1_000_000_000 { time } else { return Err(reader.range()) });
    }
    let kind = match reader.u8()? {
        KIND_FILE => read_file(reader, flags & HAS_SIZE != 0)?,
        _ if flags & HAS_SIZE != 0 => return Err(reader.range()),
        KIND_DIRECTORY => EntryKind::Directory,
        KIND_SYMLINK => EntryKind::Symlink { target: reader.string(MAX_PATH)?.to_vec() },
        KIND_REMOVAL => EntryKind::Removal,
        _ => return Err(reader.unknown()),
    };
    Ok(Entry { id, kind, path, attributes })
}

fn read_file(reader: &mut Reader<'_>, has_size: bool) -> Result<EntryKind, DecodeError> {
    let size = if has_size { Some(reader.varint()?) } else { None };
    let chunk_log2 = reader.u8()?;
    let chunks = size.unwrap_or(0).checked_shr(chunk_log2.into()).unwrap_or(0);
    if !(MIN_CHUNK_LOG2..=MAX_CHUNK_LOG2).contains(&chunk_log2) || chunks > MAX_CHUNKS {
        return Err(reader.range());
    }
    Ok(EntryKind::File { size, chunk_log2, identity: reader.array()? })
}

fn read_extent(reader: &mut Reader<'_>) -> Result<Extent, DecodeError> {
    let entry = EntryId(reader.varint()?);
    let (file_offset, length) = read_range(reader)?;
    let base = Offset(reader.varint()?);
    if base.0.checked_add(length).is_none() {
        return Err(reader.range());
    }
    Ok(Extent { entry, file_offset, length, base })
}

/// A start and a length of at least 1 whose end does not overflow.
pub(crate) fn read_range(reader: &mut Reader<'_>) -> Result<(u64, u64), DecodeError> {
    let start = reader.varint()?;
    let length = reader.varint()?;
    if length == 0 || start.checked_add(length).is_none() {
        return Err(reader.range());
    }
    Ok((start, length))
}

fn read_digests(reader: &mut Reader<'_>) -> Result<LayoutRecord, DecodeError> {
    let entry = EntryId(reader.varint()?);
    let first_chunk = reader.varint_up_to(MAX_CHUNKS)?;
    let count = reader.count(MAX_DIGESTS)?;
    let digests = (0..count).map(|_| reader.array()).collect::<Result<Vec<_>, _>>()?;
    Ok(LayoutRecord::Digests { entry, first_chunk, digests })
}

fn read_whole(reader: &mut Reader<'_>) -> Result<LayoutRecord, DecodeError> {
    let entry = read_entry(reader)?;
    let base = Offset(reader.varint()?);
    let digest = reader.array()?;
    match entry.kind {
        EntryKind::File { size: Some(size), chunk_log2, .. }
            if size <= 1 << chunk_log2 && base.0.checked_add(size).is_some() =>
        {
            Ok(LayoutRecord::Whole { entry, base, digest })
        }
        _ => Err(reader.range()),
    }
}

fn put_outcome(sink: &mut Vec<u8>, outcome: Outcome) {
    match outcome {
        Outcome::Complete { root: Some(root) } => {
            sink.put_u8(COMPLETE_WITH_ROOT);
            sink.put(&root);
        }
        Outcome::Complete { root: None } => sink.put_u8(COMPLETE),
        Outcome::Failed(code) => {
            sink.put_u8(FAILED);
            sink.put_u16(code.number());
        }
        Outcome::Retaken => sink.put_u8(RETAKEN),
    }
}

fn read_outcome(reader: &mut Reader<'_>) -> Result<Outcome, DecodeError> {
    Ok(match reader.u8()? {
        COMPLETE_WITH_ROOT => Outcome::Complete { root: Some(reader.array()?) },
        COMPLETE => Outcome::Complete { root: None },
        FAILED => Outcome::Failed(Code::from_number(reader.u16()?)),
        RETAKEN => Outcome::Retaken,
        _ => return Err(reader.unknown()),
    })
}

/// Size of a chunk of the content tree, as a power of two, for a file of
/// `size` bytes: the smallest that needs at most [`MAX_CHUNKS`] chunks.
#[must_use]
pub fn chunk_log2_for(size: u64) -> u8 {
    (MIN_CHUNK_LOG2..MAX_CHUNK_LOG2).find(|log2| size >> log2 < MAX_CHUNKS).unwrap_or(MAX_CHUNK_LOG2)
}

#[cfg(test)]
mod tests;
