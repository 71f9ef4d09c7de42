//! What is interrupted goes on where it was: processes are killed at moments
//! over the whole life of a transfer, the same command runs again, and nothing
//! wrong ever stands under a final name.

#![allow(clippy::unwrap_used, clippy::panic)] // a test's surroundings fail it

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use support::Lab;
use support::client::{Client, Finished, Running};
use support::process::wait_gone;
use support::random::Random;
use support::remote::{Kind, Remote};
use support::tree;
use support::watch::Watch;

on_each_remote!(
    the_client_is_killed,
    the_other_end_is_killed,
    both_ends_are_killed,
    one_interrupt_stops_in_order,
    two_interrupts_abort,
    an_interrupted_download_goes_on,
);

/// Large enough that starting it again would break the bound below.
const LARGE: usize = 100_000_000;
const SMALL_FILES: usize = 200;
/// Makes the life of a transfer long enough to die in.
const RATE: &str = "400m";
/// What may cross again after a crash: the larger of 64 MiB and one second of
/// the line, plus what crossed between two reports of progress.
const SENT_AGAIN: u64 = (64 << 20) + 400_000_000 / 8 / 5;

/// A moment in a transfer's life, by what the client tells.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// The session's process has just been started.
    Started,
    /// SSH stands, UDP does not yet.
    Connected,
    /// UDP has just opened.
    Opened,
    /// So many thousandths of the bytes have crossed.
    Crossed(u64),
    /// Every byte of the large file has crossed; it is being verified.
    Verifying,
    /// This many entries have been published.
    Published(u64),
}

impl Moment {
    /// The moments of a test: each kind, and the middle at places drawn from
    /// the seed.
    fn drawn(seed: u64) -> Vec<Self> {
        let mut random = Random::new(seed);
        vec![
            [Self::Started, Self::Connected][usize::from(seed.is_multiple_of(2))],
            Self::Opened,
            Self::Crossed(1 + random.below(50)),
            Self::Crossed(200 + random.below(500)),
            Self::Crossed(850 + random.below(120)),
            Self::Verifying,
            Self::Published(1 + random.below(SMALL_FILES as u64)),
        ]
    }

    /// Waits for it. A transfer that ends before is told by `false`.
    fn wait(self, flight: &Flight, running: &mut Running) -> bool {
        let named = |event: &Value, name: &str| event["event"] == name;
        let found = match self {
            Self::Started => running.wait_for(|event| named(event, "connected") || flight.remote.session().is_some()),
            Self::Connected => running.wait_for(|event| named(event, "connected")),
            Self::Opened => running.wait_for(|event| named(event, "opened")),
            Self::Crossed(thousandths) => {
                let least = LARGE as u64 / 1000 * thousandths;
                running.wait_for(|event| event["bytes_crossed"].as_u64().is_some_and(|crossed| crossed >= least))
            }
            Self::Verifying => running.wait_for(|event| {
                named(event, "transferred") && event["path"].as_str().is_some_and(|path| path.ends_with("large"))
            }),
            Self::Published(number) => {
                let seen = std::cell::Cell::new(0);
                running.wait_for(|event| {
                    seen.set(seen.get() + u64::from(named(event, "settled")));
                    seen.get() >= number
                })
            }
        };
        found.is_some()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Upload,
    Download,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Client,
    /// The session's process; the server itself, where it has none.
    Remote,
    Both,
}

/// One transfer, tried until it is done.
struct Flight {
    lab: Lab,
    remote: Remote,
    direction: Direction,
}

impl Flight {
    /// A source, and a destination that holds an older version if `before`.
    fn prepare(kind: Kind, direction: Direction, before: bool) -> Option<Self> {
        let lab = Lab::new();
        let remote = Remote::start(kind, &lab)?;
        let flight = Self { lab, remote, direction };
        make(&flight.source(), 1, Duration::from_secs(1_000));
        if before {
            make(&flight.destination(), 2, Duration::from_secs(100_000));
        }
        Some(flight)
    }

    fn source(&self) -> PathBuf {
        match self.direction {
            Direction::Upload => self.lab.here().join("tree"),
            Direction::Download => self.lab.there().join("tree"),
        }
    }

    fn destination(&self) -> PathBuf {
        match self.direction {
            Direction::Upload => self.lab.there().join("in"),
            Direction::Download => self.lab.here().join("in"),
        }
    }

