//! The entries that were announced and are not finished.

use std::collections::BTreeMap;
use std::sync::Arc;

use limosa_storage::{FollowLinks, Metadata};
use limosa_wire::EntryId;
use limosa_wire::front::Front;
use limosa_wire::layout::{Attributes, SourceIdentity};

use super::config::{Continuing, Keep, Nature};
use super::walk::Located;

fn time(at: limosa_storage::Timestamp) -> [u64; 2] {
    [at.seconds().cast_unsigned(), at.nanoseconds().into()]
}

/// By which identity a file is announced.
pub(super) fn announced_identity(metadata: &Metadata, nature: Nature) -> SourceIdentity {
    let Nature::Sealed(continuing) = nature else { return identity_of(metadata) };
    let [modified, modified_nanos] = time(metadata.modified);
    let numbers = [metadata.size, modified, modified_nanos].map(u64::to_be_bytes).concat();
    match continuing {
        Continuing::ByFront => limosa_seal::identity::source_identity(&[b"sealed", &numbers]),
        Continuing::ByFrontHere(keys) => {
            limosa_seal::identity::source_identity(&[b"sealed here", &identity_of(metadata), &keys])
        }
        Continuing::Nothing(session) => limosa_seal::identity::source_identity(&[b"sealed", &numbers, &session]),
    }
}

/// Which state of which source file this is.
pub(super) fn identity_of(metadata: &Metadata) -> SourceIdentity {
    let [modified, modified_nanos] = time(metadata.modified);
    let [changed, changed_nanos] = time(metadata.changed);
    let numbers = [metadata.device, metadata.inode, metadata.size, modified, modified_nanos, changed, changed_nanos];
    limosa_seal::identity::source_identity(
        &numbers.each_ref().map(|number| number.to_be_bytes()).each_ref().map(|b| &b[..]),
    )
}

/// The attributes that are announced.
pub(super) fn attributes_of(metadata: &Metadata, keep: Keep) -> Attributes {
    // Masked to twelve bits, so it fits.
    let mode = u16::try_from(metadata.mode & 0o7777).ok();
    Attributes {
        mode: mode.filter(|_| keep.mode),
        modified: keep.times.then(|| (metadata.modified.seconds(), metadata.modified.nanoseconds())),
    }
}

/// What is known of a file that was announced.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileFacts {
    pub(super) size: u64,
    /// By which it was announced.
    pub(super) announced: SourceIdentity,
    /// The state that was announced.
    pub(super) identity: SourceIdentity,
    /// Size of a chunk, as a power of two.
    pub(super) chunk_log2: u8,
    /// Attempts before this one.
    pub(super) attempts: u8,
    /// It has no unused storage: there is no need to look for holes.
    pub(super) dense: bool,
}

/// What an entry waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// A file of one chunk, in memory and placed at `base` by a record that ends
    /// at `layout_end`, waits for its verdict.
    Held { base: u64, layout_end: u64 },
    /// It is in memory and sent from there.
    Small { base: u64 },
    /// A larger file, not read yet, waits for its verdict.
    Asked,
    /// A larger file is read and sent.
    Reading,
    /// There is nothing (more) to be sent: it waits to be settled.
    Sent,
}

/// One entry.
#[derive(Debug)]
pub(super) struct EntryRecord {
    pub(super) located: Located,
    pub(super) links: FollowLinks,
    /// For a file.
    pub(super) file: Option<FileFacts>,
    pub(super) state: State,
    /// How the part began that the other end holds of a file which is sealed as
    /// it is read: it goes on like this.
    pub(super) front: Option<Arc<Front>>,
}

impl EntryRecord {
    /// Its path, its digests, and what goes with them.
    fn cost(&self) -> u64 {
        let digests = self.file.map_or(0, |file| 40 * ((file.size >> file.chunk_log2) + 1));
        512 + self.located.announced().len() as u64 + digests + self.front.as_ref().map_or(0, |front| front.cost())
    }
}

/// The entries that are not finished, by number.
#[derive(Debug, Default)]
pub(super) struct Entries {
    records: BTreeMap<EntryId, EntryRecord>,
    /// How many are [`State::Asked`].
    asked: usize,
    /// What they cost the other end to remember, bytes.
    cost: u64,
}

impl Entries {
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// How many files wait for a verdict before they are read.
    pub(super) fn asked(&self) -> usize {
        self.asked
    }

    /// What they cost the other end to remember, in bytes, as far as it can be
    /// told from here.
    pub(super) fn cost(&self) -> u64 {
        self.cost
    }

    pub(super) fn insert(&mut self, id: EntryId, record: EntryRecord) {
        self.cost += record.cost();
        self.asked += usize::from(record.state == State::Asked);
        self.records.insert(id, record);
    }

    pub(super) fn get(&self, id: EntryId) -> Option<&EntryRecord> {
        self.records.get(&id)
    }

    pub(super) fn set_state(&mut self, id: EntryId, state: State) {
        if let Some(record) = self.records.get_mut(&id) {
            self.asked -= usize::from(record.state == State::Asked);
            self.asked += usize::from(state == State::Asked);
            record.state = state;
        }
    }

    /// Keeps how the part began that the other end holds.
    pub(super) fn set_front(&mut self, id: EntryId, front: Option<Front>) {
        if let Some(record) = self.records.get_mut(&id) {
            self.cost -= record.cost();
            record.front = front.map(Arc::new);
            self.cost += record.cost();
        }
    }

    pub(super) fn remove(&mut self, id: EntryId) -> Option<EntryRecord> {
        let record = self.records.remove(&id)?;
        self.asked -= usize::from(record.state == State::Asked);
        self.cost -= record.cost();
        Some(record)
    }

    /// The unfinished ones among `count` entries from `first` on.
    pub(super) fn span(&self, first: EntryId, count: u64) -> Vec<EntryId> {
        let end = EntryId(first.0.saturating_add(count));
        self.records.range(first..end).map(|(&id, _)| id).collect()
    }
}
