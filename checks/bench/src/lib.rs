//! Throughput runs and the comparison with peers.
#![forbid(unsafe_code)]
