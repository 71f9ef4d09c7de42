//! The normal state: hold a small queue that shrinks with the own rate.
//!
//! The share of the line is an estimate that only a busy bottleneck may lower.
//! The pace is that share, corrected by how far the queue *will be* from its
//! target one round trip from now, as the bytes under way tell; a law on the
//! queue as measured would swing with every round trip of delay.

use super::claim::{self, Claim};
use super::clear::{self, AfterStartup, Clear};
use super::down::{self, Down};
use super::drain::{self, Company, Drain, Grid, Watch};
use super::level::{self, Level};
use super::profile::Profile;
use super::rivals::Rivals;
use super::search::Search;
use super::share::{Judged, Share};
use super::standing::Standing;
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
pub(super) const BUSY: f64 = 0.97;
/// Pace under congestion, relative to the estimate.
const CONGESTED: f64 = 0.98;
/// After loss the target is this share of the buffer: for who has half of the
/// line or more, and for who has next to nothing, so that flows still converge.
const BUFFER_SHARE: (f64, f64) = (0.6, 0.85);
/// The limit is relaxed by so much after so many seconds.
const RELAX: f64 = 1.3;
const RELAX_EVERY: f64 = 10.0;
/// How long loss bars the search, in seconds, at first and at most.
const BAR: (f64, f64) = (2.0, 20.0);
/// Smallest target queue in seconds, whatever the buffer, and in bytes at the
/// rate held: a few packets behind each other are no queue, and a target below
/// what can be told from none would keep the search from ever starting.
const TARGET_FLOOR: (f64, f64) = (0.000_5, 4_500.0);
/// From this part of the best rate on there is nobody to give way to.
const ALL: f64 = 0.95;
/// A target below so much of what it would be is the buffer's.
const SHALLOW: f64 = 0.8;
/// At least so much of the share is kept when giving way.
const GIVE_WAY: f64 = 0.85;
/// Who gave way holds still for so many round trips.
const GIVING_WAY: f64 = 4.0;
/// Least that is sent of the share when stepping aside, inverted.
const GIVEN: f64 = 1.0 / Verify::FACTOR;
/// A queue of so many seconds is one, however high the target.
const SEEN: f64 = 0.001_5;
/// After a claim so many drains go as deep as they may.
const DEEP_DRAINS: u32 = 4;
/// For so many seconds after company came, drains are as frequent as they may:
/// a newcomer must see the base delay. Flows on longer paths drain seldom, and
/// should not gain from it.
const GATHERING: f64 = 4.0;
/// Below this part of the best rate, a queue that holds us back is looked into.
const FALLEN: f64 = 0.5;
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
    downs_in_vain: u32,
    /// Points for all, and for those who have company since lately.
    grid: (Grid, Grid),
    company_since: Option<Time>,
    aside: Option<Aside>,
    watch: Option<Watch>,
    level: Level,
    /// The queue that stood still until the drain that is watched.
    agreed: Option<f64>,
    standing: Standing,
    /// When we last sent less of our own accord.
    stepped_aside: Option<Time>,
    alike_until: Option<Time>,
    rivals: Rivals,
    left: Option<Left>,
    claim: Option<Claim>,
    claimed: Option<f64>,
    hold: Option<Hold>,
    /// Drains to come that go deep, after a claim.
    deep_drains: u32,
    /// Looks for the queue of crowded start-ups, once.
    after_startup: Option<AfterStartup>,
    /// When we last cleared it.
    cleared: Option<Time>,
}

/// A short phase beside the law.
#[derive(Clone, Copy, Debug)]
enum Aside {
    Clear(Clear),
    Drain(Drain),
    Down(Down),
    Verify(Verify),
}

/// What the caller has to do after a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Change {
    /// The path is longer by so many seconds: move the base delay.
    Longer(f64),
    /// Others keep the buffer full.
    Compete,
}

/// When competing was left, and with what.
#[derive(Clone, Copy, Debug)]
struct Left {
    at: Time,
    rate: f64,
}

