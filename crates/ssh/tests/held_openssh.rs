//! The machine's own `ssh`, held to approved algorithms, against what its user
//! has configured, what is on record, and the keys of the real OpenSSH server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use limosa_ssh::client::HostKeyPolicy;
use limosa_ssh::sshd_config::Profile;
use limosa_ssh::{Connected, Distrust, HostKeyProblem, Request, SshError, Way, connect};
use support::{DEADLINE, Lab, Sshd, echoes, find, in_time, installed, user};

const PROGRAMS: &[&str] = &["ssh", "sshd", "ssh-keygen"];

const ED25519: &[&str] = &["-t", "ed25519"];
const ECDSA: &[&str] = &["-t", "ecdsa", "-b", "256"];
const RSA: &[&str] = &["-t", "rsa", "-b", "2048"];
const SHORT_RSA: &[&str] = &["-t", "rsa", "-b", "1024"];

/// A server that lets the keys `user_ecdsa` and `user_short` in, and tells what
/// was negotiated.
struct Scene {
    lab: Lab,
    host_keys: Vec<PathBuf>,
    sshd: Sshd,
}

impl Scene {
    /// With host keys of the kinds given; nothing where a program is missing.
    fn with(host_keys: &[&[&str]]) -> Option<Self> {
        if !installed(PROGRAMS) {
            return None;
        }
        let lab = Lab::new();
        let made = host_keys.iter().enumerate().map(|(number, kind)| lab.key(&format!("host_{number}"), kind, ""));
        let host_keys: Vec<_> = made.collect();
        let users = [lab.key("user_ecdsa", ECDSA, ""), lab.key("user_short", SHORT_RSA, "")];
        let authorized: String = users.iter().map(|key| lab.public(key)).collect();
        let options = format!("LogLevel DEBUG1\n{}", Sshd::with_subsystem(&lab));
        let sshd = Sshd::presenting(&lab, &host_keys, &authorized, &options);
        Some(Self { lab, host_keys, sshd })
    }

    /// Puts the host's key `number` on record under `name`.
    fn record(&self, name: &str, number: usize) {
        let line = format!("{name} {}", self.lab.public(&self.host_keys[number]));
        fs::write(self.lab.path("known_hosts"), line).unwrap();
    }

    /// `[127.0.0.1]:port`.
    fn name(&self) -> String {
        format!("[127.0.0.1]:{}", self.sshd.port)
    }

    fn request(&self) -> Request {
        self.lab.request(self.sshd.port).way(Way::System).identity(self.lab.path("user_ecdsa"))
    }

    /// A request of somebody who has configured `ssh` so.
    fn configured(&self, lines: &str) -> Request {
        fs::write(self.lab.path("user_config"), lines).unwrap();
        self.request().config_file(self.lab.path("user_config"))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.lab.path("sshd.log")).unwrap()
    }

    /// What the server has negotiated for `what`, as often as it has.
    fn negotiated(&self, what: &str) -> Vec<String> {
        let log = self.log();
        let told = log.lines().filter_map(|line| line.split_once(&format!("kex: {what}: ")));
        told.map(|(_, name)| name.split(' ').next().unwrap().to_owned()).collect()
    }

    /// Writes down what `ssh` makes of its arguments before it runs.
    fn telling_program(&self) -> PathBuf {
        let (program, effective) = (self.lab.path("telling_ssh"), self.effective_file());
        let ssh = find("ssh").unwrap();
        let (ssh, effective) = (ssh.display(), effective.display());
        let script = format!("#!/bin/sh\n[ \"$1\" = -G ] || {ssh} -G \"$@\" > {effective}\nexec {ssh} \"$@\"\n");
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        program
    }

    fn effective_file(&self) -> PathBuf {
        self.lab.path("effective")
    }

    /// What held of `keyword`, if this `ssh` has it.
    fn effective(&self, keyword: &str) -> Option<String> {
        let all = fs::read_to_string(self.effective_file()).unwrap();
        let found = all.lines().find_map(|line| line.strip_prefix(keyword)?.strip_prefix(' '));
        found.map(str::to_owned)
    }
}

async fn held(request: Request) -> Result<Connected, SshError> {
    in_time(connect(request.only(Profile::Fips))).await
}

