//! The allow-list: which algorithms may be used, in which order of preference.
//!
//! The set of approved algorithms is what a validated module may be asked for;
//! the module itself does not refuse the others, so the refusal is here.

use aws_lc_rs::{aead, cipher};
use limosa_wire::setup::{ContentDigest, Suite};

use crate::checksum::{Checksum, ChecksumAlgorithm};
use crate::content::ContentAlgorithm;
use crate::password::PasswordScheme;
use crate::stretch::Stretch;

/// Which algorithms may be used. Every choice of one goes through here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AlgorithmSet {
    /// All that this software knows.
    #[default]
    Ordinary,
    /// Only algorithms approved by FIPS 140-3.
    Approved,
}

/// An algorithm is outside the set in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{algorithm} is not among the {set} algorithms")]
pub struct NotAllowed {
    /// What was asked for.
    pub algorithm: String,
    /// The set that does not hold it.
    pub set: AlgorithmSet,
}

impl std::fmt::Display for AlgorithmSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ordinary => "ordinary",
            Self::Approved => "approved",
        })
    }
}

impl AlgorithmSet {
    /// Suites that may protect datagrams, best first.
    ///
    /// CFB (SP 800-38A) and HMAC-SHA-256 (FIPS 198-1) are approved beside GCM
    /// (SP 800-38D). Sending without encryption is no approved protection; where
    /// it is known at all, a server's policy has to permit it.
    #[must_use]
    pub const fn suites(self) -> &'static [Suite] {
        match self {
            Self::Ordinary => &[
                Suite::Aes128Gcm,
                Suite::Aes256Gcm,
                Suite::Aes192Gcm,
                Suite::Aes128Cfb,
                Suite::Aes256Cfb,
                Suite::Aes192Cfb,
                Suite::Unencrypted,
            ],
            Self::Approved => &[
                Suite::Aes128Gcm,
                Suite::Aes256Gcm,
                Suite::Aes192Gcm,
                Suite::Aes128Cfb,
                Suite::Aes256Cfb,
                Suite::Aes192Cfb,
            ],
        }
    }

    /// Digests that may prove the content of files, best first.
    #[must_use]
    pub const fn digests(self) -> &'static [ContentDigest] {
        match self {
            Self::Ordinary => &[ContentDigest::Blake3, ContentDigest::Sha256],
            Self::Approved => &[ContentDigest::Sha256],
        }
    }

    /// Checksums of whole files that may be computed, strongest first.
    #[must_use]
    pub const fn checksums(self) -> &'static [Checksum] {
        match self {
            Self::Ordinary => &[Checksum::Sha512, Checksum::Sha384, Checksum::Sha256, Checksum::Sha1],
            Self::Approved => &[Checksum::Sha512, Checksum::Sha384, Checksum::Sha256],
        }
    }

    /// Proof that `suite` may be used.
    ///
    /// # Errors
    /// If the set does not hold it.
    pub fn suite(self, suite: Suite) -> Result<CipherSuite, NotAllowed> {
        self.check(suite, self.suites()).map(CipherSuite)
    }

    /// Proof that `digest` may be used.
    ///
    /// # Errors
    /// If the set does not hold it.
    pub fn content(self, digest: ContentDigest) -> Result<ContentAlgorithm, NotAllowed> {
        self.check(digest, self.digests()).map(ContentAlgorithm::allowed)
    }

    /// Proof that `checksum` may be used.
    ///
    /// # Errors
    /// If the set does not hold it.
    pub fn checksum(self, checksum: Checksum) -> Result<ChecksumAlgorithm, NotAllowed> {
        self.check(checksum, self.checksums()).map(ChecksumAlgorithm::allowed)
    }

    /// How new passwords are hashed.
    #[must_use]
    pub const fn password(self) -> PasswordScheme {
        PasswordScheme::allowed(self)
    }

    /// Suites that may seal files at rest, best first.
    #[must_use]
    pub const fn envelope_suites(self) -> &'static [Suite] {
        &[Suite::Aes256Gcm, Suite::Aes128Gcm]
    }

    /// Proof that `suite` may seal files at rest.
    ///
    /// # Errors
    /// If the set does not hold it for that.
    pub fn envelope_suite(self, suite: Suite) -> Result<EnvelopeSuite, NotAllowed> {
        self.check(suite, self.envelope_suites()).and_then(|suite| self.suite(suite)).map(EnvelopeSuite)
    }

    /// Proof that passphrases may be stretched in this way.
    ///
    /// # Errors
    /// If the set does not hold it.
    pub fn passphrase(self, stretch: Stretch) -> Result<PassphraseScheme, NotAllowed> {
        match (self, stretch) {
            (Self::Approved, Stretch::Argon2id { .. }) => {
                Err(NotAllowed { algorithm: "Argon2id".to_owned(), set: self })
            }
            _ => Ok(PassphraseScheme(stretch)),
        }
    }

    /// The first of `offered` (the other side's, best first) that is in the set.
    #[must_use]
    pub fn choose_content(self, offered: &[ContentDigest]) -> Option<ContentAlgorithm> {
        offered.iter().find_map(|digest| self.content(*digest).ok())
    }

    fn check<T: Copy + PartialEq + std::fmt::Debug>(self, wanted: T, held: &[T]) -> Result<T, NotAllowed> {
        if held.contains(&wanted) {
            Ok(wanted)
        } else {
            Err(NotAllowed { algorithm: format!("{wanted:?}"), set: self })
        }
    }
}

