//! A server lives for months: what a session had in memory goes with it.

#![allow(clippy::unwrap_used, clippy::panic)] // a test's surroundings fail it

mod support;

use std::fs;

use support::client::Client;
use support::embedded::Embedded;
use support::random::Random;
use support::remote::Remote;
use support::{Lab, until};

/// At full speed it fills a good part of what a session may have in memory.
const LARGE: usize = 150_000_000;
const SESSIONS: usize = 6;
/// What the server may have grown by after all of them. A session alone may
/// hold 64 MiB of files.
const GROWTH: u64 = 16 << 20;

#[test]
fn sessions_take_their_memory_with_them() {
    let lab = Lab::new();
    let Some(server) = Embedded::start(&lab, "127.0.0.1") else { return };
    fs::write(lab.here().join("large"), Random::new(1).bytes(LARGE)).unwrap();
    let process = server.process();
    let remote = Remote::Embedded(server);
    let (idle, mut resident) = (process.resident(), Vec::new());
    for _ in 0..SESSIONS {
        let durability = ["--durability", "none"];
        let sent = Client::new(&lab, &remote, "send").args(durability).arg("large");
        sent.arg(remote.place(&lab, "arrived")).succeed();
        let fetched = Client::new(&lab, &remote, "get").args(durability).arg(remote.place(&lab, "arrived"));
        fetched.arg("back").succeed();
        fs::remove_file(lab.there().join("arrived")).unwrap();
        fs::remove_file(lab.here().join("back")).unwrap();
        resident.push(process.resident());
    }
    // The client's end comes before that of the server's threads.
    let what = format!("the memory of sessions is given back: {idle} idle, {resident:?}");
    until(&what, || (process.resident() <= idle + GROWTH).then_some(()));
}
