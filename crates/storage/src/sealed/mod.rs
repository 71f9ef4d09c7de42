//! A store whose files are encrypted at rest: [`SealedStore`], over any other.
//!
//! Each file that is made through it is an envelope (`docs/ENVELOPE.md`) in the
//! plain layout, with a slot for a master key. Everybody above sees content and
//! lengths of content; the store below sees ciphertext alone. Names,
//! directories, links, attributes, locks and journals
//! ([`Store::open_append`](crate::Store::open_append)) pass through as they are.
//!
//! A file says for itself whether this store has sealed it ([`CONTEXT`]). All
//! others in the same tree are content as they stand, envelopes that clients
//! made among them.
//!
//! * `keys`: the master keys that seal and open.
//! * `recognize`: which files are ours, and how long their content is.
//! * `cipher`: segments of one file, sealed and opened by any number of threads.
//! * `reader`: a file that is only read.
//! * `ledger`: what is stored of a file that is written, and what waits in
//!   memory. Bookkeeping alone.
//! * `pieces`: what waits of one segment.
//! * `writer`: a file that is written.
//! * `handle`: what those who write it hold.
//! * `plain`: a file that is written and not sealed.
//! * `store`: the contract.
//! * `rewrap`: another master key for files that are there.

mod cipher;
mod handle;
mod keys;
mod ledger;
mod pieces;
mod plain;
mod reader;
mod recognize;
mod rewrap;
mod store;
mod writer;

pub use keys::{MasterKeySource, MasterKeys};
pub use recognize::CONTEXT;
pub use rewrap::{Rewrapped, rewrap};
pub use store::SealedStore;
