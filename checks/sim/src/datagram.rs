//! What crosses a link: anything with a length on the wire.

use limosa_transport::Ecn;

use crate::random::Random;
use crate::{pace, tcp};

/// Bytes of an IPv4 header without options.
pub const IPV4_HEADER: u32 = 20;
/// Bytes of a UDP header.
pub const UDP_HEADER: u32 = 8;

/// A packet as a link sees it.
pub trait Wire: Clone {
    /// Its length as an IP packet, headers included, in bytes.
    fn wire_length(&self) -> u32;

    /// Damages it by one bit, as a line does that no checksum guards. False if
    /// it carries no bytes that could be damaged: then it is dropped instead,
    /// as the receiver's checksum would do.
    fn corrupt(&mut self, random: &mut Random) -> bool;

    /// Marks it as having met congestion (RFC 3168). False if its sender did
    /// not say that it understands: then it is dropped instead.
    fn mark(&mut self) -> bool {
        false
    }
}

/// The packets of everything this crate can run over one line.
#[derive(Clone, Debug)]
pub enum Datagram {
    /// A UDP datagram of the real transport.
    Udp(Udp),
    /// A segment or acknowledgement of a TCP model.
    Tcp(tcp::Segment),
    /// A numbered packet of a paced sender.
    Paced(pace::Numbered),
    /// A report to a paced sender.
    Report(Box<pace::Report>),
}

/// One UDP datagram: bytes, and the length that they stand for.
///
/// Moving the payload of ten million datagrams through memory says nothing that
/// its length does not; so a sender may write headers and frames and only
/// state how long the datagram would be. The line counts and delays it as if
/// it were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Udp {
    /// Bytes that are there.
    pub bytes: Vec<u8>,
    /// Length of the payload that they stand for.
    pub length: u32,
    /// Congestion marking of its IP header.
    pub ecn: Ecn,
}

impl Udp {
    /// A datagram all of whose bytes are real.
    #[must_use]
    pub fn real(bytes: Vec<u8>) -> Self {
        let length = bytes.len();
        Self::claiming(bytes, length)
    }

    /// Bytes that stand for `length` of them.
    #[must_use]
    pub fn claiming(bytes: Vec<u8>, length: usize) -> Self {
        Self { bytes, length: length as u32, ecn: Ecn::NotCapable }
    }
}

impl Wire for Udp {
    fn wire_length(&self) -> u32 {
        IPV4_HEADER + UDP_HEADER + self.length
    }

    fn corrupt(&mut self, random: &mut Random) -> bool {
        let bit = random.below(self.bytes.len() as u64 * 8);
        match self.bytes.get_mut((bit / 8) as usize) {
            Some(byte) => {
                *byte ^= 1 << (bit % 8);
                true
            }
            None => false,
        }
    }

    fn mark(&mut self) -> bool {
        let capable = self.ecn != Ecn::NotCapable;
        if capable {
            self.ecn = Ecn::Congestion;
        }
        capable
    }
}

impl Wire for Datagram {
    fn wire_length(&self) -> u32 {
        match self {
            Self::Udp(udp) => udp.wire_length(),
            Self::Tcp(segment) => segment.wire_length(),
            Self::Paced(packet) => packet.size,
            Self::Report(report) => report.wire_length(),
        }
    }

    fn corrupt(&mut self, random: &mut Random) -> bool {
        match self {
            Self::Udp(udp) => udp.corrupt(random),
            Self::Tcp(_) | Self::Paced(_) | Self::Report(_) => false,
        }
    }

    fn mark(&mut self) -> bool {
        match self {
            Self::Udp(udp) => udp.mark(),
            Self::Tcp(_) | Self::Paced(_) | Self::Report(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Seed;

    #[test]
    fn claimed_bytes_weigh_like_real_ones() {
        let real = Udp::real(vec![0; 1400]);
        let claimed = Udp::claiming(vec![0; 40], 1400);
        assert_eq!(real.wire_length(), 1428);
        assert_eq!(claimed.wire_length(), real.wire_length());
    }

    #[test]
    fn corruption_flips_exactly_one_bit() {
        let mut random = Seed(1).stream("corruption");
        for _ in 0..100 {
            let mut udp = Udp::real(vec![0; 33]);
            assert!(udp.corrupt(&mut random));
            assert_eq!(udp.bytes.iter().map(|b| b.count_ones()).sum::<u32>(), 1);
        }
        assert!(!Udp::claiming(Vec::new(), 9).corrupt(&mut random));
    }
}
