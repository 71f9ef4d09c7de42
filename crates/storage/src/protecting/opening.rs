//! A tree that encrypted files are fetched into: each lands sealed, under the
//! hidden name of a file under way, so that it can be continued and proven as
//! it crossed; publishing opens it.
//!
//! What is no envelope lands as it is, under its own name. What the rules for
//! files that stand at the destination look at is the name without the suffix.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError};

use limosa_seal::AlgorithmSet;
use limosa_seal::envelope::{Envelope, Header, Keyring, Layout, MAGIC, OpeningReader, Plain, Sealed, StreamError};

use super::suffix::Suffix;
use super::{CHUNK, header_of, unopened};
use crate::contract::{
    AppendFile, Capabilities, Cursor, Durability, FollowLinks, LockGuard, Page, Publish, ReadFile, Space, Staged,
    Store, WriteFile,
};
use crate::error::{ErrorKind, Operation, Result, StorageError};
use crate::metadata::{Attributes, Metadata};
use crate::path::{Name, StorePath};

/// What the name of a file that is being opened ends in.
const OPENING: &[u8] = b".opening";

/// What becomes of an encrypted file for which there is no fitting key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// It stays encrypted under its encrypted name, and its entry fails.
    Keep,
    /// Its entry fails, and nothing of it stays.
    Discard,
}

/// A store to fetch into that opens envelopes when they are published.
#[derive(Debug)]
pub struct UnprotectingStore {
    files: Arc<dyn Store>,
    keys: Mutex<Keyring>,
    suffix: Suffix,
    misfit: Misfit,
    /// What is promised of the opened files at least: they may be published
    /// without a sync where the sealed ones were synced together.
    durability: Durability,
}

impl UnprotectingStore {
    /// Opens by `keys` what is published into `files`, and syncs what it writes
    /// as `durability` asks for.
    #[must_use]
    pub fn new(files: Arc<dyn Store>, keys: Keyring, suffix: Suffix, misfit: Misfit, durability: Durability) -> Self {
        Self { files, keys: Mutex::new(keys), suffix, misfit, durability }
    }

    /// The envelope of a staged file; `None` if it is none.
    fn envelope(&self, file: &dyn ReadFile, path: &StorePath) -> Result<Option<Envelope>> {
        let Some(header) = header_of(file, path, AlgorithmSet::Ordinary)? else { return Ok(None) };
        self.open_header(&header, path).map(Some)
    }

    fn open_header(&self, header: &Header, path: &StorePath) -> Result<Envelope> {
        let opened = self.keys.lock().unwrap_or_else(PoisonError::into_inner).open(header);
        opened.map_err(|error| unopened(path, error))
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

    /// Keeps an envelope that could not be opened, or not.
    fn unfit(&self, staged: Staged<'_>, to: &StorePath, how: Publish, error: StorageError) -> StorageError {
        let keeps = self.misfit == Misfit::Keep;
        if keeps && matches!(error.kind(), ErrorKind::WrongPassphrase | ErrorKind::NoFittingKey) {
            let how = Publish { durability: how.durability.max(self.durability), ..how };
            if let Err(other) = self.files.publish(staged, &self.sealed(to), how) {
                return other;
            }
        }
        error
    }

    /// Writes the content of an envelope beside it and publishes that.
    fn open_into(
        &self,
        envelope: &Envelope,
        (sealed, path): (&dyn WriteFile, &StorePath),
        to: &StorePath,
        how: Publish,
    ) -> Result<()> {
        let opened = beside(path)?;
        let file = self.files.create(&opened)?;
        let how = Publish { durability: how.durability.max(self.durability), ..how };
        unseal(envelope, sealed, &*file, path)
            .and_then(|()| self.files.publish(Staged::File { path: &opened, file: &*file }, &self.plain(to), how))
            .inspect_err(|_| drop(self.files.remove(&opened)))?;
        // The content has its name: what is left is in nobody's way.
        drop(self.files.remove(path));
        Ok(())
    }
}

/// The name under which an envelope is opened.
fn beside(path: &StorePath) -> Result<StorePath> {
    let name =
        |(parent, name): (StorePath, Name)| parent.join(&Name::parse(&[name.as_bytes(), OPENING].concat()).ok()?).ok();
    let too_long = || StorageError::new(ErrorKind::TooLong, Operation::Create, path);
    path.split().and_then(name).ok_or_else(too_long)
}

/// Writes the content of an envelope, with its holes and attributes.
fn unseal(envelope: &Envelope, sealed: &dyn WriteFile, out: &dyn WriteFile, path: &StorePath) -> Result<()> {
    let metadata = sealed.metadata()?;
    let fault = |error: StreamError| through(error, path);
    let reader = FileReader { file: sealed, position: 0 };
    let mut reader = OpeningReader::new(envelope, reader, Sealed(metadata.size)).map_err(fault)?;
    let written = std::cell::Cell::new(0);
    reader
        .copy::<Fault>(
            |bytes| {
                out.write_at(written.get(), bytes)?;
                written.set(written.get() + bytes.len() as u64);
                Ok(())
            },
            |zeros| {
                written.set(written.get() + zeros);
                Ok(())
            },
        )
        .map_err(|error| match error {
            Fault::Storage(error) => error,
            Fault::Stream(error) => fault(error),
        })?;
    out.truncate(written.get())?;
    out.set_attributes(&Attributes::default().with_mode(metadata.mode).with_modified(metadata.modified))
}

/// What can go wrong while content is copied.
enum Fault {
    Storage(StorageError),
    Stream(StreamError),
}

impl From<StorageError> for Fault {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<StreamError> for Fault {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
}

/// An error of the store keeps its nature on its way through a stream.
fn through(error: StreamError, path: &StorePath) -> StorageError {
    match error {
        StreamError::Envelope(error) => unopened(path, error),
        StreamError::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<StorageError>()) {
            Some(error) => error.clone(),
            None => StorageError::from_io(Operation::Read, path, error),
        },
    }
}

/// An open file as a stream.
struct FileReader<'a> {
    file: &'a dyn WriteFile,
    position: u64,
}

