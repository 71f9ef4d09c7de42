//! What happened on a link.

use crate::histogram::Histogram;

/// Packets and their bytes on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Packets.
    pub packets: u64,
    /// Bytes, IP headers included.
    pub bytes: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, length: u32) {
        self.packets += 1;
        self.bytes += u64::from(length);
    }

    /// What was added since `earlier`, a former state of this one.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self { packets: self.packets - earlier.packets, bytes: self.bytes - earlier.bytes }
    }
}

/// Everything a link counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Put on the link.
    pub offered: Tally,
    /// Handed out at its far end, duplicates included.
    pub delivered: Tally,
    /// Dropped because the queue was full.
    pub queue_full: Tally,
    /// Dropped by what keeps the queue short.
    pub managed: Tally,
    /// Marked by it instead.
    pub marked: Tally,
    /// Lost at random.
    pub lost: Tally,
    /// Lost in a blackout.
    pub blackout: Tally,
    /// Dropped because they were longer than the MTU.
    pub too_long: Tally,
    /// Damaged; those without bytes to damage were dropped.
    pub corrupted: Tally,
    /// Delivered once more.
    pub duplicated: Tally,
    /// Time each transmitted packet had waited in the queue.
    pub queueing: Histogram,
}
