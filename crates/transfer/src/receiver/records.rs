//! The rules of the layout: what its records may say, and what each starts.

use limosa_storage::StorePath;
use limosa_wire::layout::{self, Digest, EntryKind, Extent, LayoutRecord, MAX_CHUNKS, Outcome, SourceIdentity};
use limosa_wire::setup::{Durability, Overwrite, ResumeLevel};
use limosa_wire::{Code, EntryId, Offset};

use super::bench::{Wait, timestamp};
use super::error::{ReceiverError, code_of_path};
use super::large::{Announced, LargeFile};
use super::operation::{DestinationWork, Inspect, MakeLink, NameWork};
use super::step::Step;
use super::tree::Directory;
use super::whole::WholeFile;
use super::{Body, Entry, Phase, Receiver};
use crate::content::BLOCK;
use crate::event;
use crate::event::Event;
use crate::failure::Failure;

/// Largest chunk that is taken, as a power of two: 16 GiB, which lets a file
/// have 2^50 bytes.
const MAX_CHUNK_TAKEN: u8 = 34;
/// Memory an entry is charged beside its path, bytes.
const ENTRY_COST: u64 = 512;

type Result<T> = std::result::Result<T, ReceiverError>;

fn violation<T>(rule: &'static str) -> Result<T> {
    Err(ReceiverError::Violation(rule))
}

/// A file as its record announces it.
#[derive(Clone, Copy)]
struct FileRecord {
    size: Option<u64>,
    chunk_log2: u8,
    identity: SourceIdentity,
}

impl Receiver {
    /// Takes all whole records at the front of the layout stream.
    pub(super) fn read_records(&mut self) -> Result<()> {
        let bytes = std::mem::take(&mut self.layout);
        let mut rest = &bytes[..];
        while let Some((record, used)) = LayoutRecord::decode(rest)? {
            let (encoded, later) = rest.split_at(used);
            self.take_record(record, encoded)?;
            if self.bench.announced > self.bench.options.limits.announced {
                return Err(ReceiverError::TooMuchAnnounced);
            }
            rest = later;
        }
        self.layout = rest.to_vec();
        self.tidy_assembling();
        Ok(())
    }

    fn take_record(&mut self, record: LayoutRecord, encoded: &[u8]) -> Result<()> {
        if let LayoutRecord::EndOfLayout { entries, digest, .. } = record {
            return self.end_of_layout(entries, &digest);
        }
        if self.phase == Phase::Announcing {
            self.hasher.update(encoded);
        }
        match record {
            LayoutRecord::Entry(entry) => self.announce(entry).map(|_| ()),
            LayoutRecord::Extent(extent) => self.extent(&extent),
            LayoutRecord::Digests { entry, first_chunk, digests } => self.digests(entry, first_chunk, &digests),
            LayoutRecord::End { entry, final_size, outcome } => self.end(entry, final_size, outcome),
            LayoutRecord::Whole { entry, base, digest } => self.whole(entry, base, &digest),
            LayoutRecord::Void { base, length } => self.void(base, length),
            LayoutRecord::EndOfLayout { .. } => Ok(()),
        }
    }

    fn end_of_layout(&mut self, entries: u64, digest: &Digest) -> Result<()> {
        if self.phase != Phase::Announcing {
            return violation("the layout ends twice");
        }
        if entries != self.next_id.0 {
            return Err(ReceiverError::LayoutMismatch("the number of entries"));
        }
        if self.hasher.clone().finish() != *digest {
            return Err(ReceiverError::LayoutMismatch("the digest"));
        }
        self.phase = Phase::Announced;
        self.fail_lost_retakes();
        self.leave_directories(None);
        Ok(())
    }

    /// Files that were to come once more and did not, because their sources
    /// vanished meanwhile, are missing: no entry is left to say so.
    fn fail_lost_retakes(&mut self) {
        for path in std::mem::take(&mut self.retaken) {
            self.bench.announced = self.bench.announced.saturating_sub(cost_of(&path));
            self.report_failed(None, path, Failure::new(Code::SOURCE_CHANGED));
        }
    }

