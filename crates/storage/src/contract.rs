//! The storage contract.
//!
//! [`Store`] is a tree of files below one root. Its operations are narrow,
//! blocking and safe to call from several threads at once. No trait has
//! provided methods, so that a wrapper cannot forget to pass one on; what can
//! be built from the rest is a function of this module.
//!
//! # Confinement
//! A path is relative to the store's root and never leaves it: a store that
//! is confined answers [`Escapes`](crate::ErrorKind::Escapes) for a symbolic
//! link that leads out, whenever and by whomever it was made.
//!
//! # Symbolic links
//! Links in the middle of a path are followed as far as the store's own
//! policy allows. The last component is followed only where an operation
//! takes [`FollowLinks`]; all others mean the link itself.
//!
//! # Durability
//! Nothing is promised to survive a crash of the machine before it was
//! synced: neither bytes written, nor lengths, nor names made, changed or
//! removed. [`WriteFile::sync_data`], [`WriteFile::sync_all`],
//! [`AppendFile::sync_data`], [`Store::sync_files`], [`Store::sync_directory`],
//! [`Store::sync_directories`] and [`Store::publish`] with a [`Durability`] make the promises.

use std::fmt::Debug;
use std::sync::Arc;

#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::Result;
use crate::metadata::{Attributes, Kind, Metadata};
use crate::path::{Name, StorePath};

mod compose;
mod file;
mod publish;

pub use compose::{make_directories, read_whole};
pub use file::{AppendFile, ReadFile, WriteFile};
pub use publish::{Durability, Overwrite, Publish, Staged};

/// Whether an operation means a symbolic link or what it points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowLinks {
    /// What the link points to, as far as the store's policy allows.
    Yes,
    /// The link itself.
    No,
}

/// A place in a listing, to go on from. Its content means something only to
/// the store that made it, for the same directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(Box<[u8]>);

impl Cursor {
    /// Wraps the bytes by which a store will find the place again.
    #[must_use]
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes the store gave.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// Its name.
    pub name: Name,
    /// What it is (links are not followed); `None` where the store would have
    /// to look and [`Store::metadata`] must be asked.
    pub kind: Option<Kind>,
}

/// A part of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Entries, in no particular order. May be empty before the end.
    pub entries: Vec<DirectoryEntry>,
    /// Where the next page starts; `None` after the last one.
    pub next: Option<Cursor>,
}

/// Space of the file system behind a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes in all.
    pub total: u64,
    /// Bytes this process may still use.
    pub available: u64,
}

/// What a store can do at all. Asking for what it cannot do gives
/// [`Unsupported`](crate::ErrorKind::Unsupported).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Files may have holes that take no space, and
    /// [`ReadFile::next_data`] finds them.
    pub sparse: bool,
    /// Symbolic links can be made.
    pub symlinks: bool,
    /// [`Overwrite::MustNotExist`] is honoured atomically.
    pub exclusive_publish: bool,
    /// [`Store::lock`] excludes other processes.
    pub locks: bool,
    /// Mode and time can be set and are kept.
    pub attributes: bool,
    /// The strongest durability that is honoured. Stronger wishes are
    /// accepted and do no more than this.
    pub durability: Durability,
}

/// Keeps a file locked until it is dropped.
///
/// The lock belongs to the file, not to its name: it goes with the file when
/// that is published under another name, over another file too. The guard
/// for a file that was replaced or removed keeps nobody out any more.
#[must_use = "the lock is released when the guard is dropped"]
#[derive(Debug)]
pub struct LockGuard {
    _held: Box<dyn Held>,
}

/// Anything that may sit in a guard.
trait Held: Debug + Send + Sync {}
impl<T: Debug + Send + Sync> Held for T {}

impl LockGuard {
    /// A guard that drops `held` to release the lock.
    pub fn new(held: impl Debug + Send + Sync + 'static) -> Self {
        Self { _held: Box::new(held) }
    }
}

/// A tree of files below one root.
///
/// Unless said otherwise a missing directory on the way gives
/// [`NotFound`](ErrorKind::NotFound), a file in its place
/// [`NotADirectory`](ErrorKind::NotADirectory).
pub trait Store: Debug + Send + Sync {
    /// What this store can do.
    fn capabilities(&self) -> Capabilities;

    /// What is known of `path`.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), for a link that points nowhere too
    /// when it is followed; and others.
    fn metadata(&self, path: &StorePath, links: FollowLinks) -> Result<Metadata>;

    /// At most `limit` entries of a directory (a limit of 0 counts as 1),
    /// from the start or from the `next` of the page before. Memory in use
    /// does not grow with the directory. An entry that is there from first to
    /// last page is listed exactly once; one that comes or goes meanwhile may
    /// be listed or not. `.` and `..` are not entries.
    ///
    /// # Errors
    /// [`NotADirectory`](ErrorKind::NotADirectory) and others.
    fn list(&self, directory: &StorePath, from: Option<&Cursor>, limit: usize) -> Result<Page>;

    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// [`IsADirectory`](ErrorKind::IsADirectory),
    /// [`Unsupported`](ErrorKind::Unsupported) for pipes, sockets and
    /// devices, [`Loop`](ErrorKind::Loop) for a link that is not to be
    /// followed; and others.
    fn open(&self, path: &StorePath, links: FollowLinks) -> Result<Arc<dyn ReadFile>>;

