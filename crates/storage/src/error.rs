//! Failures of a store, by their meaning.
//!
//! Every error says what was tried and where, so that a message needs nothing
//! else; its [`ErrorKind`] is what code decides by. Errors hold paths and
//! causes, never content, keys or credentials.

use std::fmt;
use std::io;
use std::sync::Arc;

use thiserror::Error;

use crate::path::StorePath;

/// The result of an operation of a store.
pub type Result<T> = std::result::Result<T, StorageError>;

/// What a failure means to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Nothing has this name, or a directory on the way to it is missing.
    NotFound,
    /// The name is taken and the operation must not replace it.
    AlreadyExists,
    /// The rights of this process do not suffice.
    PermissionDenied,
    /// The device is full, or a quota is used up.
    NoSpace,
    /// The store, or the file system below it, is read-only.
    ReadOnly,
    /// A directory was needed and something else is there.
    NotADirectory,
    /// A file was needed and a directory is there.
    IsADirectory,
    /// The directory to be removed still has entries.
    NotEmpty,
    /// The path leads out of the store's root, by a symbolic link.
    Escapes,
    /// The name or the path is longer than the store can hold.
    TooLong,
    /// The store cannot hold such a name.
    InvalidName,
    /// The file would be, or is, larger than the store or the caller allows.
    TooLarge,
    /// Somebody else holds the lock.
    Locked,
    /// Too many symbolic links, or a link where the store follows none.
    Loop,
    /// The two names of a rename lie on different file systems.
    CrossesDevices,
    /// This process, or the machine, has no file handles left. May pass.
    TooManyOpen,
    /// The store, or this kind of file, cannot do that.
    Unsupported,
    /// The file is sealed by a key that is not at hand, or not the one that has
    /// its name here.
    KeyMissing,
    /// The sealed file is damaged, cut short, or was changed.
    Damaged,
    /// The passphrase is not the one that the file was encrypted for.
    WrongPassphrase,
    /// None of the keys at hand opens the encrypted file.
    NoFittingKey,
    /// What there is of the encrypted file was begun otherwise: for other keys,
    /// with another cipher, or of another file.
    BegunOtherwise,
    /// The file is not encrypted, and must be.
    Unprotected,
    /// The file was encrypted by a version that is to come.
    LaterEnvelope,
    /// Anything else; the cause says what.
    Io,
}

impl ErrorKind {
    /// The meaning in words, as it ends a message.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "no such file or directory",
            Self::AlreadyExists => "it exists already",
            Self::PermissionDenied => "permission denied",
            Self::NoSpace => "no space left",
            Self::ReadOnly => "the file system is read-only",
            Self::NotADirectory => "not a directory",
            Self::IsADirectory => "it is a directory",
            Self::NotEmpty => "the directory is not empty",
            Self::Escapes => "the path leads out of the permitted directory",
            Self::TooLong => "the name is too long",
            Self::InvalidName => "the file system cannot hold this name",
            Self::TooLarge => "the file is too large",
            Self::Locked => "it is in use by another session",
            Self::Loop => "too many symbolic links, or a link where none is followed",
            Self::CrossesDevices => "the names are on different file systems",
            Self::TooManyOpen => "too many open files",
            Self::Unsupported => "not supported here",
            Self::KeyMissing => "it is sealed by a master key that is not at hand",
            Self::Damaged => "the sealed file is damaged, cut short or was changed",
            Self::WrongPassphrase => "wrong passphrase",
            Self::NoFittingKey => "none of the given keys opens it",
            Self::BegunOtherwise => "it was begun otherwise",
            Self::Unprotected => "it is not encrypted",
            Self::LaterEnvelope => "it was encrypted by a newer version",
            Self::Io => "input/output error",
        }
    }

    /// The meaning of an error of the operating system.
    ///
    /// Where the same number means different things to different calls, the
    /// caller decides first: `EXDEV` is taken as
    /// [`CrossesDevices`](Self::CrossesDevices) here, and `EAGAIN` as
    /// [`Io`](Self::Io).
    #[must_use]
    pub fn of(error: &io::Error) -> Self {
        use rustix::io::Errno;
        let Some(errno) = Errno::from_io_error(error) else {
            return Self::of_std(error.kind());
        };
        match errno {
            Errno::NOENT => Self::NotFound,
            Errno::EXIST => Self::AlreadyExists,
            Errno::PERM | Errno::ACCESS => Self::PermissionDenied,
            Errno::NOSPC | Errno::DQUOT => Self::NoSpace,
            Errno::ROFS => Self::ReadOnly,
            Errno::NOTDIR => Self::NotADirectory,
            Errno::ISDIR => Self::IsADirectory,
            Errno::NOTEMPTY => Self::NotEmpty,
            Errno::NAMETOOLONG => Self::TooLong,
            Errno::ILSEQ => Self::InvalidName,
            Errno::FBIG => Self::TooLarge,
            Errno::LOOP => Self::Loop,
            Errno::XDEV => Self::CrossesDevices,
            Errno::MFILE | Errno::NFILE => Self::TooManyOpen,
            Errno::OPNOTSUPP | Errno::NOSYS => Self::Unsupported,
            _ => Self::Io,
        }
    }

    fn of_std(kind: io::ErrorKind) -> Self {
        match kind {
            io::ErrorKind::NotFound => Self::NotFound,
            io::ErrorKind::AlreadyExists => Self::AlreadyExists,
            io::ErrorKind::PermissionDenied => Self::PermissionDenied,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace,
            io::ErrorKind::Unsupported => Self::Unsupported,
            _ => Self::Io,
        }
    }
}

