//! A file that is written as it is, below a store that opens sealed ones.
//!
//! Whoever has a copy of somebody else's sealed file, from a stolen disk or a
//! backup, could store it here and have it opened when it is read. What begins
//! as a sealed file does is therefore not taken.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use limosa_seal::envelope::PREAMBLE;

use super::recognize::is_ours;
use crate::contract::{ReadFile, WriteFile};
use crate::error::{ErrorKind, Operation, Result, StorageError};
use crate::metadata::{Attributes, Metadata};
use crate::path::StorePath;

/// See the module.
#[derive(Debug)]
pub(super) struct PlainFile {
    file: Arc<dyn WriteFile>,
    path: StorePath,
    /// Held while the first bytes are written, which may come in pieces.
    start: Mutex<()>,
}

impl PlainFile {
    pub(super) fn new(file: Arc<dyn WriteFile>, path: &StorePath) -> Self {
        Self { file, path: path.clone(), start: Mutex::default() }
    }

    /// Refuses bytes with which the file would begin as a sealed one does.
    fn check_start(&self, offset: usize, bytes: &[u8]) -> Result<()> {
        let mut start = [0; PREAMBLE];
        self.file.read_at(0, &mut start)?;
        let room = &mut start[offset..];
        let length = room.len().min(bytes.len());
        room[..length].copy_from_slice(&bytes[..length]);
        if is_ours(&start) {
            let cause = io::Error::other("it begins as a file does that this server has sealed");
            let refused = StorageError::new(ErrorKind::PermissionDenied, Operation::Write, &self.path);
            return Err(refused.because(cause));
        }
        Ok(())
    }
}

#[deny(clippy::missing_trait_methods)]
impl ReadFile for PlainFile {
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
impl WriteFile for PlainFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        match usize::try_from(offset) {
            Ok(within) if within < PREAMBLE => {
                let _turn = self.start.lock().unwrap_or_else(PoisonError::into_inner);
                self.check_start(within, bytes)?;
                self.file.write_at(offset, bytes)
            }
            _ => self.file.write_at(offset, bytes),
        }
    }

    fn expect_length(&self, length: u64) {
        self.file.expect_length(length);
    }

    fn truncate(&self, length: u64) -> Result<()> {
        self.file.truncate(length)
    }

    fn preallocate(&self, length: u64) -> Result<()> {
        self.file.preallocate(length)
    }

    fn sync_data(&self) -> Result<()> {
        self.file.sync_data()
    }

    fn sync_all(&self) -> Result<()> {
        self.file.sync_all()
    }

    fn set_attributes(&self, attributes: &Attributes) -> Result<()> {
        self.file.set_attributes(attributes)
    }
}