    /// Looks at every file of the destination from now on.
    fn watch(&self) -> Watch {
        let before = self.lab.path("before");
        if self.destination().exists() {
            tree::copy(&self.destination(), &before);
        }
        Watch::over(self.destination(), vec![self.source(), before])
    }

    /// The one command.
    fn client(&self) -> Client {
        self.client_at(RATE)
    }

    fn client_at(&self, rate: &str) -> Client {
        let command = if self.direction == Direction::Upload { "send" } else { "get" };
        let client = Client::new(&self.lab, &self.remote, command).args(["--json", "--rate", rate]);
        match self.direction {
            Direction::Upload => client.arg("tree/").arg(self.remote.place(&self.lab, "in")),
            Direction::Download => client.arg(self.remote.place(&self.lab, "tree/")).arg("in"),
        }
    }

    /// Starts the command, kills at the moment, and waits until that is over.
    fn crash(&mut self, moment: Moment, victim: Victim) -> Finished {
        let mut running = self.client().spawn();
        if moment.wait(self, &mut running) {
            if victim != Victim::Client {
                self.remote.crash();
            }
            if victim != Victim::Remote {
                running.process().kill();
            }
        }
        let finished = running.finish();
        self.remote.recover(&self.lab);
        if !finished.killed() {
            // It was told, and says that trying again may help; or it was done.
            assert!(matches!(finished.exit(), Some(0 | 5)), "{moment:?}: {finished}");
        }
        finished
    }

    /// Runs the same command to its end, and checks all of it.
    fn complete(&self, crashed: &Finished) -> Landing {
        let leftovers = tree::leftovers(&self.destination());
        let finished = self.client().succeed();
        self.discard(&leftovers);
        tree::assert_same_content(&self.source(), &self.destination());
        let here = &finished.summary()["here"];
        let (carried, resumed) = (here["carried"].as_u64().unwrap(), here["resumed"].as_u64().unwrap());
        let crossed = crashed.crossed();
        Landing { crossed, carried, resumed, again: (crossed + carried).saturating_sub(self.needed()) }
    }

    /// Removes what a killed receiver left of files that are not continued: the
    /// hidden partial files that stood there before the last run. That one
    /// adds none, and leaves no journal.
    fn discard(&self, before: &[PathBuf]) {
        for name in tree::leftovers(&self.destination()) {
            let continued = name.extension().is_some_and(|suffix| suffix == "journal");
            assert!(before.contains(&name) && !continued, "{} was left behind", name.display());
            fs::remove_file(self.destination().join(name)).unwrap();
        }
    }

    /// Bytes of the source's files.
    fn needed(&self) -> u64 {
        let entries = fs::read_dir(self.source()).unwrap();
        entries.map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
    }
}

/// What it took to finish what was interrupted, in bytes.
#[derive(Debug)]
struct Landing {
    /// Crossed before, as told last.
    crossed: u64,
    /// Crossed in the run that finished.
    carried: u64,
    /// Found from before by it.
    resumed: u64,
    /// Crossed twice.
    again: u64,
}

impl std::fmt::Display for Landing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { crossed, carried, resumed, again } = self;
        write!(f, "crossed {crossed}, then carried {carried} and resumed {resumed}: {again} bytes sent again")
    }
}

/// One large file and many small ones, of a version.
fn make(root: &Path, version: u64, age: Duration) {
    let mut random = Random::new(version);
    fs::create_dir_all(root).unwrap();
    tree::write_aged(&root.join("large"), &random.bytes(LARGE), age);
    for number in 0..SMALL_FILES {
        let length = usize::try_from(random.below(20_000)).unwrap();
        tree::write_aged(&root.join(format!("small-{number:03}")), &random.bytes(length), age);
    }
}

/// Crashes at each moment of a seed, finishing each time, in turns up and
/// down, onto nothing and onto an older version.
fn survives(kind: Kind, victim: Victim, seed: u64) {
    for (turn, moment) in Moment::drawn(seed).into_iter().enumerate() {
        let direction = [Direction::Upload, Direction::Download][turn % 2];
        let before = turn % 4 >= 2;
        let Some(mut flight) = Flight::prepare(kind, direction, before) else { return };
        let watch = flight.watch();
        let crashed = flight.crash(moment, victim);
        let landing = flight.complete(&crashed);
        let looked_at = watch.stop();
        println!("{direction:?} before={before} {victim:?} at {moment:?}: {landing}; {looked_at} files looked at");
        assert!(landing.again <= SENT_AGAIN, "{moment:?}: {landing:?}");
    }
}

