//! A whole file, sealed from front to back.

use std::io::{self, Seek, SeekFrom, Write};

use super::error::StreamError;
use super::layout::{HEAD, Layout, Plain, Sealed, SegmentNumber};
use super::opened::Envelope;
use super::segment::{End, Form, SegmentSealer};

/// Seals what is written to it: header first, then segment by segment, holding
/// one back until it is known whether it is the last.
///
/// What is dropped before [`Self::finish`] has no final segment, and opens for
/// nobody.
#[derive(Debug)]
pub struct SealingWriter<W> {
    out: W,
    sealer: SegmentSealer,
    layout: Layout,
    /// Room for a head, and the content of the segment under way.
    segment: Box<[u8]>,
    filled: usize,
    /// Whether all of the segment so far was skipped; its bytes are not set
    /// then.
    form: Form,
    number: SegmentNumber,
}

impl<W: Write + Seek> SealingWriter<W> {
    /// Writes the header, and seals what follows to `out`, which is empty.
    ///
    /// # Errors
    /// If it cannot be written, or the envelope has no slot.
    pub fn new(envelope: &Envelope, mut out: W) -> Result<Self, StreamError> {
        out.write_all(&envelope.header()?)?;
        let layout = envelope.preamble().layout;
        let segment = vec![0; HEAD + layout.segment()].into_boxed_slice();
        let sealer = envelope.sealer();
        Ok(Self { out, sealer, layout, segment, filled: 0, form: Form::Zeros, number: SegmentNumber(0) })
    }

    /// Takes `count` zeros. Those that fill segments are stored as holes.
    ///
    /// # Errors
    /// If a segment cannot be written.
    pub fn skip(&mut self, mut count: u64) -> Result<(), StreamError> {
        while count > 0 {
            let room = self.room()?;
            let now = usize::try_from(count).map_or(room, |count| count.min(room));
            if self.form == Form::Data {
                self.segment[HEAD + self.filled..][..now].fill(0);
            }
            self.filled += now;
            count -= now as u64;
        }
        Ok(())
    }

    /// Seals what is left as the final segment, and says how long the file is.
    /// What was written may be shorter, by a hole at its end: the caller sets
    /// the length.
    ///
    /// # Errors
    /// If it cannot be written.
    ///
    /// # Panics
    /// Never: a file longer than any was refused when it was written.
    pub fn finish(mut self) -> Result<(W, Sealed), StreamError> {
        let content = Plain(self.number.0 * self.layout.segment() as u64 + self.filled as u64);
        self.emit(End::Final)?;
        self.out.flush()?;
        let length = self.layout.sealed_len(content).expect("it was written");
        Ok((self.out, length))
    }

    /// Room in the segment under way, which is stored if it is full: something
    /// follows it.
    fn room(&mut self) -> Result<usize, StreamError> {
        if self.filled == self.layout.segment() {
            self.emit(End::More)?;
            self.number.0 += 1;
            (self.filled, self.form) = (0, Form::Zeros);
        }
        Ok(self.layout.segment() - self.filled)
    }

    fn emit(&mut self, end: End) -> Result<(), StreamError> {
        if self.form == Form::Zeros && self.filled > 0 {
            self.out.write_all(&self.sealer.zeros(self.number, end, self.filled)?)?;
            self.out.seek(SeekFrom::Current(self.filled as i64))?;
        } else {
            let segment = &mut self.segment[..HEAD + self.filled];
            self.sealer.seal(self.number, end, segment)?;
            self.out.write_all(segment)?;
        }
        Ok(())
    }
}

impl<W: Write + Seek> Write for SealingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let now = self.room()?.min(bytes.len());
        if self.form == Form::Zeros {
            self.segment[HEAD..][..self.filled].fill(0);
            self.form = Form::Data;
        }
        self.segment[HEAD + self.filled..][..now].copy_from_slice(&bytes[..now]);
        self.filled += now;
        Ok(now)
    }

    /// Does nothing: a segment is stored when it is full.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
