//! The module in this build is the validated one, and both programs hold to it.
#![allow(clippy::unwrap_used)]

use std::process::Command;

use limosa_seal::AlgorithmSet;
use limosa_seal::module::{Module, self_test};

fn output(program: &str, words: &[&str]) -> (bool, String) {
    let output = Command::new(program).args(words).env_clear().output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn it_is_the_validated_one_and_works() {
    assert_eq!(Module::running(), Module::Validated);
    assert_eq!(self_test(), Ok(()));
}

#[test]
fn the_client_says_so() {
    let (works, text) = output(env!("CARGO_BIN_EXE_limosa"), &["version", "--fips"]);
    assert!(works && text.contains("module 3: validated") && text.contains("self-test: passed"), "{text}");
}

#[test]
fn the_server_says_so() {
    let state = tempfile::tempdir().unwrap();
    let config = state.path().join("limosad.toml");
    let kept = state.path().join("state");
    std::fs::write(&config, "[defaults]\nfips = \"required\"\n[ssh]\nenabled = false\n").unwrap();
    let place = ["--config", config.to_str().unwrap(), "--state", kept.to_str().unwrap()];
    let (_, text) = output(env!("CARGO_BIN_EXE_limosad"), &[&["check"], &place[..]].concat());
    assert!(text.contains("module 3: validated"), "{text}");
    assert!(text.contains("FIPS mode: approved algorithms only, by the validated module"), "{text}");
}

/// Everything that the set of approved algorithms holds can be computed by the
/// module.
#[test]
fn all_approved_algorithms_work() {
    let set = AlgorithmSet::Approved;
    for suite in set.suites() {
        assert!(set.suite(*suite).is_ok(), "{suite}");
    }
    for digest in set.digests() {
        let mut hasher = set.content(*digest).unwrap().hasher();
        hasher.update(b"content");
        assert!(hasher.finish().as_ref().iter().any(|byte| *byte != 0));
    }
    let secret = b"correct horse".to_vec().into();
    let hash = set.password().hash(&secret).unwrap();
    assert_eq!(set.password().verify(&secret, &hash), Ok(true));
}
