//! All cryptography: datagram protection, key schedule, digests, passwords,
//! secrets, files at rest.
//!
//! No other crate names a cryptographic library, and within this one nothing
//! is chosen except through [`AlgorithmSet`], the allow-list: a suite, a content
//! digest, a checksum or a password scheme is a value only the set hands out.
//!
//! Reading order: [`AlgorithmSet`] for what may be used, and
//! [`mod@negotiation`] for which of it a session gets; [`Secret`] for how
//! secrets are kept; [`mod@schedule`] for how both ends of a session come to
//! their keys and [`mod@datagram`] for what they do with them; [`mod@content`]
//! for how the bytes of files are proven; [`mod@envelope`] for files encrypted
//! at rest; [`mod@module`] for what computes all this; [`mod@password`] and [`mod@identity`] for what is stored and named.
//! With the feature `tls`, `tls` says how other servers are asked.
#![forbid(unsafe_code)]

mod allow;
mod checksum;
pub mod content;
pub mod datagram;
pub mod envelope;
pub mod identity;
pub mod module;
pub mod negotiation;
pub mod password;
pub mod schedule;
mod secret;
mod stretch;
#[cfg(feature = "tls")]
pub mod tls;

pub use allow::{AlgorithmSet, CipherSuite, EnvelopeSuite, NotAllowed, PassphraseScheme};
pub use checksum::{Checksum, ChecksumAlgorithm, ChecksumHasher, UnknownChecksum};
pub use content::{ContentAlgorithm, ContentHasher, ContentTree};
pub use secret::{Secret, SecretBytes, fill_random, keep_from_core_dumps, random};
pub use stretch::Stretch;
