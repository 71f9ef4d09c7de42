//! Trees in memory, seen sealed and fetched sealed.

use std::sync::Arc;

use limosa_seal::envelope::{
    Envelope, FileKeySeed, Header, Identity, Keyring, Layout, OpeningReader, Recipient, Sealed, SealingWriter, SlotFor,
    StretchedPassphrase,
};
use limosa_seal::{AlgorithmSet, EnvelopeSuite, Secret, SecretBytes, Stretch};
use limosa_wire::setup::Suite;
use proptest::prelude::*;

use super::*;
use crate::contract::{Durability, FollowLinks, Overwrite, Publish, Staged, Store};
use crate::memory::MemoryStore;
use crate::metadata::{Attributes, Timestamp};
use crate::path::StorePath;

const SET: AlgorithmSet = AlgorithmSet::Ordinary;
const HOW: Publish = Publish { overwrite: Overwrite::Replace, durability: Durability::File };

fn path(text: &str) -> StorePath {
    StorePath::parse(text.as_bytes()).unwrap()
}

fn suffix() -> Suffix {
    Suffix::new(b".env").unwrap()
}

fn suite() -> EnvelopeSuite {
    SET.envelope_suite(Suite::Aes256Gcm).unwrap()
}

fn stretched(word: &str) -> StretchedPassphrase {
    let scheme = SET.passphrase(Stretch::Argon2id { memory_kib: 64, passes: 1, lanes: 1 }).unwrap();
    StretchedPassphrase::new(scheme, &word.to_owned().into()).unwrap()
}

fn keyring(word: &str) -> Keyring {
    Keyring::new(SET).with_passphrase(SecretBytes::from(word.to_owned()))
}

fn keys(word: &str) -> Arc<ProtectionKeys> {
    Arc::new(ProtectionKeys::new(Some(stretched(word)), Vec::new(), suite(), SET, keyring(word)).unwrap())
}

fn put(store: &dyn Store, name: &str, bytes: &[u8]) {
    let file = store.create(&path(name)).unwrap();
    file.write_at(0, bytes).unwrap();
    file.set_attributes(&Attributes::default().with_mode(0o640).with_modified(Timestamp::new(7, 9))).unwrap();
}

fn get(store: &dyn Store, name: &str) -> Vec<u8> {
    crate::read_whole(store, &path(name), u64::MAX).unwrap()
}

/// A file sealed in one go, with `slots` passphrases.
fn envelope_of(bytes: &[u8], word: &str) -> Vec<u8> {
    let mut envelope = Envelope::create(suite(), Layout::PLAIN_ALIGNED, [0; 16], SET);
    envelope.add(SlotFor::Passphrase(&stretched(word))).unwrap();
    let mut writer = SealingWriter::new(&envelope, std::io::Cursor::new(Vec::new())).unwrap();
    std::io::Write::write_all(&mut writer, bytes).unwrap();
    writer.finish().unwrap().0.into_inner()
}

fn protecting(files: &Arc<MemoryStore>, word: &str) -> ProtectingStore {
    ProtectingStore::new(files.clone(), keys(word), suffix(), FollowLinks::No)
}

fn unprotecting(files: &Arc<MemoryStore>, word: &str, misfit: Misfit) -> UnprotectingStore {
    UnprotectingStore::new(files.clone(), keyring(word), suffix(), misfit, Durability::File)
}

/// Lands `sealed` as the engine does: staged, then published.
fn land(store: &dyn Store, sealed: &[u8], to: &str) -> Result<()> {
    put(store, ".limosa-1.partial", sealed);
    let staged = path(".limosa-1.partial");
    let file = store.reopen(&staged).unwrap();
    store.publish(Staged::File { path: &staged, file: &*file }, &path(to), HOW)
}

fn shown(store: &dyn Store, directory: &StorePath) -> Vec<String> {
    let page = store.list(directory, None, 100).unwrap();
    let mut names: Vec<_> = page.entries.iter().map(|entry| entry.name.to_string()).collect();
    names.sort();
    names
}

