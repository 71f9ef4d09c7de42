//! The embedded server against the OpenSSH client and our own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod support;

use limosa_ssh::client::{HostKeyPolicy, Remote};
use limosa_ssh::server::{Limits, ServerKey, Settings};
use limosa_ssh::{Secret, SshError, Way, connect};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use support::{Echo, Embedded, Lab, echoes, in_time, installed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PROGRAMS: &[&str] = &["ssh", "ssh-keygen"];

/// Runs the OpenSSH client against `port` with `options`, `input` on its
/// standard input.
fn ssh(lab: &Lab, key: &Path, port: u16, options: &[&str], input: &str) -> Output {
    let mut child = Command::new("ssh")
        .arg("-F")
        .arg(lab.path("empty_config"))
        .arg("-i")
        .arg(key)
        .args(["-p", &port.to_string(), "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"])
        .args(["-o", "IdentityAgent=none", "-o", "StrictHostKeyChecking=accept-new"])
        .arg("-o")
        .arg(format!("UserKnownHostsFile={}", lab.path("kh").display()))
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

async fn ssh_off_thread(lab: &Lab, key: &Path, port: u16, options: &'static [&str]) -> Output {
    // The client must not block the thread that serves it.
    std::thread::scope(|scope| {
        let running = scope.spawn(|| ssh(lab, key, port, options, "hello"));
        running.join().unwrap()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_subsystem_works_and_nothing_else_does() {
    if !installed(PROGRAMS) {
        return;
    }
    let lab = Lab::new();
    let key = lab.key("key", &["-t", "ed25519"], "");
    let echo = Echo::trusting(&lab.public(&key));
    let settings = Settings { banner: Some("mind the gap".into()), ..Settings::default() };
    let server = Embedded::run(echo.clone(), settings).await;
    let run = |options| ssh_off_thread(&lab, &key, server.port, options);

    let output = run(&["-s", "u@127.0.0.1", "limosa"]).await;
    assert_eq!((output.stdout.as_slice(), output.status.code()), (&b"hello"[..], Some(0)), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("mind the gap"));
    assert_eq!(echo.seen.lock().unwrap()[0].0, "u");

    let refused: [&'static [&str]; 8] = [
        &["u@127.0.0.1"],
        &["u@127.0.0.1", "id"],
        &["-tt", "u@127.0.0.1"],
        &["-s", "u@127.0.0.1", "sftp"],
        &["-W", "127.0.0.1:22", "u@127.0.0.1"],
        &["-o", "ExitOnForwardFailure=yes", "-N", "-R", "0:127.0.0.1:22", "u@127.0.0.1"],
        &["-o", "ExitOnForwardFailure=yes", "-N", "-R", "/tmp/limosa-never:127.0.0.1:22", "u@127.0.0.1"],
        &["-o", "ExitOnForwardFailure=yes", "-N", "-w", "any", "u@127.0.0.1"],
    ];
    for options in refused {
        let output = run(options).await;
        assert!(!output.status.success() && output.stdout.is_empty(), "{options:?}: {output:?}");
    }
    assert_eq!(echo.seen.lock().unwrap().len(), 1, "one session in all");
}

#[tokio::test]
async fn our_client_logs_in_by_key_and_by_password() {
    if !installed(PROGRAMS) {
        return;
    }
    let lab = Lab::new();
    let key = lab.key("key", &["-t", "ed25519"], "");
    let mut echo = Echo::trusting(&lab.public(&key));
    echo.password = Some("correct horse".into());
    let server = Embedded::run(echo.clone(), Settings::default()).await;
    let request = lab.request(server.port);
    for request in [
        request.clone().way(Way::Builtin).identity(key.clone()),
        request.clone().way(Way::Auto).password(Some(Secret::new("correct horse".into()))),
        request.clone().way(Way::System).identity(key),
    ] {
        let mut connected = in_time(connect(request)).await.unwrap();
        echoes(&mut connected.channel, 100_000).await;
        assert_eq!(connected.started().await, Some(Remote::Subsystem));
        assert_eq!(connected.peer_addr.map(|address| address.port()), Some(server.port));
        connected.channel.shutdown().await.unwrap();
        let mut rest = Vec::new();
        in_time(connected.channel.read_to_end(&mut rest)).await.unwrap();
    }
    let seen = echo.seen.lock().unwrap().clone();
    assert!(seen[0].1.contains("SHA256:") && seen[1].1.contains("Password"), "{seen:?}");
}

#[tokio::test]
async fn every_key_type_of_clients_is_verified() {
    if !installed(PROGRAMS) {
        return;
    }
    let lab = Lab::new();
    for (name, options) in [("rsa", &["-t", "rsa", "-b", "2048"][..]), ("ecdsa", &["-t", "ecdsa"][..])] {
        let key = lab.key(name, options, "");
        let server = Embedded::run(Echo::trusting(&lab.public(&key)), Settings::default()).await;
        std::fs::remove_file(lab.path("known_hosts")).ok();
        let request = lab.request(server.port).way(Way::Builtin).identity(key);
        let mut connected = in_time(connect(request)).await.unwrap();
        echoes(&mut connected.channel, 10).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sha1_signatures_are_refused() {
    if !installed(PROGRAMS) {
        return;
    }
    let lab = Lab::new();
    let key = lab.key("rsa", &["-t", "rsa", "-b", "2048"], "");
    let server = Embedded::run(Echo::trusting(&lab.public(&key)), Settings::default()).await;
    let sha1 = &["-o", "PubkeyAcceptedAlgorithms=ssh-rsa", "-s", "u@127.0.0.1", "limosa"];
    let output = ssh_off_thread(&lab, &key, server.port, sha1).await;
    assert!(!output.status.success(), "{output:?}");
    let sha2 = &["-s", "u@127.0.0.1", "limosa"];
    assert!(ssh_off_thread(&lab, &key, server.port, sha2).await.status.success());
}

#[tokio::test]
async fn attempts_are_limited() {
    if !installed(PROGRAMS) {
        return;
    }
    let lab = Lab::new();
    let limits = Limits { max_attempts: 3, rejection_time: Duration::ZERO, ..Limits::default() };
    let server = Embedded::run(Echo::default(), Settings { limits, ..Settings::default() }).await;
    let mut request = lab.request(server.port).way(Way::Builtin);
    for n in 0..6 {
        request = request.identity(lab.key(&format!("key{n}"), &["-t", "ed25519"], ""));
    }
    let error = in_time(connect(request)).await.unwrap_err();
    let tried = match error {
        SshError::Authentication { tried, .. } => tried.len(),
        SshError::Protocol(_) => 0,
        other => panic!("{other}"),
    };
    assert!(tried <= 4, "{tried} keys were looked at");
}

/// Whether the server greets a new connection.
async fn is_greeted(port: u16) -> bool {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let mut greeting = [0; 4];
    let greeted = in_time(stream.read_exact(&mut greeting)).await.is_ok();
    greeted && &greeting == b"SSH-"
}

#[tokio::test]
async fn connections_that_do_not_log_in_are_bounded_and_timed() {
    let limits = Limits {
        max_unauthenticated: 3,
        max_unauthenticated_per_peer: 3,
        login_time: Duration::from_millis(300),
        ..Limits::default()
    };
    let server = Embedded::run(Echo::default(), Settings { limits, ..Settings::default() }).await;
    let mut silent = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
        let mut greeting = [0; 4];
        in_time(stream.read_exact(&mut greeting)).await.unwrap();
        silent.push(stream);
    }
    assert!(!is_greeted(server.port).await, "all places are taken");
    for mut stream in silent {
        let mut rest = Vec::new();
        let _ = in_time(stream.read_to_end(&mut rest)).await; // closed by the server
    }
    in_time(async { while !is_greeted(server.port).await {} }).await;
}

#[tokio::test]
async fn unknown_changed_and_revoked_host_keys_are_refused_on_both_ways() {
    if !installed(PROGRAMS) {
        return;
    }
    let lab = Lab::new();
    let key = lab.key("key", &["-t", "ed25519"], "");
    let server = Embedded::run(Echo::trusting(&lab.public(&key)), Settings::default()).await;
    let name = format!("[127.0.0.1]:{}", server.port);
    let line = server.key.public_line();
    let other = ServerKey::generate().unwrap().public_line();
    let rsa = lab.public(&lab.key("rsa", &["-t", "rsa"], ""));
    let cases = [
        (String::new(), "unknown"),
        (format!("{name} {other}\n"), "changed"),
        (format!("{name} {rsa}"), "changed to another type"),
        (format!("{name} {line}\n@revoked * {line}\n"), "revoked"),
    ];
    for (known_hosts, what) in cases {
        for way in [Way::Builtin, Way::System, Way::Auto] {
            std::fs::write(lab.path("known_hosts"), &known_hosts).unwrap();
            let request = lab.request(server.port).way(way).identity(key.clone()).host_keys(HostKeyPolicy::Strict);
            let error = in_time(connect(request)).await.expect_err(what);
            assert!(matches!(error, SshError::HostKey(_)), "{what} by {way:?}: {error}");
            assert_eq!(std::fs::read_to_string(lab.path("known_hosts")).unwrap(), known_hosts);
        }
    }
    std::fs::write(lab.path("known_hosts"), format!("{name} {line}\n")).unwrap();
    for way in [Way::Builtin, Way::System, Way::Auto] {
        let request = lab.request(server.port).way(way).identity(key.clone()).host_keys(HostKeyPolicy::Strict);
        let mut connected = in_time(connect(request)).await.unwrap();
        echoes(&mut connected.channel, 10).await;
    }
}

#[tokio::test]
async fn nobody_listening_is_said_so_on_both_ways() {
    if !installed(PROGRAMS) {
        return;
    }
    let lab = Lab::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for way in [Way::Builtin, Way::System] {
        let error = in_time(connect(lab.request(port).way(way))).await.unwrap_err();
        assert!(matches!(error, SshError::Refused { .. }), "{way:?}: {error}");
    }
}
