//! What a sending engine is told at the start.

use limosa_seal::ContentAlgorithm;
use limosa_storage::StorePath;
use limosa_wire::setup::Symlinks;

use crate::content::BLOCK;

/// Something the user named to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Where it is in the store.
    pub path: StorePath,
    /// Whether it or what it holds is meant.
    pub extent: SourceExtent,
}

/// What of a source is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceExtent {
    /// The source under its own name: `dir` announces `dir/…`.
    Itself,
    /// What the directory holds: `dir/`, and the root of a store, which has no
    /// name.
    Contents,
}

impl Source {
    /// The source under its own name. The root of the store has none: its
    /// contents are meant.
    #[must_use]
    pub fn itself(path: StorePath) -> Self {
        let extent = if path.is_root() { SourceExtent::Contents } else { SourceExtent::Itself };
        Self { path, extent }
    }

    /// What the directory holds.
    #[must_use]
    pub fn contents(path: StorePath) -> Self {
        Self { path, extent: SourceExtent::Contents }
    }
}

/// Whether the bytes of a file wait for its verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Nothing stands there: data follows without waiting.
    Fresh,
    /// Something may stand there: data waits for its verdict. Files of one
    /// chunk are read and announced with their digest, which lets the
    /// destination compare content.
    Compared,
    /// As `Compared`, for a destination that compares attributes alone: no file
    /// is read before it is asked for.
    ComparedByAttributes,
}

/// What the files of the store are to who reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    /// Bytes that stay what they are: reading them again gives the same.
    Stored,
    /// They are sealed as they are read: the same while a file stays open, and
    /// otherwise when it is opened anew, for a chunk that is asked for again.
    Sealed(Continuing),
}

/// What is continued of files that are sealed as they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuing {
    /// What the other end holds of a file of this size and time, by the keys
    /// that its front tells. Such files are known by size and time alone, so
    /// that another machine can continue them.
    ByFront,
    /// The same, of the same file in the same state on this machine alone: the
    /// keys follow from that and from what the bytes are the name of.
    ByFrontHere([u8; 16]),
    /// Nothing: no later session knows the keys. The bytes tell this one from
    /// all others.
    Nothing([u8; 16]),
}

impl Continuing {
    /// Whether what the other end holds tells by its front how it goes on.
    pub(super) const fn is_by_front(self) -> bool {
        matches!(self, Self::ByFront | Self::ByFrontHere(_))
    }
}

/// Which attributes are announced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// Permission bits.
    pub mode: bool,
    /// Modification times.
    pub times: bool,
}

/// Bounds on what the engine holds at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of file content in memory: read ahead, and sent but not yet
    /// acknowledged. Where it is less than what the line holds, parts of large
    /// files are read a second time when a datagram with them was lost, and
    /// small files wait for acknowledgements. What is read a second time may
    /// exceed it by half.
    pub memory: u64,
    /// Bytes of that being read, or read and free to be sent and not yet sent,
    /// from which on no more is read: what waits in memory for long has left the processor's
    /// cache when its turn comes.
    pub ahead: u64,
    /// File operations outstanding.
    pub operations: usize,
    /// Entries announced and not yet settled.
    pub entries: usize,
    /// Bytes the other end is thought to need to remember those entries: their
    /// paths, and digests of large files.
    pub announced: u64,
    /// Bytes of the layout encoded and not yet handed over.
    pub layout: usize,
    /// Large files open at a time.
    pub open_files: usize,
    /// Entries of a directory asked for at a time.
    pub page: usize,
}

impl Limits {
    /// Least memory that works: a few blocks.
    pub const LEAST_MEMORY: u64 = 4 * BLOCK;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            ahead: 8 << 20,
            operations: 32,
            entries: 65_536,
            announced: 64 << 20,
            layout: 256 << 10,
            open_files: 8,
            page: 1024,
        }
    }
}

/// Everything a sending engine needs to know.
#[derive(Clone, Debug)]
pub struct SenderConfig {
    /// What is sent, in this order.
    pub sources: Vec<Source>,
    /// What becomes of symbolic links.
    pub symlinks: Symlinks,
    /// Which attributes are announced.
    pub keep: Keep,
    /// Whether data waits for verdicts.
    pub destination: Destination,
    /// What the files are to who reads them.
    pub nature: Nature,
    /// Bytes that may be outstanding whose layout is not acknowledged.
    pub orphan_credit: u64,
    /// What proves the content.
    pub algorithm: ContentAlgorithm,
    /// Bounds on what is held.
    pub limits: Limits,
}

impl SenderConfig {
    /// Sends `sources` into a fresh destination: links as links, modes and
    /// times kept, default limits.
    #[must_use]
    pub fn new(sources: Vec<Source>, algorithm: ContentAlgorithm) -> Self {
        Self {
            sources,
            symlinks: Symlinks::Copy,
            keep: Keep { mode: true, times: true },
            destination: Destination::Fresh,
            nature: Nature::Stored,
            orphan_credit: 8 << 20,
            algorithm,
            limits: Limits::default(),
        }
    }
}
