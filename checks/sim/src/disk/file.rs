//! Open files.

use std::ops::Range;
use std::sync::Arc;

use limosa_storage::{
    AppendFile, Attributes, ErrorKind, Metadata, Operation, ReadFile, Result, StorageError, StorePath, WriteFile,
};

use super::fault::Effect;
use super::inode::InodeNumber;
use super::state::{Load, State};
use super::store::Shared;

/// As on a disk whose offsets are signed.
const MAX_SIZE: u64 = i64::MAX as u64;

/// A file, open in any way.
#[derive(Debug)]
pub(super) struct DiskFile {
    shared: Arc<Shared>,
    inode: InodeNumber,
    path: StorePath,
}

impl DiskFile {
    pub(super) fn new(shared: Arc<Shared>, inode: InodeNumber, path: &StorePath) -> Self {
        Self { shared, inode, path: path.clone() }
    }

    /// Does `action` as an operation.
    fn act<T>(
        &self,
        operation: Operation,
        load: impl FnOnce(&State) -> Load,
        action: impl FnOnce(&mut State, Option<Effect>) -> std::result::Result<T, ErrorKind>,
    ) -> Result<T> {
        let mut state = self.shared.state();
        let load = load(&state);
        let effect = state.begin(operation, &self.path, load)?;
        action(&mut state, effect).map_err(|kind| StorageError::new(kind, operation, &self.path))
    }

    fn check_end(&self, operation: Operation, end: Option<u64>) -> Result<()> {
        match end {
            Some(end) if end <= MAX_SIZE => Ok(()),
            _ => Err(StorageError::new(ErrorKind::TooLarge, operation, &self.path)),
        }
    }

    /// Writes at an offset, or at the end.
    fn write(&self, offset: Option<u64>, bytes: &[u8]) -> Result<()> {
        let load = |_: &State| Load { bytes: bytes.len() as u64, syncs: false };
        self.act(Operation::Write, load, |state, effect| {
            let content = state.content(self.inode)?;
            let offset = offset.unwrap_or(content.size());
            let grown = state.used + content.growth(offset, bytes.len() as u64);
            if grown > state.capacity {
                return Err(ErrorKind::NoSpace);
            }
            state.change_content(self.inode, |content| match effect {
                Some(Effect::FlipBit) => {
                    let mut wrong = bytes.to_vec();
                    flip_bit(&mut wrong);
                    content.write(offset, &wrong);
                }
                _ => content.write(offset, bytes),
            })
        })
    }

    pub(super) fn sync(&self, attributes: bool) -> Result<()> {
        let load = |state: &State| Load {
            bytes: state.inodes.get(&self.inode).map_or(0, super::inode::Inode::unsynced_bytes),
            syncs: true,
        };
        self.act(Operation::Sync, load, |state, effect| {
            if effect == Some(Effect::Ignore) {
                return Ok(());
            }
            let inode = state.inodes.get_mut(&self.inode).ok_or(ErrorKind::Io)?;
            if attributes {
                inode.sync_all();
            } else {
                inode.sync_data();
            }
            Ok(())
        })
    }
}

/// A bit in the middle, which is neither header nor padding of anything.
fn flip_bit(bytes: &mut [u8]) {
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 0x10;
    }
}

fn no_load(_: &State) -> Load {
    Load::default()
}

#[deny(clippy::missing_trait_methods)]
impl ReadFile for DiskFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let load = Load { bytes: buffer.len() as u64, syncs: false };
        self.act(
            Operation::Read,
            |_| load,
            |state, effect| {
                let read = state.content(self.inode)?.read(offset, buffer);
                if effect == Some(Effect::FlipBit) {
                    flip_bit(&mut buffer[..read]);
                }
                Ok(read)
            },
        )
    }

    fn metadata(&self) -> Result<Metadata> {
        self.act(Operation::Metadata, no_load, |state, _| {
            Ok(state.inodes.get(&self.inode).ok_or(ErrorKind::Io)?.metadata(self.inode))
        })
    }

    fn next_data(&self, offset: u64) -> Result<Option<Range<u64>>> {
        self.act(Operation::FindData, no_load, |state, _| Ok(state.content(self.inode)?.next_data(offset)))
    }
}

#[deny(clippy::missing_trait_methods)]
impl WriteFile for DiskFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.check_end(Operation::Write, offset.checked_add(bytes.len() as u64))?;
        self.write(Some(offset), bytes)
    }

    /// Changes nothing here.
    fn expect_length(&self, _: u64) {}

    fn truncate(&self, length: u64) -> Result<()> {
        self.check_end(Operation::Truncate, Some(length))?;
        self.act(Operation::Truncate, no_load, |state, _| {
            state.change_content(self.inode, |content| content.truncate(length))
        })
    }

    fn preallocate(&self, length: u64) -> Result<()> {
        self.check_end(Operation::Preallocate, Some(length))?;
        self.act(Operation::Preallocate, no_load, |state, _| {
            let more = length.saturating_sub(state.content(self.inode)?.allocated());
            if state.used.saturating_add(more) > state.capacity { Err(ErrorKind::NoSpace) } else { Ok(()) }
        })
    }

    fn sync_data(&self) -> Result<()> {
        self.sync(false)
    }

    fn sync_all(&self) -> Result<()> {
        self.sync(true)
    }

    fn set_attributes(&self, wanted: &Attributes) -> Result<()> {
        self.act(Operation::SetAttributes, no_load, |state, _| {
            let now = state.tick();
            state.inodes.get_mut(&self.inode).ok_or(ErrorKind::Io)?.set_attributes(wanted, now);
            Ok(())
        })
    }
}

/// A file open to append to it.
#[derive(Debug)]
pub(super) struct DiskAppend(pub(super) DiskFile);

#[deny(clippy::missing_trait_methods)]
impl AppendFile for DiskAppend {
    fn append(&self, bytes: &[u8]) -> Result<()> {
        self.0.write(None, bytes)
    }

    fn length(&self) -> Result<u64> {
        Ok(self.0.metadata()?.size)
    }

    fn truncate(&self, length: u64) -> Result<()> {
        WriteFile::truncate(&self.0, length)
    }

    fn sync_data(&self) -> Result<()> {
        self.0.sync(false)
    }
}

/// Holds the lock of a file until dropped.
#[derive(Debug)]
pub(super) struct DiskLock {
    shared: Arc<Shared>,
    inode: InodeNumber,
}

impl DiskLock {
    /// Takes the lock, unless somebody has it.
    pub(super) fn take(shared: &Arc<Shared>, state: &mut State, number: InodeNumber) -> Option<Self> {
        let inode = state.inodes.get_mut(&number)?;
        let taken = std::mem::replace(&mut inode.locked, true);
        (!taken).then(|| Self { shared: shared.clone(), inode: number })
    }
}

impl Drop for DiskLock {
    fn drop(&mut self) {
        if let Some(inode) = self.shared.state().inodes.get_mut(&self.inode) {
            inode.locked = false;
        }
    }
}
