//! A tree that encrypted files are fetched into: each is opened as it arrives,
//! or, where that cannot be, lands sealed and is opened when it is published.
//!
//! ```text
//! first bytes   an envelope whose chunks are whole segments, or that came whole
//!               ──► opened segment by segment, stored as content and heads
//!               anything else ──► stored as it comes; an envelope is opened
//!               beside it when it is published
//! ```
//!
//! Either way the engine sees the sealed file, so that it can be continued and
//! proven as it crossed. What is no envelope lands as it is, under its own
//! name. What the rules for files that stand at the destination look at is the
//! name without the suffix.
//!
//! Reading order: `keys`; `names`; `heads` and `unsealed` for a file that is
//! opened on the way; `arriving` for how it comes to that; `afterwards` for
//! those that are opened in the end; `taken` for files that want the same name; the
//! store itself is here.

mod afterwards;
mod arriving;
mod heads;
mod keys;
mod names;
mod taken;
#[cfg(test)]
mod tests;
mod unsealed;

use std::sync::Arc;

use limosa_seal::AlgorithmSet;
use limosa_seal::envelope::{Envelope, Keyring, Layout, MAGIC, Plain, Sealed};

use self::afterwards::unseal;
use self::arriving::{ArrivingFile, Destination};
pub use self::keys::Misfit;
use self::keys::OpeningKeys;
use self::names::Names;
pub use self::names::{BESIDE_STAGED, STAGED_PREFIX};
use self::taken::{Landed, TakenNames};
use super::suffix::Suffix;
use super::{CHUNK, header_of};
use crate::contract::{
    AppendFile, Capabilities, Cursor, Durability, FollowLinks, LockGuard, Page, Publish, ReadFile, Space, Staged,
    Store, WriteFile,
};
use crate::error::{ErrorKind, Operation, Result, StorageError};
use crate::metadata::{Attributes, Metadata};
use crate::open_files::FileId;
use crate::path::StorePath;

/// A store to fetch into that opens envelopes.
#[derive(Debug)]
pub struct UnprotectingStore {
    at: Arc<Destination>,
    suffix: Suffix,
    /// What is promised of files that are opened in the end at least: they may
    /// be published without a sync where the sealed ones were synced together.
    durability: Durability,
    taken: TakenNames,
}

impl UnprotectingStore {
    /// Opens by `keys` what arrives in `files`, and syncs what it writes as
    /// `durability` asks for.
    #[must_use]
    pub fn new(files: Arc<dyn Store>, keys: Keyring, suffix: Suffix, misfit: Misfit, durability: Durability) -> Self {
        let at = Arc::new(Destination::new(files, OpeningKeys::new(keys, misfit)));
        Self { at, suffix, durability, taken: TakenNames::default() }
    }

    fn files(&self) -> &dyn Store {
        &*self.at.files
    }

    /// The envelope of a staged file; `None` if it is none.
    fn envelope(&self, file: &dyn ReadFile, path: &StorePath) -> Result<Option<Envelope>> {
        let Some(header) = header_of(file, path, AlgorithmSet::Ordinary)? else { return Ok(None) };
        self.at.keys.open(&header, path).map(Some)
    }

    /// The name that what is published as `to` has in the end, if it is an
    /// envelope.
    fn plain(&self, to: &StorePath) -> StorePath {
        self.suffix.taken_off_path(to).unwrap_or_else(|| to.clone())
    }

    /// The name of an envelope that is kept.
    fn sealed(&self, to: &StorePath) -> StorePath {
        match self.suffix.taken_off_path(to) {
            Some(_) => to.clone(),
            None => self.suffix.added_to_path(to).unwrap_or_else(|_| to.clone()),
        }
    }

    /// The writer of a staged file, if it is one of ours.
    fn arriving(&self, file: &dyn WriteFile) -> Result<Option<Arc<ArrivingFile>>> {
        Ok(self.at.open.find(FileId::of(&file.metadata()?)))
    }

