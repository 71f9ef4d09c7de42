//! Throughput runs and the comparison with peers.
//!
//! [`protocol`] is the protocol core alone, for counting what a datagram costs.
//! [`lab`] measures the client over a line between two network namespaces,
//! [`memory`] what processes take of memory, [`processor`] of CPU time;
//! [`floor`] is what a transfer costs at least. [`server`] is the other end of
//! a run, [`network`] where the ends are, [`scratch`] what stands around them.
//! The runs themselves are the examples: `lab`, `memory`, `flood`, `cpu`.
#![forbid(unsafe_code)]

pub mod floor;
pub mod lab;
pub mod memory;
pub mod network;
pub mod processor;
pub mod protocol;
pub mod scratch;
pub mod server;
