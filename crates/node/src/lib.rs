//! The transfer server: who may log in, what they may do, the sessions they
//! run, and what is written down about it.
//!
//! Reading order: [`config`] and [`state`] for what a server starts from;
//! [`users`] and `authenticate` for who gets in; `admit` for the way
//! from a request to the terms of a session and `host` for that session's
//! life; [`sessions`] for all of them together; [`front`] for the process that
//! faces the network; [`server`] for the whole. [`session_program`] is the same
//! under OpenSSH, with the port lent by `broker`.
#![forbid(unsafe_code)]

mod admit;
pub mod audit;
mod authenticate;
pub mod authorized_key;
mod bans;
mod broker;
pub mod check;
pub mod config;
mod error;
pub mod front;
mod host;
mod login;
pub mod master_keys;
pub mod server;
pub mod session_program;
pub mod sessions;
pub mod signals;
pub mod state;
pub mod users;

pub use admit::expand_docroot;
pub use config::Configuration;
pub use error::NodeError;
pub use login::Login;
pub use server::{ServeOptions, Server};
pub use state::StateDirectory;
pub use users::{StoredUser, UserStore};
