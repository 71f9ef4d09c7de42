//! Opening a sealed file that has arrived: one that could not be opened on the
//! way.

use std::io::{self, Read, Seek, SeekFrom};

use limosa_seal::envelope::{Envelope, OpeningReader, Sealed, StreamError};

use super::super::unopened;
use crate::contract::WriteFile;
use crate::error::{Operation, Result, StorageError};
use crate::metadata::Attributes;
use crate::path::StorePath;

/// Writes the content of an envelope, with its holes and attributes.
pub(super) fn unseal(envelope: &Envelope, sealed: &dyn WriteFile, out: &dyn WriteFile, path: &StorePath) -> Result<()> {
    let metadata = sealed.metadata()?;
    let fault = |error: StreamError| through(error, path);
    let reader = FileReader { file: sealed, position: 0 };
    let mut reader = OpeningReader::new(envelope, reader, Sealed(metadata.size)).map_err(fault)?;
    let written = std::cell::Cell::new(0);
    reader
        .copy::<Fault>(
            |bytes| {
                out.write_at(written.get(), bytes)?;
                written.set(written.get() + bytes.len() as u64);
                Ok(())
            },
            |zeros| {
                written.set(written.get() + zeros);
                Ok(())
            },
        )
        .map_err(|error| match error {
            Fault::Storage(error) => error,
            Fault::Stream(error) => fault(error),
        })?;
    out.truncate(written.get())?;
    out.set_attributes(&Attributes::default().with_mode(metadata.mode).with_modified(metadata.modified))
}

/// What can go wrong while content is copied.
enum Fault {
    Storage(StorageError),
    Stream(StreamError),
}

impl From<StorageError> for Fault {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<StreamError> for Fault {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
}

/// An error of the store keeps its nature on its way through a stream.
fn through(error: StreamError, path: &StorePath) -> StorageError {
    match error {
        StreamError::Envelope(error) => unopened(path, error),
        StreamError::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<StorageError>()) {
            Some(error) => error.clone(),
            None => StorageError::from_io(Operation::Read, path, error),
        },
    }
}

/// An open file as a stream.
struct FileReader<'a> {
    file: &'a dyn WriteFile,
    position: u64,
}

impl Read for FileReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(self.position, buffer).map_err(io::Error::other)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for FileReader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(_) => None,
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