impl Read for FileReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(self.position, buffer).map_err(io::Error::other)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for FileReader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(_) => None,
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

impl Store for UnprotectingStore {
    fn capabilities(&self) -> Capabilities {
        self.files.capabilities()
    }

    /// What stands where something published as `path` would go. A file counts
    /// as long as its envelope was, if this software sealed it to be sent.
    fn metadata(&self, path: &StorePath, links: FollowLinks) -> Result<Metadata> {
        let found = self.files.metadata(path, links);
        let (Some(plain), false) =
            (self.suffix.taken_off_path(path), found.as_ref().is_ok_and(|found| !found.is_file()))
        else {
            return found;
        };
        match self.files.metadata(&plain, links) {
            Ok(opened) if opened.is_file() => {
                let size = usual_length(Plain(opened.size)).map_or(opened.size, |sealed| sealed.0);
                Ok(Metadata { size, ..opened })
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let file = self.files.open(path, links);
                let is_envelope = file.is_ok_and(|file| begins_as_envelope(&*file));
                if is_envelope { Err(error) } else { found }
            }
            other => other,
        }
    }

    fn list(&self, directory: &StorePath, from: Option<&Cursor>, limit: usize) -> Result<Page> {
        self.files.list(directory, from, limit)
    }

    fn open(&self, path: &StorePath, links: FollowLinks) -> Result<Arc<dyn ReadFile>> {
        self.files.open(path, links)
    }

    fn open_resumed(&self, path: &StorePath, links: FollowLinks, _front: &[u8]) -> Result<Arc<dyn ReadFile>> {
        self.open(path, links)
    }

    fn create(&self, path: &StorePath) -> Result<Arc<dyn WriteFile>> {
        self.files.create(path)
    }

    fn reopen(&self, path: &StorePath) -> Result<Arc<dyn WriteFile>> {
        self.files.reopen(path)
    }

    fn open_append(&self, path: &StorePath) -> Result<Arc<dyn AppendFile>> {
        self.files.open_append(path)
    }

    fn make_directory(&self, path: &StorePath) -> Result<()> {
        self.files.make_directory(path)
    }

    fn make_link(&self, path: &StorePath, target: &[u8]) -> Result<()> {
        self.files.make_link(path, target)
    }

    fn read_link(&self, path: &StorePath) -> Result<Vec<u8>> {
        self.files.read_link(path)
    }

    /// Publishes the content of an envelope under its name without the suffix,
    /// anything else as it is.
    fn publish(&self, staged: Staged<'_>, to: &StorePath, how: Publish) -> Result<()> {
        let Staged::File { path, file } = staged else { return self.files.publish(staged, to, how) };
        match self.envelope(file, path) {
            Ok(Some(envelope)) => self.open_into(&envelope, (file, path), to, how),
            Ok(None) => {
                let how = Publish { durability: how.durability.max(self.durability), ..how };
                self.files.publish(staged, to, how)
            }
            Err(error) => Err(self.unfit(staged, to, how, error)),
        }
    }

    fn set_attributes(&self, path: &StorePath, attributes: &Attributes) -> Result<()> {
        self.files.set_attributes(path, attributes)
    }

    fn sync_files(&self, files: &[Arc<dyn WriteFile>]) -> Result<()> {
        self.files.sync_files(files)
    }

    fn remove(&self, path: &StorePath) -> Result<()> {
        self.files.remove(path)
    }

    fn remove_directory(&self, path: &StorePath) -> Result<()> {
        self.files.remove_directory(path)
    }

    fn sync_directory(&self, path: &StorePath) -> Result<()> {
        self.files.sync_directory(path)
    }

    fn sync_directories(&self, paths: &[StorePath]) -> Vec<Result<()>> {
        self.files.sync_directories(paths)
    }

    fn lock(&self, path: &StorePath) -> Result<LockGuard> {
        self.files.lock(path)
    }

    fn space(&self, directory: &StorePath) -> Result<Space> {
        self.files.space(directory)
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
