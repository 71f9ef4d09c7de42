//! Syncing many small files in one step.
//!
//! A disk takes about as long to sync one small file as to sync a hundred, if
//! it is asked once: by `syncfs`. Its weak side is the report of failures: the
//! kernel tells a handle once that some file of the file system could not be
//! written, not which. So one handle is kept from before the first write, one
//! thread at a time asks, and after the first failure every file is synced by
//! itself, where the kernel reports each file's own failures.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::attributes;
use super::kind::FileSystemKind;
use crate::contract::WriteFile;
use crate::error::Result;

/// Below this many files each is synced by itself: `syncfs` also waits for
/// what other programs wrote.
const WORTH_IT: usize = 16;

/// File systems whose `syncfs` is known to wait for stable storage: ext2 to
/// ext4, XFS, Btrfs, F2FS, tmpfs. That of many others, FUSE above all, is not.
const TRUSTED: [FileSystemKind; 5] =
    [FileSystemKind::EXT, FileSystemKind::XFS, FileSystemKind::BTRFS, FileSystemKind::F2FS, FileSystemKind::TMPFS];

/// The file system of the root, to be synced as a whole.
#[derive(Debug)]
struct FileSystem {
    handle: OwnedFd,
    device: u64,
}

/// Syncs batches; see the module.
#[derive(Debug)]
pub(super) struct BatchSync(Mutex<Option<FileSystem>>);

impl BatchSync {
    /// For the file system of `root`, if it can be trusted with this.
    pub(super) fn new(root: BorrowedFd<'_>) -> Self {
        Self(Mutex::new(open(root).ok().flatten()))
    }

    /// Brings all files to stable storage.
    pub(super) fn sync(&self, files: &[Arc<dyn WriteFile>]) -> Result<()> {
        if files.len() >= WORTH_IT && self.sync_together(files)? {
            return Ok(());
        }
        files.iter().try_for_each(|file| file.sync_all())
    }

    /// Whether all files could be synced in one step.
    fn sync_together(&self, files: &[Arc<dyn WriteFile>]) -> Result<bool> {
        let mut file_system = self.file_system();
        let Some(FileSystem { handle, device }) = &*file_system else {
            return Ok(false);
        };
        for file in files {
            if file.metadata()?.device != *device {
                return Ok(false);
            }
        }
        if rustix::fs::syncfs(handle).is_ok() {
            return Ok(true);
        }
        *file_system = None;
        Ok(false)
    }

    /// Syncs the file system that holds `directory`, when the directory itself
    /// cannot be opened for it.
    pub(super) fn sync_file_system_of(&self, directory: BorrowedFd<'_>) -> rustix::io::Result<()> {
        let found = attributes::metadata(&rustix::fs::fstat(directory)?).device;
        let mut file_system = self.file_system();
        match &*file_system {
            Some(FileSystem { handle, device }) if *device == found => {
                rustix::fs::syncfs(handle).inspect_err(|_| *file_system = None)
            }
            _ => Err(Errno::ACCESS),
        }
    }

    fn file_system(&self) -> MutexGuard<'_, Option<FileSystem>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(root: BorrowedFd<'_>) -> rustix::io::Result<Option<FileSystem>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let handle = rustix::fs::openat(root, c".", flags, Mode::empty())?;
    let trusted = FileSystemKind::of(&handle)?.is_some_and(|kind| TRUSTED.contains(&kind));
    let device = attributes::metadata(&rustix::fs::fstat(&handle)?).device;
    Ok(trusted.then_some(FileSystem { handle, device }))
}
