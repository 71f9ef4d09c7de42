//! The verdict stream, from the receiving to the sending side: what it wants
//! of each entry, and what became of it.
//!
//! Into a destination known to be fresh, data follows its announcement without
//! waiting; elsewhere the bytes of a file wait for its verdict.

use crate::codec::{DecodeError, Reader, Sink};
use crate::front::Front;
use crate::layout::{MAX_CHUNKS, framed, read_range, unframe};
use crate::{Code, EntryId};

/// Most stretches of missing chunks in one [`VerdictRecord::Resume`]; a
/// receiver with more holes than that lets small ones be sent again.
pub const MAX_MISSING: usize = 1024;
/// Longest detail of a failure, bytes.
pub const MAX_DETAIL: usize = 512;

/// One record of the verdict stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerdictRecord {
    /// Send these entries whole.
    Take {
        /// First of them.
        first: EntryId,
        /// How many; at least 1.
        count: u64,
    },
    /// These are there already.
    Skip {
        /// First of them.
        first: EntryId,
        /// How many; at least 1.
        count: u64,
    },
    /// Only these chunks of the file are missing.
    Resume {
        /// The file.
        entry: EntryId,
        /// Stretches of missing chunks: first and count, ascending.
        missing: Vec<(u64, u64)>,
        /// The first bytes of what is held, where the request says that the
        /// content is protected: what goes on must be sealed as those were.
        front: Option<Front>,
    },
    /// The entry cannot be taken; send nothing of it.
    Refuse {
        /// The entry.
        entry: EntryId,
        /// Why.
        code: Code,
        /// More about it, for people.
        detail: String,
    },
    /// A chunk was wrong after it was written: send this range of the file
    /// once more.
    Again {
        /// The file.
        entry: EntryId,
        /// First byte within the file.
        file_offset: u64,
        /// How many bytes; at least 1.
        length: u64,
    },
    /// These entries are complete under their names (as durable as was asked).
    Settled {
        /// First of them.
        first: EntryId,
        /// How many; at least 1.
        count: u64,
    },
    /// The entry failed after it was taken; nothing stands under its name.
    Failed {
        /// The entry.
        entry: EntryId,
        /// Why.
        code: Code,
        /// More about it, for people.
        detail: String,
    },
    /// The layout was complete and every entry is settled, skipped or failed.
    Complete {
        /// Entries under their names, skipped ones included.
        settled: u64,
        /// Entries refused or failed.
        failed: u64,
    },
}

const TAKE: u8 = 0x01;
const SKIP: u8 = 0x02;
const RESUME: u8 = 0x03;
const REFUSE: u8 = 0x04;
const AGAIN: u8 = 0x05;
const SETTLED: u8 = 0x06;
const FAILED: u8 = 0x07;
const COMPLETE: u8 = 0x08;
const RESUME_WITH_FRONT: u8 = 0x09;

impl VerdictRecord {
    /// Appends the record.
    pub fn encode(&self, sink: &mut Vec<u8>) {
        match self {
            Self::Take { first, count } => put_span(sink, TAKE, *first, *count),
            Self::Skip { first, count } => put_span(sink, SKIP, *first, *count),
            Self::Settled { first, count } => put_span(sink, SETTLED, *first, *count),
            Self::Resume { entry, missing, front: None } => {
                framed(sink, RESUME, |body| put_missing(body, *entry, missing));
            }
            Self::Resume { entry, missing, front: Some(front) } => framed(sink, RESUME_WITH_FRONT, |body| {
                put_missing(body, *entry, missing);
                front.put(body);
            }),
            Self::Refuse { entry, code, detail } => put_failure(sink, REFUSE, *entry, *code, detail),
            Self::Failed { entry, code, detail } => put_failure(sink, FAILED, *entry, *code, detail),
            Self::Again { entry, file_offset, length } => framed(sink, AGAIN, |body| {
                body.put_varint(entry.0);
                body.put_varint(*file_offset);
                body.put_varint(*length);
            }),
            Self::Complete { settled, failed } => framed(sink, COMPLETE, |body| {
                body.put_varint(*settled);
                body.put_varint(*failed);
            }),
        }
    }

