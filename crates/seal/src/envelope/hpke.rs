//! Hybrid public key encryption (RFC 9180) in base mode, of one message:
//! DHKEM(P-256, HKDF-SHA256) and HKDF-SHA256. The cipher is AES-256-GCM; the
//! tests also run AES-128-GCM, for which the RFC has vectors.

use aws_lc_rs::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::{hkdf, hmac};

use zeroize::Zeroizing;

use crate::schedule::expand;
use crate::{EnvelopeSuite, Secret};

/// A point of P-256, uncompressed (SEC 1, section 2.3.3).
pub(super) const POINT: usize = 65;
/// What makes the key for the one who has the private key.
pub(super) const ENCAPSULATED: usize = POINT;

const KEM_SUITE: &[u8] = b"KEM\x00\x10";
const VERSION: &[u8] = b"HPKE-v1";
const BASE_MODE: u8 = 0;

/// Keys do not fit, or a message is not authentic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HpkeFailed;

/// The cipher's number in RFC 9180, section 7.3, within the suite's name.
fn suite_name(cipher: EnvelopeSuite) -> [u8; 10] {
    let aead = if cipher.key_len() == 16 { 1 } else { 2 };
    [b'H', b'P', b'K', b'E', 0x00, 0x10, 0x00, 0x01, 0x00, aead]
}

/// What goes into `LabeledExtract`.
fn labeled(suite: &[u8], label: &[u8], key: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new([VERSION, suite, label, key].concat())
}

/// `LabeledExtract`, to be expanded.
fn labeled_extract(salt: &[u8], suite: &[u8], label: &[u8], key: &[u8]) -> hkdf::Prk {
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(&labeled(suite, label, key))
}

/// `LabeledExtract` without salt, as bytes: the library keeps those of a key
/// that is to be expanded to itself.
fn labeled_hash(suite: &[u8], label: &[u8], value: &[u8]) -> [u8; 32] {
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b""), &labeled(suite, label, value));
    mac.as_ref().try_into().expect("HMAC-SHA-256 has 32 bytes")
}

#[allow(clippy::cast_possible_truncation)]
fn labeled_expand(prk: &hkdf::Prk, suite: &[u8], label: &[u8], info: &[&[u8]], out: &mut [u8]) {
    let length = (out.len() as u16).to_be_bytes();
    let mut parts = vec![length.as_slice(), VERSION, suite, label];
    parts.extend(info);
    expand(prk, &parts, out);
}

/// The secret that both sides of the key encapsulation come to.
pub(super) fn shared_secret(
    own: &PrivateKey,
    other: &[u8; POINT],
    encapsulated: &[u8; ENCAPSULATED],
    recipient: &[u8; POINT],
) -> Result<Secret<32>, HpkeFailed> {
    agree(own, UnparsedPublicKey::new(&ECDH_P256, other), HpkeFailed, |dh| {
        let prk = labeled_extract(b"", KEM_SUITE, b"eae_prk", dh);
        Ok(Secret::fill(|out| labeled_expand(&prk, KEM_SUITE, b"shared_secret", &[encapsulated, recipient], out)))
    })
}

/// Key and nonce for the first message, which here is the only one.
pub(super) struct Context {
    cipher: EnvelopeSuite,
    key: Secret<32>,
    nonce: [u8; NONCE_LEN],
}

impl Context {
    /// The key schedule of base mode.
    pub(super) fn new(shared: &Secret<32>, info: &[u8], cipher: EnvelopeSuite) -> Self {
        let suite = suite_name(cipher);
        let psk_id = labeled_hash(&suite, b"psk_id_hash", b"");
        let info = labeled_hash(&suite, b"info_hash", info);
        let context: [&[u8]; 3] = [&[BASE_MODE], &psk_id, &info];
        let secret = labeled_extract(shared.expose(), &suite, b"secret", b"");
        let length = cipher.key_len();
        let key = Secret::fill(|out: &mut [u8; 32]| {
            labeled_expand(&secret, &suite, b"key", &context, &mut out[..length]);
        });
        let mut nonce = [0; NONCE_LEN];
        labeled_expand(&secret, &suite, b"base_nonce", &context, &mut nonce);
        Self { cipher, key, nonce }
    }

    fn cipher(&self) -> (LessSafeKey, Nonce) {
        let key = &self.key.expose()[..self.cipher.key_len()];
        let key = UnboundKey::new(self.cipher.aead(), key).expect("the key has the suite's length");
        (LessSafeKey::new(key), Nonce::assume_unique_for_key(self.nonce))
    }

    /// Encrypts the message. A context is made for one only, so its nonce is
    /// used once.
    pub(super) fn seal(self, aad: &[u8], message: &[u8]) -> Vec<u8> {
        let (key, nonce) = self.cipher();
        let mut sealed = message.to_vec();
        key.seal_in_place_append_tag(nonce, Aad::from(aad), &mut sealed).expect("a key is no long message");
        sealed
    }

