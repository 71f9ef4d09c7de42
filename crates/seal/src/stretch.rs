//! Stretching: what makes a guess at a password or passphrase as dear as a
//! machine can be asked to pay. Shared by stored passwords and by envelopes.

use std::fmt;
use std::num::NonZeroU32;

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::pbkdf2;

use crate::SecretBytes;

/// Most memory one stretching may take, KiB.
const MOST_MEMORY_KIB: u32 = 1024 * 1024;
/// Most passes over the memory.
const MOST_PASSES: u32 = 64;
/// Most memory times passes, KiB: some seconds of one core.
const MOST_WORK_KIB: u64 = 4 * 1024 * 1024;
/// Most lanes.
const MOST_LANES: u32 = 16;
/// Most rounds: some seconds of one core.
const MOST_ROUNDS: u32 = 20_000_000;

/// A way of stretching, with its cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stretch {
    /// Argon2id, version 0x13 (RFC 9106), without secret and associated data.
    Argon2id {
        /// Memory, KiB.
        memory_kib: u32,
        /// Passes over it.
        passes: u32,
        /// Lanes.
        lanes: u32,
    },
    /// PBKDF2 with HMAC-SHA-256 (SP 800-132, RFC 8018).
    Pbkdf2 {
        /// Rounds.
        rounds: u32,
    },
}

/// Nothing was stretched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StretchError {
    /// The cost is none that this software pays.
    Refused,
    /// The machine has no memory for it.
    NoMemory,
}

impl Stretch {
    /// Whether this machine may be asked for it, so that what somebody else
    /// wrote can exhaust neither its memory nor its time.
    #[must_use]
    pub const fn is_bearable(self) -> bool {
        match self {
            Self::Argon2id { memory_kib, passes, lanes } => {
                1 <= passes
                    && passes <= MOST_PASSES
                    && 1 <= lanes
                    && lanes <= MOST_LANES
                    && 8 * lanes <= memory_kib
                    && memory_kib <= MOST_MEMORY_KIB
                    && memory_kib as u64 * passes as u64 <= MOST_WORK_KIB
            }
            Self::Pbkdf2 { rounds } => 1 <= rounds && rounds <= MOST_ROUNDS,
        }
    }

    /// Whether a guess costs no less than under `least`; ways that cannot be
    /// compared are not at least each other.
    #[must_use]
    pub const fn is_at_least(self, least: Self) -> bool {
        match (self, least) {
            (
                Self::Argon2id { memory_kib, passes, .. },
                Self::Argon2id { memory_kib: least_memory, passes: least_passes, .. },
            ) => memory_kib >= least_memory && passes >= least_passes,
            (Self::Pbkdf2 { rounds }, Self::Pbkdf2 { rounds: least }) => rounds >= least,
            _ => false,
        }
    }

    /// Fills `out`. Takes as long as the cost says, by design.
    pub(crate) fn derive(self, password: &SecretBytes, salt: &[u8], out: &mut [u8]) -> Result<(), StretchError> {
        if !self.is_bearable() {
            return Err(StretchError::Refused);
        }
        match self {
            Self::Argon2id { memory_kib, passes, lanes } => {
                let params = Params::new(memory_kib, passes, lanes, Some(out.len()));
                let argon2 =
                    Argon2::new(Algorithm::Argon2id, Version::V0x13, params.map_err(|_| StretchError::Refused)?);
                argon2.hash_password_into(password.expose(), salt, out).map_err(|error| match error {
                    argon2::Error::OutOfMemory => StretchError::NoMemory,
                    _ => StretchError::Refused,
                })
            }
            Self::Pbkdf2 { rounds } => {
                let rounds = NonZeroU32::new(rounds).ok_or(StretchError::Refused)?;
                pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, password.expose(), out);
                Ok(())
            }
        }
    }
}

impl fmt::Display for Stretch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argon2id { memory_kib, passes, lanes } => {
                write!(f, "Argon2id, {memory_kib} KiB, {passes} passes, {lanes} lanes")
            }
            Self::Pbkdf2 { rounds } => write!(f, "PBKDF2-HMAC-SHA-256, {rounds} rounds"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7914, section 11.
    #[test]
    fn pbkdf2_matches_its_vectors() {
        let mut out = [0; 64];
        let password = SecretBytes::from("passwd".to_owned());
        Stretch::Pbkdf2 { rounds: 1 }.derive(&password, b"salt", &mut out).unwrap();
        assert_eq!(
            crate::identity::hex(&out),
            "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783"
        );
    }

    #[test]
    fn costs_that_would_exhaust_a_machine_are_refused() {
        let argon2 = |memory_kib, passes, lanes| Stretch::Argon2id { memory_kib, passes, lanes };
        assert!(argon2(64 * 1024, 3, 4).is_bearable() && argon2(1024 * 1024, 4, 1).is_bearable());
        for cost in [
            argon2(u32::MAX, 1, 1),
            argon2(1024 * 1024, 5, 1),
            argon2(8, 65, 1),
            argon2(1024, 1, 17),
            argon2(1024, 0, 1),
            argon2(1024, 1, 0),
            argon2(15, 1, 2),
            Stretch::Pbkdf2 { rounds: 0 },
            Stretch::Pbkdf2 { rounds: MOST_ROUNDS + 1 },
        ] {
            assert!(!cost.is_bearable(), "{cost}");
            let password = SecretBytes::from("passwd".to_owned());
            assert_eq!(cost.derive(&password, &[0; 16], &mut [0; 32]), Err(StretchError::Refused), "{cost}");
        }
    }
}
