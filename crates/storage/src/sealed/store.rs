//! [`SealedStore`]: the contract over another store.

use std::sync::Arc;

use limosa_seal::envelope::{Envelope, EnvelopeError, PREAMBLE};

use super::cipher::Cipher;
use super::handle::SealedHandle;
use super::keys::MasterKeys;
use super::plain::PlainFile;
use super::reader::SealedReader;
use super::recognize::{SHORTEST, content_length, failure, header, sealed_start};
use super::writer::{Holes, SealedFile, Settle};
use crate::contract::{
    AppendFile, Capabilities, Cursor, FollowLinks, LockGuard, Page, Publish, ReadFile, Space, Staged, Store, WriteFile,
};
use crate::error::{ErrorKind, Operation, Result, StorageError};
use crate::metadata::{Attributes, Metadata};
use crate::open_files::{FileId, OpenFiles};
use crate::path::StorePath;

/// A store that seals what is written to it; see the [module](super).
#[derive(Debug)]
pub struct SealedStore {
    inner: Arc<dyn Store>,
    keys: MasterKeys,
    open: Arc<OpenFiles<SealedFile>>,
}

impl SealedStore {
    /// Seals and opens the files of `inner` with `keys`.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>, keys: MasterKeys) -> Self {
        Self { inner, keys, open: Arc::default() }
    }

    /// The envelope of a file that was sealed here.
    fn envelope(&self, file: &dyn ReadFile, operation: Operation, path: &StorePath) -> Result<Envelope> {
        let fail = |error: EnvelopeError| failure(error, operation, path);
        let header = header(file, self.keys.set(), fail)?;
        self.keys.open(&header).map_err(|error| match error {
            EnvelopeError::NoSlot | EnvelopeError::SlotNotAuthentic => {
                let names = header.table().slots.iter().filter_map(|slot| slot.master()).map(ToString::to_string);
                let wanted = names.collect::<Vec<_>>().join(" or ");
                fail(error).because(std::io::Error::other(wanted))
            }
            error => fail(error),
        })
    }

    /// Starts the envelope of a new file.
    fn begin(&self, path: &StorePath, envelope: Envelope) -> Result<Arc<dyn WriteFile>> {
        let header = envelope.header().map_err(|error| failure(error, Operation::Create, path))?;
        let file = self.inner.create(path)?;
        file.write_at(0, &header)?;
        self.handle(file, |file| Ok(SealedFile::new(file, Cipher::new(envelope, path))))
    }

    fn handle(
        &self,
        file: Arc<dyn WriteFile>,
        make: impl FnOnce(Arc<dyn WriteFile>) -> Result<SealedFile>,
    ) -> Result<Arc<dyn WriteFile>> {
        let id = FileId::of(&file.metadata()?);
        let file = self.open.enter(id, || make(file))?;
        Ok(Arc::new(SealedHandle::new(file, &self.open, id)))
    }

    /// Goes on with an envelope that is there.
    fn go_on(&self, file: Arc<dyn WriteFile>, path: &StorePath) -> Result<Arc<dyn WriteFile>> {
        let holes = if self.inner.capabilities().sparse { Holes::Found } else { Holes::Unknown };
        // Others come to their files meanwhile: a key may be long in coming. As
        // long as its writer is held, nobody makes another one.
        let writer = self.written(&file.metadata()?);
        let envelope = match &writer {
            Some(_) => None,
            None => Some(self.envelope(&*file, Operation::Create, path)?),
        };
        self.handle(file, |file| {
            let envelope = match envelope {
                Some(envelope) => envelope,
                None => self.envelope(&*file, Operation::Create, path)?,
            };
            SealedFile::reopened(file, Cipher::new(envelope, path), holes)
        })
    }

    /// What the writer of a file knows, if it has one.
    fn written(&self, found: &Metadata) -> Option<Arc<SealedFile>> {
        found.is_file().then(|| self.open.find(FileId::of(found))).flatten()
    }

    /// The first bytes of the file at `path` if it was sealed here, and what is
    /// known of it. A file that may not be read tells nothing.
    fn look(&self, path: &StorePath, links: FollowLinks) -> Result<Option<([u8; PREAMBLE], Metadata)>> {
        let file = match self.inner.open(path, links) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(None),
            opened => opened?,
        };
        let found = file.metadata()?;
        Ok(sealed_start(&*file, found.size)?.map(|start| (start, found)))
    }
}

#[deny(clippy::missing_trait_methods)]
impl Store for SealedStore {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn metadata(&self, path: &StorePath, links: FollowLinks) -> Result<Metadata> {
        let found = self.inner.metadata(path, links)?;
        if !found.is_file() || found.size < SHORTEST {
            return Ok(found);
        }
        if let Some(file) = self.written(&found) {
            return file.metadata();
        }
        match self.look(path, links)? {
            None => Ok(found),
            Some((start, found)) => match content_length(&start, found.size, self.keys.set()) {
                Ok(size) => Ok(Metadata { size, ..found }),
                // Whoever opens it is told what is wrong.
                Err(_) => Ok(found),
            },
        }
    }

