//! Every algorithm that this software knows is either approved by FIPS 140-3 or
//! refused where only approved ones may be used.
//!
//! Two walks: over what can be chosen, and over every name of an algorithm in
//! this crate's sources as it is written there (`digest::SHA256`), so that a new
//! one is not overlooked. No other crate names a cryptographic library.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use limosa_seal::password::PasswordError;
use limosa_seal::{AlgorithmSet, Checksum, SecretBytes, Stretch};
use limosa_wire::setup::{ContentDigest, Suite, SuiteMode};

const SET: AlgorithmSet = AlgorithmSet::Approved;

/// Whether NIST approves: AES in GCM (SP 800-38D), in CFB (SP 800-38A) with HMAC
/// (FIPS 198-1).
fn suite_is_approved(suite: Suite) -> bool {
    match suite.mode() {
        SuiteMode::Gcm | SuiteMode::Cfb => true,
        SuiteMode::Unencrypted => false,
    }
}

/// SHA-2 (FIPS 180-4).
fn digest_is_approved(digest: ContentDigest) -> bool {
    match digest {
        ContentDigest::Sha256 => true,
        ContentDigest::Blake3 => false,
    }
}

/// SHA-2; SHA-1 no longer.
fn checksum_is_approved(checksum: Checksum) -> bool {
    match checksum {
        Checksum::Sha256 | Checksum::Sha384 | Checksum::Sha512 => true,
        Checksum::Sha1 => false,
    }
}

#[test]
fn what_can_be_chosen_is_approved_or_refused() {
    for suite in Suite::ALL {
        assert_eq!(SET.suite(*suite).is_ok(), suite_is_approved(*suite), "{suite}");
        assert!(AlgorithmSet::Ordinary.suite(*suite).is_ok(), "{suite}");
    }
    for digest in ContentDigest::ALL {
        assert_eq!(SET.content(*digest).is_ok(), digest_is_approved(*digest), "{digest:?}");
        assert!(AlgorithmSet::Ordinary.content(*digest).is_ok(), "{digest:?}");
    }
    for checksum in Checksum::ALL {
        assert_eq!(SET.checksum(*checksum).is_ok(), checksum_is_approved(*checksum), "{checksum}");
        assert!(AlgorithmSet::Ordinary.checksum(*checksum).is_ok(), "{checksum}");
    }
}

/// Files at rest are sealed by AES in GCM alone, and their passphrases stretched
/// by PBKDF2 (SP 800-132) where only approved algorithms may be used.
#[test]
fn envelopes_are_of_approved_algorithms_alone() {
    for suite in Suite::ALL {
        let held = AlgorithmSet::Ordinary.envelope_suite(*suite).is_ok();
        assert_eq!(SET.envelope_suite(*suite).is_ok(), held, "{suite}");
        assert!(!held || suite.mode() == SuiteMode::Gcm, "{suite}");
    }
    let argon = Stretch::Argon2id { memory_kib: 64 << 10, passes: 3, lanes: 4 };
    assert!(AlgorithmSet::Ordinary.passphrase(argon).is_ok() && SET.passphrase(argon).is_err());
    assert!(SET.passphrase(Stretch::Pbkdf2 { rounds: 600_000 }).is_ok());
}

/// PBKDF2 (SP 800-132) is approved, Argon2id is not.
#[test]
fn passwords_are_hashed_and_taken_by_the_approved_scheme_alone() {
    let password = || SecretBytes::from(b"correct horse".to_vec());
    let argon = AlgorithmSet::Ordinary.password().hash(&password()).unwrap();
    let pbkdf2 = SET.password().hash(&password()).unwrap();
    assert!(argon.starts_with("$argon2id$") && pbkdf2.starts_with("$pbkdf2-sha256$"), "{argon} {pbkdf2}");
    assert_eq!(SET.password().verify(&password(), &argon), Err(PasswordError::NotAllowed));
    assert_eq!(SET.password().verify(&password(), &pbkdf2), Ok(true));
}

/// Names of algorithms in the sources, and whether they are approved. Those that
/// are not stand behind a choice that the walk above shows refused.
const NAMED: &[(&str, bool)] = &[
    ("aead::AES_128_GCM", true),
    ("aead::AES_192_GCM", true),
    ("aead::AES_256_GCM", true),
    ("cipher::AES_128", true),
    ("cipher::AES_192", true),
    ("cipher::AES_256", true),
    ("digest::SHA1_FOR_LEGACY_USE_ONLY", false),
    ("digest::SHA256", true),
    ("digest::SHA384", true),
    ("digest::SHA512", true),
    // HKDF with SHA-256: SP 800-56C, revision 2.
    ("hkdf::HKDF_SHA256", true),
    ("hmac::HMAC_SHA256", true),
    ("pbkdf2::PBKDF2_HMAC_SHA256", true),
    // AES-GCM with ephemeral keys on the curves of NIST: SP 800-52, revision 2.
    ("cipher_suite::TLS13_AES_256_GCM_SHA384", true),
    ("cipher_suite::TLS13_AES_128_GCM_SHA256", true),
    ("cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", true),
    ("cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", true),
    ("cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", true),
    ("cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", true),
    ("kx_group::SECP256R1", true),
    ("kx_group::SECP384R1", true),
    ("blake3::Hasher", false),
    ("blake3::keyed_hash", false),
    ("Algorithm::Argon2id", false),
];

/// What is not approved may be named in these files only: those whose choices
/// pass the allow-list.
const GATED: &[&str] = &["checksum.rs", "content.rs", "stretch.rs"];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let shipped = files.into_iter().filter(|path| !path.ends_with("tests.rs"));
    shipped.chain(folders.iter().flat_map(|folder| sources(folder))).collect()
}

/// Words of the form `library::NAME`, as used in code.
fn names(text: &str) -> BTreeSet<&str> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let words = code.flat_map(|line| line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')));
    words.map(without_method).filter(|word| is_algorithm(word)).collect()
}

/// `blake3::Hasher` of `blake3::Hasher::new`.
fn without_method(word: &str) -> &str {
    word.match_indices("::").nth(1).map_or(word, |(at, _)| &word[..at])
}

/// A constant in capitals out of a library's module, or what is used of the two
/// libraries that are no validated module.
fn is_algorithm(word: &str) -> bool {
    let Some((library, name)) = word.split_once("::") else { return false };
    let constant = !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    let library_of_constants =
        ["aead", "cipher", "cipher_suite", "digest", "hkdf", "hmac", "kx_group", "pbkdf2"].contains(&library);
    (library_of_constants && constant && !name.ends_with("_LEN"))
        || library == "blake3"
        || word.starts_with("Algorithm::A")
}

#[test]
fn every_algorithm_that_the_sources_name_is_known_here() {
    let mut seen = BTreeSet::new();
    for path in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        for name in names(&text) {
            let (known, approved) =
                *NAMED.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("{file} names {name}"));
            assert!(approved || GATED.contains(&&*file), "{file} names {name}, which is not approved");
            seen.insert(known);
        }
    }
    let expected: BTreeSet<_> = NAMED.iter().map(|(name, _)| *name).collect();
    assert_eq!(seen, expected);
}
