//! The outside of a datagram: `flags(1) · session id(4) · packet number(6) ·
//! protected frames · tag(16)`.
//!
//! The eleven bytes of the header are authenticated, not hidden.

use crate::codec::{DecodeError, Reader};
use crate::{PacketNumber, SessionId};

/// Bytes of the header.
pub const HEADER_LEN: usize = 11;
/// Bytes of the authentication tag, whatever the suite.
pub const TAG_LEN: usize = 16;
/// Bytes around the frames of one datagram.
pub const OVERHEAD: usize = HEADER_LEN + TAG_LEN;
/// Smallest datagram that can hold a frame.
pub const MIN_DATAGRAM: usize = OVERHEAD + 1;
/// Largest datagram ever sent or taken: a 9,000-byte IPv4 packet.
pub const MAX_DATAGRAM: usize = 9_000 - 28;
/// IP packet size that every path is taken to carry.
pub const MIN_PACKET: usize = 1_280;

/// Flag: the receiver is asked to report when this datagram arrived.
const STAMP: u8 = 0x01;

/// The header of one datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The session it belongs to.
    pub session: SessionId,
    /// Its number in its direction.
    pub number: PacketNumber,
    /// The sender asks for its arrival time ([`crate::frame::Report::stamps`]).
    pub stamp: bool,
}

impl Header {
    /// The header as bytes.
    #[must_use]
    #[inline]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        // Not through a cursor: this is done for every datagram, and a load that
        // spans several stores of a moment ago waits for all stores before them.
        let [_, _, n @ ..] = self.number.get().to_be_bytes();
        let s = self.session.0.to_be_bytes();
        let flags = if self.stamp { STAMP } else { 0 };
        [flags, s[0], s[1], s[2], s[3], n[0], n[1], n[2], n[3], n[4], n[5]]
    }

    /// Splits a datagram into its header and the protected rest.
    ///
    /// # Errors
    /// If it is too short or too long, or has a reserved flag set.
    #[inline]
    pub fn decode(datagram: &[u8]) -> Result<(Self, &[u8]), DecodeError> {
        const WHAT: &str = "datagram";
        if datagram.len() < MIN_DATAGRAM {
            return Err(DecodeError::Truncated(WHAT));
        }
        let mut reader = Reader::new(WHAT, datagram);
        let flags = reader.u8()?;
        if flags & !STAMP != 0 || datagram.len() > MAX_DATAGRAM {
            return Err(reader.range());
        }
        let session = SessionId(reader.u32()?);
        let (high, low) = (reader.u16()?, reader.u32()?);
        let number = u64::from(high) << 32 | u64::from(low);
        let number = PacketNumber::new(number).ok_or(DecodeError::Range(WHAT))?;
        Ok((Self { session, number, stamp: flags & STAMP != 0 }, reader.rest()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn headers_return(session: u32, number in 0..=PacketNumber::MAX.get(), stamp: bool, rest in 17usize..64) {
            let header = Header { session: SessionId(session), number: PacketNumber::new(number).unwrap(), stamp };
            let mut datagram = header.encode().to_vec();
            datagram.resize(HEADER_LEN + rest, 7);
            let (again, protected) = Header::decode(&datagram).unwrap();
            prop_assert_eq!(again, header);
            prop_assert_eq!(protected.len(), rest);
        }
    }

    #[test]
    fn the_header_is_flags_session_and_number_in_this_order() {
        let number = PacketNumber::new(0x0102_0304_0506).unwrap();
        let header = Header { session: SessionId(0x1a2b_3c4d), number, stamp: true };
        assert_eq!(header.encode(), [1, 0x1a, 0x2b, 0x3c, 0x4d, 1, 2, 3, 4, 5, 6]);
        let last = Header { number: PacketNumber::MAX, stamp: false, ..header };
        assert_eq!(last.encode(), [0, 0x1a, 0x2b, 0x3c, 0x4d, 255, 255, 255, 255, 255, 255]);
    }

    #[test]
    fn reserved_flags_and_stumps_are_refused() {
        let mut datagram = [0; 40];
        datagram[0] = 0x02;
        assert!(Header::decode(&datagram).is_err());
        assert!(Header::decode(&[0; MIN_DATAGRAM - 1]).is_err());
        assert!(Header::decode(&[0; MAX_DATAGRAM + 1]).is_err());
    }
}
