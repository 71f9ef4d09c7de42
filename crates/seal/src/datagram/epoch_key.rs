//! The key of one epoch, and what each suite does with it to one datagram.
//!
//! | suite | key | ciphertext | tag |
//! | --- | --- | --- | --- |
//! | AES-GCM | key, IV | GCM; nonce: the IV xor the packet number, right-aligned | GCM's, over header and ciphertext |
//! | AES-CFB | key, IV key, MAC key | CFB; IV: the packet number encrypted under the IV key | HMAC over header and ciphertext |
//! | none | MAC key | the frames as they are | HMAC over header and frames |
//!
//! GCM is the suite nearly everybody has, and its key lies in place; the
//! others' are behind a pointer, so that they cost it nothing.

use aws_lc_rs::aead::{self, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::cipher::{DecryptingKey, EncryptingKey};
use limosa_wire::PacketNumber;

use super::cfb::{CfbKey, CfbWay};
use super::mac::MacKey;
use crate::allow::Construction;
use crate::schedule::EpochSecret;
use crate::{CipherSuite, Secret};

/// The key of one epoch, for one way through the cipher.
pub(crate) enum EpochKey<Way> {
    Gcm(GcmKey),
    Cfb(Box<CfbKey<Way>>),
    Unencrypted(Box<MacKey>),
}

impl<Way: CfbWay> EpochKey<Way> {
    /// The key of `suite` in the epoch of this secret.
    pub(crate) fn derive(suite: CipherSuite, epoch: &EpochSecret) -> Self {
        let length = suite.key_len();
        match suite.construction() {
            Construction::Aead(algorithm) => {
                let key = epoch.expand::<32>(b"key");
                Self::Gcm(GcmKey::new(algorithm, &key.expose()[..length], epoch.expand(b"iv")))
            }
            Construction::EncryptThenMac(algorithm) => {
                let (key, iv_key) = (epoch.expand::<32>(b"key"), epoch.expand::<32>(b"iv key"));
                let (key, iv_key) = (&key.expose()[..length], &iv_key.expose()[..length]);
                Self::Cfb(Box::new(CfbKey::new(algorithm, key, iv_key, MacKey::new(&epoch.expand(b"mac")))))
            }
            Construction::Mac => Self::Unencrypted(Box::new(MacKey::new(&epoch.expand(b"mac")))),
        }
    }
}

impl EpochKey<EncryptingKey> {
    /// Protects `frames` in place and writes the tag into `room`, which is as
    /// long as a tag.
    pub(super) fn seal(&self, number: PacketNumber, header: &[u8], frames: &mut [u8], room: &mut [u8]) {
        match self {
            Self::Gcm(key) => key.seal(number, header, frames, room),
            Self::Cfb(key) => key.seal(number, header, frames, room),
            Self::Unencrypted(key) => room.copy_from_slice(&key.tag(header, frames)),
        }
    }
}

impl EpochKey<DecryptingKey> {
    /// Opens `body`, ciphertext and tag, in place; `None` if it is not
    /// authentic.
    pub(super) fn open<'b>(&self, number: PacketNumber, header: &[u8], body: &'b mut [u8]) -> Option<&'b mut [u8]> {
        match self {
            Self::Gcm(key) => key.open(number, header, body),
            Self::Cfb(key) => key.open(number, header, body),
            Self::Unencrypted(key) => key.authentic(header, body),
        }
    }
}

/// Key and IV for AES in GCM.
pub(crate) struct GcmKey {
    key: LessSafeKey,
    iv: Secret<NONCE_LEN>,
}

impl GcmKey {
    pub(super) fn new(algorithm: &'static aead::Algorithm, key: &[u8], iv: Secret<NONCE_LEN>) -> Self {
        let key = UnboundKey::new(algorithm, key).expect("the key has the suite's length");
        Self { key: LessSafeKey::new(key), iv }
    }

    pub(super) fn seal(&self, number: PacketNumber, header: &[u8], frames: &mut [u8], room: &mut [u8]) {
        let tag = self.key.seal_in_place_separate_tag(self.nonce(number), Aad::from(header), frames);
        room.copy_from_slice(tag.expect("a datagram is far below the cipher's limit").as_ref());
    }

    fn open<'b>(&self, number: PacketNumber, header: &[u8], body: &'b mut [u8]) -> Option<&'b mut [u8]> {
        self.key.open_in_place(self.nonce(number), Aad::from(header), body).ok()
    }

    fn nonce(&self, number: PacketNumber) -> Nonce {
        // Whole integers: a load that spans several stores of a moment ago waits
        // for all stores before them.
        let [a, b, c, d, e, f, g, h, low @ ..] = *self.iv.expose();
        let number = number.get();
        let high = (u64::from_be_bytes([a, b, c, d, e, f, g, h]) ^ number >> 32).to_be_bytes();
        #[allow(clippy::cast_possible_truncation)]
        let low = (u32::from_be_bytes(low) ^ number as u32).to_be_bytes();
        let mut nonce = [0; NONCE_LEN];
        nonce[..8].copy_from_slice(&high);
        nonce[8..].copy_from_slice(&low);
        Nonce::assume_unique_for_key(nonce)
    }
}
