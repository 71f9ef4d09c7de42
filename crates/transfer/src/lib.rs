//! One transfer job, sans-IO: layout, plan, journal, verification, events.
//!
//! A job has two ends. The [`sender`] walks the sources, announces what it
//! finds, and hands out bytes of the linear space; the receiver maps them back
//! to files, checks and publishes them. Both are state machines: they ask for
//! file operations and are told their completion, emit bytes of the streams
//! beside the linear space, and never block, read a clock or open a socket.
//!
//! * [`content`]: how a file is cut into chunks.
//! * [`buffer`]: memory for content on its way.
//! * [`failure`]: what went wrong with one entry, as a numbered code.
//! * [`event`]: what a job tells whoever watches it.
//! * [`sender`]: the sending engine.
//! * [`receiver`]: the receiving engine; [`journal`]: what it leaves for a later
//!   session.
//! * [`job`]: either engine wired to a connection.
#![deny(unsafe_code)]

pub mod buffer;
pub mod content;
pub mod event;
pub mod failure;
pub mod job;
pub mod journal;
#[allow(unsafe_code)]
mod prefetch;
pub mod receiver;
pub mod sender;

pub use event::{Event, Progress};
pub use failure::Failure;
