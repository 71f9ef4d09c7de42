//! File operations the sending engine asks for, and how one is carried out.
//!
//! The engine never calls a store. It emits [`SourceOperation`]s; whoever
//! drives it (file threads, a simulator) passes each to [`perform`] on a thread
//! where blocking is allowed, in any order, and hands the [`SourceDone`] back.

use std::ops::Range;
use std::sync::Arc;

use limosa_seal::{ContentAlgorithm, ContentHasher};
use limosa_storage::{Cursor, FollowLinks, Kind, Metadata, Name, Page, ReadFile, StorageError, Store, StorePath};
use limosa_wire::front::Front;
use limosa_wire::layout::Digest;

use crate::buffer::Buffer;
use crate::content::PORTION;

/// Most levels entered by one operation.
const LEVELS: usize = 64;
/// How often a file of one chunk that changes under the reader is read.
const WHOLE_ATTEMPTS: usize = 3;

/// Names one outstanding operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(super) u64);

/// One file operation the engine wants carried out.
#[derive(Debug)]
pub struct SourceOperation {
    /// Comes back with the result.
    pub ticket: Ticket,
    /// What is to be done.
    pub work: SourceWork,
}

/// What is to be done.
#[derive(Debug)]
pub enum SourceWork {
    /// Look at a path.
    Metadata {
        /// The path.
        path: StorePath,
        /// Whether a link there is followed.
        links: FollowLinks,
    },
    /// Look at a directory and list its first page.
    EnterDirectory {
        /// The directory.
        path: StorePath,
        /// Whether a link there is followed.
        links: FollowLinks,
        /// Most entries of a page.
        limit: usize,
        /// Most entries to be found below it, on the way.
        ahead: usize,
    },
    /// List a further page of a directory.
    List {
        /// The directory.
        path: StorePath,
        /// Where the page starts.
        from: Cursor,
        /// Most entries of a page.
        limit: usize,
        /// Most entries to be found below it, on the way.
        ahead: usize,
    },
    /// Enter directories that were listed, before it is their turn.
    EnterAhead {
        /// The directory they are in.
        parent: StorePath,
        /// Their names, in its order.
        names: Vec<Name>,
        /// Most entries of a page.
        limit: usize,
        /// Most entries to be found in them and below.
        ahead: usize,
    },
    /// Look at a symbolic link and read its target.
    ReadLink {
        /// The link.
        path: StorePath,
    },
    /// Read files whole that have at most `limit` bytes, checking that they did
    /// not change meanwhile; only look at others.
    ReadWholes {
        /// The files, and whether a link there is followed.
        files: Vec<(StorePath, FollowLinks)>,
        /// Most bytes to read of one.
        limit: u64,
        /// Most bytes to read of all, no less than `limit`: files that would
        /// exceed it are not read, nor any behind them.
        room: u64,
        /// What digests them.
        algorithm: ContentAlgorithm,
    },
    /// Open a file, and look at what was opened.
    Open {
        /// The file.
        path: StorePath,
        /// Whether a link there is followed.
        links: FollowLinks,
        /// How the part began that the other end holds, if that decides how it
        /// goes on.
        front: Option<Arc<Front>>,
    },
    /// Find the next run of data of an open file.
    NextData {
        /// The file.
        file: Arc<dyn ReadFile>,
        /// Where to look from.
        offset: u64,
    },
    /// Read a block of an open file.
    Read {
        /// The file.
        file: Arc<dyn ReadFile>,
        /// First byte.
        offset: u64,
        /// How many bytes.
        length: usize,
        /// Where they go; its memory is reused.
        buffer: Buffer,
        /// What digests them, if that is wanted.
        algorithm: Option<ContentAlgorithm>,
    },
    /// Look at an open file again.
    FileMetadata {
        /// The file.
        file: Arc<dyn ReadFile>,
    },
}

/// An operation that ended.
#[derive(Debug)]
pub struct SourceDone {
    /// Which one.
    pub ticket: Ticket,
    /// How.
    pub result: Result<SourceOutcome, StorageError>,
}

