//! A file of a store as a stream, which is what envelopes are read from and
//! written to.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use limosa_storage::{ReadFile, StorageError, WriteFile};

fn moved(position: u64, to: SeekFrom) -> io::Result<u64> {
    let position = match to {
        SeekFrom::Start(position) => Some(position),
        SeekFrom::Current(by) => position.checked_add_signed(by),
        SeekFrom::End(_) => None,
    };
    position.ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// An error of the store keeps its nature on its way through a stream.
fn through(error: StorageError) -> io::Error {
    io::Error::other(error)
}

/// What a store reported, if that is what broke the stream.
pub(super) fn reported(error: &io::Error) -> Option<&StorageError> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

/// Reads a file.
#[derive(Debug)]
pub(super) struct FileReader {
    file: Arc<dyn ReadFile>,
    position: u64,
}

impl FileReader {
    pub(super) const fn new(file: Arc<dyn ReadFile>) -> Self {
        Self { file, position: 0 }
    }
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(self.position, buffer).map_err(through)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for FileReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = moved(self.position, to)?;
        Ok(self.position)
    }
}

/// Writes a file.
#[derive(Debug)]
pub(super) struct FileWriter {
    file: Arc<dyn WriteFile>,
    position: u64,
}

impl FileWriter {
    pub(super) const fn new(file: Arc<dyn WriteFile>) -> Self {
        Self { file, position: 0 }
    }
}

impl Write for FileWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_at(self.position, bytes).map_err(through)?;
        self.position += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for FileWriter {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = moved(self.position, to)?;
        Ok(self.position)
    }
}
