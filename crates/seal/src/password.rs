//! Passwords as they are stored: strings in the PHC format that name their
//! scheme and its cost, so that old ones stay valid when the cost rises.
//!
//! Argon2id with 19 MiB, 2 passes, 1 lane, or PBKDF2-HMAC-SHA-256 with 600,000
//! rounds in the approved set. Hashing takes tens to hundreds of milliseconds
//! by design: never on a thread that others wait for.

use std::num::NonZeroU32;

use argon2::password_hash::phc::{Ident, Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::pbkdf2;

use crate::{AlgorithmSet, SecretBytes, random};

const ARGON2ID: &str = "argon2id";
const PBKDF2: &str = "pbkdf2-sha256";
const SALT_LEN: usize = 16;
const HASH_LEN: usize = 32;

/// Memory, KiB; passes; lanes: the least that current guidance asks for.
const ARGON2_COST: (u32, u32, u32) = (19 * 1024, 2, 1);
const PBKDF2_ROUNDS: u32 = 600_000;
/// What a stored string may ask of this machine, so that a planted one cannot
/// exhaust it.
const ARGON2_MOST: (u32, u32, u32) = (1024 * 1024, 64, 16);
const PBKDF2_MOST: u32 = 20_000_000;

/// Longest password taken, bytes.
pub const MAX_PASSWORD: usize = 1024;

/// A password cannot be hashed, or a stored hash cannot be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Nobody gets in with an empty password.
    #[error("the password is empty")]
    Empty,
    /// Longer than [`MAX_PASSWORD`].
    #[error("the password is longer than {MAX_PASSWORD} bytes")]
    TooLong,
    /// Not a hash, or of a scheme or cost this software does not take.
    #[error("the stored password hash is not one this software knows")]
    Unknown,
    /// A hash of a scheme outside the set in force.
    #[error("the stored password hash is not of the approved scheme: set the password again")]
    NotAllowed,
    /// The machine has no memory for it.
    #[error("not enough memory to hash a password")]
    NoMemory,
}

/// How new passwords are hashed, and which stored ones are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordScheme(AlgorithmSet);

impl PasswordScheme {
    pub(crate) const fn allowed(set: AlgorithmSet) -> Self {
        Self(set)
    }

    /// The string to store for `password`, with a salt of its own.
    ///
    /// # Errors
    /// If the password is empty or too long, or memory is short.
    pub fn hash(self, password: &SecretBytes) -> Result<String, PasswordError> {
        check(password)?;
        let salt = random::<SALT_LEN>();
        let mut hash = [0; HASH_LEN];
        let cost = match self.0 {
            AlgorithmSet::Ordinary => Cost::Argon2id(ARGON2_COST),
            AlgorithmSet::Approved => Cost::Pbkdf2(PBKDF2_ROUNDS),
        };
        cost.derive(password, &salt, &mut hash)?;
        Ok(cost.phc(&salt, &hash))
    }

    /// Whether `password` is the one that `stored` was made of, in time that
    /// does not depend on where they differ. An empty password matches nothing.
    ///
    /// # Errors
    /// If `stored` is of no known scheme, or of one outside the set.
    pub fn verify(self, password: &SecretBytes, stored: &str) -> Result<bool, PasswordError> {
        let stored = PasswordHash::new(stored).map_err(|_| PasswordError::Unknown)?;
        let cost = Cost::of(&stored)?;
        if self.0 == AlgorithmSet::Approved && matches!(cost, Cost::Argon2id(_)) {
            return Err(PasswordError::NotAllowed);
        }
        let (Some(salt), Some(expected)) = (&stored.salt, &stored.hash) else { return Err(PasswordError::Unknown) };
        if check(password).is_err() {
            return Ok(false);
        }
        let mut hash = zeroize::Zeroizing::new(vec![0; expected.len()]);
        cost.derive(password, salt, &mut hash)?;
        Ok(subtle::ConstantTimeEq::ct_eq(hash.as_slice(), expected.as_bytes()).into())
    }

    /// Whether a stored string is weaker than what [`Self::hash`] makes today,
    /// so that it should be replaced at the next good login.
    #[must_use]
    pub fn outdated(self, stored: &str) -> bool {
        match PasswordHash::new(stored).ok().and_then(|stored| Cost::of(&stored).ok()) {
            Some(Cost::Argon2id((memory, passes, _))) => {
                self.0 == AlgorithmSet::Approved || memory < ARGON2_COST.0 || passes < ARGON2_COST.1
            }
            Some(Cost::Pbkdf2(rounds)) => self.0 == AlgorithmSet::Ordinary || rounds < PBKDF2_ROUNDS,
            None => true,
        }
    }
}

fn check(password: &SecretBytes) -> Result<(), PasswordError> {
    match password.expose().len() {
        0 => Err(PasswordError::Empty),
        1..=MAX_PASSWORD => Ok(()),
        _ => Err(PasswordError::TooLong),
    }
}

/// A scheme with its cost.
#[derive(Clone, Copy)]
enum Cost {
    /// Memory in KiB, passes, lanes.
    Argon2id((u32, u32, u32)),
    /// Rounds.
    Pbkdf2(u32),
}

