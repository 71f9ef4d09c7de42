//! Commands that administer a server.

use crate::server::{Lab, Server};

#[test]
fn users_and_their_keys_come_and_go() {
    let lab = Lab::new();
    lab.add_user("ada");
    let second = lab.key("second");
    let public = format!("{}.pub", second.display());
    assert!(lab.succeed(&["user", "key", "add", "ada", &public]).contains("1 keys added"));
    assert!(lab.succeed(&["user", "key", "add", "ada", &public]).contains("0 keys added"));
    let keys = lab.succeed(&["user", "key", "list", "ada"]);
    let fingerprints: Vec<_> = keys.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(fingerprints.len(), 2);
    lab.succeed(&["user", "key", "remove", "ada", fingerprints[1]]);
    assert!(lab.succeed(&["user", "list"]).contains("1 keys"));
    lab.succeed(&["user", "remove", "ada"]);
    assert!(lab.succeed(&["user", "list"]).contains("no users"));
}

#[test]
fn mistakes_are_explained_with_a_code_and_an_exit_status() {
    let lab = Lab::new();
    lab.add_user("ada");
    let private = lab.path("ada");
    std::fs::write(lab.path("wrong.toml"), "[ssh]\nlissten = 5\n").unwrap();
    let wrong = lab.path("wrong.toml");
    let docroot = lab.docroot("ada");
    let docroot = docroot.to_str().unwrap();
    let cases: [(&[&str], &str); 6] = [
        (&["user", "add", "ada", "--docroot", docroot], "there is a user `ada` already"),
        (&["user", "add", "bob"], "give --docroot"),
        (&["user", "remove", "bob"], "there is no user `bob`"),
        (&["user", "key", "add", "ada", private.to_str().unwrap()], "this is a private key"),
        (
            &["config", "show", "--config", wrong.to_str().unwrap()],
            "wrong.toml:2: unknown key `lissten`; did you mean `listen`?",
        ),
        (&["user", "passwd", "ada"], "--password-stdin"),
    ];
    for (arguments, expected) in cases {
        let output = lab.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(expected) && said.contains("(code 10"), "{arguments:?}: {said}");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn every_value_in_force_is_shown_with_its_origin() {
    let lab = Lab::new();
    std::fs::write(lab.path("limosad.toml"), "[ssh]\npasswords = false\n[defaults]\nrate-cap = \"1g\"\n").unwrap();
    let mut show = lab.limosad(&["config", "show"]);
    let shown = show.env("LIMOSA_UDP_LISTEN", "5000").output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    for line in ["passwords = false  # node", "listen = 5000  # environment", "listen = 33001  # built in"] {
        assert!(shown.contains(line), "{line} is missing in {shown}");
    }
    lab.add_user("ada");
    let shown = lab.succeed(&["config", "show", "--user", "ada"]);
    assert!(shown.lines().any(|line| line.starts_with("docroot = ") && line.ends_with("# user")), "{shown}");
    assert!(shown.lines().any(|line| line.starts_with("rate-cap = ") && line.ends_with("# node")), "{shown}");
}

#[test]
fn check_finds_what_is_wrong() {
    let lab = Lab::new();
    lab.add_user("ada");
    let good = lab.run(&["check"]);
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stdout));
    std::fs::remove_dir(lab.docroot("ada")).unwrap();
    let bad = lab.run(&["check"]);
    assert_eq!(bad.status.code(), Some(2));
    let said = String::from_utf8_lossy(&bad.stdout).into_owned();
    assert!(said.lines().any(|line| line.starts_with("WRONG") && line.contains("user ada")), "{said}");
}

/// An ordinary build: approved algorithms can be had, the validated module
/// cannot; and in neither mode does the embedded SSH server face the network.
#[test]
fn fips_mode_is_kept_or_refused() {
    let lab = Lab::new();
    let told = |words: &[&str]| {
        let output = lab.run(words);
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let config = |fips: &str, ssh: bool| {
        let text = format!("[defaults]\nfips = \"{fips}\"\n[ssh]\nenabled = {ssh}\nlisten = \"127.0.0.1:0\"\n");
        std::fs::write(lab.path("limosad.toml"), text).unwrap();
    };
    config("on", true);
    let (code, text) = told(&["serve"]);
    assert!(code == Some(2) && text.contains("in FIPS mode OpenSSH faces the network"), "{code:?} {text}");
    assert!(told(&["check"]).1.contains("WRONG  FIPS mode: in FIPS mode OpenSSH"), "{:?}", told(&["check"]));
    config("on", false);
    let (_, text) = told(&["check"]);
    assert!(text.contains("note   FIPS mode: approved algorithms only, but not by the validated module"), "{text}");
    assert!(text.contains("an ordinary build: not the FIPS-validated module; self-test passed"), "{text}");
    config("required", false);
    let (code, text) = told(&["serve"]);
    assert!(
        code == Some(7) && text.contains("FIPS mode is `required`, but this program has AWS-LC"),
        "{code:?} {text}"
    );
    config("strict", false);
    assert_eq!(told(&["serve"]).0, Some(2));
}

#[test]
fn a_session_and_a_front_are_not_started_by_hand() {
    let lab = Lab::new();
    let front = lab.run(&["front"]);
    assert!(!front.status.success());
    let mut session = lab.limosad(&["session"]);
    let refused = session.env("SSH_ORIGINAL_COMMAND", "rm -rf /").output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("starts transfers only"));
    drop(Server::start(&lab));
}

#[test]
fn the_sshd_config_is_printed_for_either_choice_of_algorithms() {
    let lab = Lab::new();
    let (all, fips) = (lab.succeed(&["ssh-config"]), lab.succeed(&["ssh-config", "--fips"]));
    let line = "\nForceCommand /usr/local/bin/limosad session\n";
    assert!(all.contains(line) && fips.contains(line) && all.contains("chacha20") && all != fips);
}
