//! Protection of datagrams as a value: the core calls it, whoever made the
//! session chooses it.

use limosa_wire::PacketNumber;
use limosa_wire::datagram::TAG_LEN;

/// Seals and opens the datagrams of one session.
///
/// One value serves both directions with a key each, and derives the keys of
/// later epochs (packet number >> 22) by itself; that no sender runs more than
/// eight epochs ahead of what its peer reported is the connection's business.
pub trait Protection: Send {
    /// Protects a datagram in place: `inside` holds the frames followed by
    /// [`TAG_LEN`] free bytes for the tag. `header` is authenticated with
    /// them. A number is used once.
    fn seal(&mut self, number: PacketNumber, header: &[u8], inside: &mut [u8]);

    /// Checks and uncovers a datagram in place: `inside` holds what
    /// [`Self::seal`] left. Returns the length of the frames at its front, or
    /// nothing if the datagram is not authentic; then `inside` may hold
    /// anything.
    fn open(&mut self, number: PacketNumber, header: &[u8], inside: &mut [u8]) -> Option<usize>;
}

impl Protection for Box<dyn Protection> {
    fn seal(&mut self, number: PacketNumber, header: &[u8], inside: &mut [u8]) {
        (**self).seal(number, header, inside);
    }

    fn open(&mut self, number: PacketNumber, header: &[u8], inside: &mut [u8]) -> Option<usize> {
        (**self).open(number, header, inside)
    }
}

/// Splits what [`Protection::seal`] and [`Protection::open`] are given into
/// frames and tag; nothing if it is shorter than a tag.
#[must_use]
pub fn split_tag(inside: &mut [u8]) -> Option<(&mut [u8], &mut [u8; TAG_LEN])> {
    inside.split_last_chunk_mut::<TAG_LEN>()
}
