//! From what the walk finds to records of the layout.
//!
//! Files of one chunk are read while they wait in the staging queue, several at
//! a time; entries leave it in the order in which they were found.

use std::collections::VecDeque;

use limosa_storage::{ErrorKind, FollowLinks, Kind, Metadata, StorageError, StorePath};
use limosa_wire::layout::{Attributes, Digest, Entry, EntryKind, LayoutRecord, MAX_PATH, Outcome};
use limosa_wire::{Code, EntryId};

use super::config::Destination;
use super::entries::{EntryRecord, FileFacts, State, announced_identity, attributes_of, identity_of};
use super::operation::{SourceOutcome, SourceWork, WholeRead};
use super::unread::Batches;
use super::walk::{Found, Located, Step};
use super::{BlockKey, EVENTS, Errand, Owner, Sender};
use crate::buffer::Buffer;
use crate::content::Chunks;
use crate::event::{Announced, Event};
use crate::failure::Failure;

/// Most entries staged at a time.
const STAGED: usize = 4096;

/// An entry on its way to be announced.
#[derive(Debug)]
struct Staged {
    located: Located,
    links: FollowLinks,
    /// Attempts to send this file that were announced before.
    attempts: u8,
    content: Content,
}

/// What is known of it.
#[derive(Debug)]
enum Content {
    /// An operation will tell.
    Pending,
    Directory(Metadata),
    Link {
        metadata: Metadata,
        target: Vec<u8>,
    },
    Small {
        metadata: Metadata,
        bytes: Buffer,
        digest: Digest,
    },
    Large(Metadata),
    Failed(Failure),
    LeftOut,
}

/// A file that changed while it was sent, to be sent anew.
///
/// Retakes follow the walk: the other end gives directories their attributes
/// when the walk leaves them, so going back in its midst would be the end of
/// all directories on the way.
#[derive(Debug)]
pub(super) struct Retake {
    pub(super) located: Located,
    pub(super) links: FollowLinks,
    pub(super) attempts: u8,
}

/// A file of one chunk that was read.
struct SmallFile {
    located: Located,
    links: FollowLinks,
    metadata: Metadata,
    bytes: Buffer,
    digest: Digest,
}

/// Entries on their way to be announced, in order.
#[derive(Debug, Default)]
pub(super) struct Staging {
    queue: VecDeque<Staged>,
    /// Number of the first one.
    first: u64,
}

impl Staging {
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Adds one; returns its number.
    fn push(&mut self, staged: Staged) -> u64 {
        self.queue.push_back(staged);
        self.first + self.queue.len() as u64 - 1
    }

    /// What one is became known.
    fn learn(&mut self, number: u64, content: Content) {
        let index = number.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        if let Some(staged) = index.and_then(|index| self.queue.get_mut(index)) {
            staged.content = content;
        }
    }

    /// Where to find one, and whether a link there is followed.
    pub(super) fn source(&self, number: u64) -> Option<(StorePath, FollowLinks)> {
        let staged = self.queue.get(usize::try_from(number.checked_sub(self.first)?).ok()?)?;
        Some((staged.located.path.clone(), staged.links))
    }

    /// Takes the first one if nothing is missing of it.
    fn pop_known(&mut self) -> Option<Staged> {
        let staged = self.queue.pop_front_if(|staged| !matches!(staged.content, Content::Pending))?;
        self.first += 1;
        Some(staged)
    }
}

impl Sender {
    /// Walks on as long as there is room for what is found.
    pub(super) fn run_walk(&mut self) {
        while !self.walked && self.may_stage() {
            let step = self.walk.step();
            if matches!(step, Step::Waiting) {
                break;
            }
            self.walked(step);
        }
        while self.walked && !self.retakes.is_empty() && self.may_stage() {
            let Some(Retake { located, links, attempts }) = self.retakes.pop_front() else { return };
            self.stage_file(located, links, attempts);
        }
    }

    fn may_stage(&self) -> bool {
        let limits = &self.config.limits;
        self.staging.len() < STAGED
            && self.unread.has_room()
            && self.entries.len() + self.staging.len() < limits.entries
            && self.entries.cost() < limits.announced
            && self.layout.pending() < limits.layout
            && self.events.len() < EVENTS
            && self.may_ask()
    }

    /// Does what one step of the walk asks for.
    pub(super) fn walked(&mut self, step: Step) {
        match step {
            Step::Ask(work) => self.ask(Errand::Walk, work),
            Step::Found(found) => self.found(found),
            Step::Waiting => {}
            Step::Finished => self.walked = true,
        }
    }