    fn list(&self, directory: &StorePath, from: Option<&Cursor>, limit: usize) -> Result<Page> {
        self.inner.list(directory, from, limit)
    }

    fn open(&self, path: &StorePath, links: FollowLinks) -> Result<Arc<dyn ReadFile>> {
        let file = self.inner.open(path, links)?;
        let found = file.metadata()?;
        if let Some(written) = self.written(&found) {
            return Ok(Arc::new(SealedHandle::new(written, &self.open, FileId::of(&found))));
        }
        if sealed_start(&*file, found.size)?.is_none() {
            return Ok(file);
        }
        let envelope = self.envelope(&*file, Operation::Open, path)?;
        Ok(Arc::new(SealedReader::new(file, Cipher::new(envelope, path))?))
    }

    /// What a store below makes up is not what is read here.
    fn open_resumed(&self, path: &StorePath, links: FollowLinks, _front: &[u8]) -> Result<Arc<dyn ReadFile>> {
        self.open(path, links)
    }

    fn create(&self, path: &StorePath) -> Result<Arc<dyn WriteFile>> {
        match self.keys.envelope() {
            None => Ok(Arc::new(PlainFile::new(self.inner.create(path)?, path))),
            Some(envelope) => self.begin(path, envelope.map_err(|error| failure(error, Operation::Create, path))?),
        }
    }

    fn reopen(&self, path: &StorePath) -> Result<Arc<dyn WriteFile>> {
        let file = self.inner.reopen(path)?;
        let found = file.metadata()?;
        if self.written(&found).is_some() || sealed_start(&*file, found.size)?.is_some() {
            return self.go_on(file, path);
        }
        match self.keys.envelope() {
            // A process was killed before it wrote the header.
            Some(envelope) if found.size == 0 => {
                let envelope = envelope.map_err(|error| failure(error, Operation::Create, path))?;
                let header = envelope.header().map_err(|error| failure(error, Operation::Create, path))?;
                file.write_at(0, &header)?;
                self.handle(file, |file| Ok(SealedFile::new(file, Cipher::new(envelope, path))))
            }
            // It was begun before files were to be sealed. Nobody goes on with
            // it: what would be added would lie in clear too.
            Some(_) => Err(StorageError::new(ErrorKind::NotFound, Operation::Open, path)),
            None => Ok(Arc::new(PlainFile::new(file, path))),
        }
    }

    fn open_append(&self, path: &StorePath) -> Result<Arc<dyn AppendFile>> {
        self.inner.open_append(path)
    }

    fn make_directory(&self, path: &StorePath) -> Result<()> {
        self.inner.make_directory(path)
    }

    fn make_link(&self, path: &StorePath, target: &[u8]) -> Result<()> {
        self.inner.make_link(path, target)
    }

    fn read_link(&self, path: &StorePath) -> Result<Vec<u8>> {
        self.inner.read_link(path)
    }

    fn publish(&self, staged: Staged<'_>, to: &StorePath, how: Publish) -> Result<()> {
        if let Some(file) = staged.file()
            && let Some(written) = self.written(&file.metadata()?)
        {
            written.settle(Settle::Whole)?;
        }
        self.inner.publish(staged, to, how)
    }

    fn set_attributes(&self, path: &StorePath, attributes: &Attributes) -> Result<()> {
        if let Some(written) = self.inner.metadata(path, FollowLinks::No).ok().and_then(|found| self.written(&found)) {
            // First, since storing what waits would set the time again.
            written.settle(Settle::Content)?;
        }
        self.inner.set_attributes(path, attributes)
    }

    fn sync_files(&self, files: &[Arc<dyn WriteFile>]) -> Result<()> {
        for file in files {
            if let Some(written) = self.written(&file.metadata()?) {
                written.settle(Settle::Whole)?;
            }
        }
        self.inner.sync_files(files)
    }

    fn remove(&self, path: &StorePath) -> Result<()> {
        self.inner.remove(path)
    }

    fn remove_directory(&self, path: &StorePath) -> Result<()> {
        self.inner.remove_directory(path)
    }

    fn sync_directory(&self, path: &StorePath) -> Result<()> {
        self.inner.sync_directory(path)
    }

    fn sync_directories(&self, paths: &[StorePath]) -> Vec<Result<()>> {
        self.inner.sync_directories(paths)
    }

    fn lock(&self, path: &StorePath) -> Result<LockGuard> {
        self.inner.lock(path)
    }

    fn space(&self, directory: &StorePath) -> Result<Space> {
        self.inner.space(directory)
    }
}
