//! Figures of a running connection, for people, logs and tests.

use std::time::Duration;

use limosa_wire::Rate;

use crate::rate::RateStatistics;

/// A snapshot; counts are since the session began.
#[derive(Clone, Debug)]
pub struct Statistics {
    /// What the sending half did.
    pub sent: SentCounts,
    /// What the receiving half saw.
    pub received: ReceivedCounts,
    /// The path as it is now.
    pub path: PathState,
    /// The rate law's belief.
    pub rate: RateStatistics,
}

/// Counts of the sending half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SentCounts {
    /// Datagrams of any kind.
    pub datagrams: u64,
    /// Their bytes as IP packets.
    pub bytes: u64,
    /// Bytes of the linear space sent for the first time.
    pub new_bytes: u64,
    /// Bytes sent again because they were lost on the way.
    pub repeated_lost: u64,
    /// Bytes sent again because the receiver could not keep them.
    pub repeated_shed: u64,
    /// Bytes sent again on suspicion (tail of a transfer, silence).
    pub repeated_tail: u64,
    /// Of all repeated bytes, those that turned out needless: another copy had
    /// arrived.
    pub redundant_bytes: u64,
    /// Bytes of the linear space that the peer has.
    pub acknowledged_bytes: u64,
    /// Datagrams declared lost.
    pub lost: u64,
    /// Datagrams declared lost that turned up later.
    pub spurious: u64,
    /// Reports sent (each perhaps of several datagrams).
    pub reports: u64,
    /// Bytes of the datagrams they were in, as IP packets.
    pub report_bytes: u64,
}

/// Counts of the receiving half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceivedCounts {
    /// Authentic datagrams.
    pub datagrams: u64,
    /// Their bytes as IP packets.
    pub bytes: u64,
    /// Bytes of the linear space that the application kept.
    pub kept_bytes: u64,
    /// Bytes of the linear space that were there already.
    pub duplicate_bytes: u64,
    /// Bytes of the linear space that the application shed.
    pub shed_bytes: u64,
    /// Reports.
    pub reports: u64,
    /// Datagrams with a congestion mark.
    pub congestion_marks: u64,
    /// Dropped: not of this protocol or session.
    pub foreign: u64,
    /// Dropped: seen before.
    pub replayed: u64,
    /// Dropped: tag wrong.
    pub forged: u64,
    /// Dropped: no room.
    pub no_room: u64,
    /// Dropped: against the protocol.
    pub malformed: u64,
}

/// The path at present.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PathState {
    /// Smoothed round trip, once measured.
    pub rtt: Option<Duration>,
    /// Smallest round trip measured on this path.
    pub rtt_min: Option<Duration>,
    /// Pace allowed at present, all limits counted.
    pub pace: Rate,
    /// Bytes in flight.
    pub in_flight: u64,
    /// Share of datagrams lost recently, 0 to 1.
    pub loss: f64,
    /// Largest IP packet in use, bytes.
    pub packet_size: usize,
    /// Whether sending is suspended because nothing is heard.
    pub silent: bool,
    /// The receiver's queue as last reported, bytes waiting and room.
    pub peer_queue: (u64, u64),
}
