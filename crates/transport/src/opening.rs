//! The client's first words: probes of several sizes until something answers.

use std::time::Duration;

use crate::Time;

/// Shortest distance of two volleys.
const AGAIN: Duration = Duration::from_millis(50);
/// No answer for so long means that UDP is blocked.
const BLOCKED: Duration = Duration::from_secs(5);

/// Volleys of probes.
#[derive(Debug)]
pub(crate) struct Opening {
    started: Time,
    next_volley: Time,
    /// Sizes of the present volley still to be sent.
    sizes: Vec<usize>,
    told: bool,
}

impl Opening {
    pub(crate) fn new(now: Time) -> Self {
        Self { started: now, next_volley: now, sizes: Vec::new(), told: false }
    }

    /// The size of the next probe to send now, as an IP packet; `sizes` are
    /// those of a volley.
    pub(crate) fn poll(&mut self, now: Time, rtt: Duration, sizes: impl Iterator<Item = usize>) -> Option<usize> {
        if self.sizes.is_empty() && self.next_volley <= now {
            self.next_volley = now + AGAIN.max(rtt / 2);
            self.sizes = sizes.collect();
            self.sizes.reverse();
        }
        self.sizes.pop()
    }

    /// Whether it is time to say that UDP is blocked; true once.
    pub(crate) fn is_blocked(&mut self, now: Time) -> bool {
        let blocked = !self.told && now.since(self.started) >= BLOCKED;
        self.told |= blocked;
        blocked
    }

    /// When something is to be done.
    pub(crate) fn deadline(&self) -> Time {
        if self.told { self.next_volley } else { self.next_volley.min(self.started + BLOCKED) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volley_every_half_round_trip_and_a_word_after_five_seconds() {
        let mut opening = Opening::new(Time::ZERO);
        let rtt = Duration::from_millis(300);
        let mut at = Time::ZERO;
        let poll = |opening: &mut Opening, at| opening.poll(at, rtt, [9_000, 1_280].into_iter());
        for _ in 0..3 {
            assert_eq!(poll(&mut opening, at), Some(9_000));
            assert_eq!(poll(&mut opening, at), Some(1_280));
            assert_eq!(poll(&mut opening, at), None);
            at = at + Duration::from_millis(150);
        }
        assert!(!opening.is_blocked(Time::from_micros(4_999_999)));
        assert!(opening.is_blocked(Time::from_micros(5_000_000)));
        assert!(!opening.is_blocked(Time::from_micros(6_000_000)), "said once");
    }
}
