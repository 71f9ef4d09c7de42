//! 9xx: this software and this machine.

use limosa_wire::Code;

use crate::case::Case;
use crate::scene::{Scene, without_host};
use crate::support::client::Finished;

pub const CASES: &[Case] = &[
    Case::test(
        Code::INTERNAL,
        "crates/session/src/running.rs",
        "a_session_whose_supervisor_is_gone_ends_as_a_fault_of_ours",
        "the task that watches over a session is gone",
    ),
    Case::command(
        Code::RESOURCES,
        "ulimit -n 5; limosa send FILE HOST:",
        "five open files are too few to start with",
        few_files,
    ),
];

fn few_files(scene: &mut Scene) -> Option<Finished> {
    scene.fill("HOST", "127.0.0.1");
    without_host(scene)
}
