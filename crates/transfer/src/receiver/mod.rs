//! The receiving engine: maps the linear space back to files, checks and
//! publishes them. A server runs it on upload, a client on download.
//!
//! It never blocks: it asks for operations on files
//! ([`Receiver::next_operation`]), which [`perform()`] executes on whatever
//! thread the driver likes, and is told their completion
//! ([`Receiver::completed`]). Time comes in as an argument.
//!
//! # Memory
//! Bounded by [`Limits`], whatever the number and size of files:
//! * Bytes of files are assembled in blocks and dropped ([`Delivery::Shed`],
//!   to be sent again) where the disk does not follow. Incomplete blocks leave
//!   memory, oldest first, and are read back once complete.
//! * Entries are forgotten when they are settled. The sender keeps the number
//!   of unsettled ones within its own limit; more than [`Limits`] allows ends
//!   the session.
//! * Directories get their attributes, and are forgotten, when the last entry
//!   below is settled and the walk has left them: the sender announces a tree
//!   depth first, so only the ancestors of the present entry stay open. An
//!   entry announced below a directory that was left before (a sender that
//!   walks otherwise) is written all the same, but finds the directory with
//!   its final mode, and changes its time.
//!
//! # Where to read
//! [`landing`] says where sources land; [`operation`] what is asked of the
//! store; `records` holds the rules of the layout; `whole` and `large` are the
//! two ways of a file.

mod admission;
mod bench;
mod deliver;
mod error;
pub mod landing;
mod large;
mod memory;
pub mod naming;
mod numbers;
pub mod operation;
mod options;
mod perform;
mod records;
mod settle;
mod space;
mod step;
mod tree;
mod verdicts;
mod whole;

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasherDefault;

use limosa_seal::ContentHasher;
use limosa_storage::StorePath;
use limosa_transport::{Delivery, QueueState, Time};
use limosa_wire::control::Summary;
use limosa_wire::setup::ResumeLevel;
use limosa_wire::verdict::VerdictRecord;
use limosa_wire::{Code, EntryId, Offset};

use self::bench::{Bench, Purpose};
use self::landing::Landing;
use self::large::LargeFile;
use self::numbers::NumberHasher;
use self::operation::DestinationDone;
use self::space::LinearSpace;
use self::tree::Directory;
use self::whole::WholeFile;
use crate::event::{Event, Progress};
use crate::failure::Failure;

pub use admission::Admission;
pub use error::{ReceiverError, code_of_path};
pub use landing::{Destination, Standing, Survey};
pub use naming::PartialNames;
pub use operation::{DestinationOperation, DestinationWork, Ticket};
pub use options::{Limits, ReceiverOptions};
pub use perform::perform;

/// How often a chunk is asked for again before its file fails.
const MAX_REPEATS: u8 = 3;

/// An entry that is neither settled nor failed.
#[derive(Debug)]
struct Entry {
    /// The directory it counts for.
    parent: Option<EntryId>,
    /// Memory it was charged.
    cost: u64,
    /// Its source has changed, and another attempt follows.
    retaken: bool,
    body: Body,
}

/// What an entry is.
#[derive(Debug)]
enum Body {
    Directory(Directory),
    /// A link or a removal, with its destination.
    Simple(StorePath),
    Whole(Box<WholeFile>),
    Large(Box<LargeFile>),
}

impl Entry {
    fn path(&self) -> &StorePath {
        match &self.body {
            Body::Directory(directory) => directory.path(),
            Body::Simple(path) => path,
            Body::Whole(file) => file.path(),
            Body::Large(file) => file.path(),
        }
    }
}

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// More is announced.
    Announcing,
    /// The layout is complete.
    Announced,
    /// Everything is settled or failed, and the verdict says so.
    Complete,
    /// It ends before its time.
    Cancelled,
}

/// The receiving engine of one session.
#[derive(Debug)]
pub struct Receiver {
    bench: Bench,
    phase: Phase,
    /// Bytes of the layout stream that are no whole record yet.
    layout: Vec<u8>,
    hasher: ContentHasher,
    next_id: EntryId,
    landing: Option<Landing>,
    /// Announced directories above the present entry, outermost first.
    ancestors: Vec<EntryId>,
    entries: HashMap<EntryId, Entry, BuildHasherDefault<NumberHasher>>,
    /// Destinations of files whose sources changed and that were not announced
    /// again yet. Charged like entries.
    retaken: HashSet<StorePath>,
    space: LinearSpace,
    progress: Progress,
}

impl Receiver {
    /// Starts an engine.
    ///
    /// # Errors
    /// [`ReceiverError::ResumeLevel`] for levels this version does not have.
    pub fn new(options: ReceiverOptions) -> Result<Self, ReceiverError> {
        if matches!(options.resume, ResumeLevel::Sample | ResumeLevel::Full) {
            return Err(ReceiverError::ResumeLevel(options.resume));
        }
        Ok(Self {
            hasher: options.algorithm.hasher(),
            space: LinearSpace::new(options.limits.orphans),
            bench: Bench::new(options),
            phase: Phase::Announcing,
            layout: Vec::new(),
            next_id: EntryId(0),
            landing: None,
            ancestors: Vec::new(),
            entries: HashMap::default(),
            retaken: HashSet::new(),
            progress: Progress::default(),
        })
    }

