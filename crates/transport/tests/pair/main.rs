//! Two connections over a virtual line: what the protocol promises, one test
//! a promise.
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

mod application;
mod network;

mod crossing;
mod ending;
mod faults;
mod hostile;
mod opening;
mod receiver;

/// A million bytes.
const MB: u64 = 1_000_000;
