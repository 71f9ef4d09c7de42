//! Settings, identities and decisions: who may do what, how fast, with what
//! encryption.
//!
//! The crate is pure. It neither reads files nor asks a database: it is given
//! records and answers with values. Two of them are proofs that nobody else
//! can make: [`Identity`] says that somebody was authenticated, and
//! [`Authorization`] that a request of theirs was permitted; only with the
//! latter does a server open a session.
//!
//! Reading order: [`mod@user`] for who there is, [`mod@group`] for which of them
//! belong together, [`mod@settings`] for what applies to them and where each
//! value comes from, [`mod@fips`] for how far they insist on approved cryptography,
//! [`mod@authorization`] for the decision.
#![forbid(unsafe_code)]

pub mod authorization;
pub mod fips;
pub mod group;
mod name;
pub mod settings;
pub mod user;

pub use authorization::{Authorization, Denied, Wish};
pub use fips::{FipsMode, NotValidated};
pub use group::Group;
pub use name::{GroupName, InvalidGroupName, InvalidUserName, UserName};
pub use settings::{
    CipherFloor, CipherModes, ContentPassphrase, ContentProtection, DurabilityFloor, Origin, PolicyCeiling, SealAtRest,
    Settings, SettingsLayer, Sourced,
};
pub use user::{Identity, Method, PublicKey, UserRecord};
