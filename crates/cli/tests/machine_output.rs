//! What programs rely on: JSON lines with a schema, silence where it was asked
//! for, and exit codes.

#![allow(clippy::unwrap_used, clippy::panic)] // a test's surroundings fail it

mod support;

use std::fs;
use std::net::TcpListener;

use serde_json::Value;
use support::Lab;
use support::client::{Client, Finished, Login};
use support::remote::{Kind, Remote};

on_each_remote!(
    json_lines_tell_the_whole_story,
    a_failure_is_a_summary_too,
    quiet_says_nothing_of_success,
    quiet_still_names_what_failed,
    exit_codes_of_what_is_missing,
    exit_codes_of_logins_that_fail,
    host_keys_that_are_not_trusted_are_told_apart,
);

fn json_lines_tell_the_whole_story(kind: Kind) {
    let lab = Lab::new();
    let Some(remote) = Remote::start(kind, &lab) else { return };
    fs::create_dir(lab.here().join("d")).unwrap();
    fs::write(lab.here().join("d/new\nline"), "12345").unwrap();
    let sent = Client::new(&lab, &remote, "send").args(["--json", "d"]).arg(remote.place(&lab, "")).succeed();
    assert_eq!(sent.errors, "", "{sent}");
    let events = sent.events();
    assert!(events.iter().all(|event| event["schema"] == 1 && event["event"].is_string()), "{events:#?}");
    let place = |name: &str| events.iter().position(|event| event["event"] == name);
    let order: Vec<_> = ["connected", "opened", "announced", "settled", "summary"].map(place).into();
    assert!(order.iter().all(Option::is_some) && order[0] < order[1] && order[2] < order[3], "{events:#?}");
    assert_eq!(order[4], Some(events.len() - 1), "one summary, at the end");
    let summary = sent.summary();
    for (field, expected) in [("code", 0), ("exit", 0)] {
        assert_eq!(summary[field], expected, "{summary}");
    }
    for why in ["lost", "shed", "tail"] {
        assert!(summary["sent_again"][why].is_u64(), "{summary}");
    }
    assert_eq!(summary["shed_bytes"], 0, "{summary}");
    for end in ["here", "there"] {
        assert_eq!(summary[end]["settled"], 2, "{summary}");
        assert_eq!(summary[end]["bytes"], 5, "{summary}");
        assert_eq!(summary[end]["failed"], 0, "{summary}");
    }
}

fn a_failure_is_a_summary_too(kind: Kind) {
    let lab = Lab::new();
    let Some(remote) = Remote::start(kind, &lab) else { return };
    let sent = Client::new(&lab, &remote, "send").args(["--json", "missing"]).arg(remote.place(&lab, "")).run();
    let summary = sent.summary();
    assert_eq!((sent.exit(), &summary["exit"]), (Some(4), &Value::from(4)), "{sent}");
    assert!(summary["summary"].is_string() && summary["advice"].is_string(), "{summary}");
    let usage = Client::new(&lab, &remote, "send").args(["--json", "x", "y"]).run();
    assert_eq!((usage.exit(), &usage.summary()["code"]), (Some(2), &Value::from(100)), "{usage}");
}

fn quiet_says_nothing_of_success(kind: Kind) {
    let lab = Lab::new();
    let Some(remote) = Remote::start(kind, &lab) else { return };
    fs::write(lab.here().join("f"), "content").unwrap();
    let sent = Client::new(&lab, &remote, "send").args(["-q", "f"]).arg(remote.place(&lab, "")).succeed();
    assert!(sent.lines.is_empty() && sent.errors.is_empty(), "{sent}");
    let got = Client::new(&lab, &remote, "get").arg("--quiet").arg(remote.place(&lab, "f")).arg("g").succeed();
    assert!(got.lines.is_empty() && got.errors.is_empty(), "{got}");
}

fn quiet_still_names_what_failed(kind: Kind) {
    let lab = Lab::new();
    let Some(remote) = Remote::start(kind, &lab) else { return };
    fs::write(lab.here().join("f"), "content").unwrap();
    let sent = Client::new(&lab, &remote, "send").args(["-q", "missing", "f"]).arg(remote.place(&lab, "")).run();
    assert_ne!(sent.exit(), Some(0));
    assert!(sent.errors.contains("missing"), "{sent}");
    assert!(lab.there().join("f").is_file(), "other files go on");
}

