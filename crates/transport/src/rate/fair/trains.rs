//! Packet trains: a few datagrams sent back to back arrive spread out by the
//! slowest link, and that spread hints at its rate.
//!
//! Token buckets and batching network cards make a hint far too high, jitter
//! makes it scatter; so it only ever caps the start-up and serves as a
//! reference for shares, and it is not believed while the trains disagree.

use std::collections::VecDeque;

use limosa_wire::PacketNumber;

use crate::rate::{PathReport, Stamp};

/// Hints that are kept.
const KEPT: usize = 9;
/// Hints needed before they are believed.
const NEEDED: usize = 3;
/// Largest ratio of the quartiles at which they are believed.
const AGREEMENT: f64 = 1.5;
/// Trains on their way, at most.
const PENDING: usize = 16;

#[derive(Clone, Copy, Debug)]
struct Train {
    first: PacketNumber,
    last: PacketNumber,
    head: Option<Stamp>,
}

/// Trains on their way and what the last ones showed.
#[derive(Clone, Debug, Default)]
pub(super) struct Trains {
    pending: VecDeque<Train>,
    rates: VecDeque<f64>,
}

impl Trains {
    pub(super) fn on_sent(&mut self, first: PacketNumber, last: PacketNumber) {
        if last <= first {
            return;
        }
        if self.pending.len() >= PENDING {
            self.pending.pop_front();
        }
        self.pending.push_back(Train { first, last, head: None });
    }

    pub(super) fn on_report(&mut self, report: &PathReport<'_>) {
        for stamp in report.stamps {
            self.on_stamp(stamp);
        }
        let newest = report.largest.sent.number;
        let gone = |t: &Train| t.last <= newest;
        while self.pending.front().is_some_and(gone) {
            self.pending.pop_front();
        }
    }

    fn on_stamp(&mut self, stamp: &Stamp) {
        let number = stamp.sent.number;
        for train in &mut self.pending {
            if train.first == number {
                train.head = Some(*stamp);
            }
            let ends = train.last == number;
            let Some(head) = train.head.filter(|_| ends) else {
                continue;
            };
            if let Some(rate) = dispersion(&head, stamp) {
                if self.rates.len() >= KEPT {
                    self.rates.pop_front();
                }
                self.rates.push_back(rate);
            }
        }
    }

    /// Rate of the slowest link in bytes per second, if the trains agree.
    pub(super) fn hint(&self) -> Option<f64> {
        if self.rates.len() < NEEDED {
            return None;
        }
        let mut sorted: Vec<f64> = self.rates.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let at = |share: usize| sorted.get(sorted.len() * share / 4).copied();
        let (low, middle, high) = (at(1)?, at(2)?, at(3)?);
        (high <= AGREEMENT * low).then_some(middle)
    }
}

/// Bytes over time between the first and the last of a train.
#[allow(clippy::cast_precision_loss)]
fn dispersion(first: &Stamp, last: &Stamp) -> Option<f64> {
    let micros = last.received_at.0.checked_sub(first.received_at.0)?;
    let bytes = last.sent.sent_bytes.checked_sub(first.sent.sent_bytes)?;
    (micros > 0 && bytes > 0).then(|| bytes as f64 / (micros as f64 * 1e-6))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Time;
    use crate::rate::Sent;
    use limosa_wire::PeerTime;
    use std::time::Duration;

    fn stamp(number: u64, received: u64) -> Stamp {
        let number = PacketNumber::new(number).unwrap_or_default();
        let sent = Sent { number, at: Time::ZERO, sent_bytes: (number.get() + 1) * 1500, size: 1500 };
        Stamp { sent, received_at: PeerTime(received) }
    }

    fn arrive(trains: &mut Trains, first: u64, received: u64, micros: u64) {
        let stamps = [stamp(first, received), stamp(first + 15, received + micros)];
        trains.on_sent(stamps[0].sent.number, stamps[1].sent.number);
        trains.on_report(&PathReport {
            now: Time::ZERO,
            largest: stamps[1],
            delivered_packets: 0,
            delivered_bytes: 0,
            stamps: &stamps,
            congestion_marks: 0,
            in_flight: 0,
            interval: Duration::from_millis(5),
            held: Duration::ZERO,
        });
    }

    #[test]
    fn trains_that_agree_give_the_rate_of_the_line() {
        let mut trains = Trains::default();
        for i in 0..3 {
            assert_eq!(trains.hint(), None);
            arrive(&mut trains, i * 100, i * 10_000, 180);
        }
        assert!((trains.hint().unwrap_or(0.0) - 125e6).abs() < 1.0);
    }

    #[test]
    fn trains_that_scatter_or_arrive_at_once_give_none() {
        let mut trains = Trains::default();
        for (i, micros) in [50, 400, 100, 900, 0, 0].into_iter().enumerate() {
            arrive(&mut trains, i as u64 * 100, i as u64 * 10_000, micros);
        }
        assert_eq!(trains.hint(), None);
    }
}