#[test]
fn every_file_is_shown_sealed_and_lands_plain() {
    for length in [0, 1, 65_536, 70_000, 983_040, 1_044_000, 1_048_576, 5_000_000] {
        let content: Vec<u8> = (0..length).map(|at| (at * 31 % 251) as u8).collect();
        let (here, back) = (Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new()));
        put(&*here, "f", &content);
        let sending = protecting(&here, "word");
        let seen = sending.metadata(&path("f.env"), FollowLinks::No).unwrap();
        let sealed = get(&sending, "f.env");
        assert_eq!((sealed.len() as u64, seen.mode), (seen.size, 0o640), "{length}");
        assert!(length < 32 || !sealed.windows(32).any(|window| window == &content[..32]), "{length}");

        let landing = unprotecting(&back, "word", Misfit::Keep);
        land(&landing, &sealed, "f.env").unwrap();
        assert_eq!(get(&*back, "f"), content, "{length}");
        assert_eq!(shown(&*back, &StorePath::root()), ["f"], "{length}");
        let (found, expected) = (
            landing.metadata(&path("f.env"), FollowLinks::No).unwrap(),
            sending.metadata(&path("f.env"), FollowLinks::No).unwrap(),
        );
        assert_eq!(
            (found.size, found.mode, found.modified),
            (expected.size, expected.mode, expected.modified),
            "by which a second transfer knows that it is there"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn pieces_read_one_after_the_other_make_a_whole(
        length in 0..300_000_usize,
        pieces in prop::collection::vec(1..140_000_usize, 1..20),
    ) {
        let content: Vec<u8> = (0..length).map(|at| (at * 17 % 253) as u8).collect();
        let here = Arc::new(MemoryStore::new());
        put(&*here, "f", &content);
        let file = protecting(&here, "word").open(&path("f.env"), FollowLinks::No).unwrap();
        let mut sealed = Vec::new();
        for piece in pieces.iter().cycle() {
            let mut bytes = vec![0; *piece];
            let read = file.read_at(sealed.len() as u64, &mut bytes).unwrap();
            sealed.extend_from_slice(&bytes[..read]);
            if read < bytes.len() {
                break;
            }
        }
        let back = Arc::new(MemoryStore::new());
        land(&unprotecting(&back, "word", Misfit::Keep), &sealed, "f.env").unwrap();
        prop_assert_eq!(get(&*back, "f"), content);
    }
}

#[test]
fn chunks_that_are_read_again_open_with_the_rest() {
    const CHUNK: usize = 1 << 20;
    let content: Vec<u8> = (0..3_500_000_u32).map(|at| (at % 249) as u8).collect();
    let here = Arc::new(MemoryStore::new());
    put(&*here, "f", &content);
    let sending = protecting(&here, "word");
    let mut sealed = get(&sending, "f.env");
    // Opened anew in the same session, as for a chunk that arrived damaged.
    for chunk in [0, 2] {
        let again = sending.open(&path("f.env"), FollowLinks::No).unwrap();
        let mut bytes = vec![0; CHUNK];
        again.read_at((chunk * CHUNK) as u64, &mut bytes).unwrap();
        assert_ne!(&sealed[chunk * CHUNK..][..CHUNK], bytes, "sealed anew");
        sealed[chunk * CHUNK..][..CHUNK].copy_from_slice(&bytes);
    }
    let back = Arc::new(MemoryStore::new());
    land(&unprotecting(&back, "word", Misfit::Keep), &sealed, "f.env").unwrap();
    assert_eq!(get(&*back, "f"), content);
}

#[test]
fn what_is_read_again_is_the_same_and_no_nonce_serves_two_contents() {
    const SEGMENT: usize = 65_536;
    let content = vec![1; 3_000_000];
    let here = Arc::new(MemoryStore::new());
    put(&*here, "f", &content);
    let modified = here.metadata(&path("f"), FollowLinks::No).unwrap().modified;
    let file = protecting(&here, "word").open(&path("f.env"), FollowLinks::No).unwrap();
    let read = |number: usize| {
        let mut segment = vec![0; SEGMENT];
        assert_eq!(file.read_at((number * SEGMENT) as u64, &mut segment).unwrap(), SEGMENT);
        segment
    };
    let first: Vec<_> = (0..8).map(read).collect();
    for number in [7, 0, 3, 1] {
        assert!(read(number) == first[number], "segment {number}");
    }
    // The source changes, and does not show it.
    let source = here.reopen(&path("f")).unwrap();
    source.write_at(2 * SEGMENT as u64, &[2; SEGMENT]).unwrap();
    here.set_attributes(&path("f"), &Attributes::default().with_modified(modified)).unwrap();
    for (number, changed) in [(2, false), (3, true), (4, true), (5, false)] {
        let nonce = |segment: &[u8]| segment[4..16].to_vec();
        let again = read(number);
        assert_eq!(nonce(&again) != nonce(&first[number]), changed, "segment {number}");
        assert_eq!(again == first[number], !changed, "segment {number}");
    }
}

#[test]
fn an_earlier_session_is_continued_for_the_same_keys_alone() {
    let here = Arc::new(MemoryStore::new());
    put(&*here, "f", &[3; 200_000]);
    let alice = || Identity::generate().recipient().clone();
    let (one, two) = (alice(), alice());
    let over = |recipients: Vec<Recipient>, suite: Suite| {
        let suite = SET.envelope_suite(suite).unwrap();
        let keys = ProtectionKeys::new(Some(stretched("word")), recipients, suite, SET, keyring("word")).unwrap();
        ProtectingStore::new(here.clone(), Arc::new(keys), suffix(), FollowLinks::No)
    };
    let first = over(vec![one.clone()], Suite::Aes256Gcm);
    let mut front = vec![0; 65_536];
    let read = first.open(&path("f.env"), FollowLinks::No).unwrap().read_at(0, &mut front).unwrap();
    let resume = |store: &ProtectingStore| {
        store.open_resumed(&path("f.env"), FollowLinks::No, &front[..read]).map(drop).map_err(|error| error.kind())
    };
    assert_eq!(resume(&over(vec![one.clone()], Suite::Aes256Gcm)), Ok(()));
    for other in [
        over(vec![two.clone()], Suite::Aes256Gcm),
        over(vec![], Suite::Aes256Gcm),
        over(vec![one.clone(), two], Suite::Aes256Gcm),
        over(vec![one], Suite::Aes128Gcm),
    ] {
        assert_eq!(resume(&other), Err(ErrorKind::BegunOtherwise));
    }
}

#[test]
fn who_has_public_keys_alone_continues_by_a_seed_that_was_kept() {
    let here = Arc::new(MemoryStore::new());
    put(&*here, "f", &[3; 1_500_000]);
    let bob = Identity::generate();
    let public = bob.recipient().clone();
    let over = |seed: u8| {
        let keys = ProtectionKeys::new(None, vec![public.clone()], suite(), SET, Keyring::new(SET)).unwrap();
        let keys = keys.with_seed(FileKeySeed::kept(Secret::take(&mut [seed; 32])));
        ProtectingStore::new(here.clone(), Arc::new(keys), suffix(), FollowLinks::No)
    };
    let sealed = get(&over(1), "f.env");
    let resume = |store: &ProtectingStore| store.open_resumed(&path("f.env"), FollowLinks::No, &sealed[..65_536]);
    // A part of the first attempt and a part of the second make a whole.
    let resumed = resume(&over(1)).unwrap();
    let chunk = usize::try_from(CHUNK).unwrap();
    let mut rest = vec![0; sealed.len() - chunk];
    assert_eq!(resumed.read_at(CHUNK, &mut rest).unwrap(), rest.len());
    let whole = [&sealed[..chunk], &rest].concat();
    assert_ne!(whole, sealed, "nonces are drawn anew");
    let mut bob = Keyring::new(SET).with_identity(bob);
    let envelope = bob.open(&Header::decode(&whole, SET).unwrap()).unwrap();
    let length = Sealed(whole.len() as u64);
    let mut reader = OpeningReader::new(&envelope, std::io::Cursor::new(whole), length).unwrap();
    let mut opened = Vec::new();
    std::io::Read::read_to_end(&mut reader, &mut opened).unwrap();
    assert!(opened == [3; 1_500_000]);

    let refused = |store: &ProtectingStore| resume(store).map(drop).map_err(|error| error.kind());
    assert_eq!(refused(&over(2)), Err(ErrorKind::NoFittingKey));
    put(&*here, "f", &[3; 1_500_001]);
    assert_eq!(refused(&over(1)), Err(ErrorKind::NoFittingKey), "another state of the file has another key");
}

#[test]
fn what_is_an_envelope_is_sent_as_it_is_and_nothing_is_sent_in_clear() {
    let here = Arc::new(MemoryStore::new());
    let envelope = envelope_of(b"words", "other");
    put(&*here, "done.env", &envelope);
    put(&*here, "both.env", &envelope);
    put(&*here, "both", b"plain words");
    put(&*here, "false.env", b"no envelope");
    put(&*here, "unnamed", &envelope);
    put(&*here, &"n".repeat(255), b"no room for the suffix");
    here.make_directory(&path("dir.env")).unwrap();
    here.make_link(&path("link"), b"both").unwrap();
    let sending = protecting(&here, "word");
    let long = "n".repeat(255);
    let expected =
        ["both.env", "both.env.env", "dir.env", "done.env", "false.env.env", "link", long.as_str(), "unnamed.env"];
    assert_eq!(shown(&sending, &StorePath::root()), expected);
    assert_eq!(get(&sending, "done.env"), envelope);
    for (name, plain) in [("both.env", &b"plain words"[..]), ("both.env.env", &envelope), ("unnamed.env", &envelope)] {
        let back = Arc::new(MemoryStore::new());
        land(&unprotecting(&back, "word", Misfit::Keep), &get(&sending, name), "x").unwrap();
        assert_eq!(get(&*back, "x"), plain, "{name}");
    }
    for name in ["both.env", "false.env", "unnamed", &long] {
        let open = sending.open(&path(name), FollowLinks::No);
        assert!(name == "both.env" || open.is_err(), "{name} in clear");
    }
    assert!(
        here.metadata(&path("both"), FollowLinks::No).is_ok() && sending.open(&path("both"), FollowLinks::No).is_err()
    );
    for name in ["both", "done.env", "dir.env", "link", "unnamed"] {
        let under = sending.shown(&path(name));
        assert!(sending.metadata(&under, FollowLinks::No).is_ok(), "{name}");
    }
}

#[test]
fn a_file_that_no_key_fits_is_kept_sealed_or_not_at_all() {
    let envelope = envelope_of(b"words", "other");
    for (misfit, left) in [(Misfit::Keep, vec!["f.env"]), (Misfit::Discard, vec![".limosa-1.partial"])] {
        let back = Arc::new(MemoryStore::new());
        let landing = unprotecting(&back, "word", misfit);
        let error = land(&landing, &envelope, "f.env").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongPassphrase);
        assert_eq!(shown(&*back, &StorePath::root()), left, "{misfit:?}");
        let again = landing.metadata(&path("f.env"), FollowLinks::No);
        assert_eq!(again.unwrap_err().kind(), ErrorKind::NotFound, "it is fetched once more");
    }
}

#[test]
fn damage_lands_nowhere_and_what_is_no_envelope_as_it_is() {
    let envelope = envelope_of(&[7; 200_000], "word");
    let back = Arc::new(MemoryStore::new());
    let landing = unprotecting(&back, "word", Misfit::Keep);
    for at in [70, 4096 + 40, 150_000, envelope.len() - 1] {
        let mut damaged = envelope.clone();
        damaged[at] ^= 1;
        // One copy of the header may be lost.
        let result = land(&landing, &damaged, "f.env").map_err(|error| error.kind());
        assert_eq!(result, if at == 70 { Ok(()) } else { Err(ErrorKind::Damaged) }, "{at}");
        let _ = back.remove(&path("f"));
    }
    let cut = land(&landing, &envelope[..100_000], "f.env").unwrap_err();
    assert_eq!(cut.kind(), ErrorKind::Damaged);
    assert_eq!(shown(&*back, &StorePath::root()), [".limosa-1.partial"], "nothing was published");
    land(&landing, b"plain", "g.env").unwrap();
    assert_eq!(get(&*back, "g.env"), b"plain");
    assert_eq!(landing.metadata(&path("g.env"), FollowLinks::No).unwrap().size, 5);
}
