//! One UDP port for session programs of several users of the machine.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::Stdio;

use limosa_session::{ClientJob, Running};
use limosa_storage::StorePath;
use limosa_transfer::receiver::Destination;
use limosa_transfer::sender::Source;
use limosa_wire::Code;
use limosa_wire::setup::{Direction, Request};
use tokio::process::{Child, Command};

use crate::client::{flows, outcome, request, slowly, start_over};
use crate::server::{Lab, PROGRAM, Server};
use crate::{skip, tree, wait_until};

/// A user of the machine: name and numbers.
struct User {
    name: String,
    uid: u32,
    gid: u32,
}

/// Two users that every machine has; a session program asks the user database
/// for its own name.
fn two_users() -> Vec<User> {
    let all = fs::read_to_string("/etc/passwd").unwrap();
    let user = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        Some(User { name, uid: fields.nth(1)?.parse().ok()?, gid: fields.next()?.parse().ok()? })
    };
    all.lines().filter_map(user).filter(|user| user.uid > 0).take(2).collect()
}

/// A session program run as `user`, as OpenSSH would run it.
fn session_of(lab: &Lab, user: &User) -> Child {
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", &user.uid.to_string(), "--regid", &user.gid.to_string(), "--clear-groups", "--"])
        .arg(lab.path("limosad"))
        .args(["session", "--config"])
        .arg(lab.path("machine.toml"))
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("SSH_CONNECTION", "127.0.0.1 40000 127.0.0.1 22")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    command.spawn().unwrap()
}

async fn run(lab: &Lab, user: &User, request: Request, job: ClientJob) -> (Child, Running) {
    let mut child = session_of(lab, user);
    let stream = tokio::io::join(child.stdout.take().unwrap(), child.stdin.take().unwrap());
    let root = lab.path("here");
    let reached = Some(Ipv4Addr::LOCALHOST.into());
    let running = start_over(stream, reached, None, &root, (request, job)).await.unwrap();
    (child, running)
}

/// A lab whose program and configuration every user can read, with docroots
/// that belong to `users`.
fn prepare(users: &[User], port: u16) -> Lab {
    let lab = Lab::new();
    fs::set_permissions(lab.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    fs::copy(PROGRAM, lab.path("limosad")).unwrap();
    let mut text = format!(
        "[ssh]\nenabled = false\n[udp]\nlisten = \"127.0.0.1:{port}\"\nsession-ports = \"36460-36470\"\n\
         [broker]\nsocket = {:?}\n",
        lab.path("run/ports")
    );
    fs::create_dir(lab.path("files")).unwrap();
    for user in users {
        let docroot = lab.docroot(&user.name);
        fs::create_dir(&docroot).unwrap();
        fs::write(docroot.join("given"), tree::bytes(2_000_000)).unwrap();
        chown(&docroot, Some(user.uid), Some(user.gid)).unwrap();
        text += &format!("[users.{}]\ndocroot = {docroot:?}\n", user.name);
    }
    fs::write(lab.path("machine.toml"), &text).unwrap();
    fs::write(lab.path("limosad.toml"), text).unwrap();
    lab
}

/// Sockets of this machine bound to UDP ports from `first` to `last`.
fn sockets_at(first: u16, last: u16) -> usize {
    let tables = ["/proc/net/udp", "/proc/net/udp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let port = |line: &str| u16::from_str_radix(line.split_whitespace().nth(1)?.rsplit(':').next()?, 16).ok();
    let ports = tables.iter().flat_map(|table| table.lines().skip(1).filter_map(port));
    ports.filter(|port| (first..=last).contains(port)).count()
}

/// Where a file fetched for `user` lands.
fn fetched(lab: &Lab, user: &User) -> PathBuf {
    lab.path("here").join(format!("from-{}", user.name))
}

#[tokio::test(flavor = "multi_thread")]
async fn four_sessions_of_two_users_share_one_port() {
    if !rustix::process::geteuid().is_root() {
        return skip("root, to run session programs as two users");
    }
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let users = two_users();
    let lab = prepare(&users, port);
    let server = Server::start_without_ssh(&lab);
    assert_eq!(sockets_at(port, port), 0, "no session, no port");
    tree::make(&lab.path("here/tree"));

    let mut sessions = Vec::new();
    for user in &users {
        let up = ClientJob::Upload(vec![Source::itself(StorePath::parse(b"tree").unwrap())]);
        sessions.push(run(&lab, user, slowly(request(Direction::Upload, ""), 4_000_000), up).await);
        let down = format!("from-{}", user.name);
        let down = ClientJob::Download(Destination::parse(down.as_bytes()).unwrap());
        sessions.push(run(&lab, user, slowly(request(Direction::Download, "given"), 4_000_000), down).await);
    }
    for (_, running) in &mut sessions {
        flows(running).await;
    }
    // The broker's, and one connected to each client.
    wait_until(|| sockets_at(port, port) == 5, "five sockets at the port");
    assert_eq!(sockets_at(36_460, 36_470), 0, "none has a port of its own");
    for (mut child, running) in sessions {
        assert_eq!(outcome(running).await.code, Code::OK);
        assert!(crate::in_time(child.wait()).await.unwrap().success());
    }
    for user in &users {
        tree::assert_equal(&lab.path("here/tree"), &lab.docroot(&user.name).join("tree"));
        assert!(fs::read(fetched(&lab, user)).unwrap() == tree::bytes(2_000_000));
    }
    wait_until(|| sockets_at(port, port) == 0, "the port is closed with the last session");
    let ends: Vec<_> = lab.audit().into_iter().filter(|line| line["event"] == "session-end").collect();
    let mut reporters: Vec<_> = ends.iter().map(|line| line["reported-by-uid"].as_u64().unwrap()).collect();
    reporters.sort_unstable();
    let expected: Vec<u64> = users.iter().flat_map(|user| [user.uid.into(), user.uid.into()]).collect();
    assert_eq!(reporters, expected);
    assert!(server.stop().success());
}