    fn found(&mut self, found: Found) {
        match found {
            Found::File { located, links } => self.stage_file(located, links, 0),
            Found::Link { located } => self.stage_link(located),
            Found::Directory { located, metadata } => self.stage(located, Content::Directory(metadata)),
            Found::LeftOut { located } => self.stage(located, Content::LeftOut),
            Found::Failed { located, failure } => self.stage(located, Content::Failed(failure)),
        }
    }

    fn stage(&mut self, located: Located, content: Content) {
        self.staging.push(Staged { located, links: FollowLinks::No, attempts: 0, content });
    }

    fn stage_link(&mut self, located: Located) {
        let path = located.path.clone();
        let staged = Staged { located, links: FollowLinks::No, attempts: 0, content: Content::Pending };
        let number = self.staging.push(staged);
        self.ask(Errand::Stage { number }, SourceWork::ReadLink { path });
    }

    /// Stages a file: to be read if it is small, unless the other end is asked
    /// first.
    pub(super) fn stage_file(&mut self, located: Located, links: FollowLinks, attempts: u8) {
        let path = located.path.clone();
        let number = self.staging.push(Staged { located, links, attempts, content: Content::Pending });
        if self.config.destination == Destination::ComparedByAttributes {
            self.ask(Errand::Stage { number }, SourceWork::Metadata { path, links });
        } else {
            self.unread.push(number);
            self.read_unread(Batches::Full);
        }
    }

    /// An operation for a staged entry ended.
    pub(super) fn staged(&mut self, number: u64, result: Result<SourceOutcome, StorageError>) {
        let content = match result {
            Ok(SourceOutcome::Metadata(metadata)) if !metadata.is_file() => {
                Content::Failed(changed_kind(metadata.kind))
            }
            Ok(SourceOutcome::Metadata(metadata)) if metadata.size == 0 => {
                let digest = self.config.algorithm.hasher().finish();
                Content::Small { metadata, bytes: Buffer::default(), digest }
            }
            Ok(SourceOutcome::Metadata(metadata)) => Content::Large(metadata),
            Ok(SourceOutcome::Link { target, .. }) if target.len() > MAX_PATH => {
                Content::Failed(Failure::because(Code::NAME_TOO_LONG, "the link's target"))
            }
            Ok(SourceOutcome::Link { metadata, target }) => Content::Link { metadata, target },
            Ok(_) => Content::Failed(Failure::new(Code::SOURCE_CHANGED)),
            Err(error) => Content::Failed(failure_of_listed(&error)),
        };
        self.staging.learn(number, content);
    }

    /// A staged file was read, if it is small.
    pub(super) fn staged_read(&mut self, number: u64, result: Result<WholeRead, StorageError>) {
        let content = match result {
            Ok(WholeRead::Read { metadata, bytes, digest }) => {
                self.progress.bytes_processed += bytes.len() as u64;
                self.cache.reserve_anyway(bytes.len() as u64);
                Content::Small { metadata, bytes, digest }
            }
            Ok(WholeRead::Large(metadata)) => Content::Large(metadata),
            Ok(WholeRead::Changed) => Content::Failed(Failure::new(Code::SOURCE_CHANGED)),
            Err(error) => Content::Failed(failure_of_listed(&error)),
        };
        self.staging.learn(number, content);
    }

    /// Announces what is known, in order.
    pub(super) fn announce_staged(&mut self) {
        while self.layout_has_room()
            && let Some(staged) = self.staging.pop_known()
        {
            self.announce(staged);
        }
    }

    fn announce(&mut self, staged: Staged) {
        let Staged { located, links, attempts, content } = staged;
        match content {
            Content::Pending => {}
            Content::LeftOut => self.report(Event::LeftOut { path: located.announced_path() }),
            Content::Failed(failure) => self.announce_failure(&located, failure),
            Content::Directory(metadata) => {
                self.announce_plain(located, EntryKind::Directory, Announced::Directory, &metadata);
            }
            Content::Link { metadata, target } => {
                self.announce_plain(located, EntryKind::Symlink { target }, Announced::Symlink, &metadata);
            }
            Content::Small { metadata, bytes, digest } => {
                self.announce_small(SmallFile { located, links, metadata, bytes, digest });
            }
            Content::Large(metadata) => self.announce_large(located, links, attempts, &metadata),
        }
    }

    /// The entry and its number, which counts from now on.
    fn number(&mut self, located: &Located, kind: EntryKind, attributes: Attributes, what: Announced) -> Entry {
        let id = EntryId(self.layout.entries());
        let size = if let Announced::File(Some(size)) = what { size } else { 0 };
        self.layout.count(size);
        self.report_entry(|| Event::Announced { entry: id, path: located.announced_path(), what });
        Entry { id, kind, path: located.announced().to_vec(), attributes }
    }

