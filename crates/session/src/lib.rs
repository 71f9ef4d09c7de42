//! One running session on a real machine, either role: set-up over a byte
//! stream, keys, the data path's thread, the file threads, and the end.
//!
//! Reading order: [`mod@setup`].
#![forbid(unsafe_code)]

pub mod files;
mod keys;
pub mod setup;

pub use keys::{SessionProtection, derive, fresh_session_id};
