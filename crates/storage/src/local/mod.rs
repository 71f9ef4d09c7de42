//! The local disk: a directory of this machine as a store.
//!
//! The root is held open; every operation starts from that handle and goes
//! from directory handle to name, never through an absolute path. Whether
//! symbolic links may lead anywhere is a [`Confinement`]; the kernel enforces
//! it where it can ([`Resolver`]).
//!
//! * `resolve`: from a path to a handle, confined.
//! * `walk`: the same by hand, for kernels and sandboxes without `openat2`.
//! * `parents`: the directories that were used last, kept open for a moment.
//! * `batch`: many files synced in one step.
//! * `file`: open files. `names`: operations on names. `list`, `attributes`:
//!   what they say. `kind`: of file system.

mod attributes;
mod batch;
mod file;
mod kind;
mod list;
mod names;
mod parents;
mod resolve;
mod store;
mod walk;

pub use resolve::{Confinement, Resolver};
pub use store::LocalStore;

#[cfg(test)]
mod tests;
