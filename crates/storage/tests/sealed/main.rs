//! Files sealed at rest: the contract is kept over every store, nothing of the
//! content reaches the store below, what was changed there is noticed.

#![allow(clippy::unwrap_used, unreachable_pub)] // scenes of tests

mod conformance;
mod damage;
mod keys;
mod model;
mod stores;