impl Left {
    /// It was too early: a loss-driven flow had only backed off.
    fn regretted(&self, s: &Sample, share: &Share, target: f64) -> bool {
        seconds_since(s.now, self.at) < 20.0 && share.rate < 0.72 * self.rate && s.queue > 0.9 * target
    }
}

/// No more than so much until a drain, or for so long. After a claim, a
/// newcomer may have taken the queue of others for the base delay; after giving
/// way, others need time to take what they are left.
#[derive(Clone, Copy, Debug)]
struct Hold {
    rate: f64,
    until: Time,
}

/// A shallow buffer, learnt from loss.
#[derive(Clone, Copy, Debug)]
struct BufferLimit {
    queue: f64,
    since: Time,
    /// No search near this rate for so many seconds, until then.
    rate: f64,
    bar: f64,
    until: Time,
}

impl DelayMode {
    /// Follows competing; `alike` if the others turned out to be of our kind.
    pub(super) fn after_competing(s: &Sample, share: &Share, alike: bool) -> Self {
        let bar = if alike { 5.0 + 4.0 * s.base_rtt } else { 0.0 };
        Self {
            alike_until: alike.then(|| later(s.now, bar)),
            left: Some(Left { at: s.now, rate: share.rate }),
            ..Self::default()
        }
    }

    /// Follows start-up.
    pub(super) fn after_startup(s: &Sample, share: &Share, profile: &Profile) -> Self {
        let claim = Claim::begin(s, share.rate, share.hint).filter(|_| profile.claims);
        let deep_drains = if claim.is_some() { DEEP_DRAINS } else { 0 };
        Self { claim, deep_drains, after_startup: Some(AfterStartup::new(s)), ..Self::default() }
    }

    /// Whether we hold back for longer than we meant to, for want of reports.
    pub(super) fn is_overdue(&self, now: Time) -> bool {
        matches!(self.aside, Some(Aside::Clear(clear)) if clear.is_overdue(now))
    }

