//! Spreads datagrams over time: short bursts at the pace that is allowed.

use std::time::Duration;

use limosa_wire::Rate;

use crate::Time;

/// Longest burst, in time at the present pace …
const BURST: Duration = Duration::from_micros(250);
/// … unless that is less than so many datagrams.
const DATAGRAMS: u32 = 2;
/// Longest stretch of missed time that one burst makes up for: a machine that
/// wakes its threads late must keep the pace, and no bottleneck should see more
/// of it than a queue that drains in so long.
const CATCH_UP: Duration = Duration::from_millis(1);
/// Lateness of the driver that is made up for at most, over several bursts.
const LATE: Duration = Duration::from_millis(5);
/// Debts longer than this follow the pace. Shorter ones, of a burst or two, are
/// paid in the time they were made for.
const LONG_DEBT: Duration = Duration::from_millis(5);
/// Longest that one datagram is paid for.
const LONGEST_DEBT: Duration = Duration::from_secs(10);

/// When the next burst may leave.
///
/// A burst begins when the one before has been paid for by time, and ends
/// when it is as long as a burst may be. By what the driver wakes up too late,
/// the next bursts are longer, within bounds; idle time is not made up for.
#[derive(Debug, Default)]
pub(crate) struct Pacer {
    /// All that was sent is paid for at this time, at this pace.
    paid: Time,
    pace: Rate,
    owed: Duration,
    /// Whether only the pace held the sender back last time.
    held: bool,
    in_burst: bool,
}

impl Pacer {
    /// Whether a datagram of `size` may leave now at `pace`.
    pub(crate) fn admits(&mut self, now: Time, pace: Rate, size: usize) -> bool {
        self.follow(now, pace);
        if self.in_burst {
            // A socket that blocked may have kept the burst waiting.
            self.paid = self.paid.max(now - CATCH_UP);
            let cost = pace.time_for(size as u64);
            let burst = BURST.max(cost * DATAGRAMS);
            self.in_burst = self.paid + cost <= now + burst;
            self.held = !self.in_burst;
            return self.in_burst;
        }
        if now < self.paid {
            self.held = true;
            return false;
        }
        if self.held {
            self.owed = (self.owed + now.since(self.paid)).min(LATE);
        }
        let caught_up = self.owed.min(CATCH_UP);
        self.owed -= caught_up;
        self.paid = now - caught_up;
        self.held = false;
        self.in_burst = true;
        true
    }

    /// A long debt is one of bytes: made at a crawl, it is soon paid at a high
    /// pace, and takes longer again when the pace falls.
    fn follow(&mut self, now: Time, pace: Rate) {
        if pace == self.pace {
            return;
        }
        let debt = self.paid.since(now);
        let (before, after) = (self.pace.bytes_per_second(), pace.bytes_per_second());
        self.pace = pace;
        if debt > LONG_DEBT && before > 0.0 && after > 0.0 {
            let seconds = debt.as_secs_f64() * before / after;
            self.paid = now + Duration::from_secs_f64(seconds.min(LONGEST_DEBT.as_secs_f64()));
        }
    }

    /// A datagram of `size` has left.
    pub(crate) fn sent(&mut self, now: Time, pace: Rate, size: usize) {
        self.follow(now, pace);
        let cost = pace.time_for(size as u64).min(LONGEST_DEBT);
        if !self.in_burst {
            self.paid = self.paid.max(now);
            self.in_burst = true;
        }
        self.paid = self.paid + cost;
    }

    /// There was nothing to send, or something else than the pace forbade it:
    /// credit does not pile up.
    pub(crate) fn idle(&mut self, now: Time) {
        self.in_burst = false;
        self.held = false;
        self.owed = Duration::ZERO;
        self.paid = self.paid.max(now);
    }

