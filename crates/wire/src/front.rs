//! The first bytes of a file that a receiver holds in part, as it gives them
//! back to a sender whose files are sealed as they are read: the header that
//! they were sealed under is among them. To the receiver they mean nothing.
//!
//! Most of a header is zeros, so runs of them are left out.

use crate::codec::{DecodeError, Reader, Sink};

/// How many bytes of a file its front is, at most.
pub const FRONT: usize = 64 * 1024;
/// Most stretches between the zeros that are left out.
pub const MAX_STRETCHES: usize = 64;
/// Most bytes of all stretches together.
pub const MAX_STRETCHED: usize = 16 * 1024;
/// As many zeros in a row are left out.
const RUN: usize = 16;

/// The first bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Front {
    length: usize,
    /// Zeros in front, and what follows them.
    stretches: Vec<(usize, Vec<u8>)>,
}

impl Front {
    /// The front of a file that begins with `bytes`; `None` if they are more
    /// than [`FRONT`], or have too little zeros.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let mut stretches: Vec<(usize, Vec<u8>)> = Vec::new();
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let run = rest.iter().take_while(|byte| **byte == 0).count();
            let end = rest[run..].iter().position(|byte| *byte == 0).map_or(rest.len(), |length| run + length);
            match stretches.last_mut().filter(|_| run < RUN) {
                Some((_, stretch)) => stretch.extend_from_slice(&rest[..end]),
                None if end > run => stretches.push((run, rest[run..end].to_vec())),
                None => {}
            }
            at += end;
        }
        let stretched: usize = stretches.iter().map(|(_, stretch)| stretch.len()).sum();
        let fits = bytes.len() <= FRONT && stretches.len() <= MAX_STRETCHES && stretched <= MAX_STRETCHED;
        fits.then_some(Self { length: bytes.len(), stretches })
    }

    /// The bytes.
    #[must_use]
    pub fn expand(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.length);
        for (zeros, stretch) in &self.stretches {
            bytes.resize(bytes.len() + zeros, 0);
            bytes.extend_from_slice(stretch);
        }
        bytes.resize(self.length, 0);
        bytes
    }

    /// What it costs to remember, bytes.
    #[must_use]
    pub fn cost(&self) -> u64 {
        self.stretches.iter().map(|(_, stretch)| stretch.len() as u64 + 32).sum::<u64>() + 32
    }

    pub(crate) fn put(&self, sink: &mut Vec<u8>) {
        sink.put_varint(self.length as u64);
        sink.put_varint(self.stretches.len() as u64);
        for (zeros, stretch) in &self.stretches {
            sink.put_varint(*zeros as u64);
            sink.put_string(stretch);
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = reader.count(FRONT)?;
        let count = reader.count(MAX_STRETCHES)?;
        let mut stretches = Vec::with_capacity(count);
        let (mut end, mut stretched) = (0, 0);
        for _ in 0..count {
            let zeros = reader.count(FRONT)?;
            let stretch = reader.string(MAX_STRETCHED)?.to_vec();
            end += zeros + stretch.len();
            stretched += stretch.len();
            if end > length || stretched > MAX_STRETCHED {
                return Err(reader.range());
            }
            stretches.push((zeros, stretch));
        }
        Ok(Self { length, stretches })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_header_is_mostly_left_out() {
        let mut header = vec![0; FRONT];
        header[..300].fill(7);
        header[32_700..32_800].fill(8);
        let front = Front::of(&header).unwrap();
        assert!(front.cost() < 600);
        assert_eq!(front.expand(), header);
        assert_eq!(Front::of(&[1; MAX_STRETCHED + 1]), None);
        assert_eq!(Front::of(&vec![0; FRONT + 1]), None);
        let many: Vec<u8> = (0..=MAX_STRETCHES).flat_map(|_| [&[1][..], &[0; RUN]].concat()).collect();
        assert_eq!(Front::of(&many), None);
    }

    proptest! {
        #[test]
        fn what_is_left_out_comes_back(pieces in prop::collection::vec((0..40_usize, prop::collection::vec(any::<u8>(), 0..40)), 0..30)) {
            let bytes: Vec<u8> = pieces.iter().flat_map(|(zeros, piece)| [&vec![0; *zeros][..], piece].concat()).collect();
            let front = Front::of(&bytes).unwrap();
            prop_assert_eq!(front.expand(), bytes);
            let mut encoded = Vec::new();
            front.put(&mut encoded);
            let mut reader = Reader::new("front", &encoded);
            prop_assert_eq!(Front::read(&mut reader).unwrap(), front);
            prop_assert!(reader.end().is_ok());
        }
    }
}
