//! A sealed file that is only read, and reading that its writer shares.

use std::ops::Range;
use std::sync::Arc;

use limosa_seal::envelope::{End, Form, HEAD};

use super::cipher::Cipher;
use super::recognize::within;
use crate::contract::ReadFile;
use crate::error::Result;
use crate::metadata::Metadata;

/// A sealed file, open for reading. That it was not cut short is known from the
/// start; each other segment is proven when it is read.
#[derive(Debug)]
pub(super) struct SealedReader {
    file: Arc<dyn ReadFile>,
    cipher: Cipher,
    length: u64,
    /// The last segment with room for its head, opened. Of a small file it is
    /// all there is.
    last: Vec<u8>,
    last_form: Form,
}

impl SealedReader {
    /// Opens the last segment of `file`, which must be final.
    pub(super) fn new(file: Arc<dyn ReadFile>, cipher: Cipher) -> Result<Self> {
        let length = within(cipher.layout(), file.metadata()?.size);
        let mut last = Vec::new();
        let extents = Extents { cipher: &cipher, length };
        let number = extents.last();
        let last_form = cipher.load_as(&*file, (number, extents.length_of(number), End::Final), &mut last)?;
        Ok(Self { file, cipher, length, last, last_form })
    }

    fn extents(&self) -> Extents<'_> {
        Extents { cipher: &self.cipher, length: self.length }
    }

    fn load(&self, number: u64, segment: &mut Vec<u8>) -> Result<Form> {
        if number == self.extents().last() {
            segment.clone_from(&self.last);
            return Ok(self.last_form);
        }
        let length = self.extents().length_of(number);
        self.cipher.load_as(&*self.file, (number, length, End::More), segment)
    }
}

#[deny(clippy::missing_trait_methods)]
impl ReadFile for SealedReader {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        self.extents().read_at(offset, buffer, |number, segment| self.load(number, segment).map(drop))
    }

    fn metadata(&self) -> Result<Metadata> {
        let found = self.file.metadata()?;
        Ok(Metadata { size: within(self.cipher.layout(), found.size), ..found })
    }

    fn next_data(&self, offset: u64) -> Result<Option<Range<u64>>> {
        self.extents().next_data(&*self.file, offset, |number, segment| self.load(number, segment))
    }
}

/// The content of a file that is not changed meanwhile. How a segment is loaded,
/// head first, is up to who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extents<'a> {
    pub(super) cipher: &'a Cipher,
    pub(super) length: u64,
}

impl Extents<'_> {
    pub(super) fn last(self) -> u64 {
        last_segment(self.length, self.cipher.segment())
    }

    pub(super) fn length_of(self, number: u64) -> usize {
        length_of(number, self.length, self.cipher.segment())
    }

    /// See [`ReadFile::read_at`].
    pub(super) fn read_at(
        self,
        offset: u64,
        buffer: &mut [u8],
        mut load: impl FnMut(u64, &mut Vec<u8>) -> Result<()>,
    ) -> Result<usize> {
        let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len());
        let mut segment = Vec::new();
        for (number, within, part) in parts(offset, wanted, self.cipher.segment()) {
            load(number, &mut segment)?;
            let length = part.len();
            buffer[part].copy_from_slice(&segment[HEAD + within..][..length]);
        }
        Ok(wanted)
    }

    /// See [`ReadFile::next_data`]. A segment is a hole if it is authentic as
    /// one; those that are stored without any hole need no look.
    pub(super) fn next_data(
        self,
        file: &dyn ReadFile,
        offset: u64,
        mut load: impl FnMut(u64, &mut Vec<u8>) -> Result<Form>,
    ) -> Result<Option<Range<u64>>> {
        let size = self.cipher.segment() as u64;
        let (mut number, mut found) = (offset / size, None);
        while number.saturating_mul(size) < self.length {
            let next = self.past_data(file, number, &mut load)?;
            match (next == number, &mut found) {
                (true, None) => number += 1,
                (true, Some(_)) => break,
                (false, found) => {
                    found.get_or_insert((number * size).max(offset));
                    number = next;
                }
            }
        }
        let end = number.saturating_mul(size).min(self.length);
        Ok(found.map(|start| start..end).filter(|run| !run.is_empty()))
    }

    /// The first segment behind those from `number` on that are known to hold
    /// data; `number` itself if that is a hole.
    fn past_data(
        self,
        file: &dyn ReadFile,
        number: u64,
        load: impl FnOnce(u64, &mut Vec<u8>) -> Result<Form>,
    ) -> Result<u64> {
        let stored = (self.cipher.segment() + HEAD) as u64;
        let start = self.cipher.place(number);
        if let Some(run) = file.next_data(start)?
            && run.start == start
            && run.end >= start + (HEAD + self.length_of(number)) as u64
        {
            let whole = (run.end - start) / stored;
            return Ok(number + whole.max(1));
        }
        match load(number, &mut Vec::new())? {
            Form::Data => Ok(number + 1),
            Form::Zeros => Ok(number),
        }
    }
}

/// The last segment of so much content.
pub(super) fn last_segment(length: u64, segment: usize) -> u64 {
    length.div_ceil(segment as u64).max(1) - 1
}

/// How much of the content segment `number` holds.
pub(super) fn length_of(number: u64, length: u64, segment: usize) -> usize {
    let left = length.saturating_sub(number * segment as u64);
    usize::try_from(left).map_or(segment, |left| left.min(segment))
}

/// The segments that `length` bytes at `offset` touch: number, where in it, and
/// which of the bytes.
pub(super) fn parts(offset: u64, length: usize, segment: usize) -> impl Iterator<Item = (u64, usize, Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let within = usize::try_from(at % segment as u64).unwrap_or(0);
        let now = (segment - within).min(length - done);
        let part = done..done + now;
        done += now;
        (now > 0).then_some((at / segment as u64, within, part))
    })
}
