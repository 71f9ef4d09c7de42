//! FIPS mode of the client, in an ordinary build: approved algorithms can be had
//! over the system's SSH client, the validated module cannot.

#![allow(clippy::unwrap_used, clippy::panic)] // a test's surroundings fail it

mod support;

use std::fs;

use limosa_wire::Code;
use support::Lab;
use support::client::Client;
use support::remote::{Kind, Remote};

#[test]
fn approved_algorithms_carry_a_file_both_ways() {
    let lab = Lab::with_approved_keys();
    let Some(remote) = Remote::start(Kind::OpenSsh, &lab) else { return };
    let content: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_le_bytes()[number as usize % 3]).collect();
    fs::write(lab.here().join("file"), &content).unwrap();
    let fips = || ["--fips", "on"];
    let sent = Client::new(&lab, &remote, "send").args(fips()).arg("--json").arg("file").arg(remote.place(&lab, ""));
    let sent = sent.succeed();
    let connected = sent.events().into_iter().find(|event| event["event"] == "connected").unwrap();
    assert!(connected["way"] == "the machine's own ssh: asked for", "{connected}");
    Client::new(&lab, &remote, "get").args(fips()).arg(remote.place(&lab, "file")).arg("back").succeed();
    assert!(fs::read(lab.here().join("back")).unwrap() == content);

    let refused = |words: &[&str]| {
        let client = Client::new(&lab, &remote, "send").args(words).arg("--json").arg("file");
        client.arg(remote.place(&lab, "")).run().summary()["code"].clone()
    };
    assert_eq!(refused(&["--fips", "on", "--ssh", "builtin"]), Code::USAGE.number());
    assert_eq!(refused(&["--fips", "on", "--cipher", "none"]), Code::CIPHER_NOT_APPROVED.number());
    assert_eq!(refused(&["--fips", "required"]), Code::MODULE_NOT_VALIDATED.number());
}

/// OpenSSH computes Ed25519 by itself, and the embedded server is no part of
/// any validation: neither is talked to.
#[test]
fn ssh_that_is_not_approved_is_refused() {
    for kind in [Kind::OpenSsh, Kind::Embedded] {
        let lab = Lab::new();
        let Some(remote) = Remote::start(kind, &lab) else { return };
        fs::write(lab.here().join("file"), "content").unwrap();
        let send = |mode: &str| {
            let client = Client::new(&lab, &remote, "send").args(["--ssh", "system", "--fips", mode]);
            client.arg("--json").arg("file").arg(remote.place(&lab, "")).run()
        };
        let refused = send("on");
        assert!(refused.to_string().contains("no matching host key type"), "{kind:?}: {refused}");
        assert!(!lab.there().join("file").exists());
        assert_eq!(send("off").summary()["code"], 0);
    }
}

/// Nobody is in between only because the record was made without FIPS mode.
#[test]
fn a_record_without_approved_host_keys_has_a_code_of_its_own_meaning() {
    let lab = Lab::with_approved_keys();
    let Some(remote) = Remote::start(Kind::OpenSsh, &lab) else { return };
    fs::write(lab.here().join("file"), "content").unwrap();
    let ed25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    fs::write(lab.path("known_hosts"), format!("[127.0.0.1]:{} {ed25519}\n", remote.port())).unwrap();
    let client = Client::new(&lab, &remote, "send").args(["--fips", "on", "--json"]).arg("file");
    let refused = client.arg(remote.place(&lab, "")).run();
    assert_eq!(refused.summary()["code"], Code::HOST_KEY_UNKNOWN.number(), "{refused}");
    assert!(refused.to_string().contains("no approved host key"), "{refused}");
}

#[test]
fn the_ordinary_build_says_that_it_is_not_validated() {
    let lab = Lab::new();
    let told = Client::bare(&lab).args(["version", "--fips"]).succeed();
    assert!(told.to_string().contains("an ordinary build: not the FIPS-validated module"), "{told}");
    assert!(told.to_string().contains("self-test: passed"), "{told}");
    let brief = Client::bare(&lab).arg("version").succeed();
    assert!(!brief.to_string().contains("AWS-LC"), "{brief}");
}

/// Files at rest too: what only unapproved algorithms open stays shut.
#[test]
fn files_are_sealed_by_approved_algorithms() {
    let lab = Lab::new();
    fs::write(lab.here().join("file"), "content").unwrap();
    let limosa = |words: &[&str]| Client::bare(&lab).args(words).env("LIMOSA_FILEPASS", "a word");
    let protect = ["protect", "--keep", "file"];
    limosa(&[&protect[..], &["--fips", "on", "--suffix", ".fips"]].concat()).succeed();
    let told = limosa(&["envelope", "info", "--json", "file.fips"]).succeed();
    assert!(told.lines.join("").contains("pbkdf2"), "{told}");
    limosa(&[&protect[..], &["--suffix", ".usual"]].concat()).succeed();
    limosa(&["unprotect", "--suffix", ".fips", "--fips", "on", "-o", "one", "file.fips"]).succeed();
    limosa(&["unprotect", "--suffix", ".usual", "-o", "two", "file.usual"]).succeed();
    assert_eq!(fs::read(lab.here().join("one")).unwrap(), fs::read(lab.here().join("two")).unwrap());

    let refused = |words: &[&str]| limosa(words).arg("--json").run().summary()["failed"].clone();
    assert_eq!(refused(&["unprotect", "--suffix", ".usual", "--fips", "on", "-o", "three", "file.usual"]), 1);
    let code = |words: &[&str]| limosa(words).arg("--json").run().summary()["code"].clone();
    let argon = [&protect[..], &["--fips", "on", "--kdf", "argon2id", "--suffix", ".other"]].concat();
    assert_eq!(code(&argon), Code::NOT_ALLOWED.number());
    assert_eq!(code(&[&protect[..], &["--fips", "required"]].concat()), Code::MODULE_NOT_VALIDATED.number());
}
