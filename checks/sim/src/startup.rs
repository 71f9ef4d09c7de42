//! How soon a session finds the end of its line, and what that costs: the
//! cells that the example `startup` prints and the test suite watches.

use std::fmt;
use std::time::Duration;

use limosa_transport::rate::RateLimits;
use limosa_wire::Rate;

use crate::link::Queue;
use crate::scenario::{FlowPlan, LineSettings, Scenario};
use crate::session::SessionPlan;

/// Reports come no more often than this in the long run, so that no shorter
/// time stands for a round trip.
const SHORTEST_ROUND: Duration = Duration::from_millis(5);
/// Round trips that are looked at.
const ROUNDS: u32 = 14;
/// Round trips after the line was found that its losses count for.
const AFTER: u32 = 2;
/// Part of the line that counts as found.
const FOUND: f64 = 0.9;

/// One start-up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Start {
    /// Rate of the bottleneck.
    pub rate: Rate,
    /// Round trip.
    pub rtt: Duration,
    /// Random loss each way, 0 to 1.
    pub loss: f64,
    /// Queue in front of the bottleneck.
    pub queue: Duration,
    /// The target that is given, as a multiple of the line's rate.
    pub told: Option<f64>,
    /// Largest packet that is tried, in bytes.
    pub packet: usize,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// Round trips from the first word of the client to nine tenths of the
    /// line, its first round trip without data included.
    pub rounds: Option<f64>,
    /// What found the queue full until two round trips later, in
    /// bandwidth-delay products.
    pub own_loss: f64,
}

impl Start {
    /// From nothing, on a line that loses `percent` of a hundred.
    #[must_use]
    pub fn new(rate: Rate, rtt: Duration, percent: f64) -> Self {
        let queue = Duration::from_millis(50);
        Self { rate, rtt, loss: percent / 100.0, queue, told: None, packet: 1500 }
    }

    /// With the line's rate as the target.
    #[must_use]
    pub fn told(self) -> Self {
        self.told_times(1.0)
    }

    /// With so many times the line's rate as the target, as who does not know
    /// the line may give.
    #[must_use]
    pub fn told_times(mut self, factor: f64) -> Self {
        self.told = Some(factor);
        self
    }

    /// With this queue.
    #[must_use]
    pub fn with_queue(mut self, queue: Duration) -> Self {
        self.queue = queue;
        self
    }

    fn round(&self) -> Duration {
        self.rtt.max(SHORTEST_ROUND)
    }

    /// Runs it.
    #[must_use]
    pub fn run(&self, seed: u64) -> Found {
        let line = LineSettings::new(self.rate, self.rtt).with_loss(self.loss).with_queue(Queue::Time(self.queue));
        let plan = SessionPlan { largest_packet: self.packet, ..SessionPlan::upload(u64::MAX >> 8).as_lengths() };
        let target = self.told.map(|factor| Rate::from_bytes_per_second(self.rate.bytes_per_second() * factor));
        let flow = FlowPlan { limits: RateLimits { target, cap: Rate::UNLIMITED }, ..FlowPlan::session(plan) };
        let outcome = Scenario::new(line).flow(flow).lasting(self.round() * ROUNDS).seeded(seed).run();
        let round = self.round().as_secs_f64();
        let product = self.rate.bytes_per_second() * round;
        let found = outcome.time_to(FOUND);
        let until = found.unwrap_or(outcome.duration) + self.round() * AFTER;
        Found {
            rounds: found.map(|time| time.as_secs_f64() / round),
            own_loss: outcome.overflow_until(until) as f64 / product,
        }
    }

    /// The head of a table of start-ups.
    pub const HEAD: &'static str = "\
| rate | RTT | loss | 90 % after | own loss, 50 ms | 5 ms | told: 90 % after | own loss, 50 ms | 5 ms |\n\
|---|---|---|---|---|---|---|---|---|";

    /// Runs it with two queues, from nothing and told the rate.
    #[must_use]
    pub fn row(&self, seed: u64) -> Row {
        let short = Duration::from_millis(5);
        let [found, tight, told, told_tight] =
            [*self, self.with_queue(short), self.told(), self.told().with_queue(short)].map(|start| start.run(seed));
        Row { start: *self, found, tight, told, told_tight }
    }
}

/// Start-ups on one line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// The line, with its longer queue.
    pub start: Start,
    /// From nothing.
    pub found: Found,
    /// The same with a queue of 5 ms.
    pub tight: Found,
    /// Told the rate.
    pub told: Found,
    /// The same with a queue of 5 ms.
    pub told_tight: Found,
}

/// A row of a Markdown table.
impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { start, found, tight, told, told_tight } = self;
        let (rate, rtt, loss) = (start.rate, start.rtt.as_millis(), start.loss * 100.0);
        write!(f, "| {rate} | {rtt} ms | {loss:.1} % | {found} | {:.2} BDP ", tight.own_loss)?;
        write!(f, "| {told} | {:.2} BDP |", told_tight.own_loss)
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rounds {
            Some(rounds) => write!(f, "{rounds:.1} | {:.2} BDP", self.own_loss),
            None => write!(f, "- | {:.2} BDP", self.own_loss),
        }
    }
}
