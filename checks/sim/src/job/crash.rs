//! Transfers that are interrupted and run again, until they are done.
//!
//! Each seed stands for a tree, a line, and some interruptions: one machine or
//! both lose power or have their process killed, at any file operation or at
//! any time, or the session merely ends. After every interruption nothing
//! wrong may stand under a final name; at the end the trees are equal.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use limosa_storage::StorePath;
use limosa_transport::Time;
use limosa_wire::setup::Durability;
use limosa_wire::{Code, Rate};

use super::at_rest::{AtRest, Traces};
use super::protecting::{Protection, SealedFor};
use super::tree::{self, Tree};
use super::{DESTINATION, SOURCE, Session, TransferPlan, path, protecting};
use crate::disk::{Disk, Speed};
use crate::line::Side;
use crate::link::{Bursts, LinkSettings, Reordering};
use crate::random::{Random, Seed};

/// No session takes longer, in virtual time.
const LIMIT: Time = Time::from_micros(3600 * 1_000_000);
/// After this an end that hears nothing has given up.
const SILENCE: Duration = Duration::from_secs(90);

/// How a session is interrupted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interruption {
    /// What happens to the sending machine.
    pub sender: Fate,
    /// What happens to the receiving machine.
    pub receiver: Fate,
    /// When.
    pub when: When,
    /// Whether an end that lives on waits until it gives up by itself, or is
    /// ended by the session that takes over.
    pub patient: bool,
}

/// What happens to a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on.
    Lives,
    /// Its process is killed.
    Killed,
    /// It loses power.
    LosesPower,
}

impl Fate {
    /// The disk of that machine afterwards.
    fn strike(self, disk: &Disk, seed: Seed) -> Disk {
        match self {
            Self::Lives => {
                disk.go_on();
                disk.clone()
            }
            Self::Killed => disk.kill(),
            Self::LosesPower => disk.lose_power(seed),
        }
    }
}

/// What shows the moment of an interruption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The operations of the sender's disk.
    Reading,
    /// The operations of the receiver's disk.
    Writing,
    /// The time.
    Time,
}

/// When a session is interrupted: after this share of what it is thought to
/// need of operations or time; more than 1 is mostly after its end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct When {
    /// By what it is measured.
    pub clock: Clock,
    /// How far the session gets.
    pub share: f64,
}

impl When {
    fn draw(random: &mut Random, sender: Fate, receiver: Fate) -> Self {
        let clock = match random.below(4) {
            0 if sender != Fate::Lives => Clock::Reading,
            0..3 if receiver != Fate::Lives => Clock::Writing,
            _ => Clock::Time,
        };
        Self { clock, share: random.unit() * 1.1 }
    }

    fn of(self, whole: f64) -> u64 {
        (self.share * whole) as u64
    }
}

/// What is run for one seed.
#[derive(Clone, Debug)]
pub struct CrashPlan {
    /// The seed.
    pub seed: u64,
    /// The session, each time.
    pub transfer: TransferPlan,
    /// Whether something stands at the destination.
    pub older: bool,
    /// Whether one of the files has a journal.
    pub large: bool,
    /// What happens to the first sessions; the last one is left alone.
    pub interruptions: Vec<Interruption>,
}

/// What came of one seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CrashResult {
    /// Sessions run.
    pub sessions: u64,
    /// Of those, cut off before they were done.
    pub cut: u64,
    /// Bytes of the tree.
    pub bytes: u64,
    /// Bytes of files that arrived, in all sessions.
    pub carried: u64,
    /// Bytes that were there already when a session began.
    pub resumed: u64,
    /// Virtual time of all sessions.
    pub time: Duration,
    /// Hidden files left behind.
    pub left_behind: usize,
}

/// Something that must not be.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The seed that shows it.
    pub seed: u64,
    /// In or after which session, counted from 1.
    pub session: usize,
    /// What it is.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}, session {}: {}", self.seed, self.session, self.what)
    }
}

