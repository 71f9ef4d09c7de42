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
use aws_lc_rs::cipher::EncryptionContext;

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

/// What stands before a segment's ciphertext.
struct Head {
    flags: u32,
    nonce: [u8; 12],
    tag: [u8; 16],
}

impl Head {
    fn of(bytes: &[u8; HEAD]) -> Self {
        let (mut flags, mut nonce, mut tag) = ([0; 4], [0; 12], [0; 16]);
        flags.copy_from_slice(&bytes[..4]);
        nonce.copy_from_slice(&bytes[4..16]);
        tag.copy_from_slice(&bytes[16..]);
        Self { flags: u32::from_be_bytes(flags), nonce, tag }
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
        let (head, plain) = segment.split_first_chunk_mut().ok_or(wrong)?;
        let (form, end) = self.open_body(number, head, plain)?;
        Ok(Opened { plain, form, end })
    }

    /// As [`open`](Self::open), for a segment whose head lies elsewhere.
    ///
    /// # Errors
    /// Likewise.
    pub fn open_body(
        &mut self,
        number: SegmentNumber,
        head: &[u8; HEAD],
        body: &mut [u8],
    ) -> Result<(Form, End), EnvelopeError> {
        let wrong = EnvelopeError::SegmentNotAuthentic(number);
        let Head { flags, nonce, tag } = Head::of(head);
        if flags & !(FINAL | ZEROS) != 0 || body.len() > self.layout.segment() {
            return Err(wrong);
        }
        let form = if flags & ZEROS == 0 { Form::Data } else { Form::Zeros };
        let end = if flags & FINAL == 0 { End::More } else { End::Final };
        let associated = associated(number, body.len(), flags);
        let ciphertext: &mut [u8] = match form {
            Form::Data => body,
            // Nothing but zeros may stand where nothing is encrypted.
            Form::Zeros if body.iter().all(|byte| *byte == 0) => &mut [],
            Form::Zeros => return Err(wrong),
        };
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = self.key(number).open_in_place_separate_tag(nonce, associated, &tag, ciphertext);
        opened.map_err(|_| wrong)?;
        Ok((form, end))
    }

    /// What was stored of a segment, from its content and its head: the very
    /// bytes that [`open_body`](Self::open_body) made this content of. Whether
    /// head and content belong together shows when they are opened.
    ///
    /// # Panics
    /// If `body` is longer than a segment.
    pub fn restore(&mut self, number: SegmentNumber, head: &[u8; HEAD], body: &mut [u8]) {
        assert!(body.len() <= self.layout.segment(), "no segment is that long");
        let Head { flags, nonce, .. } = Head::of(head);
        if flags & ZEROS != 0 {
            return;
        }
        // GCM encrypts in counter mode from the block behind the first, which
        // makes the tag (NIST SP 800-38D, section 7.1).
        let mut block = [0; 16];
        block[..12].copy_from_slice(&nonce);
        block[15] = 2;
        let key = self.keys.counting(group_of(number));
        let done = key.less_safe_encrypt(body, EncryptionContext::Iv128(block.into()));
        done.expect("counter mode takes any number of bytes");
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
