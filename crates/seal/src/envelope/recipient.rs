//! Recipients: whoever has the private key to a public one can open what was
//! sealed for it. Keys are of P-256, in the files that other software makes and
//! reads too: PKCS #8 and SubjectPublicKeyInfo, in PEM.

use std::fmt;

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use aws_lc_rs::digest;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use zeroize::Zeroizing;

use super::error::EnvelopeError;
use super::hpke::{Context, ENCAPSULATED, POINT, shared_secret};
use super::pem;
use super::slot::WRAPPED;
use crate::content::sha256_bytes;
use crate::identity::hex;
use crate::{EnvelopeSuite, Secret};

const PUBLIC: &str = "PUBLIC KEY";
const PRIVATE: &str = "PRIVATE KEY";
const NOT_PUBLIC: EnvelopeError = EnvelopeError::NotAKey("public key of P-256 in PEM");
const NOT_PRIVATE: EnvelopeError = EnvelopeError::NotAKey("private key of P-256 in PEM (PKCS #8, without passphrase)");

/// What stands before the point in the SubjectPublicKeyInfo of a key of P-256
/// (RFC 5480).
const PUBLIC_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// SHA-256 of a public key's SubjectPublicKeyInfo, which names it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", hex(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A recipient's public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    point: [u8; POINT],
}

impl Recipient {
    /// Reads the PEM file of a public key.
    ///
    /// # Errors
    /// [`EnvelopeError::NotAKey`] if it is none of P-256, uncompressed.
    pub fn from_pem(text: &[u8]) -> Result<Self, EnvelopeError> {
        let der = pem::decode(PUBLIC, text).ok_or(NOT_PUBLIC)?;
        let point = der.strip_prefix(&PUBLIC_PREFIX).ok_or(NOT_PUBLIC)?;
        let point: [u8; POINT] = point.try_into().map_err(|_| NOT_PUBLIC)?;
        let recipient = Self { point };
        // The library checks points only when it uses them.
        let probe = PrivateKey::generate(&ECDH_P256).map_err(|_| NOT_PUBLIC)?;
        shared_secret(&probe, &point, &point, &point).map_err(|_| NOT_PUBLIC)?;
        Ok(recipient)
    }

    fn der(&self) -> Vec<u8> {
        [PUBLIC_PREFIX.as_slice(), &self.point].concat()
    }

    /// The PEM file.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem::encode(PUBLIC, &self.der()).to_string()
    }

    /// Its name.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(sha256_bytes(&digest::digest(&digest::SHA256, &self.der())))
    }

    /// Encrypts a file key so that only the recipient can have it.
    pub(super) fn wrap(
        &self,
        key: &Secret<32>,
        info: &[u8],
        aad: &[u8],
        cipher: EnvelopeSuite,
    ) -> ([u8; ENCAPSULATED], [u8; WRAPPED]) {
        let ephemeral = Identity::generate();
        let encapsulated = ephemeral.public.point;
        let shared = shared_secret(&ephemeral.key, &self.point, &encapsulated, &self.point);
        let shared = shared.expect("the recipient's point was checked when it was read");
        let wrapped = Context::new(&shared, info, cipher).seal(aad, key.expose());
        (encapsulated, wrapped.try_into().expect("a key and a tag"))
    }
}

fn point_of(key: &PrivateKey) -> Option<[u8; POINT]> {
    key.compute_public_key().ok()?.as_ref().try_into().ok()
}

/// A recipient's private key.
pub struct Identity {
    key: PrivateKey,
    public: Recipient,
}

impl Identity {
    /// A fresh key.
    ///
    /// # Panics
    /// If the system has no randomness to give.
    #[must_use]
    pub fn generate() -> Self {
        let key = PrivateKey::generate(&ECDH_P256).expect("the system's random generator works");
        Self::of(key).expect("a key that was just made has a public one")
    }

    fn of(key: PrivateKey) -> Option<Self> {
        let public = Recipient { point: point_of(&key)? };
        Some(Self { key, public })
    }

    /// Reads the PEM file of a private key, without passphrase.
    ///
    /// # Errors
    /// [`EnvelopeError::NotAKey`] if it is none of P-256 in PKCS #8.
    pub fn from_pem(text: &[u8]) -> Result<Self, EnvelopeError> {
        let der = pem::decode(PRIVATE, text).ok_or(NOT_PRIVATE)?;
        let key = PrivateKey::from_private_key_der(&ECDH_P256, &der).map_err(|_| NOT_PRIVATE)?;
        Self::of(key).ok_or(NOT_PRIVATE)
    }

    /// The PEM file: secret.
    ///
    /// # Panics
    /// If the library cannot write a key that it made or read.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        let der: Pkcs8V1Der<'_> = self.key.as_der().expect("a key of P-256 has a PKCS #8 form");
        pem::encode(PRIVATE, der.as_ref())
    }

    /// The public key.
    #[must_use]
    pub const fn recipient(&self) -> &Recipient {
        &self.public
    }

    /// Decrypts a file key.
    pub(super) fn unwrap(
        &self,
        (encapsulated, wrapped): (&[u8; ENCAPSULATED], &[u8; WRAPPED]),
        info: &[u8],
        aad: &[u8],
        cipher: EnvelopeSuite,
    ) -> Option<Secret<32>> {
        let shared = shared_secret(&self.key, encapsulated, encapsulated, &self.public.point).ok()?;
        let mut wrapped = Zeroizing::new(*wrapped);
        let key = Context::new(&shared, info, cipher).open(aad, wrapped.as_mut_slice()).ok()?;
        Some(Secret::take(key.try_into().ok()?))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("public", &self.public.fingerprint()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_return_from_their_files() {
        let identity = Identity::generate();
        let again = Identity::from_pem(identity.to_pem().as_bytes()).unwrap();
        assert_eq!(again.recipient(), identity.recipient());
        let public = Recipient::from_pem(identity.recipient().to_pem().as_bytes()).unwrap();
        assert_eq!(&public, identity.recipient());
        assert_eq!(public.fingerprint(), identity.recipient().fingerprint());
        assert!(!format!("{identity:?}").contains("PRIVATE"));
    }

    /// Made with `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`
    /// and `openssl pkey -pubout`; the fingerprint by `openssl pkey -pubin
    /// -outform der | sha256sum`.
    #[test]
    fn keys_of_other_software_are_taken() {
        let private = include_str!("../../tests/keys/openssl-p256.pem");
        let public = include_str!("../../tests/keys/openssl-p256.pub.pem");
        let identity = Identity::from_pem(private.as_bytes()).unwrap();
        let recipient = Recipient::from_pem(public.as_bytes()).unwrap();
        assert_eq!(identity.recipient(), &recipient);
        assert_eq!(recipient.fingerprint().to_string(), include_str!("../../tests/keys/openssl-p256.sha256").trim());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let identity = Identity::generate();
        let mut off_curve = identity.recipient().der();
        off_curve[90] ^= 1;
        for text in ["".to_owned(), identity.to_pem().to_string(), pem::encode(PUBLIC, &off_curve).to_string()] {
            assert_eq!(Recipient::from_pem(text.as_bytes()), Err(NOT_PUBLIC), "{text}");
        }
        assert!(Identity::from_pem(identity.recipient().to_pem().as_bytes()).is_err());
    }
}
