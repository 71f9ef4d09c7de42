//! Listing a directory a page at a time.
//!
//! A cursor holds the directory offset at which the next entry starts. File
//! systems keep it valid across handles, as network file servers need it.

use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;

use rustix::fs::{FileType, RawDir, SeekFrom};
use rustix::io::Errno;

use super::attributes;
use crate::contract::{Cursor, DirectoryEntry, Page};
use crate::path::Name;

/// Bytes of directory entries asked of the kernel at a time.
const BUFFER: usize = 32 * 1024;

/// Reads at most `limit` entries of an open directory.
pub(super) fn page(directory: BorrowedFd<'_>, from: Option<&Cursor>, limit: usize) -> rustix::io::Result<Page> {
    if let Some(cursor) = from {
        let offset = cursor.as_bytes().try_into().map_err(|_| Errno::INVAL)?;
        rustix::fs::seek(directory, SeekFrom::Start(u64::from_le_bytes(offset)))?;
    }
    let limit = limit.max(1);
    let mut buffer = vec![MaybeUninit::uninit(); BUFFER];
    let mut reader = RawDir::new(directory, &mut buffer);
    let mut entries = Vec::with_capacity(limit.min(1024));
    while let Some(entry) = reader.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            let name = Name::parse(name).map_err(|_| Errno::ILSEQ)?;
            entries.push(DirectoryEntry { name, kind: known_kind(entry.file_type()) });
        }
        if entries.len() == limit {
            let next = entry.next_entry_cookie().to_le_bytes();
            return Ok(Page { entries, next: Some(Cursor::new(next)) });
        }
    }
    Ok(Page { entries, next: None })
}

fn known_kind(file_type: FileType) -> Option<crate::metadata::Kind> {
    (file_type != FileType::Unknown).then(|| attributes::kind(file_type))
}
