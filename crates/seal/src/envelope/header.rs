//! The header of a file: the preamble and two copies of the slot table.
//!
//! Each copy ends with a MAC under a key that only the file key gives, which
//! is what makes it authentic, and with a digest, which tells damage from a
//! wrong key and needs none. Two copies, since a change of the slots is
//! written over the old ones: whatever a crash leaves of the copy that was
//! being written, the other one is whole.

use aws_lc_rs::{digest, hmac};
use limosa_wire::codec::Sink;

use super::error::EnvelopeError;
use super::key::FileKey;
use super::layout::Layout;
use super::preamble::{PREAMBLE, Preamble, header_len};
use super::table::{SlotTable, TABLE_HEAD};
use crate::AlgorithmSet;

const MAC: usize = 32;
const DIGEST: usize = 32;

/// Which copies of the slot table are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copies {
    /// Both, and they say the same.
    Both,
    /// The first; the second is damaged, or older since a change of the slots
    /// was interrupted.
    OnlyFirst,
    /// The second, likewise.
    OnlySecond,
}

/// A header as it was read: whole, but authentic only to who has the file key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    preamble: Preamble,
    table: SlotTable,
    /// The copy of the table as stored, without its digest.
    copy: Vec<u8>,
    copies: Copies,
}

impl Header {
    /// How long the header of a file is, from its first 16 bytes or more.
    ///
    /// # Errors
    /// If it is no envelope, or one of another version.
    pub fn length(start: &[u8]) -> Result<usize, EnvelopeError> {
        header_len(start)
    }

    /// Reads the header at the front of `bytes`.
    ///
    /// # Errors
    /// If it is none, is damaged beyond the one copy that is spare, or asks for
    /// what `set` does not hold.
    pub fn decode(bytes: &[u8], set: AlgorithmSet) -> Result<Self, EnvelopeError> {
        let preamble = Preamble::decode(bytes, set)?;
        let header = bytes.get(..preamble.layout.header()).ok_or(EnvelopeError::Truncated)?;
        let (front, tables) = header.split_at(PREAMBLE);
        let (first, second) = tables.split_at(copy_len(preamble.layout));
        let (copies, copy) = match (intact(front, first), intact(front, second)) {
            (Some(first), Some(second)) if first == second => (Copies::Both, first),
            (Some(first), Some(second)) => newer(first, second)?,
            (Some(first), None) => (Copies::OnlyFirst, first),
            (None, Some(second)) => (Copies::OnlySecond, second),
            (None, None) => return Err(EnvelopeError::HeaderDamaged),
        };
        let table = SlotTable::decode(&copy[..copy.len() - MAC])?;
        Ok(Self { preamble, table, copy: copy.to_vec(), copies })
    }

    /// What never changes.
    #[must_use]
    pub const fn preamble(&self) -> &Preamble {
        &self.preamble
    }

    /// The slots.
    #[must_use]
    pub const fn table(&self) -> &SlotTable {
        &self.table
    }

    /// Which copies of the table are good.
    #[must_use]
    pub const fn copies(&self) -> Copies {
        self.copies
    }

    /// Whether the header was made by somebody with the file key.
    pub(super) fn is_authentic(&self, key: &FileKey) -> bool {
        let (table, mac) = self.copy.split_at(self.copy.len() - MAC);
        hmac::verify(&key.header_key(), &maced(&self.preamble.encode(), table), mac).is_ok()
    }
}

/// The copy of the two that differ whose slots are the newer ones.
fn newer<'b>(first: &'b [u8], second: &'b [u8]) -> Result<(Copies, &'b [u8]), EnvelopeError> {
    let generation = |copy: &[u8]| copy.first_chunk::<8>().copied().map(u64::from_be_bytes);
    match generation(first).cmp(&generation(second)) {
        std::cmp::Ordering::Greater => Ok((Copies::OnlyFirst, first)),
        std::cmp::Ordering::Less => Ok((Copies::OnlySecond, second)),
        // No writer makes two tables of one generation.
        std::cmp::Ordering::Equal => Err(EnvelopeError::HeaderNotAuthentic),
    }
}

/// Length of one copy of the table, MAC and digest included.
const fn copy_len(layout: Layout) -> usize {
    (layout.header() - PREAMBLE) / 2
}

/// How long a header has to be for so many bytes of slots.
pub(super) const fn header_for(slots: usize) -> usize {
    PREAMBLE + 2 * (TABLE_HEAD + slots + MAC + DIGEST)
}

/// The copy without its digest, if that is right.
fn intact<'b>(preamble: &[u8], copy: &'b [u8]) -> Option<&'b [u8]> {
    let (body, expected) = copy.split_at(copy.len() - DIGEST);
    (digest_of(preamble, body).as_ref() == expected).then_some(body)
}

fn digest_of(preamble: &[u8], body: &[u8]) -> digest::Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(preamble);
    context.update(body);
    context.finish()
}

fn maced(preamble: &[u8; PREAMBLE], table: &[u8]) -> Vec<u8> {
    [preamble, table].concat()
}

/// One copy of the table as it is stored.
///
/// # Errors
/// [`EnvelopeError::NoRoom`] if it does not fit.
pub(super) fn encode_copy(preamble: &Preamble, table: &SlotTable, key: &FileKey) -> Result<Vec<u8>, EnvelopeError> {
    let length = copy_len(preamble.layout);
    let mut copy = Vec::with_capacity(length);
    table.encode(&mut copy);
    if copy.len() > length - MAC - DIGEST {
        return Err(EnvelopeError::NoRoom);
    }
    copy.resize(length - MAC - DIGEST, 0);
    let preamble = preamble.encode();
    let mac = hmac::sign(&key.header_key(), &maced(&preamble, &copy));
    copy.put(mac.as_ref());
    let digest = digest_of(&preamble, &copy);
    copy.put(digest.as_ref());
    Ok(copy)
}

/// Where the copies lie in the file.
pub(super) const fn copy_offsets(layout: Layout) -> [usize; 2] {
    [PREAMBLE, PREAMBLE + copy_len(layout)]
}
