//! A file that arrives. Whether it is an envelope, and one that can be opened
//! on the way, shows in its first bytes; what comes before them waits in memory,
//! as far as there is room.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use limosa_seal::AlgorithmSet;
use limosa_seal::envelope::{HEAD, Header, Layout, Sealed};

use super::heads::Heads;
use super::keys::OpeningKeys;
use super::names::Names;
use super::unsealed::UnsealedFile;
use crate::contract::{Durability, Overwrite, Publish, ReadFile, Staged, Store, WriteFile};
use crate::error::{ErrorKind, Operation, Result, StorageError};
use crate::metadata::{Attributes, Metadata};
use crate::open_files::{FileId, OpenFiles};
use crate::path::StorePath;
use crate::protecting::CHUNK;

/// How much waits for the first bytes at most, in all files together.
const MOST_WAITING: u64 = 64 << 20;
/// What one piece costs beside its bytes.
const PIECE_COST: u64 = 64;

/// Where files arrive: what those of one store share.
#[derive(Debug)]
pub(super) struct Destination {
    pub(super) files: Arc<dyn Store>,
    pub(super) keys: OpeningKeys,
    pub(super) open: OpenFiles<ArrivingFile>,
    waiting: AtomicU64,
}

impl Destination {
    pub(super) fn new(files: Arc<dyn Store>, keys: OpeningKeys) -> Self {
        Self { files, keys, open: OpenFiles::default(), waiting: AtomicU64::new(0) }
    }

    /// Whether so much more memory may be used by what waits. If so it is
    /// counted.
    fn takes(&self, cost: u64) -> bool {
        let takes = self.waiting.fetch_add(cost, Relaxed) + cost <= MOST_WAITING;
        if !takes {
            self.waiting.fetch_sub(cost, Relaxed);
        }
        takes
    }

    /// How much memory is used by what waits.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> u64 {
        self.waiting.load(Relaxed)
    }
}

/// Bytes that came before the first ones. They count until they are dropped.
struct Waiting {
    at: Arc<Destination>,
    pieces: Vec<(u64, Vec<u8>)>,
    cost: u64,
}

impl Waiting {
    /// Writes them where they belong.
    fn store(&self, write: impl Fn(u64, &[u8]) -> Result<()>) -> Result<()> {
        self.pieces.iter().try_for_each(|(offset, bytes)| write(*offset, bytes))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.at.waiting.fetch_sub(self.cost, Relaxed);
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("cost", &self.cost).finish_non_exhaustive()
    }
}

/// How a file lands.
#[derive(Debug)]
enum Landing {
    /// That does not show yet.
    Undecided(Waiting),
    /// As it comes: it is no envelope, or is opened when it is published.
    AsItComes,
    /// It is opened on the way.
    Opened(Arc<OpenedFile>),
    /// Not at all: what had been taken could not be stored. Who wrote it has
    /// been told that it was written, so nothing of this file counts any more.
    Lost(StorageError),
}

/// A file open for writing.
#[derive(Debug)]
pub(super) struct ArrivingFile {
    at: Arc<Destination>,
    id: FileId,
    names: Names,
    file: Arc<dyn WriteFile>,
    /// How long it will be, where that was said. 0 where it was not.
    expected: AtomicU64,
    landing: RwLock<Landing>,
}

impl ArrivingFile {
    /// A file that was made under its staged name.
    pub(super) fn begun(at: &Arc<Destination>, file: Arc<dyn WriteFile>, names: Names) -> Result<Arc<Self>> {
        let waiting = Waiting { at: at.clone(), pieces: Vec::new(), cost: 0 };
        Self::enter(at, file, names, Landing::Undecided(waiting))
    }

    /// A file of which an earlier session has left content and heads.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if it has not.
    pub(super) fn resumed(at: &Arc<Destination>, names: Names) -> Result<Arc<Self>> {
        let nothing = || StorageError::new(ErrorKind::NotFound, Operation::Open, &names.staged);
        let heads = Heads::read(at.files.reopen(&names.heads)?)?.ok_or_else(nothing)?;
        let file = at.files.reopen(&names.content)?;
        let header = Header::decode(heads.header(), AlgorithmSet::Ordinary).map_err(|_| nothing())?;
        let envelope = at.keys.open(&header, &names.staged)?;
        if !is_chunked(envelope.preamble().layout) {
            return Err(nothing());
        }
        let unsealed = UnsealedFile::new(file.clone(), &names.staged, envelope, heads).ok_or_else(nothing)?;
        let opened = OpenedFile { unsealed, place: Mutex::new(Place::Beside) };
        Self::enter(at, file, names, Landing::Opened(Arc::new(opened)))
    }