impl Cost {
    /// The cost a stored hash states, if it is one this software would pay.
    fn of(stored: &PasswordHash) -> Result<Self, PasswordError> {
        if stored.salt.is_none() || stored.hash.is_none() {
            return Err(PasswordError::Unknown);
        }
        let number = |name: &str, most: u32| {
            let value = stored.params.get_decimal(name).filter(|value| (1..=most).contains(value));
            value.ok_or(PasswordError::Unknown)
        };
        match stored.algorithm.as_str() {
            ARGON2ID if stored.version == Some(Version::V0x13.into()) => {
                let most = ARGON2_MOST;
                Ok(Self::Argon2id((number("m", most.0)?, number("t", most.1)?, number("p", most.2)?)))
            }
            PBKDF2 => Ok(Self::Pbkdf2(number("i", PBKDF2_MOST)?)),
            _ => Err(PasswordError::Unknown),
        }
    }

    fn derive(self, password: &SecretBytes, salt: &[u8], out: &mut [u8]) -> Result<(), PasswordError> {
        match self {
            Self::Argon2id((memory, passes, lanes)) => {
                let params = Params::new(memory, passes, lanes, Some(out.len()));
                let argon2 =
                    Argon2::new(Algorithm::Argon2id, Version::V0x13, params.map_err(|_| PasswordError::Unknown)?);
                argon2.hash_password_into(password.expose(), salt, out).map_err(|error| match error {
                    argon2::Error::OutOfMemory => PasswordError::NoMemory,
                    _ => PasswordError::Unknown,
                })
            }
            Self::Pbkdf2(rounds) => {
                let rounds = NonZeroU32::new(rounds).ok_or(PasswordError::Unknown)?;
                pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, password.expose(), out);
                Ok(())
            }
        }
    }

    fn phc(self, salt: &[u8], hash: &[u8]) -> String {
        let (name, version, numbers): (_, _, &[(&str, u32)]) = match self {
            Self::Argon2id((memory, passes, lanes)) => {
                (ARGON2ID, Some(Version::V0x13.into()), &[("m", memory), ("t", passes), ("p", lanes)])
            }
            Self::Pbkdf2(rounds) => (PBKDF2, None, &[("i", rounds)]),
        };
        let mut params = ParamsString::new();
        for (name, value) in numbers {
            params.add_decimal(*name, *value).expect("three short parameters fit");
        }
        let stored = PasswordHash {
            algorithm: Ident::new(name).expect("our names are valid"),
            version,
            params,
            salt: Some(Salt::new(salt).expect("16 bytes are a valid salt")),
            hash: Some(Output::new(hash).expect("32 bytes are a valid hash")),
        };
        stored.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SecretBytes {
        SecretBytes::from(text.to_owned())
    }

    const SETS: [(AlgorithmSet, &str); 2] = [
        (AlgorithmSet::Ordinary, "$argon2id$v=19$m=19456,t=2,p=1$"),
        (AlgorithmSet::Approved, "$pbkdf2-sha256$i=600000$"),
    ];

    #[test]
    fn the_right_password_matches_and_no_other() {
        for (set, start) in SETS {
            let scheme = set.password();
            let stored = scheme.hash(&secret("correct horse")).unwrap();
            assert!(stored.starts_with(start), "{stored}");
            assert_eq!(scheme.verify(&secret("correct horse"), &stored), Ok(true));
            assert_eq!(scheme.verify(&secret("correct horsf"), &stored), Ok(false));
            assert_eq!(scheme.verify(&secret(""), &stored), Ok(false));
            assert!(!scheme.outdated(&stored));
            assert_ne!(scheme.hash(&secret("correct horse")).unwrap(), stored, "salted");
        }
    }

    #[test]
    fn empty_and_endless_passwords_are_refused() {
        let scheme = AlgorithmSet::Ordinary.password();
        assert_eq!(scheme.hash(&secret("")), Err(PasswordError::Empty));
        assert_eq!(scheme.hash(&secret(&"x".repeat(MAX_PASSWORD + 1))), Err(PasswordError::TooLong));
    }

    /// From the tests of Argon2's reference implementation.
    #[test]
    fn hashes_of_other_software_are_taken() {
        let stored = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let scheme = AlgorithmSet::Ordinary.password();
        assert_eq!(scheme.verify(&secret("password"), stored), Ok(true));
        assert_eq!(
            AlgorithmSet::Approved.password().verify(&secret("password"), stored),
            Err(PasswordError::NotAllowed)
        );
        assert!(AlgorithmSet::Approved.password().outdated(stored));
    }

    /// RFC 7914, section 11.
    #[test]
    fn pbkdf2_matches_its_vectors() {
        let mut out = [0; 64];
        Cost::Pbkdf2(1).derive(&secret("passwd"), b"salt", &mut out).unwrap();
        assert_eq!(
            crate::identity::hex(&out),
            "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783"
        );
    }

    #[test]
    fn planted_strings_neither_match_nor_exhaust_the_machine() {
        let scheme = AlgorithmSet::Ordinary.password();
        for stored in [
            "",
            "plain",
            "$5$rounds=5000$salt$hash",
            "$argon2id$v=19$m=4294967295,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
            "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
            "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ",
            "$pbkdf2-sha256$i=0$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        ] {
            assert_eq!(scheme.verify(&secret("password"), stored), Err(PasswordError::Unknown), "{stored}");
            assert!(scheme.outdated(stored));
        }
    }
}
