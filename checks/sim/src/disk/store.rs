//! [`Disk`]: the contract, and what tests do to a disk.

use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use limosa_storage::{
    AppendFile, Attributes, Capabilities, Cursor, DirectoryEntry, Durability, ErrorKind, FollowLinks, Kind, LockGuard,
    Metadata, Name, Operation, Overwrite, Page, Publish, ReadFile, Result, Space, Staged, StorageError, Store,
    StorePath, WriteFile,
};
use limosa_transport::Time;

use super::fault::Fault;
use super::file::{DiskAppend, DiskFile, DiskLock};
use super::inode::{Body, Entries, InodeNumber};
use super::speed::Speed;
use super::state::{Load, State};
use crate::random::Seed;

/// What a disk shares with the files that are open on it.
#[derive(Debug)]
pub(super) struct Shared(Mutex<State>);

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A disk that forgets; see the [module](super). Clones are the same disk.
#[derive(Clone, Debug)]
pub struct Disk(Arc<Shared>);

impl Default for Disk {
    fn default() -> Self {
        Self::new()
    }
}

/// What has been done with a disk.
impl Disk {
    /// An empty disk that takes no time.
    #[must_use]
    pub fn new() -> Self {
        Self::holding(State::new())
    }

    fn holding(state: State) -> Self {
        Self(Arc::new(Shared(Mutex::new(state))))
    }

    /// How many operations have begun.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.0.state().operations
    }

    /// Stops after so many more operations; all later ones fail and do
    /// nothing.
    pub fn stop_after(&self, operations: u64) {
        let mut state = self.0.state();
        state.stop_at = Some(state.operations + operations);
    }

    /// Does not stop any more, if it has not.
    pub fn go_on(&self) {
        self.0.state().stop_at = None;
    }

    /// Lets virtual time begin anew.
    pub fn reset_clock(&self) {
        self.0.state().busy_until = Time::ZERO;
    }

    /// Whether it has stopped.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.state().stopped
    }

    /// The disk after the power was lost now, of what `seed` lets survive.
    /// Files that are open on this one fail from now on.
    #[must_use]
    pub fn lose_power(&self, seed: Seed) -> Self {
        self.restart(|state| state.lose_power(seed))
    }

    /// The disk after the process that used it was killed now: nothing is
    /// forgotten, nothing more is synced. Files that are open on this one fail
    /// from now on.
    #[must_use]
    pub fn kill(&self) -> Self {
        self.restart(State::kill)
    }

    fn restart(&self, end: impl FnOnce(&mut State)) -> Self {
        let mut state = std::mem::replace(&mut *self.0.state(), State::off());
        end(&mut state);
        state.stopped = false;
        state.stop_at = None;
        state.busy_until = Time::ZERO;
        Self::holding(state)
    }

    /// Brings everything there is to stable storage, as a machine does that
    /// has been left alone for a while.
    pub fn settle(&self) {
        let mut state = self.0.state();
        state.settle_changes(|_| true, |_| false);
        state.inodes.values_mut().for_each(super::inode::Inode::sync_all);
    }

    /// Lets something go wrong.
    pub fn add_fault(&self, fault: Fault) {
        self.0.state().faults.add(fault);
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        self.0.state().faults.clear();
    }

    /// Leaves so many bytes of storage free from now on.
    pub fn set_free(&self, bytes: u64) {
        let mut state = self.0.state();
        state.capacity = state.used.saturating_add(bytes);
    }

    /// Sets how long operations take.
    pub fn set_speed(&self, speed: Speed) {
        self.0.state().speed = speed;
    }

    /// Does `work`, some operations on this disk, from `now` on, or from when
    /// earlier work is done; says when it is over.
    pub fn timed<T>(&self, now: Time, work: impl FnOnce() -> T) -> (T, Time) {
        {
            let mut state = self.0.state();
            state.busy_until = state.busy_until.max(now);
        }
        let result = work();
        (result, self.0.state().busy_until)
    }
}

/// How the contract's operations are made.
impl Disk {
    /// Does `action` as an operation on `path`.
    fn act<T>(
        &self,
        operation: Operation,
        path: &StorePath,
        syncs: bool,
        action: impl FnOnce(&mut State) -> std::result::Result<T, ErrorKind>,
    ) -> Result<T> {
        let mut state = self.0.state();
        state.begin(operation, path, Load { bytes: 0, syncs })?;
        action(&mut state).map_err(|kind| StorageError::new(kind, operation, path))
    }

