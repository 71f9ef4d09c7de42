//! Syncing many small files, or many directories, in one step.
//!
//! A disk takes about as long to sync one small file as to sync a hundred, if
//! it is asked once: by `syncfs`. Its weak side is the report of failures: the
//! kernel tells a handle once that some file of the file system could not be
//! written, not which. So one handle is kept from before the first write, one
//! thread at a time asks, and after the first failure every file is synced by
//! itself, where the kernel reports each file's own failures.
//!
//! A store may reach over several file systems: who sends to a plain login has
//! the root directory for a store and its files on another disk. Each is met
//! when a directory of it is first looked up, which is before anything is
//! written there.
//!
//! Threads that ask while another one's `syncfs` is under way share the next:
//! whatever they wrote was written before that one begins.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};

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

/// File systems of one store that are remembered; what is on others is synced
/// one by one.
const MOST: usize = 16;

/// A file system, to be synced as a whole.
#[derive(Debug)]
struct FileSystem {
    handle: OwnedFd,
    rounds: Rounds,
}

impl FileSystem {
    /// Waits until all that was written before this call is on stable storage.
    fn sync(&self) -> rustix::io::Result<()> {
        self.rounds.join(|| rustix::fs::syncfs(&self.handle))
    }
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

/// What is known of the file system of a device: `None` if it cannot be trusted
/// with this.
type Met = (u64, Option<Arc<FileSystem>>);

/// Syncs batches; see the module.
#[derive(Debug, Default)]
pub(super) struct BatchSync {
    met: RwLock<Vec<Met>>,
}

impl BatchSync {
    /// Sees to it that the file system of a directory can be synced, before
    /// anything is written to it.
    pub(super) fn meet(&self, directory: BorrowedFd<'_>) {
        let Ok(device) = device_of(directory) else { return };
        if self.find(device).is_some() {
            return;
        }
        let mut met = self.met.write().unwrap_or_else(PoisonError::into_inner);
        if met.len() < MOST && met.iter().all(|(known, _)| *known != device) {
            // Writes may follow that a later handle would not be told of.
            met.push((device, open(directory).ok().flatten().map(Arc::new)));
        }
    }

    fn find(&self, device: u64) -> Option<Option<Arc<FileSystem>>> {
        let met = self.met.read().unwrap_or_else(PoisonError::into_inner);
        met.iter().find(|(known, _)| *known == device).map(|(_, file_system)| file_system.clone())
    }

    /// Brings all files to stable storage.
    pub(super) fn sync(&self, files: &[Arc<dyn WriteFile>]) -> Result<()> {
        let synced = self.sync_together(files.iter().map(|file| file.metadata().ok().map(|found| found.device)));
        let mut rest = files.iter().zip(synced).filter(|(_, synced)| !synced);
        rest.try_for_each(|(file, _)| file.sync_all())
    }

    /// Syncs each file system that holds enough of many things to be synced;
    /// says which of those things are on stable storage now. `devices` are those
    /// that they are on, as far as that is known.
    pub(super) fn sync_together(&self, devices: impl ExactSizeIterator<Item = Option<u64>>) -> Vec<bool> {
        if devices.len() < WORTH_IT {
            return vec![false; devices.len()];
        }
        let devices: Vec<_> = devices.collect();
        let mut counts = BTreeMap::new();
        devices.iter().flatten().for_each(|device| *counts.entry(*device).or_insert(0) += 1);
        counts.retain(|_, count| *count >= WORTH_IT);
        let is_synced = |device: u64| self.find(device).flatten().is_some_and(|found| found.sync().is_ok());
        let synced: BTreeSet<u64> = counts.into_keys().filter(|device| is_synced(*device)).collect();
        devices.iter().map(|device| device.is_some_and(|device| synced.contains(&device))).collect()
    }

    /// Syncs the file system that holds `directory`, when the directory itself
    /// cannot be opened for it.
    pub(super) fn sync_file_system_of(&self, directory: BorrowedFd<'_>) -> rustix::io::Result<()> {
        let found = self.find(device_of(directory)?).flatten().ok_or(Errno::ACCESS)?;
        found.sync()
    }
}

/// The device that an open file or directory is on.
pub(super) fn device_of(file: impl AsFd) -> rustix::io::Result<u64> {
    Ok(attributes::metadata(&rustix::fs::fstat(file)?).device)
}

fn open(directory: BorrowedFd<'_>) -> rustix::io::Result<Option<FileSystem>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let handle = rustix::fs::openat(directory, c".", flags, Mode::empty())?;
    let trusted = FileSystemKind::of(&handle)?.is_some_and(|kind| TRUSTED.contains(&kind));
    Ok(trusted.then(|| FileSystem { handle, rounds: Rounds::default() }))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
    use std::thread;

    use super::*;

    #[test]
    fn each_file_system_is_synced_that_holds_enough_of_it() {
        let (here, memory) = (std::fs::File::open("/").unwrap(), std::fs::File::open("/dev/shm"));
        let [Some(here), Some(memory)] = [Some(here), memory.ok()].map(|opened| opened.map(OwnedFd::from)) else {
            return eprintln!("skipped: there is no /dev/shm");
        };
        let (root, other) = (device_of(&here).unwrap(), device_of(&memory).unwrap());
        let is_tmpfs = FileSystemKind::of(&memory).unwrap() == Some(FileSystemKind::TMPFS);
        if root == other || !is_tmpfs {
            return eprintln!("skipped: /dev/shm is no tmpfs of its own");
        }
        let batch = BatchSync::default();
        batch.meet(here.as_fd());
        let many = || std::iter::repeat_n(Some(other), WORTH_IT).chain([Some(root), None]).collect::<Vec<_>>();
        assert_eq!(batch.sync_together(many().into_iter()), [false; WORTH_IT + 2], "it was not met");
        batch.meet(memory.as_fd());
        let synced = batch.sync_together(many().into_iter());
        assert!(synced[..WORTH_IT].iter().all(|synced| *synced) && !synced[WORTH_IT] && !synced[WORTH_IT + 1]);
        assert_eq!(batch.sync_together(many().into_iter().skip(3)), [false; WORTH_IT - 1], "too few");
        assert_eq!(batch.find(other).flatten().unwrap().rounds.state().ended, 1);
    }

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
