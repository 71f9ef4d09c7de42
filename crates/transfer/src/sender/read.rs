//! Reading large files, and parts of any file once more.

use std::ops::Range;
use std::sync::Arc;

use limosa_storage::{ErrorKind, ReadFile, StorageError, StorePath};
use limosa_wire::layout::{Extent, LayoutRecord, Outcome};
use limosa_wire::{Code, EntryId, Offset};

use super::announce::Retake;
use super::config::Nature;
use super::entries::{EntryRecord, FileFacts, State, identity_of};
use super::operation::{SourceOutcome, SourceWork};
use super::reading::{BlockRead, Handle, Purpose, Reading, Share, Subject};
use super::{BlockKey, Errand, Halt, Owner, Sender};
use crate::buffer::Buffer;
use crate::content::{BLOCK, Chunks};
use crate::event::Event;
use crate::failure::Failure;

/// How often a file that changed is taken again.
const RETAKES: u8 = 2;
/// Most files waiting to be taken again.
const RETAKES_WAITING: usize = 4096;

/// Whether the blocks of a file that are in memory were let go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Resident {
    /// They wait for a verdict.
    Held,
    /// They were offered, or wait only for their layout.
    Released,
}

type Done = Result<SourceOutcome, StorageError>;

impl Sender {
    /// Begins to read a file for the first time: all of it, or the chunks the
    /// other end misses.
    pub(super) fn read_first(&mut self, id: EntryId, missing: Option<&[(u64, u64)]>) {
        let Some(subject) = self.subject(id) else { return };
        let algorithm = self.config.algorithm;
        let reading = match missing {
            None => Reading::whole(subject, algorithm),
            Some(missing) => Reading::resumed(subject, algorithm, missing),
        };
        let owner = Owner::first(id);
        self.entries.set_state(id, State::Reading);
        self.readings.insert(owner, Box::new(reading));
        self.reading_order.push_back(owner);
        self.place_dense(owner);
    }

    /// Begins to read a part of a file once more.
    pub(super) fn read_repair(&mut self, id: EntryId, file: Range<u64>) {
        let Some(subject) = self.subject(id) else { return };
        let owner = Owner::repair(self.repairs);
        self.repairs += 1;
        let reading = Reading::repair(subject, self.config.algorithm, file);
        self.readings.insert(owner, Box::new(reading));
        self.repairing.entry(id).or_default().push(owner);
        self.reading_order.push_front(owner);
        self.place_dense(owner);
    }

    fn subject(&self, id: EntryId) -> Option<Subject> {
        let EntryRecord { located, links, file, front, .. } = self.entries.get(id)?;
        let FileFacts { size, identity, chunk_log2, dense, .. } = (*file)?;
        let chunks = Chunks::new(size, chunk_log2)?;
        let front = front.clone();
        Some(Subject { entry: id, path: located.path.clone(), links: *links, identity, chunks, dense, front })
    }

    /// Gives a file without holes its places at once, so that its layout is
    /// known long before its data.
    fn place_dense(&mut self, owner: Owner) {
        while let Some(file) = self.readings.get_mut(&owner).and_then(|reading| reading.place_dense()) {
            self.place(owner, file);
        }
    }

    fn place(&mut self, owner: Owner, file: Range<u64>) {
        let Some(reading) = self.readings.get_mut(&owner) else { return };
        let base = self.space.place(owner, &file);
        let (entry, length) = (reading.subject.entry, file.end - file.start);
        let extent = Extent { entry, file_offset: file.start, length, base };
        let layout_end = self.layout.put(&LayoutRecord::Extent(extent));
        reading.placed(file, base, layout_end);
    }

    /// Drives the first few readings of the queue as far as they go.
    pub(super) fn run_readings(&mut self) {
        let mut index = 0;
        // A file that cannot go on for want of memory keeps later ones back:
        // else they would take what is freed for it.
        while index < self.config.limits.open_files
            && let Some(&owner) = self.reading_order.get(index)
            && self.run_reading(owner)
        {
            if self.reading_order.get(index) == Some(&owner) {
                index += 1;
            }
        }
    }