fn the_client_is_killed(kind: Kind) {
    survives(kind, Victim::Client, 1);
}

fn the_other_end_is_killed(kind: Kind) {
    survives(kind, Victim::Remote, 2);
}

fn both_ends_are_killed(kind: Kind) {
    survives(kind, Victim::Both, 3);
}

fn one_interrupt_stops_in_order(kind: Kind) {
    let Some(flight) = Flight::prepare(kind, Direction::Upload, false) else { return };
    stop_in_order(&flight);
}

fn an_interrupted_download_goes_on(kind: Kind) {
    let Some(flight) = Flight::prepare(kind, Direction::Download, false) else { return };
    stop_in_order(&flight);
}

fn stop_in_order(flight: &Flight) {
    let watch = flight.watch();
    let mut running = flight.client().spawn();
    assert!(Moment::Crossed(500).wait(flight, &mut running));
    running.process().interrupt();
    let stopped = running.finish();
    assert_eq!((stopped.exit(), &stopped.summary()["code"]), (Some(130), &Value::from(1)), "{stopped}");
    let landing = flight.complete(&stopped);
    watch.stop();
    println!("{:?} stopped in order: {landing}", flight.direction);
    // In order means that nearly nothing is lost: a second's worth at most.
    assert!(landing.resumed > 0 && landing.again < 50_000_000, "{landing:?}");
}

fn two_interrupts_abort(kind: Kind) {
    let Some(flight) = Flight::prepare(kind, Direction::Upload, true) else { return };
    let watch = flight.watch();
    let mut running = flight.client().spawn();
    assert!(Moment::Crossed(500).wait(&flight, &mut running));
    running.process().interrupt();
    assert!(running.wait_for(|event| event["event"] == "note").is_some(), "the first is acknowledged");
    running.process().interrupt();
    let aborted = running.finish();
    assert_eq!(aborted.exit(), Some(130), "{aborted}");
    let landing = flight.complete(&aborted);
    watch.stop();
    assert!(landing.again <= SENT_AGAIN, "{landing:?}");
}

#[test]
fn the_ssh_connection_is_cut_while_datagrams_pass() {
    for (ssh, direction) in [("builtin", Direction::Upload), ("system", Direction::Download)] {
        let Some(flight) = Flight::prepare(Kind::OpenSsh, direction, false) else { return };
        // Slow enough that what is left takes longer than any end of a channel is waited for.
        let mut running = flight.client_at("160m").args(["--ssh", ssh]).spawn();
        assert!(Moment::Crossed(50).wait(&flight, &mut running));
        let session = flight.remote.session().unwrap();
        let connection = session.parent().unwrap();
        assert_ne!(connection, flight.remote.openssh().process(), "the connection's process, not the server's");
        connection.kill();
        wait_gone("the connection", connection);
        let finished = running.finish();
        assert_eq!(finished.exit(), Some(0), "{ssh}: {finished}");
        println!("{direction:?} by {ssh}, its connection cut: done after {} s", finished.summary()["seconds"]);
        tree::assert_same_content(&flight.source(), &flight.destination());
        wait_gone("the session, when all is done", session);
    }
}

#[test]
fn a_session_that_is_killed_is_missed_at_once() {
    for ssh in ["builtin", "system"] {
        let Some(flight) = Flight::prepare(Kind::OpenSsh, Direction::Upload, false) else { return };
        let mut running = flight.client().args(["--ssh", ssh]).spawn();
        assert!(Moment::Crossed(300).wait(&flight, &mut running));
        flight.remote.session().unwrap().kill();
        let told = running.finish();
        let summary = told.summary();
        assert_eq!((told.exit(), &summary["code"], &summary["retry"]), (Some(5), &222.into(), &true.into()), "{told}");
        // Far from the minute for which silence alone is waited out.
        println!("{ssh}: the end of the session was known after {} s", summary["seconds"]);
        assert!(summary["seconds"].as_f64().unwrap() < 30.0, "{told}");
    }
}
