//! The workspace's crates know of each other what the architecture permits,
//! and nothing else. The table here is the one in `docs/ARCHITECTURE.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Crate → the crates of ours it may depend on (not counting tests).
const ALLOWED: &[(&str, &[&str])] = &[
    ("ranges", &[]),
    ("wire", &[]),
    ("seal", &["wire"]),
    ("transport", &["ranges", "wire"]),
    ("datapath", &["transport", "wire"]),
    ("storage", &["seal"]),
    ("transfer", &["ranges", "wire", "transport", "storage", "seal"]),
    ("session", &["transfer", "transport", "datapath", "storage", "seal", "wire"]),
    ("ssh", &["wire"]),
    ("policy", &["seal"]),
    ("node", &["session", "transfer", "ssh", "policy", "storage", "seal", "wire"]),
    ("cli", &["session", "transfer", "ssh", "policy", "storage", "seal", "wire"]),
];

/// Crates that compose or check and may know all.
const MAY_KNOW_ALL: &[&str] = &["daemon", "sim", "line", "targets", "bench"];

/// Foreign crates that only one of ours may name.
const ONLY_IN: &[(&str, &str)] = &[
    ("aws-lc-rs", "seal"),
    ("blake3", "seal"),
    ("argon2", "seal"),
    ("rustls", "seal"),
    ("rustls-platform-verifier", "seal"),
    ("reqwest", "node"),
    ("russh", "ssh"),
    ("quinn-udp", "datapath"),
    ("toml_edit", "node"),
];

/// Foreign crates that bring what the sans-IO crates must not know.
const HOST_CRATES: &[&str] = &["tokio", "socket2", "rustix", "quinn-udp", "xattr", "russh"];
const SANS_IO: &[&str] = &["ranges", "wire", "transport", "transfer", "policy"];

/// Whose root module lets one of its modules hold unsafe code.
const UNSAFE_CRATES: &[&str] = &["limosa-datapath", "limosa-transfer", "limosa-line"];

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo prints JSON")
}

/// Crate (without the product's prefix) → names of its dependencies, tests'
/// own left out.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .map(|package| {
            let name = package["name"].as_str().expect("name").trim_start_matches("limosa-").to_owned();
            let uses = package["dependencies"].as_array().expect("dependencies").iter();
            let names = uses
                .filter(|dependency| dependency["kind"] != "dev")
                .map(|dependency| dependency["name"].as_str().expect("name").to_owned());
            (name, names.collect())
        })
        .collect()
}

#[test]
fn crates_know_only_what_the_table_permits() {
    for (name, uses) in dependencies() {
        let ours: BTreeSet<_> = uses.iter().filter_map(|used| used.strip_prefix("limosa-")).collect();
        if MAY_KNOW_ALL.contains(&name.as_str()) {
            continue;
        }
        let (_, allowed) = ALLOWED
            .iter()
            .find(|(listed, _)| *listed == name)
            .unwrap_or_else(|| panic!("crate `{name}` has no line in the architecture table"));
        for used in ours {
            assert!(allowed.contains(&used), "`{name}` must not know `{used}`");
        }
    }
}

#[test]
fn foreign_crates_stay_behind_their_one_door() {
    for (name, uses) in dependencies() {
        for (foreign, home) in ONLY_IN {
            assert!(name == *home || !uses.contains(*foreign), "only `{home}` names {foreign}, not `{name}`");
        }
        if SANS_IO.contains(&name.as_str()) {
            for host in HOST_CRATES {
                assert!(!uses.contains(*host), "`{name}` is sans-IO and must not use {host}");
            }
        }
    }
}

/// `.cargo/config.toml` is read from the directory cargo is called in.
#[test]
fn entropy_is_the_operating_systems() {
    assert_eq!(option_env!("AWS_LC_SYS_NO_JITTER_ENTROPY"), Some("1"), "sessions would start 60 ms later");
}

#[test]
fn unsafe_code_is_in_three_crates_only() {
    let metadata = metadata();
    for package in metadata["packages"].as_array().expect("packages") {
        let name = package["name"].as_str().expect("name");
        for target in package["targets"].as_array().expect("targets") {
            let is_library = target["kind"].as_array().expect("kind").iter().any(|kind| kind == "lib");
            let path = target["src_path"].as_str().expect("path");
            if !is_library {
                continue;
            }
            let source = std::fs::read_to_string(path).expect("a readable root module");
            if UNSAFE_CRATES.contains(&name) {
                let modules = source.matches("#[allow(unsafe_code)]").count();
                assert!(source.contains("#![deny(unsafe_code)]"), "{path} does not deny unsafe code");
                assert_eq!(modules, 1, "{path}: one module with unsafe code");
            } else {
                assert!(source.contains("#![forbid(unsafe_code)]"), "{path} does not forbid unsafe code");
            }
        }
    }
}