    /// Drives one reading; false if it is out of memory or operations.
    fn run_reading(&mut self, owner: Owner) -> bool {
        let may_ask = self.may_ask();
        let Some(reading) = self.readings.get_mut(&owner) else { return true };
        match reading.handle.clone() {
            Handle::Opening | Handle::Done => true,
            Handle::Closed if !may_ask => false,
            Handle::Closed => {
                reading.handle = Handle::Opening;
                let Subject { path, links, front, .. } = reading.subject.clone();
                let work = SourceWork::Open { path, links, front };
                self.ask(Errand::Open(owner), work);
                true
            }
            Handle::Open(file) => {
                self.look_for_data(owner, &file);
                let going = self.read_blocks(owner, &file);
                self.put_digests(owner);
                self.check(owner, &file);
                going
            }
        }
    }

    fn look_for_data(&mut self, owner: Owner, file: &Arc<dyn ReadFile>) {
        if !self.may_ask() || !self.layout_has_room() {
            return;
        }
        let Some(reading) = self.readings.get_mut(&owner) else { return };
        if let Some(offset) = reading.look_for_data() {
            reading.finding = true;
            self.ask(Errand::FindData(owner), SourceWork::NextData { file: file.clone(), offset });
        }
    }

    fn read_blocks(&mut self, owner: Owner, file: &Arc<dyn ReadFile>) -> bool {
        while self.layout_has_room() {
            let Some(reading) = self.readings.get_mut(&owner) else { return true };
            let Some(block) = reading.next_block() else { return true };
            if !self.may_ask() || !self.cache.reserve(BLOCK) {
                return false;
            }
            self.read_block(owner, &block, file.clone());
        }
        false
    }

    fn read_block(&mut self, owner: Owner, block: &BlockRead, file: Arc<dyn ReadFile>) {
        let Some(reading) = self.readings.get_mut(&owner) else { return };
        reading.reading(block);
        let work = SourceWork::Read {
            file,
            offset: block.file.start,
            length: usize::try_from(block.file.end - block.file.start).unwrap_or_default(),
            buffer: self.cache.buffer(block.file.end - block.file.start),
            algorithm: Some(self.config.algorithm),
        };
        self.ask(Errand::Block { owner, file: block.file.clone() }, work);
    }

    /// Looks at the file a last time, once all was read and nothing of it would
    /// have to be read again.
    fn check(&mut self, owner: Owner, file: &Arc<dyn ReadFile>) {
        let Some(reading) = self.readings.get_mut(&owner) else { return };
        if reading.checking || !reading.all_read() || self.cache.lacks(owner) {
            return;
        }
        reading.checking = true;
        // From here on its blocks stay, so that no later state of the file is
        // ever sent.
        self.cache.pin(owner);
        self.ask(Errand::Check(owner), SourceWork::FileMetadata { file: file.clone() });
    }

    /// A file was opened: it must be the one that was announced.
    pub(super) fn opened(&mut self, owner: Owner, result: Done) {
        let Some(reading) = self.readings.get_mut(&owner) else { return };
        match result {
            Ok(SourceOutcome::Opened { file, metadata }) if identity_of(&metadata) == reading.subject.identity => {
                reading.handle = Handle::Open(file);
                if reading.purpose == Purpose::First {
                    let entry = reading.subject.entry;
                    self.report_file(entry, |entry, path| Event::Started { entry, path });
                }
            }
            Ok(_) => self.source_changed(owner),
            Err(error) => self.reading_failed(owner, &error),
        }
    }

    pub(super) fn found_data(&mut self, owner: Owner, result: Done) {
        let Some(reading) = self.readings.get_mut(&owner) else { return };
        match result {
            Ok(SourceOutcome::Data(data)) => {
                if let Some(run) = reading.found(data) {
                    self.place(owner, run);
                }
            }
            Ok(_) => self.source_changed(owner),
            Err(error) => self.reading_failed(owner, &error),
        }
    }

    /// A block was read for the first time.
    pub(super) fn block_read(&mut self, owner: Owner, file: &Range<u64>, result: Done) {
        let (buffer, digest) = match result {
            Ok(SourceOutcome::Read { buffer, digest: Some(digest) }) => (buffer, digest),
            Ok(_) => {
                self.cache.release_read(BLOCK);
                return self.source_changed(owner);
            }
            Err(error) => {
                self.cache.release_read(BLOCK);
                return self.reading_failed(owner, &error);
            }
        };
        self.cache.release_read(BLOCK);
        let Some(reading) = self.readings.get_mut(&owner) else { return self.cache.recycle(buffer) };
        if buffer.len() as u64 != file.end - file.start {
            self.cache.recycle(buffer);
            return self.source_changed(owner);
        }
        self.progress.bytes_processed += buffer.len() as u64;
        let shares = reading.read(file, digest);
        self.take_block(owner, file, buffer, &shares);
        self.put_digests(owner);
    }

