//! A whole experiment as a value: the line, what changes on it and when, who
//! sends, for how long, and the seed.

mod party;
mod text;

use std::time::Duration;

use limosa_transport::Time;
use limosa_transport::rate::{self, Policy, RateLimits};
use limosa_wire::Rate;

pub use party::Party;
pub use text::{InvalidLine, parse_time};

use crate::line::{Line, Side};
use crate::link::{LinkSettings, Queue};
use crate::network::{FlowSettings, Network};
use crate::outcome::{Outcome, Recorder};
use crate::pace::{self, Clock, SenderSettings};
use crate::random::Seed;
use crate::session::SessionPlan;
use crate::tcp;

/// Both directions of a line.
///
/// As text: `RATE,RTT[,LOSS][,KEY=VALUE]…`, for example
/// `1gbit,100ms,1%,queue=4bdp,back=10mbit`. Loss strikes in both directions.
/// The keys: `queue` (a time, `NbdP`, or bytes as `12000b`), `loss`, `bursts`
/// (`LOSS:MEAN`), `aqm` (`codel`, `pie`, `codel-ecn`, `pie-ecn`, each with
/// `:TARGET`; of the way of the data), `bucket` (`BYTES:PEAK`, likewise),
/// `bunches` (time from one to the next), `jitter` (mean per packet,
/// reorders), `drift` (amplitude, keeps order), `stalls` (`SHARE:MEAN` of the
/// time), `reorder` (`SHARE:TIME`), `dup`, `corrupt`, `mtu`; for the way back
/// alone `back` (rate) and `backloss`.
#[derive(Clone, Debug, PartialEq)]
pub struct LineSettings {
    /// From the near to the far side, the way of the data.
    pub forward: LinkSettings,
    /// The way back.
    pub reverse: LinkSettings,
}

impl LineSettings {
    /// A clean line with the same rate both ways.
    #[must_use]
    pub fn new(rate: Rate, rtt: Duration) -> Self {
        let link = LinkSettings::new(rate, rtt / 2);
        Self { forward: link.clone(), reverse: link }
    }

    /// With this random loss both ways.
    #[must_use]
    pub fn with_loss(mut self, loss: f64) -> Self {
        self.forward.loss = loss;
        self.reverse.loss = loss;
        self
    }

    /// With this queue in front of the forward bottleneck.
    #[must_use]
    pub fn with_queue(mut self, queue: Queue) -> Self {
        self.forward.queue = queue;
        self
    }

    /// Round trip without queues.
    #[must_use]
    pub fn rtt(&self) -> Duration {
        self.forward.delay + self.reverse.delay
    }
}

/// Which of a line's links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The way of the data.
    Forward,
    /// The way back.
    Reverse,
    /// Both.
    Both,
}

impl Direction {
    fn sides(self) -> &'static [Side] {
        match self {
            Self::Forward => &[Side::Near],
            Self::Reverse => &[Side::Far],
            Self::Both => &[Side::Near, Side::Far],
        }
    }
}

/// Something that changes in mid-run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// The links' rate.
    Rate(Direction, Rate),
    /// The links' one-way delay.
    Delay(Direction, Duration),
    /// The links' random loss.
    Loss(Direction, f64),
    /// Whether anything passes.
    Blackout(Direction, bool),
    /// The longest IP packet that passes.
    Mtu(Direction, u32),
    /// The queue in front of the bottleneck.
    Queue(Direction, Queue),
    /// One side of a flow is seen at a new address.
    Rebind(u32, Side),
    /// A flow's rate limits.
    Limits(u32, RateLimits),
}

/// Who sends in a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The paced sender under the law of this policy.
    Paced(Policy),
    /// The model of TCP CUBIC.
    Cubic,
    /// The model of TCP BBRv1.
    Bbr,
    /// A session of the real transport.
    Session(SessionPlan),
}

/// One flow of a scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowPlan {
    /// Who sends.
    pub kind: Kind,
    /// Its place on the line and in time.
    pub place: FlowSettings,
    /// Rate limits from the start; for a paced sender.
    pub limits: RateLimits,
    /// How it works; for a paced sender.
    pub sender: SenderSettings,
    /// The receiver's clock; for a paced sender.
    pub clock: Clock,
}

