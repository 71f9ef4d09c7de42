//! The embedded SSH server: logins, and the `limosa` subsystem.
//!
//! It does one thing. A client that has proved who it is may start the
//! subsystem; shells, commands, terminals, environment, forwarding of ports,
//! sockets, agents and displays are refused. It holds the host key and nothing
//! else of worth: who may log in is decided by a [`Backend`], which in a real
//! server is another process at the far end of a Unix socket (see
//! [`crate::front`]).
//!
//! - [`embedded`]: the server itself, the only place here that names russh.
//! - [`gate`]: the bound on connections that have not logged in.
//! - [`host_key`]: making and loading the host key.

mod embedded;
mod gate;
mod host_key;

pub use embedded::{Server, ServerHandle};
pub use host_key::{HostKeyError, ServerKey};

use crate::{Channel, Secret};
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

/// Who a login turned out to be: the name of an account of the backend's, not
/// necessarily the name typed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity(String);

impl Identity {
    /// The identity called `name`.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The account's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// A public key somebody offers to log in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferedKey {
    /// Its type, such as `ssh-ed25519`.
    pub key_type: String,
    /// Its wire form, as `authorized_keys` has it in base64.
    pub blob: Vec<u8>,
    /// `SHA256:…`.
    pub fingerprint: String,
}

/// How somebody logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// By a signature of the key with this fingerprint.
    PublicKey(String),
    /// By the password.
    Password,
}

/// A session that an authenticated client started.
#[derive(Debug)]
pub struct Session {
    /// Who.
    pub identity: Identity,
    /// How they logged in.
    pub method: Method,
    /// From where.
    pub peer: SocketAddr,
    /// The stream to them.
    pub channel: Channel,
}

/// Decides on logins and takes sessions.
pub trait Backend: Send + Sync + 'static {
    /// What the backend keeps of one SSH connection.
    type Connection: Connection;

    /// Somebody connected from `peer`. Nothing is known of them yet, and most
    /// such connections come to nothing: this must cost little.
    fn connected(&self, peer: SocketAddr) -> Self::Connection;
}

/// One SSH connection, as its [`Backend`] sees it. A connection logs in at most
/// once.
pub trait Connection: Send + 'static {
    /// Whether `key` could log `user` in, if they prove to hold it.
    fn key_offered(&mut self, user: &str, key: &OfferedKey) -> impl Future<Output = bool> + Send;

    /// Logs `user` in, who has proved to hold `key`; `None` refuses.
    fn key_proved(&mut self, user: &str, key: &OfferedKey) -> impl Future<Output = Option<Identity>> + Send;

    /// Logs `user` in by `password`; `None` refuses.
    fn password(&mut self, user: &str, password: &Secret) -> impl Future<Output = Option<Identity>> + Send;

    /// Takes a session of the user logged in. Must not block.
    fn session(&mut self, session: Session);
}

/// Bounds on what clients may cost.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Refused credentials after which a connection is closed.
    pub max_attempts: usize,
    /// Connections that have not logged in, in all.
    pub max_unauthenticated: usize,
    /// Connections that have not logged in, from one address.
    pub max_unauthenticated_per_peer: usize,
    /// Time to log in.
    pub login_time: Duration,
    /// Time a connection may stay without a session.
    pub idle_time: Duration,
    /// Sessions at once on one connection.
    pub max_sessions: usize,
    /// Time that refusing a credential takes at least, so that the time tells
    /// nothing. Asking for the methods is answered at once.
    pub rejection_time: Duration,
    /// Interval of the signs of life asked of a silent client.
    pub keepalive: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_attempts: 6,
            max_unauthenticated: 100,
            max_unauthenticated_per_peer: 20,
            login_time: Duration::from_secs(60),
            idle_time: Duration::from_secs(60),
            max_sessions: 10,
            rejection_time: Duration::from_millis(500),
            keepalive: Duration::from_secs(15),
        }
    }
}

/// What a server offers beside its host key.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bounds on what clients may cost.
    pub limits: Limits,
    /// A text shown to clients before they log in.
    pub banner: Option<String>,
    /// Whether passwords are accepted at all.
    pub passwords: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { limits: Limits::default(), banner: None, passwords: true }
    }
}