    /// Opens a regular file for reading whose first bytes were read before, in
    /// this session or another, and are `front`. A store that makes content up
    /// as it is read goes on with what it made up then; any other opens the
    /// file as [`open`](Self::open) does.
    ///
    /// # Errors
    /// As [`open`](Self::open);
    /// [`WrongPassphrase`](ErrorKind::WrongPassphrase),
    /// [`NoFittingKey`](ErrorKind::NoFittingKey) or
    /// [`Damaged`](ErrorKind::Damaged) where the store cannot go
    /// on with that.
    fn open_resumed(&self, path: &StorePath, links: FollowLinks, front: &[u8]) -> Result<Arc<dyn ReadFile>>;

    /// Makes a new, empty file that only its owner may read and write, and
    /// opens it. A file or link that had the name is no longer there; who has
    /// it open keeps what he opened.
    ///
    /// # Errors
    /// [`IsADirectory`](ErrorKind::IsADirectory) and others.
    fn create(&self, path: &StorePath) -> Result<Arc<dyn WriteFile>>;

    /// Opens an existing regular file to go on writing it. Its content and
    /// attributes stay.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), [`Loop`](ErrorKind::Loop) for a
    /// link, and as [`open`](Self::open).
    fn reopen(&self, path: &StorePath) -> Result<Arc<dyn WriteFile>>;

    /// Opens a file to append to it. Made, for its owner only, if missing.
    ///
    /// # Errors
    /// As [`reopen`](Self::reopen), [`NotFound`](ErrorKind::NotFound) only
    /// for a missing directory.
    fn open_append(&self, path: &StorePath) -> Result<Arc<dyn AppendFile>>;

    /// Makes a directory in which its owner may do everything and others
    /// nothing. Its parent is not synced: whoever promises
    /// [`Durability::Strict`] calls [`sync_directory`](Self::sync_directory)
    /// for it.
    ///
    /// # Errors
    /// [`AlreadyExists`](ErrorKind::AlreadyExists), whatever has the name;
    /// and others.
    fn make_directory(&self, path: &StorePath) -> Result<()>;

    /// Makes a symbolic link that holds `target` as it is. Where it leads is
    /// decided by whoever follows it.
    ///
    /// # Errors
    /// [`AlreadyExists`](ErrorKind::AlreadyExists),
    /// [`Unsupported`](ErrorKind::Unsupported), and others.
    fn make_link(&self, path: &StorePath, target: &[u8]) -> Result<()>;

    /// What a symbolic link holds.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) for what is not a link, and
    /// others.
    fn read_link(&self, path: &StorePath) -> Result<Vec<u8>>;

    /// Gives what was staged its name: syncs the file, renames it, syncs the
    /// directories, each as far as the durability asks for. The only way a
    /// file gets a name that others look for.
    ///
    /// If an error comes before the rename both names are as they were. If
    /// syncing the directories fails the file has its new name, which may not
    /// survive a crash.
    ///
    /// # Errors
    /// [`AlreadyExists`](ErrorKind::AlreadyExists) under
    /// [`Overwrite::MustNotExist`], [`IsADirectory`](ErrorKind::IsADirectory)
    /// for a destination that is one,
    /// [`CrossesDevices`](ErrorKind::CrossesDevices), and others.
    fn publish(&self, staged: Staged<'_>, to: &StorePath, how: Publish) -> Result<()>;

    /// Sets owner, mode and time of what has this name. Of a symbolic link
    /// the mode is left alone.
    ///
    /// # Errors
    /// What the store reports; some attributes may have been set.
    fn set_attributes(&self, path: &StorePath, attributes: &Attributes) -> Result<()>;

    /// Brings several files to stable storage as [`WriteFile::sync_all`]
    /// does, in fewer steps where the store can. Publishing each of them with
    /// [`Durability::None`] afterwards promises what [`Durability::File`]
    /// does, which for many small files costs far less than syncing each.
    ///
    /// # Errors
    /// What the store reports; nothing is known of any of the files then.
    fn sync_files(&self, files: &[Arc<dyn WriteFile>]) -> Result<()>;

    /// Removes a file, a link or a special file.
    ///
    /// # Errors
    /// [`IsADirectory`](ErrorKind::IsADirectory) and others.
    fn remove(&self, path: &StorePath) -> Result<()>;

    /// Removes an empty directory.
    ///
    /// # Errors
    /// [`NotEmpty`](ErrorKind::NotEmpty),
    /// [`NotADirectory`](ErrorKind::NotADirectory), and others.
    fn remove_directory(&self, path: &StorePath) -> Result<()>;

    /// Brings the names in a directory to stable storage: those made, changed
    /// and removed before.
    ///
    /// # Errors
    /// What the store reports.
    fn sync_directory(&self, path: &StorePath) -> Result<()>;

    /// Brings the names in several directories to stable storage as
    /// [`sync_directory`](Self::sync_directory) does, in fewer steps where the
    /// store can; what became of each, in their order. For many directories
    /// that costs far less than syncing each.
    fn sync_directories(&self, paths: &[StorePath]) -> Vec<Result<()>>;

    /// Locks a file against every other holder, in this process or another,
    /// without waiting. Made, for its owner only, if missing. The file that
    /// is locked is the one that has the name when this returns.
    ///
    /// # Errors
    /// [`Locked`](ErrorKind::Locked) if somebody holds it, and others.
    fn lock(&self, path: &StorePath) -> Result<LockGuard>;

    /// Space of the file system that holds this directory.
    ///
    /// # Errors
    /// What the store reports.
    fn space(&self, directory: &StorePath) -> Result<Space>;
}