    /// Publishes a file that has landed as it came.
    fn publish_landed(&self, (path, file): (&StorePath, &dyn WriteFile), to: &StorePath, how: Publish) -> Result<()> {
        let (staged, at_least) = (Staged::File { path, file }, how.durability.max(self.durability));
        let how = Publish { durability: at_least, ..how };
        match self.envelope(file, path) {
            Ok(Some(envelope)) => {
                self.taken.take(&self.plain(to), Landed::Opened)?;
                self.open_into(&envelope, (file, path), to, how)
            }
            Ok(None) => {
                self.taken.take(to, Landed::AsItCame)?;
                self.files().publish(staged, to, how)
            }
            Err(error) if self.at.keys.keeps(&error) => {
                self.files().publish(staged, &self.sealed(to), how)?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Writes the content of an envelope beside it and publishes that.
    fn open_into(
        &self,
        envelope: &Envelope,
        (sealed, path): (&dyn WriteFile, &StorePath),
        to: &StorePath,
        how: Publish,
    ) -> Result<()> {
        let opened = Names::of(path)?.content;
        let file = self.files().create(&opened)?;
        unseal(envelope, sealed, &*file, path)
            .and_then(|()| self.files().publish(Staged::File { path: &opened, file: &*file }, &self.plain(to), how))
            .inspect_err(|_| drop(self.files().remove(&opened)))?;
        // The content has its name: what is left is in nobody's way.
        drop(self.files().remove(path));
        Ok(())
    }

    /// Removes what a session that opened the file on the way has left beside
    /// it.
    fn remove_beside(&self, path: &StorePath) {
        let Ok(names) = Names::of(path) else { return };
        let _ = self.files().remove(&names.heads);
        let _ = self.files().remove(&names.content);
    }

    /// What is known of a staged file that an earlier session has begun to
    /// open.
    fn begun(&self, names: &Names) -> Result<Metadata> {
        let heads = self.files().open(&names.heads, FollowLinks::No)?;
        let nothing = || StorageError::new(ErrorKind::NotFound, Operation::Metadata, &names.staged);
        let Sealed(size) = heads::length_in(&*heads)?.ok_or_else(nothing)?;
        Ok(Metadata { size, ..self.files().metadata(&names.content, FollowLinks::No)? })
    }
}

/// Does `beside` where what was done under a staged name found nothing there.
fn or_beside<T>(path: &StorePath, result: Result<T>, beside: impl FnOnce(Names) -> Result<T>) -> Result<T> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // Beside names of other files, or without room for more, nothing lies.
            let Ok(names) = Names::of(path) else { return Err(error) };
            // Nobody asked for the names beside it.
            beside(names).map_err(|other| if other.kind() == ErrorKind::NotFound { error } else { other })
        }
        result => result,
    }
}

impl Store for UnprotectingStore {
    fn capabilities(&self) -> Capabilities {
        self.files().capabilities()
    }

    /// What stands where something published as `path` would go. A file counts
    /// as long as its envelope was, if this software sealed it to be sent.
    fn metadata(&self, path: &StorePath, links: FollowLinks) -> Result<Metadata> {
        let found = self.files().metadata(path, links);
        let Some(plain) = self.suffix.taken_off_path(path) else {
            return or_beside(path, found, |names| self.begun(&names));
        };
        if found.as_ref().is_ok_and(|found| !found.is_file()) {
            return found;
        }
        match self.files().metadata(&plain, links) {
            Ok(opened) if opened.is_file() => {
                let size = usual_length(Plain(opened.size)).map_or(opened.size, |sealed| sealed.0);
                Ok(Metadata { size, ..opened })
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let file = self.files().open(path, links);
                let is_envelope = file.is_ok_and(|file| begins_as_envelope(&*file));
                if is_envelope { Err(error) } else { found }
            }
            other => other,
        }
    }

    fn list(&self, directory: &StorePath, from: Option<&Cursor>, limit: usize) -> Result<Page> {
        self.files().list(directory, from, limit)
    }

    fn open(&self, path: &StorePath, links: FollowLinks) -> Result<Arc<dyn ReadFile>> {
        self.files().open(path, links)
    }

    fn open_resumed(&self, path: &StorePath, links: FollowLinks, _front: &[u8]) -> Result<Arc<dyn ReadFile>> {
        self.open(path, links)
    }