/// What an operation found, each kind of [`SourceWork`] its own.
#[derive(Debug)]
pub enum SourceOutcome {
    /// Of [`SourceWork::Metadata`] and [`SourceWork::FileMetadata`].
    Metadata(Metadata),
    /// Of [`SourceWork::EnterDirectory`].
    Directory(Entered),
    /// Of [`SourceWork::List`].
    Listing(Listing),
    /// Of [`SourceWork::EnterAhead`].
    Scouted(Scouted),
    /// Of [`SourceWork::ReadLink`].
    Link {
        /// The link's own metadata.
        metadata: Metadata,
        /// What it holds.
        target: Vec<u8>,
    },
    /// Of [`SourceWork::ReadWholes`]: what came of each file, in their order, as
    /// far as there was room.
    Wholes(Vec<Result<WholeRead, StorageError>>),
    /// Of [`SourceWork::Open`].
    Opened {
        /// The open file.
        file: Arc<dyn ReadFile>,
        /// Its metadata.
        metadata: Metadata,
    },
    /// Of [`SourceWork::NextData`].
    Data(Option<Range<u64>>),
    /// Of [`SourceWork::Read`].
    Read {
        /// The bytes; fewer than asked for only at the end of the file.
        buffer: Buffer,
        /// Their digest, if it was wanted.
        digest: Option<Digest>,
    },
}

/// A directory that was entered.
#[derive(Debug)]
pub struct Entered {
    /// Its own metadata.
    pub metadata: Metadata,
    /// Its first page.
    pub listing: Listing,
}

/// A page of a directory. Directories named on it may have been entered already,
/// so that small ones do not cost a way to a file thread and back each.
#[derive(Debug)]
pub struct Listing {
    /// The page.
    pub page: Page,
    /// Directories on it that were tried, from the first on.
    pub scouted: Scouted,
}

/// What came of entering directories before it is their turn.
#[derive(Debug, Default)]
pub struct Scouted {
    /// How many were tried. What failed is tried again, and told, when it is
    /// its turn.
    pub tried: usize,
    /// Those that were entered, in the order of the directory they are in.
    pub below: Vec<(Name, Entered)>,
}

impl Scouted {
    /// Entries in all.
    pub(super) fn entries(&self) -> usize {
        self.below.iter().map(|(_, entered)| entered.listing.entries()).sum()
    }
}

impl Listing {
    /// Entries in all.
    pub(super) fn entries(&self) -> usize {
        self.page.entries.len() + self.scouted.entries()
    }
}

/// What came of reading a file whole.
#[derive(Debug)]
pub enum WholeRead {
    /// Read, and the same before and after.
    Read {
        /// The file's metadata.
        metadata: Metadata,
        /// All its bytes.
        bytes: Buffer,
        /// Their digest.
        digest: Digest,
    },
    /// Larger than the limit.
    Large(Metadata),
    /// It changed under every attempt to read it.
    Changed,
}

/// Carries out one operation. Blocks as long as the store does.
pub fn perform(store: &dyn Store, operation: SourceOperation) -> SourceDone {
    SourceDone { ticket: operation.ticket, result: work(store, operation.work) }
}

fn work(store: &dyn Store, work: SourceWork) -> Result<SourceOutcome, StorageError> {
    Ok(match work {
        SourceWork::Metadata { path, links } => SourceOutcome::Metadata(store.metadata(&path, links)?),
        SourceWork::EnterDirectory { path, links, limit, ahead } => {
            SourceOutcome::Directory(Scout { store, limit, ahead, levels: LEVELS }.enter(&path, links)?)
        }
        SourceWork::List { path, from, limit, ahead } => {
            SourceOutcome::Listing(Scout { store, limit, ahead, levels: LEVELS }.list(&path, Some(&from))?)
        }
        SourceWork::EnterAhead { parent, names, limit, ahead } => {
            SourceOutcome::Scouted(Scout { store, limit, ahead, levels: LEVELS }.enter_ahead(&parent, &names))
        }
        SourceWork::ReadLink { path } => {
            SourceOutcome::Link { metadata: store.metadata(&path, FollowLinks::No)?, target: store.read_link(&path)? }
        }
        SourceWork::ReadWholes { files, limit, room, algorithm } => {
            SourceOutcome::Wholes(WholeReader { store, limit, room, algorithm }.read_all(&files))
        }
        SourceWork::Open { path, links, front } => {
            let file = match front {
                None => store.open(&path, links)?,
                Some(front) => store.open_resumed(&path, links, &front.expand())?,
            };
            SourceOutcome::Opened { metadata: file.metadata()?, file }
        }
        SourceWork::NextData { file, offset } => SourceOutcome::Data(file.next_data(offset)?),
        SourceWork::Read { file, offset, length, buffer, algorithm } => {
            let mut buffer = buffer.reused_for(length);
            let (read, digest) = read_and_digest(&*file, offset, &mut buffer, algorithm)?;
            buffer.truncate(read);
            SourceOutcome::Read { digest, buffer }
        }
        SourceWork::FileMetadata { file } => SourceOutcome::Metadata(file.metadata()?),
    })
}

