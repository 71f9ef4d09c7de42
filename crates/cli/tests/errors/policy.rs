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
    Case::test(
        Code::NO_COMMON_SUITE,
        "crates/session/src/server.rs",
        "ends_without_a_common_cipher_say_which_each_allows",
        "a client of another version offers nothing that the server allows: this one offers all longer keys too",
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
