//! Beside flows that fill the buffer: a virtual CUBIC, paced.
//!
//! No fixed queue gives an even share beside a loss-driven flow, whose queue
//! grows with the buffer; so we grow a window as it does (RFC 9438) and back
//! off at *excess* loss. Late-comers are helped to about half of the line, and
//! nobody takes more than a little above it. On a common grid of time the
//! window is lowered for a moment: if the queue falls by much more than our
//! part, others yielded too, and are of our kind.

use super::drain::Grid;
use super::insist::{InVain, Insist};
use super::profile::CompeteProfile;
use super::share::{Judged, Share};
use super::standing::Standing;
use super::{Sample, later, seconds_since};
use crate::Time;

/// Packet that the cubic growth counts in, in bytes.
const SEGMENT: f64 = 1500.0;
/// Part of the line at which we begin, and at which catching up ends.
const BEGIN: f64 = 0.45;
const CAUGHT_UP: f64 = 0.47;
/// Growth per round trip while catching up, and the losses that end it: at
/// first and when taken up again.
const CATCH_UP: f64 = 0.15;
const CATCH_UP_LOSSES: (u32, u32) = (3, 2);
/// Part of the line below which it is taken up again, and how often, seconds.
const FAR_BEHIND: f64 = 0.3;
const CATCH_UP_EVERY: f64 = 20.0;
/// Below this part the back-off is softer, at most so soft: a paced flow sees
/// losses that a bursty one misses.
const BEHIND: f64 = 0.42;
const SOFTEST: f64 = 0.85;
/// A queue that is short for this part of the time is short; seen over so many
/// times what one that is always short needs.
const MOSTLY: f64 = 0.6;
const MEMORY: f64 = 2.0;
/// The yield probe: period in seconds per two round trips, factor on the
/// window, and how many times our own part the queue must fall.
const PROBE_EVERY: f64 = 20.0;
const PROBE: f64 = 0.65;
const YIELDED: f64 = 1.7;

/// The window and what grows it.
#[derive(Clone, Debug)]
pub(super) struct Compete {
    window: f64,
    srtt: f64,
    epoch: Epoch,
    catch_up: CatchUp,
    reduced_at: Time,
    in_vain: InVain,
    insist: Option<Insist>,
    short_since: Option<Time>,
    /// Part of the time that the queue is short, smoothed.
    short: f64,
    grid: Grid,
    probe: Option<Probe>,
    standing: Standing,
}

/// Growth since the last back-off.
#[derive(Clone, Copy, Debug)]
struct Epoch {
    since: Time,
    most: f64,
    start: f64,
}

#[derive(Clone, Copy, Debug)]
struct CatchUp {
    losses_left: u32,
    since: Time,
}

/// A yield probe under way.
#[derive(Clone, Copy, Debug)]
struct Probe {
    queue: f64,
    lowest: f64,
    own: f64,
    /// What is sent meanwhile.
    pace: f64,
    until: Time,
}

/// How competing ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Leave {
    /// The queue is gone.
    Quiet,
    /// The others are of our kind.
    Alike,
    /// There are no others: the path is longer by so many seconds.
    Longer(f64),
}

impl Compete {
    pub(super) fn begin(s: &Sample, share: &Share) -> Self {
        let srtt = s.rtt;
        let window = share.rate.max(BEGIN * share.reference()) * srtt;
        Self {
            window,
            srtt,
            epoch: Epoch { since: s.now, most: window, start: window },
            catch_up: CatchUp { losses_left: CATCH_UP_LOSSES.0, since: s.now },
            reduced_at: s.now,
            in_vain: InVain::default(),
            insist: None,
            short_since: None,
            short: 0.0,
            grid: Grid::default(),
            probe: None,
            standing: Standing::default(),
        }
    }

    pub(super) fn pace(&self) -> f64 {
        let usual = self.insist.as_ref().map_or(self.window / self.srtt, Insist::pace);
        self.probe.as_ref().map_or(usual, |probe| probe.pace)
    }

