//! A handle of a sealed file that is written, of which there may be several.

use std::ops::Range;
use std::sync::Arc;

use super::writer::{SealedFile, Settle};
use crate::contract::{ReadFile, WriteFile};
use crate::error::{Operation, Result};
use crate::metadata::{Attributes, Metadata};
use crate::open_files::{FileId, OpenFiles};

/// One handle of a file; the last one to go leaves it settled.
#[derive(Debug)]
pub(super) struct SealedHandle {
    file: Arc<SealedFile>,
    open: Arc<OpenFiles<SealedFile>>,
    id: FileId,
}

impl SealedHandle {
    pub(super) fn new(file: Arc<SealedFile>, open: &Arc<OpenFiles<SealedFile>>, id: FileId) -> Self {
        Self { file, open: open.clone(), id }
    }
}

impl Drop for SealedHandle {
    fn drop(&mut self) {
        if let Err(error) = self.file.settle(Settle::Content) {
            // Nobody was promised anything: who needs to know has synced.
            tracing::debug!(path = %self.file.cipher.path(), %error, "a file was let go unfinished");
        }
        self.open.leave(self.id, &self.file);
    }
}

#[deny(clippy::missing_trait_methods)]
impl ReadFile for SealedHandle {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        self.file.read_at(offset, buffer)
    }

    fn metadata(&self) -> Result<Metadata> {
        self.file.metadata()
    }

    fn next_data(&self, offset: u64) -> Result<Option<Range<u64>>> {
        self.file.next_data(offset)
    }
}

#[deny(clippy::missing_trait_methods)]
impl WriteFile for SealedHandle {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.file.write_at(offset, bytes)
    }

    fn expect_length(&self, length: u64) {
        self.file.ledger().expected = Some(length);
    }

    fn truncate(&self, length: u64) -> Result<()> {
        self.file.truncate(length)
    }

    fn preallocate(&self, length: u64) -> Result<()> {
        let stored = self.file.check_length(Operation::Preallocate, Some(length))?;
        if length == 0 { Ok(()) } else { self.file.file.preallocate(stored) }
    }

    fn sync_data(&self) -> Result<()> {
        self.file.settle(Settle::Content)?;
        self.file.file.sync_data()
    }

    fn sync_all(&self) -> Result<()> {
        self.file.settle(Settle::Whole)?;
        self.file.file.sync_all()
    }

    fn set_attributes(&self, attributes: &Attributes) -> Result<()> {
        // First, since storing what waits would set the time again.
        self.file.settle(Settle::Content)?;
        self.file.file.set_attributes(attributes)
    }
}
