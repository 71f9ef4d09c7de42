//! The protocol core, sans-IO: sender, receiver, loss recovery, rate control,
//! pacing, timers and statistics.
//!
//! Nothing here opens a socket, reads a clock or touches a file: datagrams,
//! time and randomness come in as arguments, datagrams and deadlines are
//! polled out. Reading order: [`Connection`] for the life of a session,
//! [`Application`] for what it carries, [`rate`] for how fast.
#![forbid(unsafe_code)]

mod application;
mod config;
mod connection;
mod event;
pub mod lengths;
mod protection;
pub mod rate;
mod statistics;
pub mod testing;
mod time;

pub use application::{Application, Delivery, QueueState};
pub use config::{Config, Payload, Role};
pub use connection::Connection;
pub use event::{Closed, ClosedBy, DropReason, Ecn, Event, Receipt, Transmit};
pub use protection::{Protection, split_tag};
pub use statistics::{PathState, ReceivedCounts, SentCounts, Statistics};
pub use time::Time;
