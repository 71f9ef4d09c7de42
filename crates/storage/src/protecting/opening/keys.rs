//! What opens the files that arrive, and what becomes of those that it does not
//! open.

use std::sync::{Mutex, PoisonError};

use limosa_seal::envelope::{Envelope, Header, Keyring};

use super::super::unopened;
use crate::error::{ErrorKind, Result, StorageError};
use crate::path::StorePath;

/// What becomes of an encrypted file for which there is no fitting key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// It stays encrypted under its encrypted name, and its entry fails.
    Keep,
    /// Its entry fails, and nothing of it stays.
    Discard,
}

/// See the module.
#[derive(Debug)]
pub(super) struct OpeningKeys {
    keys: Mutex<Keyring>,
    misfit: Misfit,
}

impl OpeningKeys {
    pub(super) const fn new(keys: Keyring, misfit: Misfit) -> Self {
        Self { keys: Mutex::new(keys), misfit }
    }

    /// Opens the header of the file at `path`.
    pub(super) fn open(&self, header: &Header, path: &StorePath) -> Result<Envelope> {
        let opened = self.keys.lock().unwrap_or_else(PoisonError::into_inner).open(header);
        opened.map_err(|error| unopened(path, error))
    }

    /// As [`open`](Self::open); `None` for a file that stays sealed because no
    /// key fits, or that whoever publishes it is told is damaged.
    pub(super) fn open_or_keep(&self, header: &Header, path: &StorePath) -> Result<Option<Envelope>> {
        match self.open(header, path) {
            Ok(envelope) => Ok(Some(envelope)),
            Err(error) if is_misfit(&error) && self.misfit == Misfit::Discard => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// Whether a file that fails so is kept as it came.
    pub(super) fn keeps(&self, error: &StorageError) -> bool {
        self.misfit == Misfit::Keep && is_misfit(error)
    }
}

fn is_misfit(error: &StorageError) -> bool {
    matches!(error.kind(), ErrorKind::WrongPassphrase | ErrorKind::NoFittingKey)
}
