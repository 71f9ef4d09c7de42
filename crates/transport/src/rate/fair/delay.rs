//! The normal state: hold a small queue that shrinks with the own rate.
//!
//! The share of the line is an estimate that only a busy bottleneck may lower.
//! The pace is that share, corrected by how far the queue *will be* from its
//! target one round trip from now, as the bytes under way tell; a law on the
//! queue as measured would swing with every round trip of delay.

use super::down::{self, Down};
use super::drain::{self, Company, Drain, Grid, Watch};
use super::profile::Profile;
use super::share::{Judged, Share};
use super::verify::{self, Verify};
use super::{Sample, later, seconds_since};
use crate::Time;

/// Gain of the estimate per window.
const GAIN: f64 = 0.5;
/// Largest gain per report.
const GAIN_MOST: f64 = 0.9;
/// Correction of the pace, at most, down and up.
const CORRECTION: (f64, f64) = (-0.5, 0.4);
/// Sending at this share of the estimate counts as using it.
const BUSY: f64 = 0.97;
/// Pace under congestion, relative to the estimate.
const CONGESTED: f64 = 0.98;
/// Factor on the target queue while searching, each time.
const SEARCH: f64 = 3.0;
/// Least target of a search relative to the round trip, and most relative to
/// the law's horizon.
const SEARCH_RTT: f64 = 0.02;
const SEARCH_HORIZON: f64 = 0.4;
/// After loss the target is this share of the buffer, relaxed by so much after
/// so many seconds.
const BUFFER_SHARE: f64 = 0.6;
const RELAX: f64 = 1.3;
const RELAX_EVERY: f64 = 10.0;
/// Smallest target queue in seconds, whatever the buffer.
const TARGET_FLOOR: f64 = 0.000_25;
/// Round trips of lasting excess loss before going down, and between two such.
const LASTING: f64 = 2.5;
const DOWN_EVERY: f64 = 8.0;

/// State of the delay mode.
#[derive(Clone, Debug, Default)]
pub(super) struct DelayMode {
    target: f64,
    search: Search,
    limit: Option<BufferLimit>,
    excess_since: Option<Time>,
    last_down: Option<Time>,
    grid: Grid,
    aside: Option<Aside>,
    watch: Option<Watch>,
    alike_until: Option<Time>,
}

/// A short phase beside the law.
#[derive(Clone, Copy, Debug)]
enum Aside {
    Drain(Drain),
    Down(Down),
    Verify(Verify),
}

/// What the caller has to do after a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Change {
    /// The path is longer by so many seconds: move the base delay.
    Longer(f64),
}

/// A shallow buffer, learnt from loss.
#[derive(Clone, Copy, Debug)]
struct BufferLimit {
    queue: f64,
    since: Time,
    /// No search beyond this rate until then.
    rate: f64,
    until: Time,
}

