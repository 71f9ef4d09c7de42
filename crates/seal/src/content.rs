//! The content tree: how both ends prove that a file's bytes are the same.
//!
//! A file is cut into *granules* of 2^20 bytes; the last may be shorter, and an
//! empty file has one empty granule. Over the granules stands a binary tree:
//!
//! ```text
//! leaf(bytes)        = H(leaf, bytes)
//! node(left, right)  = H(node, left · right)
//! tree(d1)           = d1
//! tree(d1 … dn)      = node(tree(d1 … dk), tree(dk+1 … dn)),  k the largest power of two below n
//! root(length, file) = H(root, length as 8 bytes, highest first · tree of all its leaves)
//! ```
//!
//! The digest of a *chunk* (a power of two of granules, or what is left of the
//! file) is the tree of its leaves, hence also an inner node of the file's
//! tree: the tree of the chunks' digests is the tree of the leaves, whatever
//! the size of the chunks. The root binds the length, and so do the shapes of
//! the tree below it.
//!
//! The three uses of the hash are kept apart so that no content can pass for a
//! node: for BLAKE3 a leaf is the plain hash, node and root are keyed by
//! [`BLAKE3_NODE_KEY`] and [`BLAKE3_ROOT_KEY`]; for SHA-256 the input starts
//! with one byte, 0 for a leaf, 1 for a node, 2 for the root.
//!
//! A chunk of zeros has a digest that is known for each size
//! ([`ContentAlgorithm::zeros`]), so holes cost no reading.

use std::fmt;
use std::sync::OnceLock;

use aws_lc_rs::digest;
use limosa_wire::layout::{Digest, MIN_CHUNK_LOG2};
use limosa_wire::setup::ContentDigest;

/// Key of BLAKE3 for inner nodes.
pub const BLAKE3_NODE_KEY: &[u8; 32] = b"limosa content tree, inner node.";
/// Key of BLAKE3 for the root.
pub const BLAKE3_ROOT_KEY: &[u8; 32] = b"limosa content tree, file root..";

/// Bytes of a granule.
const GRANULE: u64 = 1 << MIN_CHUNK_LOG2;
/// Levels of the tree of a file of 2^64 bytes, leaves included.
const LEVELS: usize = 64 - MIN_CHUNK_LOG2 as usize + 1;

const SHA256_LEAF: u8 = 0;
const SHA256_NODE: u8 = 1;
const SHA256_ROOT: u8 = 2;

/// A content digest that the allow-list holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentAlgorithm(ContentDigest);

impl ContentAlgorithm {
    pub(crate) const fn allowed(digest: ContentDigest) -> Self {
        Self(digest)
    }

    /// The digest, as the messages name it.
    #[must_use]
    pub const fn digest(self) -> ContentDigest {
        self.0
    }

    /// Starts the digest of one chunk.
    #[must_use]
    pub fn hasher(self) -> ContentHasher {
        ContentHasher { tree: self.tree(), granule: Granule::new(self), filled: 0 }
    }

    /// Starts the tree over the digests of a file's chunks.
    #[must_use]
    pub const fn tree(self) -> ContentTree {
        ContentTree { algorithm: self, leaves: 0, spine: [[0; 32]; LEVELS] }
    }

    /// Digest of a chunk of `2^log2` zero bytes. The first call for an
    /// algorithm hashes one granule; all others look it up.
    ///
    /// # Panics
    /// If `log2` is less than [`MIN_CHUNK_LOG2`] or more than 64.
    #[must_use]
    pub fn zeros(self, log2: u8) -> Digest {
        static BLAKE3: OnceLock<[Digest; LEVELS]> = OnceLock::new();
        static SHA256: OnceLock<[Digest; LEVELS]> = OnceLock::new();
        let known = match self.0 {
            ContentDigest::Blake3 => &BLAKE3,
            ContentDigest::Sha256 => &SHA256,
        };
        known.get_or_init(|| self.zero_levels())[usize::from(log2 - MIN_CHUNK_LOG2)]
    }

    fn zero_levels(self) -> [Digest; LEVELS] {
        let mut granule = Granule::new(self);
        granule.zeros(GRANULE);
        let mut digest = granule.finish();
        let mut levels = [digest; LEVELS];
        for level in &mut levels[1..] {
            digest = self.node(&digest, &digest);
            *level = digest;
        }
        levels
    }

    fn node(self, left: &Digest, right: &Digest) -> Digest {
        match self.0 {
            ContentDigest::Blake3 => {
                let mut both = [0; 64];
                both[..32].copy_from_slice(left);
                both[32..].copy_from_slice(right);
                *blake3::keyed_hash(BLAKE3_NODE_KEY, &both).as_bytes()
            }
            ContentDigest::Sha256 => sha256(&[&[SHA256_NODE], left, right]),
        }
    }

    fn root(self, length: u64, tree: &Digest) -> Digest {
        let length = length.to_be_bytes();
        match self.0 {
            ContentDigest::Blake3 => {
                let mut hasher = blake3::Hasher::new_keyed(BLAKE3_ROOT_KEY);
                hasher.update(&length).update(tree);
                *hasher.finalize().as_bytes()
            }
            ContentDigest::Sha256 => sha256(&[&[SHA256_ROOT], &length, tree]),
        }
    }
}

fn sha256(parts: &[&[u8]]) -> Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    sha256_bytes(&context.finish())
}

