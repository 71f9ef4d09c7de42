//! What is known of a file that is being written: how long its content is,
//! which segments are stored and how, and what waits in memory.
//!
//! Bookkeeping alone: nothing here reads, writes, seals or waits.

use std::collections::{BTreeMap, BTreeSet};

use super::pieces::Pieces;
use super::reader::{last_segment, length_of};
use crate::error::StorageError;
use crate::segments::Segments;

/// Segments of one file that wait in memory at most, but for the last one. Two
/// blocks' ends for each file thread are fewer.
const MOST_GATHERED: usize = 16;

/// What stood in a segment's place before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// Nothing: it reads as zeros.
    Nothing,
    /// A full segment that others follow.
    Full,
    /// A final one, of this length.
    Final(usize),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Ledger {
    /// Content of a full segment.
    segment: usize,
    /// How long the content is.
    pub(super) length: u64,
    /// How long it will be in the end, where that is known.
    pub(super) expected: Option<u64>,
    /// What is stored full, as segments that others follow.
    pub(super) stored: Segments,
    /// What is stored as final, and its length. All but the last also wait to
    /// be stored again.
    pub(super) finals: BTreeMap<u64, usize>,
    /// What waits. One that holds no bytes is to be sealed again with another
    /// length or end.
    pub(super) gathered: BTreeMap<u64, Pieces>,
    /// What some thread is storing just now.
    pub(super) busy: BTreeSet<u64>,
    /// Segments of a file that was opened again that do not open, and that
    /// nobody has written since.
    pub(super) suspect: BTreeSet<u64>,
    /// Whether anything has changed since all was stored.
    pub(super) unsettled: bool,
    /// What went wrong with bytes that were taken: nothing is known of the
    /// content from then on.
    pub(super) failed: Option<StorageError>,
}

impl Ledger {
    /// Of a file with so much content, nothing of which is stored as far as is
    /// known here.
    pub(super) fn new(segment: usize, length: u64) -> Self {
        Self {
            segment,
            length,
            expected: None,
            stored: Segments::default(),
            finals: BTreeMap::new(),
            gathered: BTreeMap::new(),
            busy: BTreeSet::new(),
            suspect: BTreeSet::new(),
            unsettled: true,
            failed: None,
        }
    }

    /// The last segment.
    pub(super) fn last(&self) -> u64 {
        last_segment(self.length, self.segment)
    }

    /// How much content a segment holds.
    pub(super) fn length_of(&self, number: u64) -> usize {
        length_of(number, self.length, self.segment)
    }

    /// What stood there before.
    pub(super) fn before(&self, number: u64) -> Before {
        match self.finals.get(&number) {
            Some(length) => Before::Final(*length),
            None if self.stored.contains(number) => Before::Full,
            None => Before::Nothing,
        }
    }

    /// The content reaches to `end` at least. What was the final segment is not
    /// any more, or is longer.
    pub(super) fn grow(&mut self, end: u64) {
        if end <= self.length {
            return;
        }
        self.length = end;
        self.unseal();
    }

    /// What is stored as final and is not, or has another length by now, has
    /// to be stored again.
    fn unseal(&mut self) {
        let ended = |(number, length): (&u64, &usize)| *number == self.last() && *length == self.length_of(*number);
        let others = self.finals.iter().filter(|entry| !ended(*entry)).map(|(number, _)| *number);
        for number in others.collect::<Vec<_>>() {
            self.gathered.entry(number).or_default();
        }
    }

    /// Whether a full segment can be stored as it is, without waiting for what
    /// may follow.
    pub(super) fn is_certain(&self, number: u64) -> bool {
        number < self.last() || self.expected.is_some()
    }

    /// Whether a segment is to be stored as the final one: the last is, unless
    /// it is full and others are known to follow.
    pub(super) fn is_final(&self, number: u64) -> bool {
        let is_full = || self.length_of(number) == self.segment;
        let awaits_more = self.expected.is_some_and(|expected| self.length < expected);
        number == self.last() && !(awaits_more && is_full())
    }

    /// A gathered segment that should be stored now: complete, or one of too
    /// many.
    pub(super) fn take_ready(&mut self) -> Option<(u64, Pieces)> {
        let full = self.segment;
        let free = |number: &u64| !self.busy.contains(number) && self.is_certain(*number);
        let waiting = self.gathered.iter().filter(|(number, _)| free(number));
        let complete = waiting.clone().find(|(_, pieces)| pieces.fills(full)).map(|(number, _)| *number);
        let number = match complete {
            None if self.gathered.len() > MOST_GATHERED => {
                waiting.map(|(number, _)| *number).find(|number| *number < self.last())
            }
            complete => complete,
        }?;
        self.gathered.remove(&number).map(|pieces| (number, pieces))
    }

    /// A segment is stored, full and not final.
    pub(super) fn note_stored(&mut self, number: u64) {
        self.suspect.remove(&number);
        self.finals.remove(&number);
        self.stored.insert(number..number + 1);
    }

    /// A segment of this length is stored as the final one.
    pub(super) fn note_final(&mut self, number: u64, length: usize) {
        self.suspect.remove(&number);
        self.stored.remove(number);
        self.finals.insert(number, length);
        // The file may have grown meanwhile.
        self.unseal();
    }

    /// The content ends within segment `number`, of which and behind which
    /// nothing is stored any more.
    pub(super) fn cut(&mut self, length: u64, number: u64) {
        self.length = length;
        self.stored.cut(number);
        self.finals.split_off(&number);
        self.suspect.split_off(&number);
    }

    /// Whether the last segment is stored as what it is now.
    pub(super) fn is_ended(&self) -> bool {
        let last = self.last();
        match self.finals.get(&last) {
            Some(length) => *length == self.length_of(last),
            None => !self.is_final(last) && self.stored.contains(last),
        }
    }
}
