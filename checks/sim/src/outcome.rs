//! What came of a scenario: goodput over time, losses, queue, fairness.

use std::ops::Range;
use std::time::Duration;

use limosa_transport::{Event, Statistics, Time};

use crate::line::Side;
use crate::link::{Counters, Tally};
use crate::network::Network;
use crate::scenario::{Party, Scenario};
use crate::session::End;
use crate::trace::{Trace, TracePoint};

/// Snapshots of the counters taken in a run that lasts as long as it may.
const SNAPSHOTS: u32 = 500;

/// The result of one run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Time between two samples of the series.
    pub tick: Duration,
    /// How long it ran.
    pub duration: Duration,
    /// Round trip of the line at the start, without queues.
    pub rtt: Duration,
    /// Bytes on the wire that the forward line could have delivered up to each
    /// sample: rate times (1 - loss), nothing in blackouts.
    pub possible: Vec<f64>,
    /// The flows.
    pub flows: Vec<FlowOutcome>,
    /// Counters of the forward link over time.
    snapshots: Vec<(Time, Counters)>,
    /// Counters of the reverse link at the end.
    pub reverse: Counters,
    /// What the senders did, if that was asked for.
    pub trace: Trace,
}

/// The result of one flow.
#[derive(Clone, Debug)]
pub struct FlowOutcome {
    /// When it began.
    pub start: Time,
    /// Bytes delivered up to each sample, each once: of payload for a session,
    /// else on the wire.
    pub delivered: Vec<u64>,
    /// Packets sent.
    pub sent: u64,
    /// Packets that found the queue full.
    pub queue_full: Tally,
    /// Packets taken for lost that arrived after all.
    pub spurious: u64,
    /// Share of what was possible on the wire that can count as delivered.
    pub payload_share: f64,
    /// What a session's ends counted.
    pub session: Option<SessionOutcome>,
}

/// What became of a session.
#[derive(Clone, Debug)]
pub struct SessionOutcome {
    /// When the last byte was sent for the first time.
    pub sent: Option<Time>,
    /// When the last byte had arrived.
    pub arrived: Option<Time>,
    /// When the sender knew that.
    pub acknowledged: Option<Time>,
    /// Figures of the sending end.
    pub sender: Statistics,
    /// Figures of the receiving end.
    pub receiver: Statistics,
    /// Bytes that arrived and were not what they must be.
    pub wrong_bytes: u64,
    /// What the sending end told, and when.
    pub sender_events: Vec<(Time, Event)>,
    /// What the receiving end told, and when.
    pub receiver_events: Vec<(Time, Event)>,
}

impl SessionOutcome {
    fn of(near: &End, far: &End) -> Self {
        Self {
            sent: near.sent(),
            arrived: far.finished(),
            acknowledged: near.finished(),
            sender: near.statistics(),
            receiver: far.statistics(),
            wrong_bytes: far.space().wrong_bytes(),
            sender_events: near.events().to_vec(),
            receiver_events: far.events().to_vec(),
        }
    }

    /// Share of the bytes sent that another copy made needless.
    #[must_use]
    pub fn redundancy(&self) -> f64 {
        self.sender.sent.redundant_bytes as f64 / self.sender.sent.new_bytes.max(1) as f64
    }
}

impl FlowOutcome {
    /// Share of the packets sent that found the queue full: loss of the flow's
    /// own making.
    #[must_use]
    pub fn own_loss(&self) -> f64 {
        self.queue_full.packets as f64 / (self.sent.max(1)) as f64
    }
}

impl Outcome {
    fn index(&self, at: Duration) -> usize {
        let index = (at.as_secs_f64() / self.tick.as_secs_f64()).round() as usize;
        index.min(self.possible.len() - 1)
    }

    /// The whole run.
    #[must_use]
    pub fn whole(&self) -> Range<Duration> {
        Duration::ZERO..self.duration
    }

    /// Its second half.
    #[must_use]
    pub fn second_half(&self) -> Range<Duration> {
        self.duration / 2..self.duration
    }

