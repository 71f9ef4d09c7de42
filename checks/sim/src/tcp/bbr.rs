//! BBR, version 1: a pace from the largest delivery rate of ten rounds, a
//! window of two bandwidth-delay products, and no reaction to loss.

use std::collections::VecDeque;
use std::time::Duration;

use limosa_transport::Time;
use limosa_wire::Rate;

use super::{Congestion, SEGMENT_SIZE, Sample};

const HIGH_GAIN: f64 = 2.885;
const CYCLE: [f64; 8] = [1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
const ROUNDS: u64 = 10;
const MIN_RTT_VALID: Duration = Duration::from_secs(10);
const PROBE_RTT: Duration = Duration::from_millis(200);
const MIN_WINDOW: f64 = 4.0;

/// BBRv1's model of the path and what it does about it.
#[derive(Debug)]
pub struct Bbr {
    state: State,
    /// Largest delivery rates, in segments per second, by round, falling.
    rates: VecDeque<(u64, f64)>,
    round: u64,
    round_ends: u64,
    min_rtt: Duration,
    min_rtt_at: Time,
    full_rate: f64,
    full_rounds: u32,
    window: f64,
    cycle_seed: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Startup,
    Drain,
    ProbeBandwidth { phase: usize, since: Time },
    ProbeRtt { until: Option<Time> },
}

impl Bbr {
    /// Start-up with a window of `initial` segments; `phase` picks where the
    /// probing cycle will start.
    #[must_use]
    pub fn new(initial: f64, phase: u64) -> Self {
        Self {
            state: State::Startup,
            rates: VecDeque::new(),
            round: 0,
            round_ends: 0,
            min_rtt: Duration::MAX,
            min_rtt_at: Time::ZERO,
            full_rate: 0.0,
            full_rounds: 0,
            window: initial,
            // Anywhere but in the draining phase.
            cycle_seed: [0, 2, 3, 4, 5, 6, 7][(phase % 7) as usize],
        }
    }

    fn rate(&self) -> f64 {
        self.rates.front().map_or(0.0, |(_, rate)| *rate)
    }

    fn bdp(&self) -> f64 {
        self.rate() * self.min_rtt.as_secs_f64()
    }

    fn add_rate(&mut self, sample: &Sample) -> bool {
        let new_round = sample.echo.delivered >= self.round_ends;
        if new_round {
            self.round += 1;
            self.round_ends = sample.total_delivered;
        }
        let interval = sample.now.since(sample.echo.delivered_at).max(sample.rtt.min(self.min_rtt));
        let rate = (sample.total_delivered - sample.echo.delivered) as f64 / interval.as_secs_f64().max(1e-6);
        while self.rates.back().is_some_and(|(_, older)| *older <= rate) {
            self.rates.pop_back();
        }
        self.rates.push_back((self.round, rate));
        while self.rates.front().is_some_and(|(round, _)| *round + ROUNDS <= self.round) {
            self.rates.pop_front();
        }
        new_round
    }

    fn check_full(&mut self) {
        if self.rate() >= self.full_rate * 1.25 {
            self.full_rate = self.rate();
            self.full_rounds = 0;
        } else {
            self.full_rounds += 1;
        }
        if self.state == State::Startup && self.full_rounds >= 3 {
            self.state = State::Drain;
        }
    }

    fn probe_bandwidth(&self, now: Time) -> State {
        State::ProbeBandwidth { phase: self.cycle_seed, since: now }
    }

    fn advance(&mut self, sample: &Sample) {
        match self.state {
            State::Startup => {}
            State::Drain => {
                if sample.in_flight as f64 <= self.bdp() {
                    self.state = self.probe_bandwidth(sample.now);
                }
            }
            State::ProbeBandwidth { phase, since } => {
                if self.phase_is_over(phase, since, sample) {
                    let phase = (phase + 1) % CYCLE.len();
                    self.state = State::ProbeBandwidth { phase, since: sample.now };
                }
            }
            State::ProbeRtt { until } => self.probe_rtt(until, sample),
        }
    }

    fn phase_is_over(&self, phase: usize, since: Time, sample: &Sample) -> bool {
        let lasted = sample.now.since(since) > self.min_rtt;
        let in_flight = sample.in_flight as f64;
        match phase {
            0 => lasted && (sample.lost > 0 || in_flight >= 1.25 * self.bdp()),
            1 => lasted || in_flight <= self.bdp(),
            _ => lasted,
        }
    }

    fn probe_rtt(&mut self, until: Option<Time>, sample: &Sample) {
        match until {
            None if sample.in_flight as f64 <= MIN_WINDOW => {
                let until = sample.now + PROBE_RTT.max(self.min_rtt);
                self.state = State::ProbeRtt { until: Some(until) };
            }
            Some(until) if sample.now >= until => {
                self.min_rtt_at = sample.now;
                let full = self.full_rounds >= 3;
                self.state = if full { self.probe_bandwidth(sample.now) } else { State::Startup };
            }
            _ => {}
        }
    }

    fn update_min_rtt(&mut self, sample: &Sample) {
        let expired = sample.now.since(self.min_rtt_at) > MIN_RTT_VALID;
        if sample.rtt <= self.min_rtt || expired {
            self.min_rtt = sample.rtt;
            self.min_rtt_at = sample.now;
        }
        if expired && !matches!(self.state, State::ProbeRtt { .. }) {
            self.state = State::ProbeRtt { until: None };
        }
    }

    fn update_window(&mut self, sample: &Sample) {
        let gain = if self.state == State::Startup || self.state == State::Drain { HIGH_GAIN } else { 2.0 };
        let target = gain * self.bdp() + 3.0;
        let acked = sample.delivered as f64;
        if self.full_rounds >= 3 {
            self.window = (self.window + acked).min(target);
        } else if self.window < target || sample.total_delivered < 10 {
            self.window += acked;
        }
        self.window = self.window.max(MIN_WINDOW);
    }
}

impl Congestion for Bbr {
    fn on_ack(&mut self, sample: &Sample) {
        let new_round = self.add_rate(sample);
        if new_round && self.full_rounds < 3 {
            self.check_full();
        }
        self.update_min_rtt(sample);
        self.advance(sample);
        self.update_window(sample);
    }

    fn on_loss(&mut self, _: Time) {}

    fn on_timeout(&mut self, _: Time) {
        self.window = MIN_WINDOW;
    }

    fn window(&self) -> f64 {
        match self.state {
            State::ProbeRtt { .. } => MIN_WINDOW,
            _ => self.window,
        }
    }

    fn pace(&self) -> Option<Rate> {
        if self.rates.is_empty() {
            return None;
        }
        let gain = match self.state {
            State::Startup => HIGH_GAIN,
            State::Drain => 1.0 / HIGH_GAIN,
            State::ProbeBandwidth { phase, .. } => CYCLE[phase],
            State::ProbeRtt { .. } => 1.0,
        };
        Some(Rate::from_bytes_per_second((gain * self.rate() * f64::from(SEGMENT_SIZE)).max(1500.0)))
    }

    fn reduces_proportionally(&self) -> bool {
        false
    }
}
