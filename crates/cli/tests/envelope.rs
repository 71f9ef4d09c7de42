//! Files encrypted on this machine: sealed and opened in place and elsewhere,
//! rewrapped, looked at, and opened by a program that knows the document alone.
#![allow(clippy::unwrap_used, clippy::panic)] // a test's surroundings fail it

#[path = "envelope/decoder.rs"]
mod decoder;
#[path = "envelope/places.rs"]
mod places;
#[path = "envelope/rewrapping.rs"]
mod rewrapping;
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::Lab;
use support::client::{Client, Finished};

/// A cost that is for tests and for passphrases nobody can guess.
const CHEAP: [&str; 2] = ["--kdf-cost", "64,1,1"];

fn limosa(lab: &Lab, command: &str) -> Client {
    Client::bare(lab).args(command.split(' '))
}

fn protect(lab: &Lab) -> Client {
    limosa(lab, "protect").args(CHEAP).env("LIMOSA_FILEPASS", "word")
}

fn unprotect(lab: &Lab) -> Client {
    limosa(lab, "unprotect").env("LIMOSA_FILEPASS", "word")
}

/// What `limosa envelope info --json` says.
fn info(lab: &Lab, file: &str) -> Value {
    let told = limosa(lab, "envelope info --json").arg(file).succeed();
    serde_json::from_str(&told.lines[0]).unwrap()
}

fn code(finished: &Finished) -> u64 {
    finished.summary()["code"].as_u64().unwrap()
}

/// Names in a directory, sorted.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = entries.collect();
    names.sort();
    names
}

fn write(lab: &Lab, name: &str, bytes: &[u8]) -> PathBuf {
    let path = lab.here().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_wrong_passphrase_is_told_before_anything_is_written() {
    let lab = Lab::new();
    write(&lab, "a", b"content");
    protect(&lab).arg("a").succeed();
    let wrong = unprotect(&lab).env("LIMOSA_FILEPASS", "other").args(["--json", "a.aspera-env"]).run();
    assert_eq!((code(&wrong), wrong.exit()), (305, Some(12)), "{wrong}");
    assert_eq!(names(&lab.here()), ["a.aspera-env"]);
    let none = limosa(&lab, "unprotect --json a.aspera-env --master-key other=KEY");
    write(&lab, "KEY", &[7; 32]);
    assert_eq!(code(&none.run()), 306);
}

#[test]
fn the_variable_of_other_programs_is_taken_too() {
    let lab = Lab::new();
    write(&lab, "a", b"content");
    limosa(&lab, "protect a").args(CHEAP).env("ASPERA_SCP_FILEPASS", "word").succeed();
    unprotect(&lab).arg("a.aspera-env").succeed();
    assert_eq!(fs::read(lab.here().join("a")).unwrap(), b"content");
}

#[test]
fn damage_of_any_kind_leaves_no_file() {
    let lab = Lab::new();
    write(&lab, "a", &vec![5; 200_000]);
    protect(&lab).arg("a").succeed();
    let good = fs::read(lab.here().join("a.aspera-env")).unwrap();
    let mut flipped = good.clone();
    flipped[100_000] ^= 1;
    let segment = 65_568;
    let mut swapped = good.clone();
    swapped[4096..].rotate_left(segment);
    for (what, bytes) in [
        ("flipped", flipped),
        ("swapped", swapped),
        ("cut", good[..good.len() - 1].to_vec()),
        ("cut at a segment", good[..4096 + 2 * segment].to_vec()),
        ("longer", [good.clone(), vec![0; 32]].concat()),
        ("without content", good[..4096].to_vec()),
        ("half a header", good[..2000].to_vec()),
    ] {
        write(&lab, "a.aspera-env", &bytes);
        let refused = unprotect(&lab).args(["--json", "a.aspera-env"]).run();
        assert_eq!((code(&refused), refused.exit()), (602, Some(11)), "{what}: {refused}");
        assert_eq!(names(&lab.here()), ["a.aspera-env"], "{what}");
    }
}

#[test]
fn info_needs_no_key() {
    let lab = Lab::new();
    write(&lab, "a", &vec![5; 100_000]);
    write(&lab, "MASTER", "0a".repeat(32).as_bytes());
    write(&lab, "WORD", b"word\n");
    let made = limosa(&lab, "envelope keygen --json id").succeed();
    let made: Value = serde_json::from_str(&made.lines[0]).unwrap();
    let keys = ["--recipient", "id.pub", "--master-key", "site-1=MASTER", "--passphrase-file", "WORD"];
    limosa(&lab, "protect a --kdf pbkdf2 --kdf-cost 1000 --cipher aes-128").args(keys).succeed();
    let told = info(&lab, "a.aspera-env");
    let expected = [("version", 1), ("bytes", 100_000), ("segment_bytes", 65_536), ("header_bytes", 4096)];
    expected.iter().for_each(|(field, value)| assert_eq!(told[field], *value, "{told}"));
    assert_eq!((&told["cipher"], &told["header_whole"]), (&"aes-128-gcm".into(), &true.into()));
    assert_eq!(told["slots"][0]["kdf"]["rounds"], 1000);
    assert_eq!(told["slots"][1]["fingerprint"], made["fingerprint"]);
    assert_eq!(told["slots"][2]["name"], "site-1");
    let text = limosa(&lab, "envelope info a.aspera-env").succeed().lines.join("\n");
    assert!(text.contains("PBKDF2-HMAC-SHA-256, 1000 rounds") && text.contains("100000 bytes"), "{text}");
}

#[test]
fn private_keys_are_their_owners_alone_and_never_replaced() {
    let lab = Lab::new();
    limosa(&lab, "envelope keygen id").succeed();
    assert_eq!(fs::metadata(lab.here().join("id")).unwrap().permissions().mode() & 0o777, 0o600);
    let before = fs::read(lab.here().join("id")).unwrap();
    assert_eq!(limosa(&lab, "envelope keygen id").run().exit(), Some(6));
    assert_eq!(fs::read(lab.here().join("id")).unwrap(), before);
}

#[test]
fn a_file_that_does_not_know_its_length_is_refused() {
    let lab = Lab::new();
    let sealed = protect(&lab).args(["--json", "--output", "x", "/proc/self/status"]).run();
    assert_eq!(code(&sealed), 514, "{sealed}");
    assert!(names(&lab.here()).is_empty());
}
