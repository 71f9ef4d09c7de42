//! `fixed`: the rate that was asked for, whatever the path says. What the
//! reports show of it is measured all the same, so that users can be told.

use std::time::Duration;

use limosa_wire::{PacketNumber, Rate};

use super::measure::{Meter, sane_pace};
use super::{Allowance, PathReport, Policy, RateControl, RateLimits, RateStatistics, Sent};
use crate::Time;

/// Packets over which the loss rate is smoothed.
const SMOOTHING: f64 = 5_000.0;
/// In flight at most this many seconds beyond the round trip: a bound on
/// memory while the path says nothing, not on the rate.
const SLACK: f64 = 2.0;

/// The law of [`Policy::Fixed`](super::Policy::Fixed).
#[derive(Debug)]
pub struct Fixed {
    limits: RateLimits,
    meter: Meter,
    passed: f64,
    loss: f64,
}

impl Fixed {
    /// Paces at the target of `limits`, or at the cap if that is lower.
    #[must_use]
    pub fn new(now: Time, rtt: Option<Duration>, limits: RateLimits) -> Self {
        let mut meter = Meter::default();
        meter.restart(now, rtt);
        Self { limits, meter, passed: 0.0, loss: 0.0 }
    }

    fn pace(&self) -> f64 {
        let target = self.limits.target.unwrap_or(self.limits.cap);
        sane_pace(target.min(self.limits.cap).bytes_per_second())
    }
}

impl RateControl for Fixed {
    fn on_path(&mut self, now: Time, rtt: Option<Duration>) {
        self.meter.restart(now, rtt);
        self.loss = 0.0;
    }

    fn on_sent(&mut self, sent: Sent, _limited: bool) {
        self.meter.on_sent(sent);
    }

    fn on_report(&mut self, report: &PathReport<'_>) {
        if let Some(s) = self.meter.on_report(report) {
            self.passed = s.passed;
            if s.fresh_packets >= 1.0 {
                let gain = (s.fresh_packets / SMOOTHING).min(1.0);
                self.loss += gain * (s.fresh_lost / s.fresh_packets - self.loss);
            }
        }
    }

    fn on_silence(&mut self, _now: Time) {
        self.meter.interrupt();
    }

    fn set_limits(&mut self, _now: Time, limits: RateLimits) {
        self.limits = limits;
    }

    fn follow(&mut self, policy: Policy) -> bool {
        policy == Policy::Fixed
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn allowance(&mut self, _now: Time) -> Allowance {
        let pace = self.pace();
        Allowance {
            pace: Rate::from_bytes_per_second(pace),
            in_flight: (pace * (self.meter.base_rtt() + SLACK)) as u64,
            train: 0,
        }
    }

    fn on_train_sent(&mut self, _first: PacketNumber, _last: PacketNumber) {}

    fn statistics(&self) -> RateStatistics {
        RateStatistics {
            phase: "fixed",
            capacity: Rate::from_bytes_per_second(self.passed),
            base_rtt: Duration::from_secs_f64(self.meter.base_rtt()),
            queue: Duration::from_secs_f64(self.meter.queue()),
            baseline_loss: self.loss,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rate::line::Line;

    #[test]
    fn it_keeps_its_rate_and_tells_what_that_does() {
        let rate = |megabits: u64| Rate::from_bits_per_second(megabits * 1_000_000);
        let limits = RateLimits { target: Some(rate(110)), cap: rate(500) };
        let mut line = Line::new(100, 20, 0.0);
        let law = Fixed::new(line.now(), Some(Duration::from_millis(10)), limits);
        line.add(Box::new(law), 10);
        line.run(3.0);
        let seen = line.flow(0).law.statistics();
        assert!((15..=21).contains(&seen.queue.as_millis()), "{seen:?}");
        assert!((0.06..0.12).contains(&seen.baseline_loss), "{seen:?}");
        line.flow(0).law.set_limits(Time::ZERO, RateLimits { target: Some(rate(110)), cap: rate(50) });
        line.run(1.0);
        assert!((line.use_over(1.0) - 0.5).abs() < 0.01);
    }
}
