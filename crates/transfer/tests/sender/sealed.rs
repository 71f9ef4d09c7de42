//! Files that are sealed as they are read: whatever is lost, dropped or asked
//! for again, what arrives is one envelope.

use std::io::{Cursor, Read};
use std::sync::Arc;

use limosa_seal::envelope::{Header, Keyring, OpeningReader, Sealed, StretchedPassphrase};
use limosa_seal::{AlgorithmSet, SecretBytes, Stretch};
use limosa_storage::protecting::{ProtectingStore, ProtectionKeys, Suffix};
use limosa_storage::{FollowLinks, MemoryStore};
use limosa_transfer::content::BLOCK;
use limosa_transfer::sender::{Continuing, Limits, Nature, Sender, SenderConfig};
use limosa_wire::setup::Suite;

use super::line::Line;
use super::trees::{bytes, file};
use super::{Peer, config, taking};
use crate::peer::Decision;

const SET: AlgorithmSet = AlgorithmSet::Ordinary;
const FILES: [(&str, usize); 3] = [("large", 24 * BLOCK as usize + 5), ("small", 300_000), ("none", 0)];

fn keyring() -> Keyring {
    Keyring::new(SET).with_passphrase(SecretBytes::from("word".to_owned()))
}

fn protecting() -> ProtectingStore {
    let files = Arc::new(MemoryStore::new());
    FILES.iter().zip(5..).for_each(|((name, size), seed)| file(&files, name, &bytes(seed, *size)));
    let scheme = SET.passphrase(Stretch::Argon2id { memory_kib: 64, passes: 1, lanes: 1 }).expect("allowed");
    let word = StretchedPassphrase::new(scheme, &SecretBytes::from("word".to_owned())).expect("stretched");
    let suite = SET.envelope_suite(Suite::Aes128Gcm).expect("allowed");
    let keys = ProtectionKeys::new(Some(word), Vec::new(), suite, SET, keyring()).expect("keys");
    ProtectingStore::new(files, Arc::new(keys), Suffix::new(b".env").expect("a suffix"), FollowLinks::No)
}

fn sealed(limits: Limits) -> SenderConfig {
    let nature = Nature::Sealed(Continuing::ByFront);
    SenderConfig { nature, limits, ..config(&["large.env", "small.env", "none.env"]) }
}

fn check(line: &Line<'_>) {
    for ((name, size), seed) in FILES.iter().zip(5..) {
        let arrived = &line.peer.settled(format!("{name}.env").as_bytes()).expect(name).content;
        let envelope = keyring().open(&Header::decode(arrived, SET).expect(name)).expect(name);
        let length = Sealed(arrived.len() as u64);
        let mut reader = OpeningReader::new(&envelope, Cursor::new(arrived), length).expect(name);
        let mut opened = Vec::new();
        reader.read_to_end(&mut opened).expect(name);
        assert!(opened == bytes(seed, *size), "{name} differs");
    }
}

#[test]
fn what_is_sent_again_is_what_was_sent_however_little_memory_there_is() {
    let store = protecting();
    let limits = Limits { memory: 4 * BLOCK, ..Limits::default() };
    for seed in 0..4 {
        let line = Line::new(Sender::new(sealed(limits)), taking(true), &store, seed);
        let line = line.losing(3).holding(400, 60_000).run();
        check(&line);
        assert!(line.peak.memory_peak <= 6 * BLOCK + 65_536, "{:?}", line.peak);
    }
}

#[test]
fn chunks_that_are_asked_for_again_open_with_the_others() {
    let store = protecting();
    for (seed, fresh) in [(1, true), (2, false)] {
        let peer = Peer::new(fresh, |_| Decision::Take);
        let peer = peer.doubting(|entry| if entry.path == b"large.env" { vec![0, 7, 24] } else { vec![] });
        let line = Line::new(Sender::new(sealed(Limits::default())), peer, &store, seed).losing(9).run();
        check(&line);
    }
}
