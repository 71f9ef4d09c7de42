//! Models of TCP, to compete with: a bulk sender under CUBIC or BBRv1 and its
//! receiver.
//!
//! What is modelled is what decides the share of a bottleneck: the window and
//! its growth, one reduction per round trip, proportional rate reduction,
//! delayed acknowledgements, the retransmission timer. Loss detection is
//! ideal: every transmission has a number of its own, and acknowledgements
//! carry running totals, so a lost one costs nothing, as with SACK. What is
//! not modelled: reordering beyond three packets (taken for loss and never
//! undone), receive windows, segmentation offload.

mod bbr;
mod cubic;
mod receiver;
mod rtt;

use std::time::Duration;

use limosa_transport::Time;
use limosa_wire::Rate;

pub use bbr::Bbr;
pub use cubic::Cubic;
pub use receiver::Receiver;
use rtt::RoundTrips;

use crate::datagram::{Datagram, Wire};
use crate::network::{Address, Endpoint, Transmit};

/// Bytes on the wire of a full segment.
pub const SEGMENT_SIZE: u32 = 1500;
/// Payload bytes of a full segment, with TCP timestamps.
pub const SEGMENT_PAYLOAD: u32 = 1448;
/// Bytes on the wire of an acknowledgement with timestamps and SACK blocks.
const ACK_SIZE: u32 = 64;
/// Segments sent before the first acknowledgement.
const INITIAL_WINDOW: f64 = 10.0;

/// What a model sends.
#[derive(Clone, Copy, Debug)]
pub enum Segment {
    /// Data, always a full segment.
    Data {
        /// Number of the transmission.
        number: u64,
        /// State of the sender, returned with the acknowledgement.
        echo: Echo,
    },
    /// What has arrived.
    Ack(Ack),
}

/// What a sender knew when it sent a segment.
#[derive(Clone, Copy, Debug)]
pub struct Echo {
    /// When it was sent.
    pub sent_at: Time,
    /// Segments known to be delivered by then.
    pub delivered: u64,
    /// When the latest of those was acknowledged.
    pub delivered_at: Time,
}

/// An acknowledgement: totals since the start.
#[derive(Clone, Copy, Debug)]
pub struct Ack {
    /// Highest number that has arrived.
    pub largest: u64,
    /// Segments that have arrived.
    pub delivered: u64,
    /// Segments taken for lost.
    pub lost: u64,
    /// Highest number taken for lost.
    pub last_lost: u64,
    /// From the segment that caused this acknowledgement.
    pub echo: Echo,
}

impl Wire for Segment {
    fn wire_length(&self) -> u32 {
        match self {
            Self::Data { .. } => SEGMENT_SIZE,
            Self::Ack(_) => ACK_SIZE,
        }
    }

    fn corrupt(&mut self, _: &mut crate::random::Random) -> bool {
        false
    }
}

/// What an acknowledgement tells a congestion control.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When it came.
    pub now: Time,
    /// Segments newly delivered.
    pub delivered: u64,
    /// Segments newly taken for lost.
    pub lost: u64,
    /// Segments delivered in all.
    pub total_delivered: u64,
    /// Segments in flight after it.
    pub in_flight: u64,
    /// Round trip of the newest segment.
    pub rtt: Duration,
    /// What the sender knew when it sent that one.
    pub echo: Echo,
    /// Whether a former loss is still being repaired.
    pub recovering: bool,
}

/// A TCP congestion control; windows are in segments.
pub trait Congestion: std::fmt::Debug + Send {
    /// Segments were acknowledged.
    fn on_ack(&mut self, sample: &Sample);
    /// First loss since the last reduction was repaired.
    fn on_loss(&mut self, now: Time);
    /// Nothing was heard for a retransmission timeout.
    fn on_timeout(&mut self, now: Time);
    /// Segments that may be in flight.
    fn window(&self) -> f64;
    /// Pace between segments; `None` sends as acknowledgements come.
    fn pace(&self) -> Option<Rate>;
    /// Whether a loss brings down what is in flight by proportional rate
    /// reduction.
    fn reduces_proportionally(&self) -> bool;
}

/// A sender that always has data.
#[derive(Debug)]
pub struct Sender {
    congestion: Box<dyn Congestion>,
    next: u64,
    /// Numbers below this are delivered, lost, or written off by a timeout.
    settled: u64,
    delivered: u64,
    delivered_at: Time,
    lost: u64,
    /// Losses below this number belong to a reduction already made.
    recovery_until: u64,
    reduction: Option<Reduction>,
    rtt: RoundTrips,
    timer: Time,
    backoff: u32,
    next_paced: Time,
    paced_out: bool,
}

/// Proportional rate reduction (RFC 6937) in progress.
#[derive(Debug)]
struct Reduction {
    in_flight_before: f64,
    delivered: f64,
    sent: f64,
}