    fn create(&self, path: &StorePath) -> Result<Arc<dyn WriteFile>> {
        let file = self.files().create(path)?;
        let Ok(names) = Names::of(path) else { return Ok(file) };
        // What an earlier session has left is not of this file.
        self.remove_beside(path);
        Ok(ArrivingFile::begun(&self.at, file, names)?)
    }

    fn reopen(&self, path: &StorePath) -> Result<Arc<dyn WriteFile>> {
        // Where the file as it came is gone on with, content beside it is of no
        // more use.
        let reopened = self.files().reopen(path).inspect(|_| self.remove_beside(path));
        or_beside(path, reopened, |names| Ok(ArrivingFile::resumed(&self.at, names)?))
    }

    fn open_append(&self, path: &StorePath) -> Result<Arc<dyn AppendFile>> {
        self.files().open_append(path)
    }

    fn make_directory(&self, path: &StorePath) -> Result<()> {
        self.files().make_directory(path)
    }

    fn make_link(&self, path: &StorePath, target: &[u8]) -> Result<()> {
        self.files().make_link(path, target)
    }

    fn read_link(&self, path: &StorePath) -> Result<Vec<u8>> {
        self.files().read_link(path)
    }

    /// Publishes the content of an envelope under its name without the suffix,
    /// anything else as it is.
    fn publish(&self, staged: Staged<'_>, to: &StorePath, how: Publish) -> Result<()> {
        let Staged::File { path, file } = staged else { return self.files().publish(staged, to, how) };
        let Some(arriving) = self.arriving(file)? else { return self.publish_landed((path, file), to, how) };
        match arriving.opened()? {
            Some(opened) => {
                let to = self.plain(to);
                self.taken.take(&to, Landed::Opened)?;
                opened.publish(&self.at, arriving.names(), &to, how)
            }
            None => self.publish_landed((path, arriving.stored()), to, how),
        }
    }

    fn set_attributes(&self, path: &StorePath, attributes: &Attributes) -> Result<()> {
        let set = |path: &StorePath| self.files().set_attributes(path, attributes);
        or_beside(path, set(path), |names| set(&names.content))
    }

    fn sync_files(&self, files: &[Arc<dyn WriteFile>]) -> Result<()> {
        let stored = |file: &Arc<dyn WriteFile>| {
            let Some(arriving) = self.arriving(&**file)? else { return Ok(file.clone()) };
            if let Some(opened) = arriving.opened()? {
                opened.unsealed.finish()?;
            }
            Ok(arriving.share())
        };
        self.files().sync_files(&files.iter().map(stored).collect::<Result<Vec<_>>>()?)
    }

    fn remove(&self, path: &StorePath) -> Result<()> {
        let removed = self.files().remove(path).inspect(|()| self.remove_beside(path));
        or_beside(path, removed, |names| {
            let _ = self.files().remove(&names.heads);
            self.files().remove(&names.content)
        })
    }

    fn remove_directory(&self, path: &StorePath) -> Result<()> {
        self.files().remove_directory(path)
    }

    fn sync_directory(&self, path: &StorePath) -> Result<()> {
        self.files().sync_directory(path)
    }

    fn sync_directories(&self, paths: &[StorePath]) -> Vec<Result<()>> {
        self.files().sync_directories(paths)
    }

    fn lock(&self, path: &StorePath) -> Result<LockGuard> {
        self.files().lock(path)
    }

    fn space(&self, directory: &StorePath) -> Result<Space> {
        self.files().space(directory)
    }
}

/// How long the envelope of so much content is that was sealed to be sent, for
/// a few keys.
fn usual_length(content: Plain) -> Option<Sealed> {
    let whole = Layout::PLAIN_ALIGNED.sealed_len(content).filter(|sealed| sealed.0 <= CHUNK);
    whole.or_else(|| Layout::SEALED_ALIGNED.sealed_len(content))
}

fn begins_as_envelope(file: &dyn ReadFile) -> bool {
    let mut magic = [0; MAGIC.len()];
    file.read_at(0, &mut magic).is_ok() && magic == MAGIC
}
