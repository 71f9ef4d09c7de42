//! The machine's own `ssh` as the way to the real OpenSSH server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod support;

use limosa_ssh::{End, SshError, Way, connect};
use std::io::ErrorKind;
use support::{Lab, Sshd, cause, in_time, installed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PROGRAMS: &[&str] = &["ssh", "sshd", "ssh-keygen"];

#[tokio::test]
async fn a_cut_line_is_no_end_of_file() {
    if !installed(PROGRAMS) {
        return;
    }
    let lab = Lab::new();
    let key = lab.key("key", &["-t", "ed25519"], "");
    let sshd = Sshd::run(&lab, &lab.public(&key), "");
    // The command ends the sshd process that serves it.
    let command = "echo up; read go; kill -9 $PPID".into();
    let request = lab.request(sshd.port).way(Way::System).identity(key).session_command(command);
    let mut connected = in_time(connect(request)).await.unwrap();
    let mut up = [0; 3];
    in_time(connected.channel.read_exact(&mut up)).await.unwrap();
    connected.channel.write_all(b"\n").await.unwrap();
    let error = in_time(connected.channel.read_to_end(&mut Vec::new())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(matches!(cause(&error), SshError::Broken { .. }), "{error}");
    assert!(matches!(in_time(connected.channel.end().ended()).await, End::Broken(_)));
}

#[tokio::test]
async fn a_program_that_ends_is_end_of_file() {
    if !installed(PROGRAMS) {
        return;
    }
    let lab = Lab::new();
    let key = lab.key("key", &["-t", "ed25519"], "");
    let sshd = Sshd::run(&lab, &lab.public(&key), "");
    for (command, expected) in [("echo up; read go; echo bye", 0), ("echo up; read go; echo bye; exit 3", 3)] {
        let request = lab.request(sshd.port).way(Way::System).identity(key.clone()).session_command(command.into());
        let mut connected = in_time(connect(request)).await.unwrap();
        connected.channel.write_all(b"\n").await.unwrap();
        let mut read = Vec::new();
        in_time(connected.channel.read_to_end(&mut read)).await.unwrap();
        assert_eq!(read, b"up\nbye\n");
        let end = in_time(connected.channel.end().ended()).await;
        assert!(matches!(end, End::Closed { status: Some(status), .. } if status == expected), "{end:?}");
    }
}
