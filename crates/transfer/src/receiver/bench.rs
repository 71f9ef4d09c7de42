//! What all parts of the engine work with: operations asked for, memory,
//! verdicts and events on their way out, and the counts.

use std::collections::{BTreeSet, HashMap, VecDeque};

use limosa_storage::{self as storage, StorePath, Timestamp};
use limosa_transport::Time;
use limosa_wire::control::Summary;
use limosa_wire::layout::Attributes;
use limosa_wire::setup::Durability;
use limosa_wire::{Code, EntryId};

use super::memory::Memory;
use super::operation::{DestinationOperation, DestinationWork, NameWork, Ticket, WriteWhole};
use super::options::ReceiverOptions;
use super::verdicts::Verdicts;
use crate::event::Event;

/// Most small files written by one operation: they are synced together.
const BATCH_FILES: usize = 512;
/// Most bytes written by one such operation.
const BATCH_BYTES: u64 = 8 << 20;
/// Most such operations at a time: one writes while the other is synced, and
/// meanwhile the next batch grows. More would only wait for each other: the
/// kernel lets one thread at a time change a directory.
const BATCHES: usize = 2;
/// While such an operation is under way, another one is worth its way to a
/// thread and back with so many files, or so many bytes.
const WORTH_FILES: usize = 32;
const WORTH_BYTES: u64 = 1 << 20;
/// Most directories, links and removals in one operation.
const BATCH_NAMES: usize = 512;
/// Directories whose names wait to be synced together.
const MAX_UNSYNCED: usize = 1024;

/// What an operation was asked for, to find its way back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// What its entry waits for.
    Entry(EntryId, Wait),
    /// Files that were whole in memory.
    Wholes(Vec<EntryId>),
    /// Directories, links and removals.
    Names(Vec<(EntryId, Wait)>),
    /// Sync of directories.
    SyncDirectories,
}

/// What an entry waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// What stands at its destination.
    Inspection,
    /// A directory, a link or a removal.
    Made,
    /// The attributes of a directory.
    Finished,
    /// A partial file.
    Opened,
    /// The digest of this block, written just now or before.
    Block(u64),
    /// Stretches of these blocks, so many bytes of them.
    Pieces { blocks: Vec<u64>, bytes: u64 },
    /// A sync and journal records.
    Checkpoint,
    /// The name of a large file.
    Published,
    /// The end of a large file that failed.
    Closed,
}

/// What all parts of the engine work with.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) options: ReceiverOptions,
    pub(super) memory: Memory,
    pub(super) verdicts: Verdicts,
    pub(super) events: VecDeque<Event>,
    /// Whether somebody wants to know what happens to each entry.
    pub(super) tells_entries: bool,
    pub(super) summary: Summary,
    /// The latest time heard of.
    pub(super) now: Time,
    /// Memory that what was announced takes, bytes.
    pub(super) announced: u64,
    /// Partial files open, or about to be.
    pub(super) open_files: usize,
    /// Files that wait until one of those is closed.
    pub(super) waiting_to_open: VecDeque<EntryId>,
    /// Large files that have, or wait for, a partial file.
    pub(super) active: BTreeSet<EntryId>,
    /// Blocks under assembly, oldest first; some may be gone.
    pub(super) assembling: VecDeque<(EntryId, u64)>,
    /// Why no more files are taken.
    pub(super) closed: Option<Code>,
    unsynced: BTreeSet<StorePath>,
    /// Small files ready to be written.
    ready: VecDeque<WriteWhole>,
    /// Their entries.
    ready_entries: VecDeque<EntryId>,
    batches: usize,
    /// Directories, links and removals that wait for those under way.
    names: VecDeque<(EntryId, Wait, NameWork)>,
    names_under_way: bool,
    queue: VecDeque<DestinationOperation>,
    outstanding: HashMap<Ticket, (Purpose, u64)>,
    next_ticket: u64,
}

impl Bench {
    pub(super) fn new(options: ReceiverOptions) -> Self {
        // A session that was killed may have made them and not synced them.
        let above = options.survey.above().filter(|_| options.durability != Durability::None);
        Self {
            memory: Memory::new(options.limits.queue),
            unsynced: above.collect(),
            options,
            verdicts: Verdicts::default(),
            events: VecDeque::new(),
            tells_entries: true,
            summary: Summary::default(),
            now: Time::ZERO,
            announced: 0,
            open_files: 0,
            waiting_to_open: VecDeque::new(),
            active: BTreeSet::new(),
            assembling: VecDeque::new(),
            closed: None,
            ready: VecDeque::new(),
            ready_entries: VecDeque::new(),
            batches: 0,
            names: VecDeque::new(),
            names_under_way: false,
            queue: VecDeque::new(),
            outstanding: HashMap::new(),
            next_ticket: 0,
        }
    }

