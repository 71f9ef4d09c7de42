//! What ends a receiving session as a whole. Failures of single entries are
//! verdicts, and the others go on.

use limosa_storage::{ErrorKind, PathError, StorageError};
use limosa_wire::Code;
use limosa_wire::codec::DecodeError;
use limosa_wire::setup::ResumeLevel;
use thiserror::Error;

/// A failure of the whole session.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReceiverError {
    /// The bytes of the layout stream are no record.
    #[error("the layout cannot be read: {0}")]
    Undecodable(#[from] DecodeError),
    /// A record breaks a rule of the layout.
    #[error("the layout breaks a rule: {0}")]
    Violation(&'static str),
    /// The end of the layout speaks of another tree than was announced.
    #[error("the announced tree differs from what its end says: {0}")]
    LayoutMismatch(&'static str),
    /// The other end announces more than this one keeps in memory.
    #[error("the other end announces more than may be unsettled at a time")]
    TooMuchAnnounced,
    /// This version does not compare content before it continues a file.
    #[error("resume level {} is not available yet", .0.number())]
    ResumeLevel(ResumeLevel),
}

impl ReceiverError {
    /// The code by which the session ends.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Undecodable(_) | Self::Violation(_) => Code::PROTOCOL,
            Self::LayoutMismatch(_) => Code::LAYOUT_MISMATCH,
            Self::TooMuchAnnounced => Code::RESOURCES,
            Self::ResumeLevel(_) => Code::USAGE,
        }
    }
}

/// Whether nobody is to go on with a file that failed so: no key at hand opens
/// it.
pub(super) fn is_misfit(error: &StorageError) -> bool {
    matches!(error.kind(), ErrorKind::WrongPassphrase | ErrorKind::NoFittingKey)
}

/// The code of a path that is none.
#[must_use]
pub fn code_of_path(error: PathError) -> Code {
    match error {
        PathError::Absolute | PathError::DotComponent => Code::OUTSIDE_ROOT,
        PathError::NameTooLong | PathError::PathTooLong => Code::NAME_TOO_LONG,
        _ => Code::BAD_NAME,
    }
}
