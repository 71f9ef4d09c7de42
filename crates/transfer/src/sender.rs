//! The sending engine: from named sources to bytes of the linear space.
//!
//! ```text
//! walk ──► staging ──► announcing ──► layout stream
//! (paged)  (in order,   (ids, places)      │
//!           small files                    ▼
//!           read here)    readings ──► blocks in memory ──► offers ──► fill
//!                         (large files)       ▲                         │
//!                              ▲              └── acknowledged ◄────────┘
//!                              └── verdicts
//! ```
//!
//! # Driving it
//! [`Sender::poll_operation`] gives file operations to be carried out by
//! [`perform`] on threads that may block; [`Sender::complete`] takes their
//! results. [`Sender::poll_layout`] gives bytes of the layout stream,
//! [`Sender::layout_acknowledged`] is told how far the other end has it, and
//! [`Sender::on_verdicts`] takes bytes of the verdict stream.
//! [`Sender::poll_offer`] names ranges of the linear space that may leave,
//! [`Sender::fill`] copies bytes of them, [`Sender::acknowledged`] is told what
//! has arrived. After any of these the polls may have something new.
//!
//! # What it holds
//! Bytes of content within [`Limits::memory`], which only those read again after
//! a loss may exceed, by half; one page of each directory on the way down; and
//! the unfinished entries, at most [`Limits::entries`]. None depends on the
//! number or size of the files.
//!
//! # Files that change
//! A file of one chunk is read between two looks at it that agree, before it is
//! announced. A larger one is compared with what was announced when it is
//! opened and after its last block was read, and `End` follows only then; from
//! there on nothing of it is read again. One that differs ends with
//! [`Code::SOURCE_CHANGED`](limosa_wire::Code), what was not sent of it is
//! withdrawn, and it is taken again as a *new entry of the same path*, twice at
//! most: an attempt of its own, with a size, identity and digests of its own.
//!
//! # Repeats
//! `Again` is answered by an extent for the range asked for and by digests of
//! the chunks it touches, read anew; no second `End` follows, unless the file
//! is not any more what was announced: then `End` says so. Repeats may come
//! behind `EndOfLayout`, whose digest covers what is before it.

mod announce;
mod cache;
mod config;
mod entries;
mod layout;
mod operation;
mod read;
mod reading;
mod space;
mod unread;
mod verdicts;
mod walk;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use limosa_wire::codec::DecodeError;
use limosa_wire::control::Summary;
use limosa_wire::{Code, EntryId, Offset};
use thiserror::Error;

pub use config::{Continuing, Destination, Keep, Limits, Nature, SenderConfig, Source, SourceExtent};
pub use operation::{SourceDone, SourceOperation, SourceOutcome, SourceWork, Ticket, WholeRead, perform};

use announce::{Retake, Staging};
use cache::{BlockCache, BlockKey, Copied};
use entries::Entries;
use layout::LayoutWriter;
use reading::Reading;
use space::{LinearSpace, Owner};
use unread::{Batches, Unread};
use walk::Walk;

use crate::event::{Event, Progress};

/// Most events kept for whoever watches; the walk pauses beyond.
const EVENTS: usize = 16_384;

/// The other end broke the protocol.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SenderError {
    /// Bytes that are no verdicts.
    #[error("the verdict stream cannot be read: {0}")]
    Decode(#[from] DecodeError),
    /// A verdict that cannot be.
    #[error("the verdict stream is wrong: {0}")]
    Protocol(&'static str),
}

impl SenderError {
    /// The code by which it is known.
    #[must_use]
    pub const fn code(&self) -> Code {
        Code::PROTOCOL
    }
}

/// What an outstanding operation is for.
#[derive(Clone, Debug)]
enum Errand {
    Walk,
    /// An entry on its way to be announced, by number in the staging queue.
    Stage {
        number: u64,
    },
    /// Small files on their way to be announced.
    Wholes {
        numbers: Vec<u64>,
    },
    Open(Owner),
    FindData(Owner),
    /// The first reading of a block.
    Block {
        owner: Owner,
        file: Range<u64>,
    },
    /// A block that was dropped and asked for again.
    BlockAgain {
        key: BlockKey,
        length: u64,
    },
    /// The last look at a file.
    Check(Owner),
}

/// The sending engine; see the [module](self).
#[derive(Debug)]
pub struct Sender {
    config: SenderConfig,
    walk: Walk,
    walked: bool,
    staging: Staging,
    unread: Unread,
    entries: Entries,
    layout: LayoutWriter,
    space: LinearSpace,
    cache: BlockCache,
    /// Files that are read, or wait for it, or wait for acknowledgements.
    readings: BTreeMap<Owner, Box<Reading>>,
    /// Those that are read or wait for it, in order.
    reading_order: VecDeque<Owner>,
    repairs: u64,
    /// Repairs under way of each file.
    repairing: BTreeMap<EntryId, Vec<Owner>>,
    retakes: VecDeque<Retake>,
    operations: VecDeque<SourceOperation>,
    errands: BTreeMap<Ticket, Errand>,
    next_ticket: u64,
    verdicts: Vec<u8>,
    events: VecDeque<Event>,
    /// Whether somebody wants to know what happens to each entry.
    tells_entries: bool,
    progress: Progress,
    tally: Summary,
    /// What the other end counted, once it is done.
    complete: Option<(u64, u64)>,
    halt: Halt,
}

/// Whether the engine goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Halt {
    Running,
    Paused,
    Cancelled,
}

