//! CUBIC (RFC 9438) with the start-up exit that systems use (HyStart).

use std::time::Duration;

use limosa_transport::Time;
use limosa_wire::Rate;

use super::{Congestion, Sample};

/// Segments per second cubed.
const C: f64 = 0.4;
/// What a reduction leaves of the window.
const BETA: f64 = 0.7;
/// Growth per round trip of the window that Reno would have with that beta.
const RENO_GROWTH: f64 = 3.0 * (1.0 - BETA) / (1.0 + BETA);

/// CUBIC's window.
#[derive(Debug)]
pub struct Cubic {
    window: f64,
    threshold: f64,
    /// Window before the last reduction, lowered by fast convergence.
    last_max: f64,
    epoch: Option<Epoch>,
    min_rtt: Duration,
    round: Round,
}

/// Growth since the last reduction.
#[derive(Debug)]
struct Epoch {
    start: Time,
    /// Where the cubic curve is flat.
    origin: f64,
    /// Seconds from the start until there.
    k: f64,
    reno_window: f64,
}

/// HyStart's view of one round trip in slow start.
#[derive(Debug, Default)]
struct Round {
    start: Time,
    /// The round ends with the acknowledgement of a segment sent after this.
    ends: Time,
    last_ack: Time,
    min_rtt: Duration,
    samples: u32,
}

impl Cubic {
    /// A window of `initial` segments in slow start.
    #[must_use]
    pub fn new(initial: f64) -> Self {
        Self {
            window: initial,
            threshold: f64::INFINITY,
            last_max: 0.0,
            epoch: None,
            min_rtt: Duration::MAX,
            round: Round::default(),
        }
    }

    fn grow(&mut self, sample: &Sample) {
        let mut acked = sample.delivered as f64;
        if self.window < self.threshold {
            let room = self.threshold - self.window;
            let used = acked.min(room);
            self.window += used;
            acked -= used;
        }
        if acked > 0.0 {
            self.avoid_congestion(sample.now, acked);
        }
    }

    fn avoid_congestion(&mut self, now: Time, acked: f64) {
        let window = self.window;
        let last_max = self.last_max;
        let epoch = self.epoch.get_or_insert_with(|| Epoch::begin(now, window, last_max));
        let age = now.since(epoch.start).as_secs_f64() + self.min_rtt.as_secs_f64();
        let target = epoch.origin + C * (age - epoch.k).powi(3);
        // At most half as much again per round trip; nearly flat above it.
        let growth = ((target - window) / window).clamp(0.01 / window, 0.5);
        self.window += growth * acked;
        epoch.reno_window += RENO_GROWTH * acked / window;
        self.window = self.window.max(epoch.reno_window);
    }

    fn reduce(&mut self) {
        self.last_max = if self.window < self.last_max { self.window * (1.0 + BETA) / 2.0 } else { self.window };
        self.threshold = (self.window * BETA).max(2.0);
        self.epoch = None;
    }

    /// Whether slow start should end: the round trips of this round are longer
    /// than they should be, or the acknowledgements of one round come in a
    /// train as long as half the delay.
    fn line_is_full(&mut self, sample: &Sample) -> bool {
        let round = &mut self.round;
        if sample.echo.sent_at >= round.ends {
            *round =
                Round { start: sample.now, ends: sample.now, last_ack: sample.now, min_rtt: Duration::MAX, samples: 0 };
        }
        if self.window < 16.0 {
            return false;
        }
        if sample.now.since(round.last_ack) <= Duration::from_millis(2) {
            round.last_ack = sample.now;
            if sample.now.since(round.start) > self.min_rtt / 2 {
                return true;
            }
        }
        round.min_rtt = round.min_rtt.min(sample.rtt);
        round.samples += 1;
        let tolerance = (self.min_rtt / 8).clamp(Duration::from_millis(4), Duration::from_millis(16));
        round.samples >= 8 && round.min_rtt > self.min_rtt + tolerance
    }
}

impl Epoch {
    fn begin(now: Time, window: f64, last_max: f64) -> Self {
        Self {
            start: now,
            origin: last_max.max(window),
            k: ((last_max - window).max(0.0) / C).cbrt(),
            reno_window: window,
        }
    }
}

impl Congestion for Cubic {
    fn on_ack(&mut self, sample: &Sample) {
        self.min_rtt = self.min_rtt.min(sample.rtt);
        if sample.recovering {
            return;
        }
        if self.window < self.threshold && self.line_is_full(sample) {
            self.threshold = self.window;
        }
        // A window that is not used does not grow.
        if (sample.in_flight + sample.delivered) as f64 >= self.window * 0.5 {
            self.grow(sample);
        }
    }

    fn on_loss(&mut self, _: Time) {
        self.reduce();
        self.window = self.threshold;
    }

    fn on_timeout(&mut self, now: Time) {
        self.reduce();
        self.window = 1.0;
        self.round = Round { ends: now, ..Round::default() };
    }

    fn window(&self) -> f64 {
        self.window
    }

    fn pace(&self) -> Option<Rate> {
        None
    }

    fn reduces_proportionally(&self) -> bool {
        true
    }
}