    /// When the next burst may begin, if the pace is what holds it back.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.held.then_some(self.paid)
    }

    /// Begins a new path or law: old debts are forgotten.
    pub(crate) fn reset(&mut self, now: Time) {
        *self = Self { paid: now, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(megabits: u64) -> Rate {
        Rate::from_bits_per_second(megabits * 1_000_000)
    }

    fn burst(pacer: &mut Pacer, now: Time, pace: Rate) -> u32 {
        let mut count = 0;
        while pacer.admits(now, pace, 1500) {
            pacer.sent(now, pace, 1500);
            count += 1;
        }
        count
    }

    #[test]
    fn a_burst_lasts_a_quarter_millisecond_or_two_datagrams() {
        assert_eq!(burst(&mut Pacer::default(), Time::ZERO, rate(1_000)), 20, "12 us each");
        assert_eq!(burst(&mut Pacer::default(), Time::ZERO, rate(10)), 2);
    }

    #[test]
    fn the_pace_is_kept_when_the_driver_wakes_late() {
        let (mut pacer, pace) = (Pacer::default(), rate(1_000));
        let mut now = Time::ZERO;
        let mut sent = 0;
        while now < Time::from_micros(100_000) {
            let count = burst(&mut pacer, now, pace);
            assert!(count <= 25, "burst of {count}");
            sent += count;
            now = pacer.deadline().unwrap() + Duration::from_micros(50);
        }
        assert!((8_250..8_450).contains(&sent), "{sent} of 8333");
    }

    #[test]
    fn the_pace_is_kept_when_the_driver_wakes_later_than_a_burst_lasts() {
        let (mut pacer, pace) = (Pacer::default(), rate(1_000));
        let mut now = Time::ZERO;
        let mut sent = 0;
        while now < Time::from_micros(100_000) {
            let count = burst(&mut pacer, now, pace);
            assert!(count <= 104, "burst of {count}: a millisecond and a quarter");
            sent += count;
            now = pacer.deadline().unwrap() + Duration::from_micros(700);
        }
        assert!((8_200..8_450).contains(&sent), "{sent} of 8333");
    }

    #[test]
    fn what_left_at_a_crawl_is_paid_for_at_the_pace_that_follows() {
        let mut pacer = Pacer::default();
        assert_eq!(burst(&mut pacer, Time::ZERO, Rate::from_bits_per_second(120_000)), 2);
        let later = Time::from_micros(10_000);
        assert_eq!(burst(&mut pacer, later, Rate::from_bits_per_second(120_000)), 0, "200 ms are to be paid");
        assert_eq!(burst(&mut pacer, later, rate(120)), 0);
        assert_eq!(pacer.deadline(), Some(Time::from_micros(10_190)), "190 ms at the thousandth of the pace");
    }

    #[test]
    fn a_pace_that_goes_up_and_down_gains_nothing() {
        let (slow, half) = (Rate::from_bits_per_second(1_000_000), Rate::from_bits_per_second(500_000));
        let mut pacer = Pacer::default();
        assert_eq!(burst(&mut pacer, Time::ZERO, slow), 2);
        for pace in [half, slow, half, slow] {
            assert_eq!(burst(&mut pacer, Time::ZERO, pace), 0);
        }
        assert_eq!(pacer.deadline(), Some(Time::from_micros(24_000)));
        let mut pacer = Pacer::default();
        burst(&mut pacer, Time::ZERO, rate(10));
        let due = pacer.paid;
        burst(&mut pacer, Time::ZERO, rate(20));
        assert_eq!(pacer.paid, due, "a short debt stays as it is");
    }

    #[test]
    fn idle_time_is_not_made_up_for() {
        let (mut pacer, pace) = (Pacer::default(), rate(1_000));
        burst(&mut pacer, Time::ZERO, pace);
        pacer.idle(Time::from_micros(10_000));
        assert!(burst(&mut pacer, Time::from_micros(20_000), pace) <= 21);
        assert_eq!(burst(&mut pacer, Time::from_micros(20_100), pace), 0);
    }
}