    /// Bytes delivered to one flow in `time`.
    #[must_use]
    pub fn delivered(&self, flow: usize, time: &Range<Duration>) -> u64 {
        let delivered = &self.flows[flow].delivered;
        delivered[self.index(time.end)] - delivered[self.index(time.start)]
    }

    /// What one flow got of what was possible in `time`, 0 to 1.
    #[must_use]
    pub fn share(&self, flow: usize, time: &Range<Duration>) -> f64 {
        let possible = self.possible[self.index(time.end)] - self.possible[self.index(time.start)];
        self.delivered(flow, time) as f64 / (possible * self.flows[flow].payload_share).max(1.0)
    }

    /// What all flows together got of what was possible in `time`, 0 to 1.
    #[must_use]
    pub fn use_of_line(&self, time: &Range<Duration>) -> f64 {
        (0..self.flows.len()).map(|flow| self.share(flow, time)).sum()
    }

    /// Jain's index of fairness in `time`: 1 if all got the same, 1/n if one
    /// got everything.
    #[must_use]
    pub fn jain(&self, time: &Range<Duration>) -> f64 {
        let shares: Vec<f64> = (0..self.flows.len()).map(|flow| self.share(flow, time)).collect();
        let sum: f64 = shares.iter().sum();
        let squares: f64 = shares.iter().map(|share| share * share).sum();
        if squares == 0.0 { 1.0 } else { sum * sum / (shares.len() as f64 * squares) }
    }

    /// How long after the first flow's start all flows together first received
    /// at `level` (0 to 1) of what was possible, over half a round trip or
    /// 10 ms; the end of that stretch counts.
    #[must_use]
    pub fn time_to(&self, level: f64) -> Option<Duration> {
        let window = (self.rtt / 2).max(Duration::from_millis(10));
        let width = self.index(window).max(1);
        let worth = |flow: &FlowOutcome, at: usize| flow.delivered[at] as f64 / flow.payload_share;
        let total = |at: usize| self.flows.iter().map(|flow| worth(flow, at)).sum::<f64>();
        let start = self.flows.iter().map(|flow| flow.start).min()?;
        (width..self.possible.len())
            .find(|&end| {
                let possible = self.possible[end] - self.possible[end - width];
                possible > 0.0 && total(end) - total(end - width) >= level * possible
            })
            .map(|end| (Time::ZERO + self.tick * end as u32).since(start))
    }

    /// What the first flow, a session, got of what was possible from the end of
    /// start-up (the first time at 90 %) until the last new byte it sent could
    /// arrive: repetitions of what was lost at the very end come later.
    #[must_use]
    pub fn steady(&self) -> Option<f64> {
        let flow = self.flows.first()?;
        let from = flow.start.since(Time::ZERO) + self.time_to(0.9)?;
        let session = flow.session.as_ref()?;
        session.arrived?;
        let until = session.sent?.since(Time::ZERO) + self.rtt / 2;
        (until > from).then(|| self.share(0, &(from..until)))
    }

    /// Share of all packets sent that found the forward queue full: loss that
    /// the senders made themselves.
    #[must_use]
    pub fn own_loss(&self) -> f64 {
        let sent: u64 = self.flows.iter().map(|flow| flow.sent).sum();
        self.forward().queue_full.packets as f64 / sent.max(1) as f64
    }

    /// Bytes that found the forward queue full until `at`, or a little later.
    #[must_use]
    pub fn overflow_until(&self, at: Duration) -> u64 {
        let reached = self.snapshots.iter().find(|(time, _)| *time >= Time::ZERO + at);
        reached.map_or(self.forward(), |(_, counters)| counters).queue_full.bytes
    }

    /// Counters of the forward link at the end.
    #[must_use]
    pub fn forward(&self) -> &Counters {
        &self.snapshots.last().expect("a run ends with a snapshot").1
    }

    /// The queueing delay in the second half of the run: the quantile `share`.
    #[must_use]
    pub fn standing_queue(&self, share: f64) -> Duration {
        self.queue_since(self.duration / 2, share)
    }

