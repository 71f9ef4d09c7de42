//! What a job tells whoever watches it.
//!
//! The engines emit these; the command line draws them, the node records them,
//! the console subscribes. Both ends use the same events, each for what it has
//! seen itself.

use limosa_storage::StorePath;
use limosa_wire::EntryId;

use crate::failure::Failure;

/// Something happened to one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The layout names it now.
    Announced {
        /// Its number.
        entry: EntryId,
        /// Its path below the destination.
        path: StorePath,
        /// What it is.
        what: Announced,
    },
    /// The first byte of a file's data was read (sender) or arrived (receiver).
    Started {
        /// The file.
        entry: EntryId,
        /// Its path below the destination.
        path: StorePath,
    },
    /// All data of a file has reached the other end's memory (sender) or this
    /// end's disk (receiver).
    Transferred {
        /// The file.
        entry: EntryId,
        /// Its path below the destination.
        path: StorePath,
    },
    /// It is complete under its name.
    Settled {
        /// The entry.
        entry: EntryId,
        /// Its path below the destination.
        path: StorePath,
    },
    /// It was there already; nothing was sent.
    Skipped {
        /// The entry.
        entry: EntryId,
        /// Its path below the destination.
        path: StorePath,
    },
    /// A symbolic link at the source was left out, as asked.
    LeftOut {
        /// Its path below the destination.
        path: StorePath,
    },
    /// A file changed while it was read. This attempt ends; the next one has a
    /// number of its own.
    Retaken {
        /// The attempt that ends.
        entry: EntryId,
        /// Its path below the destination.
        path: StorePath,
    },
    /// It failed; the others go on.
    Failed {
        /// The entry, where it was given a number.
        entry: Option<EntryId>,
        /// Its path below the destination.
        path: StorePath,
        /// Why.
        failure: Failure,
    },
}

/// What was announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announced {
    /// A regular file, with its size in bytes where that is known.
    File(Option<u64>),
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// Something to be removed at the destination.
    Removal,
}

/// How far a job has come. Everything only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Entries announced so far.
    pub entries_announced: u64,
    /// Bytes of the files announced so far.
    pub bytes_announced: u64,
    /// Whether that is all there is.
    pub layout_complete: bool,
    /// Entries finished: settled, skipped or failed.
    pub entries_finished: u64,
    /// Bytes read from files (sender) or written to them (receiver).
    pub bytes_processed: u64,
    /// Bytes of the linear space that have crossed, each counted once.
    pub bytes_crossed: u64,
    /// Bytes that need not cross: the other end has them.
    pub bytes_present: u64,
}