    /// Tells what happened to an entry, if anybody listens.
    pub(super) fn tell_entry(&mut self, event: impl FnOnce() -> Event) {
        if self.tells_entries {
            self.events.push_back(event());
        }
    }

    /// Asks for an operation on behalf of an entry; `bytes` of assembled data
    /// go with it.
    pub(super) fn ask(&mut self, entry: EntryId, wait: Wait, bytes: u64, work: DestinationWork) {
        self.issue(Purpose::Entry(entry, wait), bytes, work);
    }

    /// Asks for a file that is whole in memory to be written, together with
    /// others.
    pub(super) fn write_whole(&mut self, entry: EntryId, whole: WriteWhole) {
        self.memory.enqueue(whole.bytes.len() as u64);
        self.ready.push_back(whole);
        self.ready_entries.push_back(entry);
    }

    fn issue(&mut self, purpose: Purpose, bytes: u64, work: DestinationWork) {
        self.memory.enqueue(bytes);
        let operation = self.register(purpose, bytes, work);
        self.queue.push_back(operation);
    }

    fn register(&mut self, purpose: Purpose, bytes: u64, work: DestinationWork) -> DestinationOperation {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.outstanding.insert(ticket, (purpose, bytes));
        DestinationOperation { ticket, work }
    }

    /// Asks for something to be done to a name that is no file's, together with
    /// others and in order.
    pub(super) fn ask_name(&mut self, entry: EntryId, wait: Wait, work: NameWork) {
        self.names.push_back((entry, wait, work));
    }

    /// The next operation to be executed.
    pub(super) fn next_operation(&mut self) -> Option<DestinationOperation> {
        self.queue.pop_front().or_else(|| self.next_names()).or_else(|| self.next_batch())
    }

    /// Names that wait, in one operation; one such at a time keeps their order.
    fn next_names(&mut self) -> Option<DestinationOperation> {
        if self.names.is_empty() || self.names_under_way {
            return None;
        }
        self.names_under_way = true;
        let count = self.names_done_together();
        let (entries, works) = self.names.drain(..count).map(|(entry, wait, work)| ((entry, wait), work)).unzip();
        Some(self.register(Purpose::Names(entries), 0, DestinationWork::Names(works)))
    }

    /// How many of the names that wait can be done in one operation, which makes
    /// and removes first and finishes directories last: up to the first that
    /// follows the end of a directory that holds it.
    fn names_done_together(&self) -> usize {
        let mut finished: BTreeSet<&[u8]> = BTreeSet::new();
        let together = self.names.iter().take(BATCH_NAMES).take_while(|(_, _, work)| {
            let path = match work {
                NameWork::FinishDirectory { path, .. } => {
                    finished.insert(path.as_bytes());
                    return true;
                }
                NameWork::MakeDirectory { path, .. } | NameWork::Remove(path) => path,
                NameWork::MakeLink(link) => &link.to,
            };
            let bytes = path.as_bytes();
            let above = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(end, _)| &bytes[..end]);
            !above.chain([bytes, &[]]).any(|directory| finished.contains(directory))
        });
        together.count()
    }

    /// Small files that are ready, in one operation.
    fn next_batch(&mut self) -> Option<DestinationOperation> {
        if self.ready.is_empty() || self.batches >= BATCHES {
            return None;
        }
        let mut bytes = 0;
        let fits = self.ready.iter().take(BATCH_FILES).take_while(|whole| {
            let more = bytes + whole.bytes.len() as u64;
            let fits = bytes == 0 || more <= BATCH_BYTES;
            bytes = if fits { more } else { bytes };
            fits
        });
        let count = fits.count();
        if self.batches > 0 && count < WORTH_FILES && bytes < WORTH_BYTES {
            return None;
        }
        let files: Vec<WriteWhole> = self.ready.drain(..count).collect();
        let entries = self.ready_entries.drain(..count).collect();
        self.batches += 1;
        Some(self.register(Purpose::Wholes(entries), bytes, DestinationWork::WriteWholes(files)))
    }

    /// What the completed operation was for.
    pub(super) fn redeem(&mut self, ticket: Ticket) -> Option<Purpose> {
        let (purpose, bytes) = self.outstanding.remove(&ticket)?;
        self.memory.drain(bytes);
        match purpose {
            Purpose::Wholes(_) => self.batches -= 1,
            Purpose::Names(_) => self.names_under_way = false,
            _ => {}
        }
        Some(purpose)
    }

    /// Whether operations are outstanding.
    pub(super) fn is_busy(&self) -> bool {
        !self.outstanding.is_empty() || !self.ready.is_empty() || !self.names.is_empty()
    }

    /// A name in the directory of `path` was made or changed, or was found as
    /// it should be: a session that was killed may have left it unsynced. So
    /// may be those of directories on the way from `announced`, which were made
    /// for it.
    pub(super) fn touch_directory_of(&mut self, path: &StorePath, announced: Option<&StorePath>) {
        if self.options.durability == Durability::None {
            return;
        }
        let mut next = path.parent();
        while let Some(directory) = next {
            next = directory.parent().filter(|_| announced != Some(&directory));
            if !self.unsynced.insert(directory) {
                break;
            }
        }
        if self.unsynced.len() > MAX_UNSYNCED {
            self.sync_directories();
        }
    }

    /// The directories at or below this one whose names wait to be synced; they
    /// no longer do.
    pub(super) fn claim_syncs(&mut self, directory: &StorePath) -> Vec<StorePath> {
        self.unsynced.extract_if(.., |path| path.is_within(directory)).collect()
    }

    /// Asks for the sync of all directories that wait for it; says whether
    /// there were any.
    pub(super) fn sync_directories(&mut self) -> bool {
        if self.unsynced.is_empty() {
            return false;
        }
        let paths = std::mem::take(&mut self.unsynced).into_iter().collect();
        self.issue(Purpose::SyncDirectories, 0, DestinationWork::SyncDirectories(paths));
        true
    }

    /// Attributes for a file or link.
    pub(super) fn file_attributes(&self, attributes: &Attributes) -> storage::Attributes {
        self.attributes(attributes, self.options.file_mode)
    }

    /// Attributes for a directory.
    pub(super) fn directory_attributes(&self, attributes: &Attributes) -> storage::Attributes {
        self.attributes(attributes, self.options.directory_mode)
    }

    fn attributes(&self, attributes: &Attributes, default_mode: u32) -> storage::Attributes {
        let mode = attributes.mode.map_or(default_mode, |mode| u32::from(mode) & self.options.mode_mask);
        storage::Attributes { mode: Some(mode), modified: timestamp(attributes), owner: None }
    }
}