impl CrashPlan {
    /// Draws everything from a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let random = &mut Seed(seed).stream("plan");
        let large = random.hits(0.04);
        let (forward, reverse) = draw_links(large, random);
        let killed_only = random.hits(0.1);
        let mut transfer = TransferPlan { reverse, ..TransferPlan::over(forward) };
        transfer.by_name = random.hits(0.5);
        transfer.client = if random.hits(0.5) { Side::Near } else { Side::Far };
        transfer.durability = match random.below(3) {
            _ if killed_only => Durability::None,
            0 => Durability::Strict,
            _ => Durability::File,
        };
        let count = 1 + random.below(3);
        let interruptions = (0..count).map(|_| draw_interruption(random, killed_only)).collect();
        Self { seed, transfer, older: random.hits(0.4), large, interruptions }
    }
}

impl CrashPlan {
    /// The same with files that are sealed at rest.
    #[must_use]
    pub fn sealed(mut self) -> Self {
        self.transfer.at_rest = AtRest::Sealed;
        self
    }

    /// What to tell the example `crash` besides the seed.
    #[must_use]
    pub fn words(&self) -> String {
        let sealed = if self.transfer.at_rest == AtRest::Sealed { "--sealed " } else { "" };
        let protection = match self.transfer.protection {
            Protection::None => "",
            Protection::Sealing(_) => "--protected ",
            Protection::Opening => "--opened ",
        };
        format!("{sealed}{protection}--seed ")
    }

    /// The same with files that are sealed as they are sent, into a destination
    /// where nothing stands. For whom they are sealed changes from seed to seed.
    #[must_use]
    pub fn protected(mut self) -> Self {
        let whom = if self.seed.is_multiple_of(2) { SealedFor::Passphrase } else { SealedFor::Recipient };
        self.transfer.protection = Protection::Sealing(whom);
        self.older = false;
        self
    }

    /// The same with files that were sealed before, and are opened by who
    /// fetches them.
    #[must_use]
    pub fn opened(mut self) -> Self {
        self.transfer.protection = Protection::Opening;
        self
    }
}

fn draw_links(large: bool, random: &mut Random) -> (LinkSettings, LinkSettings) {
    // Slow enough for a large file that its journal counts.
    let rates = if large { [20, 40, 60, 80] } else { [5, 50, 200, 1000] };
    let rate = Rate::from_bits_per_second(1_000_000 * rates[random.below(4) as usize]);
    let delay = Duration::from_millis([0, 1, 10, 50, 150][random.below(5) as usize]);
    let mut link = LinkSettings::new(rate, delay);
    if random.hits(0.4) {
        link.loss = random.unit() * 0.1;
    }
    if random.hits(0.1) {
        link.bursts = Some(Bursts::of(10.0, 0.02));
    }
    if random.hits(0.2) {
        link.reordering = Some(Reordering { share: 0.1, by: Duration::from_millis(5) });
    }
    if random.hits(0.1) {
        link.duplication = 0.05;
    }
    if random.hits(0.1) {
        link.corruption = 0.01;
    }
    let mut reverse = link.clone();
    if random.hits(0.2) {
        reverse.loss = (reverse.loss * 2.0 + 0.02).min(0.2);
    }
    (link, reverse)
}

fn draw_interruption(random: &mut Random, killed_only: bool) -> Interruption {
    let mut fate = || match random.below(2) {
        0 if !killed_only => Fate::LosesPower,
        _ => Fate::Killed,
    };
    let (one, other) = (fate(), fate());
    let (sender, receiver) = match random.below(10) {
        0 => (Fate::Lives, Fate::Lives),
        1 | 2 => (one, Fate::Lives),
        3..8 => (Fate::Lives, other),
        _ => (one, other),
    };
    let when = When::draw(random, sender, receiver);
    Interruption { sender, receiver, when, patient: random.hits(0.3) }
}

/// A crash test under way.
struct Run {
    plan: CrashPlan,
    seed: Seed,
    source: Disk,
    destination: Disk,
    wanted: Tree,
    before: Tree,
    /// What must not be seen on the disk, where files are sealed.
    traces: Traces,
    session: usize,
    /// Whether a session has come to its end.
    done: bool,
    /// What was called settled, where that means for good.
    promised: BTreeSet<StorePath>,
    result: CrashResult,
}

