//! The SSH front: how a client reaches a server's session program, and how a
//! server is reached, over standard SSH.
//!
//! All of it yields one thing, a [`Channel`]: a byte stream to the program at
//! the other end, which also tells an orderly close from a broken line. What
//! runs over the stream is none of this crate's business.
//!
//! Reading order:
//! - [`channel`]: the byte stream and what ended it.
//! - [`target`]: `[user@]host` as typed by a user, parsed once.
//! - [`client`]: opening a channel, by the built-in client or by the machine's
//!   own `ssh`, and the choice between them.
//! - [`known_hosts`]: which host keys are trusted, by our own matcher.
//! - [`server`]: the embedded server: logins and the `limosa` subsystem,
//!   nothing else.
//! - [`front`]: the process boundary that lets the embedded server run
//!   unprivileged in a process of its own.
//! - [`request`]: what a forced command under OpenSSH may ask for.
//! - [`sshd_config`]: how OpenSSH's server is best configured for that.
//!
//! The SSH library (russh) is named in `client::builtin` and `server::embedded`
//! alone; everything else speaks in the types of this crate.
#![forbid(unsafe_code)]

pub mod algorithms;
pub mod channel;
pub mod client;
mod error;
pub mod front;
pub mod known_hosts;
pub mod login;
pub mod prompt;
pub mod request;
pub mod server;
pub mod sshd_config;
pub mod target;

pub use channel::{Channel, End};
pub use client::{Connected, Request, Way, connect, state_directory};
pub use error::{Distrust, HostKeyProblem, SshError};
pub use prompt::{NoPrompt, Prompt, Secret};
pub use target::{InvalidTarget, Target};

/// Name of the SSH subsystem that starts a session.
pub const SUBSYSTEM: &str = "limosa";

/// The command that starts a session where there is no such subsystem.
pub const SESSION_COMMAND: &str = "limosa session";
