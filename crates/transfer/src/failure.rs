//! What went wrong with one entry, as a numbered code and a text for people.

use limosa_storage::{ErrorKind, Operation, StorageError};
use limosa_wire::Code;

/// Why an entry failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The code by which it is known.
    pub code: Code,
    /// More about it, for people; may be empty.
    pub detail: String,
}

impl Failure {
    /// A failure about which the code says everything.
    #[must_use]
    pub fn new(code: Code) -> Self {
        Self { code, detail: String::new() }
    }

    /// A failure and more about it.
    #[must_use]
    pub fn because(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

impl From<&StorageError> for Failure {
    fn from(error: &StorageError) -> Self {
        Self::because(code_of(error), error.to_string())
    }
}

/// The code for a failure of a store.
#[must_use]
pub fn code_of(error: &StorageError) -> Code {
    match error.kind() {
        ErrorKind::NotFound if error.operation() == Operation::List => Code::DIRECTORY_NOT_FOUND,
        ErrorKind::NotFound => Code::NOT_FOUND,
        ErrorKind::AlreadyExists | ErrorKind::NotEmpty => Code::ALREADY_EXISTS,
        ErrorKind::PermissionDenied => Code::PERMISSION_DENIED,
        ErrorKind::NoSpace => Code::NO_SPACE,
        ErrorKind::ReadOnly => Code::READ_ONLY,
        ErrorKind::NotADirectory => Code::NOT_A_DIRECTORY,
        ErrorKind::IsADirectory => Code::IS_A_DIRECTORY,
        ErrorKind::Escapes => Code::OUTSIDE_ROOT,
        ErrorKind::TooLong => Code::NAME_TOO_LONG,
        ErrorKind::InvalidName => Code::BAD_NAME,
        ErrorKind::TooLarge => Code::TOO_LARGE,
        ErrorKind::Locked => Code::IN_USE,
        ErrorKind::Loop => Code::LINK_LOOP,
        ErrorKind::TooManyOpen => Code::RESOURCES,
        ErrorKind::KeyMissing => Code::AT_REST_KEY,
        ErrorKind::Damaged => Code::ENVELOPE_DAMAGED,
        ErrorKind::WrongPassphrase => Code::FILE_PASSPHRASE,
        ErrorKind::NoFittingKey => Code::FILE_KEY_UNFIT,
        ErrorKind::BegunOtherwise => Code::BEGUN_OTHERWISE,
        ErrorKind::Unprotected => Code::CONTENT_PROTECTION_REQUIRED,
        ErrorKind::LaterEnvelope => Code::ENVELOPE_VERSION,
        // `Io`, `Unsupported`, `CrossesDevices`, and kinds to come.
        _ if reads(error.operation()) => Code::READ_FAILED,
        _ => Code::WRITE_FAILED,
    }
}

/// Whether an operation only looks.
fn reads(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::OpenStore
            | Operation::Metadata
            | Operation::List
            | Operation::Open
            | Operation::Read
            | Operation::FindData
            | Operation::ReadLink
            | Operation::Space
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use limosa_storage::StorePath;

    #[test]
    fn a_failing_disk_is_told_by_what_was_tried() {
        let path = StorePath::root();
        let code = |operation| code_of(&StorageError::new(ErrorKind::Io, operation, &path));
        assert_eq!(code(Operation::Read), Code::READ_FAILED);
        assert_eq!(code(Operation::Sync), Code::WRITE_FAILED);
    }
}
