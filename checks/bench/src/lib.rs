//! Throughput runs and the comparison with peers.
//!
//! [`lab`] measures the client over a line between two network namespaces.
#![forbid(unsafe_code)]

pub mod lab;