    /// Remembers that another attempt at a file must follow.
    fn expect_retake(&mut self, id: EntryId) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.retaken = true;
        let path = entry.path().clone();
        let cost = cost_of(&path);
        if self.retaken.insert(path) {
            self.bench.announced += cost;
        }
    }

    /// Takes an entry, and says under which number.
    fn announce(&mut self, entry: layout::Entry) -> Result<EntryId> {
        let id = entry.id;
        if self.phase != Phase::Announcing || id != self.next_id {
            return violation("entries are numbered in order, before the end of the layout");
        }
        if self.entries.len() as u64 >= self.bench.options.limits.entries {
            return Err(ReceiverError::TooMuchAnnounced);
        }
        self.next_id = EntryId(id.0 + 1);
        self.progress.entries_announced += 1;
        match self.destination(&entry) {
            Ok((path, to)) => self.accept_entry(entry, path, to),
            Err(failure) => {
                self.insert(id, Body::Simple(StorePath::root()));
                self.apply(id, Step::Refused(failure));
            }
        }
        Ok(id)
    }

    /// The path of an entry, and its destination.
    fn destination(&mut self, entry: &layout::Entry) -> std::result::Result<(StorePath, StorePath), Failure> {
        let bad = |error| Failure::because(code_of_path(error), error.to_string());
        let path = StorePath::parse(&entry.path).map_err(bad)?;
        let is_directory = entry.kind == EntryKind::Directory;
        if path.is_root() && !is_directory {
            return Err(Failure::because(Code::BAD_NAME, "the path is empty"));
        }
        if path.components().any(|name| self.bench.options.names.reserves(name)) {
            return Err(Failure::because(Code::BAD_NAME, "such names are kept for files under way"));
        }
        let options = &self.bench.options;
        options.admission.check(&path, &entry.kind)?;
        let landing = self.landing.get_or_insert_with(|| {
            let lone_file = !is_directory && !path.as_bytes().contains(&b'/');
            options.survey.landing(options.sources, lone_file)
        });
        let to = landing.place(&path).map_err(bad)?;
        Ok((path, to))
    }

    fn accept_entry(&mut self, entry: layout::Entry, path: StorePath, to: StorePath) {
        let id = entry.id;
        if self.retaken.remove(&to) {
            self.bench.announced = self.bench.announced.saturating_sub(cost_of(&to));
        }
        self.leave_directories(Some(&to));
        let what = match &entry.kind {
            EntryKind::File { size, .. } => event::Announced::File(*size),
            EntryKind::Directory => event::Announced::Directory,
            EntryKind::Symlink { .. } => event::Announced::Symlink,
            EntryKind::Removal => event::Announced::Removal,
        };
        self.bench.tell_entry(|| Event::Announced { entry: id, path, what });
        let attributes = entry.attributes;
        match entry.kind {
            EntryKind::File { size, chunk_log2, identity } => {
                self.accept_file(id, to, &attributes, FileRecord { size, chunk_log2, identity });
            }
            EntryKind::Directory => self.accept_directory(id, to, &attributes),
            EntryKind::Symlink { target } => self.accept_link(id, to, target, &attributes),
            EntryKind::Removal => {
                self.insert(id, Body::Simple(to.clone()));
                self.bench.ask_name(id, Wait::Made, NameWork::Remove(to));
            }
        }
    }

    /// Directories that do not hold `path` get no more entries.
    fn leave_directories(&mut self, path: Option<&StorePath>) {
        while let Some(&last) = self.ancestors.last() {
            if let Some(Entry { body: Body::Directory(directory), .. }) = self.entries.get_mut(&last) {
                if path.is_some_and(|path| directory.holds(path)) {
                    return;
                }
                directory.leave();
            }
            self.ancestors.pop();
            self.finish_directory(last);
        }
    }

    /// Remembers an entry until it is settled.
    fn insert(&mut self, id: EntryId, body: Body) {
        let parent = self.ancestors.last().copied();
        if let Some(Entry { body: Body::Directory(directory), .. }) =
            parent.and_then(|parent| self.entries.get_mut(&parent))
        {
            directory.enter();
        }
        let mut entry = Entry { parent, cost: 0, retaken: false, body };
        entry.cost = cost_of(entry.path());
        self.bench.announced += entry.cost;
        self.entries.insert(id, entry);
    }

    fn accept_directory(&mut self, id: EntryId, to: StorePath, attributes: &layout::Attributes) {
        let open_to_owner = attributes.mode.is_some();
        let parents = self.bench.options.parents();
        let attributes = self.bench.directory_attributes(attributes);
        self.insert(id, Body::Directory(Directory::new(to.clone(), attributes)));
        self.ancestors.push(id);
        let sync = self.bench.options.durability == Durability::Strict;
        self.bench.ask_name(id, Wait::Made, NameWork::MakeDirectory { path: to, parents, open_to_owner, sync });
    }

    fn accept_link(&mut self, id: EntryId, to: StorePath, target: Vec<u8>, attributes: &layout::Attributes) {
        self.insert(id, Body::Simple(to.clone()));
        let staged = match self.bench.options.names.unjournaled(&to, id) {
            Ok(staged) => staged,
            Err(error) => {
                let failure = Failure::because(code_of_path(error), error.to_string());
                return self.apply(id, Step::Refused(failure));
            }
        };
        let options = &self.bench.options;
        let link = MakeLink {
            staged,
            to,
            target,
            attributes: self.bench.file_attributes(attributes),
            publish: options.publish(),
            parents: options.parents(),
        };
        self.bench.ask_name(id, Wait::Made, NameWork::MakeLink(Box::new(link)));
    }

    fn accept_file(&mut self, id: EntryId, to: StorePath, attributes: &layout::Attributes, record: FileRecord) {
        let FileRecord { size, chunk_log2, identity } = record;
        self.progress.bytes_announced = self.progress.bytes_announced.saturating_add(size.unwrap_or(0));
        let kept = self.bench.file_attributes(attributes);
        let wanted = self.bench.options.fresh;
        let same = size.zip(timestamp(attributes)).filter(|_| self.bench.options.resume != ResumeLevel::None);
        let mut resume = None;
        let mut named = Ok(());
        let body = match size {
            Some(size) if size <= BLOCK => Body::Whole(Box::new(WholeFile::new(id, to.clone(), size, kept, wanted))),
            _ => {
                let about = Announced { id, to: to.clone(), size, chunk_log2, identity, attributes: kept };
                named = about.check_names(&self.bench);
                if self.bench.options.resume != ResumeLevel::None {
                    resume = about.resume_from(&self.bench).ok().flatten();
                }
                Body::Large(Box::new(LargeFile::new(about, wanted)))
            }
        };
        self.insert(id, body);
        let refusal = match self.bench.closed {
            Some(code) => Some(Failure::new(code)),
            None if chunk_log2 > MAX_CHUNK_TAKEN => Some(Failure::new(Code::TOO_LARGE)),
            None => named.err(),
        };
        match refusal {
            Some(failure) => self.apply(id, Step::Refused(failure)),
            None if wanted => {}
            None => {
                let overwrite: Overwrite = self.bench.options.overwrite;
                let inspect = Inspect { to, overwrite, same, resume };
                self.bench.ask(id, Wait::Inspection, 0, DestinationWork::Inspect(Box::new(inspect)));
            }
        }
    }

    /// The entry a record speaks of: `None` if it is over already.
    fn file(&mut self, id: EntryId) -> Result<Option<&mut Entry>> {
        if id >= self.next_id {
            return violation("a record speaks of an entry that was not announced");
        }
        match self.entries.get_mut(&id) {
            Some(Entry { body: Body::Directory(_) | Body::Simple(_), .. }) => {
                violation("a record speaks of bytes of what is no file")
            }
            entry => Ok(entry),
        }
    }

    fn extent(&mut self, extent: &Extent) -> Result<()> {
        let Some(end) = extent.file_offset.checked_add(extent.length) else {
            return violation("an extent ends behind the last possible byte");
        };
        match self.file(extent.entry)?.map(|entry| &mut entry.body) {
            Some(Body::Whole(file)) => {
                if end > file.size() {
                    return violation("an extent reaches behind the end of its file");
                }
                file.place(extent.length);
            }
            Some(Body::Large(file)) => {
                if end > file.known_size().unwrap_or_else(|| limit(file.about())) {
                    return violation("an extent reaches behind the end of its file");
                }
                file.place(extent.file_offset, extent.length);
            }
            _ => {}
        }
        self.space.place(extent)?;
        self.recharge(extent.entry);
        self.adopt_orphans(extent);
        Ok(())
    }

    /// Gives bytes that came before their place to their file.
    fn adopt_orphans(&mut self, extent: &Extent) {
        let range = extent.base.0..extent.base.0 + extent.length;
        for (at, bytes) in self.space.claim_orphans(&range) {
            let place = extent.file_offset + (at - range.start);
            let (_, step) = self.give_to_file(extent.entry, place, &bytes, true);
            self.space.adopt(&(at..at + bytes.len() as u64));
            self.apply(extent.entry, step);
        }
    }

    /// Charges an entry what it costs by now.
    fn recharge(&mut self, id: EntryId) {
        if let Some(entry) = self.entries.get_mut(&id)
            && let Body::Large(file) = &entry.body
        {
            let cost = ENTRY_COST + file.path().as_bytes().len() as u64 + file.cost();
            self.bench.announced = self.bench.announced.saturating_sub(entry.cost) + cost;
            entry.cost = cost;
        }
    }

    fn digests(&mut self, id: EntryId, first: u64, digests: &[Digest]) -> Result<()> {
        let Some(end) = first.checked_add(digests.len() as u64) else {
            return violation("digests of more chunks than a file has");
        };
        self.file(id)?;
        let bench = &mut self.bench;
        let step = match self.entries.get_mut(&id).map(|entry| &mut entry.body) {
            Some(Body::Whole(file)) => match digests {
                [digest] if first == 0 => file.digest(*digest, bench),
                [] => Step::Going,
                _ => return violation("digests of more chunks than a file has"),
            },
            Some(Body::Large(file)) => {
                if end > limit(file.about()).div_ceil(1 << file.about().chunk_log2) {
                    return violation("digests of more chunks than a file has");
                }
                file.digests(first, digests, bench)
            }
            _ => Step::Going,
        };
        self.apply(id, step);
        self.recharge(id);
        Ok(())
    }

    fn end(&mut self, id: EntryId, final_size: u64, outcome: Outcome) -> Result<()> {
        self.file(id)?;
        if outcome == Outcome::Retaken {
            if self.phase != Phase::Announcing {
                return violation("a file is taken again after the end of the layout");
            }
            self.expect_retake(id);
        }
        let bench = &mut self.bench;
        let Some(entry) = self.entries.get_mut(&id) else { return Ok(()) };
        let step = match (&mut entry.body, outcome) {
            (Body::Whole(file), Outcome::Failed(code)) => file.fail(Failure::new(code), bench),
            (Body::Whole(file), Outcome::Retaken) => file.fail(Failure::new(Code::SOURCE_CHANGED), bench),
            (Body::Large(file), Outcome::Failed(code)) => {
                file.fail(Failure::new(code), code == Code::SOURCE_CHANGED, bench)
            }
            (Body::Large(file), Outcome::Retaken) => file.fail(Failure::new(Code::SOURCE_CHANGED), true, bench),
            (Body::Whole(file), Outcome::Complete { .. }) => {
                if final_size != file.size() {
                    return violation("a file ends elsewhere than announced");
                }
                file.end(bench)
            }
            (Body::Large(file), Outcome::Complete { root }) => {
                let about = file.about();
                let fits = about.size.map_or(final_size <= limit(about), |size| final_size == size);
                if !fits || final_size < file.furthest() {
                    return violation("a file ends elsewhere than announced");
                }
                file.end(final_size, root, bench)
            }
            _ => Step::Going,
        };
        self.apply(id, step);
        Ok(())
    }

    fn whole(&mut self, entry: layout::Entry, base: Offset, digest: &Digest) -> Result<()> {
        let EntryKind::File { size: Some(size), .. } = entry.kind else {
            return violation("only a file of known size comes in one record");
        };
        let id = self.announce(entry)?;
        if size > 0 {
            self.extent(&Extent { entry: id, file_offset: 0, length: size, base })?;
            self.digests(id, 0, std::slice::from_ref(digest))?;
        }
        self.end(id, size, Outcome::Complete { root: None })
    }

    fn void(&mut self, base: Offset, length: u64) -> Result<()> {
        let mut withdrawn = Vec::new();
        self.space.withdraw(base.0..base.0 + length, |entry, bytes| withdrawn.push((entry, bytes)))?;
        for (id, bytes) in withdrawn {
            let bench = &mut self.bench;
            let step = match self.entries.get_mut(&id).map(|entry| &mut entry.body) {
                Some(Body::Whole(file)) => file.withdraw(bytes, bench),
                Some(Body::Large(file)) => file.arrive(bytes, bench),
                _ => Step::Going,
            };
            self.apply(id, step);
        }
        Ok(())
    }
}

/// Memory that an entry at `path` is charged.
fn cost_of(path: &StorePath) -> u64 {
    ENTRY_COST + path.as_bytes().len() as u64
}

/// Where a file ends at the latest.
fn limit(about: &Announced) -> u64 {
    about.size.unwrap_or_else(|| MAX_CHUNKS << about.chunk_log2.min(MAX_CHUNK_TAKEN))
}