    pub(super) fn phase(&self) -> &'static str {
        match self.aside {
            None if self.claim.is_some() => "claim",
            None => "delay",
            Some(Aside::Clear(_)) => "clear",
            Some(Aside::Drain(_)) => "drain",
            Some(Aside::Down(_)) => "down",
            Some(Aside::Verify(_)) => "verify",
        }
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
        if self.aside.is_some() {
            self.stepped_aside = Some(s.now);
        }
        let change = self.step_aside(s, judged, share);
        if change.is_some() {
            return (share.rate, change);
        }
        if !self.verifying(s) {
            self.note_excess(s, judged, share);
            self.estimate(s, judged, share, limited);
            self.learn_baseline(s, share);
            let barred = self.search_barred(s.now, share.rate);
            let may = !judged.congested && !limited && !barred && self.aside.is_none();
            self.search.on_sample(s, self.target, share.rate, may);
            self.press(s, judged, share, profile);
            let calm = may && !self.search.active() && self.claim.is_none();
            self.level.on_sample(s, calm);
            let change = self.watch_company(s, judged, share, profile);
            let held_back = !judged.congested && share.rate < FALLEN * share.best() && !share.base_is_proven(s.now);
            let longer = self.standing.on_sample(s, held_back);
            let change = change.or(longer.map(Change::Longer));
            if change.is_some() {
                return (share.rate, change);
            }
            self.begin_aside(s, judged, share);
            if self.must_compete(s, judged, share, profile) {
                return (share.rate, Some(Change::Compete));
            }
        }
        (self.pace(s, judged, share), None)
    }

    fn reaches_into_clearing(&self, s: &Sample) -> bool {
        self.cleared.is_some_and(|at| s.oldest <= at)
    }

    fn must_compete(&mut self, s: &Sample, judged: &Judged, share: &Share, profile: &Profile) -> bool {
        if self.reaches_into_clearing(s) {
            // What was lost in a crowded start says nothing of who is there.
            self.rivals = if share.base_is_proven(s.now) { Rivals::armed() } else { Rivals::default() };
            return false;
        }
        let ours = self.aside.is_some() || self.watch.is_some() || self.claim.is_some();
        let signs = self.rivals.on_sample(s, judged, share, profile, self.target, ours);
        let was_wrong = self.left.is_some_and(|left| left.regretted(s, share, self.target));
        let barred = self.alike_until.is_some_and(|until| s.now < until);
        profile.compete.is_some() && !barred && (signs || was_wrong)
    }

    /// Whether the delay is under suspicion of being the path's own.
    fn verifying(&mut self, s: &Sample) -> bool {
        match self.aside {
            Some(Aside::Verify(_)) => return true,
            // Queues of start-ups may grow as if the path had.
            Some(Aside::Clear(_)) => return false,
            _ => {}
        }
        let verify = Verify::begin(s, self.target).map(Aside::Verify);
        let begun = verify.is_some();
        self.aside = verify.or(self.aside);
        begun
    }

    fn press(&mut self, s: &Sample, judged: &Judged, share: &mut Share, profile: &Profile) {
        self.claimed = None;
        let Some(mut claim) = self.claim.take().filter(|_| profile.claims) else {
            return;
        };
        if self.aside.is_some() {
            claim.postpone(s);
        }
        let room = Claim::room(s, self.target, self.limit.map(|limit| limit.queue));
        let step = claim.on_sample(s, judged.rate, room, judged.congested);
        match step {
            claim::Step::Press(rate) => self.claimed = Some(rate),
            claim::Step::InVain => share.hint = 0.0,
            claim::Step::Wait | claim::Step::Over => {}
        }
        if matches!(step, claim::Step::Press(_) | claim::Step::Wait) {
            self.claim = Some(claim);
            return;
        }
        let until = later(s.now, drain::period(s.base_rtt) + 2.0 * s.base_rtt);
        self.hold = Some(Hold { rate: claim.goal(), until });
    }

    fn set_target(&mut self, s: &Sample, judged: &Judged, share: &Share, profile: &Profile, limited: bool) {
        let own = if limited { share.rate } else { judged.rate };
        self.target = profile.target_queue(own);
        if let Some(limit) = &mut self.limit {
            if seconds_since(s.now, limit.since) > RELAX_EVERY {
                limit.queue *= RELAX;
                limit.since = s.now;
            }
            let part =
                BUFFER_SHARE.1 - (BUFFER_SHARE.1 - BUFFER_SHARE.0) * (2.0 * share.rate / share.reference()).min(1.0);
            self.target = self
                .target
                .min(part * limit.queue)
                .max(TARGET_FLOOR.0)
                .max((TARGET_FLOOR.1 / own).min(profile.target_queue(own)));
        }
    }

    fn note_excess(&mut self, s: &Sample, judged: &Judged, share: &Share) {
        if judged.congested {
            let bar = self.bar_length(s.now);
            // Loss on a queue that was deeper before tells nothing of buffers.
            let known = self.limit.map_or(f64::MAX, |limit| limit.queue);
            let queue = if judged.overflow { s.queue_high } else { known };
            self.limit = Some(BufferLimit {
                queue: queue.max(TARGET_FLOOR.0),
                since: s.now,
                rate: share.rate,
                bar,
                until: later(s.now, bar + 5.0 * s.base_rtt),
            });
        }
        if judged.excess == 0.0 {
            self.excess_since = None;
        } else {
            self.excess_since.get_or_insert(s.now);
        }
    }

    /// How long to search no further: longer each time a search ran into loss.
    fn bar_length(&self, now: Time) -> f64 {
        match self.limit {
            Some(limit) if self.search.active() => (2.0 * limit.bar).min(BAR.1),
            Some(limit) if now < later(limit.until, limit.bar) => limit.bar,
            _ => BAR.0,
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
            if (share.doubtful && judged.overflow) || matches!(self.aside, Some(Aside::Down(_))) {
                return;
            }
            let gain = if self.search.active() || self.claim.is_some() { 1.0 } else { 2.0 * gain };
            let hold = self.hold.filter(|hold| s.now < hold.until);
            let most = hold.map_or(f64::MAX, |hold| hold.rate.max(share.rate));
            share.approach(x.min(most), gain.min(GAIN_MOST));
            return;
        }
        if self.reaches_into_clearing(s) {
            return;
        }
        let busy = s.full && s.queue_low > self.target / 4.0;
        let dropped = judged.excess > 0.0 && judged.overflow && s.sent > BUSY * share.rate;
        if limited || !(busy || dropped) {
            return;
        }
        // What we left to others for a moment is not lost to them.
        let given = self.stepped_aside.is_some_and(|at| at >= s.oldest);
        let x = if given { x * (share.rate / s.sent).clamp(1.0, GIVEN) } else { x };
        if x >= share.rate {
            return;
        }
        let collapsed = x < 0.75 * share.rate && s.queue > 2.0 * self.target;
        let gain = if collapsed { 3.0 * gain } else { gain };
        share.approach(x, gain.min(GAIN_MOST));
    }

    /// Loss seen on an empty queue while we send less than the line carries.
    fn learn_baseline(&self, s: &Sample, share: &mut Share) {
        let scale = share.scale(self.target);
        let empty = s.queue < 0.3 * scale && s.queue_high < 0.6 * scale;
        if empty && s.sent < BUSY * share.best() {
            share.learn(s);
        }
    }

    fn step_aside(&mut self, s: &Sample, judged: &Judged, share: &mut Share) -> Option<Change> {
        match &mut self.aside {
            Some(Aside::Clear(clear)) => {
                self.cleared = Some(s.now);
                let outcome = clear.on_sample(s)?;
                if outcome == clear::Outcome::Gone {
                    share.prove_base(s.now);
                    share.approach(clear.resumed(share.rate), 1.0);
                }
                self.aside = None;
            }
            Some(Aside::Drain(drain)) if drain.over(s) => self.aside = None,
            Some(Aside::Down(down)) => {
                let outcome = down.on_sample(s, share.scale(self.target))?;
                self.last_down = Some(s.now);
                self.downs_in_vain += 1;
                if let down::Outcome::Baseline(rate, part) = outcome {
                    // It was not the buffer that lost them.
                    share.set_baseline(rate);
                    share.approach(share.rate * part, 1.0);
                    self.limit = None;
                    self.downs_in_vain = 0;
                }
                self.aside = None;
            }
            Some(Aside::Verify(verify)) => {
                let outcome = verify.on_sample(s, judged.congested)?;
                self.aside = None;
                if let verify::Outcome::Longer(by) = outcome {
                    return Some(Change::Longer(by));
                }
            }
            _ => {}
        }
        None
    }

    fn begin_aside(&mut self, s: &Sample, judged: &Judged, share: &mut Share) {
        let due = self.drain_due(s, share);
        if matches!(self.aside, Some(Aside::Verify(_) | Aside::Down(_) | Aside::Clear(_))) {
            return;
        }
        let (part, loss) = (judged.rate / share.best(), if share.doubtful { share.baseline.rate() } else { 0.0 });
        if let Some(clear) = self.after_startup.and_then(|after| after.clear(s, part, loss)) {
            self.after_startup = None;
            (self.claim, self.watch, self.deep_drains) = (None, None, 0);
            self.aside = Some(Aside::Clear(clear));
        } else if self.down_due(s, judged, share) {
            self.last_down = Some(s.now);
            self.excess_since = None;
            self.aside = Some(Aside::Down(Down::begin(s, share.baseline.rate())));
        } else if due && (s.queue > SEEN.min(0.3 * share.scale(self.target)) || self.deep_drains > 0) {
            self.hold = None;
            let drain = Drain::begin(s, self.deep_drains > 0);
            self.watch = Some(Watch::begin(s, &drain, share));
            self.agreed = self.level.settled(s);
            self.aside = Some(Aside::Drain(drain));
            self.deep_drains = self.deep_drains.saturating_sub(1);
        }
    }

    fn drain_due(&mut self, s: &Sample, share: &Share) -> bool {
        let all = self.grid.0.passed(s.now, drain::period(s.base_rtt));
        let few = self.grid.1.passed(s.now, drain::period_in_company(s.base_rtt));
        if share.rate > ALL * share.best() {
            self.company_since = None;
            return all;
        }
        let since = *self.company_since.get_or_insert(s.now);
        all || (few && seconds_since(s.now, since) < GATHERING)
    }

    fn down_due(&self, s: &Sample, judged: &Judged, share: &Share) -> bool {
        let trip = s.base_rtt.max(s.window);
        let lasting = |since: Time| seconds_since(s.now, since) > LASTING * trip;
        let rest = DOWN_EVERY * trip * f64::from(1 << self.downs_in_vain.min(3));
        let rested = |last: Time| seconds_since(s.now, last) > rest;
        let excess = judged.excess > 0.0 && self.excess_since.is_some_and(lasting);
        (excess || share.doubtful) && self.last_down.is_none_or(rested)
    }

    fn watch_company(&mut self, s: &Sample, judged: &Judged, share: &mut Share, profile: &Profile) -> Option<Change> {
        let mut watch = self.watch.take()?;
        match watch.on_sample(s, judged.congested) {
            None => self.watch = Some(watch),
            Some(Company::Alike) => {
                let bar = 2.6 * drain::period(s.base_rtt);
                self.alike_until = Some(later(s.now, bar));
                self.agree(s, &watch, share, profile);
            }
            Some(Company::Nobody) if s.queue > 1.2 * self.target => return Some(Change::Longer(s.queue)),
            Some(_) => {}
        }
        None
    }

    /// Goes towards what the queue says that each should have: down by a part,
    /// up no faster than others make room.
    fn agree(&mut self, s: &Sample, watch: &Watch, share: &mut Share, profile: &Profile) {
        let Some(queue) = self.agreed.take().map(|queue| queue + watch.lowered(s)) else {
            return;
        };
        // Who has all of the line is alone, whatever the queue says; and where
        // the buffer sets the target, the queue says nothing of shares.
        let alone = share.rate > ALL * share.best();
        let shallow = self.target < SHALLOW * profile.target_queue(share.rate);
        if alone || shallow {
            return;
        }
        match level::step(share.rate, queue, share.reference(), profile) {
            Some(rate) if rate < share.rate => {
                let rate = rate.max(GIVE_WAY * share.rate);
                share.approach(rate, 1.0);
                self.hold = Some(Hold { rate, until: later(s.now, GIVING_WAY * s.horizon()) });
            }
            Some(rate) if profile.claims => self.claim = Some(Claim::agreed(s, rate, share)),
            _ => {}
        }
    }

    fn pace(&self, s: &Sample, judged: &Judged, share: &Share) -> f64 {
        let rate = share.rate;
        match self.aside {
            Some(Aside::Clear(_)) => return Clear::pace(s, rate),
            Some(Aside::Drain(drain)) => return drain.factor() * rate,
            Some(Aside::Down(down)) => return down.pace(rate),
            Some(Aside::Verify(_)) => return Verify::FACTOR * rate,
            None => {}
        }
        let under_way = s.ahead * (1.0 - judged.excess) / rate;
        let predicted = s.queue + under_way - s.age();
        let target = self.search.target(self.target, s);
        let correction = (target - predicted) / s.horizon();
        let pace = rate * (1.0 + correction.clamp(CORRECTION.0, CORRECTION.1));
        let pace = pace.max(self.claimed.unwrap_or(0.0));
        if judged.congested { pace.min(CONGESTED * rate) } else { pace }
    }
}
