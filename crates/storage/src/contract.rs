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
//! [`AppendFile::sync_data`], [`Store::sync_files`], [`Store::sync_directory`]
//! and [`Store::publish`] with a [`Durability`] make the promises.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use crate::error::{ErrorKind, Operation, Result, StorageError};
use crate::metadata::{Attributes, Kind, Metadata};
use crate::path::{Name, StorePath};

/// Whether an operation means a symbolic link or what it points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowLinks {
    /// What the link points to, as far as the store's policy allows.
    Yes,
    /// The link itself.
    No,
}

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

/// A file open for reading, at any offset, by any number of threads.
pub trait ReadFile: Debug + Send + Sync {
    /// Reads bytes at `offset` into `buffer` and returns how many: fewer
    /// than asked for only at the end of the file, where it returns 0. Holes
    /// read as zeros.
    ///
    /// # Errors
    /// What the store reports.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize>;

    /// Metadata of the open file, whatever its name shows by now.
    ///
    /// # Errors
    /// What the store reports.
    fn metadata(&self) -> Result<Metadata>;

    /// The first run of data at or after `offset`; `None` if only a hole or
    /// the end follows. The range starts at `offset` or later, is not empty,
    /// and ends at a hole or at the end of the file. A store without holes
    /// answers with all that is left. Zeros may be reported as data; data is
    /// never reported as a hole.
    ///
    /// # Errors
    /// What the store reports.
    fn next_data(&self, offset: u64) -> Result<Option<Range<u64>>>;
}

/// A file open for writing and reading, at any offset, by any number of
/// threads. Overlapping writes from several threads leave either one's bytes.
pub trait WriteFile: ReadFile {
    /// Writes all of `bytes` at `offset`, beyond the end too: what is skipped
    /// becomes a hole, or zeros.
    ///
    /// # Errors
    /// [`NoSpace`](ErrorKind::NoSpace), [`TooLarge`](ErrorKind::TooLarge) and
    /// others; a part of `bytes` may then have been written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Sets the length: cuts the file, or lengthens it by a hole or zeros.
    ///
    /// # Errors
    /// What the store reports.
    fn truncate(&self, length: u64) -> Result<()>;

    /// Reserves space for a file of `length` bytes, as far as the store can;
    /// length and content as seen by readers do not change. What is reserved
    /// and never written may read as data for [`ReadFile::next_data`], so
    /// this is not for files with holes. A store that cannot reserve
    /// succeeds without doing so.
    ///
    /// # Errors
    /// [`NoSpace`](ErrorKind::NoSpace) if the space is known to be missing.
    fn preallocate(&self, length: u64) -> Result<()>;

    /// Brings what was written, and the length, to stable storage. Once an
    /// error was returned nothing is known about bytes written before: they
    /// have to be written again.
    ///
    /// # Errors
    /// What the store reports.
    fn sync_data(&self) -> Result<()>;

    /// As [`sync_data`](Self::sync_data), attributes included.
    ///
    /// # Errors
    /// What the store reports.
    fn sync_all(&self) -> Result<()>;

    /// Sets owner, mode and time, in an order in which each survives the
    /// others. A later write changes the time again.
    ///
    /// # Errors
    /// What the store reports; some attributes may have been set.
    fn set_attributes(&self, attributes: &Attributes) -> Result<()>;
}

/// A journal: a file that grows at its end.
pub trait AppendFile: Debug + Send + Sync {
    /// Appends all of `bytes`.
    ///
    /// # Errors
    /// As [`WriteFile::write_at`]; a part of `bytes` may be at the end of the
    /// file then. [`truncate`](Self::truncate) takes it away.
    fn append(&self, bytes: &[u8]) -> Result<()>;

    /// The length in bytes.
    ///
    /// # Errors
    /// What the store reports.
    fn length(&self) -> Result<u64>;

    /// Cuts the file to `length`, for a torn record at the end.
    ///
    /// # Errors
    /// What the store reports.
    fn truncate(&self, length: u64) -> Result<()>;

    /// Brings what was appended, and the length, to stable storage.
    ///
    /// # Errors
    /// As [`WriteFile::sync_data`].
    fn sync_data(&self) -> Result<()>;
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

/// Reads a whole file of at most `limit` bytes, such as a journal.
///
/// # Errors
/// [`TooLarge`](ErrorKind::TooLarge) if it is longer, and what
/// [`Store::open`] and [`ReadFile::read_at`] report.
pub fn read_whole(store: &dyn Store, path: &StorePath, limit: u64) -> Result<Vec<u8>> {
    let file = store.open(path, FollowLinks::No)?;
    let too_large = || StorageError::new(ErrorKind::TooLarge, Operation::Read, path);
    let size = file.metadata()?.size;
    if size > limit {
        return Err(too_large());
    }
    // One byte more than the size shows whether the file grows meanwhile.
    let room = usize::try_from(size).ok().and_then(|size| size.checked_add(1));
    let mut bytes = vec![0; room.ok_or_else(too_large)?];
    let read = file.read_at(0, &mut bytes)?;
    if read as u64 > limit {
        return Err(too_large());
    }
    bytes.truncate(read);
    Ok(bytes)
}

/// Makes `path` and every missing directory above it, as
/// [`Store::make_directory`] does, and returns those it made, topmost first.
///
/// # Errors
/// [`NotADirectory`](ErrorKind::NotADirectory) if something else has one of
/// the names, and what [`Store::make_directory`] reports.
pub fn make_directories(store: &dyn Store, path: &StorePath) -> Result<Vec<StorePath>> {
    let mut missing = Vec::new();
    let mut next = Some(path.clone());
    while let Some(directory) = next {
        match store.metadata(&directory, FollowLinks::Yes) {
            Ok(found) if found.is_directory() => break,
            Ok(_) => return Err(not_a_directory(&directory)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        next = directory.parent();
        missing.push(directory);
    }
    let mut made = Vec::with_capacity(missing.len());
    for directory in missing.into_iter().rev() {
        match store.make_directory(&directory) {
            Ok(()) => made.push(directory),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                // Somebody else was faster, or a link points nowhere.
                if !store.metadata(&directory, FollowLinks::Yes)?.is_directory() {
                    return Err(not_a_directory(&directory));
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(made)
}

fn not_a_directory(path: &StorePath) -> StorageError {
    StorageError::new(ErrorKind::NotADirectory, Operation::MakeDirectory, path)
}