    fn file(&self, inode: InodeNumber, path: &StorePath) -> DiskFile {
        DiskFile::new(self.0.clone(), inode, path)
    }

    fn open_file(&self, operation: Operation, path: &StorePath, links: FollowLinks) -> Result<DiskFile> {
        let number = self.act(operation, path, false, |state| {
            let number = state.find(path, links)?;
            state.check_file(number).map(|()| number)
        })?;
        Ok(self.file(number, path))
    }

    /// Adds what `body` makes under a name that must be free.
    fn add(&self, operation: Operation, path: &StorePath, body: Body) -> Result<()> {
        self.act(operation, path, false, |state| {
            if path.is_root() {
                return Err(ErrorKind::AlreadyExists);
            }
            let added = state.put(path, |state, present| match present {
                Some(_) => Err(ErrorKind::AlreadyExists),
                None => Ok(Some(state.add(body))),
            });
            added.map(|_| ())
        })
    }
}

/// The file that has the name, made if nothing has.
fn file_or_new(state: &mut State, path: &StorePath) -> std::result::Result<InodeNumber, ErrorKind> {
    let number = state.put(path, |state, present| Ok(present.or_else(|| Some(state.add_file()))))?;
    let number = number.ok_or(ErrorKind::NotFound)?;
    state.check_file(number).map(|()| number)
}

fn page(state: &State, entries: &Entries, after: Option<Name>, limit: usize) -> Page {
    let start = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut rest = entries.range((start, Bound::Unbounded));
    let entry = |(name, inode): (&Name, &InodeNumber)| DirectoryEntry { name: name.clone(), kind: state.kind(*inode) };
    let entries: Vec<DirectoryEntry> = rest.by_ref().take(limit.max(1)).map(entry).collect();
    let more = rest.next().is_some();
    let next = entries.last().filter(|_| more).map(|entry| Cursor::new(entry.name.as_bytes()));
    Page { entries, next }
}

