//! The built-in client against the real OpenSSH server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod support;

use limosa_ssh::client::{Remote, RemoteMemory};
use limosa_ssh::{End, Prompt, Secret, SshError, Way, connect};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::{Agent, Lab, Sshd, cause, echoes, in_time, installed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PROGRAMS: &[&str] = &["sshd", "ssh-keygen"];

#[tokio::test]
async fn every_kind_of_key_logs_in() {
    if !installed(PROGRAMS) {
        return;
    }
    let lab = Lab::new();
    let keys = [
        lab.key("ed25519", &["-t", "ed25519"], ""),
        lab.key("ecdsa256", &["-t", "ecdsa", "-b", "256"], ""),
        lab.key("ecdsa521", &["-t", "ecdsa", "-b", "521"], ""),
        lab.key("rsa", &["-t", "rsa", "-b", "2048"], ""),
        lab.key("rsa_pem", &["-t", "rsa", "-b", "2048", "-m", "PEM"], ""),
        lab.key("ecdsa_pem", &["-t", "ecdsa", "-m", "PEM"], ""),
        lab.key("rsa_pkcs8", &["-t", "rsa", "-b", "2048", "-m", "PKCS8"], ""),
        lab.key("ed25519_locked", &["-t", "ed25519"], "open sesame"),
        lab.key("rsa_locked_pem", &["-t", "rsa", "-b", "2048", "-m", "PEM"], "open sesame"),
        lab.key("rsa_locked_pkcs8", &["-t", "rsa", "-b", "2048", "-m", "PKCS8"], "open sesame"),
    ];
    let authorized: String = keys.iter().map(|key| lab.public(key)).collect();
    let sshd = Sshd::run(&lab, &authorized, &Sshd::with_subsystem(&lab));
    for key in keys {
        let password = Some(Secret::new("open sesame".into()));
        let request = lab.request(sshd.port).way(Way::Builtin).identity(key.clone()).password(password);
        let mut connected = in_time(connect(request)).await.unwrap_or_else(|error| panic!("{key:?}: {error}"));
        echoes(&mut connected.channel, 1000).await;
        assert_eq!(connected.started().await, Some(Remote::Subsystem));
        assert!(connected.host_key.unwrap().starts_with("SHA256:"));
        assert_eq!(connected.peer_addr.unwrap().port(), sshd.port);
    }
}

#[tokio::test]
async fn megabytes_both_ways_and_an_orderly_end() {
    if !installed(PROGRAMS) {
        return;
    }
    let lab = Lab::new();
    let key = lab.key("key", &["-t", "ed25519"], "");
    let sshd = Sshd::run(&lab, &lab.public(&key), &Sshd::with_subsystem(&lab));
    let request = lab.request(sshd.port).way(Way::Builtin).identity(key);
    let mut connected = in_time(connect(request)).await.unwrap();
    echoes(&mut connected.channel, 20_000_000).await;
    connected.channel.write_all(b"last").await.unwrap();
    connected.channel.shutdown().await.unwrap();
    let mut rest = Vec::new();
    in_time(connected.channel.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, b"last");
    assert!(matches!(in_time(connected.channel.end().ended()).await, End::Closed { status: Some(0), .. }));
}

#[tokio::test]
async fn without_a_subsystem_the_command_is_run_and_remembered() {
    if !installed(PROGRAMS) {
        return;
    }
    let lab = Lab::new();
    let key = lab.key("key", &["-t", "ed25519"], "");
    let sshd = Sshd::run(&lab, &lab.public(&key), "");
    let memory = RemoteMemory::in_file(lab.path("remotes"));
    let request = lab.request(sshd.port).way(Way::Builtin).identity(key).session_command("cat".into());
    for _ in 0..2 {
        let mut connected = in_time(connect(request.clone())).await.unwrap();
        // Written before anything was answered, and still all there.
        echoes(&mut connected.channel, 10_000).await;
        assert_eq!(connected.started().await, Some(Remote::Command));
        assert_eq!(memory.remote("127.0.0.1", sshd.port), Some(Remote::Command));
    }
    // A wrong memory corrects itself.
    memory.remember("127.0.0.1", sshd.port, Remote::Subsystem);
    let mut connected = in_time(connect(request)).await.unwrap();
    echoes(&mut connected.channel, 10).await;
    assert_eq!(memory.remote("127.0.0.1", sshd.port), Some(Remote::Command));
}

#[tokio::test]
async fn neither_subsystem_nor_command_is_a_clear_error() {
    if !installed(PROGRAMS) {
        return;
    }
    let lab = Lab::new();
    let key = lab.key("key", &["-t", "ed25519"], "");
    let sshd = Sshd::run(&lab, &lab.public(&key), "");
    let request =
        lab.request(sshd.port).way(Way::Builtin).identity(key).session_command("/nonexistent/limosa session".into());
    let mut connected = in_time(connect(request)).await.unwrap();
    let error = in_time(connected.channel.read_u8()).await.unwrap_err();
    assert!(
        matches!(cause(&error), SshError::NoSession { tried } if tried.contains("subsystem")
        && tried.contains("127")),
        "{error}"
    );
}

#[tokio::test]
async fn a_killed_server_is_a_broken_line() {
    if !installed(PROGRAMS) {
        return;
    }
    let lab = Lab::new();
    let key = lab.key("key", &["-t", "ed25519"], "");
    let sshd = Sshd::run(&lab, &lab.public(&key), "");
    // The command ends the sshd process that serves it.
    let request = lab
        .request(sshd.port)
        .way(Way::Builtin)
        .identity(key)
        .session_command("echo up; read go; kill -9 $PPID".into());
    let mut connected = in_time(connect(request)).await.unwrap();
    connected.channel.write_all(b"x").await.unwrap();
    let mut up = [0; 3];
    in_time(connected.channel.read_exact(&mut up)).await.unwrap();
    connected.channel.write_all(b"\n").await.unwrap();
    let error = in_time(connected.channel.read_u8()).await.unwrap_err();
    assert!(matches!(cause(&error), SshError::Broken { .. }), "{error}");
}

#[tokio::test]
async fn keys_of_an_agent_log_in() {
    if !installed(&["sshd", "ssh-keygen", "ssh-agent", "ssh-add"]) {
        return;
    }
    let lab = Lab::new();
    let agent = Agent::run(&lab);
    let config = lab.path("agent_config");
    std::fs::write(
        &config,
        format!("IdentityAgent {}\nIdentityFile {}\n", agent.socket.display(), lab.path("none").display()),
    )
    .unwrap();
    let (ecdsa, rsa) = (lab.key("ecdsa", &["-t", "ecdsa"], ""), lab.key("rsa", &["-t", "rsa"], ""));
    for key in [ecdsa, rsa] {
        let authorized = lab.public(&key);
        agent.add(&key);
        std::fs::remove_file(&key).unwrap();
        std::fs::remove_file(lab.path("host_key")).ok();
        let sshd = Sshd::run(&lab, &authorized, &Sshd::with_subsystem(&lab));
        let request = lab.request(sshd.port).way(Way::Builtin).config_file(config.clone());
        let mut connected = in_time(connect(request)).await.unwrap();
        echoes(&mut connected.channel, 100).await;
    }
}

/// A person who knows one secret, and counts how often it is asked for.
struct Person {
    secret: &'static str,
    asked: AtomicUsize,
}

impl Prompt for Person {
    fn secret(&self, _question: &str) -> Option<Secret> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Some(Secret::new(self.secret.into()))
    }

    fn confirm(&self, _question: &str) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed);
        true
    }

    fn notice(&self, _text: &str) {}
}

