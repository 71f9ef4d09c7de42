//! Interrupted transfers: a thousand seeds of trees, lines and crashes.

#![allow(clippy::panic, reason = "a test says by it what it found")]

use limosa_sim::disk::{Effect, Fault};
use limosa_sim::job::crash::{CrashPlan, run, run_on};
use limosa_storage::Operation;

/// Seeds run here, of each kind: in clear, sealed at rest, sealed as they are
/// sent, both, and opened as they are fetched. The example `crash` runs as many
/// as it is told to.
const SEEDS: u64 = 1000;

fn run_seeds(seeds: impl Iterator<Item = u64>) {
    for seed in seeds {
        if let Err(violation) = run(CrashPlan::draw(seed)) {
            let plan = CrashPlan::draw(seed);
            panic!("{violation}\n{plan}replay: cargo run --release -p limosa-sim --example crash -- --seed {seed}");
        }
    }
}

#[test]
fn no_crash_leaves_a_wrong_file_and_every_transfer_gets_done() {
    std::thread::scope(|scope| {
        scope.spawn(|| run_seeds((0..SEEDS).step_by(2)));
        scope.spawn(|| run_seeds((1..SEEDS).step_by(2)));
    });
}

#[test]
fn no_crash_leaves_a_wrong_file_or_shows_content_where_files_are_sealed() {
    let both = |plan: CrashPlan| plan.protected().sealed();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            run_kind(CrashPlan::sealed);
            run_kind(CrashPlan::opened);
        });
        scope.spawn(|| {
            run_kind(CrashPlan::protected);
            run_kind(both);
        });
    });
}

/// Runs plans of one kind, some of which must go on where they stopped.
fn run_kind(kind: fn(CrashPlan) -> CrashPlan) {
    let mut resumed = 0;
    for plan in (0..SEEDS).map(CrashPlan::draw).map(kind) {
        let words = format!("{}{}", plan.words(), plan.seed);
        match run(plan) {
            Ok(result) => resumed += result.resumed,
            Err(violation) => {
                panic!("{violation}\nreplay: cargo run --release -p limosa-sim --example crash -- {words}")
            }
        }
    }
    assert!(resumed > 0, "none of {} went on where it stopped", kind(CrashPlan::draw(0)).words());
}

#[test]
fn a_seed_gives_the_same_run_each_time() {
    for seed in 0..20 {
        let results = [(); 2].map(|()| run(CrashPlan::draw(seed)).ok());
        assert_eq!(results[0], results[1], "seed {seed}");
    }
}

#[test]
fn a_disk_that_only_claims_to_sync_is_found_out() {
    let ignored = Fault::new(Operation::Sync, Effect::Ignore);
    let found = (0..300).any(|seed| run_on(CrashPlan::draw(seed), |disk| disk.add_fault(ignored.clone())).is_err());
    assert!(found, "crashes after syncs that did nothing have harmed nobody");
}
