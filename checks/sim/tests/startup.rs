//! Start-up: how soon a session finds the end of its line, and what it loses
//! by its own doing meanwhile.

use std::fmt::Write;
use std::time::Duration;

use limosa_sim::startup::Start;
use limosa_wire::Rate;

/// Round trips to nine tenths of the line, from nothing and told the rate.
const FROM_NOTHING: f64 = 8.0;
const TOLD: f64 = 3.0;
/// Bandwidth-delay products lost meanwhile in a buffer of 50 ms, at most.
const OWN_LOSS: f64 = 1.0;

#[test]
fn a_given_rate_of_twice_the_line_floods_nothing() {
    for millis in [1, 10, 100] {
        let rate = Rate::from_bits_per_second(1_000_000_000);
        let found = Start::new(rate, Duration::from_millis(millis), 0.0).told_times(2.0).run(1);
        assert!(found.own_loss < OWN_LOSS, "{millis} ms: {found}");
    }
}

#[test]
fn the_line_is_found_in_time_and_not_flooded() {
    let mut table = format!("{}\n", Start::HEAD);
    for (megabits, millis) in
        [(100, 10), (100, 100), (100, 300), (1_000, 10), (1_000, 100), (1_000, 300), (10_000, 10), (10_000, 100)]
    {
        for percent in [0.0, 10.0] {
            let rate = Rate::from_bits_per_second(megabits * 1_000_000);
            let start = Start::new(rate, Duration::from_millis(millis), percent);
            let row = start.row(1);
            let _ = writeln!(table, "{row}");
            assert!(row.found.rounds.is_some_and(|rounds| rounds <= FROM_NOTHING), "{row}");
            assert!(row.told.rounds.is_some_and(|rounds| rounds <= TOLD), "{row}");
            assert!(row.found.own_loss < OWN_LOSS && row.told.own_loss < OWN_LOSS, "{row}");
        }
    }
    insta::assert_snapshot!("startup", table);
}
