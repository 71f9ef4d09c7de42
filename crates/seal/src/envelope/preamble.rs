//! The preamble: the first 64 bytes of an envelope, which never change. Every
//! key of the file depends on each of them.

use limosa_wire::codec::{DecodeError, Reader, Sink};
use limosa_wire::setup::Suite;

use super::error::EnvelopeError;
use super::layout::Layout;
use crate::{AlgorithmSet, EnvelopeSuite, random};

/// How an envelope begins: no text, and not what a transfer in text mode lets
/// pass.
pub const MAGIC: [u8; 8] = *b"\x89LMSE\r\n\x1a";
/// The version of the format that is written, and the only one that is read.
pub const VERSION: u8 = 1;
/// Length of the preamble, bytes.
pub const PREAMBLE: usize = 64;

const RESERVED: [u8; 12] = [0; 12];

/// A name that no other file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId(pub [u8; 16]);

/// What is fixed for the life of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preamble {
    /// What seals the segments.
    pub suite: EnvelopeSuite,
    /// Where what lies.
    pub layout: Layout,
    /// The file's name among all files.
    pub file: FileId,
    /// What the writer binds the file to, such as the identity of the source
    /// it was made of; zeros for nothing. In clear, and authentic.
    pub context: [u8; 16],
}

impl Preamble {
    /// The preamble of a new file.
    #[must_use]
    pub fn new(suite: EnvelopeSuite, layout: Layout, context: [u8; 16]) -> Self {
        Self { suite, layout, file: FileId(random()), context }
    }

    /// The 64 bytes.
    #[must_use]
    #[allow(clippy::cast_possible_truncation)]
    pub fn encode(&self) -> [u8; PREAMBLE] {
        let mut bytes = Vec::with_capacity(PREAMBLE);
        bytes.put(&MAGIC);
        bytes.put_u8(VERSION);
        bytes.put_u8(self.suite.suite().number());
        bytes.put_u16(0);
        bytes.put_u32(self.layout.header() as u32);
        bytes.put_u32(self.layout.segment() as u32);
        bytes.put(&RESERVED);
        bytes.put(&self.file.0);
        bytes.put(&self.context);
        bytes.try_into().expect("the fields are 64 bytes")
    }

    /// Reads the front of `bytes`.
    ///
    /// # Errors
    /// If it is none, of another version, or asks for what `set` does not hold.
    pub fn decode(bytes: &[u8], set: AlgorithmSet) -> Result<Self, EnvelopeError> {
        let mut reader = begin(bytes)?;
        let suite = Suite::from_number(reader.u8()?).ok_or(reader.unknown())?;
        let suite = set.envelope_suite(suite)?;
        let reserved = reader.u16()?;
        let layout = Layout::new(reader.u32()?, reader.u32()?)?;
        if reserved != 0 || reader.array()? != RESERVED {
            return Err(reader.range().into());
        }
        Ok(Self { suite, layout, file: FileId(reader.array()?), context: reader.array()? })
    }
}

/// Reads magic and version.
fn begin(bytes: &[u8]) -> Result<Reader<'_>, EnvelopeError> {
    let mut reader = Reader::new("envelope preamble", bytes);
    if reader.array().ok() != Some(MAGIC) {
        return Err(EnvelopeError::NotAnEnvelope);
    }
    match reader.u8()? {
        VERSION => {}
        other => return Err(EnvelopeError::Version(other)),
    }
    Ok(reader)
}

/// How long the header of an envelope is, from its first bytes (16 do).
///
/// # Errors
/// If it is no envelope, of another version, or the bytes are too few.
pub(super) fn header_len(bytes: &[u8]) -> Result<usize, EnvelopeError> {
    let mut reader = begin(bytes)?;
    reader.take(3)?;
    let header = reader.u32()?;
    Layout::new(header, 65536).map_err(|_: DecodeError| reader.range())?;
    Ok(header as usize)
}
