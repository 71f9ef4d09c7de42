//! 1xx: the command as given.

use std::fs;

use limosa_wire::Code;

use crate::case::Case;
use crate::scene::{Scene, without_host};
use crate::support::client::Finished;
use crate::support::embedded::limosad_or_skip;
use crate::support::{find, skip};

pub const CASES: &[Case] = &[
    Case::command(Code::USAGE, "limosa send --to HOST FILE", "always: there is no such option", without_host),
    Case::command(Code::BAD_TARGET, "limosa send FILE :DIR", "the colon says that a host is meant", without_host),
    Case::command(
        Code::BAD_CONFIGURATION,
        "limosad check --config CONFIG",
        "CONFIG holds a key that is none, such as `lisen`",
        bad_configuration,
    ),
    Case::command(Code::FIXED_NEEDS_RATE, "limosa send --policy fixed FILE HOST:", "always", fixed_needs_rate),
    Case::command(
        Code::FILE_KEY_NEEDED,
        "setsid -w limosa protect FILE",
        "no passphrase is in the environment, and nobody is there to be asked",
        nobody_to_ask,
    ),
    Case::command(
        Code::MODULE_NOT_VALIDATED,
        "limosa send --fips required FILE HOST:",
        "the program is of the ordinary build",
        fixed_needs_rate,
    ),
];

fn bad_configuration(scene: &mut Scene) -> Option<Finished> {
    limosad_or_skip()?;
    fs::write(scene.lab.here().join("CONFIG"), "[ssh]\nlisten = \"127.0.0.1:0\"\nlisen = 22\n").unwrap();
    Some(scene.run())
}

fn nobody_to_ask(scene: &mut Scene) -> Option<Finished> {
    if find("setsid").is_none() {
        skip("setsid");
        return None;
    }
    without_host(scene)
}

fn fixed_needs_rate(scene: &mut Scene) -> Option<Finished> {
    scene.fill("HOST", "127.0.0.1");
    without_host(scene)
}
