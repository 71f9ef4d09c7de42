//! What can go wrong between a user's command and an open channel, each with
//! what to check.

use crate::known_hosts::{KnownHostsError, Place};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a channel could not be opened, or broke.
#[derive(Debug, thiserror::Error)]
pub enum SshError {
    /// The name has no address.
    #[error("cannot resolve {host}: {reason}; check the spelling and the machine's DNS")]
    Resolve {
        /// The name asked for.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// The host answered that nothing listens there.
    #[error("{at} refused the connection: no SSH server listens there; check --port and that the server runs")]
    Refused {
        /// Address or host, with port.
        at: String,
    },
    /// No answer in time.
    #[error("no answer from {at} within {after:?}; check the host, and that firewalls let this TCP port through")]
    Timeout {
        /// Address or host, with port.
        at: String,
        /// How long was waited.
        after: Duration,
    },
    /// The connection could not be made for another reason.
    #[error("cannot connect to {at}: {source}; check the network")]
    Connect {
        /// Address or host, with port.
        at: String,
        /// What the system said.
        source: io::Error,
    },
    /// The host key is not to be trusted.
    #[error(transparent)]
    HostKey(#[from] HostKeyProblem),
    /// A `known_hosts` file that exists cannot be used.
    #[error(transparent)]
    KnownHosts(#[from] KnownHostsError),
    /// No offered credential was accepted.
    #[error("{user}@{host} was not let in (tried: {}; the server accepts: {accepted}); {hint}", tried_list(.tried))]
    Authentication {
        /// Login name.
        user: String,
        /// Host asked.
        host: String,
        /// What was tried, in order, without secrets.
        tried: Vec<String>,
        /// The methods the server said it accepts.
        accepted: String,
        /// What to check.
        hint: String,
    },
    /// A key file was named but cannot be used.
    #[error("key file {}: {reason}", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to check.
        reason: String,
    },
    /// Logged in, but the server starts no session program.
    #[error(
        "logged in, but no session could be started ({tried}); install `limosa` there, or let the administrator configure the `limosa` subsystem"
    )]
    NoSession {
        /// What was tried and how it was answered.
        tried: String,
    },
    /// The OpenSSH configuration cannot be followed.
    #[error("SSH configuration: {0}")]
    Configuration(String),
    /// The `ssh` program is needed but cannot be run.
    #[error("cannot run {}: {source}; install the OpenSSH client, or use --ssh builtin", program.display())]
    NoProgram {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The peer does not keep to the SSH protocol, or shares no algorithm.
    #[error("SSH protocol: {0}")]
    Protocol(String),
    /// The connection broke after it was open.
    #[error("the SSH connection broke: {reason}")]
    Broken {
        /// What was seen.
        reason: String,
    },
    /// The machine's `ssh` failed for a reason only it knows.
    #[error("ssh failed: {0}")]
    System(String),
}

fn tried_list(tried: &[String]) -> String {
    if tried.is_empty() { "nothing, as there was nothing to offer".into() } else { tried.join(", ") }
}

/// What is wrong with the key a host presented.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostKeyProblem {
    /// Nothing is known of this host.
    #[error(
        "the host key of {host} ({key_type} {fingerprint}) is not known; compare the fingerprint with one got another way, then accept it"
    )]
    Unknown {
        /// The name looked up, with port where it is not 22.
        host: String,
        /// Type of the key.
        key_type: String,
        /// `SHA256:…`.
        fingerprint: String,
    },
    /// Another key is on record.
    #[error(
        "the host key of {host} is {key_type} {fingerprint}, not the one on record at {at}: somebody may be listening in, or the server has a new key; ask its administrator, then remove that line"
    )]
    Changed {
        /// The name looked up, with port where it is not 22.
        host: String,
        /// Type of the key presented.
        key_type: String,
        /// `SHA256:…` of the key presented.
        fingerprint: String,
        /// Where the other key is recorded.
        at: Place,
    },
    /// The key is marked as revoked.
    #[error(
        "the host key of {host} ({fingerprint}) is revoked at {at}: do not connect; ask the server's administrator"
    )]
    Revoked {
        /// The name looked up, with port where it is not 22.
        host: String,
        /// `SHA256:…`.
        fingerprint: String,
        /// Where it is revoked.
        at: Place,
    },
    /// The host presented a key that is not on record, and none of those on
    /// record is of an algorithm that may be used.
    #[error(
        "no approved host key of {host} is on record, only {recorded}, and FIPS mode takes {approved}: get its ECDSA or RSA key from its administrator, or by `ssh-keyscan -t ecdsa,rsa` and compare the fingerprint with one got another way; then add it to {}", file.display()
    )]
    NoneApproved {
        /// The name looked up, with port where it is not 22.
        host: String,
        /// The types of the keys on record.
        recorded: String,
        /// The algorithms that may be used.
        approved: String,
        /// Where a key can be added.
        file: PathBuf,
    },
    /// The machine's own `ssh` refused the host key; its words say why.
    #[error("ssh does not trust the host key: {said}")]
    RefusedBySystem {
        /// What it holds against the key.
        distrust: Distrust,
        /// Its words.
        said: String,
    },
}

/// What the machine's own `ssh` holds against a host key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// Nothing is known of the host.
    Unknown,
    /// Another key is on record.
    Changed,
    /// The key is marked as revoked.
    Revoked,
}
