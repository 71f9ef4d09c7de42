//! Encryption by the client: what it sends is sealed as it is read, and what
//! it fetches is opened before it gets its name.
//!
//! ```text
//! sending    files ── ProtectingStore: names + suffix, sealed lengths ──► engine
//! fetching   engine ──► UnprotectingStore: content and heads ──► files
//! ```
//!
//! Both wrap the client's own store and follow `docs/ENVELOPE.md`; the engines
//! and the other end see sealed files alone. A sealed file is made up while it
//! is read: as long as it stays open the same bytes give the same again, as far
//! as what was read of it is remembered; opened anew they give others.
//!
//! Reading order: [`Suffix`] for names; [`ProtectionKeys`] for whom files are
//! sealed; `sealed` for one file while it is sealed, and `sent` for what is
//! remembered of it; [`ProtectingStore`] and
//! [`UnprotectingStore`] for trees of them.

mod keys;
mod opening;
mod sealed;
mod sending;
mod sent;
mod suffix;
#[cfg(test)]
mod tests;

pub use keys::ProtectionKeys;
pub use opening::{BESIDE_STAGED, Misfit, STAGED_PREFIX, UnprotectingStore};
pub use sending::ProtectingStore;
pub use suffix::Suffix;

use limosa_seal::AlgorithmSet;
use limosa_seal::envelope::{EnvelopeError, Header};

use crate::contract::ReadFile;
use crate::error::{ErrorKind, Operation, Result, StorageError};
use crate::path::StorePath;

/// Sealed files of up to this length are sent whole, never in parts. It is the
/// smallest chunk of a transfer.
const CHUNK: u64 = 1 << 20;
/// Longest header of an envelope, bytes.
const LONGEST_HEADER: usize = 64 * 1024;

/// The header of a file; `None` if it is no envelope.
fn header_of(file: &dyn ReadFile, path: &StorePath, set: AlgorithmSet) -> Result<Option<Header>> {
    let mut bytes = vec![0; 16];
    let read = file.read_at(0, &mut bytes)?;
    match Header::length(&bytes[..read]) {
        Err(EnvelopeError::NotAnEnvelope) => return Ok(None),
        // What cannot be told from so little is told below.
        _ => bytes.resize(LONGEST_HEADER, 0),
    }
    let read = file.read_at(0, &mut bytes)?;
    Header::decode(&bytes[..read], set).map(Some).map_err(|error| unopened(path, error))
}

/// What an envelope's fault means to who reads the file.
fn unopened(path: &StorePath, error: EnvelopeError) -> StorageError {
    let kind = match &error {
        EnvelopeError::WrongPassphrase => ErrorKind::WrongPassphrase,
        EnvelopeError::NoSlot | EnvelopeError::SlotNotAuthentic | EnvelopeError::NotAllowed(_) => {
            ErrorKind::NoFittingKey
        }
        EnvelopeError::Version(_) => ErrorKind::LaterEnvelope,
        EnvelopeError::BegunOtherwise => ErrorKind::BegunOtherwise,
        EnvelopeError::Passphrase(_) => ErrorKind::Io,
        _ => ErrorKind::Damaged,
    };
    StorageError::new(kind, Operation::Open, path).because(std::io::Error::other(error))
}