fn exit_codes_of_what_is_missing(kind: Kind) {
    let lab = Lab::new();
    let Some(remote) = Remote::start(kind, &lab) else { return };
    let sent = Client::new(&lab, &remote, "send").arg("missing").arg(remote.place(&lab, "")).run();
    assert_eq!(sent.exit(), Some(4), "{sent}");
    let got = Client::new(&lab, &remote, "get").arg(remote.place(&lab, "missing")).arg("x").run();
    assert_eq!(got.exit(), Some(4), "{got}");
    assert!(!lab.here().join("x").exists());
    let fixed = Client::new(&lab, &remote, "send").args(["--policy", "fixed", "f"]).arg(remote.place(&lab, "")).run();
    assert_eq!(fixed.exit(), Some(2), "{fixed}");
    assert!(fixed.errors.contains("--rate"), "{fixed}");
    let unknown = Client::new(&lab, &remote, "send").args(["--no-such-option", "f"]).arg(remote.place(&lab, "")).run();
    assert_eq!(unknown.exit(), Some(2), "{unknown}");
}

fn exit_codes_of_logins_that_fail(kind: Kind) {
    let lab = Lab::new();
    let Some(remote) = Remote::start(kind, &lab) else { return };
    fs::write(lab.here().join("f"), "content").unwrap();
    let send = |login: Login, ssh: &str| -> Finished {
        let client = Client::logging_in(&lab, &remote, "send", &login).args(["--json", "--ssh", ssh, "f"]);
        client.arg(remote.place(&lab, "")).run()
    };
    for ssh in support::ssh_clients() {
        let stranger = send(Login::Key(lab.key("stranger")), ssh);
        assert_eq!((stranger.exit(), &stranger.summary()["code"]), (Some(12), &Value::from(300)), "{stranger}");
        let missing = send(Login::Key(lab.path("no-such-key")), ssh);
        assert_eq!(missing.exit(), Some(12), "{missing}");
    }
    assert!(!lab.there().join("f").exists());
}

fn host_keys_that_are_not_trusted_are_told_apart(kind: Kind) {
    let lab = Lab::new();
    let Some(remote) = Remote::start(kind, &lab) else { return };
    fs::write(lab.here().join("f"), "content").unwrap();
    let port = remote.port().to_string();
    let send = |known_hosts: &str, ssh: &str| -> Finished {
        // Without --accept-new, and without a terminal to ask.
        let client = Client::bare(&lab).args(["send", "--json", "--ssh", ssh, "--port", &port, "-i"]);
        let client = client.arg(lab.key("id")).arg("--known-hosts").arg(lab.path(known_hosts));
        client.arg("f").arg(remote.place(&lab, "")).run()
    };
    fs::write(lab.path("none"), "").unwrap();
    let other = fs::read_to_string(lab.public_key("other_host")).unwrap();
    fs::write(lab.path("other"), format!("[127.0.0.1]:{port} {other}")).unwrap();
    let known = Client::new(&lab, &remote, "send").arg("f").arg(remote.place(&lab, "known")).succeed();
    assert_eq!(known.lines, [""; 0]);
    let own = fs::read_to_string(lab.path("known_hosts")).unwrap();
    fs::write(lab.path("revoked"), format!("{own}@revoked {own}")).unwrap();
    for ssh in support::ssh_clients() {
        let unknown = send("none", ssh);
        assert_eq!((unknown.exit(), &unknown.summary()["code"]), (Some(12), &Value::from(301)), "{unknown}");
        let changed = send("other", ssh);
        assert_eq!((changed.exit(), &changed.summary()["code"]), (Some(12), &Value::from(302)), "{changed}");
        let revoked = send("revoked", ssh);
        assert_eq!((revoked.exit(), &revoked.summary()["code"]), (Some(12), &Value::from(303)), "{revoked}");
    }
    assert!(!lab.there().join("f").exists());
}

#[test]
fn a_port_where_nothing_listens_may_be_tried_again() {
    let lab = Lab::new();
    fs::write(lab.here().join("f"), "content").unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let send = || Client::bare(&lab).args(["send", "--json", "--port", &port, "f", "127.0.0.1:"]);
    // Also where there is no `ssh`, and nothing but the user database says who asks.
    for sent in [send().run(), send().env("PATH", "/nowhere").env("USER", "").run()] {
        let summary = sent.summary();
        let told = (sent.exit(), &summary["code"], &summary["retry"]);
        assert_eq!(told, (Some(5), &Value::from(201), &Value::from(true)), "{sent}");
    }
}
