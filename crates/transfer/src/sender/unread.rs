//! Files that were found and wait to be read whole: as many at a time as make
//! the way to a file thread and back cheap beside the reading.

use std::collections::BTreeSet;

use limosa_storage::StorageError;

use super::operation::{SourceOutcome, SourceWork, WholeRead};
use super::{Errand, Sender};
use crate::content::BLOCK;

/// Most files read by one operation.
const MOST: usize = 64;
/// Most bytes read by one operation, which is also the largest file that is
/// read whole.
const ROOM: u64 = BLOCK;

/// Which batches are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Batches {
    /// Those with as many files as an operation should read.
    Full,
    /// Also the last one: the walk has to wait before it finds more.
    All,
}

/// Files to be read, by number in the staging queue: the lowest first. They are
/// announced in order, so reading others before them could fill all of the
/// memory with files that wait for one that then finds no room.
#[derive(Debug, Default)]
pub(super) struct Unread {
    numbers: BTreeSet<u64>,
    /// Mean size of those read last.
    size: u64,
}

impl Unread {
    pub(super) fn push(&mut self, number: u64) {
        self.numbers.insert(number);
    }

    /// Whether more may be found.
    pub(super) fn has_room(&self) -> bool {
        self.numbers.len() < MOST
    }

    /// How many files are likely to have room in one operation.
    fn batch(&self) -> usize {
        usize::try_from(ROOM / self.size.max(1)).unwrap_or(MOST).clamp(1, MOST)
    }

    /// The next files to be read together.
    fn take(&mut self, which: Batches) -> Option<Vec<u64>> {
        let batch = self.batch();
        let enough = match which {
            Batches::Full => self.numbers.len() >= batch,
            Batches::All => !self.numbers.is_empty(),
        };
        enough.then(|| (0..batch).map_while(|_| self.numbers.pop_first()).collect())
    }

    /// Learns from what was read; what had no room has its turn again.
    fn learn(&mut self, read: &[Result<WholeRead, StorageError>], left: &[u64]) {
        let size = |result: &Result<WholeRead, StorageError>| match result {
            Ok(WholeRead::Read { bytes, .. }) => bytes.len() as u64,
            _ => 0,
        };
        self.size = read.iter().map(size).sum::<u64>() / (read.len() as u64).max(1);
        self.numbers.extend(left);
    }
}

impl Sender {
    /// Asks for files to be read as far as memory and operations go.
    pub(super) fn read_unread(&mut self, which: Batches) {
        while self.may_ask() && self.cache.reserve(ROOM) {
            let Some(numbers) = self.unread.take(which) else { return self.cache.release_read(ROOM) };
            let files = numbers.iter().filter_map(|&number| self.staging.source(number)).collect();
            let algorithm = self.config.algorithm;
            let work = SourceWork::ReadWholes { files, limit: BLOCK, room: ROOM, algorithm };
            self.ask(Errand::Wholes { numbers }, work);
        }
    }

    /// Files were read, or not.
    pub(super) fn wholes_read(&mut self, numbers: &[u64], result: Result<SourceOutcome, StorageError>) {
        self.cache.release_read(ROOM);
        let read = match result {
            Ok(SourceOutcome::Wholes(read)) => read,
            // `perform` gives nothing else for this operation.
            _ => numbers.iter().map(|_| Ok(WholeRead::Changed)).collect(),
        };
        self.unread.learn(&read, numbers.get(read.len()..).unwrap_or_default());
        for (&number, result) in numbers.iter().zip(read) {
            self.staged_read(number, result);
        }
    }
}