#[tokio::test]
async fn what_the_user_has_configured_gives_way() {
    let Some(scene) = Scene::with(&[ECDSA]) else { return };
    let configured = "IgnoreUnknown GSSAPIKeyExchange,RequiredRSASize\nGSSAPIKeyExchange yes\nRequiredRSASize 1024\n\
        HostbasedAuthentication yes\nUpdateHostKeys yes\nCiphers chacha20-poly1305@openssh.com\n\
        KexAlgorithms curve25519-sha256\nMACs umac-128-etm@openssh.com\n";
    let request = scene.configured(configured).ssh_program(scene.telling_program());
    echoes(&mut held(request).await.unwrap().channel, 1000).await;
    let lists = Profile::Fips.lists();
    assert_eq!(scene.effective("ciphers"), Some(lists.ciphers.join(",")));
    assert_eq!(scene.effective("kexalgorithms"), Some(lists.key_exchange.join(",")));
    assert_eq!(scene.effective("macs"), Some(lists.macs.join(",")));
    assert_eq!(scene.effective("hostbasedauthentication").as_deref(), Some("no"));
    assert!(matches!(scene.effective("updatehostkeys").as_deref(), Some("no" | "false")));
    // Not every `ssh` has these.
    assert!(scene.effective("gssapikeyexchange").is_none_or(|value| value == "no"));
    assert!(scene.effective("requiredrsasize").is_none_or(|value| value == "2048"));
    assert_eq!(scene.negotiated("algorithm"), ["ecdh-sha2-nistp256"]);
    assert_eq!(scene.negotiated("client->server cipher"), ["aes128-gcm@openssh.com"]);
}

/// An `ssh` of the user's that others can share.
struct Master(Child);

