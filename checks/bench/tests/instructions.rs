//! Instructions that the protocol core takes for a datagram, both ends
//! together, against what was reviewed last: whoever makes it dearer, or
//! cheaper, says so by changing the figures here.
//!
//! Counted under callgrind, which gives the same figure for the same program;
//! compilers differ a little, so does what is linked for another processor.

use std::process::Command;

/// Datagrams of the two runs whose difference is counted.
const RUNS: (u64, u64) = (40_000, 80_000);
/// Each so many-th datagram lost (0: none), and the instructions for one.
const REVIEWED: [(u64, u64); 2] = [(0, 3452), (100, 3584)];
/// Share by which a figure may differ.
const TOLERANCE: f64 = 0.05;

#[test]
fn a_datagram_takes_as_many_instructions_as_reviewed() {
    if !cfg!(debug_assertions) || !cfg!(target_arch = "x86_64") {
        println!("skipped: the figures are those of the test profile on x86-64");
        return;
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("skipped: valgrind is not installed");
        let required = std::env::var_os("LIMOSA_REQUIRE_COUNTERPARTS").is_some_and(|value| value == "1");
        assert!(!required, "valgrind is required");
        return;
    }
    for (lost, reviewed) in REVIEWED {
        let (fewer, more) = (instructions(RUNS.0, lost), instructions(RUNS.1, lost));
        let each = (more - fewer) / (RUNS.1 - RUNS.0);
        println!("each {lost}-th lost: {each} instructions for a datagram, {reviewed} when last reviewed");
        let change = each as f64 / reviewed as f64 - 1.0;
        assert!(
            change.abs() <= TOLERANCE,
            "each {lost}-th lost: {each} instructions for a datagram where {reviewed} were reviewed last ({:+.1} %); \
             if that is meant, say why and change the figure in {}",
            change * 100.0,
            file!(),
        );
    }
}

fn instructions(datagrams: u64, lost: u64) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", env!("CARGO_BIN_EXE_core-datagrams")])
        .args([datagrams, lost].map(|number| number.to_string()))
        .output()
        .expect("valgrind runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let collected = text.lines().find_map(|line| line.split_once("Collected : "));
    let count = collected.and_then(|(_, count)| count.trim().parse().ok());
    assert!(count.is_some(), "callgrind does not say how many instructions there were: {text}");
    count.unwrap_or_default()
}
