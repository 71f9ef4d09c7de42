//! Whole trees cross, both ways, and are the same afterwards: content, names,
//! kinds, modes, times, link targets and holes.
#![allow(clippy::unwrap_used, clippy::panic)] // a test's surroundings fail it

mod support;

use std::path::Path;
use std::time::Instant;

use support::Lab;
use support::client::{Client, Finished, Login};
use support::openssh::Agent;
use support::remote::{Kind, Remote};
use support::tree::{self, Recipe};

on_each_remote!(ten_thousand_entries_cross_both_ways, every_login_and_every_ssh_client_carries_a_tree);

/// Upload with a key file through the built-in SSH client, download with the
/// agent through the system's.
fn ten_thousand_entries_cross_both_ways(kind: Kind) {
    let lab = Lab::new();
    let Some(remote) = Remote::start(kind, &lab) else { return };
    let Some(agent) = Agent::holding(&lab, &lab.key("id")) else { return };
    let source = lab.here().join("tree");
    tree::make(&source, Recipe { small: 10_000, medium: 12, sparse: true, seed: 1 });
    let entries = tree::count(&source);
    assert!(entries > 10_000);

    let send = Client::new(&lab, &remote, "send").args(["--json", "--ssh", "builtin", "tree"]);
    timed("upload", entries, || send.arg(remote.place(&lab, "in/")).succeed());
    let there = lab.there().join("in/tree");
    tree::assert_equal(&source, &there);
    assert_keeps_holes(&source, &there);

    let get = Client::logging_in(&lab, &remote, "get", &Login::Agent(agent.socket.clone()));
    let get = get.args(["--json", "--ssh", "system"]).arg(remote.place(&lab, "in/tree"));
    timed("download", entries, || get.arg("back/").succeed());
    let back = lab.here().join("back/tree");
    tree::assert_equal(&source, &back);
    assert_keeps_holes(&source, &back);
}

/// The same below a docroot, for an OpenSSH whose administrator installed
/// `limosad`.
#[test]
fn ten_thousand_entries_cross_both_ways_below_a_docroot_of_openssh() {
    ten_thousand_entries_cross_both_ways(Kind::Administered);
}

/// Prints what a transfer took.
fn timed(what: &str, entries: usize, transfer: impl FnOnce() -> Finished) {
    let began = Instant::now();
    let summary = transfer().summary();
    println!(
        "{what}: {entries} entries, {} bytes, {} carried, in {:.1} s (session {:.1} s)",
        summary["here"]["bytes"],
        summary["here"]["carried"],
        began.elapsed().as_secs_f64(),
        summary["seconds"].as_f64().unwrap(),
    );
}

/// Holes need no more room than before, give or take an allocation unit each.
fn assert_keeps_holes(source: &Path, copy: &Path) {
    let (before, after) = (tree::occupied(&source.join("sparse")), tree::occupied(&copy.join("sparse")));
    println!("sparse file of 200 MB: {before} bytes on disk at the source, {after} at the copy");
    assert!(after <= before + (4 << 20), "{after} bytes on disk, {before} at the source");
}

/// The four ways to log in, each direction.
fn every_login_and_every_ssh_client_carries_a_tree(kind: Kind) {
    let lab = Lab::new();
    let Some(remote) = Remote::start(kind, &lab) else { return };
    let Some(agent) = Agent::holding(&lab, &lab.key("id")) else { return };
    let source = lab.here().join("tree");
    tree::make(&source, Recipe { small: 200, medium: 1, sparse: false, seed: 2 });
    for (number, (ssh, login)) in [
        ("builtin", Login::Key(lab.key("id"))),
        ("builtin", Login::Agent(agent.socket.clone())),
        ("system", Login::Key(lab.key("id"))),
        ("system", Login::Agent(agent.socket.clone())),
    ]
    .iter()
    .enumerate()
    {
        let there = format!("in{number}");
        let send = Client::logging_in(&lab, &remote, "send", login).args(["--ssh", ssh, "tree/"]);
        send.arg(remote.place(&lab, &there)).succeed();
        tree::assert_same_content(&source, &lab.there().join(&there));

        let get = Client::logging_in(&lab, &remote, "get", login).args(["--ssh", ssh]);
        get.arg(remote.place(&lab, format!("{there}/"))).arg(format!("back{number}")).succeed();
        tree::assert_same_content(&source, &lab.here().join(format!("back{number}")));
    }
}
