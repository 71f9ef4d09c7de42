//! 3xx: who somebody is.

use std::fs;

use limosa_wire::Code;

use crate::case::Case;
use crate::scene::{Scene, without_host};
use crate::support::client::{Client, Finished};

pub const CASES: &[Case] = &[
    Case::command(Code::AUTH_FAILED, "limosa send -i KEY FILE HOST:", "HOST does not know KEY", stranger),
    Case::command(
        Code::HOST_KEY_UNKNOWN,
        "limosa send FILE HOST:",
        "nothing is known of HOST, and nobody is there to be asked",
        unknown,
    ),
    Case::command(Code::HOST_KEY_CHANGED, "limosa send FILE HOST:", "known_hosts holds another key of HOST", changed),
    Case::command(
        Code::HOST_KEY_REVOKED,
        "limosa send FILE HOST:",
        "known_hosts holds the key of HOST, marked `@revoked`",
        revoked,
    ),
    Case::command(Code::KEY_UNREADABLE, "limosa send -i KEY FILE HOST:", "KEY is no private key", unreadable),
    Case::command(
        Code::FILE_PASSPHRASE,
        "limosa unprotect --passphrase-file WORD FILE",
        "FILE was encrypted with another passphrase than WORD holds",
        wrong_passphrase,
    ),
    Case::command(
        Code::FILE_KEY_UNFIT,
        "limosa unprotect --identity KEY FILE",
        "FILE was encrypted with a passphrase, and for no key",
        unfit,
    ),
    Case::test(
        Code::BEGUN_OTHERWISE,
        "crates/cli/tests/crypt.rs",
        "an_upload_goes_on_where_it_stopped_by_the_same_passphrase_alone",
        "an encrypted upload is interrupted, and sent again with another `--file-cipher`",
    ),
];

fn wrong_passphrase(scene: &mut Scene) -> Option<Finished> {
    scene.protected("FILE");
    fs::write(scene.lab.here().join("WORD"), "another\n").unwrap();
    Some(scene.run())
}

fn unfit(scene: &mut Scene) -> Option<Finished> {
    scene.protected("FILE");
    Client::bare(&scene.lab).args(["envelope", "keygen", "KEY"]).succeed();
    Some(scene.run())
}

fn stranger(scene: &mut Scene) -> Option<Finished> {
    let _server = scene.limosad()?;
    fs::copy(scene.lab.key("stranger"), scene.lab.here().join("KEY")).unwrap();
    without_host(scene)
}

fn unreadable(scene: &mut Scene) -> Option<Finished> {
    let _server = scene.limosad()?;
    scene.file("KEY", 100);
    without_host(scene)
}

fn unknown(scene: &mut Scene) -> Option<Finished> {
    let _server = scene.openssh()?;
    scene.accept_new = false;
    without_host(scene)
}

fn changed(scene: &mut Scene) -> Option<Finished> {
    known(scene, "other_host", "")
}

fn revoked(scene: &mut Scene) -> Option<Finished> {
    known(scene, "host_key", "@revoked ")
}

/// With a line for the host in known_hosts: `mark` and the key called `name`.
fn known(scene: &mut Scene, name: &str, mark: &str) -> Option<Finished> {
    let server = scene.openssh()?;
    scene.accept_new = false;
    let key = fs::read_to_string(scene.lab.public_key(name)).unwrap();
    fs::write(&scene.known_hosts, format!("{mark}[127.0.0.1]:{} {key}", server.port)).unwrap();
    without_host(scene)
}
