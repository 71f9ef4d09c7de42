//! The linear space as the sender sees it: what waits, what is on the way,
//! what the peer has.

use std::collections::VecDeque;
use std::ops::Range;

use limosa_ranges::RangeSet;
use limosa_wire::Offset;

use crate::Application;
use crate::statistics::SentCounts;

/// Why a range is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It never was.
    New,
    /// It was lost on the way.
    Lost,
    /// The receiver could not keep it.
    Shed,
    /// Its fate should be known and is not.
    Tail,
}

/// A range that may be sent now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) range: Range<u64>,
    pub(crate) cause: Cause,
}

/// Ranges of the linear space by their state.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// Never sent, in the order offered.
    fresh: VecDeque<Range<u64>>,
    fresh_bytes: u64,
    lost: RangeSet,
    shed: RangeSet,
    tail: RangeSet,
    /// What the peer has, or does not need any more.
    settled: RangeSet,
    offered: u64,
    withdrawn: u64,
}

/// Ranges of each kind looked at when the application has no bytes for the
/// first.
const LOOK_AHEAD: usize = 4;

impl Outgoing {
    /// Adds a range to be sent.
    pub(crate) fn offer(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let length = range.end - range.start;
        self.offered += length;
        self.fresh_bytes += length;
        match self.fresh.back_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.fresh.push_back(range),
        }
    }

    /// Takes a range back, whatever its state.
    pub(crate) fn withdraw(&mut self, range: Range<u64>) {
        let mut kept = VecDeque::with_capacity(self.fresh.len() + 1);
        for part in self.fresh.drain(..) {
            let before = part.start..part.end.min(range.start);
            let after = part.start.max(range.end)..part.end;
            kept.extend([before, after].into_iter().filter(|rest| !rest.is_empty()));
        }
        self.fresh = kept;
        self.fresh_bytes = self.fresh.iter().map(|part| part.end - part.start).sum();
        for queue in [&mut self.lost, &mut self.shed, &mut self.tail] {
            queue.remove(&range);
        }
        self.withdrawn += self.settled.insert(range);
    }

    /// Bytes waiting to be sent, for the first time or again.
    pub(crate) fn waiting(&self) -> u64 {
        self.fresh_bytes + self.lost.total() + self.shed.total() + self.tail.total()
    }

    /// Bytes never sent.
    pub(crate) fn fresh(&self) -> u64 {
        self.fresh_bytes
    }

    /// Bytes offered that the peer does not have.
    pub(crate) fn unsettled(&self) -> u64 {
        self.offered.saturating_sub(self.settled.total())
    }

    /// Bytes ever offered.
    pub(crate) fn offered(&self) -> u64 {
        self.offered
    }

    /// The range to try when so many better ones were not in memory.
    pub(crate) fn candidate(&self, passed_over: usize, new: bool) -> Option<Next> {
        if [&self.lost, &self.shed, &self.tail].into_iter().all(RangeSet::is_empty) {
            let range = self.fresh.get(passed_over).filter(|_| new && passed_over < LOOK_AHEAD)?;
            return Some(Next { range: range.clone(), cause: Cause::New });
        }
        self.candidates(new).nth(passed_over)
    }

    /// The ranges to try next, best first: what was lost, then what was shed,
    /// then what is suspected, then new ones (if `new` are wanted).
    fn candidates(&self, new: bool) -> impl Iterator<Item = Next> + '_ {
        let queue = |set, cause| RangeSet::iter(set).take(LOOK_AHEAD).map(move |range| Next { range, cause });
        let fresh = self.fresh.iter().take(if new { LOOK_AHEAD } else { 0 });
        queue(&self.lost, Cause::Lost)
            .chain(queue(&self.shed, Cause::Shed))
            .chain(queue(&self.tail, Cause::Tail))
            .chain(fresh.map(|range| Next { range: range.clone(), cause: Cause::New }))
    }

    /// Notes that the front of a candidate was sent.
    pub(crate) fn sent(&mut self, cause: Cause, range: Range<u64>, counts: &mut SentCounts) {
        let length = range.end - range.start;
        match cause {
            Cause::New => {
                counts.new_bytes += length;
                self.take_fresh(range);
            }
            Cause::Lost => counts.repeated_lost += self.lost.remove(&range),
            Cause::Shed => counts.repeated_shed += self.shed.remove(&range),
            Cause::Tail => counts.repeated_tail += self.tail.remove(&range),
        }
    }

    fn take_fresh(&mut self, range: Range<u64>) {
        let Some(index) = self.fresh.iter().take(LOOK_AHEAD).position(|part| part.start == range.start) else { return };
        self.fresh_bytes -= range.end - range.start;
        self.fresh[index].start = range.end;
        if self.fresh[index].is_empty() {
            self.fresh.remove(index);
        }
    }

    /// A datagram with `range` arrived. What of it is in `shed` could not be
    /// kept and is queued again; the rest the peer has.
    pub(crate) fn arrived(
        &mut self,
        range: Range<u64>,
        shed: &RangeSet,
        app: &mut impl Application,
        counts: &mut SentCounts,
    ) {
        if shed.is_empty() {
            let length = range.end - range.start;
            counts.redundant_bytes += length - self.settle(range, app, counts);
            return;
        }
        counts.redundant_bytes += self.settled.overlap(&range);
        for kept in shed.missing(&range) {
            self.settle(kept, app, counts);
        }
        for part in shed.iter() {
            let part = part.start.max(range.start)..part.end.min(range.end);
            for part in self.settled.missing(&part) {
                self.shed.insert(part);
            }
        }
    }

    /// The peer has `range`; returns how much of it that is news of.
    fn settle(&mut self, range: Range<u64>, app: &mut impl Application, counts: &mut SentCounts) -> u64 {
        for queue in [&mut self.lost, &mut self.shed, &mut self.tail] {
            queue.remove(&range);
        }
        let new = |part: Range<u64>| app.acknowledged(Offset(part.start), part.end - part.start);
        let news = self.settled.insert_with(range, new);
        counts.acknowledged_bytes += news;
        news
    }

    /// A datagram with `range` was lost, and no copy answers for it.
    pub(crate) fn lost(&mut self, range: Range<u64>, counts: &mut SentCounts) {
        counts.redundant_bytes += self.settled.overlap(&range);
        for part in self.settled.missing(&range) {
            self.lost.insert(part);
        }
    }

    /// A datagram with `range` should have been heard of: queue a copy.
    pub(crate) fn suspect(&mut self, range: Range<u64>) {
        for part in self.settled.missing(&range) {
            self.tail.insert(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Delivery, QueueState};
    use limosa_wire::frame::StreamId;
    use proptest::prelude::*;

    #[derive(Default)]
    struct Acknowledged(Vec<Range<u64>>);

    impl Application for Acknowledged {
        fn fill(&mut self, _: Offset, out: &mut [u8]) -> usize {
            out.len()
        }
        fn acknowledged(&mut self, offset: Offset, length: u64) {
            self.0.push(offset.0..offset.0 + length);
        }
        fn deliver(&mut self, _: Offset, _: &[u8]) -> Delivery {
            Delivery::Kept
        }
        fn queue(&self) -> QueueState {
            QueueState::default()
        }
        fn stream(&mut self, _: StreamId, _: &[u8]) {}
    }

    fn send(out: &mut Outgoing, most: u64, counts: &mut SentCounts) -> Option<Range<u64>> {
        for (passed_over, new) in [(0, true), (0, false), (1, true), (2, true), (9, true)] {
            assert_eq!(out.candidate(passed_over, new), out.candidates(new).nth(passed_over));
        }
        let next = out.candidate(0, true)?;
        let range = next.range.start..next.range.end.min(next.range.start + most);
        out.sent(next.cause, range.clone(), counts);
        Some(range)
    }

    proptest! {
        #[test]
        fn every_byte_is_acknowledged_once_whatever_happens_on_the_way(
            fates in proptest::collection::vec((0u8..4, 1u64..40), 20..200),
        ) {
            let (mut out, mut app, mut counts) = (Outgoing::default(), Acknowledged::default(), SentCounts::default());
            out.offer(0..300);
            out.offer(300..500);
            out.offer(1000..1500);
            let mut flying: VecDeque<Range<u64>> = VecDeque::new();
            let none = RangeSet::default();
            for (fate, size) in fates {
                flying.extend(send(&mut out, size, &mut counts));
                match fate {
                    0 => {}
                    1 => if let Some(range) = flying.pop_front() { out.lost(range, &mut counts) },
                    2 => if let Some(range) = flying.pop_back() { out.arrived(range, &none, &mut app, &mut counts) },
                    _ => if let Some(range) = flying.front().cloned() {
                        let mut shed = RangeSet::default();
                        shed.insert(range.start..range.start + (range.end - range.start) / 2);
                        flying.pop_front();
                        out.arrived(range, &shed, &mut app, &mut counts);
                    },
                }
            }
            flying.drain(..).for_each(|range| out.arrived(range, &none, &mut app, &mut counts));
            while let Some(range) = send(&mut out, 100, &mut counts) {
                out.arrived(range, &none, &mut app, &mut counts);
            }
            prop_assert_eq!((out.unsettled(), out.waiting()), (0, 0));
            let mut all: Vec<u64> = app.0.into_iter().flatten().collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..500).chain(1000..1500).collect::<Vec<_>>());
            prop_assert_eq!((counts.new_bytes, counts.acknowledged_bytes), (1000, 1000));
        }
    }

    #[test]
    fn withdrawn_bytes_are_neither_sent_nor_waited_for() {
        let (mut out, mut counts) = (Outgoing::default(), SentCounts::default());
        out.offer(0..100);
        let first = send(&mut out, 40, &mut counts).unwrap();
        out.withdraw(20..60);
        assert_eq!((out.fresh(), out.unsettled()), (40, 60));
        out.lost(first, &mut counts);
        assert_eq!(send(&mut out, 100, &mut counts), Some(0..20));
        assert_eq!(send(&mut out, 100, &mut counts), Some(60..100));
        assert_eq!(send(&mut out, 100, &mut counts), None);
    }
}
