//! The end of a transfer: what is still open when nothing is left to send.
//!
//! Sending all of it again at once would cost a whole bandwidth-delay
//! product. So what should have been heard of is sent again, and, within an
//! allowance, freely: all that is open when that is little; and before that
//! what is being repaired, for of the last round trip's losses each that is
//! lost again would cost a round trip more.

use std::time::Duration;

use crate::Time;
use crate::sent::{Record, SentRing};

/// Share of what was ever offered that may be repeated freely, inverted: enough
/// to repair four times what a tenth lost leaves of a transfer of 70 round trips.
const SHARE: u64 = 160;
/// Of that, what may be in flight at a time while it is spent: the fewer
/// there are left, the more copies each of them gets.
const AT_ONCE: u64 = 2;
/// Copies in flight of each byte, at most.
const COPIES: u64 = 4;
/// This part of the allowance, inverted, is for the very last that is open: what
/// is lost of that costs a round trip each time.
const LAST: u64 = 4;
/// Attempts to repair a byte that are repeated before the fate of the first is
/// known, at most.
const ATTEMPTS: u64 = 4;
/// Datagrams that may always be repeated freely, per refill.
const FEW: u64 = 3;
/// How often those few are granted.
const REFILL: Duration = Duration::from_millis(500);

/// What free repetition is measured by.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stake {
    /// Bytes ever offered; none where nothing is being lost.
    pub(crate) offered: u64,
    /// Bytes of them that the peer does not have.
    pub(crate) unsettled: u64,
    /// Share of datagrams that are being lost.
    pub(crate) loss: f64,
}

impl Stake {
    /// Bytes that will have to be repaired.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn doomed(self) -> u64 {
        (self.loss * self.unsettled as f64) as u64
    }
}

/// Chooses datagrams whose contents to repeat.
#[derive(Debug)]
pub(crate) struct Tail {
    /// All before it was repeated or settled.
    cursor: u64,
    /// No repair before it is repeated freely any more.
    repairs: u64,
    /// Whether the allowance would do for every repair, and half of them twice,
    /// when new bytes ended: if not, it does more for the very last.
    suffices: Option<bool>,
    /// How often the contents of the batch at hand were sent before.
    batch: Option<u8>,
    /// Bytes repeated freely.
    spent: u64,
    few_left: u64,
    refill_at: Time,
}

impl Tail {
    pub(crate) fn new(now: Time) -> Self {
        Self { cursor: 0, repairs: 0, suffices: None, batch: None, spent: 0, few_left: FEW, refill_at: now }
    }

    /// The first open datagram with contents that were not repeated yet.
    fn candidate(&self, ring: &SentRing) -> Option<u64> {
        let mut at = self.cursor;
        loop {
            let number = ring.first_open(at)?;
            let record = ring.get(number)?;
            if !record.repeated && !record.contents.is_empty() {
                return Some(number);
            }
            at = number + 1;
        }
    }

    /// New bytes leave in datagram `number`: what is repaired up to it is not
    /// what will be missing last.
    pub(crate) fn on_new(&mut self, number: u64) {
        self.repairs = number + 1;
        self.suffices = None;
    }

    /// A batch of repetitions begins: all of contents sent equally often.
    pub(crate) fn begin(&mut self) {
        self.batch = None;
    }

    /// How often what is being repeated was sent before, at least.
    pub(crate) fn attempt(&self) -> u8 {
        self.batch.unwrap_or_default()
    }

    /// The next datagram of the batch whose contents should be sent again now,
    /// if any: one sent more than `age` ago, or any while little is open compared
    /// with the bytes at stake, or one that is itself a repair.
    pub(crate) fn next(&mut self, now: Time, ring: &SentRing, age: Duration, stake: Stake) -> Option<u64> {
        let number = self.candidate(ring)?;
        self.cursor = number;
        let record = ring.get(number)?;
        if self.joins_batch(record)
            && (record.at + age <= now || self.is_free(now, ring, u64::from(record.size), stake))
        {
            self.cursor = number + 1;
            return self.take(number, record);
        }
        self.next_repair(ring, stake)
    }

    fn joins_batch(&self, record: &Record) -> bool {
        self.batch.is_none_or(|attempt| attempt == record.contents.attempt.saturating_add(1))
    }

    fn take(&mut self, number: u64, record: &Record) -> Option<u64> {
        self.batch = Some(record.contents.attempt.saturating_add(1));
        Some(number)
    }

    /// The first repair that may be repeated although nothing is known of it:
    /// what is left of the allowance is shared among all that has yet to be
    /// repaired.
    fn next_repair(&mut self, ring: &SentRing, stake: Stake) -> Option<u64> {
        let left = self.left(stake).saturating_sub(stake.offered / SHARE / LAST);
        let doomed = stake.doomed().max(1);
        let attempts = (left / doomed).min(ATTEMPTS);
        let suffices = *self.suffices.get_or_insert(left >= doomed + doomed / 2);
        if !suffices || attempts == 0 {
            return None;
        }
        loop {
            let number = ring.first_open(self.repairs.max(self.cursor))?;
            let record = ring.get(number)?;
            let size = u64::from(record.size);
            let repeats = !record.repeated && (1..=attempts).contains(&u64::from(record.contents.attempt));
            if repeats && (size > left || !self.joins_batch(record)) {
                return None;
            }
            self.repairs = number + 1;
            if repeats {
                self.spent += size;
                return self.take(number, record);
            }
        }
    }