/// What was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Opening the store itself.
    OpenStore,
    /// Asking for metadata.
    Metadata,
    /// Listing a directory.
    List,
    /// Opening a file to read it.
    Open,
    /// Creating a file, or opening one to write it.
    Create,
    /// Reading from a file.
    Read,
    /// Finding the data and holes of a file.
    FindData,
    /// Writing to a file.
    Write,
    /// Setting the length of a file.
    Truncate,
    /// Reserving space for a file.
    Preallocate,
    /// Bringing a file or a directory to stable storage.
    Sync,
    /// Making a directory.
    MakeDirectory,
    /// Making a symbolic link.
    MakeLink,
    /// Reading a symbolic link.
    ReadLink,
    /// Giving a staged file its name.
    Publish,
    /// Setting attributes.
    SetAttributes,
    /// Removing a file, a link or a directory.
    Remove,
    /// Locking a file.
    Lock,
    /// Asking for the space left.
    Space,
}

impl Operation {
    /// What was tried, as it follows "cannot".
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenStore => "open the directory",
            Self::Metadata => "look at",
            Self::List => "list",
            Self::Open => "open",
            Self::Create => "create",
            Self::Read => "read",
            Self::FindData => "find the data of",
            Self::Write => "write",
            Self::Truncate => "set the length of",
            Self::Preallocate => "reserve space for",
            Self::Sync => "sync",
            Self::MakeDirectory => "make the directory",
            Self::MakeLink => "make the link",
            Self::ReadLink => "read the link",
            Self::Publish => "publish",
            Self::SetAttributes => "set the attributes of",
            Self::Remove => "remove",
            Self::Lock => "lock",
            Self::Space => "find the space left at",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failed operation: what it means, what was tried, on which path, and the
/// cause where there is one.
#[derive(Debug, Clone, Error)]
#[error("cannot {operation} {path}: {}", self.reason())]
pub struct StorageError {
    kind: ErrorKind,
    operation: Operation,
    path: StorePath,
    #[source]
    source: Option<Arc<io::Error>>,
}

impl StorageError {
    /// A failure without a cause from below.
    #[must_use]
    pub fn new(kind: ErrorKind, operation: Operation, path: &StorePath) -> Self {
        Self { kind, operation, path: path.clone(), source: None }
    }

    /// A failure whose meaning is that of `source`.
    #[must_use]
    pub fn from_io(operation: Operation, path: &StorePath, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        Self::new(ErrorKind::of(&source), operation, path).because(source)
    }

    /// Adds the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<io::Error>) -> Self {
        self.source = Some(Arc::new(source.into()));
        self
    }

    /// What the failure means.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What was tried.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// Where it was tried.
    #[must_use]
    pub fn path(&self) -> &StorePath {
        &self.path
    }

    /// The end of the message: the meaning, or the cause where the meaning
    /// says too little.
    fn reason(&self) -> String {
        match (self.kind, &self.source) {
            (ErrorKind::Io, Some(source)) => source.to_string(),
            (kind @ (ErrorKind::KeyMissing | ErrorKind::Damaged), Some(source)) => {
                format!("{} ({source})", kind.as_str())
            }
            (kind, _) => kind.as_str().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_say_what_where_and_why() {
        let path = StorePath::parse(b"in/\x1b").expect("a path");
        let error = StorageError::from_io(Operation::Write, &path, io::Error::from_raw_os_error(28));
        assert_eq!(error.kind(), ErrorKind::NoSpace);
        assert_eq!(error.to_string(), "cannot write in/\\u{1b}: no space left");
        let other = StorageError::from_io(Operation::Read, &path, io::Error::other("bad sector"));
        assert_eq!(other.to_string(), "cannot read in/\\u{1b}: bad sector");
    }
}
