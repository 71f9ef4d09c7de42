//! The allow-list: which algorithms may be used, in which order of preference.
//!
//! The set of approved algorithms is what a validated module may be asked for;
//! the module itself does not refuse the others, so the refusal is here.

use aws_lc_rs::aead;
use limosa_wire::setup::{ContentDigest, Suite};

use crate::checksum::{Checksum, ChecksumAlgorithm};
use crate::content::ContentAlgorithm;
use crate::password::PasswordScheme;
use crate::stretch::Stretch;

/// Which algorithms may be used. Every choice of one goes through here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AlgorithmSet {
    /// All that this software holds to be safe.
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
    #[must_use]
    pub const fn suites(self) -> &'static [Suite] {
        &[Suite::Aes128Gcm, Suite::Aes256Gcm, Suite::Aes192Gcm]
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
    pub fn envelope_suite(self, suite: Suite) -> Result<CipherSuite, NotAllowed> {
        self.check(suite, self.envelope_suites()).map(CipherSuite)
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
    pub fn choose_suite(self, offered: &[Suite]) -> Option<CipherSuite> {
        offered.iter().find_map(|suite| self.suite(*suite).ok())
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

    /// Length of its key, bytes.
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self.0 {
            Suite::Aes128Gcm => 16,
            Suite::Aes192Gcm => 24,
            Suite::Aes256Gcm => 32,
        }
    }

    pub(crate) fn aead(self) -> &'static aead::Algorithm {
        match self.0 {
            Suite::Aes128Gcm => &aead::AES_128_GCM,
            Suite::Aes192Gcm => &aead::AES_192_GCM,
            Suite::Aes256Gcm => &aead::AES_256_GCM,
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
        assert_eq!(AlgorithmSet::Approved.choose_suite(&[]), None);
    }

    #[test]
    fn key_lengths_are_those_of_the_cipher() {
        for suite in Suite::ALL {
            let suite = AlgorithmSet::Ordinary.suite(*suite).unwrap();
            assert_eq!(suite.key_len(), suite.aead().key_len());
        }
    }
}