impl DelayMode {
    pub(super) fn phase(&self) -> &'static str {
        match self.aside {
            None => "delay",
            Some(Aside::Drain(_)) => "drain",
            Some(Aside::Down(_)) => "down",
            Some(Aside::Verify(_)) => "verify",
        }
    }

    /// The queue aimed at, in seconds.
    pub(super) fn target(&self) -> f64 {
        self.target
    }

    /// Whether the others were found to be of our kind, not long ago.
    pub(super) fn among_alike(&self, now: Time) -> bool {
        self.alike_until.is_some_and(|until| now < until)
    }

    /// Takes in a sample; answers with the pace.
    pub(super) fn on_sample(
        &mut self,
        s: &Sample,
        judged: &Judged,
        share: &mut Share,
        profile: &Profile,
        limited: bool,
    ) -> (f64, Option<Change>) {
        self.set_target(s, judged, share, profile, limited);
        self.note_excess(s, judged, share);
        let change = self.step_aside(s, share);
        if !matches!(self.aside, Some(Aside::Verify(_))) {
            self.estimate(s, judged, share, limited);
            self.learn_baseline(s, share);
            let barred = self.search_barred(s.now, share.rate);
            let may = !judged.congested && !limited && !barred && self.aside.is_none();
            self.search.on_sample(s, self.target, share.rate, may);
        }
        self.watch_company(s);
        self.begin_aside(s, judged, share);
        (self.pace(s, judged, share), change)
    }

    fn set_target(&mut self, s: &Sample, judged: &Judged, share: &Share, profile: &Profile, limited: bool) {
        let own = if limited { share.rate } else { judged.rate };
        self.target = profile.target_queue(own);
        if let Some(limit) = &mut self.limit {
            if seconds_since(s.now, limit.since) > RELAX_EVERY {
                limit.queue *= RELAX;
                limit.since = s.now;
            }
            self.target = self.target.min(limit.queue).max(TARGET_FLOOR);
        }
    }

    fn note_excess(&mut self, s: &Sample, judged: &Judged, share: &Share) {
        if judged.congested {
            self.limit = Some(BufferLimit {
                queue: (BUFFER_SHARE * s.queue_high).max(TARGET_FLOOR),
                since: s.now,
                rate: share.rate,
                until: later(s.now, 10.0 + 5.0 * s.base_rtt),
            });
        }
        if judged.excess == 0.0 {
            self.excess_since = None;
        } else {
            self.excess_since.get_or_insert(s.now);
        }
    }

    fn search_barred(&self, now: Time, rate: f64) -> bool {
        self.limit.is_some_and(|limit| now < limit.until && rate > 0.9 * limit.rate)
    }

    /// Moves the estimate: up whenever more passed, down only if the
    /// bottleneck was busy all the time, or dropped what we sent.
    fn estimate(&self, s: &Sample, judged: &Judged, share: &mut Share, limited: bool) {
        let window = s.window.max(s.base_rtt).max(s.interval);
        let gain = GAIN * s.elapsed.min(3.0 * s.interval) / window;
        let x = judged.rate;
        share.note(s.now, x);
        if x > share.rate {
            let gain = if self.search.active() { 1.0 } else { 2.0 * gain };
            share.approach(x, gain.min(GAIN_MOST));
            return;
        }
        let busy = s.full && s.queue_low > self.target / 4.0;
        let dropped = judged.excess > 0.0 && s.sent > BUSY * share.rate;
        if limited || !(busy || dropped) {
            return;
        }
        let collapsed = x < 0.75 * share.rate && s.queue > 2.0 * self.target;
        let gain = if collapsed { 3.0 * gain } else { gain };
        share.approach(x, gain.min(GAIN_MOST));
    }

    /// Loss seen on an empty queue while we send less than the line carries.
    fn learn_baseline(&self, s: &Sample, share: &mut Share) {
        let empty = s.queue < 0.3 * self.target && s.queue_high < 0.6 * self.target;
        if empty && s.sent < BUSY * share.best() {
            share.baseline.learn(s.fresh_lost, s.fresh_packets);
        }
    }

    fn step_aside(&mut self, s: &Sample, share: &mut Share) -> Option<Change> {
        match &mut self.aside {
            Some(Aside::Drain(drain)) if drain.over(s) => self.aside = None,
            Some(Aside::Down(down)) => {
                let outcome = down.on_sample(s, self.target)?;
                if let down::Outcome::Baseline(rate) = outcome {
                    share.baseline = super::loss::BaselineLoss::new(rate);
                }
                self.aside = None;
            }
            Some(Aside::Verify(verify)) => {
                let outcome = verify.on_sample(s)?;
                self.aside = None;
                if let verify::Outcome::Longer(by) = outcome {
                    return Some(Change::Longer(by));
                }
            }
            _ => {}
        }
        None
    }

    fn begin_aside(&mut self, s: &Sample, judged: &Judged, share: &Share) {
        let due = self.grid.passed(s.now, drain::period(s.base_rtt));
        if matches!(self.aside, Some(Aside::Verify(_) | Aside::Down(_))) {
            return;
        }
        if let Some(verify) = Verify::begin(s, self.target) {
            self.aside = Some(Aside::Verify(verify));
        } else if self.down_due(s, judged) {
            self.last_down = Some(s.now);
            self.excess_since = None;
            self.aside = Some(Aside::Down(Down::begin(s)));
        } else if due && s.queue > 0.3 * self.target {
            if s.queue > 0.6 * self.target && share.rate < 0.85 * share.best() {
                self.watch = Some(Watch::begin(s));
            }
            self.aside = Some(Aside::Drain(Drain::begin(s)));
        }
    }

    fn down_due(&self, s: &Sample, judged: &Judged) -> bool {
        let trip = s.base_rtt.max(s.window);
        let lasting = |since: Time| seconds_since(s.now, since) > LASTING * trip;
        let rested = |last: Time| seconds_since(s.now, last) > DOWN_EVERY * trip;
        judged.excess > 0.0 && self.excess_since.is_some_and(lasting) && self.last_down.is_none_or(rested)
    }

    fn watch_company(&mut self, s: &Sample) {
        let Some(company) = self.watch.as_mut().and_then(|w| w.on_sample(s)) else {
            return;
        };
        self.watch = None;
        if company == Company::Alike {
            let bar = 2.6 * drain::period(s.base_rtt);
            self.alike_until = Some(later(s.now, bar));
        }
    }

    fn pace(&self, s: &Sample, judged: &Judged, share: &Share) -> f64 {
        let rate = share.rate;
        match self.aside {
            Some(Aside::Drain(drain)) => return drain.factor() * rate,
            Some(Aside::Down(_)) => return Down::FACTOR * rate,
            Some(Aside::Verify(_)) => return Verify::FACTOR * rate,
            None => {}
        }
        let under_way = s.ahead * (1.0 - judged.excess) / rate;
        let predicted = s.queue + under_way - s.age();
        let target = self.search.target(self.target, s);
        let correction = (target - predicted) / s.horizon();
        let pace = rate * (1.0 + correction.clamp(CORRECTION.0, CORRECTION.1));
        if judged.congested { pace.min(CONGESTED * rate) } else { pace }
    }
}

/// Looking for free capacity once the queue stays empty although we send all
/// that we believe to have.
#[derive(Clone, Copy, Debug, Default)]
struct Search {
    idle_since: Option<Time>,
    /// Factor on the target; 0 stands for not searching.
    factor: f64,
}

impl Search {
    fn active(&self) -> bool {
        self.factor > 1.0
    }

    fn on_sample(&mut self, s: &Sample, target: f64, rate: f64, may: bool) {
        if s.queue > target / 2.0 || !may {
            *self = Self::default();
            return;
        }
        if s.queue > 0.3 * target || s.sent < BUSY * rate {
            self.idle_since = None;
            return;
        }
        let since = *self.idle_since.get_or_insert(s.now);
        if seconds_since(s.now, since) > 1.05 * s.base_rtt + s.interval {
            self.factor = (self.factor.max(1.0) * SEARCH).min(1e6);
            self.idle_since = Some(s.now);
        }
    }

    fn target(&self, target: f64, s: &Sample) -> f64 {
        if !self.active() {
            return target;
        }
        let wide = target.max(SEARCH_RTT * s.base_rtt) * self.factor;
        wide.min(SEARCH_HORIZON * s.horizon())
    }
}
