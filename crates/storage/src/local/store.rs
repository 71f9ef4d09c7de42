//! [`LocalStore`]: the contract on the local disk.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::batch::{BatchSync, device_of};
use super::file::{LocalAppend, LocalFile, uninterrupted};
use super::kind::FileSystemKind;
use super::parents::Parents;
use super::resolve::{Confinement, Fault, Resolver, Root};
use super::{attributes, list, names};
use crate::contract::{
    AppendFile, Capabilities, Cursor, Durability, FollowLinks, LockGuard, Page, Publish, ReadFile, Space, Staged,
    Store, WriteFile,
};
use crate::error::{ErrorKind, Operation, Result, StorageError};
use crate::metadata::{Attributes, Metadata};
use crate::path::StorePath;

/// File systems that have neither links nor holes: FAT and exFAT.
const PLAIN_FILE_SYSTEMS: [FileSystemKind; 2] = [FileSystemKind::FAT, FileSystemKind::EXFAT];

/// A directory of this machine as a store.
#[derive(Debug)]
pub struct LocalStore {
    root: Root,
    parents: Parents,
    batch: BatchSync,
    capabilities: Capabilities,
}

impl LocalStore {
    /// Opens the directory `root` and holds on to it: should it be renamed,
    /// the store goes with it. The kernel enforces the confinement if it can.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound),
    /// [`NotADirectory`](ErrorKind::NotADirectory),
    /// [`PermissionDenied`](ErrorKind::PermissionDenied) and others.
    pub fn open(root: &Path, confinement: Confinement) -> Result<Self> {
        let fail = |errno: Errno| {
            let path = StorePath::from_typed(root).unwrap_or_else(|_| StorePath::root());
            StorageError::from_io(Operation::OpenStore, &path, errno)
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = rustix::fs::open(root, flags, Mode::empty()).map_err(fail)?;
        let capabilities = capabilities(handle.as_fd()).map_err(fail)?;
        let batch = BatchSync::default();
        batch.meet(handle.as_fd());
        let root = Root::new(handle, confinement);
        Ok(Self { root, parents: Parents::default(), batch, capabilities })
    }

    /// Makes `resolver` enforce the confinement, whatever the kernel can.
    #[must_use]
    pub fn with_resolver(self, resolver: Resolver) -> Self {
        Self { root: self.root.with_resolver(resolver), ..self }
    }

    /// Who enforces the confinement.
    #[must_use]
    pub fn resolver(&self) -> Resolver {
        self.root.resolver()
    }

    /// Runs `act` on the open parent of `path` and the last component. The
    /// root is `.` in itself.
    fn on_name<T>(
        &self,
        path: &StorePath,
        act: impl Fn(BorrowedFd<'_>, &[u8]) -> std::result::Result<T, Fault>,
    ) -> std::result::Result<T, Fault> {
        let (parent, name) = parent_and_name(path);
        if let Some(kept) = self.parents.get(parent) {
            match act(kept.as_fd(), name) {
                // The directory may be gone and another one have its name.
                Err(Fault::Os(Errno::NOENT | Errno::STALE)) if is_gone(kept.as_fd()) => self.parents.forget(parent),
                result => return result,
            }
        }
        match self.parent(parent) {
            Err(Fault::Os(Errno::LOOP)) => {
                let handle = self.root.directory(parent)?;
                self.batch.meet(handle.as_fd());
                act(handle.as_fd(), name)
            }
            found => act(found?.as_fd(), name),
        }
    }

    /// Looks a directory up, if no link is on the way to it, and keeps it.
    fn parent(&self, path: &[u8]) -> std::result::Result<Arc<OwnedFd>, Fault> {
        let now = Instant::now();
        let from_above = self.parents.above(path).and_then(|(above, since, rest)| {
            // What is wrong with it the whole way tells.
            Some((self.root.directory_below(above.as_fd(), rest).ok()?, since))
        });
        let (handle, since) = match from_above {
            Some(found) => found,
            None => (self.root.directory_without_links(path)?, now),
        };
        let handle = Arc::new(handle);
        self.batch.meet(handle.as_fd());
        self.parents.keep(path, &handle, since);
        Ok(handle)
    }

    /// As [`on_name`](Self::on_name) for an operation of the contract.
    fn act<T>(
        &self,
        operation: Operation,
        path: &StorePath,
        act: impl Fn(BorrowedFd<'_>, &[u8]) -> rustix::io::Result<T>,
    ) -> Result<T> {
        self.on_name(path, |parent, name| Ok(act(parent, name)?)).map_err(|fault| fault.at(operation, path))
    }

    /// Opens a directory so that it can be listed or synced.
    fn open_directory(&self, path: &StorePath) -> std::result::Result<OwnedFd, Fault> {
        self.root.follow(path.as_bytes(), OFlags::RDONLY | OFlags::DIRECTORY)
    }

    fn rename(&self, from: &StorePath, to: &StorePath, how: Publish) -> Result<()> {
        let renamed = self.on_name(from, |from_parent, from_name| {
            self.on_name(to, |to_parent, to_name| {
                let (from, to) = ((from_parent, from_name), (to_parent, to_name));
                Ok(names::rename(from, to, how.overwrite)?)
            })
        });
        renamed.map_err(|fault| fault.at(Operation::Publish, to))
    }

    /// Sees that the staged name still is that of the file: another process
    /// may have put its own there. Cannot be one step with the rename, but
    /// between them is no time for more than an accident.
    fn check_staged(&self, staged: Staged<'_>) -> Result<()> {
        let Some(file) = staged.file() else { return Ok(()) };
        let held = file.metadata()?;
        let named = self.metadata(staged.path(), FollowLinks::No)?;
        if (named.device, named.inode) == (held.device, held.inode) {
            return Ok(());
        }
        Err(StorageError::new(ErrorKind::NotFound, Operation::Publish, staged.path()))
    }

    fn sync_parents(&self, from: &StorePath, to: &StorePath) -> Result<()> {
        let (old, new) = (from.parent().unwrap_or_else(StorePath::root), to.parent());
        let new = new.unwrap_or_else(StorePath::root);
        self.sync_directory(&new)?;
        if old == new { Ok(()) } else { self.sync_directory(&old) }
    }

    /// Syncs a directory that may be written but not read, and so cannot be
    /// opened for it: by syncing its file system.
    fn sync_unreadable(&self, path: &StorePath) -> std::result::Result<(), Fault> {
        let directory = self.root.directory(path.as_bytes())?;
        Ok(self.batch.sync_file_system_of(directory.as_fd())?)
    }
}

#[deny(clippy::missing_trait_methods)]
impl Store for LocalStore {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn metadata(&self, path: &StorePath, links: FollowLinks) -> Result<Metadata> {
        let found = self.act(Operation::Metadata, path, |parent, name| {
            rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
        })?;
        let is_link = FileType::from_raw_mode(found.st_mode) == FileType::Symlink;
        if !is_link || links == FollowLinks::No {
            return Ok(attributes::metadata(&found));
        }
        let target = self.root.follow(path.as_bytes(), OFlags::PATH);
        let found = target.and_then(|target| Ok(rustix::fs::fstat(target)?));
        let found = found.map_err(|fault| fault.at(Operation::Metadata, path))?;
        Ok(attributes::metadata(&found))
    }

    fn list(&self, directory: &StorePath, from: Option<&Cursor>, limit: usize) -> Result<Page> {
        self.open_directory(directory)
            .and_then(|handle| Ok(list::page(handle.as_fd(), from, limit)?))
            .map_err(|fault| fault.at(Operation::List, directory))
    }

    fn open(&self, path: &StorePath, links: FollowLinks) -> Result<Arc<dyn ReadFile>> {
        let opened = match links {
            FollowLinks::No => self.on_name(path, |parent, name| Ok(names::open(parent, name, OFlags::RDONLY)?)),
            FollowLinks::Yes => {
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
                self.root.follow(path.as_bytes(), flags)
            }
        };
        let file = opened.and_then(|file| Ok(names::regular(file)?));
        let file = file.map_err(|fault| not_openable(fault).at(Operation::Open, path))?;
        Ok(Arc::new(LocalFile::new(file, path)))
    }

    fn open_resumed(&self, path: &StorePath, links: FollowLinks, _front: &[u8]) -> Result<Arc<dyn ReadFile>> {
        self.open(path, links)
    }

    fn create(&self, path: &StorePath) -> Result<Arc<dyn WriteFile>> {
        let file = self.act(Operation::Create, path, names::create)?;
        Ok(Arc::new(LocalFile::new(file, path)))
    }

    fn reopen(&self, path: &StorePath) -> Result<Arc<dyn WriteFile>> {
        let file = self.on_name(path, |parent, name| Ok(names::regular(names::open(parent, name, OFlags::RDWR)?)?));
        let file = file.map_err(|fault| not_openable(fault).at(Operation::Create, path))?;
        Ok(Arc::new(LocalFile::new(file, path)))
    }

    fn open_append(&self, path: &StorePath) -> Result<Arc<dyn AppendFile>> {
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE;
        let file = self.on_name(path, |parent, name| Ok(names::regular(names::open(parent, name, flags)?)?));
        let file = file.map_err(|fault| not_openable(fault).at(Operation::Create, path))?;
        Ok(Arc::new(LocalAppend::new(file, path)))
    }

    fn make_directory(&self, path: &StorePath) -> Result<()> {
        self.act(Operation::MakeDirectory, path, |parent, name| rustix::fs::mkdirat(parent, name, Mode::RWXU))
    }

    fn make_link(&self, path: &StorePath, target: &[u8]) -> Result<()> {
        match self.on_name(path, |parent, name| Ok(rustix::fs::symlinkat(target, parent, name)?)) {
            // What file systems without symbolic links answer.
            Err(Fault::Os(Errno::PERM)) => Err(StorageError::new(ErrorKind::Unsupported, Operation::MakeLink, path)),
            result => result.map_err(|fault| fault.at(Operation::MakeLink, path)),
        }
    }

    fn read_link(&self, path: &StorePath) -> Result<Vec<u8>> {
        let target = self.on_name(path, |parent, name| Ok(rustix::fs::readlinkat(parent, name, Vec::new())?));
        match target {
            Ok(target) => Ok(target.into_bytes()),
            Err(Fault::Os(Errno::INVAL)) => Err(StorageError::new(ErrorKind::Unsupported, Operation::ReadLink, path)),
            Err(fault) => Err(fault.at(Operation::ReadLink, path)),
        }
    }

    fn publish(&self, staged: Staged<'_>, to: &StorePath, how: Publish) -> Result<()> {
        if to.is_root() {
            return Err(StorageError::new(ErrorKind::IsADirectory, Operation::Publish, to));
        }
        if let Some(file) = staged.file()
            && how.durability >= Durability::File
        {
            file.sync_all()?;
        }
        self.check_staged(staged)?;
        self.rename(staged.path(), to, how)?;
        if how.durability >= Durability::Strict {
            self.sync_parents(staged.path(), to)?;
        }
        Ok(())
    }

    fn sync_files(&self, files: &[Arc<dyn WriteFile>]) -> Result<()> {
        self.batch.sync(files)
    }

    fn set_attributes(&self, path: &StorePath, wanted: &Attributes) -> Result<()> {
        self.act(Operation::SetAttributes, path, |parent, name| attributes::set_on_name(parent, name, wanted))
    }

    fn remove(&self, path: &StorePath) -> Result<()> {
        let removed =
            self.act(Operation::Remove, path, |parent, name| rustix::fs::unlinkat(parent, name, AtFlags::empty()));
        self.parents.forget(path.as_bytes());
        removed
    }

    fn remove_directory(&self, path: &StorePath) -> Result<()> {
        if path.is_root() {
            return Err(StorageError::new(ErrorKind::Unsupported, Operation::Remove, path));
        }
        let removed =
            self.act(Operation::Remove, path, |parent, name| rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR));
        self.parents.forget(path.as_bytes());
        removed
    }

    fn sync_directory(&self, path: &StorePath) -> Result<()> {
        let synced = match self.open_directory(path) {
            Ok(directory) => Ok(uninterrupted(|| rustix::fs::fsync(&directory))),
            Err(Fault::Os(Errno::ACCESS)) => self.sync_unreadable(path).map(Ok),
            Err(fault) => Err(fault),
        };
        match synced {
            // Some network file systems have nothing to sync in a directory.
            Ok(Ok(()) | Err(Errno::INVAL)) => Ok(()),
            Ok(Err(errno)) => Err(StorageError::from_io(Operation::Sync, path, errno)),
            Err(fault) => Err(fault.at(Operation::Sync, path)),
        }
    }

    fn sync_directories(&self, paths: &[StorePath]) -> Vec<Result<()>> {
        let device = |path: &StorePath| device_of(self.root.directory(path.as_bytes()).ok()?).ok();
        let synced = self.batch.sync_together(paths.iter().map(device));
        let each = paths.iter().zip(synced);
        each.map(|(path, synced)| if synced { Ok(()) } else { self.sync_directory(path) }).collect()
    }

    fn lock(&self, path: &StorePath) -> Result<LockGuard> {
        match self.on_name(path, |parent, name| Ok(names::lock(parent, name)?)) {
            Ok(held) => Ok(LockGuard::new(held)),
            Err(Fault::Os(Errno::WOULDBLOCK)) => Err(StorageError::new(ErrorKind::Locked, Operation::Lock, path)),
            Err(fault) => Err(not_openable(fault).at(Operation::Lock, path)),
        }
    }

    fn space(&self, directory: &StorePath) -> Result<Space> {
        let directory_handle = self.root.directory(directory.as_bytes());
        let found = directory_handle.and_then(|handle| Ok(rustix::fs::fstatvfs(handle)?));
        let found = found.map_err(|fault| fault.at(Operation::Space, directory))?;
        Ok(Space {
            total: found.f_blocks.saturating_mul(found.f_frsize),
            available: found.f_bavail.saturating_mul(found.f_frsize),
        })
    }
}

/// Whether a directory was removed.
fn is_gone(directory: BorrowedFd<'_>) -> bool {
    rustix::fs::fstat(directory).map_or(true, |found| found.st_nlink == 0)
}

/// Parent and last component as bytes; the root is `.` in itself.
fn parent_and_name(path: &StorePath) -> (&[u8], &[u8]) {
    let bytes = path.as_bytes();
    match bytes.iter().rposition(|&b| b == b'/') {
        Some(slash) => {
            let (parent, name) = bytes.split_at(slash);
            (parent, name.get(1..).unwrap_or_default())
        }
        None if bytes.is_empty() => (b"", b"."),
        None => (b"", bytes),
    }
}

/// Opening a socket, or a pipe nobody reads, gives an error of its own.
fn not_openable(fault: Fault) -> Fault {
    match fault {
        Fault::Os(Errno::NXIO | Errno::NODEV) => Fault::Os(Errno::OPNOTSUPP),
        fault => fault,
    }
}

fn capabilities(root: BorrowedFd<'_>) -> rustix::io::Result<Capabilities> {
    let plain = FileSystemKind::of(root)?.is_some_and(|kind| PLAIN_FILE_SYSTEMS.contains(&kind));
    Ok(Capabilities {
        sparse: !plain,
        symlinks: !plain,
        exclusive_publish: true,
        locks: true,
        attributes: !plain,
        durability: Durability::Strict,
    })
}