impl FlowPlan {
    /// A flow that sends from the start to the end of the run.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            place: FlowSettings::default(),
            limits: RateLimits { target: None, cap: Rate::UNLIMITED },
            sender: SenderSettings::default(),
            clock: Clock::default(),
        }
    }

    /// A flow under the policy that shares evenly.
    #[must_use]
    pub fn fair() -> Self {
        Self::new(Kind::Paced(Policy::Fair))
    }

    /// A flow at a fixed rate.
    #[must_use]
    pub fn fixed(rate: Rate) -> Self {
        let mut plan = Self::new(Kind::Paced(Policy::Fixed));
        plan.limits.target = Some(rate);
        plan
    }

    /// A session of the real transport.
    #[must_use]
    pub fn session(plan: SessionPlan) -> Self {
        Self::new(Kind::Session(plan))
    }

    /// Share of a delivered packet that counts as delivered: the payload of a
    /// session, the whole packet of the models.
    #[must_use]
    pub fn payload_share(&self) -> f64 {
        match self.kind {
            Kind::Session(plan) => plan.payload_share(),
            Kind::Paced(_) | Kind::Cubic | Kind::Bbr => 1.0,
        }
    }

    /// That begins at `start`.
    #[must_use]
    pub fn starting(mut self, start: Duration) -> Self {
        self.place.start = Time::ZERO + start;
        self
    }

    /// That ends at `stop`.
    #[must_use]
    pub fn stopping(mut self, stop: Duration) -> Self {
        self.place.stop = Some(Time::ZERO + stop);
        self
    }

    /// With a round trip longer by `extra` than the shared line's.
    #[must_use]
    pub fn with_longer_rtt(mut self, extra: Duration) -> Self {
        self.place.access_delay = extra / 2;
        self
    }

    /// With this clock at its receiver; for a paced sender.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// With nothing to send from `from` until `until`.
    #[must_use]
    pub fn pausing(mut self, from: Duration, until: Duration) -> Self {
        self.sender.pauses.push((Time::ZERO + from, Time::ZERO + until));
        self
    }
}

/// A whole experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// The line at the start.
    pub line: LineSettings,
    /// What changes, and when.
    pub changes: Vec<(Time, Change)>,
    /// Who sends.
    pub flows: Vec<FlowPlan>,
    /// How long it runs, at most.
    pub duration: Duration,
    /// Whether it ends when all sessions have moved their bytes.
    pub ends_when_finished: bool,
    /// What everything random is drawn from.
    pub seed: Seed,
    /// How often to note what the senders do, if at all.
    pub trace: Option<Duration>,
}

impl Scenario {
    /// Sixty seconds of an idle line.
    #[must_use]
    pub fn new(line: LineSettings) -> Self {
        Self {
            line,
            changes: Vec::new(),
            flows: Vec::new(),
            duration: Duration::from_secs(60),
            ends_when_finished: false,
            seed: Seed(1),
            trace: None,
        }
    }

    /// With one more flow.
    #[must_use]
    pub fn flow(mut self, plan: FlowPlan) -> Self {
        self.flows.push(plan);
        self
    }

    /// With `count` flows like `plan`, each beginning `stagger` after the one
    /// before.
    #[must_use]
    pub fn flows(mut self, count: u32, stagger: Duration, plan: &FlowPlan) -> Self {
        for index in 0..count {
            let mut plan = plan.clone();
            plan.place.start = plan.place.start + stagger * index;
            self.flows.push(plan);
        }
        self
    }

    /// With `change` at `at`.
    #[must_use]
    pub fn at(mut self, at: Duration, change: Change) -> Self {
        self.changes.push((Time::ZERO + at, change));
        self
    }

    /// That lasts `duration`.
    #[must_use]
    pub fn lasting(mut self, duration: Duration) -> Self {
        self.duration = duration;
        self
    }

    /// That ends as soon as all its sessions have moved their bytes.
    #[must_use]
    pub fn until_finished(mut self) -> Self {
        self.ends_when_finished = true;
        self
    }

    /// Drawn from `seed`.
    #[must_use]
    pub fn seeded(mut self, seed: u64) -> Self {
        self.seed = Seed(seed);
        self
    }

    /// With a trace of what the senders do, one point every `step`.
    #[must_use]
    pub fn traced(mut self, step: Duration) -> Self {
        self.trace = Some(step);
        self
    }

