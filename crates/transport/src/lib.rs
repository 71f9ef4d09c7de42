//! The protocol core, sans-IO: sender, receiver, loss recovery, rate control,
//! pacing, timers and statistics.
//!
//! Nothing here opens a socket, reads a clock or touches a file: datagrams,
//! time and randomness come in as arguments, datagrams and deadlines are
//! polled out. Reading order: [`Connection`] for the life of a session,
//! [`Application`] for what it carries, [`rate`] for how fast.
#![forbid(unsafe_code)]

mod application;
mod bits;
mod brake;
mod close;
mod config;
mod connection;
mod event;
pub mod lengths;
mod loss;
mod mtu;
mod numbers;
mod opening;
mod outgoing;
mod pacer;
mod packet;
mod path;
mod protection;
mod random;
pub mod rate;
mod receiving;
mod reporter;
mod return_path;
mod rtt;
mod sending;
mod sent;
mod silence;
mod statistics;
mod streams;
mod tail;
pub mod testing;
mod time;
mod timer;

pub use application::{Application, Delivery, QueueState};
pub use config::{Config, Payload, Role};
pub use connection::Connection;
pub use event::{Closed, ClosedBy, DropReason, Ecn, Event, Receipt, Transmit};
pub use protection::{Protection, split_tag};
pub use statistics::{PathState, ReceivedCounts, SentCounts, Statistics};
pub use time::Time;
