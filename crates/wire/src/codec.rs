//! Reading hostile bytes and writing our own: the primitives of every format.
//!
//! Integers are big-endian where their width is fixed, else variable: seven
//! bits a byte, low bits first, high bit set on all but the last byte, in the
//! shortest form only, so that a value has one encoding.
//!
//! What every datagram passes through is marked for inlining: it is called from
//! other crates, a dozen times a datagram.

use thiserror::Error;

/// Longest encoding of a variable-length integer.
pub const MAX_VARINT: usize = 10;

/// Why bytes are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The message ends early.
    #[error("{0}: message ends early")]
    Truncated(&'static str),
    /// A value is outside its range.
    #[error("{0}: value out of range")]
    Range(&'static str),
    /// A type or choice that this version does not know.
    #[error("{0}: unknown kind")]
    Unknown(&'static str),
    /// Bytes are left behind the end of the message.
    #[error("{0}: bytes behind the end")]
    Trailing(&'static str),
}

/// Where encoders write.
pub trait Sink {
    /// Appends `bytes`.
    fn put(&mut self, bytes: &[u8]);

    /// Appends one byte.
    fn put_u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    /// Appends a 16-bit integer.
    fn put_u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }

    /// Appends a 32-bit integer.
    fn put_u32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }

    /// Appends a 64-bit integer.
    fn put_u64(&mut self, value: u64) {
        self.put(&value.to_be_bytes());
    }

    /// Appends a variable-length integer.
    #[allow(clippy::cast_possible_truncation)]
    fn put_varint(&mut self, mut value: u64) {
        let mut bytes = [0; MAX_VARINT];
        let mut used = 0;
        loop {
            bytes[used] = value as u8 & 0x7f;
            value >>= 7;
            used += 1;
            if value == 0 {
                break;
            }
            bytes[used - 1] |= 0x80;
        }
        self.put(&bytes[..used]);
    }

    /// Appends a byte string behind its length.
    fn put_string(&mut self, bytes: &[u8]) {
        self.put_varint(bytes.len() as u64);
        self.put(bytes);
    }
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// A sink over a fixed buffer: datagrams are built in place.
#[derive(Debug)]
pub struct Cursor<'a> {
    buffer: &'a mut [u8],
    used: usize,
}

impl<'a> Cursor<'a> {
    /// Starts at the front of `buffer`.
    #[inline]
    pub fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, used: 0 }
    }

    /// Bytes written.
    #[must_use]
    #[inline]
    pub fn used(&self) -> usize {
        self.used
    }

    /// Bytes still free.
    #[must_use]
    #[inline]
    pub fn room(&self) -> usize {
        self.buffer.len() - self.used
    }

    /// The free part of the buffer, to be filled in place; see [`Self::advance`].
    #[inline]
    pub fn free(&mut self) -> &mut [u8] {
        &mut self.buffer[self.used..]
    }

    /// Counts the first `bytes` of the free part as written.
    ///
    /// # Panics
    /// When there are not that many.
    #[inline]
    pub fn advance(&mut self, bytes: usize) {
        assert!(bytes <= self.room(), "more written than there was room for");
        self.used += bytes;
    }
}

impl Sink for Cursor<'_> {
    /// # Panics
    /// When the buffer is full: callers ask for the encoded length first.
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.buffer[self.used..self.used + bytes.len()].copy_from_slice(bytes);
        self.used += bytes.len();
    }
}

/// Length of `value` as a variable-length integer.
#[must_use]
pub const fn varint_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Reads one message from front to back; every step names the message for the
/// error.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// Reads `bytes` as a `what`.
    #[must_use]
    #[inline]
    pub fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { rest: bytes, what }
    }

    /// Bytes not yet read.
    #[must_use]
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything was read.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// An "out of range" error for this message.
    #[must_use]
    #[inline]
    pub fn range(&self) -> DecodeError {
        DecodeError::Range(self.what)
    }

    /// An "unknown kind" error for this message.
    #[must_use]
    pub fn unknown(&self) -> DecodeError {
        DecodeError::Unknown(self.what)
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if there are fewer.
    #[inline]
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(DecodeError::Truncated(self.what))?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes as an array.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if there are fewer.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated(self.what))?;
        self.rest = rest;
        Ok(*taken)
    }

    /// The next byte.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] at the end.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A 16-bit integer.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] at the end.
    #[inline]
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    /// A 32-bit integer.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] at the end.
    #[inline]
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A 64-bit integer.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] at the end.
    #[inline]
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    /// A variable-length integer.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] at the end, [`DecodeError::Range`] above 64
    /// bits or when a shorter form exists.
    #[inline]
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(self.range());
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return if byte == 0 && shift > 0 { Err(self.range()) } else { Ok(value) };
            }
        }
        Err(self.range())
    }

    /// A variable-length integer of at most `limit`.
    ///
    /// # Errors
    /// As [`Self::varint`], and [`DecodeError::Range`] above the limit.
    pub fn varint_up_to(&mut self, limit: u64) -> Result<u64, DecodeError> {
        let value = self.varint()?;
        if value <= limit { Ok(value) } else { Err(self.range()) }
    }

    /// A count or length of at most `limit`, as a `usize`.
    ///
    /// # Errors
    /// As [`Self::varint_up_to`].
    #[allow(clippy::cast_possible_truncation)]
    pub fn count(&mut self, limit: usize) -> Result<usize, DecodeError> {
        self.varint_up_to(limit as u64).map(|count| count as usize)
    }

    /// A byte string of at most `limit` bytes behind its length.
    ///
    /// # Errors
    /// As [`Self::count`] and [`Self::take`].
    pub fn string(&mut self, limit: usize) -> Result<&'a [u8], DecodeError> {
        let length = self.count(limit)?;
        self.take(length)
    }

    /// UTF-8 text of at most `limit` bytes behind its length.
    ///
    /// # Errors
    /// As [`Self::string`], and [`DecodeError::Range`] if it is not UTF-8.
    pub fn text(&mut self, limit: usize) -> Result<&'a str, DecodeError> {
        let bytes = self.string(limit)?;
        std::str::from_utf8(bytes).map_err(|_| self.range())
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// [`DecodeError::Trailing`] if something is.
    pub fn end(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing(self.what)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn varints_return_and_have_one_form(value: u64) {
            let mut bytes = Vec::new();
            bytes.put_varint(value);
            prop_assert_eq!(bytes.len(), varint_len(value));
            let mut reader = Reader::new("test", &bytes);
            prop_assert_eq!(reader.varint(), Ok(value));
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn what_decodes_encodes_back(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            let mut reader = Reader::new("test", &bytes);
            if let Ok(value) = reader.varint() {
                let mut again = Vec::new();
                again.put_varint(value);
                prop_assert_eq!(&bytes[..again.len()], &again[..]);
            }
        }
    }

    #[test]
    fn long_forms_are_refused() {
        for bytes in [&[0x80, 0x00][..], &[0xff; 10], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]] {
            assert!(Reader::new("test", bytes).varint().is_err(), "{bytes:?}");
        }
    }
}