impl Sender {
    /// An engine that has not begun.
    #[must_use]
    pub fn new(mut config: SenderConfig) -> Self {
        config.limits.memory = config.limits.memory.max(Limits::LEAST_MEMORY);
        config.limits.operations = config.limits.operations.max(2);
        let sources = std::mem::take(&mut config.sources);
        Self {
            walk: Walk::new(sources, config.symlinks, config.limits.page),
            walked: false,
            staging: Staging::default(),
            unread: Unread::default(),
            entries: Entries::default(),
            layout: LayoutWriter::new(config.algorithm),
            space: LinearSpace::new(config.orphan_credit),
            cache: BlockCache::new(config.limits.memory, config.limits.ahead),
            readings: BTreeMap::new(),
            reading_order: VecDeque::new(),
            repairs: 0,
            repairing: BTreeMap::new(),
            retakes: VecDeque::new(),
            operations: VecDeque::new(),
            errands: BTreeMap::new(),
            next_ticket: 0,
            verdicts: Vec::new(),
            events: VecDeque::new(),
            tells_entries: true,
            progress: Progress::default(),
            tally: Summary::default(),
            complete: None,
            halt: Halt::Running,
            config,
        }
    }

    /// The next file operation to be carried out.
    pub fn poll_operation(&mut self) -> Option<SourceOperation> {
        self.advance();
        self.operations.pop_front()
    }

    /// Takes the result of an operation.
    pub fn complete(&mut self, done: SourceDone) {
        let Some(errand) = self.errands.remove(&done.ticket) else { return };
        match errand {
            Errand::Walk => {
                let step = self.walk.resume(done.result);
                self.walked(step);
            }
            Errand::Stage { number } => self.staged(number, done.result),
            Errand::Wholes { numbers } => self.wholes_read(&numbers, done.result),
            Errand::Open(owner) => self.opened(owner, done.result),
            Errand::FindData(owner) => self.found_data(owner, done.result),
            Errand::Block { owner, file } => self.block_read(owner, &file, done.result),
            Errand::BlockAgain { key, length } => self.block_read_again(key, length, done.result),
            Errand::Check(owner) => self.checked(owner, done.result),
        }
    }

    /// Appends up to `room` bytes of the layout stream to `out`; returns how
    /// many. They are handed over once.
    pub fn poll_layout(&mut self, room: usize, out: &mut Vec<u8>) -> usize {
        self.advance();
        self.layout.take(room, out)
    }

    /// The other end has the layout stream up to byte `offset`.
    pub fn layout_acknowledged(&mut self, offset: u64) {
        self.space.layout_acknowledged(offset);
    }

    /// The next bytes of the linear space that may leave: start and length.
    /// Each byte is offered once; from then until it is acknowledged
    /// [`Self::fill`] produces it as often as it is asked for.
    pub fn poll_offer(&mut self) -> Option<(Offset, u64)> {
        if self.halt != Halt::Running {
            return None;
        }
        let range = self.space.poll_offer()?;
        Some((Offset(range.start), range.end - range.start))
    }

    /// Copies offered bytes at `offset` into `out`, as many as are in memory,
    /// and returns how many. Zero means that they are being read again.
    pub fn fill(&mut self, offset: Offset, out: &mut [u8]) -> usize {
        let mut done = 0;
        let range = offset.0..offset.0.saturating_add(out.len() as u64);
        let mut missing = None;
        'segments: for segment in self.space.touched(&range) {
            let mut file = segment.to_file(&range);
            while !file.is_empty() {
                let want = usize::try_from(file.end - file.start).unwrap_or(usize::MAX);
                let Some(free) = out.get_mut(done..).map(|free| &mut free[..want]) else { break 'segments };
                let count = match self.cache.copy(segment.owner, file.start, free) {
                    Copied::Bytes(count) if count > 0 => count,
                    Copied::ReadAgain { length } => {
                        missing = Some((BlockKey::at(segment.owner, file.start), length));
                        break 'segments;
                    }
                    Copied::Unknown if segment.dead => {
                        // The file failed: the other end discards this.
                        free.fill(0);
                        want
                    }
                    _ => break 'segments,
                };
                done += count;
                file.start += count as u64;
            }
        }
        if let Some((key, length)) = missing {
            self.read_again(key, length);
        }
        self.tally.carried += done as u64;
        done
    }