    fn announce_plain(&mut self, located: Located, kind: EntryKind, what: Announced, metadata: &Metadata) {
        let attributes = attributes_of(metadata, self.config.keep);
        let entry = self.number(&located, kind, attributes, what);
        let id = entry.id;
        self.layout.put(&LayoutRecord::Entry(entry));
        self.entries
            .insert(id, EntryRecord { located, links: FollowLinks::No, file: None, state: State::Sent, front: None });
    }

    /// What cannot be sent is announced as a file that ends at once, so that
    /// the other end knows of it too.
    fn announce_failure(&mut self, located: &Located, failure: Failure) {
        let kind = EntryKind::File { size: None, chunk_log2: Chunks::of(0).log2(), identity: [0; 16] };
        let entry = self.number(located, kind, Attributes::default(), Announced::File(None));
        let id = entry.id;
        self.layout.put(&LayoutRecord::Entry(entry));
        self.layout.put(&LayoutRecord::End { entry: id, final_size: 0, outcome: Outcome::Failed(failure.code) });
        self.progress.entries_finished += 1;
        self.tally.failed += 1;
        self.report(Event::Failed { entry: Some(id), path: located.announced_path(), failure });
    }

    fn facts(&self, metadata: &Metadata, attempts: u8) -> FileFacts {
        FileFacts {
            size: metadata.size,
            announced: announced_identity(metadata, self.config.nature),
            identity: identity_of(metadata),
            chunk_log2: Chunks::of(metadata.size).log2(),
            attempts,
            dense: metadata.allocated >= metadata.size,
        }
    }

    fn announce_file(&mut self, located: &Located, facts: &FileFacts, metadata: &Metadata) -> Entry {
        let FileFacts { size, announced: identity, chunk_log2, .. } = *facts;
        let kind = EntryKind::File { size: Some(size), chunk_log2, identity };
        let attributes = attributes_of(metadata, self.config.keep);
        self.number(located, kind, attributes, Announced::File(Some(size)))
    }

    fn announce_small(&mut self, staged: SmallFile) {
        let SmallFile { located, links, metadata, bytes, digest } = staged;
        let facts = self.facts(&metadata, 0);
        let entry = self.announce_file(&located, &facts, &metadata);
        let id = entry.id;
        let owner = Owner::first(id);
        let length = bytes.len() as u64;
        let base = if length == 0 { self.space.end() } else { self.space.place(owner, &(0..length)) };
        let layout_end = self.layout.put(&LayoutRecord::Whole { entry, base, digest });
        let state = if length == 0 {
            State::Sent
        } else {
            self.cache.hold(BlockKey { owner, index: 0 }, bytes, length, false);
            self.report_entry(|| Event::Started { entry: id, path: located.announced_path() });
            State::Held { base: base.0, layout_end }
        };
        self.entries.insert(id, EntryRecord { located, links, file: Some(facts), state, front: None });
        if self.config.destination == Destination::Fresh {
            self.release_held(id);
        }
    }

    /// Lets the data of a small file go.
    pub(super) fn release_held(&mut self, id: EntryId) {
        let Some(record) = self.entries.get(id) else { return };
        let State::Held { base, layout_end } = record.state else { return };
        let size = record.file.map_or(0, |file| file.size);
        self.cache.offer(BlockKey { owner: Owner::first(id), index: 0 });
        self.space.ready(base..base + size, layout_end);
        self.entries.set_state(id, State::Small { base });
    }

    fn announce_large(&mut self, located: Located, links: FollowLinks, attempts: u8, metadata: &Metadata) {
        let facts = self.facts(metadata, attempts);
        let entry = self.announce_file(&located, &facts, metadata);
        let id = entry.id;
        self.layout.put(&LayoutRecord::Entry(entry));
        self.entries.insert(id, EntryRecord { located, links, file: Some(facts), state: State::Asked, front: None });
        if self.config.destination == Destination::Fresh {
            self.read_first(id, None);
        }
    }
}

fn changed_kind(kind: Kind) -> Failure {
    Failure::because(Code::SOURCE_CHANGED, format!("it is a {kind} now"))
}

/// What a directory listed and is not there any more has vanished.
fn failure_of_listed(error: &StorageError) -> Failure {
    let mut failure = Failure::from(error);
    match error.kind() {
        ErrorKind::NotFound => failure.code = Code::SOURCE_VANISHED,
        ErrorKind::Unsupported => failure.code = Code::SPECIAL_FILE,
        _ => {}
    }
    failure
}
