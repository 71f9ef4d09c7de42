//! The vectors of `docs/envelope-vectors.txt`, by which other implementations
//! are checked too. `LIMOSA_MAKE_VECTORS=1` makes new ones: every value in
//! them that is random is drawn again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use super::*;
use crate::envelope::key::FileKey;
use crate::identity::hex;

const HEAD: &str = "# Test vectors of the envelope format, version 1, described in ENVELOPE.md.
#
# Each block is one sealed file. `passphrase` is text; `identity` is a file of
# crates/seal/tests/keys; all else is hexadecimal. `file-key`, `header-key` and
# `segment-key-0` are what opening it comes by. `content` is what it holds.
";

const CONTENT: &[u8] = b"Godwits fly from Alaska to New Zealand without a stop. ";

type Vector = BTreeMap<String, String>;

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/envelope-vectors.txt")
}

fn vectors() -> Vec<Vector> {
    let text = std::fs::read_to_string(path()).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
    let fields = |block: &str| {
        let fields = block.lines().filter_map(|line| line.split_once(" = "));
        fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    lines.split("\n\n").filter(|block| block.contains(" = ")).map(fields).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn key_file(name: &str) -> Vec<u8> {
    std::fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/keys").join(name)).unwrap()
}

fn keyring(vector: &Vector) -> Keyring {
    let keyring = Keyring::new(SET);
    if let Some(text) = vector.get("passphrase") {
        keyring.with_passphrase(passphrase(text))
    } else if let Some(name) = vector.get("identity") {
        keyring.with_identity(Identity::from_pem(&key_file(name)).unwrap())
    } else {
        let key = Secret::take(bytes(&vector["master-key"]).first_chunk_mut().unwrap());
        keyring.with_master(MasterKey::new(vector["master-id"].parse().unwrap(), key))
    }
}

#[test]
fn the_vectors_open() {
    if std::env::var_os("LIMOSA_MAKE_VECTORS").is_some() {
        std::fs::write(path(), make()).unwrap();
    }
    let vectors = vectors();
    assert_eq!(vectors.len(), 8);
    for vector in vectors {
        let (file, content) = (bytes(&vector["file"]), bytes(vector.get("content").map_or("", String::as_str)));
        assert_eq!(open(&file, &mut keyring(&vector)).unwrap(), content, "{}", vector["name"]);
        let envelope = keyring(&vector).open(&Header::decode(&file, SET).unwrap()).unwrap();
        let (file_key, segment_key) = envelope.keys_for_test();
        assert_eq!((hex(&file_key), hex(&segment_key)), (vector["file-key"].clone(), vector["segment-key-0"].clone()));
    }
}

fn make() -> String {
    let cheap = StretchedPassphrase::new(cheap(), &passphrase("limosa lapponica")).unwrap();
    let rounds = StretchedPassphrase::new(scheme(Stretch::Pbkdf2 { rounds: 1000 }), &passphrase("limosa lapponica"));
    let rounds = rounds.unwrap();
    let recipient = Recipient::from_pem(&key_file("openssl-p256.pub.pem")).unwrap();
    let (argon2, pbkdf2) = (SlotFor::Passphrase(&cheap), SlotFor::Passphrase(&rounds));
    let (to, by) = (SlotFor::Recipient(&recipient), &master());
    let by = SlotFor::Master(by);
    let (strong, fast) = (Suite::Aes256Gcm, Suite::Aes128Gcm);
    let long = Piece::Bytes(CONTENT.repeat(12));
    let phrase = "passphrase = limosa lapponica";
    let identity = "identity = openssl-p256.pem";
    let master = &format!("master-id = master-1\nmaster-key = {}", hex(&[7; 32]));
    let hole = [Piece::Bytes(CONTENT.to_vec()), Piece::Skip(700), Piece::Bytes(CONTENT.to_vec()), Piece::Skip(500)];
    let full = [Piece::Bytes(CONTENT.repeat(12)[..512].to_vec())];
    let one = std::slice::from_ref(&long);
    let all = [
        vector("Argon2id, AES-256", strong, &[argon2], phrase, one),
        vector("PBKDF2, AES-128", fast, &[pbkdf2], phrase, one),
        vector("a recipient", strong, &[to], identity, one),
        vector("a master key, AES-128", fast, &[by], master, one),
        vector("three slots, opened by the second", strong, &[by, to, argon2], identity, one),
        vector("holes inside and at the end", strong, &[by], master, &hole),
        vector("two full segments", strong, &[by], master, &full),
        vector("empty", strong, &[by], master, &[]),
    ];
    format!("{HEAD}\n{}", all.join("\n"))
}

fn vector(name: &str, suite: Suite, slots: &[SlotFor<'_>], key: &str, content: &[Piece]) -> String {
    let mut envelope = Envelope::create(SET.envelope_suite(suite).unwrap(), small(), [0; 16], SET);
    slots.iter().for_each(|slot| envelope.add(*slot).unwrap());
    let (file_key, segment_key) = envelope.keys_for_test();
    let mut text = format!("name = {name}\n{key}\n");
    let fields = [
        ("file-key", file_key),
        ("segment-key-0", segment_key),
        ("content", content_of(content)),
        ("file", seal_pieces(&envelope, content)),
    ];
    for (field, value) in fields {
        writeln!(text, "{field} = {}", hex(&value)).unwrap();
    }
    text
}

/// What opening comes by.
impl Envelope {
    fn keys_for_test(&self) -> (Vec<u8>, Vec<u8>) {
        let key: &FileKey = self.key();
        let length = self.preamble().suite.key_len();
        (key.secret().expose().to_vec(), key.segments().key(0).expose()[..length].to_vec())
    }
}
