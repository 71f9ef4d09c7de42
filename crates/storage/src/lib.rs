//! The storage contract and the local disk.
#![forbid(unsafe_code)]
