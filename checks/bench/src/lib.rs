//! Throughput runs and the comparison with peers.
//!
//! [`protocol`] is the protocol core alone, for counting what a datagram costs;
//! [`pipeline`] a whole transfer on one thread, for counting what a megabyte does.
//! [`lab`] measures the client over a line between two network namespaces,
//! [`memory`] what processes take of memory, [`processor`] of CPU time;
//! [`floor`] is what a transfer costs at least, [`trees`] what a tree of small
//! files does. [`server`] is the other end of a run, [`network`] where the ends
//! are, with a line between them by [`netem`] or [`limosa_line`], [`scratch`]
//! what stands around them, [`remains`] what has to go afterwards. [`peer`] is who
//! is compared, [`trial`] one run of it, [`comparison`] what all runs come to.
//! [`flow`] is a sender that goes on until it is stopped, Limosa or the kernel's
//! TCP, and [`sharing`] two of them on one line. The runs themselves are the
//! examples: `lab`, `compare`, `sharing`, `line`, `memory`, `flood`, `cpu`,
//! `sessions`, `small`, `suites`.
#![forbid(unsafe_code)]

pub mod comparison;
pub mod floor;
pub mod flow;
pub mod lab;
mod line;
pub mod memory;
pub mod netem;
pub mod network;
pub mod peer;
pub mod pipeline;
pub mod processor;
pub mod protection;
pub mod protocol;
pub mod remains;
pub mod scratch;
pub mod server;
pub mod sharing;
pub mod trees;
pub mod trial;
