//! Networks in virtual time, for running the transport whole.
//!
//! A [`Network`] joins pairs of [`Endpoint`]s by a [`Line`]: two [`Link`]s,
//! each with a rate, a delay, a queue and the faults of real paths. Time is a
//! number that jumps from event to event, every random draw comes from one
//! seed, and every byte on the wire is counted, headers included: a scenario
//! gives the same figures on every machine, a minute of a gigabit in seconds.
//!
//! From the bottom up: [`random`] and [`histogram`]; [`datagram`] (what
//! crosses a link); [`link`](mod@link) (one direction); [`line`](mod@line) (both, shared by several
//! flows); [`network`] (the event loop); [`tcp`], [`pace`] and [`session`]
//! (endpoints to run over it); [`scenario`] (a whole experiment as a value) with its
//! [`outcome`], [`table`] and [`trace`]; [`grid`] (the lines that must always work).
#![forbid(unsafe_code)]

pub mod datagram;
pub mod disk;
pub mod grid;
pub mod histogram;
pub mod job;
pub mod line;
pub mod link;
pub mod machine;
pub mod network;
pub mod outcome;
pub mod pace;
pub mod random;
pub mod scenario;
pub mod session;
pub mod startup;
pub mod table;
pub mod tcp;
pub mod trace;

pub use datagram::{Datagram, Wire};
pub use line::Line;
pub use link::{Link, LinkSettings};
pub use network::{Address, Endpoint, Network, Side, Transmit};
pub use outcome::Outcome;
pub use scenario::{Change, Direction, FlowPlan, LineSettings, Scenario};
pub use table::Table;
