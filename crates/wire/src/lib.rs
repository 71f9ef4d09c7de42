//! Message formats and limits of the Limosa protocol.
//!
//! This crate is pure vocabulary: what every message looks like in bytes and
//! how large it may be. It knows nothing of cryptography, sockets, files or
//! time, and every decoder in it expects hostile input.
#![forbid(unsafe_code)]

mod number;

pub use number::{EntryId, InvalidRate, Offset, PacketNumber, PeerTime, Rate, SessionId};
