//! `limosad session` under stock OpenSSH.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use limosa_wire::Code;
use limosa_wire::setup::Direction;

use crate::client::{fetch, flows, log_in, outcome, request, send, slowly};
use crate::server::{Lab, PROGRAM, signal};
use crate::{DEADLINE, skip, tree};

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    directories.map(|directory| directory.join(program)).find(|file| file.is_file())
}

pub fn user() -> String {
    let name = Command::new("id").arg("-un").output().unwrap().stdout;
    String::from_utf8(name).unwrap().trim().to_owned()
}

/// OpenSSH's server, on loopback, with its own configuration.
struct Sshd {
    child: Child,
    address: SocketAddr,
}

impl Sshd {
    /// Runs with `lines` in its configuration; `None` if it is not installed.
    fn start(lab: &Lab, key: &Path, lines: &str) -> Option<Self> {
        let Some(program) = find("sshd") else {
            skip("sshd");
            return None;
        };
        // As root, sshd wants its empty directory.
        let _ = fs::create_dir_all("/run/sshd");
        let host_key = lab.key("host_key");
        fs::copy(format!("{}.pub", key.display()), lab.path("authorized")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "{lines}\nPort {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\n\
             StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\n",
            host_key.display(),
            lab.path("authorized").display()
        );
        fs::write(lab.path("sshd_config"), config).unwrap();
        let mut command = Command::new(program);
        command.arg("-D").arg("-f").arg(lab.path("sshd_config")).arg("-E").arg(lab.path("sshd.log"));
        let child = command.stdin(Stdio::null()).spawn().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut sshd = Self { child, address };
        let deadline = Instant::now() + DEADLINE;
        while TcpStream::connect(address).is_err() {
            assert!(sshd.child.try_wait().unwrap().is_none() && Instant::now() < deadline, "sshd does not listen");
            std::thread::yield_now();
        }
        Some(sshd)
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The administered session, with a docroot for this login.
fn configured(lab: &Lab) -> String {
    let docroot = lab.docroot("login");
    fs::create_dir_all(&docroot).unwrap();
    let text = format!("[udp]\nsession-ports = \"36400-36450\"\n[users.{}]\ndocroot = {docroot:?}\n", user());
    fs::write(lab.path("machine.toml"), text).unwrap();
    format!("{PROGRAM} session --config {}", lab.path("machine.toml").display())
}

#[tokio::test(flavor = "multi_thread")]
async fn as_a_subsystem_it_takes_and_gives_trees_below_its_docroot() {
    let lab = Lab::new();
    let key = lab.key("key");
    let Some(sshd) = Sshd::start(&lab, &key, &format!("Subsystem limosa {}", configured(&lab))) else { return };
    tree::make(&lab.path("here/tree"));
    let connected = log_in(&lab, &user(), &key, sshd.address).await.unwrap();
    let sent = send(connected, &lab.path("here"), "tree", request(Direction::Upload, "/in/")).await.unwrap();
    assert_eq!(outcome(sent).await.code, Code::OK);
    tree::assert_equal(&lab.path("here/tree"), &lab.docroot("login").join("in/tree"));

    let connected = log_in(&lab, &user(), &key, sshd.address).await.unwrap();
    let fetched = fetch(connected, &lab.path("back"), request(Direction::Download, "in/tree")).await.unwrap();
    assert_eq!(outcome(fetched).await.code, Code::OK);
    tree::assert_equal(&lab.path("here/tree"), &lab.path("back/tree"));

    let connected = log_in(&lab, &user(), &key, sshd.address).await.unwrap();
    let refused = fetch(connected, &lab.path("back"), request(Direction::Download, "../../key")).await;
    let code = match refused {
        Ok(running) => outcome(running).await.code,
        Err(error) => error.code(),
    };
    assert_eq!(code, Code::OUTSIDE_ROOT);
}

#[tokio::test(flavor = "multi_thread")]
async fn as_a_forced_command_it_is_all_there_is() {
    let lab = Lab::new();
    let key = lab.key("key");
    let session = configured(&lab);
    tree::make(&lab.path("here/tree"));
    for (destination, subsystem) in [("alone", String::new()), ("both", format!("\nSubsystem limosa {session}"))] {
        let Some(sshd) = Sshd::start(&lab, &key, &format!("ForceCommand {session}{subsystem}")) else { return };
        let connected = log_in(&lab, &user(), &key, sshd.address).await.unwrap();
        let up = request(Direction::Upload, &format!("{destination}/"));
        let sent = send(connected, &lab.path("here"), "tree", up).await.unwrap();
        assert_eq!(outcome(sent).await.code, Code::OK, "{destination}");
        tree::assert_equal(&lab.path("here/tree"), &lab.docroot("login").join(destination).join("tree"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_ssh_connection_is_not_the_end_of_the_session() {
    let lab = Lab::new();
    let key = lab.key("key");
    let Some(sshd) = Sshd::start(&lab, &key, &format!("Subsystem limosa {}", configured(&lab))) else { return };
    fs::create_dir(lab.path("here")).unwrap();
    fs::write(lab.path("here/file"), tree::bytes(6_000_000)).unwrap();
    let connected = log_in(&lab, &user(), &key, sshd.address).await.unwrap();
    let up = slowly(request(Direction::Upload, ""), 8_000_000);
    let mut running = send(connected, &lab.path("here"), "file", up).await.unwrap();
    flows(&mut running).await;
    let children = Command::new("pgrep").arg("-P").arg(sshd.child.id().to_string()).output().unwrap().stdout;
    let children = String::from_utf8(children).unwrap();
    assert!(!children.trim().is_empty());
    children.split_whitespace().for_each(|child| signal("-KILL", child.parse().unwrap()));
    assert_eq!(outcome(running).await.code, Code::OK);
    assert!(fs::read(lab.docroot("login").join("file")).unwrap() == tree::bytes(6_000_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_without_a_docroot_is_refused() {
    let lab = Lab::new();
    let key = lab.key("key");
    fs::write(lab.path("machine.toml"), "").unwrap();
    let session = format!("{PROGRAM} session --config {}", lab.path("machine.toml").display());
    let Some(sshd) = Sshd::start(&lab, &key, &format!("Subsystem limosa {session}")) else { return };
    let connected = log_in(&lab, &user(), &key, sshd.address).await.unwrap();
    let refused = fetch(connected, &lab.path("back"), request(Direction::Download, "x")).await.unwrap_err();
    assert_eq!(refused.code(), Code::NO_DOCROOT);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_for_the_group_of_a_login_applies_from_its_next_session_on() {
    let lab = Lab::new();
    let key = lab.key("key");
    let Some(sshd) = Sshd::start(&lab, &key, &format!("Subsystem limosa {}", configured(&lab))) else { return };
    fs::write(lab.docroot("login").join("file"), "content").unwrap();
    let code = async || {
        let connected = log_in(&lab, &user(), &key, sshd.address).await.unwrap();
        match fetch(connected, &lab.path("back"), request(Direction::Download, "file")).await {
            Ok(running) => outcome(running).await.code,
            Err(error) => error.code(),
        }
    };
    let machine = lab.path("machine.toml");
    let set = |key: &str, value: &str, scope: [&str; 2]| {
        let place = ["--config", machine.to_str().unwrap()];
        lab.succeed(&[&["config", "set", key, value], &scope[..], &place[..]].concat())
    };
    assert_eq!(code().await, Code::OK);
    set("read", "false", ["--group", "uploaders"]);
    assert_eq!(code().await, Code::OK, "the group is somebody else's");
    set("members", &user(), ["--group", "uploaders"]);
    assert_eq!(code().await, Code::READ_NOT_ALLOWED);
    set("read", "true", ["--user", &user()]);
    assert_eq!(code().await, Code::OK);
}
