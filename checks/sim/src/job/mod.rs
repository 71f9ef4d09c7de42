//! Whole transfers in virtual time: two machines, a line between them, and
//! trees of files to compare at the end.
//!
//! * [`tree`]: trees to send, and what is found of them later.
//! * [`at_rest`]: what stands between the receiver and its disk.
//! * [`Session`]: two machines set up as a session's answer sets them up.
//! * [`mod@file`]: how long one file takes.
//! * [`crash`]: transfers that are interrupted at any moment and run again.

pub mod at_rest;
pub mod crash;
pub mod file;
pub mod protecting;
pub mod tree;

use std::time::Duration;

use limosa_seal::{AlgorithmSet, ContentAlgorithm};
use limosa_storage::{StorageError, Store, StorePath};
use limosa_transfer::job::Job;
use limosa_transfer::receiver::{
    Destination, Limits as ReceiverLimits, PartialNames, Receiver, ReceiverOptions, Survey,
};
use limosa_transfer::sender::{self, Limits as SenderLimits, Nature, Sender, SenderConfig, Source};
use limosa_transport::rate::{Policy, RateLimits};
use limosa_transport::testing::NullProtection;
use limosa_transport::{Config, Connection, Time};
use limosa_wire::setup::{ContentDigest, Durability, Overwrite};
use limosa_wire::{Code, Rate, SessionId};

use self::at_rest::AtRest;
use self::protecting::Protection;
use crate::disk::Disk;
use crate::line::{Address, Line, Side};
use crate::link::LinkSettings;
use crate::machine::Machine;
use crate::network::{FlowSettings, Network};
use crate::random::Seed;
use crate::session::socket_address;

/// Where the tree is at the source.
pub const SOURCE: &str = "tree";
/// Where it goes.
pub const DESTINATION: &str = "in";

/// What two machines are to do.
#[derive(Clone, Debug)]
pub struct TransferPlan {
    /// The way of the data.
    pub forward: LinkSettings,
    /// The way back.
    pub reverse: LinkSettings,
    /// Which end is the client: the near one sends files.
    pub client: Side,
    /// Whether [`SOURCE`] is sent under its own name, or what it holds.
    pub by_name: bool,
    /// What becomes of files that are there.
    pub overwrite: Overwrite,
    /// How sure a name is to survive a crash.
    pub durability: Durability,
    /// Law and limits of the pace.
    pub policy: Policy,
    /// See [`RateLimits`].
    pub rate: RateLimits,
    /// How the receiving end keeps its files.
    pub at_rest: AtRest,
    /// What the sending user's encryption has to do with it.
    pub protection: Protection,
    /// Memory of the sending end.
    pub sender: SenderLimits,
    /// Memory of the receiving end.
    pub receiver: ReceiverLimits,
}

impl TransferPlan {
    /// An upload of what [`SOURCE`] holds over `link` and its like back.
    #[must_use]
    pub fn over(link: LinkSettings) -> Self {
        Self {
            reverse: link.clone(),
            forward: link,
            client: Side::Near,
            by_name: false,
            overwrite: Overwrite::Different,
            durability: Durability::File,
            policy: Policy::Fair,
            rate: RateLimits { target: None, cap: Rate::UNLIMITED },
            at_rest: AtRest::Clear,
            protection: Protection::None,
            sender: SenderLimits::default(),
            receiver: ReceiverLimits::default(),
        }
    }

    /// Where the content of [`SOURCE`] lands.
    #[must_use]
    pub fn landing(&self) -> StorePath {
        if self.by_name { path(&format!("{DESTINATION}/{SOURCE}")) } else { path(DESTINATION) }
    }

    fn source(&self) -> Source {
        if self.by_name { Source::itself(path(SOURCE)) } else { Source::contents(path(SOURCE)) }
    }

    fn rtt(&self) -> Duration {
        self.forward.delay + self.reverse.delay
    }
}

/// A path that is known to be one.
#[must_use]
pub fn path(text: &str) -> StorePath {
    StorePath::parse(text.as_bytes()).expect("a path in a test is one")
}

/// What proves content.
#[must_use]
pub fn algorithm() -> ContentAlgorithm {
    AlgorithmSet::Ordinary.content(ContentDigest::Blake3).expect("the ordinary set holds it")
}

/// One session of two machines.
#[derive(Debug)]
pub struct Session {
    network: Network<Machine>,
    flow: u32,
}

impl std::fmt::Debug for Network<Machine> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network").field("now", &self.now()).finish_non_exhaustive()
    }
}