    /// Reads the first record of `bytes` and says how many bytes it took;
    /// `None` while it is not complete.
    ///
    /// # Errors
    /// If the bytes are no record.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, DecodeError> {
        let Some((kind, body, used)) = unframe("verdict", bytes)? else { return Ok(None) };
        let mut reader = Reader::new("verdict", body);
        let record = match kind {
            TAKE => read_span(&mut reader).map(|(first, count)| Self::Take { first, count })?,
            SKIP => read_span(&mut reader).map(|(first, count)| Self::Skip { first, count })?,
            SETTLED => read_span(&mut reader).map(|(first, count)| Self::Settled { first, count })?,
            RESUME => {
                let (entry, missing) = read_missing(&mut reader)?;
                Self::Resume { entry, missing, front: None }
            }
            RESUME_WITH_FRONT => {
                let (entry, missing) = read_missing(&mut reader)?;
                Self::Resume { entry, missing, front: Some(Front::read(&mut reader)?) }
            }
            REFUSE => read_failure(&mut reader).map(|(entry, code, detail)| Self::Refuse { entry, code, detail })?,
            FAILED => read_failure(&mut reader).map(|(entry, code, detail)| Self::Failed { entry, code, detail })?,
            AGAIN => {
                let entry = EntryId(reader.varint()?);
                let (file_offset, length) = read_range(&mut reader)?;
                Self::Again { entry, file_offset, length }
            }
            COMPLETE => Self::Complete { settled: reader.varint()?, failed: reader.varint()? },
            _ => return Err(reader.unknown()),
        };
        reader.end()?;
        Ok(Some((record, used)))
    }
}

fn put_span(sink: &mut Vec<u8>, kind: u8, first: EntryId, count: u64) {
    framed(sink, kind, |body| {
        body.put_varint(first.0);
        body.put_varint(count);
    });
}

fn read_span(reader: &mut Reader<'_>) -> Result<(EntryId, u64), DecodeError> {
    read_range(reader).map(|(first, count)| (EntryId(first), count))
}

fn put_failure(sink: &mut Vec<u8>, kind: u8, entry: EntryId, code: Code, detail: &str) {
    let mut end = detail.len().min(MAX_DETAIL);
    while !detail.is_char_boundary(end) {
        end -= 1;
    }
    framed(sink, kind, |body| {
        body.put_varint(entry.0);
        body.put_u16(code.number());
        body.put_string(&detail.as_bytes()[..end]);
    });
}

fn read_failure(reader: &mut Reader<'_>) -> Result<(EntryId, Code, String), DecodeError> {
    let entry = EntryId(reader.varint()?);
    let code = Code::from_number(reader.u16()?);
    Ok((entry, code, reader.text(MAX_DETAIL)?.to_owned()))
}

fn put_missing(sink: &mut Vec<u8>, entry: EntryId, missing: &[(u64, u64)]) {
    sink.put_varint(entry.0);
    sink.put_varint(missing.len() as u64);
    for (first, count) in missing {
        sink.put_varint(*first);
        sink.put_varint(*count);
    }
}

/// An entry and stretches of its chunks.
type Missing = (EntryId, Vec<(u64, u64)>);

fn read_missing(reader: &mut Reader<'_>) -> Result<Missing, DecodeError> {
    let entry = EntryId(reader.varint()?);
    let count = reader.count(MAX_MISSING)?;
    let mut missing = Vec::with_capacity(count);
    let mut end = 0;
    for _ in 0..count {
        let (first, chunks) = read_range(reader)?;
        if first < end || first + chunks > MAX_CHUNKS {
            return Err(reader.range());
        }
        end = first + chunks;
        missing.push((first, chunks));
    }
    Ok((entry, missing))
}

#[cfg(test)]
mod tests;
