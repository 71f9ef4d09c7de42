//! Payload as lengths: how a simulator moves a terabyte without touching it.
//!
//! With [`crate::Payload::Lengths`] a `Data` frame carries, in place of its
//! bytes, their number in two bytes (big-endian), padding is left out, and
//! behind each datagram's tag stand two bytes more: the size that the datagram
//! would have had. All else (headers, numbers, tags, reports) is as ever. The
//! application's `fill` is asked for bytes that nobody reads and `deliver` is
//! given zeros; sizes counted for rate, pacing and statistics are the claimed
//! ones.

/// Bytes of the claim behind each datagram, and of the length in each frame.
pub const CLAIM_LEN: usize = 2;

/// The size in bytes that a datagram made with [`crate::Payload::Lengths`]
/// stands for (UDP payload, without IP and UDP headers).
#[must_use]
pub fn claimed(datagram: &[u8]) -> usize {
    datagram.last_chunk::<CLAIM_LEN>().map_or(0, |claim| usize::from(u16::from_be_bytes(*claim)))
}

/// Splits a datagram into itself and the size it claims.
pub(crate) fn split_claim(datagram: &mut [u8]) -> Option<(&mut [u8], usize)> {
    let (datagram, claim) = datagram.split_last_chunk_mut::<CLAIM_LEN>()?;
    let claim = usize::from(u16::from_be_bytes(*claim));
    (claim >= datagram.len() && claim <= limosa_wire::datagram::MAX_DATAGRAM).then_some((datagram, claim))
}
