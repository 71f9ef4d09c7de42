//! The linear space as the receiving side knows it: which place belongs to
//! which bytes of which file, what has arrived, and what arrived before its
//! place was known.

use std::collections::BTreeMap;
use std::ops::Range;

use limosa_ranges::RangeSet;
use limosa_wire::EntryId;
use limosa_wire::layout::Extent;

use super::error::ReceiverError;
use crate::content::overlap;

/// Most separate ranges of arrived bytes. At 10 Gbit/s, 1 s and 10 % loss
/// there are 90,000.
const MAX_PIECES: usize = 1 << 18;
/// Most extents whose bytes have not all arrived.
const MAX_EXTENTS: usize = 1 << 20;
/// What an orphan costs beside its bytes.
const ORPHAN_COST: u64 = 64;
/// Orphans that follow each other are kept as one up to about this length.
const MAX_JOINED: usize = 64 << 10;

/// Where a place of the linear space leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// To a file, up to `end`.
    File { entry: EntryId, file_offset: u64, end: u64 },
    /// Nobody knows yet, up to `end`.
    Unknown { end: u64 },
}

/// An extent some of whose bytes are missing.
#[derive(Clone, Copy, Debug)]
struct Open {
    entry: EntryId,
    file_offset: u64,
    length: u64,
    missing: u64,
}

/// The linear space as the receiving side knows it.
#[derive(Debug)]
pub(super) struct LinearSpace {
    open: BTreeMap<u64, Open>,
    /// Base of the extent that bytes arrived for last: most likely the next.
    latest: u64,
    /// Every place that was ever given away or withdrawn.
    given: RangeSet,
    /// What arrived, or will never come.
    arrived: RangeSet,
    orphans: BTreeMap<u64, Vec<u8>>,
    orphan_bytes: u64,
    orphan_credit: u64,
}

impl LinearSpace {
    pub(super) fn new(orphan_credit: u64) -> Self {
        Self {
            open: BTreeMap::new(),
            latest: 0,
            given: RangeSet::new(),
            arrived: RangeSet::new(),
            orphans: BTreeMap::new(),
            orphan_bytes: 0,
            orphan_credit,
        }
    }

    /// Gives bytes of a file their place.
    pub(super) fn place(&mut self, extent: &Extent) -> Result<(), ReceiverError> {
        let range = extent.base.0..extent.base.0 + extent.length;
        self.give(range)?;
        if self.open.len() >= MAX_EXTENTS {
            return Err(ReceiverError::TooMuchAnnounced);
        }
        let open = Open {
            entry: extent.entry,
            file_offset: extent.file_offset,
            length: extent.length,
            missing: extent.length,
        };
        self.open.insert(extent.base.0, open);
        Ok(())
    }

    fn give(&mut self, range: Range<u64>) -> Result<(), ReceiverError> {
        let length = range.end - range.start;
        if self.given.insert(range) < length {
            return Err(ReceiverError::Violation("a place of the linear space is given twice"));
        }
        self.check_pieces()
    }

    fn check_pieces(&self) -> Result<(), ReceiverError> {
        // What arrives is refused before it is too much; a little more may come
        // of bytes that were taken in part.
        let too_many = self.given.pieces() > MAX_PIECES || self.arrived.pieces() > MAX_PIECES + MAX_PIECES / 4;
        if too_many { Err(ReceiverError::TooMuchAnnounced) } else { Ok(()) }
    }

    /// Withdraws a stretch; `withdrawn` hears how many bytes of which file
    /// will not come.
    pub(super) fn withdraw(
        &mut self,
        range: Range<u64>,
        mut withdrawn: impl FnMut(EntryId, u64),
    ) -> Result<(), ReceiverError> {
        self.given.insert(range.clone());
        let missing: Vec<_> = self.arrived.missing(&range).collect();
        for part in missing {
            self.each_open(&part, &mut withdrawn);
            self.arrived.insert(part);
        }
        self.check_pieces()
    }

    /// The first stretch of `range` that has not arrived.
    pub(super) fn first_missing(&self, range: &Range<u64>) -> Option<Range<u64>> {
        self.arrived.first_missing(range)
    }

    /// Where the place `at` leads.
    pub(super) fn find(&self, at: u64) -> Place {
        if let Some((base, open)) = self.extent_at(at) {
            let end = base + open.length;
            return Place::File { entry: open.entry, file_offset: open.file_offset + (at - base), end };
        }
        let end = self.open.range(at..).next().map_or(u64::MAX, |(&next, _)| next);
        Place::Unknown { end }
    }

