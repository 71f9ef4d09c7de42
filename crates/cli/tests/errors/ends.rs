//! 0xx: ends that are nobody's fault.

use limosa_wire::Code;

use crate::case::Case;
use crate::scene::{LARGE, Scene, small_upload};
use crate::support::client::Finished;

pub const CASES: &[Case] = &[
    Case::command(Code::OK, "limosa send FILE HOST:", "FILE is there", small_upload),
    Case::command(Code::CANCELLED, "limosa send --rate 4m FILE HOST:", "Ctrl-C while FILE is sent", cancelled),
    Case::command(Code::SOME_FAILED, "limosa send FILE MISSING HOST:", "only FILE is there", small_upload),
    Case::command(
        Code::TAKEN_OVER,
        "limosa send --rate 4m FILE HOST:",
        "the same command is given again while it runs",
        taken_over,
    ),
];

fn cancelled(scene: &mut Scene) -> Option<Finished> {
    let _server = scene.limosad()?;
    scene.file("FILE", LARGE);
    let running = scene.spawn();
    scene.until_it_flows();
    running.process().interrupt();
    Some(running.finish())
}

fn taken_over(scene: &mut Scene) -> Option<Finished> {
    let _server = scene.limosad()?;
    scene.file("FILE", LARGE);
    let older = scene.spawn();
    scene.until_it_flows();
    let newer = scene.spawn();
    let finished = older.finish();
    newer.process().interrupt();
    newer.finish();
    Some(finished)
}
