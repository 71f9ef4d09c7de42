//! What can be built from the operations of any store.

#[cfg(doc)]
use super::ReadFile;
use super::{FollowLinks, Store};
use crate::error::{ErrorKind, Operation, Result, StorageError};
use crate::path::StorePath;

/// Reads a whole file of at most `limit` bytes, such as a journal.
///
/// # Errors
/// [`TooLarge`](ErrorKind::TooLarge) if it is longer, and what
/// [`Store::open`] and [`ReadFile::read_at`] report.
pub fn read_whole(store: &dyn Store, path: &StorePath, limit: u64) -> Result<Vec<u8>> {
    let file = store.open(path, FollowLinks::No)?;
    let too_large = || StorageError::new(ErrorKind::TooLarge, Operation::Read, path);
    let size = file.metadata()?.size;
    if size > limit {
        return Err(too_large());
    }
    // One byte more than the size shows whether the file grows meanwhile.
    let room = usize::try_from(size).ok().and_then(|size| size.checked_add(1));
    let mut bytes = vec![0; room.ok_or_else(too_large)?];
    let read = file.read_at(0, &mut bytes)?;
    if read as u64 > limit {
        return Err(too_large());
    }
    bytes.truncate(read);
    Ok(bytes)
}

/// Makes `path` and every missing directory above it, as
/// [`Store::make_directory`] does, and returns those it made, topmost first.
///
/// # Errors
/// [`NotADirectory`](ErrorKind::NotADirectory) if something else has one of
/// the names, and what [`Store::make_directory`] reports.
pub fn make_directories(store: &dyn Store, path: &StorePath) -> Result<Vec<StorePath>> {
    let mut missing = Vec::new();
    let mut next = Some(path.clone());
    while let Some(directory) = next {
        match store.metadata(&directory, FollowLinks::Yes) {
            Ok(found) if found.is_directory() => break,
            Ok(_) => return Err(not_a_directory(&directory)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        next = directory.parent();
        missing.push(directory);
    }
    let mut made = Vec::with_capacity(missing.len());
    for directory in missing.into_iter().rev() {
        match store.make_directory(&directory) {
            Ok(()) => made.push(directory),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                // Somebody else was faster, or a link points nowhere.
                if !store.metadata(&directory, FollowLinks::Yes)?.is_directory() {
                    return Err(not_a_directory(&directory));
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(made)
}

fn not_a_directory(path: &StorePath) -> StorageError {
    StorageError::new(ErrorKind::NotADirectory, Operation::MakeDirectory, path)
}
