//! `limosad config`, and that what it sets is what sessions get.

use std::fs;

use limosa_wire::Code;
use limosa_wire::setup::{Direction, RatePolicy};

use crate::client::{fetch, log_in, request};
use crate::server::{Lab, Server};

const WRITTEN: &str = "# Ours.\n[defaults]\nrate-cap = \"1g\" # ask Bob\n";

/// A lab with a configuration file.
fn configured() -> Lab {
    let lab = Lab::new();
    fs::write(lab.path("limosad.toml"), WRITTEN).unwrap();
    lab
}

fn file(lab: &Lab) -> String {
    fs::read_to_string(lab.path("limosad.toml")).unwrap()
}

#[test]
fn keys_are_set_read_and_taken_out_in_place() {
    let lab = configured();
    let said = lab.succeed(&["config", "set", "rate-cap", "2g"]);
    assert!(said.contains("rate-cap = \"2g\"") && said.contains("restart"), "{said}");
    assert_eq!(file(&lab), WRITTEN.replace("1g", "2g"));
    assert_eq!(lab.succeed(&["config", "get", "rate-cap"]), "2g\n");
    assert_eq!(lab.succeed(&["config", "get", "defaults.rate-cap"]), "2g\n");
    assert_eq!(lab.succeed(&["config", "get", "ssh.listen"]), "33001\n");
    assert_eq!(lab.succeed(&["config", "get", "ssh.banner"]), "");
    lab.succeed(&["config", "set", "ssh.listen", "127.0.0.1:22"]);
    assert_eq!(lab.succeed(&["config", "get", "ssh.listen"]), "127.0.0.1:22\n");
    assert!(lab.succeed(&["config", "unset", "ssh.listen"]).contains("no longer set"));
    assert!(lab.succeed(&["config", "unset", "ssh.listen"]).contains("nothing is changed"));
    assert_eq!(lab.succeed(&["config", "get", "ssh.listen"]), "33001\n");
    assert!(lab.succeed(&["config", "check"]).contains("limosad.toml: every key and value is good"));
}

