//! Another master key for a file that is sealed: its header changes, its
//! content does not.

use limosa_seal::envelope::{Copies, Envelope, Header, MasterKey, MasterKeyId, SlotFor};

use super::keys::MasterKeys;
use super::recognize::{failure, header, sealed_start};
use crate::contract::{FollowLinks, Store, WriteFile};
use crate::error::{ErrorKind, Operation, Result};
use crate::metadata::{Attributes, Metadata};
use crate::path::StorePath;

/// What lets the owner read and write.
const OWNER: u32 = 0o600;

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rewrapped {
    /// The new key alone opens it now.
    Done,
    /// The new key alone opened it before.
    Already,
    /// It is not sealed.
    NotSealed,
}

/// Makes `to` the one master key that opens the file at `path` of `store`, the
/// store below the sealing one. One of `keys` opens it now. A crash leaves it to
/// be opened by the old key, the new one, or both; done again, it gets done.
/// Mode and time stay. Nobody else may do the same meanwhile.
///
/// # Errors
/// [`KeyMissing`](ErrorKind::KeyMissing) if none of the keys opens it,
/// [`Damaged`](ErrorKind::Damaged), and others of the store.
pub fn rewrap(store: &dyn Store, path: &StorePath, keys: &MasterKeys, to: &MasterKey) -> Result<Rewrapped> {
    let found = store.metadata(path, FollowLinks::No)?;
    let Some(header) = read_header(store, path, keys, &found)? else { return Ok(Rewrapped::NotSealed) };
    if is_only_for(&header, to.id()) {
        return Ok(Rewrapped::Already);
    }
    // Nothing of the file is touched for a key that cannot be had.
    keys.open(&header).map_err(|error| failure(error, Operation::Open, path))?;
    let (file, mode) = open_for_writing(store, path, &found)?;
    // Of the file that is open: its name may be another's by now.
    let before = Attributes::default().with_modified(file.metadata()?.modified);
    let changed = change(&*file, path, keys, to);
    let restored = file.set_attributes(&mode.map_or(before, |mode| before.with_mode(mode)));
    changed.and(restored).map(|()| Rewrapped::Done)
}

fn read_header(store: &dyn Store, path: &StorePath, keys: &MasterKeys, found: &Metadata) -> Result<Option<Header>> {
    if !found.is_file() {
        return Ok(None);
    }
    let file = store.open(path, FollowLinks::No)?;
    if sealed_start(&*file, found.size)?.is_none() {
        return Ok(None);
    }
    header(&*file, keys.set(), |error| failure(error, Operation::Open, path)).map(Some)
}

/// Whether no other master key opens it, by either copy of the header.
fn is_only_for(header: &Header, key: &MasterKeyId) -> bool {
    header.copies() == Copies::Both && header.table().slots.iter().all(|slot| slot.master().is_none_or(|id| id == key))
}

/// Opens a file whose mode may keep its owner from writing; and the mode, if it
/// had to be changed for that.
fn open_for_writing(
    store: &dyn Store,
    path: &StorePath,
    found: &Metadata,
) -> Result<(std::sync::Arc<dyn WriteFile>, Option<u32>)> {
    match store.reopen(path) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            store.set_attributes(path, &Attributes::default().with_mode(found.mode | OWNER))?;
            Ok((store.reopen(path)?, Some(found.mode)))
        }
        opened => Ok((opened?, None)),
    }
}

fn change(file: &dyn WriteFile, path: &StorePath, keys: &MasterKeys, to: &MasterKey) -> Result<()> {
    let fail = |error| failure(error, Operation::Write, path);
    let header = header(file, keys.set(), fail)?;
    let mut envelope: Envelope = keys.open(&header).map_err(fail)?;
    let has_new = envelope.slots().iter().any(|slot| slot.master() == Some(to.id()));
    if !has_new {
        envelope.add(SlotFor::Master(to)).map_err(fail)?;
    }
    envelope.retain(|slot| slot.master().is_none_or(|id| id == to.id())).map_err(fail)?;
    for update in envelope.updates().map_err(fail)? {
        file.write_at(update.offset, &update.bytes)?;
        file.sync_data()?;
    }
    Ok(())
}
