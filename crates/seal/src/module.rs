//! Which cryptographic module this program was built with, and whether it works.
//!
//! All cryptography is AWS-LC's. An ordinary build holds the library as it is
//! released; a build from `fips/` holds the module that was validated under
//! FIPS 140-3. Which algorithms may be used is another question, which
//! [`AlgorithmSet`](crate::AlgorithmSet) answers in both.

use std::fmt;

use aws_lc_rs::{aead, digest, hmac, pbkdf2};

/// The version of the FIPS module that was validated, and the numbers of its
/// certificates by the Cryptographic Module Validation Program: linked
/// statically, and dynamically.
const VALIDATED: (u32, [u16; 2]) = (3, [5314, 5298]);

/// The cryptographic module of this build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Module {
    /// The library, outside any validated boundary.
    Ordinary,
    /// The FIPS module, in a version of which no validation is known here.
    Unvalidated(Option<u32>),
    /// The FIPS module, in the version that was validated.
    Validated,
}

impl Module {
    /// The one that runs.
    #[must_use]
    pub fn running() -> Self {
        Self::of(aws_lc_rs::try_fips_mode().is_ok(), aws_lc_rs::fips_version())
    }

    const fn of(enabled: bool, version: Option<u32>) -> Self {
        match (enabled, version) {
            (false, _) => Self::Ordinary,
            (true, Some(version)) if version == VALIDATED.0 => Self::Validated,
            (true, version) => Self::Unvalidated(version),
        }
    }

    /// Whether it was validated.
    #[must_use]
    pub const fn is_validated(self) -> bool {
        matches!(self, Self::Validated)
    }
}

impl fmt::Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let library = aws_lc_rs::awslc_version();
        match self {
            Self::Ordinary => write!(f, "AWS-LC {library}, an ordinary build: not the FIPS-validated module"),
            Self::Unvalidated(Some(version)) => {
                write!(f, "AWS-LC FIPS {library}, module {version}: not known to be validated")
            }
            Self::Unvalidated(None) => write!(f, "AWS-LC FIPS {library}: not known to be validated"),
            Self::Validated => {
                let (version, [linked_statically, linked_dynamically]) = VALIDATED;
                write!(
                    f,
                    "AWS-LC FIPS {library}, module {version}: validated, \
                     CMVP certificates {linked_statically} (static) and {linked_dynamically} (dynamic)"
                )
            }
        }
    }
}

/// An algorithm gave another result than it must.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("self-test of {0} failed: this program or this machine is broken, and must not be used")]
pub struct SelfTestFailed(&'static str);

/// Computes known answers with the approved algorithms that transfers rest on. A
/// FIPS module has tested itself before: it does so when it is loaded, and ends
/// the program if that fails.
///
/// # Errors
/// The first algorithm that gives another answer.
pub fn self_test() -> Result<(), SelfTestFailed> {
    known("SHA-256", digest::digest(&digest::SHA256, b"abc").as_ref(), &SHA256_OF_ABC)?;
    known("HMAC-SHA-256", hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"Jefe"), HMAC_TEXT).as_ref(), &HMAC_OF_TEXT)?;
    let mut stretched = [0; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, std::num::NonZeroU32::MIN, b"salt", b"password", &mut stretched);
    known("PBKDF2-HMAC-SHA-256", &stretched, &PBKDF2_OF_PASSWORD)?;
    gcm("AES-128-GCM", &aead::AES_128_GCM, &GCM_128)?;
    gcm("AES-256-GCM", &aead::AES_256_GCM, &GCM_256)
}

fn known(name: &'static str, computed: &[u8], expected: &[u8]) -> Result<(), SelfTestFailed> {
    if computed == expected { Ok(()) } else { Err(SelfTestFailed(name)) }
}

