//! What the receiving engine asks of whoever may block: operations on files,
//! and what came of them.
//!
//! An operation is complete in itself: [`perform()`](super::perform()) executes it
//! on any thread, several at a time and in any order. Where it saves a round
//! trip between engine and thread an operation is composed of several calls of
//! the store.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use limosa_seal::ContentAlgorithm;
use limosa_storage::{AppendFile, Attributes, LockGuard, Publish, Result, StorePath, Timestamp, WriteFile};
use limosa_wire::front::Front;
use limosa_wire::layout::Digest;
use limosa_wire::setup::Overwrite;

use crate::buffer::Buffer;
use crate::failure::Failure;
use crate::journal::{Chain, JournalHeader};

/// Names an operation until its completion is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub(super) u64);

/// One operation to be executed, and the ticket to report it by.
#[derive(Debug)]
pub struct DestinationOperation {
    /// To be handed back with what came of it.
    pub ticket: Ticket,
    /// What is to be done.
    pub work: DestinationWork,
}

/// What is to be done.
#[derive(Debug)]
pub enum DestinationWork {
    /// See what stands where a file is to go.
    Inspect(Box<Inspect>),
    /// Make or finish what is no file, in this order.
    Names(Vec<NameWork>),
    /// Sync the names in these directories.
    SyncDirectories(Vec<StorePath>),
    /// Write files that are whole in memory, and publish them.
    WriteWholes(Vec<WriteWhole>),
    /// Open the partial file of a larger one.
    OpenPartial(Box<OpenPartial>),
    /// Write a block, and digest it if it is complete.
    WriteBlock(WriteBlock),
    /// Write stretches of blocks that are not complete.
    WritePieces {
        /// The file.
        partial: Arc<Partial>,
        /// Place in the file and bytes.
        pieces: Vec<(u64, Vec<u8>)>,
    },
    /// Digest a block that was written in pieces.
    ReadBack {
        /// The file.
        partial: Arc<Partial>,
        /// The block, or what there is of it.
        range: Range<u64>,
        /// How.
        algorithm: ContentAlgorithm,
    },
    /// Sync what was written, then add `records` to the journal.
    Checkpoint {
        /// The file.
        partial: Arc<Partial>,
        /// Records of verified chunks, written before this was asked for.
        records: Vec<u8>,
    },
    /// Give a complete file its name.
    PublishPartial(Box<PublishPartial>),
    /// Let go of a file that will not be completed in this session.
    ClosePartial {
        /// The file.
        partial: Arc<Partial>,
        /// What becomes of it.
        fate: Fate,
    },
}

/// What is to be done to a name that is no file's.
#[derive(Debug)]
pub enum NameWork {
    /// Make a directory, or take the one that is there, so that its owner may
    /// write in it.
    MakeDirectory {
        /// Where.
        path: StorePath,
        /// How directories on the way are made.
        parents: Parents,
        /// Whether the directory will get a mode of its own at the end: then
        /// one that is there is opened to its owner meanwhile.
        open_to_owner: bool,
        /// Whether its name is synced before this is done.
        sync: bool,
    },
    /// Give a directory its attributes, after its last entry.
    FinishDirectory {
        /// Which.
        path: StorePath,
        /// What it gets.
        attributes: Attributes,
        /// Directories whose names are synced first: itself and others below
        /// that could not be opened any more afterwards.
        sync: Vec<StorePath>,
    },
    /// Make a symbolic link.
    MakeLink(Box<MakeLink>),
    /// Remove a file, a link or an empty directory.
    Remove(StorePath),
}

/// A partial file, open.
#[derive(Debug)]
pub struct Partial {
    pub(super) path: StorePath,
    pub(super) file: Arc<dyn WriteFile>,
    pub(super) journal: Option<Journal>,
    /// Held while writing. The kernel lets one thread at a time write to a file
    /// too, but the others would spin until it is their turn.
    turn: Mutex<()>,
}

impl Partial {
    pub(super) fn new(path: StorePath, file: Arc<dyn WriteFile>, journal: Option<Journal>) -> Self {
        Self { path, file, journal, turn: Mutex::new(()) }
    }

    /// Writes when it is this thread's turn.
    pub(super) fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.file.write_at(offset, bytes)
    }
}

/// The journal of a partial file, open and locked.
#[derive(Debug)]
pub(super) struct Journal {
    pub(super) path: StorePath,
    pub(super) file: Arc<dyn AppendFile>,
    pub(super) _lock: LockGuard,
}

/// How directories are made that nobody announced.
#[derive(Clone, Copy, Debug)]
pub struct Parents {
    /// Their permission bits.
    pub mode: u32,
}

/// See what stands where a file is to go.
#[derive(Debug)]
pub struct Inspect {
    /// Where.
    pub(super) to: StorePath,
    /// What becomes of what is there.
    pub(super) overwrite: Overwrite,
    /// Size and time by which a file counts as the same; `None`: never.
    pub(super) same: Option<(u64, Timestamp)>,
    /// Where an earlier session may have left a part.
    pub(super) resume: Option<ResumeFrom>,
}