    /// Runs it.
    #[must_use]
    pub fn run(&self) -> Outcome {
        let line = Line::new(self.line.forward.clone(), self.line.reverse.clone(), self.seed.part("line"));
        let mut network = Network::new(line);
        for (index, plan) in self.flows.iter().enumerate() {
            let (near, far) = self.parties(index, plan);
            network.add_flow(near, far, plan.place);
        }
        let orders = self.schedule(&mut network);
        self.record(&mut network, &orders)
    }

    fn parties(&self, index: usize, plan: &FlowPlan) -> (Party, Party) {
        match plan.kind {
            Kind::Cubic => (Party::TcpSender(tcp::Sender::cubic()), Party::TcpReceiver(tcp::Receiver::default())),
            Kind::Bbr => {
                let phase = self.seed.stream(&format!("bbr phase {index}")).below(7);
                (Party::TcpSender(tcp::Sender::bbr(phase)), Party::TcpReceiver(tcp::Receiver::default()))
            }
            Kind::Session(session) => {
                let rtt = self.line.rtt() + plan.place.access_delay * 2;
                let seed = self.seed.part(&format!("session {index}"));
                let (near, far) = session.ends(index as u32, plan.place.start, rtt, plan.limits, seed);
                (Party::Session(Box::new(near)), Party::Session(Box::new(far)))
            }
            Kind::Paced(policy) => {
                let rtt = self.line.rtt() + plan.place.access_delay * 2;
                let mut settings = plan.sender.clone();
                settings.known_rtt = settings.known_rtt.or(Some(rtt));
                let law = rate::law(policy, plan.place.start, settings.known_rtt, plan.limits);
                let sender = pace::Sender::new(law, settings);
                (Party::PacedSender(Box::new(sender)), Party::PacedReceiver(Box::new(pace::Receiver::new(plan.clock))))
            }
        }
    }

    /// Hands the line's changes to the network; returns the orders to flows.
    fn schedule(&self, network: &mut Network<Party>) -> Vec<(Time, u32, RateLimits)> {
        let mut orders = Vec::new();
        for &(at, change) in &self.changes {
            if let Change::Limits(flow, limits) = change {
                orders.push((at, flow, limits));
            } else {
                network.at(at, move |now, line| apply(now, line, change));
            }
        }
        orders.sort_by_key(|(at, ..)| *at);
        orders
    }

    fn record(&self, network: &mut Network<Party>, orders: &[(Time, u32, RateLimits)]) -> Outcome {
        let mut recorder = Recorder::new(self);
        let mut orders = orders.iter().peekable();
        while let Some(next) = recorder.next_sample() {
            while let Some((at, flow, limits)) = orders.next_if(|(at, ..)| *at <= next) {
                network.run_until(*at);
                network.with_endpoint(*flow, Side::Near, |party, now| party.set_limits(now, *limits));
            }
            network.run_until(next);
            recorder.sample(network);
            if self.ends_when_finished && is_finished(network, self.flows.len()) {
                break;
            }
        }
        recorder.finish(network)
    }
}

/// Whether every session has moved its bytes and knows it.
fn is_finished(network: &Network<Party>, flows: usize) -> bool {
    let mut ends = (0..flows as u32).filter_map(|flow| network.endpoint(flow, Side::Near).session());
    ends.all(|end| end.finished().is_some())
}

fn apply<D: crate::Wire>(now: Time, line: &mut Line<D>, change: Change) {
    let mut each = |direction: Direction, set: &dyn Fn(&mut LinkSettings)| {
        for &side in direction.sides() {
            line.link_mut(side).change(now, |settings| set(settings));
        }
    };
    match change {
        Change::Rate(direction, rate) => each(direction, &|s| s.rate = rate),
        Change::Delay(direction, delay) => each(direction, &|s| s.delay = delay),
        Change::Loss(direction, loss) => each(direction, &|s| s.loss = loss),
        Change::Blackout(direction, blackout) => each(direction, &|s| s.blackout = blackout),
        Change::Mtu(direction, mtu) => each(direction, &|s| s.mtu = mtu),
        Change::Queue(direction, queue) => each(direction, &|s| s.queue = queue),
        Change::Rebind(flow, side) => line.rebind(flow, side),
        Change::Limits(..) => {} // for the endpoint, not the line
    }
}

#[cfg(test)]
mod tests;