/// Opens a block of zeros sealed under a key and a nonce of zeros: that is where
/// the nonce is given from outside, in a FIPS module too.
fn gcm(name: &'static str, algorithm: &'static aead::Algorithm, sealed: &[u8; 32]) -> Result<(), SelfTestFailed> {
    let failed = SelfTestFailed(name);
    let key = aead::UnboundKey::new(algorithm, &[0; 32][..algorithm.key_len()]).map_err(|_| failed)?;
    let nonce = aead::Nonce::assume_unique_for_key([0; 12]);
    let mut bytes = *sealed;
    let key = aead::LessSafeKey::new(key);
    let opened = key.open_in_place(nonce, aead::Aad::empty(), &mut bytes).map_err(|_| failed)?;
    known(name, opened, &[0; 16])?;
    let mut damaged = *sealed;
    damaged[0] ^= 1;
    let nonce = aead::Nonce::assume_unique_for_key([0; 12]);
    match key.open_in_place(nonce, aead::Aad::empty(), &mut damaged) {
        Ok(_) => Err(failed),
        Err(_) => Ok(()),
    }
}

/// FIPS 180-4, example of NIST's toolkit.
const SHA256_OF_ABC: [u8; 32] = [
    0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61,
    0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad,
];

/// RFC 4231, test case 2.
const HMAC_TEXT: &[u8] = b"what do ya want for nothing?";
const HMAC_OF_TEXT: [u8; 32] = [
    0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e, 0x6a, 0x04, 0x24, 0x26, 0x08, 0x95, 0x75, 0xc7, 0x5a, 0x00, 0x3f,
    0x08, 0x9d, 0x27, 0x39, 0x83, 0x9d, 0xec, 0x58, 0xb9, 0x64, 0xec, 0x38, 0x43,
];

/// The first of the vectors of RFC 6070, with SHA-256 in the place of SHA-1.
const PBKDF2_OF_PASSWORD: [u8; 32] = [
    0x12, 0x0f, 0xb6, 0xcf, 0xfc, 0xf8, 0xb3, 0x2c, 0x43, 0xe7, 0x22, 0x52, 0x56, 0xc4, 0xf8, 0x37, 0xa8, 0x65, 0x48,
    0xc9, 0x2c, 0xcc, 0x35, 0x48, 0x08, 0x05, 0x98, 0x7c, 0xb7, 0x0b, 0xe1, 0x7b,
];

/// The specification of GCM by McGrew and Viega, test cases 2 and 14: ciphertext
/// and tag.
const GCM_128: [u8; 32] = [
    0x03, 0x88, 0xda, 0xce, 0x60, 0xb6, 0xa3, 0x92, 0xf3, 0x28, 0xc2, 0xb9, 0x71, 0xb2, 0xfe, 0x78, 0xab, 0x6e, 0x47,
    0xd4, 0x2c, 0xec, 0x13, 0xbd, 0xf5, 0x3a, 0x67, 0xb2, 0x12, 0x57, 0xbd, 0xdf,
];
const GCM_256: [u8; 32] = [
    0xce, 0xa7, 0x40, 0x3d, 0x4d, 0x60, 0x6b, 0x6e, 0x07, 0x4e, 0xc5, 0xd3, 0xba, 0xf3, 0x9d, 0x18, 0xd0, 0xd1, 0xc8,
    0xa7, 0x99, 0x99, 0x6b, 0xf0, 0x26, 0x5b, 0x98, 0xb5, 0xd4, 0x8a, 0xb9, 0x19,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_known_answers_are_found() {
        assert_eq!(self_test(), Ok(()));
        assert!(gcm("AES-128-GCM", &aead::AES_128_GCM, &GCM_256).is_err());
        assert!(known("SHA-256", b"a", b"b").is_err());
    }

    #[test]
    fn only_the_version_that_was_validated_says_so() {
        assert_eq!(Module::of(false, Some(3)), Module::Ordinary);
        assert_eq!(Module::of(true, Some(4)), Module::Unvalidated(Some(4)));
        assert_eq!(Module::of(true, None), Module::Unvalidated(None));
        assert_eq!(Module::of(true, Some(3)), Module::Validated);
        for module in [Module::Ordinary, Module::Unvalidated(Some(4)), Module::Unvalidated(None)] {
            assert!(!module.is_validated() && module.to_string().contains("not "), "{module}");
        }
    }
}
