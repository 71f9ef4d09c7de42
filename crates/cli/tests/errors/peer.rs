//! 7xx: the other end.

use std::fs;

use limosa_wire::setup::{Answer, ContentDigest, Hello, RatePolicy, SetupMessage, Suite, UdpEndpoint, VERSIONS};
use limosa_wire::{Code, Rate, SessionId};

use crate::case::Case;
use crate::scene::{LARGE, Scene, without_host};
use crate::support::client::Finished;

pub const CASES: &[Case] = &[
    Case::command(
        Code::VERSION_MISMATCH,
        "limosa send --remote-command 'cat SAID -' FILE HOST:",
        "the other end speaks only versions of the protocol that are to come (what is in SAID)",
        other_version,
    ),
    Case::command(
        Code::PROTOCOL,
        "limosa send --remote-command 'cat SAID -' FILE HOST:",
        "the other end says hello twice (what is in SAID)",
        broken_protocol,
    ),
    Case::command(Code::NOT_LIMOSA, "limosa send --remote-command 'echo hello' FILE HOST:", "always", not_limosa),
    Case::test(
        Code::NUMBERS_USED_UP,
        "crates/transport/tests/pair/ending.rs",
        "packet_numbers_are_never_used_twice_but_used_up",
        "a session starts 400 numbers before the last one of 2⁴⁸",
    ),
    Case::command(
        Code::SERVER_STOPPING,
        "limosa send --rate 4m FILE HOST:",
        "`limosad` is told to stop (SIGTERM) while FILE is sent",
        stopping,
    ),
    Case::command(
        Code::OPEN_TIMEOUT,
        "limosa send --remote-command 'cat > /dev/null' FILE HOST:",
        "what is started at HOST says nothing",
        silent,
    ),
];

/// A peer's first word.
pub fn hello(versions: (u16, u16)) -> Vec<u8> {
    SetupMessage::Hello(Hello { versions, software: "limosa of a test".to_owned(), capabilities: 0 }).encode()
}

/// A peer's consent to a request with the usual options.
pub fn answer(udp_port: u16) -> Vec<u8> {
    SetupMessage::Answer(Box::new(Answer {
        version: VERSIONS.1,
        session: SessionId(7),
        udp: vec![UdpEndpoint { address: None, port: udp_port }],
        suite: Suite::Aes128Gcm,
        digest: ContentDigest::Blake3,
        random: [3; 32],
        policy: RatePolicy::Fair,
        rate_cap: Rate::UNLIMITED,
        fresh: true,
        orphan_credit: 8 << 20,
        timeout_seconds: 60,
    }))
    .encode()
}

/// Runs against a peer that says this and then listens.
pub fn scripted(scene: &mut Scene, said: &[u8]) -> Option<Finished> {
    let path = scene.lab.path("said");
    fs::write(&path, said).unwrap();
    scene.fill("SAID", path.display());
    silent(scene)
}

fn silent(scene: &mut Scene) -> Option<Finished> {
    let _server = scene.openssh()?;
    without_host(scene)
}

fn not_limosa(scene: &mut Scene) -> Option<Finished> {
    silent(scene)
}

fn other_version(scene: &mut Scene) -> Option<Finished> {
    scripted(scene, &hello((VERSIONS.1 + 1, VERSIONS.1 + 2)))
}

fn broken_protocol(scene: &mut Scene) -> Option<Finished> {
    scripted(scene, &hello(VERSIONS).repeat(2))
}

fn stopping(scene: &mut Scene) -> Option<Finished> {
    let server = scene.limosad()?;
    scene.file("FILE", LARGE);
    let running = scene.spawn();
    scene.until_it_flows();
    server.process().terminate();
    Some(running.finish())
}
