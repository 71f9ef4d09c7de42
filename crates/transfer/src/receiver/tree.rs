//! Directories under way: made with all rights for their owner, given their
//! attributes after the last entry below.

use limosa_storage::{self as storage, StorePath};

use super::bench::{Bench, Wait};
use super::operation::NameWork;
use limosa_wire::EntryId;

/// What a directory's owner needs to open it and what is below.
const OWNER_OPENS: u32 = 0o500;

/// How far a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is being made.
    Making,
    /// It is there.
    Made,
    /// It gets its attributes.
    Finishing,
    /// It could not be made; its entries fail by themselves.
    Failed,
}

/// A directory that waits for the entries below it.
#[derive(Debug)]
pub(super) struct Directory {
    path: StorePath,
    attributes: storage::Attributes,
    state: State,
    /// Whether the walk has left it.
    left: bool,
    /// Entries directly below that are not settled.
    unsettled: u64,
}

impl Directory {
    /// A directory that is about to be made.
    pub(super) fn new(path: StorePath, attributes: storage::Attributes) -> Self {
        Self { path, attributes, state: State::Making, left: false, unsettled: 0 }
    }

    pub(super) fn path(&self) -> &StorePath {
        &self.path
    }

    /// Whether `path` lies inside.
    pub(super) fn holds(&self, path: &StorePath) -> bool {
        match path.as_bytes().strip_prefix(self.path.as_bytes()) {
            Some([]) => false,
            Some(rest) => self.path.is_root() || rest.starts_with(b"/"),
            None => false,
        }
    }

    /// One more entry is below.
    pub(super) fn enter(&mut self) {
        self.unsettled += 1;
    }

    /// An entry below is settled or failed.
    pub(super) fn settle_one(&mut self) {
        self.unsettled = self.unsettled.saturating_sub(1);
    }

    /// The walk has left it.
    pub(super) fn leave(&mut self) {
        self.left = true;
    }

    /// It is there.
    pub(super) fn made(&mut self) {
        self.state = State::Made;
    }

    /// It could not be made.
    pub(super) fn failed(&mut self) {
        self.state = State::Failed;
    }

    /// Whether it failed, and nothing more comes below it.
    pub(super) fn is_over(&self) -> bool {
        self.state == State::Failed && self.is_quiet()
    }

    fn is_quiet(&self) -> bool {
        self.left && self.unsettled == 0
    }

    /// Asks for its attributes if everything below is settled.
    pub(super) fn finish(&mut self, id: EntryId, bench: &mut Bench) {
        if self.state != State::Made || !self.is_quiet() {
            return;
        }
        self.state = State::Finishing;
        // The other directories are synced together later; what cannot be opened
        // afterwards, it or something below it, has to be synced before.
        let opens = self.attributes.mode.is_none_or(|mode| mode & OWNER_OPENS == OWNER_OPENS);
        let sync = if opens { Vec::new() } else { bench.claim_syncs(&self.path) };
        let work = NameWork::FinishDirectory { path: self.path.clone(), attributes: self.attributes, sync };
        bench.ask_name(id, Wait::Finished, work);
    }
}
