//! A tree as it is sent encrypted: each regular file appears sealed, under its
//! name and the suffix.
//!
//! A file that is an envelope already, and is called so, is sent as it is:
//! sealing it twice would help nobody. Where the file it was made of stands
//! beside it, that one has the name, and the envelope is sealed like any other
//! file. Nothing is ever shown in clear: what cannot be sealed cannot be
//! opened.

use std::sync::Arc;

use limosa_seal::envelope::Header;

use super::keys::ProtectionKeys;
use super::sealed::{SealedFile, sealed_metadata};
use super::suffix::Suffix;
use super::{header_of, unopened};
use crate::contract::{
    AppendFile, Capabilities, Cursor, DirectoryEntry, FollowLinks, LockGuard, Page, Publish, ReadFile, Space, Staged,
    Store, WriteFile,
};
use crate::error::{ErrorKind, Operation, Result, StorageError};
use crate::metadata::{Attributes, Kind, Metadata};
use crate::path::{Name, StorePath};

/// A store to send from, all of whose files are sealed. Nothing can be changed
/// through it.
#[derive(Debug)]
pub struct ProtectingStore {
    files: Arc<dyn Store>,
    keys: Arc<ProtectionKeys>,
    suffix: Suffix,
    /// Whether links among the files are sent as what they point at.
    links: FollowLinks,
}

/// What a path of this store stands for in the store below.
enum Real {
    /// A file to be sealed.
    Plain(StorePath),
    /// What has the same name: no file, or an envelope.
    Same,
}

impl ProtectingStore {
    /// Shows `files` sealed for whom `keys` say. `links` is whether links are
    /// followed in what is sent.
    #[must_use]
    pub fn new(files: Arc<dyn Store>, keys: Arc<ProtectionKeys>, suffix: Suffix, links: FollowLinks) -> Self {
        Self { files, keys, suffix, links }
    }

    /// Under which path this store shows what the store below has at `path`.
    #[must_use]
    pub fn shown(&self, path: &StorePath) -> StorePath {
        let Some((parent, name)) = path.split() else { return path.clone() };
        match self.files.metadata(path, FollowLinks::No) {
            Ok(found) => parent.join(&self.shown_name(&parent, name, found.kind)).unwrap_or_else(|_| path.clone()),
            Err(_) => path.clone(),
        }
    }

    /// What an entry of a directory is called here. A name that is too long
    /// with the suffix stays, and cannot be opened.
    fn shown_name(&self, parent: &StorePath, name: Name, kind: Kind) -> Name {
        let Ok(path) = parent.join(&name) else { return name };
        let is_sealed = match kind {
            Kind::File => !self.is_sent_as_it_is(&path),
            Kind::Symlink => self.links == FollowLinks::Yes && self.is_to_be_sealed(&path),
            Kind::Directory | Kind::Other(_) => false,
        };
        if is_sealed { self.suffix.added_to(&name).unwrap_or(name) } else { name }
    }

    /// Whether a file is called as an envelope and is one, and the file it was
    /// made of does not claim the name.
    fn is_sent_as_it_is(&self, path: &StorePath) -> bool {
        let Some(plain) = self.suffix.taken_off_path(path) else { return false };
        !self.is_to_be_sealed(&plain) && self.open_envelope(path, FollowLinks::No).is_ok()
    }

    /// Whether there is a file, or a link to one that is followed.
    fn is_to_be_sealed(&self, path: &StorePath) -> bool {
        self.files.metadata(path, self.links).is_ok_and(|found| found.is_file())
    }

    fn real(&self, path: &StorePath) -> Real {
        match self.suffix.taken_off_path(path) {
            Some(plain) if self.is_to_be_sealed(&plain) => Real::Plain(plain),
            _ => Real::Same,
        }
    }

    /// Opens a file that must be an envelope.
    fn open_envelope(&self, path: &StorePath, links: FollowLinks) -> Result<Arc<dyn ReadFile>> {
        let file = self.files.open(path, links)?;
        let named = self.suffix.taken_off_path(path).is_some();
        match header_of(&*file, path, self.keys.set())? {
            Some(_) if named => Ok(file),
            // Only a name that has no room for the suffix comes here.
            _ => Err(StorageError::new(ErrorKind::TooLong, Operation::Open, path)),
        }
    }
}