    /// Bytes that may still be repeated freely.
    fn left(&self, stake: Stake) -> u64 {
        (stake.offered / SHARE).saturating_sub(self.spent)
    }

    fn is_free(&mut self, now: Time, ring: &SentRing, size: u64, stake: Stake) -> bool {
        if self.refill_at <= now {
            self.few_left = FEW;
            self.refill_at = now + REFILL;
        }
        if self.few_left > 0 && ring.open_count() <= FEW {
            self.few_left -= 1;
            return true;
        }
        let left = self.left(stake);
        if size <= left && ring.in_flight() <= (left / AT_ONCE).min(COPIES * stake.unsettled) {
            self.spent += size;
            return true;
        }
        false
    }

    /// When the fate of the first candidate should be known.
    pub(crate) fn deadline(&self, ring: &SentRing, age: Duration) -> Option<Time> {
        let record = ring.get(self.candidate(ring)?)?;
        Some(record.at + age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sent::Contents;
    use limosa_wire::PacketNumber;

    fn ring(count: u64) -> SentRing {
        let mut ring = SentRing::new(PacketNumber::default());
        (0..count).for_each(|_| push(&mut ring, 0));
        ring
    }

    /// Sends a datagram a millisecond after the one before.
    fn push(ring: &mut SentRing, attempt: u8) {
        let number = ring.next();
        let contents = Contents { offset: number * 1000, length: 1000, attempt, rare: None };
        let at = Time::from_micros(number * 1000);
        ring.push(Record { at, sent_bytes: 0, contents, size: 1000, repeated: false }, true);
    }

    fn repeated(tail: &mut Tail, ring: &SentRing, now: Time, offered: u64) -> usize {
        let stake = Stake { offered, unsettled: ring.in_flight(), loss: 0.1 };
        std::iter::from_fn(|| tail.next(now, ring, Duration::from_millis(100), stake)).count()
    }

    #[test]
    fn what_is_old_is_repeated_once() {
        let (mut tail, ring) = (Tail::new(Time::ZERO), ring(50));
        assert_eq!(repeated(&mut tail, &ring, Time::from_micros(110_000), 50_000), 11);
        assert_eq!(repeated(&mut tail, &ring, Time::from_micros(110_000), 50_000), 0);
        assert_eq!(tail.deadline(&ring, Duration::from_millis(100)), Some(Time::from_micros(111_000)));
    }

    #[test]
    fn little_is_repeated_at_once_within_the_allowance() {
        let now = Time::from_micros(50_000);
        assert_eq!(repeated(&mut Tail::new(Time::ZERO), &ring(40), now, 100_000_000), 40);
        assert_eq!(repeated(&mut Tail::new(Time::ZERO), &ring(40), now, 4_000_000), 0, "two percent is not little");
        assert_eq!(repeated(&mut Tail::new(Time::ZERO), &ring(3), now, 3_000), 3, "the last few always are");
    }

    /// Repeats what may be repeated freely, batch by batch; how often each number was.
    fn repaired(tail: &mut Tail, ring: &mut SentRing, offered: u64) -> Vec<(u64, u8)> {
        let stake = Stake { offered, unsettled: 1_000_000, loss: 0.01 };
        let mut all = Vec::new();
        loop {
            tail.begin();
            let age = Duration::from_secs(10);
            let batch: Vec<_> = std::iter::from_fn(|| {
                let number = tail.next(Time::ZERO, ring, age, stake)?;
                ring.mark_repeated(number);
                Some(number)
            })
            .collect();
            if batch.is_empty() {
                return all;
            }
            for number in batch {
                all.push((number, tail.attempt()));
                push(ring, tail.attempt());
            }
        }
    }

    #[test]
    fn repairs_are_repeated_while_much_else_is_open() {
        let (mut tail, mut ring) = (Tail::new(Time::ZERO), ring(1000));
        push(&mut ring, 1);
        tail.on_new(ring.next());
        push(&mut ring, 0);
        push(&mut ring, 1);
        push(&mut ring, 1);
        // The repair of before the last new bytes is left out, as are all firsts.
        let expected = [(1002, 2), (1003, 2), (1004, 3), (1005, 3), (1006, 4), (1007, 4), (1008, 5), (1009, 5)];
        assert_eq!(repaired(&mut tail, &mut ring, 1_000_000_000 / 4), expected);
    }

    #[test]
    fn what_is_left_is_shared_among_all_that_will_need_repair() {
        let repairs = |offered: u64| {
            let (mut tail, mut ring) = (Tail::new(Time::ZERO), ring(1000));
            tail.on_new(ring.next() - 1);
            push(&mut ring, 1);
            repaired(&mut tail, &mut ring, offered).len()
        };
        // A hundredth of a million bytes will have to be repaired.
        assert_eq!(
            [14_999, 15_000, 21_000, 32_000].map(|left| repairs(left * SHARE * LAST / (LAST - 1))),
            [0, 1, 2, 3]
        );
    }
}
