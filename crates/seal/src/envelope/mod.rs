//! The envelope: a file encrypted at rest, as `docs/ENVELOPE.md` describes it.
//!
//! ```text
//! header   preamble 64 · slot table · slot table again      D bytes
//! segment  head 32 · up to L bytes of ciphertext            as many as it takes
//! ```
//!
//! The preamble is fixed for the life of the file: suite, sizes, file id. A
//! random file key encrypts the content; each slot of the table holds that key,
//! wrapped for a passphrase, for a recipient's public key or by a master key.
//! Slots come and go without touching the content.
//!
//! Reading order: [`Layout`] for where what lies; [`Preamble`] and [`Slot`] for
//! the header's parts and [`Header`] for the whole; [`Passphrase`],
//! [`Identity`] and [`MasterKey`] for what opens it; [`Envelope`], which is a
//! file key that was proven to belong to its header, for what can be done
//! then; [`SegmentSealer`] and [`SegmentOpener`] for the content, one segment
//! at a time and in any order; [`SealingWriter`] and [`OpeningReader`] for
//! whole files.

mod error;
mod header;
mod hpke;
mod key;
mod keyring;
mod layout;
mod opened;
mod pem;
mod preamble;
mod reader;
mod recipient;
mod segment;
mod slot;
mod table;
mod writer;

pub use error::{EnvelopeError, StreamError};
pub use header::{Copies, Header};
pub use keyring::{Keyring, MasterKey, MasterKeyId, Passphrase, StretchedPassphrase};
pub use layout::{Extent, HEAD, Layout, Plain, Sealed, SegmentNumber};
pub use opened::{Envelope, FileKeySeed, HeaderUpdate, SlotFor};
pub use preamble::{FileId, MAGIC, PREAMBLE, Preamble, VERSION};
pub use reader::OpeningReader;
pub use recipient::{Fingerprint, Identity, Recipient};
pub use segment::{End, Form, Opened, SegmentOpener, SegmentSealer};
pub use slot::{MAX_PASSPHRASE_SLOTS, MAX_SLOTS, Slot};
pub use table::SlotTable;
pub use writer::SealingWriter;

#[cfg(test)]
mod tests;
