//! What a crash leaves behind: nothing of what the program held.

#![allow(clippy::unwrap_used, clippy::panic)] // a test's surroundings fail it

mod support;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use support::{Lab, until};

/// Starts a program that may leave a core dump in the lab.
fn start(lab: &Lab, program: &str, argument: &str) -> Child {
    Command::new("sh")
        .args(["-c", "ulimit -c unlimited; exec \"$0\" \"$1\"", program, argument])
        .current_dir(lab.here())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Lets it crash; whether it left a core dump.
fn crashes_with_a_dump(mut child: Child) -> bool {
    kill_process(Pid::from_child(&child), Signal::ABORT).unwrap();
    child.wait().unwrap().core_dumped()
}

#[test]
fn a_crash_leaves_no_core_dump() {
    let lab = Lab::new();
    let sleeping = start(&lab, "sleep", "1000");
    let status = |child: &Child, file: &str| fs::read_to_string(format!("/proc/{}/{file}", child.id())).unwrap();
    until("another program runs", || status(&sleeping, "comm").starts_with("sleep").then_some(()));
    if !crashes_with_a_dump(sleeping) {
        eprintln!("skipped: no program leaves a core dump here");
        return;
    }
    let session = start(&lab, env!("CARGO_BIN_EXE_limosa"), "session");
    // Its threads are started after it gave up dumps; the shell before it, and
    // it at first, have one.
    until("the session runs", || (!status(&session, "status").contains("Threads:\t1\n")).then_some(()));
    assert!(!crashes_with_a_dump(session));
}