    /// The open extent that holds the place `at`.
    fn extent_at(&self, at: u64) -> Option<(u64, &Open)> {
        let holds = |base: u64, open: &Open| at.checked_sub(base).is_some_and(|into| into < open.length);
        let latest = self.open.get(&self.latest).filter(|open| holds(self.latest, open));
        if let Some(open) = latest {
            return Some((self.latest, open));
        }
        let (&base, open) = self.open.range(..=at).next_back()?;
        holds(base, open).then_some((base, open))
    }

    /// Whether the arrival of `range` can be remembered: as one more separate
    /// range, or joined to one. Without the latter a space full of gaps would
    /// never get rid of them.
    pub(super) fn has_room_for(&self, range: &Range<u64>) -> bool {
        let touches = |at: u64| self.arrived.piece_at(at).is_some();
        self.arrived.pieces() < MAX_PIECES || range.start.checked_sub(1).is_some_and(touches) || touches(range.end)
    }

    /// Bytes that were placed have arrived.
    pub(super) fn arrive(&mut self, range: Range<u64>) {
        if let Some((base, open)) = self.extent_at(range.start)
            && range.end <= base + open.length
        {
            self.arrive_in(base, range.end - range.start);
        } else {
            self.each_open(&range, |_, _| ());
        }
        self.arrived.insert(range);
    }

    /// Bytes of one open extent have arrived.
    fn arrive_in(&mut self, base: u64, bytes: u64) {
        self.latest = base;
        let Some(open) = self.open.get_mut(&base) else { return };
        open.missing = open.missing.saturating_sub(bytes);
        if open.missing == 0 {
            self.open.remove(&base);
        }
    }

    /// Counts `range` as no longer missing in the extents it touches, and
    /// forgets those that are complete.
    fn each_open(&mut self, range: &Range<u64>, mut told: impl FnMut(EntryId, u64)) {
        let mut complete = Vec::new();
        let first = self.open.range(..=range.start).next_back().map_or(range.start, |(&base, _)| base);
        for (&base, open) in self.open.range_mut(first..range.end) {
            let shared = overlap(range, &(base..base + open.length));
            let bytes = shared.end - shared.start;
            if bytes > 0 {
                told(open.entry, bytes);
                open.missing = open.missing.saturating_sub(bytes);
            }
            if open.missing == 0 {
                complete.push(base);
            }
        }
        for base in complete {
            self.open.remove(&base);
        }
    }

    /// Keeps bytes whose place is not known, if the credit allows. What many
    /// small ones cost beside their bytes may take an eighth on top of it.
    pub(super) fn keep_orphan(&mut self, at: u64, bytes: &[u8]) -> bool {
        let length = bytes.len() as u64;
        let orphans = self.orphans.len() as u64;
        let last = self.orphans.range_mut(..at).next_back();
        let before = last.filter(|(start, last)| **start + last.len() as u64 == at && last.len() < MAX_JOINED);
        let pieces = orphans + u64::from(before.is_none());
        let bytes_after = self.orphan_bytes + length;
        if bytes_after > self.orphan_credit
            || bytes_after + pieces * ORPHAN_COST > self.orphan_credit + (self.orphan_credit / 8).max(ORPHAN_COST)
        {
            return false;
        }
        match before {
            Some((_, last)) => last.extend_from_slice(bytes),
            None => {
                self.orphans.insert(at, bytes.to_vec());
            }
        }
        self.orphan_bytes += length;
        self.arrived.insert(at..at + length);
        true
    }

    /// Takes out the orphans inside `range`; what one has beyond it stays.
    pub(super) fn claim_orphans(&mut self, range: &Range<u64>) -> Vec<(u64, Vec<u8>)> {
        let mut claimed = Vec::new();
        if self.orphans.is_empty() {
            return claimed;
        }
        let first = self.orphans.range(..=range.start).next_back().map_or(range.start, |(&at, _)| at);
        let touched: Vec<u64> = self.orphans.range(first..range.end).map(|(&at, _)| at).collect();
        for at in touched {
            let Some(bytes) = self.orphans.remove(&at) else { continue };
            self.split_orphan(at, bytes, range, &mut claimed);
        }
        claimed
    }

    fn split_orphan(&mut self, at: u64, mut bytes: Vec<u8>, range: &Range<u64>, claimed: &mut Vec<(u64, Vec<u8>)>) {
        let whole = at..at + bytes.len() as u64;
        let inside = overlap(&whole, range);
        if inside.is_empty() {
            self.orphans.insert(at, bytes);
            return;
        }
        if whole.end > inside.end {
            self.orphans.insert(inside.end, bytes.split_off(index(inside.end - at)));
        }
        let taken = bytes.split_off(index(inside.start - at));
        if !bytes.is_empty() {
            self.orphans.insert(at, bytes);
        }
        self.orphan_bytes -= taken.len() as u64;
        claimed.push((inside.start, taken));
    }

