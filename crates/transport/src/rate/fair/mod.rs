//! `fair`: fill what is free, share evenly, keep the queue short; and `high`
//! and `low`, which are the same law with other constants.
//!
//! ```text
//! STARTUP --queue, loss, standstill--> DELAY <--foreign queue / quiet, yield--> COMPETE
//!                                      (CLEAR, CLAIM, DRAIN, DOWN, VERIFY beside;
//!                                       INSIST within COMPETE)
//! ```
//!
//! Start-up finds the line's end. The delay mode then keeps an estimate of the
//! share of the line and a small queue in front of it. Random loss moves
//! neither: only queueing delay, loss beyond the line's own and congestion
//! marks do.

mod claim;
mod clear;
mod compete;
mod delay;
mod down;
mod drain;
mod held;
mod insist;
mod level;
mod loss;
mod peak;
mod profile;
mod rivals;
mod search;
mod share;
mod standing;
mod startup;
#[cfg(test)]
mod tests;
mod trains;
mod verify;

use std::time::Duration;

use limosa_wire::{PacketNumber, Rate};

use super::measure::{Meter, Sample, count, later, sane_pace, seconds_since};
use super::{Allowance, PathReport, Policy, RateControl, RateLimits, RateStatistics, Sent};
use crate::Time;
use compete::{Compete, Leave};
use delay::{Change, DelayMode};
use profile::Profile;
use share::Share;
use startup::Startup;
use trains::Trains;

/// In flight at most this many times the share times the round trip, the
/// latter taken as no less than so many seconds and some for the queue.
const IN_FLIGHT: f64 = 1.5;
const IN_FLIGHT_RTT: f64 = 0.015;
const IN_FLIGHT_QUEUE: f64 = 0.012;
/// And for so many reports in a row that may be lost.
const REPORTS: f64 = 8.0;
/// In start-up, what is begun with of a given rate is sent for this part of a
/// round trip and so many seconds beyond one: until one of two reports must have
/// come.
const ON_TRUST: (f64, f64) = (1.0 / 16.0, 0.010);
/// A pace below this share of what the law wants is the limits' doing.
const CAPPED: f64 = 0.97;

/// The law of [`Policy::Fair`] and, with other constants, of [`Policy::High`]
/// and [`Policy::Low`].
#[derive(Debug)]
pub struct Fair {
    profile: &'static Profile,
    limits: RateLimits,
    meter: Meter,
    trains: Trains,
    phase: Phase,
    /// When the application last had less to send than was allowed.
    limited_at: Option<Time>,
    last_sent_at: Time,
    pace: f64,
    in_flight: f64,
}

#[derive(Debug)]
enum Phase {
    Startup(Startup),
    Delay(Box<DelayMode>, Share),
    Compete(Box<Compete>, Share),
}

impl Fair {
    /// A law that knows nothing yet of its path.
    #[must_use]
    pub fn new(now: Time, rtt: Option<Duration>, limits: RateLimits) -> Self {
        Self::with(&profile::FAIR, now, rtt, limits)
    }

    /// The same, as [`Policy::High`] wants it.
    #[must_use]
    pub fn high(now: Time, rtt: Option<Duration>, limits: RateLimits) -> Self {
        Self::with(&profile::HIGH, now, rtt, limits)
    }

    /// The same, as [`Policy::Low`] wants it.
    #[must_use]
    pub fn low(now: Time, rtt: Option<Duration>, limits: RateLimits) -> Self {
        Self::with(&profile::LOW, now, rtt, limits)
    }

    fn with(profile: &'static Profile, now: Time, rtt: Option<Duration>, limits: RateLimits) -> Self {
        let mut law = Self {
            profile,
            limits,
            meter: Meter::default(),
            trains: Trains::default(),
            phase: Phase::Startup(Startup::from_rate(now, 0.0)),
            limited_at: None,
            last_sent_at: now,
            pace: 0.0,
            in_flight: 0.0,
        };
        law.on_path(now, rtt);
        law
    }

    /// The lowest of target and caps, in bytes per second.
    fn ceiling(&self) -> f64 {
        let target = self.limits.target.unwrap_or(Rate::UNLIMITED);
        sane_pace(target.min(self.limits.cap).bytes_per_second())
    }

    fn start(&mut self, startup: Startup) {
        self.pace = sane_pace(startup.rate());
        self.phase = Phase::Startup(startup);
        self.in_flight = self.startup_in_flight();
    }

    fn startup_in_flight(&self) -> f64 {
        let rtt = self.meter.base_rtt();
        let time = match &self.phase {
            Phase::Startup(startup) if startup.is_on_trust() => rtt + ON_TRUST.0 * rtt + ON_TRUST.1,
            _ => 1.5 * rtt + 0.03,
        };
        self.pace * time + 64.0 * self.meter.packet()
    }

    fn compete(&mut self, s: &Sample) {
        if let Phase::Delay(_, share) = &self.phase {
            let mode = Compete::begin(s, share);
            self.pace = sane_pace(mode.pace());
            self.in_flight = mode.in_flight(s);
            self.phase = Phase::Compete(Box::new(mode), share.clone());
        }
    }

