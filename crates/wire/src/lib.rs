//! Message formats and limits of the Limosa protocol.
//!
//! This crate is pure vocabulary: what every message looks like in bytes and
//! how large it may be. It knows nothing of cryptography, sockets, files or
//! time, and every decoder in it expects hostile input.
//!
//! Reading order: [`mod@datagram`] and [`mod@frame`] for what crosses UDP;
//! [`mod@layout`], [`mod@verdict`] and [`mod@control`] for what the three
//! streams inside it carry; [`mod@setup`] for what crosses SSH before; and
//! [`Code`] for how every failure is named.
#![forbid(unsafe_code)]

mod code;
pub mod codec;
pub mod control;
pub mod datagram;
pub mod frame;
pub mod front;
pub mod layout;
mod number;
pub mod setup;
pub mod verdict;

pub use code::{Code, Fault};
pub use number::{EntryId, InvalidRate, Offset, PacketNumber, PeerTime, Rate, SessionId};
