//! Open files in memory.

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};

use super::node::{Body, Content, Node, guard};
use crate::contract::{AppendFile, ReadFile, WriteFile};
use crate::error::{ErrorKind, Operation, Result, StorageError};
use crate::metadata::{Attributes, Kind, Metadata};
use crate::path::StorePath;

/// As on a disk whose offsets are signed.
const MAX_SIZE: u64 = i64::MAX as u64;

/// A file, open in any way.
#[derive(Debug)]
pub(super) struct MemoryFile {
    node: Arc<Node>,
    path: StorePath,
}

impl MemoryFile {
    /// Opens a node that is a file.
    pub(super) fn open(node: Arc<Node>, operation: Operation, path: &StorePath) -> Result<Self> {
        let kind = match node.kind() {
            Kind::File => return Ok(Self { node, path: path.clone() }),
            Kind::Directory => ErrorKind::IsADirectory,
            Kind::Symlink => ErrorKind::Loop,
            Kind::Other(_) => ErrorKind::Unsupported,
        };
        Err(StorageError::new(kind, operation, path))
    }

    pub(super) fn node(&self) -> &Arc<Node> {
        &self.node
    }

    fn content(&self) -> Result<MutexGuard<'_, Content>> {
        match &self.node.body {
            Body::File(content) => Ok(guard(content)),
            _ => Err(StorageError::new(ErrorKind::Unsupported, Operation::Read, &self.path)),
        }
    }

    fn check_end(&self, operation: Operation, end: Option<u64>) -> Result<()> {
        match end {
            Some(end) if end <= MAX_SIZE => Ok(()),
            _ => Err(StorageError::new(ErrorKind::TooLarge, operation, &self.path)),
        }
    }
}

#[deny(clippy::missing_trait_methods)]
impl ReadFile for MemoryFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        Ok(self.content()?.read(offset, buffer))
    }

    fn metadata(&self) -> Result<Metadata> {
        Ok(self.node.metadata())
    }

    fn next_data(&self, offset: u64) -> Result<Option<Range<u64>>> {
        Ok(self.content()?.next_data(offset))
    }
}

#[deny(clippy::missing_trait_methods)]
impl WriteFile for MemoryFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.check_end(Operation::Write, offset.checked_add(bytes.len() as u64))?;
        self.content()?.write(offset, bytes);
        self.node.touch();
        Ok(())
    }

    /// Changes nothing here.
    fn expect_length(&self, _: u64) {}

    fn truncate(&self, length: u64) -> Result<()> {
        self.check_end(Operation::Truncate, Some(length))?;
        self.content()?.truncate(length);
        self.node.touch();
        Ok(())
    }

    fn preallocate(&self, length: u64) -> Result<()> {
        self.check_end(Operation::Preallocate, Some(length))
    }

    fn sync_data(&self) -> Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> Result<()> {
        Ok(())
    }

    fn set_attributes(&self, wanted: &Attributes) -> Result<()> {
        self.node.set_attributes(wanted);
        Ok(())
    }
}

/// A journal in memory.
#[derive(Debug)]
pub(super) struct MemoryAppend {
    file: MemoryFile,
    appending: Mutex<()>,
}

impl MemoryAppend {
    pub(super) fn new(file: MemoryFile) -> Self {
        Self { file, appending: Mutex::new(()) }
    }
}

#[deny(clippy::missing_trait_methods)]
impl AppendFile for MemoryAppend {
    fn append(&self, bytes: &[u8]) -> Result<()> {
        let _turn = guard(&self.appending);
        self.file.write_at(self.length()?, bytes)
    }

    fn length(&self) -> Result<u64> {
        Ok(self.file.metadata()?.size)
    }

    fn truncate(&self, length: u64) -> Result<()> {
        self.file.truncate(length)
    }

    fn sync_data(&self) -> Result<()> {
        Ok(())
    }
}

/// Holds the lock of a file until dropped.
#[derive(Debug)]
pub(super) struct MemoryLock(Arc<Node>);

impl MemoryLock {
    /// Takes the lock, unless somebody has it.
    pub(super) fn take(node: &Arc<Node>) -> Option<Self> {
        let taken = node.locked.swap(true, Ordering::AcqRel);
        (!taken).then(|| Self(node.clone()))
    }
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.0.locked.store(false, Ordering::Release);
    }
}