    /// The other end has these bytes.
    pub fn acknowledged(&mut self, offset: Offset, length: u64) {
        let Self { space, cache, .. } = self;
        let mut emptied = Vec::new();
        space.acknowledged(offset.0..offset.0.saturating_add(length), |owner, file| {
            if cache.acknowledged(owner, file) > 0 && !cache.keeps(owner) {
                emptied.push(owner);
            }
        });
        for owner in emptied {
            self.emptied(owner);
        }
    }

    /// Stops reading and offering until [`Self::resume`].
    pub fn pause(&mut self) {
        if self.halt == Halt::Running {
            self.halt = Halt::Paused;
        }
    }

    /// Goes on after [`Self::pause`].
    pub fn resume(&mut self) {
        if self.halt == Halt::Paused {
            self.halt = Halt::Running;
        }
    }

    /// Stops for good. Nothing more is read, announced or offered; what the
    /// other end holds stays as it is, to be continued by a later session.
    pub fn cancel(&mut self) {
        self.halt = Halt::Cancelled;
        self.operations.clear();
    }

    /// Whether every entry is finished and the other end has said so.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete.is_some()
    }

    /// Tells from now on only of entries that failed, were left out or are sent
    /// again: nobody listens to the rest.
    pub fn tell_failures_only(&mut self) {
        self.tells_entries = false;
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// How far the job has come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress {
            entries_announced: self.layout.entries(),
            bytes_announced: self.layout.bytes(),
            layout_complete: self.layout.is_complete(),
            bytes_crossed: self.space.crossed(),
            ..self.progress
        }
    }

    /// What was done so far.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.tally
    }

    /// What the engine holds, for supervision and tests.
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        let (memory, memory_peak) = self.cache.usage();
        Footprint {
            memory,
            memory_peak,
            blocks: self.cache.len(),
            entries: self.entries.len() + self.staging.len(),
            directory_entries: self.walk.held(),
            segments: self.space.segments(),
            readings: self.readings.len(),
            operations: self.errands.len(),
            layout: self.layout.pending(),
            events: self.events.len(),
        }
    }

    /// Does what can be done now.
    fn advance(&mut self) {
        if self.halt != Halt::Running {
            return;
        }
        self.run_readings();
        self.announce_staged();
        self.run_walk();
        self.read_unread(Batches::All);
        self.announce_staged();
        self.run_readings();
        self.finish_layout();
    }

    /// Everything that will be announced has been, and has ended.
    fn finish_layout(&mut self) {
        let unread = self.reading_order.iter().any(|owner| !owner.is_repair());
        if self.walked && self.retakes.is_empty() && self.staging.is_empty() && self.entries.asked() == 0 && !unread {
            self.layout.finish();
        }
    }

    /// Queues an operation.
    fn ask(&mut self, errand: Errand, work: SourceWork) {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.errands.insert(ticket, errand);
        self.operations.push_back(SourceOperation { ticket, work });
    }

    /// Whether another operation may be outstanding. One is kept for the walk.
    fn may_ask(&self) -> bool {
        self.errands.len() + 1 < self.config.limits.operations
    }

    fn report(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// Reports what happened to an entry, if anybody listens.
    fn report_entry(&mut self, event: impl FnOnce() -> Event) {
        if self.tells_entries {
            self.report(event());
        }
    }

    fn layout_has_room(&self) -> bool {
        self.layout.pending() < self.config.limits.layout
    }
}

impl Owner {
    /// The first reading of a file.
    fn first(entry: EntryId) -> Self {
        Self(entry.0 << 1)
    }

    /// One of many repairs.
    fn repair(number: u64) -> Self {
        Self(number << 1 | 1)
    }

    fn is_repair(self) -> bool {
        self.0 & 1 == 1
    }

    /// The file of a first reading.
    fn entry(self) -> Option<EntryId> {
        (!self.is_repair()).then_some(EntryId(self.0 >> 1))
    }
}

/// What an engine holds at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Bytes of content in memory or reserved for reads under way.
    pub memory: u64,
    /// The most there were.
    pub memory_peak: u64,
    /// Blocks of content.
    pub blocks: usize,
    /// Entries unfinished or on their way to be announced.
    pub entries: usize,
    /// Entries of directories, listed and not yet looked at.
    pub directory_entries: usize,
    /// Stretches of the linear space.
    pub segments: usize,
    /// Files being read or waiting for it.
    pub readings: usize,
    /// Operations outstanding.
    pub operations: usize,
    /// Bytes of the layout not handed over.
    pub layout: usize,
    /// Events not fetched.
    pub events: usize,
}