/// A partial file and its journal.
#[derive(Clone, Debug)]
pub(super) struct ResumeFrom {
    pub(super) partial: StorePath,
    pub(super) journal: StorePath,
    pub(super) header: JournalHeader,
    /// Whether the other end goes on only by how that part begins.
    pub(super) by_front: bool,
}

/// What is held of a file, as the other end is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    /// The stretches of chunks (first, count) that are missing.
    pub missing: Vec<(u64, u64)>,
    /// How it begins, where the other end goes on by that.
    pub front: Option<Front>,
}

/// What an inspection found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inspection {
    /// The file is wanted whole.
    Take,
    /// It is there already.
    Skip,
    /// A part of it is held.
    Resume(Promise),
    /// It cannot be taken.
    Refuse(Failure),
}

/// Make a symbolic link under a hidden name and publish it.
#[derive(Debug)]
pub struct MakeLink {
    pub(super) staged: StorePath,
    pub(super) to: StorePath,
    pub(super) target: Vec<u8>,
    pub(super) attributes: Attributes,
    pub(super) publish: Publish,
    pub(super) parents: Parents,
}

/// Write a file that is whole in memory, and publish it.
#[derive(Debug)]
pub struct WriteWhole {
    pub(super) staged: StorePath,
    pub(super) to: StorePath,
    pub(super) bytes: Buffer,
    pub(super) digest: Digest,
    pub(super) algorithm: ContentAlgorithm,
    pub(super) attributes: Attributes,
    pub(super) publish: Publish,
    pub(super) parents: Parents,
}

/// Open the partial file of a larger one.
#[derive(Debug)]
pub struct OpenPartial {
    pub(super) path: StorePath,
    pub(super) journal: Option<OpenJournal>,
    /// How long the file will be, where that is known.
    pub(super) size: Option<u64>,
    /// Space to reserve, bytes.
    pub(super) preallocate: Option<u64>,
    pub(super) parents: Parents,
}

/// The journal to open with it.
#[derive(Debug)]
pub(super) struct OpenJournal {
    pub(super) path: StorePath,
    pub(super) header: JournalHeader,
    /// Of what it speaks if it counts; else it starts anew.
    pub(super) earlier: Earlier,
}

/// Which part of an earlier session is continued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Earlier {
    /// None.
    Nothing,
    /// Whichever is there.
    Any,
    /// One that begins like this.
    Beginning(Front),
}

/// Write a block; a complete one (holes included as zeros) is digested too.
#[derive(Debug)]
pub struct WriteBlock {
    pub(super) partial: Arc<Partial>,
    /// Place of the block in the file.
    pub(super) offset: u64,
    pub(super) bytes: Buffer,
    /// Stretches of `bytes` that are written; the rest are holes.
    pub(super) written: Vec<Range<usize>>,
    /// How it is digested, if it is complete.
    pub(super) algorithm: Option<ContentAlgorithm>,
}

/// Give a complete file its name.
#[derive(Debug)]
pub struct PublishPartial {
    pub(super) partial: Arc<Partial>,
    pub(super) to: StorePath,
    pub(super) size: u64,
    pub(super) attributes: Attributes,
    pub(super) publish: Publish,
    /// Whether it must be an envelope.
    pub(super) envelopes_only: bool,
    /// What becomes of the partial file if it cannot be published.
    pub(super) otherwise: Fate,
}

/// What becomes of a partial file.
#[derive(Clone, Debug)]
pub enum Fate {
    /// It stays, with these last records in its journal.
    Keep(Vec<u8>),
    /// It goes, and its journal with it.
    Remove,
}

/// What came of an operation.
#[derive(Debug)]
pub struct DestinationDone {
    /// What it gave, or why it failed.
    pub result: Result<DestinationOutput>,
    /// Memory to be used again.
    pub(super) buffers: Vec<Buffer>,
}

/// What an operation gave.
#[derive(Debug)]
pub enum DestinationOutput {
    /// Nothing but success.
    Done,
    /// What stands at the destination.
    Inspected(Inspection),
    /// The partial file is open; these chunks of it are held already.
    Opened {
        /// The file.
        partial: Arc<Partial>,
        /// Where its journal goes on.
        chain: Option<Chain>,
        /// Chunks that an earlier session verified, and their digests.
        held: BTreeMap<u32, Digest>,
    },
    /// A block is on disk (or in its cache) and has this digest.
    Digested(Digest),
    /// What became of each of several names, in their order.
    Names(Vec<Result<()>>),
    /// What became of each of several whole files, in their order.
    Wholes(Vec<Result<WholeOutcome>>),
}

/// What became of a file that was whole in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WholeOutcome {
    /// It stands under its name.
    Published,
    /// It is not what was announced; nothing was written.
    Mismatch,
}