/// Runs a plan to the end.
///
/// # Errors
/// The first thing that must not be.
pub fn run(plan: CrashPlan) -> Result<CrashResult, Violation> {
    run_on(plan, |_| {})
}

/// As [`run`], with a destination whose disk `spoil` has had in hand.
///
/// # Errors
/// The first thing that must not be.
pub fn run_on(plan: CrashPlan, spoil: impl FnOnce(&Disk)) -> Result<CrashResult, Violation> {
    let mut run = Run::prepare(plan);
    spoil(&run.destination);
    for number in 0..run.plan.interruptions.len() {
        let interruption = run.plan.interruptions[number];
        run.session += 1;
        run.interrupted(interruption)?;
    }
    run.session += 1;
    run.left_alone()?;
    Ok(run.result)
}

impl Run {
    fn prepare(plan: CrashPlan) -> Self {
        let seed = Seed(plan.seed);
        let random = &mut seed.stream("trees");
        let (source, destination) = (Disk::new(), Disk::new());
        tree::plant(&source, &path(SOURCE), plan.large, random).expect("an empty disk takes a tree");
        let wanted = tree::survey(&source, &path(SOURCE)).expect("the tree is there").0;
        let mut before = Tree::new();
        if plan.transfer.protection == Protection::Opening {
            protecting::seal_most(&source, &path(SOURCE)).expect("the tree is there");
        }
        if plan.older {
            let landing = plan.transfer.landing();
            limosa_storage::make_directories(&destination, &landing).expect("an empty disk takes a directory");
            tree::plant_older(&destination, &landing, &wanted, random).expect("an empty disk takes files");
            before = tree::survey(&destination, &landing).expect("the files are there").0;
        }
        for disk in [&source, &destination] {
            disk.settle();
            disk.set_speed(Speed::SOLID_STATE);
        }
        let traces = match (plan.transfer.at_rest, plan.transfer.protection) {
            (AtRest::Clear, Protection::None | Protection::Opening) => Traces::default(),
            _ => Traces::of(&source, &path(SOURCE)).expect("the tree is there"),
        };
        let result = CrashResult { bytes: tree::bytes(&wanted), ..CrashResult::default() };
        Self {
            plan,
            seed,
            source,
            destination,
            wanted,
            before,
            traces,
            session: 0,
            done: false,
            promised: BTreeSet::new(),
            result,
        }
    }

    fn part(&self, name: &str) -> Seed {
        self.seed.part(&format!("{name} {}", self.session))
    }

    fn violation(&self, what: impl Into<String>) -> Violation {
        Violation { seed: self.plan.seed, session: self.session, what: what.into() }
    }

    fn interrupted(&mut self, interruption: Interruption) -> Result<(), Violation> {
        let (entries, blocks) = (self.wanted.len() as f64, (self.result.bytes >> 20) as f64);
        let when = interruption.when;
        match when.clock {
            Clock::Reading => self.source.stop_after(when.of(4.0 + 4.0 * entries + blocks)),
            Clock::Writing => self.destination.stop_after(when.of(8.0 + 6.0 * entries + 2.0 * blocks)),
            Clock::Time => {}
        }
        match Session::start(&self.plan.transfer, &self.source, &self.destination, self.part("session")) {
            Ok(session) => self.interrupt(session, interruption)?,
            Err(error) if !self.destination.is_stopped() => {
                return Err(self.violation(format!("the destination cannot be looked at: {error}")));
            }
            Err(_) => self.result.cut += 1,
        }
        self.result.sessions += 1;
        self.source = interruption.sender.strike(&self.source, self.part("source"));
        self.destination = interruption.receiver.strike(&self.destination, self.part("destination"));
        let (found, _) = self.found()?;
        self.check_promises(&found)?;
        // What a session has called done is there for good.
        if self.done && self.plan.transfer.durability != Durability::None {
            self.check_all_there(&found)
        } else {
            self.check_names(&found)
        }
    }