    fn enter(at: &Arc<Destination>, file: Arc<dyn WriteFile>, names: Names, landing: Landing) -> Result<Arc<Self>> {
        let id = FileId::of(&file.metadata()?);
        let (expected, landing) = (AtomicU64::new(0), RwLock::new(landing));
        at.open.enter(id, || Ok(Self { at: at.clone(), id, names, file, expected, landing }))
    }

    /// Its names while it arrives.
    pub(super) const fn names(&self) -> &Names {
        &self.names
    }

    /// The file as the store below has it.
    pub(super) fn stored(&self) -> &dyn WriteFile {
        &*self.file
    }

    /// As [`stored`](Self::stored), to be kept.
    pub(super) fn share(&self) -> Arc<dyn WriteFile> {
        self.file.clone()
    }

    /// The file that is opened on the way, if it is; else what has come of it
    /// is stored.
    ///
    /// # Errors
    /// If what waited cannot be stored, or could not.
    pub(super) fn opened(&self) -> Result<Option<Arc<OpenedFile>>> {
        if matches!(*self.landing(), Landing::Undecided(_)) {
            self.decide(|landing| match landing {
                Landing::Undecided(waiting) if waiting.pieces.is_empty() => Ok(None),
                _ => Ok(Some(Landing::AsItComes)),
            })?;
        }
        match &*self.landing() {
            Landing::Opened(opened) => Ok(Some(opened.clone())),
            Landing::Lost(error) => Err(error.clone()),
            Landing::AsItComes | Landing::Undecided(_) => Ok(None),
        }
    }

    fn landing(&self) -> RwLockReadGuard<'_, Landing> {
        self.landing.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides how the file lands, if that is open, and stores what waited.
    /// Until it is stored nobody reads, syncs or writes.
    fn decide(&self, judge: impl FnOnce(&mut Landing) -> Result<Option<Landing>>) -> Result<()> {
        let mut landing = self.landing.write().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*landing, Landing::Undecided(_)) {
            return Ok(());
        }
        let Some(decided) = judge(&mut landing)? else { return Ok(()) };
        let Landing::Undecided(waited) = std::mem::replace(&mut *landing, decided) else { return Ok(()) };
        let stored = match &*landing {
            Landing::Opened(opened) => waited.store(|offset, bytes| opened.unsealed.write_at(offset, bytes)),
            _ => {
                if let expected @ 1.. = self.expected.load(Relaxed) {
                    self.file.expect_length(expected);
                }
                waited.store(|offset, bytes| self.file.write_at(offset, bytes))
            }
        };
        stored.inspect_err(|error| *landing = Landing::Lost(error.clone()))
    }

    /// Takes bytes before it is known how the file lands: the first ones say.
    fn take(&self, offset: u64, bytes: &[u8], landing: &mut Landing) -> Result<Option<Landing>> {
        let Landing::Undecided(waiting) = landing else { return Ok(None) };
        let expected = self.expected.load(Relaxed);
        if offset == 0 {
            let opened = self.judge(Sealed(expected), bytes)?;
            return Ok(Some(opened.map_or(Landing::AsItComes, |opened| Landing::Opened(Arc::new(opened)))));
        }
        let cost = bytes.len() as u64 + PIECE_COST;
        if expected == 0 || !self.at.takes(cost) {
            return Ok(Some(Landing::AsItComes));
        }
        waiting.pieces.push((offset, bytes.to_vec()));
        waiting.cost += cost;
        Ok(None)
    }

    /// What the file is opened to, if it can be on the way.
    ///
    /// # Errors
    /// If no key fits, and it is not to be kept sealed then.
    fn judge(&self, length: Sealed, first: &[u8]) -> Result<Option<OpenedFile>> {
        let Ok(header) = Header::decode(first, AlgorithmSet::Ordinary) else { return Ok(None) };
        let layout = header.preamble().layout;
        let is_whole = first.len() as u64 == length.0;
        if !is_whole && !is_chunked(layout) {
            return Ok(None);
        }
        let Some(envelope) = self.at.keys.open_or_keep(&header, &self.names.staged)? else { return Ok(None) };
        let heads = Heads::new(first[..layout.header()].to_vec(), length);
        let unsealed = UnsealedFile::new(self.file.clone(), &self.names.staged, envelope, heads);
        Ok(unsealed.map(|unsealed| OpenedFile { unsealed, place: Mutex::new(Place::Staged) }))
    }
}

/// Whether chunks of the sealed file are whole segments.
fn is_chunked(layout: Layout) -> bool {
    let stored = (layout.segment() + HEAD) as u64;
    (layout.header() as u64).is_multiple_of(stored) && CHUNK.is_multiple_of(stored)
}

impl Drop for ArrivingFile {
    fn drop(&mut self) {
        self.at.open.forget(self.id);
    }
}

