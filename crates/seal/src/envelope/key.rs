//! The file key and what is derived from it.
//!
//! ```text
//! file       = 32 random bytes
//! root       = HKDF-Extract(salt: preamble, file)
//! header     = HKDF-Expand(root, "limosa envelope header"), 32 bytes
//! segments(g)= HKDF-Expand(root, "limosa envelope segments" · g), as long as the suite's keys
//! ```
//!
//! HKDF is RFC 5869 with SHA-256. The preamble is the salt, so that no key of
//! one file is any key of another, or of the same one under other sizes. A
//! segment key serves 2^20 consecutive segments, the `g`-th such group.

use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce, RandomizedNonceKey, UnboundKey};
use aws_lc_rs::cipher::{EncryptingKey, UnboundCipherKey};
use aws_lc_rs::{hkdf, hmac};
use limosa_wire::setup::Suite;

use super::layout::SegmentNumber;
use super::preamble::{PREAMBLE, Preamble};
use super::slot::{WRAPPED, Wrapped};
use crate::schedule::expand;
use crate::{AlgorithmSet, EnvelopeSuite, Secret};

/// A group is `2^GROUP_BITS` segments.
pub(super) const GROUP_BITS: u32 = 20;

const HEADER: &[u8] = b"limosa envelope header";
const SEGMENTS: &[u8] = b"limosa envelope segments";

/// What wraps file keys, whatever seals the content.
pub(super) fn wrapping_suite(set: AlgorithmSet) -> EnvelopeSuite {
    set.envelope_suite(Suite::Aes256Gcm).expect("both sets hold AES-256-GCM")
}

/// What a file is encrypted with.
#[derive(Debug)]
pub(super) struct FileKey {
    secret: Secret<32>,
    root: hkdf::Prk,
    suite: EnvelopeSuite,
}

impl FileKey {
    pub(super) fn new(secret: Secret<32>, preamble: &Preamble) -> Self {
        let root = extract(&preamble.encode(), secret.expose());
        Self { secret, root, suite: preamble.suite }
    }

    pub(super) const fn secret(&self) -> &Secret<32> {
        &self.secret
    }

    pub(super) fn header_key(&self) -> hmac::Key {
        let key = Secret::<32>::fill(|out| expand(&self.root, &[HEADER], out));
        hmac::Key::new(hmac::HMAC_SHA256, key.expose())
    }

    /// What makes the keys of segments.
    pub(super) fn segments(&self) -> SegmentKeys {
        SegmentKeys { root: self.root.clone(), suite: self.suite }
    }
}

/// The keys of a file's segments.
#[derive(Clone, Debug)]
pub(super) struct SegmentKeys {
    root: hkdf::Prk,
    suite: EnvelopeSuite,
}

/// The group a segment belongs to.
pub(super) const fn group_of(number: SegmentNumber) -> u64 {
    number.0 >> GROUP_BITS
}

impl SegmentKeys {
    pub(super) fn key(&self, group: u64) -> Secret<32> {
        let length = self.suite.key_len();
        Secret::fill(|out: &mut [u8; 32]| expand(&self.root, &[SEGMENTS, &group.to_be_bytes()], &mut out[..length]))
    }

    pub(super) fn sealing(&self, group: u64) -> RandomizedNonceKey {
        let key = self.key(group);
        let key = RandomizedNonceKey::new(self.suite.aead(), &key.expose()[..self.suite.key_len()]);
        key.expect("the key has the suite's length")
    }

    pub(super) fn opening(&self, group: u64) -> LessSafeKey {
        let key = self.key(group);
        let key = UnboundKey::new(self.suite.aead(), &key.expose()[..self.suite.key_len()]);
        LessSafeKey::new(key.expect("the key has the suite's length"))
    }

    /// The cipher in counter mode, which makes the ciphertext once more that
    /// the other two made and took.
    pub(super) fn counting(&self, group: u64) -> EncryptingKey {
        let key = self.key(group);
        let key = UnboundCipherKey::new(self.suite.counter(), &key.expose()[..self.suite.key_len()]);
        let key = EncryptingKey::ctr(key.expect("the key has the suite's length"));
        key.expect("AES has this mode")
    }
}

fn extract(preamble: &[u8; PREAMBLE], secret: &[u8]) -> hkdf::Prk {
    hkdf::Salt::new(hkdf::HKDF_SHA256, preamble).extract(secret)
}

/// A key derived for one file from one that serves many: from a stretched
/// passphrase, from a master key.
pub(super) fn key_for_file<const N: usize>(secret: &Secret<32>, preamble: &Preamble, purpose: &[u8]) -> Secret<N> {
    let root = extract(&preamble.encode(), secret.expose());
    Secret::fill(|out| expand(&root, &[purpose], out))
}

/// What tells a key that serves many from others, and nothing else of it.
pub(super) fn tell_apart<const N: usize>(secret: &Secret<32>, purpose: &[u8]) -> [u8; N] {
    let root = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(secret.expose());
    let mut out = [0; N];
    expand(&root, &[purpose], &mut out);
    out
}

/// Wraps a file key by AES-256-GCM under a nonce that the library draws.
pub(super) fn wrap(key: &Secret<32>, with: &Secret<32>, aad: &[u8], cipher: EnvelopeSuite) -> Wrapped {
    let with = RandomizedNonceKey::new(cipher.aead(), with.expose()).expect("32 bytes are a key of AES-256");
    let mut wrapped = [0; WRAPPED];
    let (message, room) = wrapped.split_at_mut(32);
    message.copy_from_slice(key.expose());
    let (nonce, tag) = with.seal_in_place_separate_tag(Aad::from(aad), message).expect("a key is no long message");
    room.copy_from_slice(tag.as_ref());
    Wrapped { nonce: *nonce.as_ref(), key: wrapped }
}

/// The file key, if it was wrapped under this one.
pub(super) fn unwrap(wrapped: &Wrapped, with: &Secret<32>, aad: &[u8], cipher: EnvelopeSuite) -> Option<Secret<32>> {
    let with = UnboundKey::new(cipher.aead(), with.expose()).expect("32 bytes are a key of AES-256");
    let mut key = zeroize::Zeroizing::new(wrapped.key);
    let nonce = Nonce::assume_unique_for_key(wrapped.nonce);
    let opened = LessSafeKey::new(with).open_in_place(nonce, Aad::from(aad), key.as_mut_slice()).ok()?;
    Some(Secret::take(opened.try_into().ok()?))
}