    /// Decrypts the message in place.
    pub(super) fn open<'m>(self, aad: &[u8], message: &'m mut [u8]) -> Result<&'m mut [u8], HpkeFailed> {
        let (key, nonce) = self.cipher();
        key.open_in_place(nonce, Aad::from(aad), message).map_err(|_| HpkeFailed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AlgorithmSet;
    use limosa_wire::setup::Suite;

    struct Vector {
        suite: Suite,
        ephemeral: &'static str,
        encapsulated: &'static str,
        recipient: &'static str,
        recipient_point: &'static str,
        shared: &'static str,
        key: &'static str,
        nonce: &'static str,
        sealed: &'static str,
    }

    /// RFC 9180, appendix A.3.1, and the same key encapsulation with
    /// AES-256-GCM from the vectors that accompany the RFC.
    const VECTORS: [Vector; 2] = [
        Vector {
            suite: Suite::Aes128Gcm,
            ephemeral: "4995788ef4b9d6132b249ce59a77281493eb39af373d236a1fe415cb0c2d7beb",
            encapsulated: "04a92719c6195d5085104f469a8b9814d5838ff72b60501e2c4466e5e67b325ac98536d7b61a1af4b78e5b7f951c0900be863c403ce65c9bfcb9382657222d18c4",
            recipient: "f3ce7fdae57e1a310d87f1ebbde6f328be0a99cdbcadf4d6589cf29de4b8ffd2",
            recipient_point: "04fe8c19ce0905191ebc298a9245792531f26f0cece2460639e8bc39cb7f706a826a779b4cf969b8a0e539c7f62fb3d30ad6aa8f80e30f1d128aafd68a2ce72ea0",
            shared: "c0d26aeab536609a572b07695d933b589dcf363ff9d93c93adea537aeabb8cb8",
            key: "868c066ef58aae6dc589b6cfdd18f97e",
            nonce: "4e0bc5018beba4bf004cca59",
            sealed: "5ad590bb8baa577f8619db35a36311226a896e7342a6d836d8b7bcd2f20b6c7f9076ac232e3ab2523f39513434",
        },
        Vector {
            suite: Suite::Aes256Gcm,
            ephemeral: "90345e3a1d116c1dd39ae76d95ab858c142223a63e44f8f85318cfa91a84858e",
            encapsulated: "04c06b4f6bebc7bb495cb797ab753f911aff80aefb86fd8b6fcc35525f3ab5f03e0b21bd31a86c6048af3cb2d98e0d3bf01da5cc4c39ff5370d331a4f1f7d5a4e0",
            recipient: "317f915db7bc629c48fe765587897e01e282d3e8445f79f27f65d031a88082b2",
            recipient_point: "04abc7e49a4c6b3566d77d0304addc6ed0e98512ffccf505e6a8e3eb25c685136f853148544876de76c0f2ef99cdc3a05ccf5ded7860c7c021238f9e2073d2356c",
            shared: "48893fecd82f7c3456af6a42d8f56325d21e08c10fa81299986aaff54cde7b49",
            key: "ee16802a936d5f544771131900ee6973d0551de9e852ece2ef34bf0d5f9e1d1d",
            nonce: "9bc50980832a7b4b58c40161",
            sealed: "58c61a45059d0c5704560e9d88b564a8b63f1364b8d1fcb3c4c6ddc1d291742465e902cd216f8908da49f8f96f",
        },
    ];

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn both_sides_come_to_what_the_vectors_say() {
        for vector in VECTORS {
            let cipher = AlgorithmSet::Approved.envelope_suite(vector.suite).unwrap();
            let encapsulated = bytes(vector.encapsulated).try_into().unwrap();
            let point = bytes(vector.recipient_point).try_into().unwrap();
            let sides = [(vector.ephemeral, &point), (vector.recipient, &encapsulated)];
            for (own, other) in sides {
                let own = PrivateKey::from_private_key(&ECDH_P256, &bytes(own)).unwrap();
                let shared = shared_secret(&own, other, &encapsulated, &point).unwrap();
                assert_eq!(shared.expose().as_slice(), bytes(vector.shared));
                let context = || Context::new(&shared, b"Ode on a Grecian Urn", cipher);
                assert_eq!(context().key.expose()[..cipher.key_len()], bytes(vector.key));
                assert_eq!(context().nonce.as_slice(), bytes(vector.nonce));
                let sealed = context().seal(b"Count-0", b"Beauty is truth, truth beauty");
                assert_eq!(sealed, bytes(vector.sealed));
                let mut sealed = sealed;
                let opened = context().open(b"Count-0", &mut sealed).unwrap();
                assert_eq!(opened, b"Beauty is truth, truth beauty");
            }
        }
    }
}
