//! A line in virtual time between two ends that are counted: it delays, loses
//! each so many-th datagram, and allocates nothing once it is warm.

use std::collections::VecDeque;
use std::time::Duration;

use limosa_transport::Time;

/// One way.
pub(crate) const DELAY: Duration = Duration::from_millis(10);
/// Room for a datagram.
pub(crate) const DATAGRAM: usize = 1500;

/// A datagram under way.
#[derive(Debug)]
pub(crate) struct Flying {
    arrives: Time,
    length: usize,
    bytes: Box<[u8; DATAGRAM]>,
}

impl Flying {
    /// What was sent.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.length]
    }
}

/// One direction of the line.
#[derive(Debug, Default)]
pub(crate) struct Way {
    flying: VecDeque<Flying>,
    // Moved by their pointers, as a driver does.
    #[allow(clippy::vec_box)]
    spare: Vec<Box<[u8; DATAGRAM]>>,
    lost: u64,
    sent: u64,
}

impl Way {
    /// A direction in which each `lost`-th datagram is lost; none for 0.
    pub(crate) fn losing(lost: u64) -> Self {
        Self { lost, ..Self::default() }
    }

    /// Takes a datagram, unless it is one that is lost.
    pub(crate) fn send(&mut self, now: Time, datagram: &[u8]) {
        self.sent += 1;
        if self.lost > 0 && self.sent.is_multiple_of(self.lost) {
            return;
        }
        let mut bytes = self.spare.pop().unwrap_or_else(|| Box::new([0; DATAGRAM]));
        bytes[..datagram.len()].copy_from_slice(datagram);
        self.flying.push_back(Flying { arrives: now + DELAY, length: datagram.len(), bytes });
    }

    /// The next datagram that has arrived.
    pub(crate) fn arrived(&mut self, now: Time) -> Option<Flying> {
        self.flying.pop_front_if(|flying| flying.arrives <= now)
    }

    /// Takes the memory of a datagram back.
    pub(crate) fn take_back(&mut self, flying: Flying) {
        self.spare.push(flying.bytes);
    }

    /// When the next datagram arrives.
    pub(crate) fn next_arrival(&self) -> Option<Time> {
        self.flying.front().map(|flying| flying.arrives)
    }
}
