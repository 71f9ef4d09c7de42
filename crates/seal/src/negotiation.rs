//! Which suite a session gets: what a client offers for what its user wants,
//! and what a server makes of an offer.
//!
//! Key lengths rise silently: the longer of what the user wants and what the
//! server asks for wins. Modes do not change silently: where the server is
//! [`ModeChange::Strict`], a session has the mode that the client named first or
//! there is none. Whether anything is encrypted at all never changes for the
//! worse: only a user who asked for no encryption gets none, and only from a
//! server that permits it.
//!
//! Both halves are functions of their arguments alone.

use limosa_wire::setup::{Suite, SuiteMode};

use crate::{AlgorithmSet, CipherSuite};

/// What a user wants done to the bytes in transit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CipherWish {
    /// AES with a key of at least so many bits, in the best mode that both ends
    /// have.
    KeyBits(u16),
    /// This suite, or one of the same mode with a longer key.
    Suite(Suite),
}

impl CipherWish {
    /// The offers to make, best first: keys only get longer. Behind the mode
    /// that is wanted stand those that a server may change to if it is not
    /// strict.
    #[must_use]
    pub fn offers(self) -> Vec<Suite> {
        match self {
            Self::KeyBits(bits) => [of_mode(SuiteMode::Gcm, bits), of_mode(SuiteMode::Cfb, bits)].concat(),
            Self::Suite(Suite::Unencrypted) => {
                [of_mode(SuiteMode::Unencrypted, 0), of_mode(SuiteMode::Gcm, 0)].concat()
            }
            Self::Suite(suite) => of_mode(suite.mode(), suite.key_bits()),
        }
    }
}

/// The suites of `mode` with keys of at least `bits`, shortest first.
fn of_mode(mode: SuiteMode, bits: u16) -> Vec<Suite> {
    let mut suites: Vec<_> = Suite::ALL.iter().copied().filter(|suite| suite.mode() == mode).collect();
    suites.retain(|suite| suite.key_bits() >= bits);
    suites.sort_by_key(|suite| suite.key_bits());
    suites
}

/// Whether a server takes another mode than the client named first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ModeChange {
    /// It does not.
    #[default]
    Strict,
    /// It takes any that the client offers behind it, though never no encryption
    /// in place of some.
    Offered,
}

/// What a server permits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuitePolicy {
    /// The suites it accepts, in no particular order.
    pub suites: Vec<Suite>,
    /// Whether the mode may change.
    pub change: ModeChange,
}

impl SuitePolicy {
    /// Everything that is encrypted, and no change of mode: for ends without an
    /// administrator who said otherwise.
    #[must_use]
    pub fn encrypted() -> Self {
        let encrypted = Suite::ALL.iter().copied().filter(|suite| suite.mode() != SuiteMode::Unencrypted);
        Self { suites: encrypted.collect(), change: ModeChange::Strict }
    }
}

/// Why no suite was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SuiteRefusal {
    /// The client wants no encryption and the server insists on it.
    #[error("client asks for no encryption, server requires it")]
    EncryptionRequired,
    /// The client wants encryption and the server permits none.
    #[error("client requests stronger encryption than server allows")]
    StrongerThanAllowed,
    /// What the client wants is not approved, and the server is held to approved
    /// algorithms.
    #[error("{wanted} is not among the {set} algorithms, and server takes no other")]
    NotApproved {
        /// What the client wants most.
        wanted: Suite,
        /// The set in force.
        set: AlgorithmSet,
    },
    /// No offer fits for another reason: mode or length of key.
    #[error("client offers {}, server allows {}", list(.offered), list(.allowed))]
    NothingCommon {
        /// What was offered.
        offered: Vec<Suite>,
        /// What is permitted.
        allowed: Vec<Suite>,
    },
}

fn list(suites: &[Suite]) -> String {
    let names: Vec<_> = suites.iter().map(|suite| suite.name()).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

/// The first of `offered` (the client's, best first) that `policy` and `set`
/// permit.
///
/// # Errors
/// [`SuiteRefusal`], if there is none.
pub fn negotiate(set: AlgorithmSet, policy: &SuitePolicy, offered: &[Suite]) -> Result<CipherSuite, SuiteRefusal> {
    let Some(&wanted) = offered.first() else { return Err(refusal(set, policy, offered)) };
    let comparable = |suite: &Suite| {
        suite.mode() == wanted.mode()
            || (policy.change == ModeChange::Offered && suite.mode() != SuiteMode::Unencrypted)
    };
    let permitted = offered.iter().filter(|suite| comparable(suite) && policy.suites.contains(suite));
    permitted.copied().find_map(|suite| set.suite(suite).ok()).ok_or_else(|| refusal(set, policy, offered))
}

/// What to say where nothing fits.
fn refusal(set: AlgorithmSet, policy: &SuitePolicy, offered: &[Suite]) -> SuiteRefusal {
    let wanted = offered.first().copied();
    let encrypts = policy.suites.iter().any(|suite| suite.mode() != SuiteMode::Unencrypted);
    match wanted {
        Some(wanted) if set.suite(wanted).is_err() => SuiteRefusal::NotApproved { wanted, set },
        Some(Suite::Unencrypted) => SuiteRefusal::EncryptionRequired,
        Some(_) if !encrypts && !policy.suites.is_empty() => SuiteRefusal::StrongerThanAllowed,
        _ => SuiteRefusal::NothingCommon { offered: offered.to_vec(), allowed: policy.suites.clone() },
    }
}

#[cfg(test)]
mod tests;
