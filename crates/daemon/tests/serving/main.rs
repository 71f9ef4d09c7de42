//! The server program as it is used: `limosad serve` with a state directory of
//! its own on loopback, reached over real SSH and real UDP; and
//! `limosad session` under stock OpenSSH.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub)] // scenes of tests

mod administration;
mod at_rest;
mod broker;
mod client;
mod configuration;
mod lifetimes;
mod openssh;
mod refusals;
mod server;
mod transfers;
mod transit;
mod tree;

use std::time::{Duration, Instant};

/// The one deadline: whatever is waited for happens well before it.
const DEADLINE: Duration = Duration::from_secs(60);

/// Fails the test where `future` takes longer than the deadline.
async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("within the deadline")
}

/// Waits for a condition that nothing announces.
fn wait_until(condition: impl Fn() -> bool, what: &str) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "not in time: {what}");
        std::thread::yield_now();
    }
}

/// Reports a skip by name, or fails where a skip is a failure.
fn skip(missing: &str) {
    let required = std::env::var_os("LIMOSA_REQUIRE_COUNTERPARTS").is_some_and(|value| value == "1");
    assert!(!required, "missing counterpart: {missing}");
    println!("skipped: {missing}");
}
