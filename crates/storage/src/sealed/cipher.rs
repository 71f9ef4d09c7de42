//! The segments of one file, sealed and opened by any number of threads at once.

use limosa_seal::envelope::{
    End, Envelope, EnvelopeError, Form, HEAD, Layout, Plain, SegmentNumber, SegmentOpener, SegmentSealer,
};

use super::recognize::{failure, read_exactly};
use crate::contract::{ReadFile, WriteFile};
use crate::error::{Operation, Result};
use crate::path::StorePath;
use crate::pool::Pool;

/// A file's key at work. Sealers and openers keep the key of the group they
/// used last; there are as many as threads were at work at one time.
#[derive(Debug)]
pub(super) struct Cipher {
    envelope: Envelope,
    path: StorePath,
    sealers: Pool<SegmentSealer>,
    openers: Pool<SegmentOpener>,
}

impl Cipher {
    /// For the file of this envelope; `path` is for messages.
    pub(super) fn new(envelope: Envelope, path: &StorePath) -> Self {
        Self { envelope, path: path.clone(), sealers: Pool::default(), openers: Pool::default() }
    }

    pub(super) fn layout(&self) -> Layout {
        self.envelope.preamble().layout
    }

    pub(super) fn path(&self) -> &StorePath {
        &self.path
    }

    /// Content of a full segment, bytes.
    pub(super) fn segment(&self) -> usize {
        self.layout().segment()
    }

    /// Where a segment is stored, head first.
    pub(super) fn place(&self, number: u64) -> u64 {
        self.layout().header() as u64 + number * (self.segment() + HEAD) as u64
    }

    /// How long the stored file of so much content is; nothing if no file is
    /// that long.
    pub(super) fn stored_length(&self, content: u64) -> Option<u64> {
        self.layout().sealed_len(Plain(content)).map(|sealed| sealed.0)
    }

    /// Seals a segment in place, its head first, and stores it.
    pub(super) fn store(&self, file: &dyn WriteFile, number: u64, end: End, segment: &mut [u8]) -> Result<()> {
        let sealed = self.sealers.with(|| self.envelope.sealer(), |s| s.seal(SegmentNumber(number), end, segment));
        sealed.map_err(|error| failure(error, Operation::Write, &self.path))?;
        file.write_at(self.place(number), segment)
    }

    /// Stores the head of a segment of `length` zeros where nothing is stored
    /// yet.
    pub(super) fn store_zeros(&self, file: &dyn WriteFile, number: u64, end: End, length: usize) -> Result<()> {
        let head = self.sealers.with(|| self.envelope.sealer(), |s| s.zeros(SegmentNumber(number), end, length));
        let head = head.map_err(|error| failure(error, Operation::Write, &self.path))?;
        file.write_at(self.place(number), &head)
    }

    /// Reads a stored segment of `length` bytes of content into `segment`,
    /// which its head begins, and opens it there.
    pub(super) fn load(
        &self,
        file: &dyn ReadFile,
        number: u64,
        length: usize,
        segment: &mut Vec<u8>,
    ) -> Result<(Form, End)> {
        let fail = |error| failure(error, Operation::Read, &self.path);
        segment.resize(HEAD + length, 0);
        read_exactly(file, self.place(number), segment, fail)?;
        let opened = self.openers.with(
            || self.envelope.opener(),
            |opener| opener.open(SegmentNumber(number), segment).map(|opened| (opened.form, opened.end)),
        );
        opened.map_err(fail)
    }

    /// As [`load`](Self::load), for one that must end the file or must not.
    pub(super) fn load_as(
        &self,
        file: &dyn ReadFile,
        (number, length, end): (u64, usize, End),
        segment: &mut Vec<u8>,
    ) -> Result<Form> {
        let (form, found) = self.load(file, number, length, segment)?;
        let error = match (found, end) {
            (End::More, End::Final) => EnvelopeError::Truncated,
            (End::Final, End::More) => EnvelopeError::SegmentNotAuthentic(SegmentNumber(number)),
            _ => return Ok(form),
        };
        Err(failure(error, Operation::Read, &self.path))
    }
}
