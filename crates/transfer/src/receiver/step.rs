//! What follows for an entry from something that happened to it.

use crate::failure::Failure;

/// What follows for an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It goes on.
    Going,
    /// It stands under its name.
    Settled {
        /// Its size, if it is a file.
        bytes: u64,
    },
    /// It was there already.
    Skipped,
    /// It is not taken.
    Refused(Failure),
    /// It failed after it was taken.
    Failed(Failure),
}