impl Sender {
    /// A sender under `congestion`.
    #[must_use]
    pub fn new(congestion: Box<dyn Congestion>) -> Self {
        Self {
            congestion,
            next: 0,
            settled: 0,
            delivered: 0,
            delivered_at: Time::ZERO,
            lost: 0,
            recovery_until: 0,
            reduction: None,
            rtt: RoundTrips::default(),
            timer: Time::ZERO,
            backoff: 0,
            next_paced: Time::ZERO,
            paced_out: false,
        }
    }

    /// A sender under CUBIC.
    #[must_use]
    pub fn cubic() -> Self {
        Self::new(Box::new(Cubic::new(INITIAL_WINDOW)))
    }

    /// A sender under BBRv1; `phase` picks where its probing cycle starts.
    #[must_use]
    pub fn bbr(phase: u64) -> Self {
        Self::new(Box::new(Bbr::new(INITIAL_WINDOW, phase)))
    }

    /// Segments sent.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.next
    }

    /// Segments known to be delivered.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// The congestion window in segments.
    #[must_use]
    pub fn window(&self) -> f64 {
        self.congestion.window()
    }

    fn in_flight(&self) -> u64 {
        self.next - self.settled
    }

    fn on_ack(&mut self, now: Time, ack: Ack) {
        let delivered = ack.delivered.saturating_sub(self.delivered);
        let lost = ack.lost.saturating_sub(self.lost);
        if delivered == 0 && lost == 0 {
            return;
        }
        self.delivered = self.delivered.max(ack.delivered);
        self.lost = self.lost.max(ack.lost);
        self.delivered_at = now;
        self.settled = self.settled.max(ack.largest + 1).min(self.next);
        let rtt = now.since(ack.echo.sent_at);
        self.rtt.add(rtt);
        self.backoff = 0;
        self.timer = now + self.rtt.timeout();
        if lost > 0 && ack.last_lost >= self.recovery_until {
            self.begin_recovery(now, delivered + lost);
        }
        if ack.largest >= self.recovery_until {
            self.reduction = None;
        }
        if let Some(reduction) = &mut self.reduction {
            reduction.delivered += delivered as f64;
        }
        self.congestion.on_ack(&Sample {
            now,
            delivered,
            lost,
            total_delivered: self.delivered,
            in_flight: self.in_flight(),
            rtt,
            echo: ack.echo,
            recovering: ack.largest < self.recovery_until,
        });
    }

    fn begin_recovery(&mut self, now: Time, just_settled: u64) {
        self.recovery_until = self.next;
        let in_flight_before = (self.in_flight() + just_settled) as f64;
        self.congestion.on_loss(now);
        self.reduction = self.congestion.reduces_proportionally().then_some(Reduction {
            in_flight_before,
            delivered: 0.0,
            sent: 0.0,
        });
    }

    /// Whether the window has room for one more segment.
    fn has_room(&self) -> bool {
        let in_flight = self.in_flight() as f64;
        let window = self.congestion.window();
        match &self.reduction {
            Some(r) if in_flight >= window => r.delivered * window / r.in_flight_before >= r.sent + 1.0,
            _ => in_flight + 1.0 <= window.max(1.0),
        }
    }
}

impl Endpoint for Sender {
    type Datagram = Datagram;

    fn handle(&mut self, now: Time, _: Address, datagram: Datagram) {
        if let Datagram::Tcp(Segment::Ack(ack)) = datagram {
            self.on_ack(now, ack);
        }
    }

    fn on_timeout(&mut self, now: Time) {
        if self.next == 0 {
            self.delivered_at = now;
            self.next_paced = now;
        } else if self.timer <= now && self.in_flight() > 0 {
            self.settled = self.next;
            self.recovery_until = self.next;
            self.reduction = None;
            self.congestion.on_timeout(now);
            self.backoff = (self.backoff + 1).min(8);
            self.timer = now + self.rtt.timeout() * (1 << self.backoff);
        }
    }

    fn transmit(&mut self, now: Time) -> Option<Transmit<Datagram>> {
        self.paced_out = false;
        if !self.has_room() {
            return None;
        }
        if let Some(pace) = self.congestion.pace() {
            if self.next_paced > now {
                self.paced_out = true;
                return None;
            }
            let gap = pace.time_for(u64::from(SEGMENT_SIZE));
            self.next_paced = self.next_paced.max(now - gap) + gap;
        }
        if self.in_flight() == 0 {
            self.timer = now + self.rtt.timeout() * (1 << self.backoff);
        }
        if let Some(reduction) = &mut self.reduction {
            reduction.sent += 1.0;
        }
        let echo = Echo {
            sent_at: now,
            delivered: self.delivered,
            delivered_at: if self.in_flight() == 0 { now } else { self.delivered_at },
        };
        let number = self.next;
        self.next += 1;
        Some(Transmit::to_peer(Datagram::Tcp(Segment::Data { number, echo })))
    }

    fn next_timeout(&self) -> Option<Time> {
        let timer = (self.in_flight() > 0).then_some(self.timer);
        let pace = self.paced_out.then_some(self.next_paced);
        match (timer, pace) {
            (Some(timer), Some(pace)) => Some(timer.min(pace)),
            (timer, pace) => timer.or(pace),
        }
    }
}

#[cfg(test)]
mod tests;
