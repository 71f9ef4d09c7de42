//! File operations the sending engine asks for, and how one is carried out.
//!
//! The engine never calls a store. It emits [`SourceOperation`]s; whoever
//! drives it (file threads, a simulator) passes each to [`perform`] on a thread
//! where blocking is allowed, in any order, and hands the [`SourceDone`] back.

use std::ops::Range;
use std::sync::Arc;

use limosa_seal::{ContentAlgorithm, ContentHasher};
use limosa_storage::{Cursor, FollowLinks, Metadata, Page, ReadFile, StorageError, Store, StorePath};
use limosa_wire::layout::Digest;

use crate::buffer::Buffer;
use crate::content::PORTION;

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
        /// Most entries of the page.
        limit: usize,
    },
    /// List a further page of a directory.
    List {
        /// The directory.
        path: StorePath,
        /// Where the page starts.
        from: Cursor,
        /// Most entries of the page.
        limit: usize,
    },
    /// Look at a symbolic link and read its target.
    ReadLink {
        /// The link.
        path: StorePath,
    },
    /// Read a file whole if it has at most `limit` bytes, checking that it did
    /// not change meanwhile; else only look at it.
    ReadWhole {
        /// The file.
        path: StorePath,
        /// Whether a link there is followed.
        links: FollowLinks,
        /// Most bytes to read.
        limit: u64,
        /// What digests them.
        algorithm: ContentAlgorithm,
    },
    /// Open a file, and look at what was opened.
    Open {
        /// The file.
        path: StorePath,
        /// Whether a link there is followed.
        links: FollowLinks,
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
    Directory {
        /// The directory's own metadata.
        metadata: Metadata,
        /// Its first page.
        page: Page,
    },
    /// Of [`SourceWork::List`].
    Page(Page),
    /// Of [`SourceWork::ReadLink`].
    Link {
        /// The link's own metadata.
        metadata: Metadata,
        /// What it holds.
        target: Vec<u8>,
    },
    /// Of [`SourceWork::ReadWhole`]: read, and the same before and after.
    Whole {
        /// The file's metadata.
        metadata: Metadata,
        /// All its bytes.
        bytes: Buffer,
        /// Their digest.
        digest: Digest,
    },
    /// Of [`SourceWork::ReadWhole`]: larger than the limit.
    Large(Metadata),
    /// Of [`SourceWork::ReadWhole`]: it changed under every attempt to read it.
    Changed,
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

/// Carries out one operation. Blocks as long as the store does.
pub fn perform(store: &dyn Store, operation: SourceOperation) -> SourceDone {
    SourceDone { ticket: operation.ticket, result: work(store, operation.work) }
}

fn work(store: &dyn Store, work: SourceWork) -> Result<SourceOutcome, StorageError> {
    Ok(match work {
        SourceWork::Metadata { path, links } => SourceOutcome::Metadata(store.metadata(&path, links)?),
        SourceWork::EnterDirectory { path, links, limit } => {
            SourceOutcome::Directory { metadata: store.metadata(&path, links)?, page: store.list(&path, None, limit)? }
        }
        SourceWork::List { path, from, limit } => SourceOutcome::Page(store.list(&path, Some(&from), limit)?),
        SourceWork::ReadLink { path } => {
            SourceOutcome::Link { metadata: store.metadata(&path, FollowLinks::No)?, target: store.read_link(&path)? }
        }
        SourceWork::ReadWhole { path, links, limit, algorithm } => read_whole(store, &path, links, limit, algorithm)?,
        SourceWork::Open { path, links } => {
            let file = store.open(&path, links)?;
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

/// Reads a small file between two looks at it that agree.
fn read_whole(
    store: &dyn Store,
    path: &StorePath,
    links: FollowLinks,
    limit: u64,
    algorithm: ContentAlgorithm,
) -> Result<SourceOutcome, StorageError> {
    let file = store.open(path, links)?;
    let mut before = file.metadata()?;
    for _ in 0..WHOLE_ATTEMPTS {
        let length = match usize::try_from(before.size) {
            Ok(length) if before.size <= limit => length,
            _ => return Ok(SourceOutcome::Large(before)),
        };
        let mut bytes = Buffer::zeroed(length);
        let (read, digest) = read_and_digest(&*file, 0, &mut bytes, Some(algorithm))?;
        let after = file.metadata()?;
        if let Some(digest) = digest.filter(|_| read == length && before.same_content_as(&after)) {
            return Ok(SourceOutcome::Whole { digest, metadata: before, bytes });
        }
        before = after;
    }
    Ok(SourceOutcome::Changed)
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
