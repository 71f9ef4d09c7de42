//! One segment: sealed and opened on its own, in any order, any number of
//! times.
//!
//! ```text
//! flags 4 · nonce 12 · tag 16 · ciphertext
//! associated data: number 8 · length of the content 4 · flags 4
//! ```
//!
//! Each sealing draws a fresh nonce, also of a segment that was sealed before:
//! nothing has to be remembered, so nothing can be forgotten in a crash. What
//! bounds the number of sealings under one key is said in
//! `docs/ENVELOPE.md`.

use std::fmt;

use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce, RandomizedNonceKey};

use super::error::EnvelopeError;
use super::key::{SegmentKeys, group_of};
use super::layout::{HEAD, Layout, SegmentNumber};

const FINAL: u32 = 1;
const ZEROS: u32 = 2;

/// Whether a segment is the last of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Others follow.
    More,
    /// It is the last.
    Final,
}

/// How content is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As ciphertext.
    Data,
    /// Not at all: it is zeros, and so is what is stored in its place, which
    /// may be a hole.
    Zeros,
}

/// A segment that is authentic.
#[derive(Debug)]
pub struct Opened<'b> {
    /// The content.
    pub plain: &'b mut [u8],
    /// How it was stored.
    pub form: Form,
    /// Whether it is the last of its file. The length of the file must agree.
    pub end: End,
}

const fn flags(end: End, form: Form) -> u32 {
    let end = if matches!(end, End::Final) { FINAL } else { 0 };
    let form = if matches!(form, Form::Zeros) { ZEROS } else { 0 };
    end | form
}

#[allow(clippy::cast_possible_truncation)]
fn associated(number: SegmentNumber, length: usize, flags: u32) -> Aad<[u8; 16]> {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.0.to_be_bytes());
    bytes[8..12].copy_from_slice(&(length as u32).to_be_bytes());
    bytes[12..].copy_from_slice(&flags.to_be_bytes());
    Aad::from(bytes)
}

/// Seals segments of one file.
pub struct SegmentSealer {
    keys: SegmentKeys,
    layout: Layout,
    /// The key of the group used last.
    current: Option<(u64, RandomizedNonceKey)>,
}

impl SegmentSealer {
    pub(super) const fn new(keys: SegmentKeys, layout: Layout) -> Self {
        Self { keys, layout, current: None }
    }

    /// Seals one segment in place: `segment` holds [`HEAD`] bytes of room and
    /// the content behind them.
    ///
    /// # Errors
    /// [`EnvelopeError::TooLong`] for more content than a segment holds, or no
    /// room for the head.
    pub fn seal(&mut self, number: SegmentNumber, end: End, segment: &mut [u8]) -> Result<(), EnvelopeError> {
        let (head, plain) = segment.split_first_chunk_mut().ok_or(EnvelopeError::TooLong)?;
        *head = self.head(number, flags(end, Form::Data), plain.len(), plain)?;
        Ok(())
    }

    /// The head of a segment of so many zeros. What is stored behind it is as
    /// many zeros, best as a hole.
    ///
    /// # Errors
    /// As [`Self::seal`].
    pub fn zeros(&mut self, number: SegmentNumber, end: End, length: usize) -> Result<[u8; HEAD], EnvelopeError> {
        self.head(number, flags(end, Form::Zeros), length, &mut [])
    }

    fn head(
        &mut self,
        number: SegmentNumber,
        flags: u32,
        length: usize,
        plain: &mut [u8],
    ) -> Result<[u8; HEAD], EnvelopeError> {
        if length > self.layout.segment() {
            return Err(EnvelopeError::TooLong);
        }
        let sealed = self.key(number).seal_in_place_separate_tag(associated(number, length, flags), plain);
        let (nonce, tag) = sealed.expect("a segment is far below the cipher's limit");
        let mut head = [0; HEAD];
        head[..4].copy_from_slice(&flags.to_be_bytes());
        head[4..16].copy_from_slice(nonce.as_ref());
        head[16..].copy_from_slice(tag.as_ref());
        Ok(head)
    }

    fn key(&mut self, number: SegmentNumber) -> &RandomizedNonceKey {
        let group = group_of(number);
        let kept = self.current.take().filter(|(current, _)| *current == group);
        let kept = kept.unwrap_or_else(|| (group, self.keys.sealing(group)));
        &self.current.insert(kept).1
    }
}

impl fmt::Debug for SegmentSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentSealer").field("layout", &self.layout).finish_non_exhaustive()
    }
}

/// Opens segments of one file.
pub struct SegmentOpener {
    keys: SegmentKeys,
    layout: Layout,
    current: Option<(u64, LessSafeKey)>,
}

impl SegmentOpener {
    pub(super) const fn new(keys: SegmentKeys, layout: Layout) -> Self {
        Self { keys, layout, current: None }
    }

    /// Opens one segment in place: `segment` is all that is stored of it. When
    /// it fails, what `segment` holds has no meaning.
    ///
    /// # Errors
    /// [`EnvelopeError::SegmentNotAuthentic`] if it is not what was sealed
    /// under this number.
    pub fn open<'b>(&mut self, number: SegmentNumber, segment: &'b mut [u8]) -> Result<Opened<'b>, EnvelopeError> {
        let wrong = EnvelopeError::SegmentNotAuthentic(number);
        let Some((head, body)) = segment.split_first_chunk_mut::<HEAD>() else { return Err(wrong) };
        let [f0, f1, f2, f3, rest @ ..] = *head;
        let flags = u32::from_be_bytes([f0, f1, f2, f3]);
        let (nonce, tag) = rest.split_at(12);
        if flags & !(FINAL | ZEROS) != 0 || body.len() > self.layout.segment() {
            return Err(wrong);
        }
        let form = if flags & ZEROS == 0 { Form::Data } else { Form::Zeros };
        let end = if flags & FINAL == 0 { End::More } else { End::Final };
        let nonce = Nonce::try_assume_unique_for_key(nonce).expect("12 bytes are a nonce");
        let associated = associated(number, body.len(), flags);
        let ciphertext: &mut [u8] = match form {
            Form::Data => &mut *body,
            // Nothing but zeros may stand where nothing is encrypted.
            Form::Zeros if body.iter().all(|byte| *byte == 0) => &mut [],
            Form::Zeros => return Err(wrong),
        };
        let opened = self.key(number).open_in_place_separate_tag(nonce, associated, tag, ciphertext);
        opened.map_err(|_| wrong)?;
        Ok(Opened { plain: body, form, end })
    }

    fn key(&mut self, number: SegmentNumber) -> &LessSafeKey {
        let group = group_of(number);
        let kept = self.current.take().filter(|(current, _)| *current == group);
        let kept = kept.unwrap_or_else(|| (group, self.keys.opening(group)));
        &self.current.insert(kept).1
    }
}

impl fmt::Debug for SegmentOpener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentOpener").field("layout", &self.layout).finish_non_exhaustive()
    }
}