    pub(super) fn phase(&self) -> &'static str {
        if self.insist.is_some() { "insist" } else { "compete" }
    }

    pub(super) fn in_flight(&self, s: &Sample) -> f64 {
        let few = self.insist.as_ref().map_or(f64::MAX, Insist::in_flight);
        (self.pace() * (self.srtt.max(s.rtt) + 2.0 * s.interval)).min(few)
    }

    /// Takes in a sample; says when to leave.
    pub(super) fn on_sample(
        &mut self,
        s: &Sample,
        judged: &Judged,
        share: &mut Share,
        profile: &CompeteProfile,
        target: f64,
    ) -> Option<Leave> {
        self.srtt += (s.elapsed / s.rtt).min(1.0) * (s.rtt - self.srtt);
        share.note(s.now, judged.rate);
        share.approach(judged.rate, (s.elapsed / s.window).min(1.0));
        let line = share.reference();
        if self.insist.is_some() {
            self.insist(s, judged, line);
        } else if self.probe.is_none() {
            if judged.congested && s.newest > self.reduced_at {
                self.back_off(s, judged, line, profile);
            } else {
                self.grow(s, judged, line, profile);
            }
        }
        self.window = self.window.clamp(4.0 * SEGMENT, (profile.ceiling * line * self.srtt).max(4.0 * SEGMENT));
        if self.is_quiet(s, target) {
            return Some(Leave::Quiet);
        }
        if let Some(by) = self.standing.on_sample(s, !judged.congested && !share.base_is_proven(s.now)) {
            return Some(Leave::Longer(by));
        }
        self.probe(s, line, share.rate)
    }

    /// Goes on insisting, or takes the window up again where that has led to.
    fn insist(&mut self, s: &Sample, judged: &Judged, line: f64) {
        let goes_on = |insist: &mut Insist| insist.on_sample(s, self.srtt, judged.rate, judged.rate / line);
        if self.insist.as_mut().is_some_and(goes_on) {
            return;
        }
        self.insist = None;
        self.in_vain = InVain::default();
        self.window = judged.rate * self.srtt;
        self.epoch = Epoch { since: s.now, most: self.window, start: self.window };
    }

    fn grow(&mut self, s: &Sample, judged: &Judged, line: f64, profile: &CompeteProfile) {
        let growth = s.elapsed / self.srtt;
        let lacking = judged.rate < CAUGHT_UP * line;
        let again = seconds_since(s.now, self.catch_up.since) > CATCH_UP_EVERY;
        if again && judged.rate < FAR_BEHIND * line {
            self.catch_up = CatchUp { losses_left: CATCH_UP_LOSSES.1, since: s.now };
        }
        if lacking && self.catch_up.losses_left > 0 {
            self.window *= 1.0 + CATCH_UP * growth.min(1.0);
            self.epoch = Epoch { since: s.now, most: self.window, start: self.window };
            return;
        }
        let cubic = self.cubic(s, profile).max(self.friendly(s, profile));
        let most = self.window * (1.0 + 0.5 * growth.min(1.0));
        self.window = cubic.clamp(self.window, most.max(self.window));
    }

    /// W(t) of RFC 9438, section 4.2, in bytes.
    fn cubic(&self, s: &Sample, profile: &CompeteProfile) -> f64 {
        let (most, start) = (self.epoch.most / SEGMENT, self.epoch.start / SEGMENT);
        let k = ((most - start).max(0.0) / profile.growth).cbrt();
        let t = seconds_since(s.now, self.epoch.since) + self.srtt;
        SEGMENT * (most + profile.growth * (t - k).powi(3))
    }

    /// The window that Reno would have, section 4.3.
    fn friendly(&self, s: &Sample, profile: &CompeteProfile) -> f64 {
        let alpha = 3.0 * (1.0 - profile.beta) / (1.0 + profile.beta);
        let trips = seconds_since(s.now, self.epoch.since) / self.srtt;
        self.epoch.start + SEGMENT * alpha * trips
    }

    fn back_off(&mut self, s: &Sample, judged: &Judged, line: f64, profile: &CompeteProfile) {
        let catching_up = self.catch_up.losses_left > 0;
        if !catching_up && self.in_vain.on_back_off(s, judged.rate / line) {
            self.insist = Some(Insist::begin(s, judged.rate));
        }
        self.catch_up.losses_left = self.catch_up.losses_left.saturating_sub(1);
        let lack = ((BEHIND - judged.rate / line) / BEHIND).clamp(0.0, 1.0);
        let soft = profile.beta + (SOFTEST - profile.beta).max(0.0) * (3.0 * lack).min(1.0);
        let converged = self.window < self.epoch.most;
        let most = if converged { self.window * (1.0 + soft) / 2.0 } else { self.window };
        self.window *= soft;
        self.epoch = Epoch { since: s.now, most, start: self.window };
        self.reduced_at = s.now;
    }

    /// Nobody fills the buffer any more: the queue stays short, or would if the
    /// line did not stand still now and then.
    fn is_quiet(&mut self, s: &Sample, target: f64) -> bool {
        let short = s.queue <= 1.2 * target && self.probe.is_none();
        let memory = MEMORY * (1.0 + 6.0 * s.base_rtt);
        self.short += (s.elapsed / memory).min(1.0) * (f64::from(u8::from(short)) - self.short);
        if self.short > MOSTLY {
            return true;
        }
        if !short {
            self.short_since = None;
            return false;
        }
        let since = *self.short_since.get_or_insert(s.now);
        let patience = if s.queue < target / 4.0 { 4.0 * s.base_rtt + 0.1 } else { 1.0 + 6.0 * s.base_rtt };
        seconds_since(s.now, since) > patience
    }

    /// `delivered` is what arrives of ours.
    fn probe(&mut self, s: &Sample, line: f64, delivered: f64) -> Option<Leave> {
        let due = self.grid.passed(s.now, PROBE_EVERY * (2.0 * s.base_rtt).ceil().max(1.0));
        if let Some(probe) = &mut self.probe {
            probe.lowest = probe.lowest.min(s.queue);
            if s.now < probe.until {
                return None;
            }
            let fell = probe.queue - probe.lowest;
            let alike = fell > YIELDED * probe.own;
            self.probe = None;
            return alike.then_some(Leave::Alike);
        }
        if due {
            let length = s.base_rtt + (1.0 - PROBE) * self.srtt + s.rtt;
            // Who insists sends more than arrives: only less than that makes room.
            let rate = if self.insist.is_some() { delivered } else { self.window / self.srtt };
            let own = (1.0 - PROBE) * rate * self.srtt / line;
            let (queue, until) = (s.queue, later(s.now, length));
            self.probe = Some(Probe { queue, lowest: queue, own, pace: PROBE * rate, until });
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rate::fair::loss::BaselineLoss;
    use crate::rate::fair::profile::FAIR;

    struct Bench {
        mode: Compete,
        share: Share,
        now: f64,
    }

    fn bench(part: f64) -> Bench {
        let mut share = Share::new(part * 25e6, BaselineLoss::default());
        share.note(Time::ZERO, 25e6);
        let mode = Compete::begin(&Sample::calm(1.0, share.rate).with_queue(0.05), &share);
        Bench { mode, share, now: 1.0 }
    }

    impl Bench {
        fn step(&mut self, queue: f64, loss: f64) -> Option<Leave> {
            self.now += 0.00625;
            let s = Sample::calm(self.now, self.mode.pace()).with_queue(queue).with_loss(loss);
            let judged = self.share.judge(&s);
            let constants = FAIR.compete.as_ref().expect("fair competes");
            self.mode.on_sample(&s, &judged, &mut self.share, constants, 0.008)
        }
    }

    /// The queue of somebody who fills 50 ms of buffer again and again.
    fn saw_tooth(step: u32) -> f64 {
        0.035 + 0.015 * f64::from(step % 200) / 200.0
    }

    #[test]
    fn it_begins_near_half_grows_and_stays_below_its_ceiling() {
        let mut bench = bench(0.1);
        let begin = bench.mode.pace();
        assert!((0.44..0.46).contains(&(begin / 25e6)));
        for i in 0..800 {
            assert_eq!(bench.step(saw_tooth(i), 0.0), None);
        }
        assert!(bench.mode.pace() > begin && bench.mode.pace() <= 0.59 * 25e6);
    }

    #[test]
    fn loss_lowers_it_once_per_round_trip() {
        let mut bench = bench(0.5);
        for _ in 0..40 {
            bench.step(0.05, 0.0);
        }
        let before = bench.mode.pace();
        for _ in 0..6 {
            bench.step(0.05, 0.05);
        }
        let after = bench.mode.pace();
        assert!((0.65..0.8).contains(&(after / before)), "{before} {after}");
    }

    #[test]
    fn it_ends_soon_after_the_queue_is_gone() {
        let mut bench = bench(0.5);
        let steps = (0..400).position(|_| bench.step(0.001, 0.0) == Some(Leave::Quiet));
        assert!(steps.is_some_and(|steps| steps < 80), "{steps:?}");
    }

    #[test]
    fn a_queue_of_moments_does_not_keep_it() {
        let quiet_after = |part: u32| {
            let mut bench = bench(0.5);
            (0..1_600).position(|i| bench.step(if i % 20 < part { 0.03 } else { 0.001 }, 0.0) == Some(Leave::Quiet))
        };
        assert!(quiet_after(4).is_some_and(|steps| (150..700).contains(&steps)), "{:?}", quiet_after(4));
        assert_eq!(quiet_after(10), None, "half of the time is somebody's saw-tooth");
    }

    #[test]
    fn others_that_yield_at_the_same_moment_are_alike() {
        let mut bench = bench(0.5);
        let yields = |bench: &mut Bench, low: f64| {
            (0..5_000).find_map(|i| {
                let queue = if bench.mode.probe.is_some() { low } else { saw_tooth(i) };
                bench.step(queue, 0.0)
            })
        };
        assert_eq!(yields(&mut bench, 0.04), None);
        assert_eq!(yields(&mut bench, 0.001), Some(Leave::Alike));
    }

    #[test]
    fn a_queue_that_never_moves_is_the_path() {
        let mut bench = bench(0.5);
        let left = (0..600).find_map(|_| bench.step(0.05, 0.0));
        assert!(matches!(left, Some(Leave::Longer(by)) if (by - 0.05).abs() < 1e-9), "{left:?}");
        let mut lossy = self::bench(0.5);
        let left = (0..600).find_map(|i| lossy.step(0.05, if i % 50 == 0 { 0.05 } else { 0.0 }));
        assert_eq!(left, None, "a buffer kept full by many");
    }
}
