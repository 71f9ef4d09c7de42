//! A disk that forgets what was not synced.
//!
//! [`Disk`] is a [`Store`](limosa_storage::Store) in memory that knows, beside
//! what its files look like now, what of that has reached stable storage:
//!
//! * per page of 4 KiB the version last synced and those written since;
//! * the length and the attributes last synced and those set since;
//! * the names last synced and every change since, a rename as one change.
//!
//! [`Disk::lose_power`] draws from a seed which of the unsynced effects
//! survive: each by itself, in any order, pages also torn at their sectors.
//! What POSIX promises is kept: a rename happens whole or not at all, and
//! what was synced is there. [`Disk::kill`] ends the process that uses the
//! disk and forgets nothing.
//!
//! A disk can be told to stop at any of its operations, to fail, to run full,
//! to hang, to flip bits, and how fast it is ([`Fault`], [`Speed`]).
//!
//! * `content`: the bytes of one file, in all their versions.
//! * `inode`: files, directories and links.
//! * `names`: lookup, and the changes of names that are not yet synced.
//! * `state`: all of it, with the gate every operation passes.
//! * `crash`: what is left after power loss or kill.
//! * `store`, `file`: the contract.

mod content;
mod crash;
mod fault;
mod file;
mod inode;
mod names;
mod speed;
mod state;
mod store;

pub use fault::{Effect, Fault};
pub use speed::{Speed, Stall};
pub use store::Disk;

#[cfg(test)]
mod tests;
