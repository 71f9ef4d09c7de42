//! How a staged file becomes the one that others see, and what has reached
//! stable storage by then.

#[cfg(doc)]
use super::Store;
use super::WriteFile;
use crate::path::StorePath;

/// What has reached stable storage when a file appears under its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Durability {
    /// Nothing is synced. After a crash of the machine a published file may
    /// be missing, or hold anything.
    None,
    /// The file's data and metadata are synced before its name appears: after
    /// a crash the name shows the whole file or what was there before, never
    /// a part. The name itself may be lost until the caller syncs the
    /// directory, which it does once for many files.
    #[default]
    File,
    /// As `File`, and the directories of both names are synced before
    /// [`Store::publish`] returns: the file is then there for good, if the
    /// directories above it are (see [`Store::make_directory`]).
    Strict,
}

/// What publishing does with a file that already has the destination's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overwrite {
    /// It is replaced in one step: at any moment the name shows one or the
    /// other. A directory is never replaced.
    Replace,
    /// It stays, and publishing fails with
    /// [`AlreadyExists`](crate::ErrorKind::AlreadyExists). Of several that
    /// try at once exactly one succeeds.
    MustNotExist,
}

/// How a staged file is given its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publish {
    /// What happens to a file of that name.
    pub overwrite: Overwrite,
    /// What is synced, and when.
    pub durability: Durability,
}

/// What is about to be published.
#[derive(Debug, Clone, Copy)]
pub enum Staged<'a> {
    /// A file, and an open handle to it: its final attributes may forbid
    /// opening it again only to sync it.
    File {
        /// Where it lies now.
        path: &'a StorePath,
        /// A handle from [`Store::create`] or [`Store::reopen`] of that path.
        file: &'a dyn WriteFile,
    },
    /// A symbolic link, which has nothing to sync but its name.
    Link {
        /// Where it lies now.
        path: &'a StorePath,
    },
}

impl<'a> Staged<'a> {
    /// Where it lies now.
    #[must_use]
    pub fn path(&self) -> &'a StorePath {
        match self {
            Self::File { path, .. } | Self::Link { path } => path,
        }
    }

    /// The open file, if it is one.
    #[must_use]
    pub fn file(&self) -> Option<&'a dyn WriteFile> {
        match self {
            Self::File { file, .. } => Some(*file),
            Self::Link { .. } => None,
        }
    }
}
