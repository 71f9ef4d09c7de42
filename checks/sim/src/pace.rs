//! A paced sender that drives a rate-control law, and the receiver that
//! reports to it: the transport's numbering, reports and pacing without its
//! frames, streams and keys.
//!
//! It exists so that a law can be tuned and guarded against regressions by
//! itself, at several million packets per second. It sends new packets for
//! ever; a lost one costs line time as its retransmission would.

mod digest;
mod receiver;
mod sender;

use std::time::Duration;

use limosa_wire::{PeerTime, Rate};

pub use receiver::{Clock, Receiver};
pub use sender::{Sender, SenderSettings};

/// Bytes on the wire of a report without its lists.
const REPORT_BASE: u32 = 28 + 60;
/// Bytes that one gap or one stamp takes in a report, about.
const REPORT_ITEM: u32 = 2;
/// Gaps that one report can list; more are spread over several datagrams.
const REPORT_GAPS: usize = 600;
/// Packets stamped in one report interval, besides those of trains.
const STAMPS_PER_REPORT: u32 = 8;
/// Shortest time between reports.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(5);

/// A packet of the paced sender.
#[derive(Clone, Copy, Debug)]
pub struct Numbered {
    /// Its number, counted from 0.
    pub number: u64,
    /// Its size on the wire, headers included.
    pub size: u32,
    /// Whether its time of arrival is to be reported.
    pub stamped: bool,
    /// Reports have told the sender's fate of all numbers below this.
    pub floor: u64,
    /// The interval between reports that the sender wants.
    pub interval: Duration,
}

/// A run of packet numbers: the first and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// First number.
    pub first: u64,
    /// How many.
    pub length: u64,
}

impl Run {
    /// The number after the last.
    #[must_use]
    pub fn end(self) -> u64 {
        self.first + self.length
    }
}

/// What a receiver reports.
#[derive(Clone, Debug)]
pub struct Report {
    /// Counts reports, so that an old one is known as such.
    pub number: u64,
    /// The numbers it speaks of.
    pub covers: Run,
    /// Of those, the ones that have not arrived, ascending.
    pub missing: Vec<Run>,
    /// False for the slices of a long report that precede its last datagram.
    pub complete: bool,
    /// Highest number that has arrived.
    pub largest: u64,
    /// When that one arrived.
    pub largest_at: PeerTime,
    /// How long the report was held back after that.
    pub held: Duration,
    /// Packets that have arrived in all.
    pub delivered_packets: u64,
    /// Bytes that have arrived in all.
    pub delivered_bytes: u64,
    /// Stamped packets and when they arrived, ascending by number.
    pub stamps: Vec<(u64, PeerTime)>,
    /// Interval between reports.
    pub interval: Duration,
}

impl Report {
    /// Its length on the wire.
    #[must_use]
    pub fn wire_length(&self) -> u32 {
        REPORT_BASE + REPORT_ITEM * (self.missing.len() + self.stamps.len()) as u32
    }
}

/// What a sender believes and does at a moment, for plots.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gauge {
    /// Pace it is allowed.
    pub pace: Rate,
    /// Capacity it reckons with.
    pub capacity: Rate,
    /// Queue it believes to see.
    pub queue: Duration,
    /// Loss it takes for the line's own.
    pub baseline_loss: f64,
    /// Bytes in flight.
    pub in_flight: u64,
    /// Phase of its law.
    pub phase: &'static str,
}

#[cfg(test)]
mod tests;
