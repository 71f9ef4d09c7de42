//! Trees go up and come back.

use limosa_wire::Code;
use limosa_wire::setup::Direction;

use crate::client::{fetch, log_in, log_in_with, outcome, request, send};
use crate::server::{Lab, Server, mode};
use crate::tree;

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_goes_up_and_comes_back() {
    let lab = Lab::new();
    let key = lab.add_user("ada");
    let server = Server::start(&lab);
    tree::make(&lab.path("here/tree"));

    let connected = log_in(&lab, "ada", &key, server.ssh).await.unwrap();
    let sent = send(connected, &lab.path("here"), "tree", request(Direction::Upload, "in/")).await.unwrap();
    assert_eq!(outcome(sent).await.code, Code::OK);
    tree::assert_equal(&lab.path("here/tree"), &lab.docroot("ada").join("in/tree"));

    let connected = log_in(&lab, "ada", &key, server.ssh).await.unwrap();
    let fetched = fetch(connected, &lab.path("back"), request(Direction::Download, "/in/tree")).await.unwrap();
    assert_eq!(outcome(fetched).await.code, Code::OK);
    tree::assert_equal(&lab.path("here/tree"), &lab.path("back/tree"));

    assert!(server.stop().success());
    let events: Vec<_> = lab.audit().iter().map(|line| line["event"].as_str().unwrap().to_owned()).collect();
    let session = ["login", "session-start", "session-end"];
    let expected: Vec<_> = ["server-start"].iter().chain(&session).chain(&session).chain(&["server-stop"]).collect();
    assert_eq!(events.iter().collect::<Vec<_>>(), expected);
    let end = &lab.audit()[3];
    assert_eq!((&end["code"], &end["user"], &end["direction"]), (&0.into(), &"ada".into(), &"upload".into()));
    assert!(end["bytes"].as_u64().unwrap() > 3_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_logs_in_and_is_stored_nowhere() {
    use std::io::Write;
    let lab = Lab::new();
    let docroot = lab.docroot("ada");
    let mut add = lab
        .limosad(&["user", "add", "ada", "--password-stdin", "--docroot", docroot.to_str().unwrap()])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    add.stdin.take().unwrap().write_all(b"correct horse\n").unwrap();
    assert!(add.wait().unwrap().success());
    let server = Server::start(&lab);
    assert!(log_in_with(&lab, "ada", "battery staple", server.ssh).await.is_err());
    assert!(log_in_with(&lab, "ada", "correct horse", server.ssh).await.is_ok());
    for file in ["state/users.toml", "state/audit.log", "log"] {
        let text = std::fs::read_to_string(lab.path(file)).unwrap();
        assert!(!text.contains("horse") && !text.contains("staple"), "{file}");
    }
    for file in ["state/users.toml", "state/audit.log", "state/ssh_host_ed25519_key"] {
        assert_eq!(mode(&lab.path(file)), 0o600, "{file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn users_of_one_server_do_not_see_each_other() {
    let lab = Lab::new();
    let (ada, bob) = (lab.add_user("ada"), lab.add_user("bob"));
    let server = Server::start(&lab);
    tree::make(&lab.path("here/tree"));
    // The same name of a transfer: it is each user's own.
    let same = request(Direction::Upload, "");
    let up = async |user: &str, key: &std::path::Path| {
        let connected = log_in(&lab, user, key, server.ssh).await.unwrap();
        let sent = send(connected, &lab.path("here"), "tree", same.clone()).await.unwrap();
        outcome(sent).await.code
    };
    let codes = tokio::join!(up("ada", &ada), up("bob", &bob));
    assert_eq!(codes, (Code::OK, Code::OK));
    for user in ["ada", "bob"] {
        tree::assert_equal(&lab.path("here/tree"), &lab.docroot(user).join("tree"));
    }
}