    /// The time of an interruption.
    fn moment(&self, when: When) -> Time {
        let TransferPlan { forward, reverse, .. } = &self.plan.transfer;
        let opening = (forward.delay + reverse.delay).as_secs_f64() * 4.0 + 0.02;
        let flowing = self.result.bytes as f64 / forward.rate.bytes_per_second() / 0.8;
        Time::from_micros(when.of((opening + flowing) * 1e6))
    }

    fn interrupt(&mut self, mut session: Session, interruption: Interruption) -> Result<(), Violation> {
        let until = match interruption.when.clock {
            Clock::Time => self.moment(interruption.when),
            Clock::Reading | Clock::Writing => LIMIT,
        };
        session.run_until(until, Session::is_broken);
        if session.is_over() && !session.is_broken() {
            self.count(&session);
            // The crash comes behind the end.
            self.source.go_on();
            self.destination.go_on();
            self.check_end(&session)?;
            self.done = true;
            return Ok(());
        }
        if !session.is_broken() && until == LIMIT {
            return Err(self.violation(format!("does not end: {}", describe(&session))));
        }
        self.result.cut += 1;
        let near = (Side::Near, interruption.sender, &self.source);
        let far = (Side::Far, interruption.receiver, &self.destination);
        for (side, fate, disk) in [near, far] {
            if fate != Fate::Lives {
                session.with_machine(side, |machine, _| machine.switch_off());
                // What its process had open is not finished when it is gone.
                disk.stop_after(0);
            }
        }
        if interruption.patient {
            session.run_until(session.now() + SILENCE, |_| false);
        }
        let nobody_left = interruption.sender != Fate::Lives || interruption.receiver != Fate::Lives;
        if interruption.patient && nobody_left && !session.is_over() {
            return Err(self.violation(format!("one end outlives the other: {}", describe(&session))));
        }
        for side in [Side::Near, Side::Far] {
            session.with_machine(side, |machine, now| {
                if !machine.is_over() {
                    machine.end(now, Code::TAKEN_OVER);
                }
            });
        }
        self.count(&session);
        Ok(())
    }

    fn left_alone(&mut self) -> Result<(), Violation> {
        let started = Session::start(&self.plan.transfer, &self.source, &self.destination, self.part("session"));
        let mut session =
            started.map_err(|error| self.violation(format!("the destination cannot be looked at: {error}")))?;
        session.run_until(LIMIT, |_| false);
        self.result.sessions += 1;
        self.count(&session);
        self.check_end(&session)?;
        let (found, under_way) = self.found()?;
        self.result.left_behind = under_way;
        self.check_all_there(&found)?;
        self.check_attributes(&found)
    }

    fn count(&mut self, session: &Session) {
        if self.plan.transfer.durability == Durability::Strict {
            let landing = self.plan.transfer.landing();
            let settled = session.machine(Side::Far).settled();
            let below = settled.iter().filter_map(|path| path_below(path, &landing));
            let plain = |path: StorePath| match self.plan.transfer.protection {
                Protection::None => path,
                _ => protecting::plain_path(&path).unwrap_or(path),
            };
            self.promised.extend(below.map(plain));
        }
        let summary = session.machine(Side::Far).job().summary();
        self.result.carried += summary.carried;
        self.result.resumed += summary.resumed;
        self.result.time += session.now().since(Time::ZERO);
    }

    /// A session that was left alone has done what it should.
    fn check_end(&self, session: &Session) -> Result<(), Violation> {
        let good = [Side::Near, Side::Far]
            .iter()
            .all(|side| session.machine(*side).closed().is_some_and(|(_, closed)| closed.code == Code::OK));
        if good { Ok(()) } else { Err(self.violation(format!("left alone it fails: {}", describe(session)))) }
    }