/// A suite that the allow-list holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CipherSuite(Suite);

impl CipherSuite {
    /// The suite, as the messages name it.
    #[must_use]
    pub const fn suite(self) -> Suite {
        self.0
    }

    /// Length of its cipher's key, bytes; 0 without a cipher.
    #[must_use]
    pub const fn key_len(self) -> usize {
        self.0.key_bits() as usize / 8
    }

    pub(crate) fn construction(self) -> Construction {
        match self.0 {
            Suite::Aes128Gcm => Construction::Aead(&aead::AES_128_GCM),
            Suite::Aes192Gcm => Construction::Aead(&aead::AES_192_GCM),
            Suite::Aes256Gcm => Construction::Aead(&aead::AES_256_GCM),
            Suite::Aes128Cfb => Construction::EncryptThenMac(&cipher::AES_128),
            Suite::Aes192Cfb => Construction::EncryptThenMac(&cipher::AES_192),
            Suite::Aes256Cfb => Construction::EncryptThenMac(&cipher::AES_256),
            Suite::Unencrypted => Construction::Mac,
        }
    }
}

/// A suite that the allow-list holds for files at rest: a cipher that
/// authenticates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnvelopeSuite(CipherSuite);

impl EnvelopeSuite {
    /// The suite, as headers name it.
    #[must_use]
    pub const fn suite(self) -> Suite {
        self.0.suite()
    }

    /// Length of its key, bytes.
    #[must_use]
    pub const fn key_len(self) -> usize {
        self.0.key_len()
    }

    pub(crate) fn aead(self) -> &'static aead::Algorithm {
        match self.0.construction() {
            Construction::Aead(algorithm) => algorithm,
            _ => unreachable!("`AlgorithmSet::envelope_suites` holds no others"),
        }
    }

    /// The cipher alone, as GCM uses it in counter mode.
    pub(crate) fn counter(self) -> &'static cipher::Algorithm {
        match self.suite() {
            Suite::Aes128Gcm => &cipher::AES_128,
            Suite::Aes256Gcm => &cipher::AES_256,
            _ => unreachable!("`AlgorithmSet::envelope_suites` holds no others"),
        }
    }
}

/// A way of stretching passphrases that the allow-list holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassphraseScheme(Stretch);

impl PassphraseScheme {
    /// The way and its cost.
    #[must_use]
    pub const fn stretch(self) -> Stretch {
        self.0
    }
}

/// What a suite is put together from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Construction {
    /// A cipher that authenticates.
    Aead(&'static aead::Algorithm),
    /// This cipher in CFB, and HMAC-SHA-256 over the ciphertext.
    EncryptThenMac(&'static cipher::Algorithm),
    /// HMAC-SHA-256 over the plaintext.
    Mac,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_approved_set_holds_nothing_unapproved() {
        let set = AlgorithmSet::Approved;
        let refused = set.content(ContentDigest::Blake3).unwrap_err();
        assert_eq!(refused.to_string(), "Blake3 is not among the approved algorithms");
        assert!(set.checksum(Checksum::Sha1).is_err());
        assert!(set.passphrase(Stretch::Argon2id { memory_kib: 65536, passes: 3, lanes: 4 }).is_err());
        assert!(set.passphrase(Stretch::Pbkdf2 { rounds: 600_000 }).is_ok());
        assert!(set.content(ContentDigest::Sha256).is_ok());
        assert!(AlgorithmSet::Ordinary.content(ContentDigest::Blake3).is_ok());
    }

    #[test]
    fn the_first_common_choice_of_the_other_side_wins() {
        let offered = [ContentDigest::Blake3, ContentDigest::Sha256];
        let chosen = |set: AlgorithmSet| set.choose_content(&offered).map(ContentAlgorithm::digest);
        assert_eq!(chosen(AlgorithmSet::Ordinary), Some(ContentDigest::Blake3));
        assert_eq!(chosen(AlgorithmSet::Approved), Some(ContentDigest::Sha256));
        assert_eq!(AlgorithmSet::Approved.choose_content(&[]).map(ContentAlgorithm::digest), None);
    }

    #[test]
    fn key_lengths_are_those_of_the_cipher() {
        for suite in Suite::ALL {
            let suite = AlgorithmSet::Ordinary.suite(*suite).unwrap();
            let length = match suite.construction() {
                Construction::Aead(algorithm) => algorithm.key_len(),
                Construction::EncryptThenMac(algorithm) => [16, 24, 32]
                    .into_iter()
                    .find(|length| cipher::UnboundCipherKey::new(algorithm, &[0; 32][..*length]).is_ok())
                    .unwrap(),
                Construction::Mac => 0,
            };
            assert_eq!(suite.key_len(), length, "{suite:?}");
        }
    }
}
