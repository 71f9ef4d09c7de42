//! Which files this store has sealed, and how long their content is.
//!
//! An envelope that a client made is content like any other, whoever's key it
//! needs. So it is not the magic alone that tells: the preamble of a file sealed
//! here has a context of its own, which the header's MAC makes authentic.

use std::io;

use limosa_seal::AlgorithmSet;
use limosa_seal::envelope::{EnvelopeError, HEAD, Header, Layout, MAGIC, PREAMBLE, Plain, Preamble, Sealed};

use crate::contract::ReadFile;
use crate::error::{ErrorKind, Operation, Result, StorageError};
use crate::path::StorePath;

/// The context of every file that a [`SealedStore`](super::SealedStore) seals.
pub const CONTEXT: [u8; 16] = *b"limosa at rest 1";

/// No envelope is shorter: the least header and an empty segment.
pub(super) const SHORTEST: u64 = 1024 + HEAD as u64;

/// Whether a file that begins so was sealed by this store, in whatever version.
pub(super) fn is_ours(start: &[u8; PREAMBLE]) -> bool {
    start.starts_with(&MAGIC) && start.ends_with(&CONTEXT)
}

/// The first bytes of a file, if they are those of one that was sealed here.
pub(super) fn sealed_start(file: &dyn ReadFile, length: u64) -> Result<Option<[u8; PREAMBLE]>> {
    if length < SHORTEST {
        return Ok(None);
    }
    let mut start = [0; PREAMBLE];
    let read = file.read_at(0, &mut start)?;
    Ok((read == PREAMBLE && is_ours(&start)).then_some(start))
}

/// How long the content is of a file that begins so and is `length` bytes long:
/// what whole segments hold where the file was cut elsewhere. Known without a
/// key, and so not proven.
pub(super) fn content_length(start: &[u8], length: u64, set: AlgorithmSet) -> std::result::Result<u64, EnvelopeError> {
    Ok(within(Preamble::decode(start, set)?.layout, length))
}

/// As [`content_length`], the layout being known.
pub(super) fn within(layout: Layout, length: u64) -> u64 {
    let rest = || {
        let stored = (layout.segment() + HEAD) as u64;
        length.saturating_sub(layout.header() as u64) / stored * layout.segment() as u64
    };
    layout.plain_len(Sealed(length)).map_or_else(rest, |Plain(content)| content)
}

/// The header of a file that was sealed here.
pub(super) fn header(
    file: &dyn ReadFile,
    set: AlgorithmSet,
    fail: impl Fn(EnvelopeError) -> StorageError,
) -> Result<Header> {
    let mut bytes = vec![0; PREAMBLE];
    read_exactly(file, 0, &mut bytes, &fail)?;
    let length = Header::length(&bytes).map_err(&fail)?;
    bytes.resize(length, 0);
    read_exactly(file, 0, &mut bytes, &fail)?;
    Header::decode(&bytes, set).map_err(&fail)
}

/// Reads all of `buffer`; what ends before was cut short.
pub(super) fn read_exactly(
    file: &dyn ReadFile,
    offset: u64,
    buffer: &mut [u8],
    fail: impl Fn(EnvelopeError) -> StorageError,
) -> Result<()> {
    if file.read_at(offset, buffer)? == buffer.len() { Ok(()) } else { Err(fail(EnvelopeError::Truncated)) }
}

/// What a fault of an envelope means to who uses the store.
pub(super) fn failure(error: EnvelopeError, operation: Operation, path: &StorePath) -> StorageError {
    let kind = match error {
        EnvelopeError::NoSlot | EnvelopeError::SlotNotAuthentic => ErrorKind::KeyMissing,
        EnvelopeError::TooLong => ErrorKind::TooLarge,
        EnvelopeError::Version(_) | EnvelopeError::NotAllowed(_) => ErrorKind::Unsupported,
        _ => ErrorKind::Damaged,
    };
    StorageError::new(kind, operation, path).because(io::Error::other(error))
}