pub(crate) fn sha256_bytes(digest: &digest::Digest) -> Digest {
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// A granule under way.
#[derive(Clone)]
enum Granule {
    Blake3(Box<blake3::Hasher>),
    Sha256(digest::Context),
}

impl Granule {
    fn new(algorithm: ContentAlgorithm) -> Self {
        match algorithm.0 {
            ContentDigest::Blake3 => Self::Blake3(Box::default()),
            ContentDigest::Sha256 => Self::Sha256(Self::sha256_leaf()),
        }
    }

    fn sha256_leaf() -> digest::Context {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&[SHA256_LEAF]);
        context
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Blake3(hasher) => {
                hasher.update(bytes);
            }
            Self::Sha256(context) => context.update(bytes),
        }
    }

    fn zeros(&mut self, mut count: u64) {
        const ZEROS: &[u8; 4096] = &[0; 4096];
        while count > 0 {
            let now = count.min(ZEROS.len() as u64);
            #[allow(clippy::cast_possible_truncation)]
            self.update(&ZEROS[..now as usize]);
            count -= now;
        }
    }

    /// The leaf; afterwards the granule is as new.
    fn finish(&mut self) -> Digest {
        match self {
            Self::Blake3(hasher) => {
                let digest = *hasher.finalize().as_bytes();
                hasher.reset();
                digest
            }
            Self::Sha256(context) => {
                let done = std::mem::replace(context, Self::sha256_leaf());
                sha256_bytes(&done.finish())
            }
        }
    }
}

/// The digest of one chunk under way: bytes go in in order, whatever their
/// portions.
#[derive(Clone)]
pub struct ContentHasher {
    tree: ContentTree,
    granule: Granule,
    /// Bytes in the granule under way, at most [`GRANULE`].
    filled: u64,
}

impl ContentHasher {
    /// Takes the next bytes of the chunk.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            self.close_full_granule();
            #[allow(clippy::cast_possible_truncation)]
            let room = (GRANULE - self.filled) as usize;
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.granule.update(now);
            self.filled += now.len() as u64;
            bytes = later;
        }
    }

    /// Takes `count` zero bytes, without touching any where they fill granules.
    pub fn update_zeros(&mut self, mut count: u64) {
        while count > 0 {
            self.close_full_granule();
            if self.filled == 0 && count >= GRANULE {
                count -= self.tree.push_zeros(count / GRANULE) * GRANULE;
            } else {
                let now = count.min(GRANULE - self.filled);
                self.granule.zeros(now);
                self.filled += now;
                count -= now;
            }
        }
    }

    /// A full granule stays open until more comes, so that the last one of a
    /// file is closed by [`Self::finish`] however long it is.
    fn close_full_granule(&mut self) {
        if self.filled == GRANULE {
            self.tree.push(self.granule.finish());
            self.filled = 0;
        }
    }

    /// Bytes taken so far.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.tree.leaves * GRANULE + self.filled
    }

    /// Whether nothing was taken yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The chunk's digest.
    #[must_use]
    pub fn finish(mut self) -> Digest {
        if self.filled > 0 || self.tree.leaves == 0 {
            self.tree.push(self.granule.finish());
        }
        self.tree.digest().expect("a leaf was just pushed")
    }
}

impl fmt::Debug for ContentHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContentHasher").field("length", &self.len()).finish_non_exhaustive()
    }
}

/// The tree over digests of equal level: chunks of a file, all of one size but
/// the last, in order. Keeps one digest per level, whatever their number.
#[derive(Clone)]
pub struct ContentTree {
    algorithm: ContentAlgorithm,
    leaves: u64,
    /// `spine[level]` is in use where that bit of `leaves` is set.
    spine: [Digest; LEVELS],
}

impl ContentTree {
    /// Takes the next digest.
    pub fn push(&mut self, digest: Digest) {
        self.push_at(0, digest);
    }

    /// Takes a digest that stands for `2^level` leaves and starts at a multiple
    /// of that.
    fn push_at(&mut self, level: u32, mut digest: Digest) {
        let mut height = level as usize;
        while self.leaves >> height & 1 == 1 {
            digest = self.algorithm.node(&self.spine[height], &digest);
            height += 1;
        }
        self.spine[height] = digest;
        self.leaves += 1 << level;
    }

    /// Takes as many of `count` leaves of zeros as one known digest stands for
    /// here, and returns how many.
    fn push_zeros(&mut self, count: u64) -> u64 {
        let level = count.ilog2().min(self.leaves.trailing_zeros());
        #[allow(clippy::cast_possible_truncation)]
        let zeros = self.algorithm.zeros(MIN_CHUNK_LOG2 + level as u8);
        self.push_at(level, zeros);
        1 << level
    }

    /// The tree of what was pushed; `None` if nothing was. Of the leaves of one
    /// chunk (digests of its granules, in order) this is the chunk's digest, so
    /// that granules can be digested apart from each other.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        let used = (0..LEVELS).filter(|level| self.leaves >> level & 1 == 1);
        used.map(|level| self.spine[level]).reduce(|right, left| self.algorithm.node(&left, &right))
    }

    /// The root of a file of `length` bytes over the digests of all its chunks.
    /// A file without chunks is an empty one.
    #[must_use]
    pub fn root(&self, length: u64) -> Digest {
        let tree = self.digest().unwrap_or_else(|| self.algorithm.hasher().finish());
        self.algorithm.root(length, &tree)
    }
}

impl fmt::Debug for ContentTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContentTree").field("leaves", &self.leaves).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
