//! Interrupts transfers by the hundred thousand and looks for a wrong byte.
//!
//! ```text
//! cargo run --release -p limosa-sim --example crash -- 100000          # seeds 0 to 99999
//! cargo run --release -p limosa-sim --example crash -- 1000 --from 500 # seeds 500 to 1499
//! cargo run --release -p limosa-sim --example crash -- --seed 4711     # one seed, with its plan
//! cargo run --release -p limosa-sim --example crash -- --sealed 1000   # the receiver seals its files at rest
//! cargo run --release -p limosa-sim --example crash -- --protected 1000 # the sender seals them; or both
//! cargo run --release -p limosa-sim --example crash -- --opened 1000   # the receiver opens what was sealed before
//! ```
//!
//! Each seed is a tree, a line and one to three interruptions: power loss or
//! kill of either machine or both, at any file operation or time. Prints a
//! summary, and for each seed that shows a fault how to replay it; exits with 1
//! if there was any.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use limosa_sim::job::crash::{CrashPlan, CrashResult, Violation, run};

/// Faults printed before the rest is only counted.
const SHOWN: usize = 20;

fn main() -> ExitCode {
    let mut given: Vec<String> = std::env::args().skip(1).collect();
    let mut taken = |word: &str| {
        let before = given.len();
        given.retain(|argument| argument != word);
        given.len() < before
    };
    let plan: fn(u64) -> CrashPlan = match (taken("--sealed"), taken("--protected"), taken("--opened")) {
        (false, false, false) => CrashPlan::draw,
        (true, false, false) => |seed| CrashPlan::draw(seed).sealed(),
        (false, true, false) => |seed| CrashPlan::draw(seed).protected(),
        (true, true, false) => |seed| CrashPlan::draw(seed).protected().sealed(),
        (_, _, true) => |seed| CrashPlan::draw(seed).opened(),
    };
    match arguments(given.into_iter()) {
        Some((seeds, true)) => show(plan(seeds.start)),
        Some((seeds, false)) => run_all(seeds, plan),
        None => {
            eprintln!(
                "usage: crash [KIND] COUNT [--from SEED] | crash [KIND] --seed SEED\n\
                 where KIND is --sealed, --protected, both, or --opened"
            );
            ExitCode::from(2)
        }
    }
}

/// The seeds to run, and whether that is one to look at.
fn arguments(mut arguments: impl Iterator<Item = String>) -> Option<(std::ops::Range<u64>, bool)> {
    let first = arguments.next()?;
    if first == "--seed" {
        let seed = arguments.next()?.parse().ok()?;
        return Some((seed..seed + 1, true));
    }
    let count: u64 = first.parse().ok()?;
    let from = match arguments.next().as_deref() {
        Some("--from") => arguments.next()?.parse().ok()?,
        Some(_) => return None,
        None => 0,
    };
    Some((from..from + count, false))
}

fn show(plan: CrashPlan) -> ExitCode {
    print!("{plan}");
    match run(plan) {
        Ok(result) => {
            println!("{result:#?}");
            ExitCode::SUCCESS
        }
        Err(violation) => {
            println!("{violation}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Default)]
struct Total {
    runs: u64,
    sum: CrashResult,
    violations: Vec<Violation>,
}

impl Total {
    fn add(&mut self, result: Result<CrashResult, Violation>) {
        self.runs += 1;
        match result {
            Ok(result) => {
                self.sum.sessions += result.sessions;
                self.sum.cut += result.cut;
                self.sum.bytes += result.bytes;
                self.sum.carried += result.carried;
                self.sum.resumed += result.resumed;
                self.sum.time += result.time;
                self.sum.left_behind += result.left_behind;
            }
            Err(violation) => self.violations.push(violation),
        }
    }
}

fn run_all(seeds: std::ops::Range<u64>, plan: fn(u64) -> CrashPlan) -> ExitCode {
    let began = Instant::now();
    let next = AtomicU64::new(seeds.start);
    let total = Mutex::new(Total::default());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let result = run(plan(seed));
                    total.lock().unwrap_or_else(PoisonError::into_inner).add(result);
                }
            });
        }
    });
    let total = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    print_summary(&total, began.elapsed(), &plan(0).words());
    if total.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print_summary(total: &Total, took: std::time::Duration, words: &str) {
    let Total { runs, sum, violations } = total;
    let mib = |bytes: u64| bytes >> 20;
    println!("{runs} seeds in {took:.1?}: {} sessions, {} of them cut off", sum.sessions, sum.cut);
    println!("trees of {} MiB; {} MiB carried, {} MiB resumed", mib(sum.bytes), mib(sum.carried), mib(sum.resumed));
    println!("{:.0?} of virtual time; {} hidden files left behind", sum.time, sum.left_behind);
    println!("{} faults", violations.len());
    for violation in violations.iter().take(SHOWN) {
        println!(
            "{violation}\n  replay: cargo run --release -p limosa-sim --example crash -- {words}{}",
            violation.seed
        );
    }
}
