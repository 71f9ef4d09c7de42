//! 6xx: content that is not what it should be.

use std::fs;

use limosa_wire::Code;

use crate::case::Case;
use crate::scene::Scene;
use crate::support::client::Finished;

pub const CASES: &[Case] = &[
    Case::test(
        Code::CONTENT_MISMATCH,
        "crates/transfer/tests/receiver/failures.rs",
        "wrong_chunks_are_asked_for_again_at_most_three_times",
        "what arrives differs from its digest, four times in a row",
    ),
    Case::test(
        Code::LAYOUT_MISMATCH,
        "crates/transfer/tests/receiver/failures.rs",
        "layouts_that_break_a_rule_end_the_session",
        "the end of a layout counts other entries than there were",
    ),
    Case::command(
        Code::ENVELOPE_DAMAGED,
        "limosa unprotect --passphrase-file WORD FILE",
        "one byte of the encrypted FILE is another one",
        damaged,
    ),
    Case::command(
        Code::NOT_AN_ENVELOPE,
        "limosa unprotect --passphrase-file WORD FILE",
        "FILE is not encrypted",
        plain,
    ),
    Case::command(
        Code::ENVELOPE_VERSION,
        "limosa unprotect --passphrase-file WORD FILE",
        "FILE is encrypted, and names a version that is to come",
        newer,
    ),
];

fn damaged(scene: &mut Scene) -> Option<Finished> {
    let file = scene.protected("FILE");
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(file, bytes).unwrap();
    Some(scene.run())
}

fn plain(scene: &mut Scene) -> Option<Finished> {
    scene.file("FILE", 1000);
    fs::write(scene.lab.here().join("WORD"), "word\n").unwrap();
    Some(scene.run())
}

fn newer(scene: &mut Scene) -> Option<Finished> {
    let file = scene.protected("FILE");
    let mut bytes = fs::read(&file).unwrap();
    bytes[8] = 2;
    fs::write(file, bytes).unwrap();
    Some(scene.run())
}
