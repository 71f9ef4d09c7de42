//! The dice of a link: one stream of random numbers per kind of fault.

use std::time::Duration;

use limosa_transport::Time;

use super::settings::{Jitter, LinkSettings, Stalls};
use crate::random::{Random, Seed};

#[derive(Debug)]
pub(super) struct Faults {
    loss: Random,
    bursts: Random,
    bad: bool,
    duplication: Random,
    corruption: Random,
    corrupted_bit: Random,
    reordering: Random,
    stalls: Random,
    /// The next time that the bottleneck stands still, from and until.
    stall: Option<(Time, Time)>,
    jitter: Random,
    drift: Drift,
    last_in_order: Time,
}

/// Smooth jitter: the way from one random goal to the next.
#[derive(Debug, Default)]
struct Drift {
    from: f64,
    to: f64,
    since: Time,
    until: Time,
}

impl Faults {
    pub(super) fn new(seed: Seed) -> Self {
        Self {
            loss: seed.stream("loss"),
            bursts: seed.stream("bursts"),
            bad: false,
            duplication: seed.stream("duplication"),
            corruption: seed.stream("corruption"),
            corrupted_bit: seed.stream("corrupted bit"),
            reordering: seed.stream("reordering"),
            stalls: seed.stream("stalls"),
            stall: None,
            jitter: seed.stream("jitter"),
            drift: Drift::default(),
            last_in_order: Time::ZERO,
        }
    }

    /// The fate of the next packet under random loss and bursts. Both are
    /// always drawn, so that switching one on leaves the other as it was.
    pub(super) fn loses(&mut self, settings: &LinkSettings) -> bool {
        let alone = self.loss.hits(settings.loss);
        let Some(bursts) = settings.bursts else { return alone };
        let turns = if self.bad { bursts.leave } else { bursts.enter };
        self.bad ^= self.bursts.hits(turns);
        let in_burst = self.bad && self.bursts.hits(bursts.bad_loss);
        alone || in_burst
    }

    pub(super) fn corrupts(&mut self, settings: &LinkSettings) -> bool {
        settings.corruption > 0.0 && self.corruption.hits(settings.corruption)
    }

    /// The stream that picks the bit to damage.
    pub(super) fn corruption(&mut self) -> &mut Random {
        &mut self.corrupted_bit
    }

    pub(super) fn duplicates(&mut self, settings: &LinkSettings) -> bool {
        settings.duplication > 0.0 && self.duplication.hits(settings.duplication)
    }

    /// When the bottleneck next works, at `now` or later.
    pub(super) fn next_working(&mut self, settings: &LinkSettings, now: Time) -> Time {
        let Some(Stalls { apart, length }) = settings.stalls else { return now };
        loop {
            let (from, until) = *self.stall.get_or_insert_with(|| {
                let from = now + apart.mul_f64(self.stalls.exponential());
                (from, from + length.mul_f64(self.stalls.exponential()))
            });
            if now < from {
                return now;
            }
            if now < until {
                return until;
            }
            let from = until + apart.mul_f64(self.stalls.exponential());
            self.stall = Some((from, from + length.mul_f64(self.stalls.exponential())));
        }
    }

    /// When a packet that left the bottleneck at `left` arrives.
    pub(super) fn arrival(&mut self, settings: &LinkSettings, left: Time) -> Time {
        let mut arrival = left + settings.delay;
        match settings.jitter {
            None => {}
            Some(Jitter::PerPacket(mean)) => arrival = arrival + mean.mul_f64(self.jitter.exponential()),
            Some(Jitter::Smooth { amplitude, period }) => {
                let drift = amplitude.mul_f64(self.drift.at(left, period, &mut self.jitter));
                arrival = (arrival + drift).max(self.last_in_order);
                self.last_in_order = arrival;
            }
        }
        if let Some(reordering) = settings.reordering
            && self.reordering.hits(reordering.share)
        {
            arrival = arrival + reordering.by.mul_f64(self.reordering.unit());
        }
        match settings.bunching {
            Some(apart) => next_multiple(arrival, apart),
            None => arrival,
        }
    }
}

/// The first multiple of `apart` that is not before `at`.
fn next_multiple(at: Time, apart: Duration) -> Time {
    let apart = (apart.as_nanos() as u64).max(1);
    Time::from_nanos(at.nanos().div_ceil(apart) * apart)
}

impl Drift {
    /// Share of the amplitude at `now`, 0 to 1.
    fn at(&mut self, now: Time, period: Duration, random: &mut Random) -> f64 {
        let period = period.max(Duration::from_micros(1));
        while self.until <= now {
            self.from = self.to;
            self.to = random.unit();
            self.since = self.until;
            self.until = self.since + period;
        }
        let way = now.since(self.since).as_secs_f64() / period.as_secs_f64();
        self.from + (self.to - self.from) * way.min(1.0)
    }
}
