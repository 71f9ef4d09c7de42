//! Rate control: how fast to send, learnt from what the receiver reports.
//!
//! One instance serves one path of one sending direction. It is told what was
//! sent and what a report says of it, and answers with a pacing rate and a
//! bound on what may be in flight; loss *recovery* (which bytes to send again)
//! is not its business.
//!
//! All byte counts are bytes on the wire: IP packets with their headers.

mod fair;
mod fixed;
#[cfg(test)]
mod line;
mod measure;

use std::time::Duration;

use limosa_wire::{PacketNumber, PeerTime, Rate};

use crate::Time;
pub use fair::Fair;
pub use fixed::Fixed;

/// What the controller needs to remember of one sent datagram; kept by the
/// sender beside its own record and handed back when a report speaks of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its number.
    pub number: PacketNumber,
    /// When it was handed to the network.
    pub at: Time,
    /// Bytes sent in this direction up to and including it.
    pub sent_bytes: u64,
    /// Its own size in bytes.
    pub size: u32,
}

/// Receive time of one datagram that the sender had asked to be stamped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The datagram.
    pub sent: Sent,
    /// When it arrived, on the receiver's clock.
    pub received_at: PeerTime,
}

/// What one report says about the path, after the sender has digested it.
#[derive(Clone, Debug)]
pub struct PathReport<'a> {
    /// When the report arrived here.
    pub now: Time,
    /// Highest-numbered datagram that had arrived, and when.
    pub largest: Stamp,
    /// Datagrams that had arrived in all (each counted once).
    pub delivered_packets: u64,
    /// Bytes that had arrived in all (each datagram counted once).
    pub delivered_bytes: u64,
    /// Datagrams stamped since the last report, ascending by number.
    pub stamps: &'a [Stamp],
    /// Datagrams that carried a congestion mark, in all.
    pub congestion_marks: u64,
    /// Bytes sent that are neither acknowledged nor declared lost.
    pub in_flight: u64,
    /// The receiver's interval between reports at present.
    pub interval: Duration,
    /// Time the receiver held the report after `largest` arrived.
    pub held: Duration,
}

/// What the controller allows right now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Allowance {
    /// Pace at which datagrams may leave.
    pub pace: Rate,
    /// Bytes that may be in flight, at most.
    pub in_flight: u64,
    /// The next datagrams that form a train: sent back to back, without
    /// pacing between them, first and last stamped. Zero for none.
    pub train: u32,
}

/// Which law sets the pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Policy {
    /// At the target rate, whatever the path says; reports are only measured.
    Fixed,
    /// Fills what is free and shares evenly with others.
    Fair,
    /// The same, with about twice an equal flow's share.
    High,
    /// Fills what others leave, and gives way to them.
    Low,
}

/// Limits that the users of both ends and the server set, live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimits {
    /// The rate asked for, if any: where to start and where to stop.
    pub target: Option<Rate>,
    /// The lowest of all caps in force; [`Rate::UNLIMITED`] for none.
    pub cap: Rate,
}

/// What the controller believes, for statistics and plots.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateStatistics {
    /// Name of the phase it is in (`startup`, `delay`, …).
    pub phase: &'static str,
    /// Estimated share of the path's capacity.
    pub capacity: Rate,
    /// Smallest round trip seen on this path.
    pub base_rtt: Duration,
    /// Standing queue ahead of us as last measured.
    pub queue: Duration,
    /// Loss rate taken as a property of the line, 0 to 1.
    pub baseline_loss: f64,
}

/// A rate-control law. Implementations must not panic on any sequence of
/// calls, whatever the peer's numbers say.
pub trait RateControl: Send + std::fmt::Debug {
    /// A round-trip time known before the first report (from session set-up),
    /// or a new path was confirmed: forget the old one and start over.
    fn on_path(&mut self, now: Time, rtt: Option<Duration>);

    /// `sent` left; `limited` says that the application, not the pace, decided
    /// when (nothing to send, receiver full, cap).
    fn on_sent(&mut self, sent: Sent, limited: bool);

    /// A report arrived.
    fn on_report(&mut self, report: &PathReport<'_>);

    /// Nothing was heard for a while: the sender holds its fire until the next
    /// report and sends single probes only.
    fn on_silence(&mut self, now: Time);

    /// Limits changed.
    fn set_limits(&mut self, now: Time, limits: RateLimits);

    /// Goes on under `policy` with all it has learnt of the path, if it can;
    /// else another law has to start afresh.
    fn follow(&mut self, policy: Policy) -> bool;

    /// What is allowed at `now`; called before each burst.
    fn allowance(&mut self, now: Time) -> Allowance;

    /// The train that [`Allowance::train`] asked for has left.
    fn on_train_sent(&mut self, first: PacketNumber, last: PacketNumber);

    /// What it believes.
    fn statistics(&self) -> RateStatistics;
}

/// The law of `policy` for a path whose round trip may be known already.
#[must_use]
pub fn law(policy: Policy, now: Time, rtt: Option<Duration>, limits: RateLimits) -> Box<dyn RateControl> {
    match policy {
        Policy::Fixed => Box::new(Fixed::new(now, rtt, limits)),
        Policy::Fair => Box::new(Fair::new(now, rtt, limits)),
        Policy::High => Box::new(Fair::high(now, rtt, limits)),
        Policy::Low => Box::new(Fair::low(now, rtt, limits)),
    }
}