    /// Keeps a block that was read and says which of its bytes may leave.
    fn take_block(&mut self, owner: Owner, file: &Range<u64>, buffer: Buffer, shares: &[Share]) {
        let placed = shares.iter().map(|share| share.linear.end - share.linear.start).sum();
        if placed == 0 {
            return self.cache.recycle(buffer);
        }
        self.cache.reserve_anyway(buffer.len() as u64);
        self.cache.insert(BlockKey::at(owner, file.start), buffer, placed, true);
        for Share { linear, layout_end } in shares {
            self.space.ready(linear.clone(), *layout_end);
        }
    }

    /// Asks for a block that was dropped. Not even a full queue of operations
    /// keeps it back: the line waits for it.
    pub(super) fn read_again(&mut self, key: BlockKey, length: u64) {
        let Some(reading) = self.readings.get(&key.owner) else { return };
        let Handle::Open(file) = &reading.handle else { return };
        let work = SourceWork::Read {
            file: file.clone(),
            offset: key.start(),
            length: usize::try_from(length).unwrap_or_default(),
            buffer: self.cache.buffer(length),
            algorithm: None,
        };
        if self.halt != Halt::Cancelled {
            self.ask(Errand::BlockAgain { key, length }, work);
        }
    }

    pub(super) fn block_read_again(&mut self, key: BlockKey, length: u64, result: Done) {
        match result {
            Ok(SourceOutcome::Read { buffer, .. }) if buffer.len() as u64 == length => {
                // Whether the file is still the same shows before it ends.
                self.cache.restore(key, buffer);
            }
            Ok(_) => {
                self.cache.release(length);
                self.source_changed(key.owner);
            }
            Err(error) => {
                self.cache.release(length);
                self.reading_failed(key.owner, &error);
            }
        }
    }

    fn put_digests(&mut self, owner: Owner) {
        let Some(reading) = self.readings.get_mut(&owner) else { return };
        let entry = reading.subject.entry;
        for (first_chunk, digests) in reading.take_digests() {
            self.layout.put(&LayoutRecord::Digests { entry, first_chunk, digests });
        }
    }

    /// The last look at a file.
    pub(super) fn checked(&mut self, owner: Owner, result: Done) {
        let Some(reading) = self.readings.get_mut(&owner) else { return };
        match result {
            Ok(SourceOutcome::Metadata(metadata)) if identity_of(&metadata) == reading.subject.identity => {
                self.reading_ended(owner);
            }
            Ok(_) => self.source_changed(owner),
            Err(error) => self.reading_failed(owner, &error),
        }
    }

    fn reading_ended(&mut self, owner: Owner) {
        self.put_digests(owner);
        self.reading_order.retain(|other| *other != owner);
        let Some(reading) = self.readings.get_mut(&owner) else { return };
        reading.handle = Handle::Done;
        if reading.purpose == Purpose::First {
            // A chunk that is sealed once more has another digest, and the file
            // another root.
            let root = reading.root().filter(|_| self.config.nature == Nature::Stored);
            let outcome = Outcome::Complete { root };
            let final_size = reading.subject.chunks.size();
            self.layout.put(&LayoutRecord::End { entry: reading.subject.entry, final_size, outcome });
        }
        if !self.cache.keeps(owner) {
            self.emptied(owner);
        }
    }

    /// Every block of `owner` that was in memory has been acknowledged.
    pub(super) fn emptied(&mut self, owner: Owner) {
        match self.readings.get(&owner).map(|reading| &reading.handle) {
            Some(Handle::Done) => drop(self.readings.remove(&owner)),
            // More is to come.
            Some(_) => return,
            // A small file.
            None => {}
        }
        if let Some(id) = owner.entry() {
            self.entries.set_state(id, State::Sent);
            self.report_file(id, |entry, path| Event::Transferred { entry, path });
        }
    }