#[tokio::test]
async fn a_passphrase_is_asked_for_only_if_the_server_wants_the_key() {
    if !installed(PROGRAMS) {
        return;
    }
    let lab = Lab::new();
    let wanted = lab.key("wanted", &["-t", "ed25519"], "sesame");
    let unwanted = lab.key("unwanted", &["-t", "ed25519"], "other");
    let sshd = Sshd::run(&lab, &lab.public(&wanted), &Sshd::with_subsystem(&lab));
    let person = Arc::new(Person { secret: "sesame", asked: AtomicUsize::new(0) });
    let request = lab.request(sshd.port).way(Way::Builtin).identity(unwanted).identity(wanted).prompt(person.clone());
    let mut connected = in_time(connect(request)).await.unwrap();
    echoes(&mut connected.channel, 10).await;
    assert_eq!(person.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_refused_login_says_what_was_tried_and_no_secret() {
    if !installed(PROGRAMS) {
        return;
    }
    let lab = Lab::new();
    let key = lab.key("key", &["-t", "ed25519"], "");
    let sshd = Sshd::run(&lab, "", &Sshd::with_subsystem(&lab));
    let request = lab.request(sshd.port).way(Way::Builtin).identity(key).password(Some(Secret::new("hunter2".into())));
    let error = in_time(connect(request)).await.unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(matches!(&error, SshError::Authentication { tried, .. } if tried.len() >= 2), "{text}");
    assert!(text.contains("publickey") && !text.contains("hunter2"), "{text}");
}
