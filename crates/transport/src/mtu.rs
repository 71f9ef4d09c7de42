//! The largest packet the path carries: what passed is used, larger sizes are
//! probed, and when only small packets still arrive the size falls back.

use std::time::Duration;

use limosa_wire::datagram::MIN_PACKET;

use crate::Time;

/// IP packet sizes that are tried: every path, tunnels, PPPoE and WireGuard,
/// Ethernet, jumbo frames.
pub(crate) const SIZES: [usize; 5] = [MIN_PACKET, 1_400, 1_420, 1_500, 9_000];
/// Probes of one size before it is given up.
const TRIES: u8 = 3;
/// Full-size packets lost in a row that make the size suspect …
const SUSPECT: u32 = 16;
/// … and smaller ones arriving meanwhile that settle it.
const PROOF: u32 = 2;
/// When sizes that did not pass are tried again.
const RETRY: Duration = Duration::from_secs(600);

/// Packet size of one path.
#[derive(Debug)]
pub(crate) struct Mtu {
    current: usize,
    largest: usize,
    tries: [u8; SIZES.len()],
    next_probe: Time,
    lost_in_a_row: u32,
    smaller_arrived: u32,
}

impl Mtu {
    pub(crate) fn new(now: Time, largest: usize) -> Self {
        Self {
            current: MIN_PACKET,
            largest,
            tries: [0; SIZES.len()],
            next_probe: now,
            lost_in_a_row: 0,
            smaller_arrived: 0,
        }
    }

    /// The size in use, as an IP packet.
    pub(crate) fn current(&self) -> usize {
        self.current
    }

    /// The sizes to open with, largest first: the first that arrives is the
    /// largest that passes.
    pub(crate) fn opening_sizes(&self) -> impl Iterator<Item = usize> + use<> {
        let largest = self.largest;
        SIZES.into_iter().rev().filter(move |size| *size <= largest)
    }

    fn wanted(&self, index: usize) -> bool {
        let size = SIZES[index];
        size > self.current && size <= self.largest && self.tries[index] < TRIES
    }

    /// The next size to probe, if one is due; called until there is none.
    pub(crate) fn next_probe(&mut self, now: Time, rtt: Duration) -> Option<usize> {
        if now < self.next_probe {
            return None;
        }
        let fewest = (0..SIZES.len()).filter(|i| self.wanted(*i)).map(|i| self.tries[i]).min();
        let Some(fewest) = fewest else {
            self.tries = [0; SIZES.len()];
            self.next_probe = now + RETRY;
            return None;
        };
        let index = (0..SIZES.len()).rev().find(|i| self.wanted(*i) && self.tries[*i] == fewest)?;
        self.tries[index] += 1;
        let more = (0..SIZES.len()).any(|i| self.wanted(i) && self.tries[i] == fewest);
        if !more {
            self.next_probe = now + (2 * rtt).max(Duration::from_millis(100));
        }
        Some(SIZES[index])
    }

    /// When a probe is due.
    pub(crate) fn deadline(&self) -> Time {
        self.next_probe
    }

    /// A packet of `size` arrived; returns whether the size in use changed.
    pub(crate) fn on_arrived(&mut self, now: Time, size: usize) -> bool {
        if size >= self.current {
            self.lost_in_a_row = 0;
            self.smaller_arrived = 0;
            let raised = size > self.current;
            self.current = size;
            return raised;
        }
        if self.lost_in_a_row >= SUSPECT {
            self.smaller_arrived += 1;
        }
        let fall = self.smaller_arrived >= PROOF && self.current > MIN_PACKET;
        if fall {
            *self = Self::new(now, self.largest);
        }
        fall
    }

    /// A packet of `size` was lost.
    pub(crate) fn on_lost(&mut self, size: usize) {
        if size == self.current {
            self.lost_in_a_row += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(10);

    fn probes(mtu: &mut Mtu, now: Time) -> Vec<usize> {
        std::iter::from_fn(|| mtu.next_probe(now, RTT)).collect()
    }

    #[test]
    fn probes_every_larger_size_at_once_and_gives_up_after_three_rounds() {
        let mut mtu = Mtu::new(Time::ZERO, 1_500);
        assert_eq!(probes(&mut mtu, Time::ZERO), [1_500, 1_420, 1_400]);
        assert!(mtu.on_arrived(Time::ZERO, 1_420));
        assert_eq!(mtu.current(), 1_420);
        for round in 1..3 {
            assert_eq!(probes(&mut mtu, Time::from_micros(round * 100_000)), [1_500]);
        }
        assert!(probes(&mut mtu, Time::from_micros(300_000)).is_empty());
        assert_eq!(probes(&mut mtu, Time::from_micros(700_000_000)), [1_500]);
    }

    #[test]
    fn falls_back_only_when_full_size_alone_stops_arriving() {
        let mut mtu = Mtu::new(Time::ZERO, 1_500);
        mtu.on_arrived(Time::ZERO, 1_500);
        for _ in 0..40 {
            mtu.on_lost(1_500);
        }
        assert!(!mtu.on_arrived(Time::ZERO, 1_500), "loss alone says nothing");
        for _ in 0..16 {
            mtu.on_lost(1_500);
        }
        assert!(!mtu.on_arrived(Time::ZERO, 60));
        assert!(mtu.on_arrived(Time::ZERO, 60));
        assert_eq!(mtu.current(), 1_280);
        assert_eq!(probes(&mut mtu, Time::ZERO), [1_500, 1_420, 1_400], "and looks for what passes now");
    }
}