#[deny(clippy::missing_trait_methods)]
impl Store for Disk {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            sparse: true,
            symlinks: true,
            exclusive_publish: true,
            locks: true,
            attributes: true,
            durability: Durability::Strict,
        }
    }

    fn metadata(&self, path: &StorePath, links: FollowLinks) -> Result<Metadata> {
        self.act(Operation::Metadata, path, false, |state| {
            let number = state.find(path, links)?;
            Ok(state.inodes.get(&number).ok_or(ErrorKind::NotFound)?.metadata(number))
        })
    }

    fn list(&self, directory: &StorePath, from: Option<&Cursor>, limit: usize) -> Result<Page> {
        self.act(Operation::List, directory, false, |state| {
            let after = from.map(|cursor| Name::parse(cursor.as_bytes())).transpose();
            let after = after.map_err(|_| ErrorKind::Unsupported)?;
            let number = state.find(directory, FollowLinks::Yes)?;
            match state.inodes.get(&number).map(|inode| &inode.body) {
                Some(Body::Directory(directory)) => Ok(page(state, &directory.entries, after, limit)),
                _ => Err(ErrorKind::NotADirectory),
            }
        })
    }

    fn open(&self, path: &StorePath, links: FollowLinks) -> Result<Arc<dyn ReadFile>> {
        Ok(Arc::new(self.open_file(Operation::Open, path, links)?))
    }

    fn open_resumed(&self, path: &StorePath, links: FollowLinks, _front: &[u8]) -> Result<Arc<dyn ReadFile>> {
        self.open(path, links)
    }

    fn create(&self, path: &StorePath) -> Result<Arc<dyn WriteFile>> {
        let number = self.act(Operation::Create, path, false, |state| {
            let made = state.put(path, |state, present| match present.and_then(|present| state.kind(present)) {
                Some(Kind::Directory) => Err(ErrorKind::IsADirectory),
                _ => Ok(Some(state.add_file())),
            });
            made?.ok_or(ErrorKind::NotFound)
        })?;
        Ok(Arc::new(self.file(number, path)))
    }

    fn reopen(&self, path: &StorePath) -> Result<Arc<dyn WriteFile>> {
        Ok(Arc::new(self.open_file(Operation::Create, path, FollowLinks::No)?))
    }

    fn open_append(&self, path: &StorePath) -> Result<Arc<dyn AppendFile>> {
        let number = self.act(Operation::Create, path, false, |state| file_or_new(state, path))?;
        Ok(Arc::new(DiskAppend(self.file(number, path))))
    }

    fn make_directory(&self, path: &StorePath) -> Result<()> {
        self.add(Operation::MakeDirectory, path, Body::Directory(super::inode::Directory::default()))
    }

    fn make_link(&self, path: &StorePath, target: &[u8]) -> Result<()> {
        self.add(Operation::MakeLink, path, Body::Link(target.to_vec()))
    }

    fn read_link(&self, path: &StorePath) -> Result<Vec<u8>> {
        self.act(Operation::ReadLink, path, false, |state| {
            let number = state.find(path, FollowLinks::No)?;
            match state.inodes.get(&number).map(|inode| &inode.body) {
                Some(Body::Link(target)) => Ok(target.clone()),
                _ => Err(ErrorKind::Unsupported),
            }
        })
    }

    fn publish(&self, staged: Staged<'_>, to: &StorePath, how: Publish) -> Result<()> {
        if let Some(file) = staged.file()
            && how.durability >= Durability::File
        {
            file.sync_all()?;
        }
        let from = staged.path();
        let spare = how.overwrite == Overwrite::MustNotExist;
        self.act(Operation::Publish, to, false, |state| state.rename(from, to, spare))?;
        if how.durability >= Durability::Strict {
            for directory in [to.parent(), from.parent()].into_iter().flatten() {
                self.sync_directory(&directory)?;
            }
        }
        Ok(())
    }

    fn sync_files(&self, files: &[Arc<dyn WriteFile>]) -> Result<()> {
        files.iter().try_for_each(|file| file.sync_all())
    }

    fn set_attributes(&self, path: &StorePath, wanted: &Attributes) -> Result<()> {
        self.act(Operation::SetAttributes, path, false, |state| {
            let number = state.find(path, FollowLinks::No)?;
            let now = state.tick();
            state.inodes.get_mut(&number).ok_or(ErrorKind::NotFound)?.set_attributes(wanted, now);
            Ok(())
        })
    }

    fn remove(&self, path: &StorePath) -> Result<()> {
        self.act(Operation::Remove, path, false, |state| {
            let removed = state.put(path, |state, present| match present.and_then(|present| state.kind(present)) {
                None => Err(ErrorKind::NotFound),
                Some(Kind::Directory) => Err(ErrorKind::IsADirectory),
                Some(_) => Ok(None),
            });
            removed.map(|_| ())
        })
    }

    fn remove_directory(&self, path: &StorePath) -> Result<()> {
        self.act(Operation::Remove, path, false, |state| {
            if path.is_root() {
                return Err(ErrorKind::Unsupported);
            }
            let removed = state.put(path, |state, present| {
                let number = present.ok_or(ErrorKind::NotFound)?;
                match state.inodes.get(&number).map(|inode| &inode.body) {
                    Some(Body::Directory(directory)) if directory.entries.is_empty() => Ok(None),
                    Some(Body::Directory(_)) => Err(ErrorKind::NotEmpty),
                    _ => Err(ErrorKind::NotADirectory),
                }
            });
            removed.map(|_| ())
        })
    }

    fn sync_directory(&self, path: &StorePath) -> Result<()> {
        self.act(Operation::Sync, path, true, |state| {
            let number = state.find(path, FollowLinks::Yes)?;
            if state.kind(number) != Some(Kind::Directory) {
                return Err(ErrorKind::NotADirectory);
            }
            state.sync_names(number);
            if let Some(inode) = state.inodes.get_mut(&number) {
                inode.sync_all();
            }
            Ok(())
        })
    }

    fn sync_directories(&self, paths: &[StorePath]) -> Vec<Result<()>> {
        paths.iter().map(|path| self.sync_directory(path)).collect()
    }

    fn lock(&self, path: &StorePath) -> Result<LockGuard> {
        self.act(Operation::Lock, path, false, |state| {
            let number = file_or_new(state, path)?;
            DiskLock::take(&self.0, state, number).map(LockGuard::new).ok_or(ErrorKind::Locked)
        })
    }

    fn space(&self, directory: &StorePath) -> Result<Space> {
        self.act(Operation::Space, directory, false, |state| {
            state.find(directory, FollowLinks::Yes)?;
            Ok(Space { total: state.capacity, available: state.capacity - state.used.min(state.capacity) })
        })
    }
}