    fn found(&self) -> Result<(Tree, usize), Violation> {
        let landing = self.plan.transfer.landing();
        let unreadable = |error| self.violation(format!("the destination cannot be read: {error}"));
        if let Some(path) = self.traces.found(&self.destination, &path(DESTINATION)).map_err(unreadable)? {
            return Err(self.violation(format!("{path} shows content on the disk")));
        }
        let store = self.plan.transfer.at_rest.store(&self.destination);
        let (tree, under_way) = tree::survey(&*store, &landing).map_err(unreadable)?;
        if !matches!(self.plan.transfer.protection, Protection::Sealing(_)) {
            return Ok((tree, under_way));
        }
        let opened = protecting::opened(&*store, &landing, &tree);
        opened.map(|tree| (tree, under_way)).map_err(|what| self.violation(what))
    }

    /// Under every final name stands what should, or what stood there before.
    fn check_names(&self, found: &Tree) -> Result<(), Violation> {
        let content = |tree: &Tree, path: &StorePath| tree.get(path).map(|item| item.content.clone());
        for (path, item) in found {
            let allowed = [content(&self.wanted, path), content(&self.before, path)];
            if !allowed.contains(&Some(item.content.clone())) {
                return Err(self.violation(format!("{path} is {:?}, not one of {allowed:?}", item.content)));
            }
        }
        match self.before.keys().find(|path| !found.contains_key(*path)) {
            Some(path) => Err(self.violation(format!("{path} stood there and is gone"))),
            None => Ok(()),
        }
    }

    /// What was called settled under durability strict is there for good.
    fn check_promises(&self, found: &Tree) -> Result<(), Violation> {
        let content = |tree: &Tree, path: &StorePath| tree.get(path).map(|item| item.content.clone());
        match self.promised.iter().find(|path| content(found, path) != content(&self.wanted, path)) {
            Some(path) => Err(self.violation(format!("{path} was settled and is {:?}", found.get(path)))),
            None => Ok(()),
        }
    }

    /// All that was to be transferred is there.
    fn check_all_there(&self, found: &Tree) -> Result<(), Violation> {
        self.check_names(found)?;
        for (path, item) in &self.wanted {
            match found.get(path) {
                Some(there) if there.content == item.content => {}
                there => return Err(self.violation(format!("{path} should be {item:?} and is {there:?}"))),
            }
        }
        Ok(())
    }

    fn check_attributes(&self, found: &Tree) -> Result<(), Violation> {
        for (path, there) in found {
            let expected = match (self.wanted.get(path), self.before.get(path)) {
                (Some(wanted), _) => wanted.as_sent(),
                (None, Some(before)) => before.as_sent(),
                (None, None) => return Err(self.violation(format!("{path} comes from nowhere"))),
            };
            if there.as_sent() != expected {
                return Err(self.violation(format!("{path} is {there:?}, not {expected:?}")));
            }
        }
        Ok(())
    }
}

/// The rest of a path below another one.
fn path_below(path: &StorePath, above: &StorePath) -> Option<StorePath> {
    let rest = path.as_bytes().strip_prefix(above.as_bytes())?.strip_prefix(b"/")?;
    StorePath::parse(rest).ok()
}

/// Where both ends of a session stand.
fn describe(session: &Session) -> String {
    let one = |side| {
        let machine = session.machine(side);
        let failures: Vec<String> =
            machine.failures().iter().take(3).map(|(path, why)| format!("{path}: {why:?}")).collect();
        format!("{side:?} closed {:?}, {:?}, failures {failures:?}", machine.closed(), machine.job().progress())
    };
    format!("after {:?}: {}; {}", session.now(), one(Side::Near), one(Side::Far))
}

/// The plan of a seed in a few lines, to look at a failing one.
impl fmt::Display for CrashPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, transfer, older, large, interruptions } = self;
        writeln!(f, "seed {seed}: {SOURCE} to {DESTINATION}, older files {older}, large file {large}")?;
        let link = &transfer.forward;
        writeln!(f, "  line {} {:?} loss {:.3}, client {:?}", link.rate, link.delay, link.loss, transfer.client)?;
        writeln!(f, "  durability {:?}, by name {}", transfer.durability, transfer.by_name)?;
        interruptions.iter().try_for_each(|interruption| writeln!(f, "  {interruption:?}"))
    }
}
