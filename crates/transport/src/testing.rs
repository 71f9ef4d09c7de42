//! What tests and the simulator put in place of the real thing: protection
//! that hides nothing and still notices every flipped bit and every foreign
//! datagram.

use limosa_wire::PacketNumber;
use limosa_wire::datagram::TAG_LEN;

use crate::protection::{Protection, split_tag};

/// A keyed checksum instead of a cipher. It stops accidents, not attackers,
/// and is meant for virtual networks only.
#[derive(Clone, Debug)]
pub struct NullProtection {
    send: u64,
    receive: u64,
}

impl NullProtection {
    /// The two ends of a session that agreed on `key`.
    #[must_use]
    pub fn pair(key: u64) -> (Self, Self) {
        let (there, back) = (mix(key ^ 0x5bf0_3635), mix(key ^ 0xdcd9_1ba1));
        (Self { send: there, receive: back }, Self { send: back, receive: there })
    }
}

impl Protection for NullProtection {
    fn seal(&mut self, number: PacketNumber, header: &[u8], inside: &mut [u8]) {
        if let Some((frames, tag)) = split_tag(inside) {
            *tag = checksum(self.send, number, header, frames);
        }
    }

    fn open(&mut self, number: PacketNumber, header: &[u8], inside: &mut [u8]) -> Option<usize> {
        let (frames, tag) = split_tag(inside)?;
        (*tag == checksum(self.receive, number, header, frames)).then_some(frames.len())
    }
}

fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    value ^ (value >> 29)
}

fn checksum(key: u64, number: PacketNumber, header: &[u8], frames: &[u8]) -> [u8; TAG_LEN] {
    let mut state = mix(key ^ number.get()) ^ frames.len() as u64;
    for part in [header, frames] {
        let mut words = part.chunks_exact(8);
        for word in &mut words {
            state = mix(state ^ u64::from_le_bytes(word.try_into().unwrap_or_default())).wrapping_add(key);
        }
        let mut last = [0; 8];
        last[..words.remainder().len()].copy_from_slice(words.remainder());
        state = mix(state ^ u64::from_le_bytes(last)).wrapping_add(key);
    }
    let mut tag = [0; TAG_LEN];
    tag[..8].copy_from_slice(&state.to_le_bytes());
    tag[8..].copy_from_slice(&mix(state ^ key).to_le_bytes());
    tag
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_flipped_bit_is_noticed(frames in proptest::collection::vec(any::<u8>(), 0..80), bit in 0usize..10_000) {
            let (mut a, mut b) = NullProtection::pair(9);
            let number = PacketNumber::new(77).unwrap();
            let mut datagram = vec![1; 11];
            datagram.extend_from_slice(&frames);
            datagram.extend_from_slice(&[0; TAG_LEN]);
            let (header, inside) = datagram.split_at_mut(11);
            a.seal(number, header, inside);
            prop_assert_eq!(b.open(number, header, inside), Some(frames.len()));
            let bit = bit % (datagram.len() * 8);
            datagram[bit / 8] ^= 1 << (bit % 8);
            let (header, inside) = datagram.split_at_mut(11);
            prop_assert_eq!(b.open(number, header, inside), None);
        }
    }

    #[test]
    fn directions_and_keys_differ() {
        let (mut a, mut b) = NullProtection::pair(1);
        let (_, mut c) = NullProtection::pair(2);
        let mut inside = [0; 20];
        a.seal(PacketNumber::default(), b"header", &mut inside);
        assert_eq!(a.open(PacketNumber::default(), b"header", &mut inside), None);
        assert_eq!(c.open(PacketNumber::default(), b"header", &mut inside), None);
        assert_eq!(b.open(PacketNumber::default(), b"header", &mut inside), Some(4));
    }
}