/// The time of last change, as the store takes it.
pub(super) fn timestamp(attributes: &Attributes) -> Option<Timestamp> {
    attributes.modified.map(|(seconds, nanos)| Timestamp::new(seconds, nanos))
}

#[cfg(test)]
mod tests {
    use limosa_seal::AlgorithmSet;
    use limosa_storage::memory::MemoryStore;
    use limosa_wire::setup::ContentDigest;

    use super::super::{Destination, PartialNames, Survey};
    use super::*;

    fn path(text: &str) -> StorePath {
        StorePath::parse(text.as_bytes()).unwrap()
    }

    fn bench() -> Bench {
        let survey = Survey::of(&MemoryStore::new(), Destination::parse(b"in").unwrap()).unwrap();
        let algorithm = AlgorithmSet::Ordinary.content(ContentDigest::Blake3).unwrap();
        let options = ReceiverOptions::new(survey, 1, PartialNames::new(b"anna", [9; 16]), algorithm);
        Bench::new(options.with_durability(Durability::File))
    }

    #[test]
    fn nothing_is_made_together_with_the_end_of_a_directory_that_holds_it() {
        let finish = |text| {
            let attributes = storage::Attributes::default();
            NameWork::FinishDirectory { path: path(text), attributes, sync: Vec::new() }
        };
        let remove = |text| NameWork::Remove(path(text));
        let mut bench = bench();
        for work in [remove("a"), finish("a"), remove("ab/c"), remove("b"), finish("b"), remove("a/x/y"), remove("a")] {
            bench.ask_name(EntryId(1), Wait::Finished, work);
        }
        let mut together = Vec::new();
        while let Some(DestinationOperation { ticket, work }) = bench.next_operation() {
            let DestinationWork::Names(works) = work else { panic!("only names were asked for") };
            together.push(works.len());
            bench.redeem(ticket).unwrap();
        }
        assert_eq!(together, [5, 2]);
    }

    #[test]
    fn who_shuts_a_directory_claims_the_syncs_below_it() {
        let mut bench = bench();
        bench.claim_syncs(&StorePath::root());
        for name in ["in/d/sub/f", "in/d-e/f", "in/d/f", "in/x"] {
            bench.touch_directory_of(&path(name), Some(&path("in")));
        }
        assert_eq!(bench.claim_syncs(&path("in/d")), [path("in/d"), path("in/d/sub")]);
        assert_eq!(bench.claim_syncs(&path("in/d")), []);
        assert_eq!(bench.claim_syncs(&StorePath::root()), [path("in"), path("in/d-e")]);
    }
}
