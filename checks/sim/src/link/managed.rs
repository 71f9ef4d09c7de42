//! Active queue management: which packets a router drops, or marks, to keep its
//! queue short.

use std::time::Duration;

use limosa_transport::Time;

use super::settings::{Discipline, ManagedQueue};
use crate::random::{Random, Seed};

/// With no more than so many bytes waiting nothing is dropped.
const FEW: u64 = 3_000;

/// The state of either discipline.
#[derive(Debug)]
pub(super) struct Manager {
    codel: CoDel,
    pie: Pie,
}

impl Manager {
    pub(super) fn new(seed: &Seed) -> Self {
        Self { codel: CoDel::default(), pie: Pie::new(seed.stream("managed queue")) }
    }

    /// Whether a packet is struck that enters a queue which takes `delay` to
    /// empty and holds `waiting` bytes.
    pub(super) fn strikes_on_entry(&mut self, queue: &ManagedQueue, now: Time, delay: Duration, waiting: u64) -> bool {
        queue.discipline == Discipline::Pie
            && self.pie.strikes(queue.target.as_secs_f64(), now, delay.as_secs_f64())
            && waiting > FEW
    }

    /// Whether a packet is struck that has waited for `sojourn` and is about to
    /// leave, with `waiting` bytes behind it.
    pub(super) fn strikes_at_head(&mut self, queue: &ManagedQueue, now: Time, sojourn: Duration, waiting: u64) -> bool {
        queue.discipline == Discipline::CoDel && self.codel.strikes(now, sojourn > queue.target && waiting > FEW)
    }
}

/// RFC 8289: once packets have waited too long for an interval, one is struck,
/// and then more and more often until they no longer do.
#[derive(Debug, Default)]
struct CoDel {
    /// When the delay will have been too long for an interval.
    patience_ends: Option<Time>,
    striking: bool,
    next: Time,
    count: u32,
    count_before: u32,
}

impl CoDel {
    const INTERVAL: Duration = Duration::from_millis(100);
    /// Within so many intervals of its last strike it goes on where it was.
    const MEMORY: u32 = 16;

    fn strikes(&mut self, now: Time, late: bool) -> bool {
        let too_long = self.is_too_long(now, late);
        let began = self.striking;
        self.striking = too_long;
        if !too_long || (began && now < self.next) {
            return false;
        }
        if began {
            self.count += 1;
            self.next = self.next + self.gap();
        } else {
            let more = self.count - self.count_before;
            let recently = now.since(self.next) < Self::INTERVAL * Self::MEMORY;
            self.count = if more > 1 && recently { more } else { 1 };
            self.count_before = self.count;
            self.next = now + self.gap();
        }
        true
    }

    fn is_too_long(&mut self, now: Time, late: bool) -> bool {
        if !late {
            self.patience_ends = None;
            return false;
        }
        now >= *self.patience_ends.get_or_insert(now + Self::INTERVAL)
    }

    fn gap(&self) -> Duration {
        Self::INTERVAL.div_f64(f64::from(self.count.max(1)).sqrt())
    }
}

/// RFC 8033: packets are struck with a chance that follows the delay.
#[derive(Debug)]
struct Pie {
    random: Random,
    chance: f64,
    delay_before: f64,
    updated: Time,
    /// Seconds of a burst that are let through yet.
    burst: f64,
}

impl Pie {
    const UPDATE: Duration = Duration::from_millis(15);
    const BURST: f64 = 0.15;
    /// What the chance changes by for each second of delay beyond the target,
    /// and for each by which the delay has grown.
    const GAINS: (f64, f64) = (0.125, 1.25);
    /// Below these chances the changes are smaller by so much.
    const SCALES: [(f64, f64); 6] =
        [(1e-6, 2048.0), (1e-5, 512.0), (1e-4, 128.0), (1e-3, 32.0), (1e-2, 8.0), (1e-1, 2.0)];

    fn new(random: Random) -> Self {
        Self { random, chance: 0.0, delay_before: 0.0, updated: Time::ZERO, burst: Self::BURST }
    }

    fn strikes(&mut self, target: f64, now: Time, delay: f64) -> bool {
        while now.since(self.updated) >= Self::UPDATE {
            self.updated = self.updated + Self::UPDATE;
            self.update(target, delay);
        }
        let calm = self.delay_before < target / 2.0 && self.chance < 0.2;
        self.burst <= 0.0 && !calm && self.random.hits(self.chance)
    }

    fn update(&mut self, target: f64, delay: f64) {
        let change = Self::GAINS.0 * (delay - target) + Self::GAINS.1 * (delay - self.delay_before);
        let scale = Self::SCALES.iter().find(|(below, _)| self.chance < *below).map_or(1.0, |(_, scale)| *scale);
        self.chance = (self.chance + change / scale).clamp(0.0, 1.0);
        if delay == 0.0 && self.delay_before == 0.0 {
            self.chance *= 0.98;
        }
        let idle = self.chance == 0.0 && delay < target / 2.0 && self.delay_before < target / 2.0;
        self.burst = if idle { Self::BURST } else { (self.burst - Self::UPDATE.as_secs_f64()).max(0.0) };
        self.delay_before = delay;
    }
}
