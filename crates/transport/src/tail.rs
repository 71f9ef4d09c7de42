//! The end of a transfer: what is still open when nothing is left to send.
//!
//! Sending all of it again at once would cost a whole bandwidth-delay
//! product. So what should have been heard of is sent again, and only when
//! little is open, all of it, freely, within an allowance.

use std::time::Duration;

use crate::Time;
use crate::sent::SentRing;

/// Share of what was ever offered that may be repeated freely.
const SHARE: u64 = 200;
/// Of that, what may be in flight at a time while it is spent: the fewer
/// there are left, the more copies each of them gets.
const AT_ONCE: u64 = 2;
/// Copies in flight of each byte, at most.
const COPIES: u64 = 4;
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
}

/// Chooses datagrams whose contents to repeat.
#[derive(Debug)]
pub(crate) struct Tail {
    /// All before it was repeated or settled.
    cursor: u64,
    /// Bytes repeated freely.
    spent: u64,
    few_left: u64,
    refill_at: Time,
}

impl Tail {
    pub(crate) fn new(now: Time) -> Self {
        Self { cursor: 0, spent: 0, few_left: FEW, refill_at: now }
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

    /// The next datagram whose contents should be sent again now, if any:
    /// one sent more than `age` ago, or any while little is open compared with
    /// the bytes at stake.
    pub(crate) fn next(&mut self, now: Time, ring: &SentRing, age: Duration, stake: Stake) -> Option<u64> {
        let number = self.candidate(ring)?;
        self.cursor = number;
        let record = ring.get(number)?;
        let due = record.at + age <= now || self.is_free(now, ring, u64::from(record.size), stake);
        due.then(|| {
            self.cursor = number + 1;
            number
        })
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
        let left = (stake.offered / SHARE).saturating_sub(self.spent);
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
    use crate::sent::{Contents, Record};
    use limosa_wire::PacketNumber;

    fn ring(count: u64) -> SentRing {
        let mut ring = SentRing::new(PacketNumber::default());
        for number in 0..count {
            let contents = Contents { offset: number * 1000, length: 1000, rare: None };
            let at = Time::from_micros(number * 1000);
            ring.push(Record { at, sent_bytes: 0, contents, size: 1000, repeated: false }, true);
        }
        ring
    }

    fn repeated(tail: &mut Tail, ring: &SentRing, now: Time, offered: u64) -> usize {
        let stake = Stake { offered, unsettled: ring.in_flight() };
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
    fn little_is_repeated_at_once_within_half_a_percent() {
        let now = Time::from_micros(50_000);
        assert_eq!(repeated(&mut Tail::new(Time::ZERO), &ring(40), now, 100_000_000), 40);
        assert_eq!(repeated(&mut Tail::new(Time::ZERO), &ring(40), now, 4_000_000), 0, "two percent is not little");
        assert_eq!(repeated(&mut Tail::new(Time::ZERO), &ring(3), now, 3_000), 3, "the last few always are");
    }
}
