//! The linear space from the sending side: which of its bytes are which bytes
//! of what, which may leave, and which are done with.

use std::collections::VecDeque;
use std::ops::Range;

use limosa_ranges::RangeSet;
use limosa_wire::Offset;

use crate::content::overlap;

/// Names whatever owns bytes of the space: the one reading of a file that
/// produces them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Owner(pub(super) u64);

/// A stretch of the space that holds a stretch of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) base: u64,
    pub(super) length: u64,
    pub(super) owner: Owner,
    pub(super) file_offset: u64,
    /// The reading failed: what was offered of it may be any bytes.
    pub(super) dead: bool,
}

impl Segment {
    pub(super) fn linear(&self) -> Range<u64> {
        self.base..self.base + self.length
    }

    /// The bytes of the file.
    pub(super) fn file(&self) -> Range<u64> {
        self.file_offset..self.file_offset + self.length
    }

    /// Where in the space the bytes `file` of the file are, as far as they are
    /// in this segment.
    pub(super) fn to_linear(self, file: &Range<u64>) -> Range<u64> {
        let shared = overlap(file, &self.file());
        let start = self.base + (shared.start - self.file_offset);
        start..start + (shared.end - shared.start)
    }

    /// Which bytes of the file are at `linear`, as far as they are in this
    /// segment.
    pub(super) fn to_file(self, linear: &Range<u64>) -> Range<u64> {
        let shared = overlap(linear, &self.linear());
        let start = self.file_offset + (shared.start - self.base);
        start..start + (shared.end - shared.start)
    }
}

/// Bytes in memory that may leave, once their layout allows it.
#[derive(Clone, Debug)]
struct Ready {
    range: Range<u64>,
    /// Where in the layout stream the record that places them ends.
    layout_end: u64,
}

/// The linear space.
#[derive(Debug)]
pub(super) struct LinearSpace {
    next: u64,
    /// Ascending and without gaps, except that what is wholly done with has
    /// gone from the front.
    segments: VecDeque<Segment>,
    /// Acknowledged, or never to come.
    closed: RangeSet,
    ready: VecDeque<Ready>,
    /// What was offered before its layout was acknowledged: end of the record
    /// and bytes.
    orphans: VecDeque<(u64, u64)>,
    orphan_bytes: u64,
    orphan_credit: u64,
    layout_acknowledged: u64,
    crossed: u64,
}

impl LinearSpace {
    pub(super) fn new(orphan_credit: u64) -> Self {
        Self {
            next: 0,
            segments: VecDeque::new(),
            closed: RangeSet::new(),
            ready: VecDeque::new(),
            orphans: VecDeque::new(),
            orphan_bytes: 0,
            orphan_credit,
            layout_acknowledged: 0,
            crossed: 0,
        }
    }

    /// Bytes acknowledged, each counted once.
    pub(super) fn crossed(&self) -> u64 {
        self.crossed
    }

    /// Segments kept.
    pub(super) fn segments(&self) -> usize {
        self.segments.len()
    }

    /// Where the next segment will be.
    pub(super) fn end(&self) -> Offset {
        Offset(self.next)
    }

    /// Gives bytes of a file the next place.
    pub(super) fn place(&mut self, owner: Owner, file: &Range<u64>) -> Offset {
        let base = self.next;
        let length = file.end - file.start;
        self.segments.push_back(Segment { base, length, owner, file_offset: file.start, dead: false });
        self.next += length;
        Offset(base)
    }

