//! Executes operations of the receiving engine on a store. Blocks: for a
//! thread that may.

mod names;
mod partial;
mod whole;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use limosa_seal::ContentAlgorithm;
use limosa_storage::{
    Attributes, ErrorKind, FollowLinks, Metadata, ReadFile, Result, Store, StorePath, make_directories,
};
use limosa_wire::layout::Digest;

use super::operation::{DestinationDone, DestinationOutput, DestinationWork, Parents, WriteBlock};
use crate::content::PORTION;

/// Executes one operation. What fails is cleaned up as far as it can be; the
/// completion belongs to [`Receiver::completed`](super::Receiver::completed).
#[must_use]
pub fn perform(store: &dyn Store, work: DestinationWork) -> DestinationDone {
    let mut buffers = Vec::new();
    let result = match work {
        DestinationWork::Inspect(inspect) => partial::inspect(store, &inspect).map(DestinationOutput::Inspected),
        DestinationWork::Names(works) => Ok(DestinationOutput::Names(names::work(store, &works))),
        DestinationWork::SyncDirectories(paths) => done(sync_directories(store, paths)),
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

/// Makes a directory and those above it that are missing. Their names are
/// synced with those of the entries below.
fn make_unannounced(store: &dyn Store, path: &StorePath, parents: Parents) -> Result<()> {
    for made in make_directories(store, path)? {
        store.set_attributes(&made, &Attributes::default().with_mode(parents.mode))?;
    }
    Ok(())
}

/// Directories that were synced together, and what came of each.
struct Synced(BTreeMap<StorePath, Result<()>>);

impl Synced {
    /// Syncs these directories, each once: asked again, the system may have
    /// forgotten that it failed.
    fn these(store: &dyn Store, directories: BTreeSet<StorePath>) -> Self {
        let directories: Vec<StorePath> = directories.into_iter().collect();
        let results = store.sync_directories(&directories);
        Self(directories.into_iter().zip(results).collect())
    }

    /// Syncs these directories and those above, which may have been made a
    /// moment ago.
    fn with_those_above(store: &dyn Store, directories: impl Iterator<Item = StorePath>) -> Self {
        let mut all = BTreeSet::new();
        for directory in directories {
            let mut next = Some(directory);
            while let Some(directory) = next {
                next = directory.parent();
                if !all.insert(directory) {
                    break;
                }
            }
        }
        Self::these(store, all)
    }

    /// Whether the names in a directory are there for good.
    fn names_in(&self, directory: &StorePath) -> Result<()> {
        match self.0.get(directory) {
            // Removed again by an entry that came later, or by somebody else.
            Some(Err(error)) if error.kind() == ErrorKind::NotFound => Ok(()),
            Some(result) => result.clone(),
            None => Ok(()),
        }
    }

    /// Whether `path` is there for good, and the directories on the way to it.
    fn name(&self, path: &StorePath) -> Result<()> {
        let mut next = path.parent();
        if let Some(directory) = &next {
            self.names_in(directory)?;
        }
        while let Some(above) = next.and_then(|directory| directory.parent()) {
            self.names_where_readable(&above)?;
            next = Some(above);
        }
        Ok(())
    }

    /// As [`Self::names_in`], for a directory that may be one that can be
    /// written to and not be read: then nobody can sync it.
    fn names_where_readable(&self, directory: &StorePath) -> Result<()> {
        match self.names_in(directory) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
            result => result,
        }
    }
}

/// Syncs a name and the directories on the way to it.
fn sync_name(store: &dyn Store, path: &StorePath) -> Result<()> {
    Synced::with_those_above(store, path.parent().into_iter()).name(path)
}

/// Syncs the names in directories, as far as they can be read.
fn sync_directories(store: &dyn Store, paths: Vec<StorePath>) -> Result<()> {
    let synced = Synced::these(store, paths.into_iter().collect());
    synced.0.keys().try_for_each(|directory| synced.names_where_readable(directory))
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