/// Enters a directory and, as far as it may, those below it, depth first.
struct Scout<'a> {
    store: &'a dyn Store,
    limit: usize,
    /// Entries that may still be found ahead.
    ahead: usize,
    /// Levels that may still be entered.
    levels: usize,
}

impl Scout<'_> {
    fn enter(&mut self, path: &StorePath, links: FollowLinks) -> Result<Entered, StorageError> {
        Ok(Entered { metadata: self.store.metadata(path, links)?, listing: self.list(path, None)? })
    }

    fn list(&mut self, path: &StorePath, from: Option<&Cursor>) -> Result<Listing, StorageError> {
        let page = self.store.list(path, from, self.limit)?;
        let directories = page.entries.iter().filter(|entry| entry.kind == Some(Kind::Directory));
        let scouted = self.enter_ahead(path, directories.map(|entry| &entry.name));
        Ok(Listing { page, scouted })
    }

    fn enter_ahead<'n>(&mut self, parent: &StorePath, names: impl IntoIterator<Item = &'n Name>) -> Scouted {
        let mut scouted = Scouted::default();
        for name in names {
            if self.ahead == 0 || self.levels == 0 {
                break;
            }
            scouted.tried += 1;
            let Ok(path) = parent.join(name) else { continue };
            self.levels -= 1;
            if let Ok(entered) = self.enter(&path, FollowLinks::No) {
                self.ahead = self.ahead.saturating_sub(1 + entered.listing.page.entries.len());
                scouted.below.push((name.clone(), entered));
            }
            self.levels += 1;
        }
        scouted
    }
}

/// Reads small files whole.
struct WholeReader<'a> {
    store: &'a dyn Store,
    limit: u64,
    /// Bytes that may still be read.
    room: u64,
    algorithm: ContentAlgorithm,
}

impl WholeReader<'_> {
    fn read_all(mut self, files: &[(StorePath, FollowLinks)]) -> Vec<Result<WholeRead, StorageError>> {
        files.iter().map_while(|(path, links)| self.read(path, *links).transpose()).collect()
    }

    /// Reads a file between two looks at it that agree; `None` if there is no
    /// room.
    fn read(&mut self, path: &StorePath, links: FollowLinks) -> Result<Option<WholeRead>, StorageError> {
        let file = self.store.open(path, links)?;
        let mut before = file.metadata()?;
        for _ in 0..WHOLE_ATTEMPTS {
            if before.size > self.limit {
                return Ok(Some(WholeRead::Large(before)));
            }
            let Some(length) = usize::try_from(before.size).ok().filter(|_| before.size <= self.room) else {
                return Ok(None);
            };
            let mut bytes = Buffer::zeroed(length);
            let (read, digest) = read_and_digest(&*file, 0, &mut bytes, Some(self.algorithm))?;
            let after = file.metadata()?;
            if let Some(digest) = digest.filter(|_| read == length && before.same_content_as(&after)) {
                self.room -= before.size;
                return Ok(Some(WholeRead::Read { digest, metadata: before, bytes }));
            }
            before = after;
        }
        Ok(Some(WholeRead::Changed))
    }
}

/// Reads to the end of `buffer` or of the file, and digests what was read.
fn read_and_digest(
    file: &dyn ReadFile,
    offset: u64,
    buffer: &mut [u8],
    algorithm: Option<ContentAlgorithm>,
) -> Result<(usize, Option<Digest>), StorageError> {
    let mut hasher = algorithm.map(ContentAlgorithm::hasher);
    let mut done = 0;
    for portion in buffer.chunks_mut(PORTION) {
        let read = file.read_at(offset + done as u64, portion)?;
        if let Some(hasher) = &mut hasher {
            hasher.update(&portion[..read]);
        }
        done += read;
        if read < portion.len() {
            break;
        }
    }
    Ok((done, hasher.map(ContentHasher::finish)))
}
