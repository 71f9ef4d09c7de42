//! The properties of a link.

use std::time::Duration;

use limosa_wire::Rate;

/// Size of the queue in front of a bottleneck, without the packet that is
/// being transmitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// So many bytes.
    Bytes(u64),
    /// As many bytes as the link carries in this time at the rate it has when
    /// the queue is set.
    Time(Duration),
}

impl Queue {
    /// A queue that never overflows.
    pub const HUGE: Self = Self::Bytes(u64::MAX / 2);

    pub(super) fn bytes(self, rate: Rate) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Time(time) => rate.bytes_in(time).min(u64::MAX / 2),
        }
    }
}

/// Where random loss strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossPlace {
    /// Behind the bottleneck: a lost packet has used line time.
    AfterQueue,
    /// In front of the queue: it has not.
    BeforeQueue,
}

/// Loss in bursts after Gilbert and Elliott: a line that is now good, now bad.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bursts {
    /// Chance per packet that a good line turns bad.
    pub enter: f64,
    /// Chance per packet that a bad line turns good again.
    pub leave: f64,
    /// Loss while bad.
    pub bad_loss: f64,
}

impl Bursts {
    /// Bursts of `mean` packets, all of them lost, that make up a share of
    /// `loss` in all.
    #[must_use]
    pub fn of(mean: f64, loss: f64) -> Self {
        let leave = 1.0 / mean.max(1.0);
        Self { enter: (leave * loss / (1.0 - loss)).min(1.0), leave, bad_loss: 1.0 }
    }

    /// Share of packets lost in the long run.
    #[must_use]
    pub fn loss(&self) -> f64 {
        if self.enter <= 0.0 {
            return 0.0;
        }
        self.bad_loss * self.enter / (self.enter + self.leave)
    }
}

/// How the delay varies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Jitter {
    /// Drifts up to `amplitude` above the delay, towards a new random goal
    /// every `period`; packets stay in order.
    Smooth {
        /// Largest addition to the delay.
        amplitude: Duration,
        /// Time from goal to goal.
        period: Duration,
    },
    /// Each packet by itself is later by an exponentially distributed time of
    /// this mean: heavy reordering.
    PerPacket(Duration),
}

/// A bottleneck that stands still now and then: a radio that waits for its
/// turn, a router in a virtual machine whose host has other work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stalls {
    /// Time from the end of one to the beginning of the next, on average;
    /// exponentially distributed.
    pub apart: Duration,
    /// How long one lasts, on average; exponentially distributed.
    pub length: Duration,
}

impl Stalls {
    /// Stalls of `length` on average that take a `share` of the time in all.
    #[must_use]
    pub fn of(share: f64, length: Duration) -> Self {
        let share = share.clamp(1e-6, 1.0 - 1e-6);
        Self { apart: length.mul_f64((1.0 - share) / share), length }
    }

    /// Share of the time in which nothing leaves.
    #[must_use]
    pub fn share(&self) -> f64 {
        let (apart, length) = (self.apart.as_secs_f64(), self.length.as_secs_f64());
        length / (apart + length).max(1e-9)
    }
}

/// How a router keeps its queue short before it is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discipline {
    /// `CoDel`, after RFC 8289.
    CoDel,
    /// PIE, after RFC 8033.
    Pie,
}

/// Active queue management in front of a bottleneck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManagedQueue {
    /// By which rules.
    pub discipline: Discipline,
    /// The delay that it accepts.
    pub target: Duration,
    /// Whether it marks packets that can be marked instead of dropping them.
    pub marks: bool,
}

/// A rate limiter that lets what was saved up pass at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Bytes that can be saved up at the link's rate.
    pub depth: u64,
    /// The rate at which they pass.
    pub peak: Rate,
}

/// Packets held up while others pass them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reordering {
    /// Share of packets held up.
    pub share: f64,
    /// They are held up by a uniformly distributed time up to this.
    pub by: Duration,
}

/// The properties of a link. All loss shares are 0 to 1 per packet.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkSettings {
    /// Rate of the bottleneck, in bits of IP packets per second.
    pub rate: Rate,
    /// One-way propagation delay.
    pub delay: Duration,
    /// Queue in front of the bottleneck.
    pub queue: Queue,
    /// What keeps the queue short.
    pub managed: Option<ManagedQueue>,
    /// A token bucket in place of a steady bottleneck.
    pub bucket: Option<Bucket>,
    /// Times at which the bottleneck stands still.
    pub stalls: Option<Stalls>,
    /// Independent random loss.
    pub loss: f64,
    /// Loss in bursts, on top.
    pub bursts: Option<Bursts>,
    /// Where loss of both kinds strikes.
    pub loss_place: LossPlace,
    /// Variation of the delay.
    pub jitter: Option<Jitter>,
    /// Packets arrive only at moments so far apart, all of them that are due:
    /// aggregation on radio links, moderated interrupts.
    pub bunching: Option<Duration>,
    /// Explicit reordering.
    pub reordering: Option<Reordering>,
    /// Share of packets delivered twice.
    pub duplication: f64,
    /// Share of packets that arrive with one bit flipped.
    pub corruption: f64,
    /// While true nothing passes.
    pub blackout: bool,
    /// Longest IP packet that passes; longer ones vanish without notice.
    pub mtu: u32,
}

impl LinkSettings {
    /// A clean link: 50 ms of queue, MTU 1,500.
    #[must_use]
    pub fn new(rate: Rate, delay: Duration) -> Self {
        Self {
            rate,
            delay,
            queue: Queue::Time(Duration::from_millis(50)),
            managed: None,
            bucket: None,
            stalls: None,
            loss: 0.0,
            bursts: None,
            loss_place: LossPlace::AfterQueue,
            jitter: None,
            bunching: None,
            reordering: None,
            duplication: 0.0,
            corruption: 0.0,
            blackout: false,
            mtu: 1500,
        }
    }

    /// Share of packets that random loss and bursts take in the long run.
    #[must_use]
    pub fn total_loss(&self) -> f64 {
        let bursts = self.bursts.map_or(0.0, |bursts| bursts.loss());
        1.0 - (1.0 - self.loss) * (1.0 - bursts)
    }

    /// Whether a packet may arrive before one sent earlier.
    pub(super) fn overtakes(&self) -> bool {
        self.reordering.is_some() || matches!(self.jitter, Some(Jitter::PerPacket(_)))
    }
}
