//! Datagrams sent and not yet settled, by number.
//!
//! A record is small and lives in a ring; whether its datagram is *open* (on
//! the way) or *lost* (declared so, and may still turn up) is a bit beside
//! it, so that a report about a hundred thousand datagrams is compared with
//! them 64 at a time.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use limosa_wire::PacketNumber;
use limosa_wire::frame::StreamId;

use crate::Time;
use crate::bits::{BitWindow, words};
use crate::rate::Sent;

/// Bytes of a stream that a datagram carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamPiece {
    pub(crate) stream: StreamId,
    pub(crate) offset: u64,
    pub(crate) length: u16,
}

/// Contents that few datagrams have.
#[derive(Debug, Default)]
pub(crate) struct Rare {
    /// Ranges of the linear space beside the first.
    pub(crate) ranges: Vec<(u64, u16)>,
    pub(crate) pieces: Vec<StreamPiece>,
}

impl Rare {
    /// Its ranges of the linear space.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.ranges.iter().map(|&(offset, length)| offset..offset + u64::from(length))
    }
}

/// What a datagram carries that must arrive in the end.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// First range of the linear space; empty if there is none.
    pub(crate) offset: u64,
    pub(crate) length: u16,
    /// Its part of the linear space was sent so often before, at least.
    pub(crate) attempt: u8,
    pub(crate) rare: Option<Box<Rare>>,
}

impl Contents {
    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0 && self.rare.is_none()
    }

    /// Its first range of the linear space, or an empty one.
    pub(crate) fn first(&self) -> Range<u64> {
        self.offset..self.offset + u64::from(self.length)
    }

    /// Its ranges of the linear space.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        let first = (self.length > 0).then(|| self.first());
        first.into_iter().chain(self.rare.iter().flat_map(|rare| rare.ranges()))
    }

    /// Its pieces of streams.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = StreamPiece> + '_ {
        self.rare.iter().flat_map(|rare| rare.pieces.iter().copied())
    }
}

/// One datagram sent.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) at: Time,
    /// Bytes sent in this direction up to and including it.
    pub(crate) sent_bytes: u64,
    pub(crate) contents: Contents,
    /// Bytes as an IP packet.
    pub(crate) size: u16,
    /// Its contents were sent again on suspicion: should it be lost, that
    /// copy answers for them.
    pub(crate) repeated: bool,
}

const _: () = assert!(size_of::<Record>() <= 48, "one record per datagram in flight: keep it small");

impl Record {
    /// What rate control keeps of it.
    pub(crate) fn summary(&self, number: u64) -> Sent {
        Sent {
            number: PacketNumber::new(number).unwrap_or(PacketNumber::MAX),
            at: self.at,
            sent_bytes: self.sent_bytes,
            size: u32::from(self.size),
        }
    }
}

/// The unsettled datagrams of one direction.
#[derive(Debug)]
pub(crate) struct SentRing {
    records: VecDeque<Record>,
    /// Number of the first record.
    base: u64,
    open: BitWindow,
    lost: BitWindow,
    /// Datagrams declared lost, with the time of that.
    lately_lost: VecDeque<(u64, Time)>,
    in_flight: u64,
    open_count: u64,
    /// Emptied boxes for reuse: what is kept is the allocation.
    #[allow(clippy::vec_box)]
    pool: Vec<Box<Rare>>,
}

/// Most boxes kept for reuse.
const POOL: usize = 1024;
/// Bits at first.
const WINDOW: u64 = 4096;

impl SentRing {
    pub(crate) fn new(first: PacketNumber) -> Self {
        Self {
            records: VecDeque::new(),
            base: first.get(),
            open: BitWindow::new(WINDOW),
            lost: BitWindow::new(WINDOW),
            lately_lost: VecDeque::new(),
            in_flight: 0,
            open_count: 0,
            pool: Vec::new(),
        }
    }

    /// The number that the next datagram gets.
    pub(crate) fn next(&self) -> u64 {
        self.base + self.records.len() as u64
    }

    /// The lowest number whose fate still matters.
    pub(crate) fn floor(&self) -> u64 {
        self.base
    }

    /// Numbers from the first unsettled one to the last.
    pub(crate) fn span(&self) -> u64 {
        self.records.len() as u64
    }

    /// Bytes of open datagrams.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// Open datagrams.
    pub(crate) fn open_count(&self) -> u64 {
        self.open_count
    }

    pub(crate) fn is_open(&self, number: u64) -> bool {
        (self.base..self.next()).contains(&number) && self.open.get(number)
    }

    /// The record of a number that is not settled or followed by one that is
    /// not.
    pub(crate) fn get(&self, number: u64) -> Option<&Record> {
        let index = number.checked_sub(self.base)?;
        self.records.get(usize::try_from(index).ok()?)
    }

    /// The first open datagram from `from` on.
    pub(crate) fn first_open(&self, from: u64) -> Option<u64> {
        self.open.first_set(from.max(self.base)..self.next())
    }

    /// An empty box for contents.
    pub(crate) fn rare(&mut self) -> Box<Rare> {
        self.pool.pop().unwrap_or_default()
    }

    /// Notes a datagram that has left. Only one whose arrival matters is open.
    pub(crate) fn push(&mut self, record: Record, open: bool) {
        let number = self.next();
        let bits = self.records.len() as u64 + 1;
        self.open.grow(bits.next_power_of_two(), self.base..number);
        self.lost.grow(bits.next_power_of_two(), self.base..number);
        self.lost.clear(number);
        if open {
            self.open.set(number);
            self.in_flight += u64::from(record.size);
            self.open_count += 1;
        } else {
            self.open.clear(number);
        }
        self.records.push_back(record);
        if !open {
            self.drop_settled();
        }
    }