    fn report_file(&mut self, id: EntryId, event: impl FnOnce(EntryId, StorePath) -> Event) {
        if self.tells_entries
            && let Some(path) = self.entries.get(id).map(|record| record.located.announced_path())
        {
            self.report(event(id, path));
        }
    }

    /// The file is not what was announced: this attempt ends, and another one
    /// follows unless there were too many.
    fn source_changed(&mut self, owner: Owner) {
        let Some(id) = self.readings.get(&owner).map(|reading| reading.subject.entry) else { return };
        let attempts = self.entries.get(id).and_then(|record| record.file).map_or(RETAKES, |file| file.attempts);
        if owner.is_repair() || attempts >= RETAKES || self.retakes.len() >= RETAKES_WAITING {
            return self.fail(id, Failure::new(Code::SOURCE_CHANGED));
        }
        self.end_unread(id, Outcome::Retaken);
        let Some(record) = self.entries.remove(id) else { return };
        self.progress.entries_finished += 1;
        self.report(Event::Retaken { entry: id, path: record.located.announced_path() });
        let EntryRecord { located, links, .. } = record;
        self.retakes.push_back(Retake { located, links, attempts: attempts + 1 });
    }

    fn reading_failed(&mut self, owner: Owner, error: &StorageError) {
        let Some(id) = self.readings.get(&owner).map(|reading| reading.subject.entry) else { return };
        let mut failure = Failure::from(error);
        if error.kind() == ErrorKind::NotFound {
            failure.code = Code::SOURCE_VANISHED;
        }
        self.fail(id, failure);
    }

    /// Gives an entry up for a reason on this side.
    fn fail(&mut self, id: EntryId, failure: Failure) {
        self.end_unread(id, Outcome::Failed(failure.code));
        self.finish_failed(id, failure);
    }

    /// Says that a file ends without being good, and withdraws what is left.
    fn end_unread(&mut self, id: EntryId, outcome: Outcome) {
        let final_size = self.entries.get(id).and_then(|record| record.file).map_or(0, |file| file.size);
        self.withdraw_entry(id);
        self.layout.put(&LayoutRecord::End { entry: id, final_size, outcome });
    }

    /// Counts a failed entry and forgets it.
    pub(super) fn finish_failed(&mut self, id: EntryId, failure: Failure) {
        let Some(record) = self.entries.remove(id) else { return };
        self.progress.entries_finished += 1;
        self.tally.failed += 1;
        self.report(Event::Failed { entry: Some(id), path: record.located.announced_path(), failure });
    }

    /// Takes back all of an entry that has not left.
    pub(super) fn withdraw_entry(&mut self, id: EntryId) {
        for owner in self.repairing.remove(&id).unwrap_or_default() {
            self.withdraw(owner, &self.space.extent(), Resident::Released);
        }
        let Some(record) = self.entries.get(id) else { return };
        let size = record.file.map_or(0, |file| file.size);
        match record.state {
            State::Held { base, .. } => self.withdraw(Owner::first(id), &(base..base + size), Resident::Held),
            State::Small { base } => self.withdraw(Owner::first(id), &(base..base + size), Resident::Released),
            State::Reading => self.withdraw(Owner::first(id), &self.space.extent(), Resident::Released),
            State::Asked | State::Sent => {}
        }
    }

    /// Takes back what one reading placed in the stretch `within` and did not
    /// send, and forgets it.
    fn withdraw(&mut self, owner: Owner, within: &Range<u64>, resident: Resident) {
        self.reading_order.retain(|other| *other != owner);
        self.readings.remove(&owner);
        let kept = self.cache.stretches(owner);
        let released = if resident == Resident::Released { kept.as_slice() } else { &[] };
        for range in self.space.withdraw(owner, within, released) {
            let length = range.end - range.start;
            self.layout.put(&LayoutRecord::Void { base: Offset(range.start), length });
        }
        // Blocks of which something is on its way stay until it is
        // acknowledged, since the line may ask for it again; in place of those
        // that were dropped it gets zeros.
        self.cache.forget_dropped(owner);
        self.cache.pin(owner);
        for stretch in kept {
            let places = self.space.places(owner, within, &stretch);
            if places.iter().all(|range| self.space.is_closed(range)) {
                self.cache.remove(BlockKey::at(owner, stretch.start));
            }
        }
    }
}
