//! Under which names a file lies while it arrives.

use crate::error::{ErrorKind, Operation, Result, StorageError};
use crate::path::{Name, StorePath};

/// What names of files under way begin with. Nothing lies beside others.
pub const STAGED_PREFIX: &[u8] = b".limosa-";
/// What the name of content ends in that has no name of its own yet,
const CONTENT: &[u8] = b".opening";
/// and that of the heads beside it.
const HEADS: &[u8] = b".heads";

/// What is put behind the name of a staged file that is opened on the way, for
/// those that lie beside it.
pub const BESIDE_STAGED: [&[u8]; 2] = [CONTENT, HEADS];

/// The names that belong to a staged file.
///
/// Content that is to outlive the session does not lie under the staged name:
/// another session, which does not open envelopes, would go on with it as if it
/// were the sealed file.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// Of the file as it came.
    pub(super) staged: StorePath,
    /// Of its content.
    pub(super) content: StorePath,
    /// Of the heads of the segments that the content came in.
    pub(super) heads: StorePath,
}

impl Names {
    /// The names beside a staged one.
    ///
    /// # Errors
    /// [`InvalidName`](ErrorKind::InvalidName) if it is not one, and
    /// [`TooLong`](ErrorKind::TooLong) if there is no room for them.
    pub(super) fn of(staged: &StorePath) -> Result<Self> {
        if !staged.split().is_some_and(|(_, name)| name.as_bytes().starts_with(STAGED_PREFIX)) {
            return Err(StorageError::new(ErrorKind::InvalidName, Operation::Create, staged));
        }
        Ok(Self { staged: staged.clone(), content: beside(staged, CONTENT)?, heads: beside(staged, HEADS)? })
    }
}

fn beside(path: &StorePath, end: &[u8]) -> Result<StorePath> {
    let name =
        |(parent, name): (StorePath, Name)| parent.join(&Name::parse(&[name.as_bytes(), end].concat()).ok()?).ok();
    let too_long = || StorageError::new(ErrorKind::TooLong, Operation::Create, path);
    path.split().and_then(name).ok_or_else(too_long)
}
