//! How a receiver keeps its files: in clear, or sealed by a master key.

use std::collections::HashSet;
use std::sync::Arc;

use limosa_seal::envelope::MasterKey;
use limosa_seal::{AlgorithmSet, Secret};
use limosa_storage::{FollowLinks, Kind, MasterKeys, Result, SealedStore, Store, StorePath};

use crate::disk::Disk;

/// Bytes that are compared; as many random ones do not come up by accident.
const PIECE: usize = 8;
/// One piece is remembered of so many bytes of content.
const STRIDE: usize = 509;

/// What stands between a receiver and its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtRest {
    /// Nothing.
    Clear,
    /// A store that seals.
    Sealed,
}

impl AtRest {
    /// The disk as the receiver sees it, with nothing in memory of what an
    /// earlier process wrote.
    ///
    /// # Panics
    /// Never: the name of the key is one.
    #[must_use]
    pub fn store(self, disk: &Disk) -> Arc<dyn Store> {
        let disk = Arc::new(disk.clone());
        if self == Self::Clear {
            return disk;
        }
        let key = MasterKey::new("main".parse().expect("it is a name"), Secret::take(&mut [7; 32]));
        let keys = MasterKeys::opening(AlgorithmSet::Ordinary, Vec::new()).sealing_for(key);
        Arc::new(SealedStore::new(disk, keys))
    }
}

/// Bits of the filter that most of what is compared does not pass.
const FILTER_BITS: u32 = 20;

/// Pieces of the content of a tree, to be looked for elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Traces {
    pieces: HashSet<u64>,
    /// One bit for all pieces that [`bit_of`] takes for one. Empty without any.
    filter: Vec<bool>,
}

/// Where a piece has its bit in the filter: Fibonacci hashing (Knuth, The Art of
/// Computer Programming, volume 3, section 6.4).
fn bit_of(piece: u64) -> usize {
    (piece.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (u64::BITS - FILTER_BITS)) as usize
}

impl Traces {
    /// Of all files below `root`.
    ///
    /// # Errors
    /// What the store reports.
    pub fn of(store: &dyn Store, root: &StorePath) -> Result<Self> {
        let mut traces = Self { pieces: HashSet::new(), filter: vec![false; 1 << FILTER_BITS] };
        each_file(store, root, |_, content| {
            let pieces = content.chunks(STRIDE).filter_map(|part| part.first_chunk::<PIECE>());
            let telling = pieces.filter(|piece| piece.iter().filter(|byte| **byte != 0).count() > PIECE / 2);
            traces.pieces.extend(telling.map(|piece| u64::from_le_bytes(*piece)));
        })?;
        traces.pieces.iter().for_each(|piece| traces.filter[bit_of(*piece)] = true);
        Ok(traces)
    }

    /// A file below `root`, hidden ones included, that holds one of them.
    ///
    /// # Errors
    /// What the store reports.
    pub fn found(&self, store: &dyn Store, root: &StorePath) -> Result<Option<StorePath>> {
        let mut found = None;
        if self.pieces.is_empty() {
            return Ok(found);
        }
        each_file(store, root, |path, content| {
            let windows = content.windows(PIECE).filter_map(|window| window.first_chunk::<PIECE>());
            let mut pieces = windows.map(|window| u64::from_le_bytes(*window));
            if pieces.any(|piece| self.filter[bit_of(piece)] && self.pieces.contains(&piece)) {
                found = Some(path.clone());
            }
        })?;
        Ok(found)
    }
}

fn each_file(store: &dyn Store, root: &StorePath, mut see: impl FnMut(&StorePath, &[u8])) -> Result<()> {
    let mut ahead = vec![root.clone()];
    while let Some(path) = ahead.pop() {
        let found = match store.metadata(&path, FollowLinks::No) {
            Err(error) if error.kind() == limosa_storage::ErrorKind::NotFound => continue,
            found => found?,
        };
        match found.kind {
            Kind::Directory => {
                let entries = store.list(&path, None, usize::MAX)?.entries;
                ahead.extend(entries.iter().map(|entry| path.join(&entry.name).expect("paths of a test are short")));
            }
            Kind::File => see(&path, &limosa_storage::read_whole(store, &path, u64::MAX)?),
            _ => {}
        }
    }
    Ok(())
}
