//! Files, directories and links, whatever names they have.

use std::collections::BTreeMap;

use limosa_storage::{Attributes, Kind, Metadata, Name, Owner, Timestamp};

use super::content::{Content, Survival, Versions};
use crate::random::Random;

/// Number of an inode, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct InodeNumber(pub(super) u64);

/// What is kept beside the content.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Kept {
    mode: u32,
    modified: Timestamp,
    changed: Timestamp,
    owner: Option<Owner>,
}

/// Names and what they stand for.
pub(super) type Entries = BTreeMap<Name, InodeNumber>;

/// A directory: its names as processes see them, and as they are on stable
/// storage.
#[derive(Clone, Debug, Default)]
pub(super) struct Directory {
    pub(super) entries: Entries,
    pub(super) durable: Entries,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    File(Content),
    Directory(Directory),
    Link(Vec<u8>),
}

/// A file, directory or link.
#[derive(Clone, Debug)]
pub(super) struct Inode {
    pub(super) body: Body,
    kept: Versions<Kept>,
    pub(super) locked: bool,
}

impl Inode {
    pub(super) fn new(body: Body, now: Timestamp) -> Self {
        let mode = match body {
            Body::File(_) => 0o600,
            Body::Directory(_) => 0o700,
            Body::Link(_) => 0o777,
        };
        let kept = Kept { mode, modified: now, changed: now, owner: None };
        Self { body, kept: Versions::new(kept), locked: false }
    }

    pub(super) fn kind(&self) -> Kind {
        match self.body {
            Body::File(_) => Kind::File,
            Body::Directory(_) => Kind::Directory,
            Body::Link(_) => Kind::Symlink,
        }
    }

    pub(super) fn metadata(&self, number: InodeNumber) -> Metadata {
        let (size, allocated) = match &self.body {
            Body::File(content) => (content.size(), content.allocated()),
            Body::Directory(_) => (0, 0),
            Body::Link(target) => (target.len() as u64, 0),
        };
        let Kept { mode, modified, changed, owner } = *self.kept.now();
        let (inode, kind) = (number.0, self.kind());
        Metadata { kind, size, mode, modified, changed, inode, device: 0, links: 1, allocated, owner }
    }

    pub(super) fn set_attributes(&mut self, wanted: &Attributes, now: Timestamp) {
        let before = *self.kept.now();
        let mode = wanted.mode.filter(|_| self.kind() != Kind::Symlink);
        self.kept.set(Kept {
            mode: mode.map_or(before.mode, |mode| mode & 0o7777),
            modified: wanted.modified.unwrap_or(before.modified),
            changed: now,
            owner: wanted.owner.or(before.owner),
        });
    }

    /// Notes that the content has changed.
    pub(super) fn touch(&mut self, now: Timestamp) {
        self.kept.set(Kept { modified: now, changed: now, ..*self.kept.now() });
    }

    pub(super) fn sync_data(&mut self) {
        if let Body::File(content) = &mut self.body {
            content.sync();
        }
    }

    pub(super) fn sync_all(&mut self) {
        self.sync_data();
        self.kept.sync();
    }

    pub(super) fn unsynced_bytes(&self) -> u64 {
        match &self.body {
            Body::File(content) => content.unsynced_bytes(),
            _ => 0,
        }
    }

    pub(super) fn allocated(&self) -> u64 {
        match &self.body {
            Body::File(content) => content.allocated(),
            _ => 0,
        }
    }

    /// Power is lost. The names of a directory are not decided here.
    pub(super) fn lose(&mut self, random: &mut Random) {
        self.locked = false;
        let survival = Survival::draw(random);
        if let Body::File(content) = &mut self.body {
            content.lose(survival, random);
        }
        self.kept.lose(survival, random);
    }
}
