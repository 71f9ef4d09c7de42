//! Executes operations of the receiving engine on a store. Blocks: for a
//! thread that may.

mod partial;
mod whole;

use std::ops::Range;

use limosa_seal::ContentAlgorithm;
use limosa_storage::{
    Attributes, ErrorKind, FollowLinks, Kind, Metadata, Operation, Overwrite, ReadFile, Result, Staged, StorageError,
    Store, StorePath, make_directories,
};
use limosa_wire::layout::Digest;

use super::operation::{DestinationDone, DestinationOutput, DestinationWork, MakeLink, Parents, WriteBlock};
use crate::content::PORTION;

/// What the owner of a directory needs to work in it.
const OWNER_RIGHTS: u32 = 0o700;

/// Executes one operation. What fails is cleaned up as far as it can be; the
/// completion belongs to [`Receiver::completed`](super::Receiver::completed).
#[must_use]
pub fn perform(store: &dyn Store, work: DestinationWork) -> DestinationDone {
    let mut buffers = Vec::new();
    let result = match work {
        DestinationWork::Inspect(inspect) => partial::inspect(store, &inspect).map(DestinationOutput::Inspected),
        DestinationWork::MakeDirectory { path, parents, open_to_owner } => {
            done(make_directory(store, &path, parents, open_to_owner))
        }
        DestinationWork::FinishDirectory { path, attributes, sync } => {
            done(finish_directory(store, &path, &attributes, sync))
        }
        DestinationWork::SyncDirectories(paths) => done(sync_directories(store, &paths)),
        DestinationWork::MakeLink(link) => done(make_link(store, &link)),
        DestinationWork::Remove(path) => done(remove(store, &path)),
        DestinationWork::WriteWholes(files) => {
            let outcomes = whole::write(store, &files);
            buffers.extend(files.into_iter().map(|file| file.bytes));
            Ok(DestinationOutput::Wholes(outcomes))
        }
        DestinationWork::OpenPartial(open) => partial::open(store, &open),
        DestinationWork::WriteBlock(block) => {
            let result = write_block(&block);
            buffers.push(block.bytes);
            result
        }
        DestinationWork::WritePieces { partial, pieces } => {
            done(pieces.iter().try_for_each(|(offset, bytes)| partial.write_at(*offset, bytes)))
        }
        DestinationWork::ReadBack { partial, range, algorithm } => {
            digest_range(&*partial.file, range, algorithm).map(DestinationOutput::Digested)
        }
        DestinationWork::Checkpoint { partial, records } => done(partial::checkpoint(&partial, &records)),
        DestinationWork::PublishPartial(publish) => done(partial::publish(store, *publish)),
        DestinationWork::ClosePartial { partial, fate } => done(partial::close(store, &partial, &fate)),
    };
    DestinationDone { result, buffers }
}

fn done(result: Result<()>) -> Result<DestinationOutput> {
    result.map(|()| DestinationOutput::Done)
}

/// What has the name, if anything.
fn find(store: &dyn Store, path: &StorePath) -> Result<Option<Metadata>> {
    match store.metadata(path, FollowLinks::No) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Tries `action`; where a directory on the way is missing, makes it and tries
/// once more.
fn with_parents<T>(
    store: &dyn Store,
    path: &StorePath,
    parents: Parents,
    mut action: impl FnMut() -> Result<T>,
) -> Result<T> {
    match action() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if let Some(parent) = path.parent() {
                make_unannounced(store, &parent, parents)?;
            }
            action()
        }
        result => result,
    }
}

/// Makes a directory and those above it that are missing, for good.
fn make_unannounced(store: &dyn Store, path: &StorePath, parents: Parents) -> Result<()> {
    for made in make_directories(store, path)? {
        store.set_attributes(&made, &Attributes::default().with_mode(parents.mode))?;
        if parents.sync
            && let Some(parent) = made.parent()
        {
            store.sync_directory(&parent)?;
        }
    }
    Ok(())
}

fn make_directory(store: &dyn Store, path: &StorePath, parents: Parents, open_to_owner: bool) -> Result<()> {
    if path.is_root() {
        return Ok(());
    }
    match with_parents(store, path, parents, || store.make_directory(path)) {
        Ok(()) => match path.parent() {
            Some(parent) if parents.sync => store.sync_directory(&parent),
            _ => Ok(()),
        },
        Err(error) if error.kind() == ErrorKind::AlreadyExists => take_directory(store, path, open_to_owner),
        Err(error) => Err(error),
    }
}

