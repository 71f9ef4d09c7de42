//! Master keys that a key server guards: `checks/transit/server.py`, which is
//! written from the documentation of Vault's transit API. A real one cannot be
//! had where these tests run.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use limosa_wire::Code;
use rcgen::{CertifiedKey, generate_simple_self_signed};

use crate::at_rest::{assert_shows_nothing, download, upload};
use crate::server::{Lab, Server};
use crate::{in_time, skip, tree};

const TOKEN: &str = "hvs.a-token-of-this-test";

/// A running key server over TLS; ended when dropped.
struct KeyServer {
    child: Child,
    says: BufReader<ChildStdout>,
    address: String,
    log: PathBuf,
}

impl KeyServer {
    /// `None` where there is no Python. Its certificate lies in `ca.pem`, its
    /// token in `token`.
    fn start(lab: &Lab, arguments: &[&str]) -> Option<Self> {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        fs::write(lab.path("ca.pem"), cert.pem()).unwrap();
        fs::write(lab.path("server.key"), signing_key.serialize_pem()).unwrap();
        write_token(lab, TOKEN);
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../checks/transit/server.py");
        let log = lab.path("transit.log");
        let spawned = Command::new("python3")
            .arg(program)
            .args(["--token", TOKEN, "--certificate"])
            .arg(lab.path("ca.pem"))
            .arg("--private-key")
            .arg(lab.path("server.key"))
            .arg("--log")
            .arg(&log)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(_) => {
                skip("python3, for the key server of checks/transit");
                return None;
            }
        };
        let mut port = String::new();
        let mut says = BufReader::new(child.stdout.take().unwrap());
        says.read_line(&mut port).unwrap();
        Some(Self { child, says, address: format!("https://127.0.0.1:{}", port.trim()), log })
    }

    fn stop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }

    /// Gives its key another version.
    fn rotate(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"rotate\n").unwrap();
        let mut line = String::new();
        self.says.read_line(&mut line).unwrap();
        assert_eq!(line, "rotated\n");
    }

    /// What it was asked for, and how that ended.
    fn asked(&self) -> Vec<String> {
        fs::read_to_string(&self.log).unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn write_token(lab: &Lab, token: &str) {
    let path = lab.path("token");
    fs::write(&path, format!("{token}\n")).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
}

/// The arguments that have `server` make a master key in the file `name`.
fn new_key(lab: &Lab, server: &KeyServer, name: &str) -> Vec<String> {
    let path = |name: &str| lab.path(name).to_str().unwrap().to_owned();
    let words = ["seal", "new-key", &path(name), "--address", &server.address, "--key", "limosa"];
    let files = ["--token-file", &path("token"), "--ca-file", &path("ca.pem")];
    words.into_iter().chain(files).map(str::to_owned).collect()
}

/// Runs `limosad` and insists on a refusal for want of the key; what it said.
fn refused<S: AsRef<str>>(lab: &Lab, arguments: &[S]) -> String {
    let arguments: Vec<_> = arguments.iter().map(AsRef::as_ref).collect();
    let output = lab.run(&arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("519"), "{arguments:?}: {said}");
    assert!(!said.contains(TOKEN), "{said}");
    said
}

fn succeed<S: AsRef<str>>(lab: &Lab, arguments: &[S]) -> String {
    lab.succeed(&arguments.iter().map(AsRef::as_ref).collect::<Vec<_>>())
}

/// A lab whose files are sealed by a key that `server` wrapped.
fn sealed_by(lab: &Lab, server: &KeyServer) {
    succeed(lab, &new_key(lab, server, "main.transit"));
    fs::write(lab.path("limosad.toml"), "").unwrap();
    lab.succeed(&["config", "set", "master-keys.main.transit", lab.path("main.transit").to_str().unwrap()]);
    lab.succeed(&["config", "set", "seal-at-rest", "main"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_sealed_by_a_key_that_a_key_server_guards() {
    let lab = Lab::new();
    let Some(mut keys) = KeyServer::start(&lab, &["--namespace", "media/eu"]) else { return };
    assert!(refused(&lab, &new_key(&lab, &keys, "main.transit")).contains("404"), "no such namespace");
    let mut command = new_key(&lab, &keys, "main.transit");
    command.extend(["--namespace", "media/eu"].map(str::to_owned));
    succeed(&lab, &command);
    assert!(refused(&lab, &command).contains("is there already"));
    let described = fs::read_to_string(lab.path("main.transit")).unwrap();
    assert!(described.contains("vault:v1:") && !described.contains(TOKEN), "{described}");
    fs::write(lab.path("limosad.toml"), "").unwrap();
    lab.succeed(&["config", "set", "master-keys.main.transit", lab.path("main.transit").to_str().unwrap()]);
    lab.succeed(&["config", "set", "seal-at-rest", "main"]);
    let findings = lab.succeed(&["check"]);
    assert!(findings.contains("master key main") && findings.contains("key server"), "{findings}");

    let key = lab.add_user("ada");
    let before = keys.asked().len();
    let server = Server::start(&lab);
    tree::make(&lab.path("here/tree"));
    assert_eq!(upload(&lab, &key, &server).await.code, Code::OK);
    assert_shows_nothing(&lab.docroot("ada"), &lab.path("here/tree"));
    assert_eq!(download(&lab, &key, &server, "back").await.code, Code::OK);
    tree::assert_equal(&lab.path("here/tree"), &lab.path("back/tree"));
    assert_eq!(keys.asked()[before..], ["200 /v1/transit/decrypt/limosa"], "asked once while the server runs");
    keys.stop();
    assert_eq!(download(&lab, &key, &server, "later").await.code, Code::OK, "the key was had before");
    assert!(server.stop().success());
    let findings = lab.run(&["check"]);
    assert!(String::from_utf8(findings.stdout).unwrap().contains("no answer from https://127.0.0.1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_refused_while_the_key_server_refuses() {
    let lab = Lab::new();
    let Some(keys) = KeyServer::start(&lab, &[]) else { return };
    sealed_by(&lab, &keys);
    let key = lab.add_user("ada");
    tree::make(&lab.path("here/tree"));
    write_token(&lab, "hvs.another");
    let server = Server::start(&lab);
    let attempt = async || {
        let connected = crate::client::log_in(&lab, "ada", &key, server.ssh).await.unwrap();
        let request = crate::client::request(limosa_wire::setup::Direction::Upload, "in/");
        crate::client::send(connected, &lab.path("here"), "tree", request).await.map_err(|error| error.code())
    };
    assert_eq!(attempt().await.err(), Some(Code::AT_REST_KEY));
    assert!(keys.asked().iter().any(|line| line.starts_with("403 ")), "{:?}", keys.asked());
    let log = fs::read_to_string(lab.path("log")).unwrap();
    assert!(log.contains("permission denied") && !log.contains("hvs."), "{log}");
    // What was in vain is tried again, if not for each of many at once.
    write_token(&lab, TOKEN);
    let started = in_time(async {
        loop {
            match attempt().await {
                Err(Code::AT_REST_KEY) => {}
                started => return started.unwrap(),
            }
        }
    });
    assert_eq!(crate::client::outcome(started.await).await.code, Code::OK);
}

#[test]
fn the_newest_version_of_the_key_servers_key_wraps_when_asked_to() {
    let lab = Lab::new();
    let Some(mut keys) = KeyServer::start(&lab, &[]) else { return };
    sealed_by(&lab, &keys);
    keys.rotate();
    let file = lab.path("main.transit");
    let renew = ["seal", "renew-key", file.to_str().unwrap()];
    assert!(fs::read_to_string(&file).unwrap().contains("vault:v1:"));
    assert!(lab.succeed(&renew).contains("anew"));
    let after = fs::read_to_string(&file).unwrap();
    assert!(after.contains("vault:v2:"));
    assert!(lab.succeed(&renew).contains("nothing was changed"));
    assert_eq!(fs::read_to_string(&file).unwrap(), after, "the server wraps it in other words each time");
    lab.succeed(&["check"]);
    write_token(&lab, "hvs.another");
    assert!(refused(&lab, &renew).contains("403): permission denied"));
    assert_eq!(fs::read_to_string(&file).unwrap(), after, "what is refused changes nothing");
}

#[test]
fn only_a_server_that_proves_itself_is_asked() {
    let lab = Lab::new();
    let Some(keys) = KeyServer::start(&lab, &[]) else { return };
    let command = new_key(&lab, &keys, "main.transit");
    let with = |from: &str, to: &str| -> Vec<String> { command.iter().map(|word| word.replace(from, to)).collect() };
    // An authority of another server, an address that is not in the certificate.
    let stranger = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    fs::write(lab.path("stranger.pem"), stranger.cert.pem()).unwrap();
    assert!(refused(&lab, &with("ca.pem", "stranger.pem")).contains("no answer from"));
    assert!(refused(&lab, &with("127.0.0.1", "localhost")).contains("no answer from"));
    let without_authority = &command[..command.len() - 2];
    // As on a machine that has an authority of its own, and on one that has none.
    let asked = |trusted: &str| {
        let mut limosad = lab.limosad(&without_authority.iter().map(String::as_str).collect::<Vec<_>>());
        let output = limosad.env("SSL_CERT_FILE", lab.path(trusted)).env_remove("SSL_CERT_DIR").output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(asked("stranger.pem").contains("no answer from"));
    fs::write(lab.path("none.pem"), "").unwrap();
    assert!(asked("none.pem").contains("has no certificates of authorities"));
    assert!(refused(&lab, &with("https://127.0.0.1", "http://192.0.2.1")).contains("only https leaves this machine"));
    assert!(refused(&lab, &with("limosa", "../sys")).contains("`key`"));
    fs::set_permissions(lab.path("token"), PermissionsExt::from_mode(0o644)).unwrap();
    assert!(refused(&lab, &command).contains("chmod 600"));
    assert!(keys.asked().is_empty(), "{:?}", keys.asked());
    assert!(!lab.path("main.transit").exists());
}
