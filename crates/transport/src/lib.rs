//! The protocol core, sans-IO: sender, receiver, loss recovery, rate control,
//! pacing, timers and statistics.
//!
//! Nothing here opens a socket, reads a clock or touches a file: datagrams,
//! time and randomness come in as arguments, datagrams and deadlines are
//! polled out.
#![forbid(unsafe_code)]

mod application;
pub mod rate;
mod time;

pub use application::{Application, Delivery, QueueState};
pub use time::Time;