impl Master {
    fn run(scene: &Scene, config: &Path, socket: &Path) -> Self {
        let mut command = Command::new("ssh");
        command.arg("-F").arg(config).args(["-N", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=accept-new"]);
        command.arg("-i").arg(scene.lab.path("user_ecdsa")).arg("-p").arg(scene.sshd.port.to_string());
        command.arg("-o").arg(format!("UserKnownHostsFile={}", scene.lab.path("known_hosts").display()));
        command.args(["-l", &user(), "127.0.0.1"]).stdin(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let deadline = Instant::now() + DEADLINE;
        while !socket.exists() {
            assert!(Instant::now() < deadline, "no connection to share");
            std::thread::yield_now();
        }
        Self(child)
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_connection_that_was_negotiated_otherwise_is_not_shared() {
    let Some(scene) = Scene::with(&[ECDSA]) else { return };
    let socket = scene.lab.path("control");
    let configured = format!(
        "ControlMaster auto\nControlPath {}\nCiphers chacha20-poly1305@openssh.com\nKexAlgorithms curve25519-sha256\n",
        socket.display()
    );
    let request = scene.configured(&configured);
    let _master = Master::run(&scene, &scene.lab.path("user_config"), &socket);
    // Who is not held shares it.
    echoes(&mut in_time(connect(request.clone())).await.unwrap().channel, 1000).await;
    assert_eq!(scene.negotiated("algorithm"), ["curve25519-sha256"]);
    echoes(&mut held(request).await.unwrap().channel, 1000).await;
    assert_eq!(scene.negotiated("algorithm"), ["curve25519-sha256", "ecdh-sha2-nistp256"]);
    let ciphers = scene.negotiated("client->server cipher");
    assert_eq!(ciphers, ["chacha20-poly1305@openssh.com", "aes128-gcm@openssh.com"]);
}

#[tokio::test]
async fn a_short_rsa_key_of_the_host_is_refused() {
    let Some(scene) = Scene::with(&[SHORT_RSA]) else { return };
    let refused = held(scene.request()).await.unwrap_err();
    assert!(refused.to_string().contains("Invalid key length"), "{refused}");
    assert!(!scene.log().contains("Accepted publickey"), "{}", scene.log());
    assert!(!scene.lab.path("known_hosts").exists(), "nothing is put on record");
}

#[tokio::test]
async fn a_short_rsa_key_of_the_user_is_not_offered() {
    let Some(scene) = Scene::with(&[ECDSA]) else { return };
    let request = scene.lab.request(scene.sshd.port).way(Way::System).identity(scene.lab.path("user_short"));
    let request = request.config_file({
        fs::write(scene.lab.path("alone"), "IdentitiesOnly yes\nIdentityAgent none\n").unwrap();
        scene.lab.path("alone")
    });
    let refused = held(request).await.unwrap_err();
    assert!(matches!(refused, SshError::Authentication { .. }), "{refused}");
    assert!(!scene.log().contains("Accepted publickey"), "{}", scene.log());
}

#[tokio::test]
async fn of_several_host_keys_the_one_on_record_is_asked_for() {
    let Some(scene) = Scene::with(&[ED25519, ECDSA, RSA]) else { return };
    for number in [1, 2] {
        for hashed in [false, true] {
            scene.record(&scene.name(), number);
            if hashed {
                hash(&scene.lab.path("known_hosts"));
            }
            let request = scene.request().host_keys(HostKeyPolicy::Strict);
            echoes(&mut held(request).await.unwrap().channel, 1000).await;
        }
    }
    let ecdsa = ["ecdsa-sha2-nistp256"; 2];
    assert_eq!(scene.negotiated("host key algorithm"), [ecdsa, ["rsa-sha2-512"; 2]].concat());
}

fn hash(known_hosts: &Path) {
    let hashed = Command::new("ssh-keygen").arg("-q").arg("-H").arg("-f").arg(known_hosts).output().unwrap();
    assert!(hashed.status.success() && fs::read_to_string(known_hosts).unwrap().starts_with("|1|"), "{hashed:?}");
}

#[tokio::test]
async fn the_record_is_the_one_that_the_user_has_configured() {
    let Some(scene) = Scene::with(&[ED25519, ECDSA, RSA]) else { return };
    let rsa = scene.lab.public(&scene.host_keys[2]);
    let elsewhere = scene.lab.path("elsewhere");
    let target = format!("{}@127.0.0.1", user()).parse::<limosa_ssh::Target>().unwrap().with_port(scene.sshd.port);
    for (name, alias) in [(scene.name(), ""), ("known-as".to_owned(), "HostKeyAlias known-as\n")] {
        fs::write(&elsewhere, format!("{name} {rsa}")).unwrap();
        for keyword in ["UserKnownHostsFile", "GlobalKnownHostsFile"] {
            let other = if keyword.starts_with('U') { "GlobalKnownHostsFile" } else { "UserKnownHostsFile" };
            let file = scene.lab.path("user_config");
            fs::write(&file, format!("{alias}{keyword} {}\n{other} none\n", elsewhere.display())).unwrap();
            let request = Request::to(target.clone()).way(Way::System).identity(scene.lab.path("user_ecdsa"));
            let memory = limosa_ssh::client::RemoteMemory::in_file(scene.lab.path("remotes"));
            let request = request.config_file(file).memory(memory).host_keys(HostKeyPolicy::Strict);
            echoes(&mut held(request).await.unwrap().channel, 1000).await;
        }
    }
    assert_eq!(scene.negotiated("host key algorithm"), ["rsa-sha2-512"; 4]);
}

#[tokio::test]
async fn where_no_approved_host_key_is_on_record_that_is_what_is_said() {
    let Some(scene) = Scene::with(&[ED25519, ECDSA, RSA]) else { return };
    scene.record(&scene.name(), 0);
    let before = fs::read(scene.lab.path("known_hosts")).unwrap();
    for policy in [HostKeyPolicy::Strict, HostKeyPolicy::AcceptNew, HostKeyPolicy::Ask] {
        let refused = held(scene.request().host_keys(policy)).await.unwrap_err();
        assert!(matches!(refused, SshError::HostKey(HostKeyProblem::NoneApproved { .. })), "{policy:?}: {refused}");
        let told = refused.to_string();
        for part in [scene.name().as_str(), "only ssh-ed25519", "ECDSA or RSA", "known_hosts"] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
    assert!(fs::read(scene.lab.path("known_hosts")).unwrap() == before, "nothing is put on record");
    assert!(!scene.log().contains("Accepted publickey"), "{}", scene.log());
}

#[tokio::test]
async fn another_approved_key_than_the_one_on_record_is_a_changed_one() {
    let Some(scene) = Scene::with(&[ECDSA]) else { return };
    let other = scene.lab.key("other", RSA, "");
    fs::write(scene.lab.path("known_hosts"), format!("{} {}", scene.name(), scene.lab.public(&other))).unwrap();
    let refused = held(scene.request()).await.unwrap_err();
    let SshError::HostKey(HostKeyProblem::RefusedBySystem { distrust, .. }) = refused else { panic!("{refused}") };
    assert_eq!(distrust, Distrust::Changed);
}

/// OpenSSH drops from the record what a server does not present any more, and
/// takes what it may not name for that.
#[tokio::test]
async fn keys_that_are_not_approved_stay_on_record() {
    let Some(scene) = Scene::with(&[ED25519, ECDSA, RSA]) else { return };
    let lines: String =
        [0, 1].map(|number| format!("{} {}", scene.name(), scene.lab.public(&scene.host_keys[number]))).concat();
    fs::write(scene.lab.path("known_hosts"), &lines).unwrap();
    let request = scene.configured("UpdateHostKeys yes\n");
    echoes(&mut held(request).await.unwrap().channel, 1000).await;
    assert_eq!(fs::read_to_string(scene.lab.path("known_hosts")).unwrap(), lines);
}
