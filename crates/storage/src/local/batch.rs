//! Syncing many small files, or many directories, in one step.
//!
//! A disk takes about as long to sync one small file as to sync a hundred, if
//! it is asked once: by `syncfs`. Its weak side is the report of failures: the
//! kernel tells a handle once that some file of the file system could not be
//! written, not which. So one handle is kept from before the first write, one
//! thread at a time asks, and after the first failure every file is synced by
//! itself, where the kernel reports each file's own failures.
//!
//! Threads that ask while another one's `syncfs` is under way share the next:
//! whatever they wrote was written before that one begins.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::attributes;
use super::kind::FileSystemKind;
use super::resolve::Fault;
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

/// Rounds of syncing, each for whoever asked before it began.
#[derive(Debug, Default)]
struct Rounds {
    state: Mutex<State>,
    ended: Condvar,
}

/// How far syncing has come. Each round has a number, from 1 on.
#[derive(Debug, Default)]
struct State {
    /// The last one that was begun.
    begun: u64,
    /// The last one that came back.
    ended: u64,
    /// Whether one has failed: nothing is known by any of them from then on.
    failed: bool,
}

impl Rounds {
    /// Waits for a round of `sync` that began after this call. One that is
    /// under way began too early; the next one will do, whoever begins it.
    fn join(&self, sync: impl Fn() -> rustix::io::Result<()>) -> rustix::io::Result<()> {
        let mut state = self.state();
        let mine = state.begun + 1;
        while state.ended < mine && !state.failed {
            if state.begun > state.ended {
                state = self.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.begun += 1;
            drop(state);
            let result = sync();
            state = self.state();
            state.ended = state.begun;
            state.failed |= result.is_err();
            self.ended.notify_all();
        }
        if state.failed { Err(Errno::IO) } else { Ok(()) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whole after every step, also of a thread that panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Syncs batches; see the module.
#[derive(Debug)]
pub(super) struct BatchSync {
    file_system: Option<FileSystem>,
    rounds: Rounds,
}

impl BatchSync {
    /// For the file system of `root`, if it can be trusted with this.
    pub(super) fn new(root: BorrowedFd<'_>) -> Self {
        Self { file_system: open(root).ok().flatten(), rounds: Rounds::default() }
    }

    /// Brings all files to stable storage.
    pub(super) fn sync(&self, files: &[Arc<dyn WriteFile>]) -> Result<()> {
        if files.len() >= WORTH_IT && self.holds_all(files)? && self.sync_file_system().is_ok() {
            return Ok(());
        }
        files.iter().try_for_each(|file| file.sync_all())
    }

    /// Whether the file system that is synced has all of these files.
    fn holds_all(&self, files: &[Arc<dyn WriteFile>]) -> Result<bool> {
        let Some(FileSystem { device, .. }) = &self.file_system else { return Ok(false) };
        for file in files {
            if file.metadata()?.device != *device {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether `count` directories could be synced in one step; `devices` says
    /// on which file systems they are.
    pub(super) fn sync_directories(
        &self,
        count: usize,
        devices: impl FnOnce() -> std::result::Result<Vec<u64>, Fault>,
    ) -> bool {
        let Some(FileSystem { device, .. }) = &self.file_system else { return false };
        let all_there = || devices().is_ok_and(|devices| devices.iter().all(|found| found == device));
        count >= WORTH_IT && all_there() && self.sync_file_system().is_ok()
    }

    /// Syncs the file system that holds `directory`, when the directory itself
    /// cannot be opened for it.
    pub(super) fn sync_file_system_of(&self, directory: BorrowedFd<'_>) -> rustix::io::Result<()> {
        let found = attributes::metadata(&rustix::fs::fstat(directory)?).device;
        match &self.file_system {
            Some(FileSystem { device, .. }) if *device == found => self.sync_file_system(),
            _ => Err(Errno::ACCESS),
        }
    }

    /// Waits until all that was written before this call is on stable storage.
    fn sync_file_system(&self) -> rustix::io::Result<()> {
        let Some(FileSystem { handle, .. }) = &self.file_system else { return Err(Errno::ACCESS) };
        self.rounds.join(|| rustix::fs::syncfs(handle))
    }
}

fn open(root: BorrowedFd<'_>) -> rustix::io::Result<Option<FileSystem>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let handle = rustix::fs::openat(root, c".", flags, Mode::empty())?;
    let trusted = FileSystemKind::of(&handle)?.is_some_and(|kind| TRUSTED.contains(&kind));
    let device = attributes::metadata(&rustix::fs::fstat(&handle)?).device;
    Ok(trusted.then_some(FileSystem { handle, device }))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
    use std::thread;

    use super::*;

    const THREADS: usize = 8;
    const CALLS: usize = 200;

    #[test]
    fn whoever_returns_was_in_a_round_that_began_after_the_call() {
        let (rounds, clock, syncs) = (Rounds::default(), AtomicU64::new(0), Mutex::new(Vec::new()));
        let tick = || clock.fetch_add(1, SeqCst);
        let sync = || {
            let began = tick();
            thread::yield_now();
            syncs.lock().unwrap().push((began, tick()));
            Ok(())
        };
        let call = || {
            let called = tick();
            rounds.join(sync).unwrap();
            (called, tick())
        };
        let calls: Vec<(u64, u64)> = thread::scope(|scope| {
            let threads: Vec<_> =
                (0..THREADS).map(|_| scope.spawn(|| (0..CALLS).map(|_| call()).collect::<Vec<_>>())).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let syncs = syncs.into_inner().unwrap();
        assert!(syncs.len() <= THREADS * CALLS);
        assert!(syncs.windows(2).all(|pair| pair[0].1 < pair[1].0), "one at a time");
        for (called, returned) in calls {
            assert!(syncs.iter().any(|&(began, ended)| called < began && ended < returned), "{called} to {returned}");
        }
    }

    #[test]
    fn nobody_relies_on_a_round_after_one_has_failed() {
        let rounds = Rounds::default();
        assert!(rounds.join(|| Ok(())).is_ok());
        assert!(rounds.join(|| Err(Errno::IO)).is_err());
        assert!(rounds.join(|| Ok(())).is_err());
    }
}