/// Uses the directory that is there.
fn take_directory(store: &dyn Store, path: &StorePath, open_to_owner: bool) -> Result<()> {
    let found = store.metadata(path, FollowLinks::Yes)?;
    if !found.is_directory() {
        return Err(StorageError::new(ErrorKind::NotADirectory, Operation::MakeDirectory, path));
    }
    if open_to_owner && found.mode & OWNER_RIGHTS != OWNER_RIGHTS {
        // Another's directory cannot be opened up; whether its entries can be
        // made shows with each of them.
        let _ = store.set_attributes(path, &Attributes::default().with_mode(found.mode | OWNER_RIGHTS));
    }
    Ok(())
}

fn finish_directory(store: &dyn Store, path: &StorePath, attributes: &Attributes, sync: bool) -> Result<()> {
    if sync {
        // First: its final mode may forbid to open it.
        store.sync_directory(path)?;
    }
    if *attributes == Attributes::default() { Ok(()) } else { store.set_attributes(path, attributes) }
}

fn sync_directories(store: &dyn Store, paths: &[StorePath]) -> Result<()> {
    for path in paths {
        match store.sync_directory(path) {
            // Removed again by an entry that came later, or by somebody else.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            // It may be written to but not read, so nobody can sync it.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
            result => result?,
        }
    }
    Ok(())
}

fn remove(store: &dyn Store, path: &StorePath) -> Result<()> {
    let result = match store.remove(path) {
        Err(error) if error.kind() == ErrorKind::IsADirectory => store.remove_directory(path),
        result => result,
    };
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn make_link(store: &dyn Store, link: &MakeLink) -> Result<()> {
    if let Some(found) = find(store, &link.to)?
        && found.kind == Kind::Symlink
        && link.publish.overwrite == Overwrite::Replace
        && store.read_link(&link.to)? == link.target
    {
        return store.set_attributes(&link.to, &link.attributes);
    }
    let made = with_parents(store, &link.staged, link.parents, || {
        match store.make_link(&link.staged, &link.target) {
            // Left behind by a session that was killed.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                store.remove(&link.staged)?;
                store.make_link(&link.staged, &link.target)
            }
            result => result,
        }
    });
    made.and_then(|()| store.set_attributes(&link.staged, &link.attributes))
        .and_then(|()| store.publish(Staged::Link { path: &link.staged }, &link.to, link.publish))
        .inspect_err(|_| forget(store, &link.staged))
}

/// Removes what is of no use any more; that it cannot be removed changes
/// nothing for anybody.
fn forget(store: &dyn Store, path: &StorePath) {
    let _ = store.remove(path);
}

fn write_block(block: &WriteBlock) -> Result<DestinationOutput> {
    let mut hasher = block.algorithm.map(ContentAlgorithm::hasher);
    for start in (0..block.bytes.len()).step_by(PORTION) {
        let end = block.bytes.len().min(start + PORTION);
        for range in &block.written {
            let part = range.start.max(start)..range.end.min(end);
            if !part.is_empty() {
                block.partial.write_at(block.offset + part.start as u64, &block.bytes[part])?;
            }
        }
        if let Some(hasher) = &mut hasher {
            hasher.update(&block.bytes[start..end]);
        }
    }
    Ok(hasher.map_or(DestinationOutput::Done, |hasher| DestinationOutput::Digested(hasher.finish())))
}

/// Digests a stretch of a file; behind its end it counts as a hole.
fn digest_range(file: &dyn ReadFile, range: Range<u64>, algorithm: ContentAlgorithm) -> Result<Digest> {
    let mut hasher = algorithm.hasher();
    let mut buffer = vec![0; PORTION.min(usize::try_from(range.end - range.start).unwrap_or(PORTION))];
    let mut at = range.start;
    while at < range.end {
        let wanted = usize::try_from(range.end - at).map_or(buffer.len(), |left| left.min(buffer.len()));
        match file.read_at(at, &mut buffer[..wanted])? {
            0 => {
                hasher.update_zeros(range.end - at);
                break;
            }
            read => {
                hasher.update(&buffer[..read]);
                at += read as u64;
            }
        }
    }
    Ok(hasher.finish())
}
