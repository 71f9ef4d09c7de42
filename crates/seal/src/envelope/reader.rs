//! The content of a sealed file, at any offset.

use std::io::{self, Read, Seek, SeekFrom};

use super::error::{EnvelopeError, StreamError};
use super::layout::{HEAD, Layout, Plain, Sealed, SegmentNumber};
use super::opened::Envelope;
use super::segment::{End, Form, Opened, SegmentOpener};

/// Reads the content of a sealed file. Gives nothing out that is not
/// authentic, and before that makes sure that the file was not cut short.
#[derive(Debug)]
pub struct OpeningReader<R> {
    file: R,
    opener: SegmentOpener,
    layout: Layout,
    content: Plain,
    position: u64,
    /// The segment that was opened last, and its number.
    segment: Box<[u8]>,
    held: Option<SegmentNumber>,
}

impl<R: Read + Seek> OpeningReader<R> {
    /// Reads the content of `file`, whose envelope was opened, and which is
    /// `length` bytes long.
    ///
    /// # Errors
    /// [`EnvelopeError::Truncated`] if the file ends before its final segment,
    /// and what reading and opening that report.
    pub fn new(envelope: &Envelope, file: R, length: Sealed) -> Result<Self, StreamError> {
        let layout = envelope.preamble().layout;
        let content = layout.plain_len(length).ok_or(EnvelopeError::Truncated)?;
        let segment = vec![0; HEAD + layout.segment()].into_boxed_slice();
        let opener = envelope.opener();
        let mut reader = Self { file, opener, layout, content, position: 0, segment, held: None };
        let last = SegmentNumber(layout.segments(content) - 1);
        reader.segment(last)?;
        reader.held = Some(last);
        Ok(reader)
    }

    /// How much content there is.
    #[must_use]
    pub const fn content(&self) -> Plain {
        self.content
    }

    /// How many segments there are.
    #[must_use]
    pub fn segments(&self) -> u64 {
        self.layout.segments(self.content)
    }

    /// One segment, whose content is good until the next call.
    ///
    /// # Errors
    /// If it cannot be read, is not authentic, or not final where it is the
    /// last and only there.
    ///
    /// # Panics
    /// Behind the last one.
    pub fn segment(&mut self, number: SegmentNumber) -> Result<Opened<'_>, StreamError> {
        let extent = self.layout.extent(number, self.content).expect("within the file");
        self.held = None;
        let segment = &mut self.segment[..extent.stored()];
        self.file.seek(SeekFrom::Start(extent.sealed.0))?;
        self.file.read_exact(segment).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => StreamError::Envelope(EnvelopeError::Truncated),
            _ => StreamError::Io(error),
        })?;
        let opened = self.opener.open(number, segment)?;
        match (extent.is_last, opened.end) {
            (true, End::Final) | (false, End::More) => Ok(opened),
            (true, End::More) => Err(EnvelopeError::Truncated.into()),
            (false, End::Final) => Err(EnvelopeError::SegmentNotAuthentic(number).into()),
        }
    }

    /// Copies the content to `out` from front to back, with `skip` for runs of
    /// zeros that were stored as holes.
    ///
    /// # Errors
    /// What reading reports, and what `write` and `skip` return.
    pub fn copy<E: From<StreamError>>(
        &mut self,
        mut write: impl FnMut(&[u8]) -> Result<(), E>,
        mut skip: impl FnMut(u64) -> Result<(), E>,
    ) -> Result<(), E> {
        for number in 0..self.segments() {
            let opened = self.segment(SegmentNumber(number))?;
            match opened.form {
                Form::Data => write(opened.plain)?,
                Form::Zeros => skip(opened.plain.len() as u64)?,
            }
        }
        Ok(())
    }
}

impl<R: Read + Seek> Read for OpeningReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.content.0 || buffer.is_empty() {
            return Ok(0);
        }
        let (number, within) = self.layout.segment_at(Plain(self.position));
        if self.held != Some(number) {
            self.segment(number)?;
            self.held = Some(number);
        }
        let left = usize::try_from(self.content.0 - self.position).unwrap_or(usize::MAX);
        let here = (self.layout.segment() - within).min(left).min(buffer.len());
        buffer[..here].copy_from_slice(&self.segment[HEAD + within..][..here]);
        self.position += here as u64;
        Ok(here)
    }
}

impl<R: Read + Seek> Seek for OpeningReader<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(by) => self.content.0.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