    /// The segments that `range` touches, ascending.
    pub(super) fn touched(&self, range: &Range<u64>) -> impl Iterator<Item = Segment> + use<'_> {
        touched(&self.segments, range)
    }

    /// Says that bytes placed by a record ending at `layout_end` are in memory.
    pub(super) fn ready(&mut self, range: Range<u64>, layout_end: u64) {
        if range.is_empty() {
            return;
        }
        match self.ready.back_mut() {
            // Neighbours leave together; the later record decides for both
            // only where the earlier one need not wait either.
            Some(last) if last.range.end == range.start && last.layout_end == layout_end => {
                last.range.end = range.end;
            }
            _ => self.ready.push_back(Ready { range, layout_end }),
        }
    }

    /// The next bytes that may leave. Those whose layout is acknowledged may;
    /// others as far as the credit goes.
    pub(super) fn poll_offer(&mut self) -> Option<Range<u64>> {
        let mut offer = self.take_ready()?;
        // One offer for a run of small files.
        while self.ready.front().is_some_and(|ready| ready.range.start == offer.end) {
            let Some(more) = self.take_ready() else { break };
            offer.end = more.end;
        }
        Some(offer)
    }

    fn take_ready(&mut self) -> Option<Range<u64>> {
        let front = self.ready.front_mut()?;
        let length = front.range.end - front.range.start;
        if front.layout_end <= self.layout_acknowledged {
            return self.ready.pop_front().map(|ready| ready.range);
        }
        let allowed = length.min(self.orphan_credit.saturating_sub(self.orphan_bytes));
        if allowed == 0 {
            return None;
        }
        let range = front.range.start..front.range.start + allowed;
        self.orphans.push_back((front.layout_end, allowed));
        self.orphan_bytes += allowed;
        front.range.start = range.end;
        if front.range.is_empty() {
            self.ready.pop_front();
        }
        Some(range)
    }

    /// The other end has the layout up to `offset`.
    pub(super) fn layout_acknowledged(&mut self, offset: u64) {
        if offset <= self.layout_acknowledged {
            return;
        }
        self.layout_acknowledged = offset;
        let acknowledged = self.layout_acknowledged;
        let mut freed = 0;
        self.orphans.retain(|&(end, bytes)| {
            let gone = end <= acknowledged;
            freed += if gone { bytes } else { 0 };
            !gone
        });
        self.orphan_bytes -= freed;
    }

    /// The other end has the bytes of `range`: tells `freed` which bytes of
    /// what that are for the first time.
    pub(super) fn acknowledged(&mut self, range: Range<u64>, freed: impl FnMut(Owner, Range<u64>)) {
        self.crossed += self.close(range.start.min(self.next)..range.end.min(self.next), freed);
    }

    /// Closes `range`, tells `freed` what was open of it, and returns how much.
    fn close(&mut self, range: Range<u64>, mut freed: impl FnMut(Owner, Range<u64>)) -> u64 {
        let Self { closed, segments, .. } = self;
        let bytes = closed.insert_with(range, |part| {
            touched(segments, &part).for_each(|segment| freed(segment.owner, segment.to_file(&part)));
        });
        let floor = closed.end_of(0);
        while segments.front().is_some_and(|segment| segment.linear().end <= floor) {
            segments.pop_front();
        }
        bytes
    }

    /// Whether nothing of `range` is open any more.
    pub(super) fn is_closed(&self, range: &Range<u64>) -> bool {
        self.closed.contains(range)
    }

    /// Everything that was given away so far, and still kept.
    pub(super) fn extent(&self) -> Range<u64> {
        self.segments.front().map_or(self.next, |segment| segment.base)..self.next
    }

    /// Takes back what was placed for `owner` in the stretch `within` and not
    /// offered. `resident` are the blocks of the file that are, or were, in
    /// memory: what they hold and does not wait to be offered was offered.
    /// Returns what will never come.
    pub(super) fn withdraw(&mut self, owner: Owner, within: &Range<u64>, resident: &[Range<u64>]) -> Vec<Range<u64>> {
        let first = self.segments.partition_point(|segment| segment.linear().end <= within.start);
        let end = self.segments.partition_point(|segment| segment.base < within.end);
        let mut mine = RangeSet::new();
        let mut withdrawn = RangeSet::new();
        for segment in self.segments.range_mut(first..end).filter(|segment| segment.owner == owner) {
            segment.dead = true;
            mine.insert(segment.linear());
            for open in self.closed.missing(&segment.linear()) {
                withdrawn.insert(open);
            }
            for block in resident {
                withdrawn.remove(&segment.to_linear(block));
            }
        }
        self.ready.retain(|ready| {
            let waiting = mine.contains(&ready.range);
            if waiting {
                withdrawn.insert(ready.range.clone());
            }
            !waiting
        });
        let withdrawn: Vec<_> = withdrawn.iter().collect();
        for range in &withdrawn {
            self.close(range.clone(), |_, _| {});
        }
        withdrawn
    }

    /// Where the bytes `file` of what `owner` reads are in the stretch `within`.
    pub(super) fn places(&self, owner: Owner, within: &Range<u64>, file: &Range<u64>) -> Vec<Range<u64>> {
        let mine = self.touched(within).filter(|segment| segment.owner == owner);
        mine.map(|segment| segment.to_linear(file)).filter(|range| !range.is_empty()).collect()
    }
}

