//! Open files of the local disk. All reading and writing is positioned, so
//! one handle serves any number of threads.

use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::fs::{FallocateFlags, SeekFrom};
use rustix::io::Errno;

use super::attributes;
use super::kind::FileSystemKind;
use crate::contract::{AppendFile, ReadFile, WriteFile};
use crate::error::{ErrorKind, Operation, Result, StorageError};
use crate::metadata::{Attributes, Metadata};
use crate::path::StorePath;

/// Offsets of the operating system are signed.
const MAX_SIZE: u64 = i64::MAX as u64;

/// A regular file, open for reading or for both.
#[derive(Debug)]
pub(super) struct LocalFile {
    handle: OwnedFd,
    /// The name it was opened by, for messages.
    path: StorePath,
    syncs: Syncs,
}

/// Whether an open file could be synced so far. The kernel tells each open file
/// only once that something of it could not be written, and takes it for
/// written from then on: whoever asks again must not hear that all is well.
#[derive(Debug, Default)]
struct Syncs(OnceLock<Errno>);

impl Syncs {
    fn attempt(&self, sync: impl FnMut() -> rustix::io::Result<()>) -> rustix::io::Result<()> {
        match self.0.get() {
            Some(failed) => Err(*failed),
            None => uninterrupted(sync).inspect_err(|errno| {
                let _ = self.0.set(*errno);
            }),
        }
    }
}

impl LocalFile {
    pub(super) fn new(handle: OwnedFd, path: &StorePath) -> Self {
        Self { handle, path: path.clone(), syncs: Syncs::default() }
    }

    /// Refuses what ends where no offset of the system reaches.
    fn check_end(&self, operation: Operation, end: Option<u64>) -> Result<()> {
        match end {
            Some(end) if end <= MAX_SIZE => Ok(()),
            _ => Err(StorageError::new(ErrorKind::TooLarge, operation, &self.path)),
        }
    }

    fn fail(&self, operation: Operation) -> impl Fn(Errno) -> StorageError {
        move |errno| StorageError::from_io(operation, &self.path, errno)
    }

    /// Whether the file can grow to `length` bytes now.
    fn check_space(&self, length: u64) -> rustix::io::Result<()> {
        let space = rustix::fs::fstatvfs(&self.handle)?;
        let allocated = attributes::metadata(&rustix::fs::fstat(&self.handle)?).allocated;
        let available = space.f_bavail.saturating_mul(space.f_frsize);
        // A file system without a bound says that it has no blocks.
        if space.f_blocks > 0 && length.saturating_sub(allocated) > available { Err(Errno::NOSPC) } else { Ok(()) }
    }

    /// Where data starts at or after `offset`, `None` if none does.
    fn seek_run(&self, offset: u64) -> rustix::io::Result<Option<Range<u64>>> {
        let found = rustix::fs::seek(&self.handle, SeekFrom::Data(offset))
            .and_then(|start| rustix::fs::seek(&self.handle, SeekFrom::Hole(start)).map(|end| start..end));
        match found {
            Ok(run) => Ok((!run.is_empty()).then_some(run)),
            Err(Errno::NXIO) => Ok(None),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => {
                let size = attributes::metadata(&rustix::fs::fstat(&self.handle)?).size;
                Ok((offset < size).then_some(offset..size))
            }
            Err(errno) => Err(errno),
        }
    }
}

#[deny(clippy::missing_trait_methods)]
impl ReadFile for LocalFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        if offset >= MAX_SIZE {
            return Ok(0);
        }
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match rustix::io::pread(&self.handle, rest, offset.saturating_add(done as u64)) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.fail(Operation::Read)(errno)),
            }
        }
        Ok(done)
    }

    fn metadata(&self) -> Result<Metadata> {
        let stat = rustix::fs::fstat(&self.handle).map_err(self.fail(Operation::Metadata))?;
        Ok(attributes::metadata(&stat))
    }

    fn next_data(&self, offset: u64) -> Result<Option<Range<u64>>> {
        self.seek_run(offset).map_err(self.fail(Operation::FindData))
    }
}

