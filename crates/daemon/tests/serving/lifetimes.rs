//! Ends and what outlives them: takeover, a front that dies, an orderly stop.

use limosa_wire::Code;
use limosa_wire::setup::Direction;

use crate::client::{flows, log_in, outcome, request, send, slowly};
use crate::server::{Lab, Server, log, signal};
use crate::{DEADLINE, tree, wait_until};

/// Long enough to be interrupted, short enough to be waited for.
const SIZE: usize = 6_000_000;
const SLOW: u64 = 8_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_session_takes_over() {
    let lab = Lab::new();
    let key = lab.add_user("ada");
    let server = Server::start(&lab);
    std::fs::create_dir(lab.path("here")).unwrap();
    std::fs::write(lab.path("here/file"), tree::bytes(SIZE)).unwrap();
    let up = request(Direction::Upload, "");

    let connected = log_in(&lab, "ada", &key, server.ssh).await.unwrap();
    let mut older = send(connected, &lab.path("here"), "file", slowly(up.clone(), SLOW)).await.unwrap();
    flows(&mut older).await;
    let connected = log_in(&lab, "ada", &key, server.ssh).await.unwrap();
    let newer = send(connected, &lab.path("here"), "file", up).await.unwrap();
    assert_eq!(outcome(older).await.code, Code::TAKEN_OVER);
    assert_eq!(outcome(newer).await.code, Code::OK);
    assert!(std::fs::read(lab.docroot("ada").join("file")).unwrap() == tree::bytes(SIZE));
    let left: Vec<_> = std::fs::read_dir(lab.docroot("ada")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["file"], "nothing else is left behind");
    // The older one ended before the newer one began.
    let ends: Vec<_> = lab
        .audit()
        .iter()
        .filter(|line| line["event"].as_str().unwrap().starts_with("session"))
        .map(|line| (line["event"].as_str().unwrap().to_owned(), line["code"].as_u64()))
        .collect();
    let expected =
        [("session-start", None), ("session-end", Some(4)), ("session-start", None), ("session-end", Some(0))];
    assert!(ends.iter().map(|(event, code)| (event.as_str(), *code)).eq(expected), "{ends:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_front_that_dies_ends_no_transfer() {
    let lab = Lab::new();
    let key = lab.add_user("ada");
    let server = Server::start(&lab);
    std::fs::create_dir(lab.path("here")).unwrap();
    std::fs::write(lab.path("here/file"), tree::bytes(SIZE)).unwrap();
    let connected = log_in(&lab, "ada", &key, server.ssh).await.unwrap();
    let up = slowly(request(Direction::Upload, ""), SLOW);
    let mut running = send(connected, &lab.path("here"), "file", up).await.unwrap();
    flows(&mut running).await;

    let dead = server.front();
    signal("-KILL", dead);
    // A new one accepts logins while the transfer goes on.
    let deadline = std::time::Instant::now() + DEADLINE;
    let connected = loop {
        match log_in(&lab, "ada", &key, server.ssh).await {
            Ok(connected) => break connected,
            Err(error) => assert!(std::time::Instant::now() < deadline, "{error}; {}", log(&lab)),
        }
    };
    assert_ne!(server.front(), dead);
    let other = send(connected, &lab.path("here"), "file", request(Direction::Upload, "other")).await.unwrap();
    assert_eq!(outcome(other).await.code, Code::OK);
    assert_eq!(outcome(running).await.code, Code::OK);
    assert!(std::fs::read(lab.docroot("ada").join("file")).unwrap() == tree::bytes(SIZE));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_stopped_says_so_and_the_transfer_continues_later() {
    let lab = Lab::new();
    let key = lab.add_user("ada");
    std::fs::create_dir(lab.path("here")).unwrap();
    // Only files above 16 MiB are continued.
    std::fs::write(lab.path("here/file"), tree::bytes(24_000_000)).unwrap();
    let server = Server::start(&lab);
    let connected = log_in(&lab, "ada", &key, server.ssh).await.unwrap();
    let up = request(Direction::Upload, "");
    let slow = slowly(up.clone(), 20 * SLOW);
    let mut running = send(connected, &lab.path("here"), "file", slow).await.unwrap();
    flows(&mut running).await;
    assert!(tokio::task::spawn_blocking(move || server.stop()).await.unwrap().success());
    assert_eq!(outcome(running).await.code, Code::SERVER_STOPPING);

    let server = Server::start(&lab);
    let connected = log_in(&lab, "ada", &key, server.ssh).await.unwrap();
    let again = send(connected, &lab.path("here"), "file", up).await.unwrap();
    let outcome = outcome(again).await;
    assert_eq!(outcome.code, Code::OK);
    assert!(std::fs::read(lab.docroot("ada").join("file")).unwrap() == tree::bytes(24_000_000));
}

#[test]
fn the_front_has_no_rights_and_does_not_outlive_its_server() {
    let lab = Lab::new();
    let server = Server::start(&lab);
    let front = server.front();
    let status = || std::fs::read_to_string(format!("/proc/{front}/status")).unwrap();
    wait_until(|| status().contains("NoNewPrivs:\t1"), "the front gives up what it has");
    let status = status();
    let value = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    if rustix::process::geteuid().is_root() {
        let users: Vec<u32> = value("Uid:").split_whitespace().map(|id| id.parse().unwrap()).collect();
        assert!(
            users.iter().all(|user| *user == users[0] && *user > 1_000_000_000),
            "a user that nobody is: {users:?}"
        );
        assert_eq!((value("Groups:"), value("CapEff:")), (String::new(), "0".repeat(16)));
    }
    let address = server.ssh;
    drop(server); // Killed.
    let gone = || !std::path::Path::new(&format!("/proc/{front}")).exists();
    wait_until(gone, "the front ends");
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn two_servers_do_not_share_a_state() {
    let lab = Lab::new();
    let _first = Server::start(&lab);
    let second = lab.run(&["serve", "--listen", "127.0.0.1:0", "--udp-port", "127.0.0.1:0"]);
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("already runs") && said.contains("code 517"), "{said}");
    assert_eq!(second.status.code(), Some(i32::from(Code::IN_USE.exit_status())));
}
