//! The short grid: a session over every line of it, payload as lengths.

use std::fmt::Write;
use std::time::Duration;

use limosa_sim::grid::{self, CellResult, Extent, Sender};
use limosa_transport::rate::Policy;
use limosa_wire::Rate;

/// Runs the cells that `pick` wants and compares the table with the one that
/// was reviewed.
fn run(name: &str, rate: u64, pick: impl Fn(Duration) -> bool) {
    let rate = Rate::from_bits_per_second(rate);
    let mut table = format!("{}\n", CellResult::HEAD);
    let mut misses = String::new();
    for cell in grid::short().into_iter().filter(|cell| cell.rate == rate && pick(cell.rtt)) {
        let result = cell.run(Sender::Session(Policy::Fair), Extent::SHORT, 1);
        let _ = writeln!(table, "{result}");
        if let Some(why) = result.missed(cut_short(&result)) {
            let _ = writeln!(misses, "{why}: {result}");
        }
    }
    assert!(misses.is_empty(), "cells that miss a bar:\n{misses}");
    insta::assert_snapshot!(name, table);
}

/// At 10 Gbit/s a run is cut to two million datagrams, 2.4 s: too little for
/// the slack of a whole transfer to pay for a start-up that takes up to eleven
/// round trips there. The full grid has no such allowance.
fn cut_short(result: &CellResult) -> Duration {
    if result.cell.rate.bits_per_second() < 10_000_000_000 { Duration::ZERO } else { result.cell.rtt * 5 }
}

#[test]
fn a_hundred_megabits_on_short_and_middling_ways() {
    run("100mbit_near", 100_000_000, |rtt| rtt < Duration::from_millis(300));
}

#[test]
fn a_hundred_megabits_on_long_ways() {
    run("100mbit_far", 100_000_000, |rtt| rtt >= Duration::from_millis(300));
}

#[test]
fn one_gigabit() {
    run("1gbit", 1_000_000_000, |_| true);
}

#[test]
fn ten_gigabits() {
    run("10gbit", 10_000_000_000, |_| true);
}
