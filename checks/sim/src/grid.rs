//! The grid of lines that every change of the transport has to pass: rates
//! from 100 Mbit/s to 100 Gbit/s (in packets of 9,000 bytes), round trips from 1 ms to 1 s, losses up to
//! 30 %.
//!
//! In its short form it is part of the test suite; in its full form the
//! example `grid` prints it. A cell begins with start-up and goes on for a
//! number of round trips, or of datagrams where that is less.

use std::fmt;
use std::time::Duration;

use limosa_transport::rate::Policy;
use limosa_wire::Rate;

use crate::link::Queue;
use crate::outcome::Outcome;
use crate::scenario::{FlowPlan, Kind, LineSettings, Scenario};
use crate::session::SessionPlan;

/// Bytes of a packet on lines of up to 10 Gbit/s, and on faster ones.
const PACKET: u32 = 1500;
const JUMBO: u32 = 9000;
/// Mbit/s from which on packets are large.
const FAST: u64 = 100_000;
const MEGABIT: u64 = 1_000_000;
/// Shortest time that stands for a round trip in lengths of runs: two report
/// intervals.
const SHORTEST_ROUND: Duration = Duration::from_millis(10);
/// Round trips that start-up may take, and the tail.
const START_ROUNDS: u32 = 8;
const TAIL_ROUNDS: u32 = 2;

/// The bars, for up to 10 % loss: goodput after start-up as a share of what is
/// possible, bytes sent in vain, median queue.
const STEADY: f64 = 0.9;
const REDUNDANT: f64 = 0.02;
const QUEUE: Duration = Duration::from_millis(30);

/// One line of the grid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell {
    /// Rate of the bottleneck.
    pub rate: Rate,
    /// Round trip.
    pub rtt: Duration,
    /// Random loss each way, 0 to 1.
    pub loss: f64,
    /// Queue in front of the bottleneck.
    pub queue: Queue,
    /// Bytes of a packet.
    pub packet: u32,
}

/// How long a cell goes on after start-up: so many round trips or datagrams,
/// whichever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Round trips.
    pub rounds: u32,
    /// Datagrams.
    pub datagrams: u64,
    /// Round trips at least, however many datagrams they are.
    pub least_rounds: u32,
}

impl Extent {
    /// For the test suite.
    pub const SHORT: Self = Self { rounds: 20, datagrams: 2_000_000, least_rounds: 0 };
    /// For the documented table. In fewer than 40 round trips a start-up of
    /// ten weighs more than the bar for a whole transfer leaves room for.
    pub const FULL: Self = Self { rounds: 200, datagrams: 10_000_000, least_rounds: 40 };
}

/// Who sends in a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// A session of the real transport, payload as lengths.
    Session(Policy),
    /// The law of a policy alone, under the paced sender.
    Law(Policy),
}

fn cells(megabits: &[u64], millis: &[u64], percents: &[f64]) -> Vec<Cell> {
    let mut cells = Vec::new();
    for &rate in megabits {
        for &rtt in millis {
            let cell = |percent: &f64| {
                Cell::new(Rate::from_bits_per_second(rate * MEGABIT), Duration::from_millis(rtt), percent / 100.0)
            };
            cells.extend(percents.iter().map(cell));
        }
    }
    cells
}

/// The cells of the test suite.
#[must_use]
pub fn short() -> Vec<Cell> {
    let mut all = cells(&[100], &[1, 10, 100, 300, 1000], &[0.0, 0.1, 1.0, 5.0, 10.0]);
    all.extend(cells(&[1_000, 10_000], &[10, 100, 1000], &[0.0, 1.0, 10.0]));
    all
}

/// All cells, with 30 % loss on top.
#[must_use]
pub fn full() -> Vec<Cell> {
    cells(&[100, 1_000, 10_000, FAST], &[1, 10, 100, 300, 1000], &[0.0, 0.1, 1.0, 5.0, 10.0, 30.0])
}

impl Cell {
    /// A line with a queue of 50 ms.
    #[must_use]
    pub fn new(rate: Rate, rtt: Duration, loss: f64) -> Self {
        let packet = if rate.bits_per_second() < FAST * MEGABIT { PACKET } else { JUMBO };
        Self { rate, rtt, loss, queue: Queue::Time(Duration::from_millis(50)), packet }
    }

    /// Bytes of IP packets that the line can deliver per second.
    fn possible(&self) -> f64 {
        self.rate.bytes_per_second() * (1.0 - self.loss)
    }

    fn round(&self) -> Duration {
        self.rtt.max(SHORTEST_ROUND)
    }

    /// How long the part after start-up takes at full rate.
    fn steady_time(&self, extent: Extent) -> Duration {
        let bytes = extent.datagrams as f64 * f64::from(self.packet);
        let datagrams = Duration::from_secs_f64(bytes / self.rate.bytes_per_second());
        // On the fastest lines that would be too many.
        let least = if self.packet > PACKET { 0 } else { extent.least_rounds };
        (self.round() * extent.rounds).min(datagrams.max(self.round() * least))
    }