#[deny(clippy::missing_trait_methods)]
impl ReadFile for ArrivingFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        match self.opened()? {
            Some(opened) => opened.unsealed.read_at(offset, buffer),
            None => self.file.read_at(offset, buffer),
        }
    }

    fn metadata(&self) -> Result<Metadata> {
        match self.opened()? {
            Some(opened) => opened.unsealed.metadata(),
            None => self.file.metadata(),
        }
    }

    fn next_data(&self, offset: u64) -> Result<Option<Range<u64>>> {
        match self.opened()? {
            Some(opened) => {
                let Sealed(end) = opened.unsealed.heads.length();
                Ok((offset < end).then_some(offset..end))
            }
            None => self.file.next_data(offset),
        }
    }
}

#[deny(clippy::missing_trait_methods)]
impl WriteFile for ArrivingFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        loop {
            match &*self.landing() {
                Landing::AsItComes => return self.file.write_at(offset, bytes),
                Landing::Opened(opened) => return opened.unsealed.write_at(offset, bytes),
                Landing::Lost(error) => return Err(error.clone()),
                Landing::Undecided(_) => {}
            }
            let mut is_taken = false;
            self.decide(|landing| {
                let decided = self.take(offset, bytes, landing)?;
                is_taken = decided.is_none();
                Ok(decided)
            })?;
            if is_taken {
                return Ok(());
            }
        }
    }

    fn expect_length(&self, length: u64) {
        self.expected.store(length, Relaxed);
        if matches!(*self.landing(), Landing::AsItComes) {
            self.file.expect_length(length);
        }
    }

    /// A file that is opened on the way has the length that was said: there is
    /// no other that it could have.
    fn truncate(&self, length: u64) -> Result<()> {
        match self.opened()? {
            Some(opened) if opened.unsealed.heads.length() == Sealed(length) => Ok(()),
            Some(_) => Err(StorageError::new(ErrorKind::Unsupported, Operation::Truncate, &self.names.staged)),
            None => self.file.truncate(length),
        }
    }

    fn preallocate(&self, length: u64) -> Result<()> {
        self.file.preallocate(length)
    }

    fn sync_data(&self) -> Result<()> {
        match self.opened()? {
            Some(opened) => opened.sync(&self.at, &self.names, |file| file.sync_data()),
            None => self.file.sync_data(),
        }
    }

    fn sync_all(&self) -> Result<()> {
        match self.opened()? {
            Some(opened) => opened.sync(&self.at, &self.names, |file| file.sync_all()),
            None => self.file.sync_all(),
        }
    }

    /// Content is finished before: nobody else may read any that is not found
    /// authentic. (What is stored after would set the time again, too.)
    fn set_attributes(&self, attributes: &Attributes) -> Result<()> {
        if let Some(opened) = self.opened()? {
            opened.unsealed.finish()?;
        }
        self.file.set_attributes(attributes)
    }
}

/// Under which name the content lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The staged one.
    Staged,
    /// The one beside it, and the heads are to follow.
    Named,
    /// The one beside it, with the heads.
    Beside,
}

/// A file that is opened on the way.
#[derive(Debug)]
pub(super) struct OpenedFile {
    pub(super) unsealed: UnsealedFile,
    place: Mutex<Place>,
}

impl OpenedFile {
    /// Brings content and heads to stable storage, under the names by which a
    /// later session finds them.
    fn sync(&self, at: &Destination, names: &Names, sync: fn(&dyn WriteFile) -> Result<()>) -> Result<()> {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        let file = &*self.unsealed.file;
        if *place == Place::Staged {
            let how = Publish { overwrite: Overwrite::Replace, durability: Durability::None };
            at.files.publish(Staged::File { path: &names.staged, file }, &names.content, how)?;
            *place = Place::Named;
        }
        self.unsealed.heads.sync(|| at.files.create(&names.heads))?;
        sync(file)?;
        if *place == Place::Named {
            if let Some(parent) = names.content.parent() {
                at.files.sync_directory(&parent)?;
            }
            *place = Place::Beside;
        }
        Ok(())
    }

    /// Finishes the content and gives it the name `to`.
    ///
    /// # Errors
    /// As [`UnsealedFile::finish`] and [`Store::publish`].
    pub(super) fn publish(&self, at: &Destination, names: &Names, to: &StorePath, how: Publish) -> Result<()> {
        self.unsealed.finish()?;
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        let path = if *place == Place::Staged { &names.staged } else { &names.content };
        at.files.publish(Staged::File { path, file: &*self.unsealed.file }, to, how)?;
        if *place != Place::Staged {
            // The content has its name: what is left is in nobody's way.
            let _ = at.files.remove(&names.heads);
        }
        Ok(())
    }
}
