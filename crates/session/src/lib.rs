//! One running session on a real machine, either role: set-up over a byte
//! stream, keys, the data path's thread, the file threads, and the end.
//!
//! Reading order: [`mod@setup`] for what is said first; [`mod@client`] and
//! [`mod@server`] for how either end gets from there to a running session;
//! [`mod@running`] for what runs then and how it is watched and steered;
//! [`mod@program`] for a process that is one session under an SSH server.
//!
//! This crate knows no SSH, no users and no policy: it is given a byte stream,
//! a store confined to what may be touched, and terms.
#![forbid(unsafe_code)]

pub mod client;
mod engine;
pub mod files;
mod jobs;
mod keys;
pub mod outcome;
pub mod program;
pub mod running;
pub mod server;
pub mod setup;
pub mod takeover;
mod udp;

pub use client::{ClientJob, ClientPlan, StartError, connect};
pub use outcome::{Order, Outcome, SessionEvent, Snapshot, Times};
pub use running::{Running, Steering};
pub use server::{Terms, serve};
pub use udp::{ServerPorts, SharedUdp, WeakUdp, buffer_advice};