    /// Appends to `found` the numbers of an arrived run that had not been
    /// known to have arrived.
    pub(crate) fn newly_arrived(&self, run: Range<u64>, found: &mut Vec<u64>) {
        for (word, mask) in words(self.clip(run)) {
            push_bits(word, (self.open.word(word) | self.lost.word(word)) & mask, found);
        }
    }

    /// Appends to `found` the open numbers of a missing run.
    pub(crate) fn open_in(&self, run: Range<u64>, found: &mut Vec<u64>) {
        for (word, mask) in words(self.clip(run)) {
            push_bits(word, self.open.word(word) & mask, found);
        }
    }

    fn clip(&self, run: Range<u64>) -> Range<u64> {
        run.start.max(self.base)..run.end.min(self.next())
    }

    /// Settles a datagram that arrived; returns what it carried and whether it
    /// had been declared lost.
    pub(crate) fn arrived(&mut self, number: u64) -> Option<(Contents, bool)> {
        let was_open = self.is_open(number);
        if !was_open && !self.is_lost(number) {
            return None;
        }
        self.close(number);
        self.lost.clear(number);
        let contents = std::mem::take(&mut self.record(number)?.contents);
        Some((contents, !was_open))
    }

    fn is_lost(&self, number: u64) -> bool {
        (self.base..self.next()).contains(&number) && self.lost.get(number)
    }

    /// Declares an open datagram lost; its record stays for a while.
    pub(crate) fn declare_lost(&mut self, number: u64, now: Time) -> Option<&Record> {
        if !self.is_open(number) {
            return None;
        }
        self.close(number);
        self.lost.set(number);
        self.lately_lost.push_back((number, now));
        self.get(number)
    }

    /// Notes that the contents of a datagram were sent again on suspicion.
    pub(crate) fn mark_repeated(&mut self, number: u64) {
        if let Some(record) = self.record(number) {
            record.repeated = true;
        }
    }

    fn close(&mut self, number: u64) {
        if self.is_open(number) {
            let size = self.get(number).map_or(0, |record| u64::from(record.size));
            self.open.clear(number);
            self.in_flight -= size;
            self.open_count -= 1;
        }
    }

    fn record(&mut self, number: u64) -> Option<&mut Record> {
        let index = usize::try_from(number.checked_sub(self.base)?).ok()?;
        self.records.get_mut(index)
    }

    /// Gives back contents that were settled, for their memory.
    pub(crate) fn recycle(&mut self, contents: Contents) {
        if let Some(mut rare) = contents.rare
            && self.pool.len() < POOL
        {
            rare.ranges.clear();
            rare.pieces.clear();
            self.pool.push(rare);
        }
    }

    /// Forgets datagrams declared lost more than `age` ago, and whatever is
    /// settled at the front.
    pub(crate) fn expire(&mut self, now: Time, age: Duration) {
        while let Some(&(number, at)) = self.lately_lost.front() {
            if now.since(at) < age {
                break;
            }
            self.lately_lost.pop_front();
            if self.is_lost(number) {
                self.lost.clear(number);
                if let Some(record) = self.record(number) {
                    let contents = std::mem::take(&mut record.contents);
                    self.recycle(contents);
                }
            }
        }
        self.drop_settled();
    }

    fn drop_settled(&mut self) {
        while !self.records.is_empty() && !self.open.get(self.base) && !self.lost.get(self.base) {
            self.records.pop_front();
            self.base += 1;
        }
    }
}

fn push_bits(word: u64, mut bits: u64, found: &mut Vec<u64>) {
    while bits != 0 {
        found.push(word * 64 + u64::from(bits.trailing_zeros()));
        bits &= bits - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn record(size: u16) -> Record {
        Record { at: Time::ZERO, sent_bytes: 0, contents: Contents::default(), size, repeated: false }
    }

    proptest! {
        #[test]
        fn in_flight_is_the_sum_of_what_is_open(
            first in 0u64..1000,
            steps in proptest::collection::vec((0u8..5, 0u64..100, 1u16..1500), 1..300),
        ) {
            let mut ring = SentRing::new(PacketNumber::new(first).unwrap());
            let mut open = BTreeMap::new();
            let mut lost = BTreeMap::new();
            let mut now = Time::ZERO;
            for (step, back, size) in steps {
                now = now + Duration::from_millis(1);
                let number = ring.next().saturating_sub(back);
                match step {
                    0 | 1 => { open.insert(ring.next(), size); ring.push(record(size), true); }
                    2 => ring.push(record(size), false),
                    3 => {
                        let arrived = ring.arrived(number).map(|(_, was_lost)| was_lost);
                        let expected = open.remove(&number).map(|_| false).or(lost.remove(&number).map(|_| true));
                        prop_assert_eq!(arrived, expected);
                    }
                    _ => {
                        let declared = ring.declare_lost(number, now).is_some();
                        let size = open.remove(&number);
                        prop_assert_eq!(declared, size.is_some());
                        if let Some(size) = size { lost.insert(number, (size, now)); }
                    }
                }
                ring.expire(now, Duration::from_millis(20));
                lost.retain(|_, (_, at)| now.since(*at) < Duration::from_millis(20));
                prop_assert_eq!(ring.in_flight(), open.values().map(|size| u64::from(*size)).sum::<u64>());
                prop_assert_eq!(ring.open_count(), open.len() as u64);
                let lowest = open.keys().chain(lost.keys()).min().copied().unwrap_or(ring.next());
                prop_assert_eq!(ring.floor(), lowest);
                let mut found = Vec::new();
                ring.open_in(0..ring.next(), &mut found);
                prop_assert_eq!(&found, &open.keys().copied().collect::<Vec<_>>());
            }
        }
    }
}