    /// Takes the next bytes of the layout stream.
    ///
    /// # Errors
    /// Any error ends the session, by its [`code`](ReceiverError::code); what
    /// can be continued is kept by [`Self::cancel`].
    pub fn layout(&mut self, now: Time, bytes: &[u8]) -> Result<(), ReceiverError> {
        self.bench.now = now;
        if self.phase == Phase::Cancelled {
            return Ok(());
        }
        self.layout.extend_from_slice(bytes);
        self.read_records()?;
        self.complete_if_done();
        Ok(())
    }

    /// Takes bytes of the linear space, in any order, perhaps repeatedly.
    pub fn deliver(&mut self, offset: Offset, bytes: &[u8]) -> Delivery {
        self.take_over(offset, bytes)
    }

    /// How full the queue to the disk is.
    #[must_use]
    pub fn queue(&self) -> QueueState {
        self.bench.memory.state()
    }

    /// The next operation to be executed; each of them must be completed.
    pub fn next_operation(&mut self) -> Option<DestinationOperation> {
        self.bench.next_operation()
    }

    /// An operation was executed.
    pub fn completed(&mut self, now: Time, ticket: Ticket, done: DestinationDone) {
        self.bench.now = now;
        let DestinationDone { result, buffers } = done;
        for buffer in buffers {
            self.bench.memory.give_back(buffer);
        }
        match self.bench.redeem(ticket) {
            Some(Purpose::Entry(entry, wait)) => self.resume_entry(entry, wait, result),
            Some(Purpose::Wholes(entries)) => self.wholes_written(entries, result),
            Some(Purpose::Names(entries)) => self.names_done(entries, result),
            Some(Purpose::SyncDirectories) => {
                if let Err(error) = result {
                    self.report_failed(None, error.path().clone(), Failure::from(&error));
                }
            }
            None => {}
        }
        self.complete_if_done();
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Time) {
        self.bench.now = now;
        if self.deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        let due: Vec<EntryId> = self.bench.active.iter().copied().collect();
        for id in due {
            if let Some(Entry { body: Body::Large(file), .. }) = self.entries.get_mut(&id)
                && file.deadline().is_some_and(|deadline| deadline <= now)
            {
                let step = file.tick(&mut self.bench);
                self.apply(id, step);
            }
        }
    }

    /// When [`Self::tick`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        let files = self.bench.active.iter().filter_map(|id| match &self.entries.get(id)?.body {
            Body::Large(file) => file.deadline(),
            _ => None,
        });
        files.min()
    }

    /// All verdicts since the last call, to be encoded into the verdict stream.
    pub fn verdicts(&mut self) -> Vec<VerdictRecord> {
        self.bench.verdicts.drain()
    }

    /// Whether [`Self::verdicts`] has any.
    #[must_use]
    pub fn has_verdicts(&self) -> bool {
        !self.bench.verdicts.is_empty()
    }

    /// Tells from now on only of entries that failed or are sent again: nobody
    /// listens to the rest.
    pub fn tell_failures_only(&mut self) {
        self.bench.tells_entries = false;
    }

    /// The next event.
    pub fn next_event(&mut self) -> Option<Event> {
        self.bench.events.pop_front()
    }

    /// Ends the session before its time: takes no more data, lets operations
    /// end, keeps what a later session can continue. Over when
    /// [`Self::is_finished`].
    pub fn cancel(&mut self, now: Time, code: Code) {
        self.bench.now = now;
        if matches!(self.phase, Phase::Complete | Phase::Cancelled) {
            return;
        }
        self.phase = Phase::Cancelled;
        self.bench.closed = Some(code);
        let mut ids: Vec<EntryId> = self.entries.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            self.give_up(id, Failure::new(code));
        }
    }

    /// Whether nothing is left to be done: everything is settled and said, or
    /// the session was cancelled and its operations are back.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        match self.phase {
            Phase::Announcing | Phase::Announced => false,
            Phase::Complete => true,
            Phase::Cancelled => !self.bench.is_busy(),
        }
    }

    /// Whether everything the other end announced is settled or failed.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.phase == Phase::Complete
    }

    /// What was done so far.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.bench.summary
    }

    /// How far the session is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress {
            entries_finished: self.bench.summary.settled + self.bench.summary.failed,
            bytes_processed: self.bench.memory.state().drained,
            bytes_crossed: self.bench.summary.carried,
            bytes_present: self.progress.bytes_present + self.bench.summary.resumed,
            layout_complete: self.phase != Phase::Announcing && self.phase != Phase::Cancelled,
            ..self.progress
        }
    }

    /// Entries that are announced and neither settled nor failed.
    #[must_use]
    pub fn unsettled(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of files in memory now.
    #[must_use]
    pub fn memory_used(&self) -> u64 {
        self.bench.memory.used()
    }
}
