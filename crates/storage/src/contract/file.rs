//! Open files: what may be done with one, whatever its name is by now.

use std::fmt::Debug;
use std::ops::Range;

#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::Result;
use crate::metadata::{Attributes, Metadata};

/// A file open for reading, at any offset, by any number of threads.
pub trait ReadFile: Debug + Send + Sync {
    /// Reads bytes at `offset` into `buffer` and returns how many: fewer
    /// than asked for only at the end of the file, where it returns 0. Holes
    /// read as zeros.
    ///
    /// # Errors
    /// What the store reports.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize>;

    /// Metadata of the open file, whatever its name shows by now.
    ///
    /// # Errors
    /// What the store reports.
    fn metadata(&self) -> Result<Metadata>;

    /// The first run of data at or after `offset`; `None` if only a hole or
    /// the end follows. The range starts at `offset` or later, is not empty,
    /// and ends at a hole or at the end of the file. A store without holes
    /// answers with all that is left. Zeros may be reported as data; data is
    /// never reported as a hole.
    ///
    /// # Errors
    /// What the store reports.
    fn next_data(&self, offset: u64) -> Result<Option<Range<u64>>>;
}

/// A file open for writing and reading, at any offset, by any number of
/// threads. Overlapping writes from several threads leave either one's bytes.
pub trait WriteFile: ReadFile {
    /// Writes all of `bytes` at `offset`, beyond the end too: what is skipped
    /// becomes a hole, or zeros.
    ///
    /// # Errors
    /// [`NoSpace`](ErrorKind::NoSpace), [`TooLarge`](ErrorKind::TooLarge) and
    /// others; a part of `bytes` may then have been written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Says how long the file will be in the end, where that is known before
    /// it is written. A hint: nothing of the file changes, and who is wrong may
    /// go on all the same. A store that cannot store the end of a file before
    /// knowing it is one then need not write over what was synced.
    fn expect_length(&self, length: u64);

    /// Sets the length: cuts the file, or lengthens it by a hole or zeros.
    ///
    /// # Errors
    /// What the store reports.
    fn truncate(&self, length: u64) -> Result<()>;

    /// Reserves space for a file of `length` bytes, as far as the store can;
    /// length and content as seen by readers do not change. What is reserved
    /// and never written may read as data for [`ReadFile::next_data`], so
    /// this is not for files with holes. A store that cannot reserve
    /// succeeds without doing so.
    ///
    /// # Errors
    /// [`NoSpace`](ErrorKind::NoSpace) if the space is known to be missing.
    fn preallocate(&self, length: u64) -> Result<()>;

    /// Brings what was written, and the length, to stable storage. Once an
    /// error was returned nothing is known about bytes written before, and every
    /// later sync of this open file fails too: they have to be written again to
    /// another.
    ///
    /// # Errors
    /// What the store reports.
    fn sync_data(&self) -> Result<()>;

    /// As [`sync_data`](Self::sync_data), attributes included.
    ///
    /// # Errors
    /// What the store reports.
    fn sync_all(&self) -> Result<()>;

    /// Sets owner, mode and time, in an order in which each survives the
    /// others. A later write changes the time again.
    ///
    /// # Errors
    /// What the store reports; some attributes may have been set.
    fn set_attributes(&self, attributes: &Attributes) -> Result<()>;
}

/// A journal: a file that grows at its end.
pub trait AppendFile: Debug + Send + Sync {
    /// Appends all of `bytes`.
    ///
    /// # Errors
    /// As [`WriteFile::write_at`]; a part of `bytes` may be at the end of the
    /// file then. [`truncate`](Self::truncate) takes it away.
    fn append(&self, bytes: &[u8]) -> Result<()>;

    /// The length in bytes.
    ///
    /// # Errors
    /// What the store reports.
    fn length(&self) -> Result<u64>;

    /// Cuts the file to `length`, for a torn record at the end.
    ///
    /// # Errors
    /// What the store reports.
    fn truncate(&self, length: u64) -> Result<()>;

    /// Brings what was appended, and the length, to stable storage.
    ///
    /// # Errors
    /// As [`WriteFile::sync_data`].
    fn sync_data(&self) -> Result<()>;
}
