//! The files of a store that are open for writing.
//!
//! Bytes may wait in memory that somebody else asks for by the file's name, and
//! two handles of one file must not each keep a ledger. So whoever opens a file,
//! or looks at it, is led to the one writer there is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::error::Result;
use crate::metadata::Metadata;

/// Device and inode. Nobody else gets them while the file is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileId(u64, u64);

impl FileId {
    pub(crate) fn of(found: &Metadata) -> Self {
        Self(found.device, found.inode)
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct OpenFiles<T>(Mutex<HashMap<FileId, Weak<T>>>);

impl<T> Default for OpenFiles<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> OpenFiles<T> {
    /// The writer of a file, if it has one.
    pub(crate) fn find(&self, id: FileId) -> Option<Arc<T>> {
        self.files().get(&id)?.upgrade()
    }

    /// The writer of a file, made if it has none.
    pub(crate) fn enter(&self, id: FileId, make: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        let mut files = self.files();
        if let Some(file) = files.get(&id).and_then(Weak::upgrade) {
            return Ok(file);
        }
        let file = Arc::new(make()?);
        files.insert(id, Arc::downgrade(&file));
        Ok(file)
    }

    /// A handle is about to let go of `file`.
    pub(crate) fn leave(&self, id: FileId, file: &Arc<T>) {
        let mut files = self.files();
        // Others come to it by this map alone, which is locked.
        if Arc::strong_count(file) == 1 {
            files.remove(&id);
        }
    }

    /// The last handle of a file is gone.
    pub(crate) fn forget(&self, id: FileId) {
        let mut files = self.files();
        if files.get(&id).is_some_and(|file| file.strong_count() == 0) {
            files.remove(&id);
        }
    }

    fn files(&self) -> MutexGuard<'_, HashMap<FileId, Weak<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