#[deny(clippy::missing_trait_methods)]
impl WriteFile for LocalFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.check_end(Operation::Write, offset.checked_add(bytes.len() as u64))?;
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            match rustix::io::pwrite(&self.handle, rest, offset.saturating_add(done as u64)) {
                Ok(0) => return Err(self.fail(Operation::Write)(Errno::IO)),
                Ok(written) => done += written,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.fail(Operation::Write)(errno)),
            }
        }
        Ok(())
    }

    /// Changes nothing here.
    fn expect_length(&self, _: u64) {}

    fn truncate(&self, length: u64) -> Result<()> {
        self.check_end(Operation::Truncate, Some(length))?;
        uninterrupted(|| rustix::fs::ftruncate(&self.handle, length)).map_err(self.fail(Operation::Truncate))
    }

    fn preallocate(&self, length: u64) -> Result<()> {
        self.check_end(Operation::Preallocate, Some(length))?;
        if length == 0 {
            return Ok(());
        }
        let reserve = || match FileSystemKind::of(&self.handle)? {
            // There reserving means clearing every page: as slow as writing the
            // file, which would wait meanwhile.
            Some(FileSystemKind::TMPFS) => self.check_space(length),
            _ => rustix::fs::fallocate(&self.handle, FallocateFlags::KEEP_SIZE, 0, length),
        };
        match uninterrupted(reserve) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            result => result.map_err(self.fail(Operation::Preallocate)),
        }
    }

    fn sync_data(&self) -> Result<()> {
        self.syncs.attempt(|| rustix::fs::fdatasync(&self.handle)).map_err(self.fail(Operation::Sync))
    }

    fn sync_all(&self) -> Result<()> {
        self.syncs.attempt(|| rustix::fs::fsync(&self.handle)).map_err(self.fail(Operation::Sync))
    }

    fn set_attributes(&self, wanted: &Attributes) -> Result<()> {
        attributes::set_on_handle(self.handle.as_fd(), wanted).map_err(self.fail(Operation::SetAttributes))
    }
}

/// A journal, opened with `O_APPEND`.
#[derive(Debug)]
pub(super) struct LocalAppend {
    file: LocalFile,
    /// Keeps records whole that the kernel takes in parts.
    appending: Mutex<()>,
}

impl LocalAppend {
    pub(super) fn new(handle: OwnedFd, path: &StorePath) -> Self {
        Self { file: LocalFile::new(handle, path), appending: Mutex::new(()) }
    }
}

#[deny(clippy::missing_trait_methods)]
impl AppendFile for LocalAppend {
    fn append(&self, bytes: &[u8]) -> Result<()> {
        let _turn = self.appending.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rest = bytes;
        while !rest.is_empty() {
            match rustix::io::write(&self.file.handle, rest) {
                Ok(0) => return Err(self.file.fail(Operation::Write)(Errno::IO)),
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.file.fail(Operation::Write)(errno)),
            }
        }
        Ok(())
    }

    fn length(&self) -> Result<u64> {
        self.file.metadata().map(|metadata| metadata.size)
    }

    fn truncate(&self, length: u64) -> Result<()> {
        self.file.truncate(length)
    }

    fn sync_data(&self) -> Result<()> {
        self.file.sync_data()
    }
}

/// Repeats a call that a signal has interrupted.
pub(super) fn uninterrupted<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_could_not_be_synced_is_never_taken_for_synced() {
        let syncs = Syncs::default();
        assert_eq!(syncs.attempt(|| Ok(())), Ok(()));
        let mut signals = vec![Errno::NOSPC, Errno::INTR];
        assert_eq!(syncs.attempt(|| signals.pop().map_or(Ok(()), Err)), Err(Errno::NOSPC));
        assert_eq!(syncs.attempt(|| Ok(())), Err(Errno::NOSPC), "the kernel tells of it only once");
    }
}
