//! The files of a store that are open for writing.
//!
//! Bytes may wait in memory that somebody else asks for by the file's name, and
//! two handles of one file must not each keep a ledger. So whoever opens a file,
//! or looks at it, is led to the one writer there is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::writer::SealedFile;
use crate::error::Result;
use crate::metadata::Metadata;

/// Device and inode. Nobody else gets them while the file is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FileId(u64, u64);

impl FileId {
    pub(super) fn of(found: &Metadata) -> Self {
        Self(found.device, found.inode)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct OpenFiles(Mutex<HashMap<FileId, Weak<SealedFile>>>);

impl OpenFiles {
    /// The writer of a file, if it has one.
    pub(super) fn find(&self, id: FileId) -> Option<Arc<SealedFile>> {
        self.files().get(&id)?.upgrade()
    }

    /// The writer of a file, made if it has none.
    pub(super) fn enter(&self, id: FileId, make: impl FnOnce() -> Result<SealedFile>) -> Result<Arc<SealedFile>> {
        let mut files = self.files();
        if let Some(file) = files.get(&id).and_then(Weak::upgrade) {
            return Ok(file);
        }
        let file = Arc::new(make()?);
        files.insert(id, Arc::downgrade(&file));
        Ok(file)
    }

    /// A handle is about to let go of `file`.
    pub(super) fn leave(&self, id: FileId, file: &Arc<SealedFile>) {
        let mut files = self.files();
        // Others come to it by this map alone, which is locked.
        if Arc::strong_count(file) == 1 {
            files.remove(&id);
        }
    }

    fn files(&self) -> MutexGuard<'_, HashMap<FileId, Weak<SealedFile>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
