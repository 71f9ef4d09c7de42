//! Passwords as they are stored: strings in the PHC format that name their
//! scheme and its cost, so that old ones stay valid when the cost rises.
//!
//! Argon2id with 19 MiB, 2 passes, 1 lane, or PBKDF2-HMAC-SHA-256 with 600,000
//! rounds in the approved set. Hashing takes tens to hundreds of milliseconds
//! by design: never on a thread that others wait for.

use argon2::Version;
use argon2::password_hash::phc::{Ident, Output, ParamsString, PasswordHash, Salt};

use crate::stretch::{Stretch, StretchError};
use crate::{AlgorithmSet, SecretBytes, random};

const ARGON2ID: &str = "argon2id";
const PBKDF2: &str = "pbkdf2-sha256";
const SALT_LEN: usize = 16;
const HASH_LEN: usize = 32;

/// The least that current guidance asks for.
const ARGON2_COST: Stretch = Stretch::Argon2id { memory_kib: 19 * 1024, passes: 2, lanes: 1 };
const PBKDF2_COST: Stretch = Stretch::Pbkdf2 { rounds: 600_000 };

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
            AlgorithmSet::Ordinary => ARGON2_COST,
            AlgorithmSet::Approved => PBKDF2_COST,
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
        let cost = Stretch::of(&stored)?;
        if self.0 == AlgorithmSet::Approved && matches!(cost, Stretch::Argon2id { .. }) {
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
        match PasswordHash::new(stored).ok().and_then(|stored| Stretch::of(&stored).ok()) {
            Some(cost @ Stretch::Argon2id { .. }) => self.0 == AlgorithmSet::Approved || !cost.is_at_least(ARGON2_COST),
            Some(cost) => self.0 == AlgorithmSet::Ordinary || !cost.is_at_least(PBKDF2_COST),
            None => true,
        }
    }
}

pub(crate) fn check(password: &SecretBytes) -> Result<(), PasswordError> {
    match password.expose().len() {
        0 => Err(PasswordError::Empty),
        1..=MAX_PASSWORD => Ok(()),
        _ => Err(PasswordError::TooLong),
    }
}

impl Stretch {
    /// The cost a stored hash states, if it is one this software would pay.
    fn of(stored: &PasswordHash) -> Result<Self, PasswordError> {
        if stored.salt.is_none() || stored.hash.is_none() {
            return Err(PasswordError::Unknown);
        }
        let number = |name: &str| stored.params.get_decimal(name).ok_or(PasswordError::Unknown);
        let cost = match stored.algorithm.as_str() {
            ARGON2ID if stored.version == Some(Version::V0x13.into()) => {
                Self::Argon2id { memory_kib: number("m")?, passes: number("t")?, lanes: number("p")? }
            }
            PBKDF2 => Self::Pbkdf2 { rounds: number("i")? },
            _ => return Err(PasswordError::Unknown),
        };
        if cost.is_bearable() { Ok(cost) } else { Err(PasswordError::Unknown) }
    }

    fn phc(self, salt: &[u8], hash: &[u8]) -> String {
        let (name, version, numbers): (_, _, &[(&str, u32)]) = match self {
            Self::Argon2id { memory_kib, passes, lanes } => {
                (ARGON2ID, Some(Version::V0x13.into()), &[("m", memory_kib), ("t", passes), ("p", lanes)])
            }
            Self::Pbkdf2 { rounds } => (PBKDF2, None, &[("i", rounds)]),
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

impl From<StretchError> for PasswordError {
    fn from(error: StretchError) -> Self {
        match error {
            StretchError::Refused => Self::Unknown,
            StretchError::NoMemory => Self::NoMemory,
        }
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