    fn on_sample(&mut self, s: &Sample) {
        let limited = self.limited_at.is_some_and(|at| at >= s.oldest);
        let capped = self.pace >= self.ceiling();
        let limited = limited || capped;
        match &mut self.phase {
            Phase::Startup(startup) => {
                let left = startup.on_sample(s, self.trains.hint(), limited && !capped);
                self.pace = sane_pace(startup.rate());
                self.in_flight = self.startup_in_flight();
                if let Some(mut share) = left {
                    share.hint = self.trains.hint().unwrap_or(0.0);
                    let mode = DelayMode::after_startup(s, &share, self.profile);
                    self.phase = Phase::Delay(Box::new(mode), share);
                    self.on_sample(s);
                }
            }
            Phase::Delay(mode, share) => {
                let judged = share.judge(s);
                let (pace, change) = mode.on_sample(s, &judged, share, self.profile, limited);
                self.pace = sane_pace(pace);
                let time = s.rtt.max(s.base_rtt).max(IN_FLIGHT_RTT) + IN_FLIGHT_QUEUE;
                self.in_flight = share.rate * (IN_FLIGHT * time + REPORTS * s.interval);
                match change {
                    Some(Change::Longer(by)) => self.meter.rebase(by),
                    Some(Change::Compete) => self.compete(s),
                    None => {}
                }
            }
            Phase::Compete(mode, share) => {
                let judged = share.judge(s);
                let target = self.profile.target_queue(judged.rate);
                let left = match &self.profile.compete {
                    Some(constants) => mode.on_sample(s, &judged, share, constants, target),
                    // The policy was changed meanwhile.
                    None => Some(Leave::Quiet),
                };
                self.pace = sane_pace(mode.pace());
                self.in_flight = mode.in_flight(s);
                if let Some(left) = left {
                    if let Leave::Longer(by) = left {
                        self.meter.rebase(by);
                    }
                    let mode = DelayMode::after_competing(s, share, left == Leave::Alike);
                    self.phase = Phase::Delay(Box::new(mode), share.clone());
                }
            }
        }
    }
}

impl RateControl for Fair {
    fn on_path(&mut self, now: Time, rtt: Option<Duration>) {
        self.meter.restart(now, rtt);
        self.trains = Trains::default();
        self.limited_at = None;
        let target = self.limits.target.map(Rate::bytes_per_second);
        let (rtt, packet) = (self.meter.base_rtt(), self.meter.packet());
        self.start(Startup::new(now, rtt, packet, target));
    }

    fn on_sent(&mut self, sent: Sent, limited: bool) {
        self.meter.on_sent(sent);
        self.last_sent_at = sent.at;
        if limited {
            self.limited_at = Some(sent.at);
        }
    }

    fn on_report(&mut self, report: &PathReport<'_>) {
        self.trains.on_report(report);
        if let Some(sample) = self.meter.on_report(report) {
            self.on_sample(&sample);
            // What is older than the newest arrival waits for reports, not for
            // the path: it must not stop the pace.
            let waiting = (count(report.in_flight) - sample.ahead).clamp(0.0, self.in_flight);
            self.in_flight += waiting;
        }
    }

    fn on_silence(&mut self, _now: Time) {
        self.meter.interrupt();
    }

    fn set_limits(&mut self, now: Time, limits: RateLimits) {
        let before = self.ceiling();
        self.limits = limits;
        // What lay beyond the old limit is unknown: look for it at start-up's
        // speed, from where we are.
        let held_back = self.pace >= CAPPED * before && self.ceiling() > before;
        if let (true, Phase::Delay(_, share)) = (held_back, &self.phase) {
            self.start(Startup::from_rate(now, share.rate.min(before)));
        }
    }

    fn follow(&mut self, policy: Policy) -> bool {
        match policy {
            Policy::Fair => self.profile = &profile::FAIR,
            Policy::High => self.profile = &profile::HIGH,
            Policy::Low => self.profile = &profile::LOW,
            Policy::Fixed => return false,
        }
        true
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn allowance(&mut self, now: Time) -> Allowance {
        let pace = match &self.phase {
            Phase::Delay(mode, share) if mode.is_overdue(now) => share.rate,
            _ => self.pace,
        };
        let pace = pace.min(self.ceiling());
        let (rtt, packet) = (self.meter.base_rtt(), self.meter.packet());
        let train = match &self.phase {
            Phase::Startup(startup) => startup.train(now, pace, rtt, packet),
            Phase::Delay(..) | Phase::Compete(..) => 0,
        };
        Allowance { pace: Rate::from_bytes_per_second(pace), in_flight: self.in_flight.max(4.0 * packet) as u64, train }
    }

    fn on_train_sent(&mut self, first: PacketNumber, last: PacketNumber) {
        self.trains.on_sent(first, last);
        let (now, rtt) = (self.last_sent_at, self.meter.base_rtt());
        if let Phase::Startup(startup) = &mut self.phase {
            startup.on_train_sent(now, rtt);
        }
    }

    fn statistics(&self) -> RateStatistics {
        let (phase, capacity, loss) = match &self.phase {
            Phase::Startup(startup) => ("startup", startup.rate(), 0.0),
            Phase::Delay(mode, share) => (mode.phase(), share.rate, share.baseline.rate()),
            Phase::Compete(mode, share) => (mode.phase(), share.rate, share.baseline.rate()),
        };
        RateStatistics {
            phase,
            capacity: Rate::from_bytes_per_second(capacity),
            base_rtt: Duration::from_secs_f64(self.meter.base_rtt()),
            queue: Duration::from_secs_f64(self.meter.queue()),
            baseline_loss: loss,
        }
    }
}