    /// The orphans' bytes are with their file now.
    pub(super) fn adopt(&mut self, range: &Range<u64>) {
        self.each_open(range, |_, _| ());
    }
}

/// An offset inside bytes that are in memory.
fn index(offset: u64) -> usize {
    usize::try_from(offset).expect("inside bytes that are in memory")
}

#[cfg(test)]
mod tests {
    use limosa_wire::Offset;

    use super::*;

    fn extent(entry: u64, file_offset: u64, length: u64, base: u64) -> Extent {
        Extent { entry: EntryId(entry), file_offset, length, base: Offset(base) }
    }

    #[test]
    fn places_lead_to_files_and_are_given_once() {
        let mut space = LinearSpace::new(0);
        space.place(&extent(1, 50, 10, 100)).unwrap();
        assert_eq!(space.find(103), Place::File { entry: EntryId(1), file_offset: 53, end: 110 });
        assert_eq!(space.find(20), Place::Unknown { end: 100 });
        assert_eq!(space.find(110), Place::Unknown { end: u64::MAX });
        assert!(space.place(&extent(2, 0, 5, 109)).is_err());
    }

    #[test]
    fn a_complete_place_is_forgotten_but_never_given_again() {
        let mut space = LinearSpace::new(0);
        space.place(&extent(1, 0, 10, 0)).unwrap();
        space.arrive(0..10);
        assert_eq!(space.find(3), Place::Unknown { end: u64::MAX });
        assert_eq!(space.first_missing(&(0..12)), Some(10..12));
        assert!(space.place(&extent(1, 0, 10, 5)).is_err());
    }

    #[test]
    fn withdrawn_bytes_count_once() {
        let mut space = LinearSpace::new(0);
        space.place(&extent(1, 0, 10, 0)).unwrap();
        space.place(&extent(2, 0, 10, 10)).unwrap();
        space.arrive(4..6);
        let mut told = Vec::new();
        space.withdraw(2..15, |entry, bytes| told.push((entry.0, bytes))).unwrap();
        assert_eq!(told, [(1, 2), (1, 4), (2, 5)]);
        told.clear();
        space.withdraw(2..15, |entry, bytes| told.push((entry.0, bytes))).unwrap();
        assert!(told.is_empty());
    }

    #[test]
    fn a_space_full_of_gaps_still_takes_what_fills_them() {
        let mut space = LinearSpace::new(1 << 20);
        for index in 0..MAX_PIECES as u64 {
            space.arrive(index * 2..index * 2 + 1);
        }
        let end = MAX_PIECES as u64 * 2;
        assert!(!space.has_room_for(&(end + 5..end + 6)), "one more separate range");
        assert!(space.has_room_for(&(end - 1..end + 1)), "longer at its end");
        assert!(space.has_room_for(&(1..2)), "a gap is filled");
        space.arrive(1..2);
        assert!(space.has_room_for(&(end + 5..end + 6)), "there is room again");
    }

    #[test]
    fn tiny_orphans_cost_what_they_take() {
        let mut space = LinearSpace::new(8 << 10);
        let apart = (0..8192).filter(|index| space.keep_orphan(index * 2, &[1])).count();
        assert!(apart < 200, "{apart} orphans of one byte are kept for a credit of 8 KiB");
        let mut space = LinearSpace::new(8 << 10);
        let joined = (0..9000).filter(|at| space.keep_orphan(*at, &[1])).count();
        assert_eq!(joined, 8192, "those that follow each other cost their bytes");
        assert_eq!(space.claim_orphans(&(0..9000)), [(0, vec![1; 8192])]);
    }

    #[test]
    fn orphans_wait_within_the_credit_and_are_claimed_in_part() {
        let mut space = LinearSpace::new(8);
        assert!(space.keep_orphan(10, &[1, 2, 3, 4, 5, 6]));
        assert!(!space.keep_orphan(20, &[0; 3]), "beyond the credit");
        assert_eq!(space.first_missing(&(10..16)), None, "a repeat is a duplicate");
        assert_eq!(space.claim_orphans(&(12..14)), [(12, vec![3, 4])]);
        assert_eq!(space.claim_orphans(&(0..100)), [(10, vec![1, 2]), (14, vec![5, 6])]);
        assert!(space.keep_orphan(20, &[0; 8]), "the credit is free again");
    }
}