fn touched<'a>(segments: &'a VecDeque<Segment>, range: &Range<u64>) -> impl Iterator<Item = Segment> + use<'a> {
    // Mostly it is the oldest one: a large file, or the files just sent.
    let is_behind = |segment: &Segment| segment.linear().end <= range.start;
    let first = if segments.front().is_some_and(is_behind) { segments.partition_point(is_behind) } else { 0 };
    let end = range.end;
    (first..segments.len()).map(|index| segments[index]).take_while(move |segment| segment.base < end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Owner = Owner(1);
    const B: Owner = Owner(2);

    fn offers(space: &mut LinearSpace) -> Vec<(u64, u64)> {
        std::iter::from_fn(|| space.poll_offer()).map(|range| (range.start, range.end)).collect()
    }

    #[test]
    fn data_whose_layout_is_unknown_leaves_only_within_the_credit() {
        let mut space = LinearSpace::new(10);
        space.place(A, &(0..8));
        space.place(B, &(0..8));
        space.ready(0..8, 100);
        space.ready(8..16, 200);
        assert_eq!(offers(&mut space), vec![(0, 10)]);
        space.layout_acknowledged(99);
        assert_eq!(offers(&mut space), vec![]);
        space.layout_acknowledged(100);
        assert_eq!(offers(&mut space), vec![(10, 16)]);
        space.layout_acknowledged(200);
        assert_eq!(space.orphan_bytes, 0);
    }

    #[test]
    fn acknowledged_bytes_are_freed_once_and_their_segments_go() {
        let mut space = LinearSpace::new(0);
        space.place(A, &(100..108));
        space.place(B, &(0..8));
        let mut freed = Vec::new();
        space.acknowledged(6..10, |owner, range| freed.push((owner, range)));
        space.acknowledged(0..16, |owner, range| freed.push((owner, range)));
        assert_eq!(freed, [(A, 106..108), (B, 0..2), (A, 100..106), (B, 2..8)]);
        assert_eq!((space.segments(), space.crossed()), (0, 16));
    }

    #[test]
    fn what_was_not_offered_can_be_withdrawn() {
        let mut space = LinearSpace::new(4);
        space.place(A, &(0..30));
        space.place(B, &(0..5));
        space.ready(0..10, 1);
        assert_eq!(offers(&mut space), vec![(0, 4)]);
        // The block 0..10 is in memory, of which 0..4 may be on its way.
        let withdrawn = space.withdraw(A, &space.extent(), std::slice::from_ref(&(0..10)));
        assert!(withdrawn.iter().eq([&(4..30)]), "{withdrawn:?}");
        assert!(!space.is_closed(&(0..4)) && space.is_closed(&(4..30)));
        space.acknowledged(0..4, |_, _| {});
        assert_eq!(space.segments(), 1, "only the other file's is left");
    }
}
