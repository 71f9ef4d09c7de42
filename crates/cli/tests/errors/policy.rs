//! 4xx: what the administrator allows.

use std::fs;

use limosa_wire::Code;

use crate::case::Case;
use crate::scene::{LARGE, Scene, without_host};
use crate::support::client::Finished;

pub const CASES: &[Case] = &[
    Case::test(
        Code::NOT_ALLOWED,
        "crates/transfer/tests/receiver/admission.rs",
        "a_download_takes_the_sources_that_were_named_and_nothing_else",
        "a server sends files that a download did not ask for",
    ),
    Case::command(
        Code::READ_NOT_ALLOWED,
        "limosa get HOST:FILE DIR",
        "the user was added with `--write-only`",
        read_not_allowed,
    ),
    Case::command(
        Code::WRITE_NOT_ALLOWED,
        "limosa send FILE HOST:",
        "the user was added with `--read-only`",
        write_not_allowed,
    ),
    Case::command(
        Code::NO_COMMON_SUITE,
        "limosa send --cipher aes-128-cfb FILE HOST:",
        "the user has `cipher-modes = \"gcm\"`",
        no_common_suite,
    ),
    Case::command(
        Code::POLICY_NOT_ALLOWED,
        "limosa send --policy fixed --rate 10m FILE HOST:",
        "the user does not have `policy-ceiling = \"fixed\"`",
        small,
    ),
    Case::command(
        Code::TOO_MANY_SESSIONS,
        "limosa send --rate 4m FILE HOST:",
        "the user has `max-sessions = 1`, and sends another file at the time",
        too_many,
    ),
    Case::command(
        Code::NO_DOCROOT,
        "limosa send FILE HOST:",
        "the user's directory was removed from the server",
        no_docroot,
    ),
    Case::command(
        Code::ENCRYPTION_REQUIRED,
        "limosa send --cipher none FILE HOST:",
        "the user has neither `cipher-modes = \"any\"` nor `\"none\"`",
        encryption_required,
    ),
    Case::command(
        Code::CIPHER_TOO_STRONG,
        "limosa send FILE HOST:",
        "the user has `cipher-modes = \"none\"`",
        cipher_too_strong,
    ),
    Case::test(
        Code::CIPHER_NOT_APPROVED,
        "crates/session/tests/loopback.rs",
        "an_end_held_to_approved_ciphers_takes_no_other",
        "a client is held to approved algorithms, as by `--fips on`, and asked for `--cipher none`",
    ),
    Case::test(
        Code::PEER_APPROVED_ONLY,
        "crates/session/tests/loopback.rs",
        "an_end_held_to_approved_ciphers_takes_no_other",
        "a server is held to approved algorithms, as by `fips = \"on\"`, and asked for none",
    ),
    Case::command(
        Code::CONTENT_PROTECTION_REQUIRED,
        "limosa send FILE HOST:",
        "the user has `content-protection = \"required\"`",
        content_protection_required,
    ),
    Case::command(
        Code::CONTENT_PASSPHRASE_WEAK,
        "limosa send --file-crypt encrypt --passphrase-file WORD FILE HOST:",
        "WORD holds three characters; the user has `content-protection = \"required\"`, `content-protection-passphrase = \"strong\"`",
        content_passphrase_weak,
    ),
    Case::command(
        Code::PEER_NOT_APPROVED,
        "limosa send FILE HOST:",
        "the user has `fips = \"required\"`",
        peer_not_approved,
    ),
    Case::command(
        Code::SSH_NOT_APPROVED,
        "limosa send FILE HOST:",
        "the user has `fips = \"on\"`, and `limosad serve` is the SSH server",
        ssh_not_approved,
    ),
];

fn small(scene: &mut Scene) -> Option<Finished> {
    let _server = scene.limosad()?;
    without_host(scene)
}

fn read_not_allowed(scene: &mut Scene) -> Option<Finished> {
    let _server = scene.limosad()?;
    scene.set("read = false");
    scene.file_there("FILE", 1000);
    Some(scene.run())
}

fn write_not_allowed(scene: &mut Scene) -> Option<Finished> {
    let _server = scene.limosad()?;
    scene.set("write = false");
    without_host(scene)
}

fn too_many(scene: &mut Scene) -> Option<Finished> {
    let _server = scene.limosad()?;
    scene.set("max-sessions = 1");
    scene.file("OTHER", LARGE);
    let other = scene.spawn_other("FILE", "OTHER");
    scene.until_it_flows();
    let finished = without_host(scene);
    other.process().interrupt();
    other.finish();
    finished
}

fn no_docroot(scene: &mut Scene) -> Option<Finished> {
    let _server = scene.limosad()?;
    fs::remove_dir(scene.lab.there()).unwrap();
    without_host(scene)
}

fn no_common_suite(scene: &mut Scene) -> Option<Finished> {
    let _server = scene.limosad()?;
    scene.set("cipher-modes = \"gcm\"");
    let finished = without_host(scene)?;
    says(&finished, "client offers aes-128-cfb, aes-192-cfb, aes-256-cfb, server allows aes-128-gcm");
    Some(finished)
}

fn encryption_required(scene: &mut Scene) -> Option<Finished> {
    let _server = scene.limosad()?;
    let finished = without_host(scene)?;
    says(&finished, "client asks for no encryption, server requires it");
    Some(finished)
}

fn peer_not_approved(scene: &mut Scene) -> Option<Finished> {
    let _server = scene.limosad()?;
    scene.set("fips = \"required\"");
    without_host(scene)
}

fn ssh_not_approved(scene: &mut Scene) -> Option<Finished> {
    let _server = scene.limosad()?;
    scene.set("fips = \"on\"");
    without_host(scene)
}

fn cipher_too_strong(scene: &mut Scene) -> Option<Finished> {
    let _server = scene.limosad()?;
    scene.set("cipher-modes = \"none\"");
    let finished = without_host(scene)?;
    says(&finished, "client requests stronger encryption than server allows");
    Some(finished)
}

fn content_protection_required(scene: &mut Scene) -> Option<Finished> {
    let _server = scene.limosad()?;
    scene.set("content-protection = \"required\"");
    let finished = without_host(scene)?;
    says(&finished, "Server requires content protection");
    Some(finished)
}

fn content_passphrase_weak(scene: &mut Scene) -> Option<Finished> {
    let _server = scene.limosad()?;
    scene.set("content-protection = \"required\"\ncontent-protection-passphrase = \"strong\"");
    scene.file("WORD", 3);
    let finished = without_host(scene)?;
    says(&finished, "Server requires stronger content protection passphrase");
    Some(finished)
}

/// The reason that the server gave is passed on to the user.
fn says(finished: &Finished, reason: &str) {
    assert!(finished.to_string().contains(reason), "{reason}: {finished}");
}