#[test]
fn what_is_wrong_is_refused_with_the_reason_and_nothing_is_written() {
    let lab = configured();
    lab.add_user("ada");
    let cases: [(&[&str], &str); 7] = [
        (&["set", "ssh.lissten", "5"], "unknown key `ssh.lissten`; did you mean `ssh.listen`?"),
        (&["set", "rate_cap", "5m"], "did you mean `rate-cap`?"),
        (&["set", "rate-cap", "fast"], "`fast` is not a rate"),
        (&["set", "max-sessions", "many", "--user", "ada"], "max-sessions: invalid type"),
        (&["set", "ssh.listen", "5", "--group", "staff"], "unknown key `ssh.listen`"),
        (&["set", "locked", "cipher-flor"], "did you mean `cipher-floor`?"),
        (&["show", "--group", "staff"], "there is no group `staff`"),
    ];
    let users = fs::read_to_string(lab.path("state/users.toml")).unwrap();
    for (arguments, expected) in cases {
        let output = lab.run(&[&["config"], arguments].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(expected) && output.status.code() == Some(2), "{arguments:?}: {said}");
    }
    assert_eq!(file(&lab), WRITTEN);
    assert_eq!(fs::read_to_string(lab.path("state/users.toml")).unwrap(), users);
    fs::write(lab.path("limosad.toml"), "[defaults]\nlocked = [\"cipher-flor\"]\n").unwrap();
    let output = lab.run(&["config", "check"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("limosad.toml:2: unknown key `cipher-flor`; did you mean `cipher-floor`?"), "{said}");
}

#[test]
fn users_win_over_groups_and_those_over_the_node_but_for_locks() {
    let lab = configured();
    lab.add_user("ada");
    let said = lab.succeed(&["config", "set", "rate-cap", "5m", "--group", "staff"]);
    assert!(said.contains("note: `staff` has no members"), "{said}");
    lab.succeed(&["config", "set", "members", "ada,bob", "--group", "staff"]);
    let in_force = |user: &str| lab.succeed(&["config", "get", "rate-cap", "--user", user]);
    assert_eq!((in_force("ada"), in_force("bob"), in_force("eve")), ("5m\n".into(), "5m\n".into(), "1g\n".into()));
    let said = lab.succeed(&["config", "set", "rate-cap", "7m", "--user", "ada"]);
    assert!(said.contains("next session") && !said.contains("note:"), "{said}");
    let said = lab.succeed(&["config", "set", "rate-cap", "8m", "--user", "bob"]);
    assert!(said.contains("no user `bob`; this is for logins through OpenSSH"), "{said}");
    assert_eq!((in_force("ada"), in_force("bob")), ("7m\n".into(), "8m\n".into()));
    let shown = lab.succeed(&["config", "show", "--user", "ada"]);
    assert!(shown.contains("rate-cap = \"7m\"  # user\n"), "{shown}");

    lab.succeed(&["config", "set", "locked", "rate-cap", "--group", "staff"]);
    let said = lab.succeed(&["config", "set", "rate-cap", "9m", "--user", "ada"]);
    assert!(said.contains("note: in force is \"5m\", which wins or is locked (group staff)"), "{said}");
    let shown = lab.succeed(&["config", "show", "--user", "ada"]);
    assert!(shown.contains("rate-cap = \"5m\"  # group staff\n"), "{shown}");
    lab.succeed(&["config", "unset", "locked", "--group", "staff"]);
    lab.succeed(&["config", "unset", "rate-cap", "--user", "ada"]);
    lab.succeed(&["config", "unset", "rate-cap", "--user", "bob"]);
    assert_eq!((in_force("ada"), in_force("bob")), ("5m\n".into(), "5m\n".into()));
    let shown = lab.succeed(&["config", "show", "--group", "staff"]);
    for line in
        ["members = [\"ada\", \"bob\"]  # group staff", "rate-cap = \"5m\"  # group staff", "read = true  # built in"]
    {
        assert!(shown.contains(line), "{line} is missing in {shown}");
    }
    assert!(file(&lab).starts_with(WRITTEN), "{}", file(&lab));
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_get_what_is_set_for_their_user_and_groups() {
    let lab = configured();
    let keys = ["ada", "bob"].map(|name| (name, lab.add_user(name)));
    fs::write(lab.docroot("ada").join("file"), "content").unwrap();
    fs::write(lab.docroot("bob").join("file"), "content").unwrap();
    lab.succeed(&["config", "set", "policy-ceiling", "low", "--group", "guests"]);
    lab.succeed(&["config", "set", "members", "ada", "--group", "guests"]);
    let server = Server::start(&lab);
    let code = async |who: usize, policy: RatePolicy| {
        let (name, key) = &keys[who];
        let connected = log_in(&lab, name, key, server.ssh).await.unwrap();
        let mut wanted = request(Direction::Download, "file");
        wanted.policy = policy;
        match fetch(connected, &lab.path("back"), wanted).await {
            Ok(running) => crate::client::outcome(running).await.code,
            Err(error) => error.code(),
        }
    };
    assert_eq!(code(0, RatePolicy::Fair).await, Code::POLICY_NOT_ALLOWED);
    assert_eq!(code(0, RatePolicy::Low).await, Code::OK);
    assert_eq!(code(1, RatePolicy::Fair).await, Code::OK);
    // What is a user's own is read anew for each session.
    lab.succeed(&["config", "set", "policy-ceiling", "fair", "--user", "ada"]);
    assert_eq!(code(0, RatePolicy::Fair).await, Code::OK);
    lab.succeed(&["config", "set", "read", "false", "--user", "bob"]);
    assert_eq!(code(1, RatePolicy::Fair).await, Code::READ_NOT_ALLOWED);
    lab.succeed(&["config", "unset", "read", "--user", "bob"]);
    assert_eq!(code(1, RatePolicy::Fair).await, Code::OK);
}