fn unsupported<T>(operation: Operation, path: &StorePath) -> Result<T> {
    Err(StorageError::new(ErrorKind::Unsupported, operation, path))
}

impl Store for ProtectingStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities { sparse: false, locks: false, ..self.files.capabilities() }
    }

    fn metadata(&self, path: &StorePath, links: FollowLinks) -> Result<Metadata> {
        match self.real(path) {
            Real::Plain(plain) => {
                let found = self.files.metadata(&plain, links)?;
                if found.is_file() { sealed_metadata(path, &self.keys, &found) } else { Ok(found) }
            }
            Real::Same => self.files.metadata(path, links),
        }
    }

    fn list(&self, directory: &StorePath, from: Option<&Cursor>, limit: usize) -> Result<Page> {
        let Page { entries, next } = self.files.list(directory, from, limit)?;
        let shown = |DirectoryEntry { name, kind }| {
            let seen = || {
                let path = directory.join(&name).ok()?;
                self.files.metadata(&path, FollowLinks::No).ok().map(|found| found.kind)
            };
            match kind.or_else(seen) {
                Some(kind) => DirectoryEntry { name: self.shown_name(directory, name, kind), kind: Some(kind) },
                None => DirectoryEntry { name, kind: None },
            }
        };
        Ok(Page { entries: entries.into_iter().map(shown).collect(), next })
    }

    fn open(&self, path: &StorePath, links: FollowLinks) -> Result<Arc<dyn ReadFile>> {
        match self.real(path) {
            Real::Plain(plain) => {
                let file = self.files.open(&plain, links)?;
                Ok(Arc::new(SealedFile::new(file, &plain, self.keys.clone(), None)?))
            }
            Real::Same => self.open_envelope(path, links),
        }
    }

    fn open_resumed(&self, path: &StorePath, links: FollowLinks, front: &[u8]) -> Result<Arc<dyn ReadFile>> {
        match self.real(path) {
            Real::Plain(plain) => {
                let file = self.files.open(&plain, links)?;
                let header = Header::decode(front, self.keys.set()).map_err(|error| unopened(&plain, error))?;
                Ok(Arc::new(SealedFile::new(file, &plain, self.keys.clone(), Some(&header))?))
            }
            Real::Same => self.open_envelope(path, links),
        }
    }

    fn create(&self, path: &StorePath) -> Result<Arc<dyn WriteFile>> {
        unsupported(Operation::Create, path)
    }

    fn reopen(&self, path: &StorePath) -> Result<Arc<dyn WriteFile>> {
        unsupported(Operation::Create, path)
    }

    fn open_append(&self, path: &StorePath) -> Result<Arc<dyn AppendFile>> {
        unsupported(Operation::Create, path)
    }

    fn make_directory(&self, path: &StorePath) -> Result<()> {
        unsupported(Operation::MakeDirectory, path)
    }

    fn make_link(&self, path: &StorePath, _target: &[u8]) -> Result<()> {
        unsupported(Operation::MakeLink, path)
    }

    fn read_link(&self, path: &StorePath) -> Result<Vec<u8>> {
        self.files.read_link(path)
    }

    fn publish(&self, _staged: Staged<'_>, to: &StorePath, _how: Publish) -> Result<()> {
        unsupported(Operation::Publish, to)
    }

    fn set_attributes(&self, path: &StorePath, _attributes: &Attributes) -> Result<()> {
        unsupported(Operation::SetAttributes, path)
    }

    fn sync_files(&self, _files: &[Arc<dyn WriteFile>]) -> Result<()> {
        unsupported(Operation::Sync, &StorePath::root())
    }

    fn remove(&self, path: &StorePath) -> Result<()> {
        unsupported(Operation::Remove, path)
    }

    fn remove_directory(&self, path: &StorePath) -> Result<()> {
        unsupported(Operation::Remove, path)
    }

    fn sync_directory(&self, path: &StorePath) -> Result<()> {
        unsupported(Operation::Sync, path)
    }

    fn sync_directories(&self, paths: &[StorePath]) -> Vec<Result<()>> {
        paths.iter().map(|path| unsupported(Operation::Sync, path)).collect()
    }

    fn lock(&self, path: &StorePath) -> Result<LockGuard> {
        unsupported(Operation::Lock, path)
    }

    fn space(&self, directory: &StorePath) -> Result<Space> {
        self.files.space(directory)
    }
}