    /// The cell as a scenario.
    #[must_use]
    pub fn scenario(&self, sender: Sender, extent: Extent) -> Scenario {
        let mut line = LineSettings::new(self.rate, self.rtt).with_loss(self.loss).with_queue(self.queue);
        (line.forward.mtu, line.reverse.mtu) = (self.packet, self.packet);
        let steady = self.steady_time(extent);
        match sender {
            Sender::Law(policy) => Scenario::new(line)
                .flow(FlowPlan::new(Kind::Paced(policy)))
                .lasting(self.round() * START_ROUNDS + steady),
            Sender::Session(policy) => {
                let largest_packet = self.packet as usize;
                let plan = SessionPlan { policy, largest_packet, ..SessionPlan::upload(0).as_lengths() };
                // Start-up moves about what one full round trip does.
                let time = steady + self.round();
                let bytes = (self.possible() * plan.payload_share() * time.as_secs_f64()) as u64;
                Scenario::new(line)
                    .flow(FlowPlan::session(SessionPlan { bytes, ..plan }))
                    // Ten times what it should take: a run that is that slow
                    // has failed.
                    .lasting((time + self.round() * (START_ROUNDS + TAIL_ROUNDS)) * 10)
                    .until_finished()
            }
        }
    }

    /// Runs the cell.
    #[must_use]
    pub fn run(&self, sender: Sender, extent: Extent, seed: u64) -> CellResult {
        let outcome = self.scenario(sender, extent).seeded(seed).run();
        let steady = match sender {
            Sender::Session(_) => outcome.steady(),
            Sender::Law(_) => outcome.time_to(0.9).map(|from| outcome.share(0, &(from..outcome.duration))),
        };
        CellResult { cell: *self, steady, outcome }
    }
}

/// What came of a cell.
#[derive(Clone, Debug)]
pub struct CellResult {
    /// The cell.
    pub cell: Cell,
    /// Goodput after start-up as a share of what was possible; `None` if the
    /// line was never filled, or the transfer never finished.
    pub steady: Option<f64>,
    /// Everything else.
    pub outcome: Outcome,
}

impl CellResult {
    /// The longest that the whole transfer may take where `bar` (0 to 1) is
    /// asked of steady goodput.
    #[must_use]
    pub fn allowed(&self, bar: f64) -> Option<Duration> {
        let flow = self.outcome.flows.first()?;
        let bytes = flow.session.as_ref()?.sender.sent.new_bytes as f64;
        let line_time = bytes / (bar * self.cell.possible() * flow.payload_share);
        Some(Duration::from_secs_f64(line_time) + self.cell.round() * (START_ROUNDS + TAIL_ROUNDS))
    }

    /// Which bar this result misses, if any; a whole transfer may take `more`
    /// than the bar says.
    #[must_use]
    pub fn missed(&self, more: Duration) -> Option<&'static str> {
        let session = self.outcome.flows.first()?.session.as_ref()?;
        if self.steady.is_none_or(|steady| steady < STEADY) {
            return Some("steady");
        }
        if self.took().is_none() || self.took() > self.allowed(STEADY).map(|time| time + more) {
            return Some("whole");
        }
        if session.redundancy() >= REDUNDANT {
            return Some("redundant");
        }
        (self.queue(0.5) >= QUEUE).then_some("queue")
    }

    /// From the first datagram to the arrival of the last byte.
    #[must_use]
    pub fn took(&self) -> Option<Duration> {
        let flow = self.outcome.flows.first()?;
        Some(flow.session.as_ref()?.arrived?.since(flow.start))
    }

    /// The queueing delay after start-up and the round trip in which its
    /// overshoot drains: the quantile `share`.
    #[must_use]
    pub fn queue(&self, share: f64) -> Duration {
        let from = self.outcome.time_to(0.9).unwrap_or_default() + self.cell.rtt;
        self.outcome.queue_since(from, share)
    }

    /// The head of a table of results.
    pub const HEAD: &'static str = "\
| rate | RTT | loss | steady | 90 % after | whole | redundant | own loss | queue median / p95 |\n\
|---|---|---|---|---|---|---|---|---|";
}

/// A row of a Markdown table.
impl fmt::Display for CellResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cell, outcome, .. } = self;
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let session = outcome.flows.first().and_then(|flow| flow.session.as_ref());
        let rounds = outcome.time_to(0.9).map(|time| time.as_secs_f64() / cell.rtt.as_secs_f64());
        let millis = |share| self.queue(share).as_secs_f64() * 1e3;
        write!(
            f,
            "| {} | {} ms | {:.1} % | {} | {} | {} | {} | {:.2} % | {:.1} / {:.1} ms |",
            cell.rate,
            cell.rtt.as_millis(),
            cell.loss * 100.0,
            or_none(self.steady.map(percent)),
            or_none(rounds.map(|rounds| format!("{rounds:.1} RTT"))),
            or_none(self.took().map(|took| format!("{:.2} s", took.as_secs_f64()))),
            or_none(session.map(|s| format!("{:.2} %", s.redundancy() * 100.0))),
            outcome.own_loss() * 100.0,
            millis(0.5),
            millis(0.95),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grids_have_the_cells_they_should() {
        assert_eq!((short().len(), full().len()), (25 + 18, 120));
        assert!(short().iter().all(|cell| full().contains(cell)));
    }

    #[test]
    fn cells_last_as_long_as_their_extent() {
        let cell = |megabits, millis| cells(&[megabits], &[millis], &[0.0])[0];
        let seconds = |cell: Cell| cell.steady_time(Extent::SHORT).as_secs_f64();
        assert_eq!(seconds(cell(100, 1)), 0.2);
        assert_eq!(seconds(cell(100, 1000)), 20.0);
        assert_eq!(seconds(cell(10_000, 1000)), 2.4);
    }

    #[test]
    fn the_fair_law_alone_fills_a_line_of_the_grid() {
        let cell = cells(&[100], &[100], &[1.0])[0];
        let result = cell.run(Sender::Law(Policy::Fair), Extent::SHORT, 1);
        assert!(result.steady > Some(0.9), "{result}");
    }
}
