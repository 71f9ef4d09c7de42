//! Throughput runs and the comparison with peers.
//!
//! [`lab`] measures the client over a line between two network namespaces,
//! [`memory`] what processes take of memory; [`server`] is the other end of a
//! run, [`scratch`] what stands around it. The runs themselves are the
//! examples: `lab`, `memory`, `flood`.
#![forbid(unsafe_code)]

pub mod lab;
pub mod memory;
pub mod scratch;
pub mod server;