impl Session {
    /// Sets a session up: looks at the destination, as the answer's maker
    /// does, and starts both ends.
    ///
    /// # Errors
    /// If the destination cannot be looked at.
    pub fn start(plan: &TransferPlan, source: &Disk, destination: &Disk, seed: Seed) -> Result<Self, StorageError> {
        source.reset_clock();
        destination.reset_clock();
        let typed = Destination::parse(DESTINATION.as_bytes()).expect("the destination is a path");
        let store = plan.protection.writes(plan.at_rest.store(destination), plan.durability);
        let survey = Survey::of(&*store, typed)?;
        let sending = Job::sending(sending_engine(plan, survey.fresh()), plan.rate);
        let receiving = Job::receiving(receiving_engine(plan, survey));
        let mut network = Network::new(Line::new(plan.forward.clone(), plan.reverse.clone(), seed.part("line")));
        let [near, far] = connections(plan, seed);
        let read = plan.protection.reads(source);
        let near = Machine::with_store(near, sending, source.clone(), read);
        let far = Machine::with_store(far, receiving, destination.clone(), store);
        let flow = network.add_flow(near, far, FlowSettings::default());
        Ok(Self { network, flow })
    }

    /// The present.
    #[must_use]
    pub fn now(&self) -> Time {
        self.network.now()
    }

    /// One of the machines.
    #[must_use]
    pub fn machine(&self, side: Side) -> &Machine {
        self.network.endpoint(self.flow, side)
    }

    /// Gives one of the machines an order.
    pub fn with_machine<T>(&mut self, side: Side, order: impl FnOnce(&mut Machine, Time) -> T) -> T {
        self.network.with_endpoint(self.flow, side, order)
    }

    /// The line, to change it later.
    pub fn network_mut(&mut self) -> &mut Network<Machine> {
        &mut self.network
    }

    /// Whether both machines have nothing left to do.
    #[must_use]
    pub fn is_over(&self) -> bool {
        [Side::Near, Side::Far].iter().all(|side| self.machine(*side).is_over())
    }

    /// Whether one of the machines was switched off by its disk.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        [Side::Near, Side::Far].iter().any(|side| self.machine(*side).is_off())
    }

    /// Runs until `until`, until the session is over, or until `stop` says so.
    pub fn run_until(&mut self, until: Time, mut stop: impl FnMut(&Self) -> bool) {
        while !self.is_over() && !stop(self) && self.network.step(until) {}
    }

    /// Runs to the end; how each machine's connection was closed. `None` for
    /// one that was switched off or is still at it after `limit`.
    pub fn finish(&mut self, limit: Time) -> [Option<Code>; 2] {
        self.run_until(limit, |_| false);
        [Side::Near, Side::Far].map(|side| self.machine(side).closed().map(|(_, closed)| closed.code))
    }
}

fn sending_engine(plan: &TransferPlan, fresh: bool) -> Sender {
    let destination = if fresh { sender::Destination::Fresh } else { sender::Destination::ComparedByAttributes };
    let config = SenderConfig::new(vec![plan.source()], algorithm());
    let nature = match plan.protection {
        Protection::Sealing(whom) => Nature::Sealed(whom.continuing()),
        Protection::None | Protection::Opening => Nature::Stored,
    };
    Sender::new(SenderConfig {
        destination,
        nature,
        limits: plan.sender,
        orphan_credit: plan.receiver.orphans,
        ..config
    })
}

fn receiving_engine(plan: &TransferPlan, survey: Survey) -> Receiver {
    let sources = if plan.by_name { 1 } else { 2 };
    let names = PartialNames::new(b"user", [7; 16]);
    let options = ReceiverOptions::new(survey, sources, names, algorithm())
        .with_overwrite(plan.overwrite)
        .with_durability(plan.durability)
        .with_limits(plan.receiver);
    let options = match plan.protection {
        Protection::Sealing(_) => options.continuing_by_front(),
        Protection::None | Protection::Opening => options,
    };
    Receiver::new(options).expect("resume level 1 is there")
}

/// The connections of both ends, the sending one first.
fn connections(plan: &TransferPlan, seed: Seed) -> [Connection<NullProtection>; 2] {
    let (client_keys, server_keys) = NullProtection::pair(seed.stream("keys").next_u64());
    let id = SessionId(seed.stream("session").next_u64() as u32);
    let server = socket_address(Address { flow: 0, side: plan.client.other(), binding: 0 });
    let connect = |config: Config, keys| {
        Connection::new(Time::ZERO, config.with_rtt(plan.rtt()).with_rate(plan.policy, plan.rate), keys)
    };
    let client = connect(Config::client(id, server, seed.stream("client").next_u64()), client_keys);
    let server = connect(Config::server(id, seed.stream("server").next_u64()), server_keys);
    match plan.client {
        Side::Near => [client, server],
        Side::Far => [server, client],
    }
}

/// A destination directory with nothing in it.
///
/// # Panics
/// If the disk does not take it.
pub fn make_destination(disk: &Disk) {
    disk.make_directory(&path(DESTINATION)).expect("the disk is empty");
}
