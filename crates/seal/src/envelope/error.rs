//! What can be wrong with an envelope, or with what is to open it.

use std::io;

use limosa_wire::codec::DecodeError;

use super::layout::SegmentNumber;
use crate::NotAllowed;
use crate::password::PasswordError;

/// Why an envelope cannot be made, read or changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// It does not begin as an envelope does.
    #[error("not an envelope")]
    NotAnEnvelope,
    /// Made by a version that is to come.
    #[error("an envelope of version {0}, which this software does not know")]
    Version(u8),
    /// A field of the header holds what it may not.
    #[error("the header is not valid: {0}")]
    Malformed(#[from] DecodeError),
    /// Neither copy of the slot table is what was written.
    #[error("both copies of the header's slot table are damaged")]
    HeaderDamaged,
    /// The header was changed by somebody without the file key, or is not the
    /// one that its slots were made for.
    #[error("the header is not authentic")]
    HeaderNotAuthentic,
    /// The header asks for an algorithm outside the set in force.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// A slot asks for more memory or time than a machine can be asked for.
    #[error("a passphrase slot asks for too much memory or time")]
    TooCostly,
    /// It was begun by an earlier session that had other things in mind.
    #[error("for other keys, with another cipher, or of another state of the file; `--resume off` begins anew")]
    BegunOtherwise,
    /// No slot is for any of the keys at hand.
    #[error("no slot is for any of the given keys")]
    NoSlot,
    /// There are passphrase slots, and the passphrase is for none of them.
    #[error("wrong passphrase")]
    WrongPassphrase,
    /// A slot names this key, and this key does not open it.
    #[error("the slot for this key cannot be opened by it")]
    SlotNotAuthentic,
    /// The passphrase cannot be one.
    #[error(transparent)]
    Passphrase(#[from] PasswordError),
    /// The header has no room for another slot.
    #[error("the header has no room for another slot")]
    NoRoom,
    /// The last slot cannot be taken away: nobody could open the file.
    #[error("a file must keep at least one slot")]
    LastSlot,
    /// The file ends early: inside a segment, or before the final one.
    #[error("the file is cut short")]
    Truncated,
    /// A segment is not what was written there, or the final one is not the
    /// last.
    #[error("segment {} is not authentic", .0.0)]
    SegmentNotAuthentic(SegmentNumber),
    /// More bytes than an envelope holds.
    #[error("too long for an envelope")]
    TooLong,
    /// Not a key file of the kind that is expected.
    #[error("not a {0}")]
    NotAKey(&'static str),
}

/// Why a stream of segments cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// What lies below failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The envelope is not what it should be.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
}

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Io(error) => error,
            StreamError::Envelope(error) => Self::new(io::ErrorKind::InvalidData, error),
        }
    }
}
