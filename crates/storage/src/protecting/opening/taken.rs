//! Names that files got in this session: an envelope and the file it is called
//! after lie side by side at the source, and want the same one here.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};

use crate::error::{ErrorKind, Operation, Result, StorageError};
use crate::path::StorePath;

/// How a file came to its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Landed {
    /// By having been opened.
    Opened,
    /// It had it at the source.
    AsItCame,
}

/// See the module. Names are kept as hashes under a key of this process: two of
/// a billion collide once in forty sessions.
#[derive(Debug, Default)]
pub(super) struct TakenNames {
    hasher: RandomState,
    names: Mutex<HashMap<u64, Landed>>,
}

impl TakenNames {
    /// Takes a name for a file.
    ///
    /// # Errors
    /// [`AlreadyExists`](ErrorKind::AlreadyExists) if a file of the other kind
    /// has it.
    pub(super) fn take(&self, name: &StorePath, landed: Landed) -> Result<()> {
        let hash = self.hasher.hash_one(name.as_bytes());
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if *names.entry(hash).or_insert(landed) == landed {
            return Ok(());
        }
        let cause = std::io::Error::other("an encrypted file and one in clear have this name here; fetch them apart");
        Err(StorageError::new(ErrorKind::AlreadyExists, Operation::Publish, name).because(cause))
    }
}
