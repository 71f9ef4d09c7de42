//! What is refused, by which code, and that it is written down.

use std::os::unix::fs::symlink;
use std::time::Instant;

use limosa_ssh::SshError;
use limosa_wire::Code;
use limosa_wire::setup::{Direction, RatePolicy};

use crate::client::{fetch, log_in, log_in_with, outcome, request, send};
use crate::server::{Lab, Server};
use crate::tree;

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_and_an_unknown_user_are_refused_alike() {
    let lab = Lab::new();
    lab.add_user("ada");
    let stranger = lab.key("stranger");
    let server = Server::start(&lab);
    for user in ["ada", "nobody-here", "no.body"] {
        let refused = log_in(&lab, user, &stranger, server.ssh).await.unwrap_err();
        assert!(matches!(refused, SshError::Authentication { .. }), "{refused}");
    }
    let refusals: Vec<_> = lab.audit().into_iter().filter(|line| line["outcome"] == "refused").collect();
    assert!(refusals.iter().any(|line| line["reason"] == "no such user"));
    assert!(refusals.iter().any(|line| line["user"] == "ada" && line["reason"] != "no such user"));
}

#[tokio::test(flavor = "multi_thread")]
async fn time_does_not_tell_whether_a_user_exists() {
    use std::io::Write;
    let lab = Lab::new();
    lab.add_user("ada");
    let mut passwd = lab.limosad(&["user", "passwd", "ada", "--password-stdin"]);
    let mut passwd = passwd.stdin(std::process::Stdio::piped()).spawn().unwrap();
    passwd.stdin.take().unwrap().write_all(b"correct horse").unwrap();
    assert!(passwd.wait().unwrap().success());
    let server = Server::start(&lab);
    let time = async |user: &str| {
        let began = Instant::now();
        log_in_with(&lab, user, "wrong", server.ssh).await.unwrap_err();
        began.elapsed().as_secs_f64()
    };
    // One uncounted, then the best of some: the machine is busy with others.
    time("ada").await;
    let (mut known, mut unknown) = (f64::MAX, f64::MAX);
    for _ in 0..4 {
        known = known.min(time("ada").await);
        unknown = unknown.min(time("bob").await);
    }
    assert!((known - unknown).abs() < 0.5 * known.max(unknown), "{known} s and {unknown} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_leads_out_of_the_docroot() {
    let lab = Lab::new();
    let key = lab.add_user("ada");
    std::fs::write(lab.path("secret"), "secret").unwrap();
    symlink(lab.path("secret"), lab.docroot("ada").join("absolute")).unwrap();
    symlink("../../secret", lab.docroot("ada").join("relative")).unwrap();
    symlink("../..", lab.docroot("ada").join("up")).unwrap();
    let server = Server::start(&lab);
    for path in ["../../secret", "absolute", "relative", "up/secret", "/up/../secret"] {
        let connected = log_in(&lab, "ada", &key, server.ssh).await.unwrap();
        let mut wanted = request(Direction::Download, path);
        wanted.symlinks = limosa_wire::setup::Symlinks::Follow;
        let fetched = fetch(connected, &lab.path("back"), wanted).await;
        let code = match fetched {
            Ok(running) => outcome(running).await.code,
            Err(error) => error.code(),
        };
        assert_ne!(code, Code::OK, "{path}");
        assert!(!lab.path("back/secret").exists(), "{path}");
    }
    tree::make(&lab.path("here/tree"));
    for path in ["../escaped", "up/escaped", "up/"] {
        let connected = log_in(&lab, "ada", &key, server.ssh).await.unwrap();
        let sent = send(connected, &lab.path("here"), "tree", request(Direction::Upload, path)).await;
        let code = match sent {
            Ok(running) => outcome(running).await.code,
            Err(error) => error.code(),
        };
        assert_ne!(code, Code::OK, "{path}");
    }
    for name in ["escaped", "files/escaped", "tree", "files/tree"] {
        assert!(!lab.path(name).exists(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_policy_forbids_has_its_own_codes() {
    let lab = Lab::new();
    let key = lab.key("ada");
    let public = format!("{}.pub", key.display());
    let docroot = lab.docroot("ada");
    let docroot = docroot.to_str().unwrap();
    lab.succeed(&["user", "add", "ada", "--docroot", docroot, "--key", &public, "--read-only"]);
    lab.succeed(&["user", "add", "eve", "--docroot", docroot, "--key", &public, "--write-only"]);
    let server = Server::start(&lab);
    tree::make(&lab.path("here/tree"));

    let connected = log_in(&lab, "ada", &key, server.ssh).await.unwrap();
    let refused = send(connected, &lab.path("here"), "tree", request(Direction::Upload, "")).await.unwrap_err();
    assert_eq!(refused.code(), Code::WRITE_NOT_ALLOWED);
    assert!(refused.to_string().contains("limosa "), "tells the server's version: {refused}");

    let connected = log_in(&lab, "eve", &key, server.ssh).await.unwrap();
    let refused = fetch(connected, &lab.path("back"), request(Direction::Download, "x")).await.unwrap_err();
    assert_eq!(refused.code(), Code::READ_NOT_ALLOWED);

    let connected = log_in(&lab, "ada", &key, server.ssh).await.unwrap();
    let mut fixed = request(Direction::Download, "x");
    fixed.policy = RatePolicy::Fixed;
    let refused = fetch(connected, &lab.path("back"), fixed).await.unwrap_err();
    assert_eq!(refused.code(), Code::POLICY_NOT_ALLOWED);

    std::fs::remove_dir(docroot).unwrap();
    let connected = log_in(&lab, "ada", &key, server.ssh).await.unwrap();
    let refused = fetch(connected, &lab.path("back"), request(Direction::Download, "x")).await.unwrap_err();
    assert_eq!(refused.code(), Code::NO_DOCROOT);
    assert!(!refused.to_string().contains(docroot), "{refused}");

    let refusals: Vec<_> = lab.audit().into_iter().filter(|line| line["event"] == "session-refused").collect();
    let codes: Vec<_> = refusals.iter().map(|line| line["code"].as_u64().unwrap()).collect();
    assert_eq!(codes, [402, 401, 404, 406]);
}
