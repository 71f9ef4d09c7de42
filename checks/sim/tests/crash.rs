//! Interrupted transfers: a thousand seeds of trees, lines and crashes.

#![allow(clippy::panic, reason = "a test says by it what it found")]

use std::sync::atomic::{AtomicU64, Ordering};

use limosa_sim::disk::{Effect, Fault};
use limosa_sim::job::crash::{CrashPlan, run, run_on};
use limosa_storage::Operation;

/// Seeds run here; the example `crash` runs as many as it is told to.
const SEEDS: u64 = 1000;
/// Of those, how many are run with files sealed at rest, as they are sent, and
/// both.
const SEALED_SEEDS: u64 = 334;
/// And how many of those with a file that can be continued.
const LARGE_SEEDS: usize = 40;
/// Seeds that tear the end of what was synced, if it is written over to end the
/// file anew.
const TEARING: [u64; 5] = [143, 259, 342, 917, 928];

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
    let (at_rest, as_sent) = (CrashPlan::sealed as fn(_) -> _, CrashPlan::protected as fn(_) -> _);
    let both = |plan| at_rest(as_sent(plan));
    // Files that are continued are in few of them.
    let large = (0..10_000).map(CrashPlan::draw).filter(|plan| plan.large).take(LARGE_SEEDS);
    let plans = (0..SEALED_SEEDS).chain(TEARING).map(CrashPlan::draw).chain(large);
    let resumed = AtomicU64::new(0);
    let run_all = |plans: &mut dyn Iterator<Item = CrashPlan>| {
        for plan in plans {
            let words = format!("{}{}", plan.words(), plan.seed);
            match run(plan) {
                Ok(result) => resumed.fetch_add(result.resumed, Ordering::Relaxed),
                Err(violation) => {
                    panic!("{violation}\nreplay: cargo run --release -p limosa-sim --example crash -- {words}")
                }
            };
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| run_all(&mut plans.clone().map(at_rest)));
        scope.spawn(|| run_all(&mut plans.clone().map(as_sent).chain(plans.clone().map(both))));
    });
    assert!(resumed.into_inner() > 0, "some went on where they stopped");
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
