//! The receiving side of a TCP model.

use std::collections::VecDeque;
use std::time::Duration;

use limosa_transport::Time;

use super::{Ack, Echo, Segment};
use crate::datagram::Datagram;
use crate::network::{Address, Endpoint, Transmit};

/// A gap is taken for loss once this many later segments have arrived.
const DUPLICATE_THRESHOLD: u64 = 3;
/// Every second segment is acknowledged at once, a single one after this.
const DELAYED_ACK: Duration = Duration::from_millis(40);
/// The first segments are acknowledged one by one.
const QUICK_ACKS: u64 = 64;

/// Counts what arrives and acknowledges every second segment.
#[derive(Debug, Default)]
pub struct Receiver {
    next: u64,
    /// Gaps not yet taken for loss: first number and length.
    gaps: VecDeque<(u64, u64)>,
    delivered: u64,
    lost: u64,
    last_lost: u64,
    unacknowledged: u32,
    echo: Option<Echo>,
    ack_by: Option<Time>,
    ack_now: bool,
}

impl Receiver {
    /// Segments that arrived, each counted once.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    fn on_data(&mut self, now: Time, number: u64, echo: Echo) {
        if number >= self.next {
            if number > self.next {
                self.gaps.push_back((self.next, number - self.next));
            }
            self.next = number + 1;
        } else if !self.fill_gap(number) {
            return; // a duplicate, or long taken for lost
        }
        self.delivered += 1;
        self.unacknowledged += 1;
        self.echo = Some(echo);
        let lost = self.declare_losses();
        self.ack_now |= lost || self.unacknowledged >= 2 || self.delivered <= QUICK_ACKS;
        if self.ack_by.is_none() {
            self.ack_by = Some(now + DELAYED_ACK);
        }
    }

    fn fill_gap(&mut self, number: u64) -> bool {
        let found = self.gaps.iter().position(|&(first, length)| (first..first + length).contains(&number));
        let Some(index) = found else { return false };
        let (first, length) = self.gaps[index];
        let after = (number + 1, first + length - number - 1);
        self.gaps[index].1 = number - first;
        if after.1 > 0 {
            self.gaps.insert(index + 1, after);
        }
        if self.gaps[index].1 == 0 {
            self.gaps.remove(index);
        }
        true
    }

    fn declare_losses(&mut self) -> bool {
        let before = self.lost;
        while let Some(&(first, length)) = self.gaps.front() {
            if self.next < first + length + DUPLICATE_THRESHOLD {
                break;
            }
            self.lost += length;
            self.last_lost = first + length - 1;
            self.gaps.pop_front();
        }
        self.lost > before
    }
}

impl Endpoint for Receiver {
    type Datagram = Datagram;

    fn handle(&mut self, now: Time, _: Address, datagram: Datagram) {
        if let Datagram::Tcp(Segment::Data { number, echo }) = datagram {
            self.on_data(now, number, echo);
        }
    }

    fn on_timeout(&mut self, now: Time) {
        self.ack_now |= self.ack_by.is_some_and(|by| by <= now);
    }

    fn transmit(&mut self, _: Time) -> Option<Transmit<Datagram>> {
        if !std::mem::take(&mut self.ack_now) {
            return None;
        }
        self.unacknowledged = 0;
        self.ack_by = None;
        let ack = Ack {
            largest: self.next - 1,
            delivered: self.delivered,
            lost: self.lost,
            last_lost: self.last_lost,
            echo: self.echo?,
        };
        Some(Transmit::to_peer(Datagram::Tcp(Segment::Ack(ack))))
    }

    fn next_timeout(&self) -> Option<Time> {
        self.ack_by
    }
}