    /// The queueing delay of packets sent since `from`: the quantile `share`.
    #[must_use]
    pub fn queue_since(&self, from: Duration, share: f64) -> Duration {
        let from = Time::ZERO + from;
        let begin = self.snapshots.iter().find(|(at, _)| *at >= from);
        let before = begin.map(|(_, counters)| counters.queueing.clone()).unwrap_or_default();
        self.forward().queueing.since(&before).quantile(share)
    }
}

/// Takes samples while a scenario runs.
#[derive(Debug)]
pub(crate) struct Recorder {
    outcome: Outcome,
    now: Time,
    next_snapshot: Time,
    trace_step: Option<Duration>,
    next_trace: Time,
}

impl Recorder {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let rtt = scenario.line.rtt();
        let flow = |plan: &crate::scenario::FlowPlan| FlowOutcome {
            start: plan.place.start,
            delivered: vec![0],
            sent: 0,
            queue_full: Tally::default(),
            spurious: 0,
            payload_share: plan.payload_share(),
            session: None,
        };
        let outcome = Outcome {
            tick: (rtt / 8).clamp(Duration::from_millis(1), Duration::from_millis(25)),
            duration: scenario.duration,
            rtt,
            possible: vec![0.0],
            flows: scenario.flows.iter().map(flow).collect(),
            snapshots: Vec::new(),
            reverse: Counters::default(),
            trace: Trace::default(),
        };
        Self { outcome, now: Time::ZERO, next_snapshot: Time::ZERO, trace_step: scenario.trace, next_trace: Time::ZERO }
    }

    /// When to take the next sample.
    pub(crate) fn next_sample(&self) -> Option<Time> {
        let next = self.now + self.outcome.tick;
        (next <= Time::ZERO + self.outcome.duration).then_some(next)
    }

    pub(crate) fn sample(&mut self, network: &mut Network<Party>) {
        self.now = network.now();
        let settings = network.line().link(Side::Near).settings();
        let rate = if settings.blackout { 0.0 } else { settings.rate.bytes_per_second() };
        let step = rate * (1.0 - settings.total_loss()) * self.outcome.tick.as_secs_f64();
        let before = self.outcome.possible.last().copied().unwrap_or(0.0);
        self.outcome.possible.push(before + step);
        for (index, flow) in self.outcome.flows.iter_mut().enumerate() {
            flow.delivered.push(network.endpoint(index as u32, Side::Far).delivered_bytes());
        }
        if self.now >= self.next_snapshot {
            self.snapshot(network);
            self.next_snapshot = self.now + self.outcome.duration / SNAPSHOTS;
        }
        if let Some(step) = self.trace_step.filter(|_| self.now >= self.next_trace) {
            self.trace(network);
            self.next_trace = self.now + step;
        }
    }

    fn snapshot(&mut self, network: &Network<Party>) {
        let counters = network.line().link(Side::Near).counters().clone();
        self.outcome.snapshots.push((self.now, counters));
    }

    fn trace(&mut self, network: &mut Network<Party>) {
        let now = self.now;
        let link = network.line_mut().link_mut(Side::Near);
        let (queue, line) = (link.backlog(now), link.settings().rate);
        let flows = (0..self.outcome.flows.len() as u32)
            .map(|flow| {
                (network.endpoint(flow, Side::Far).delivered_bytes(), network.endpoint(flow, Side::Near).gauge())
            })
            .collect();
        self.outcome.trace.points.push(TracePoint { at: now, line, queue, flows });
    }

    pub(crate) fn finish(mut self, network: &Network<Party>) -> Outcome {
        self.snapshot(network);
        self.outcome.duration = self.now.since(Time::ZERO);
        for (index, flow) in self.outcome.flows.iter_mut().enumerate() {
            let near = network.endpoint(index as u32, Side::Near);
            flow.sent = near.sent_packets();
            flow.spurious = near.spurious_losses();
            let far = network.endpoint(index as u32, Side::Far);
            flow.session = near.session().zip(far.session()).map(|(near, far)| SessionOutcome::of(near, far));
            flow.queue_full = network.line().queue_full(index as u32, Side::Near);
        }
        self.outcome.reverse = network.line().link(Side::Far).counters().clone();
        self.outcome
    }
}
