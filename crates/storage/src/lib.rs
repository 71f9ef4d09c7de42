//! The storage contract and what stands behind it.
//!
//! A transfer reads and writes files through [`Store`] and the two file
//! handles [`ReadFile`] and [`WriteFile`]; it knows neither paths of the
//! operating system nor which disk, memory or service holds the bytes.
//!
//! * [`path`]: names and paths inside a store, parsed once from foreign bytes.
//! * [`metadata`]: what a store tells about a file, and what may be set.
//! * [`error`]: failures by their meaning, with what was tried and where.
//! * [`contract`]: the traits every back end and every wrapper implements.
//! * [`local`]: a directory of this machine, confined by the kernel.
//! * [`memory`]: a store for tests.
//! * [`sealed`]: files encrypted at rest, over any other store.
//! * [`protecting`]: wrappers through which a client sends files encrypted and
//!   decrypts those it fetches.
//! * [`conformance`]: the suite that every implementation must pass.
//!
//! Everything here is blocking: callers run it on threads of their own.
#![forbid(unsafe_code)]

pub mod conformance;
pub mod contract;
mod coverage;
pub mod error;
pub mod local;
pub mod memory;
pub mod metadata;
mod open_files;
pub mod path;
mod pool;
pub mod protecting;
pub mod sealed;
mod segments;

pub use contract::{
    AppendFile, Capabilities, Cursor, DirectoryEntry, Durability, FollowLinks, LockGuard, Overwrite, Page, Publish,
    ReadFile, Space, Staged, Store, WriteFile, make_directories, read_whole,
};
pub use error::{ErrorKind, Operation, Result, StorageError};
pub use local::{Confinement, LocalStore, Resolver};
pub use memory::MemoryStore;
pub use metadata::{Attributes, Kind, Metadata, Owner, Special, Timestamp};
pub use path::{Name, PathError, StorePath};
pub use sealed::{MasterKeySource, MasterKeys, SealedStore};
