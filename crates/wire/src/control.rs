//! The control stream, both ways: what changes while a session runs.

use crate::codec::{DecodeError, Reader, Sink};
use crate::layout::{framed, unframe};
use crate::setup::RatePolicy;
use crate::{Code, Rate};

/// One message of the control stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlRecord {
    /// The side that sent this wants the data to flow at most at this rate.
    SetRate(Rate),
    /// … under this policy.
    SetPolicy(RatePolicy),
    /// … not at all for now.
    Pause,
    /// … again.
    Resume,
    /// The side that sent this gives up: end in order, keep what can be resumed.
    Cancel(Code),
    /// Progress of the side that sent this.
    Progress {
        /// Bytes of files it has read (sender) or written (receiver).
        bytes: u64,
        /// Entries it has finished.
        entries: u64,
    },
    /// The side that sent this is done; the last record it sends.
    Summary(Summary),
}

/// What one side did, at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Entries under their names, skipped ones included.
    pub settled: u64,
    /// Entries that were there already.
    pub skipped: u64,
    /// Entries that failed.
    pub failed: u64,
    /// Bytes of the files that were settled in this session.
    pub bytes: u64,
    /// Bytes of data that crossed the line for them, repeats included.
    pub carried: u64,
    /// Bytes found from an earlier session and not sent again.
    pub resumed: u64,
}

const SET_RATE: u8 = 0x01;
const SET_POLICY: u8 = 0x02;
const PAUSE: u8 = 0x03;
const RESUME: u8 = 0x04;
const CANCEL: u8 = 0x05;
const PROGRESS: u8 = 0x06;
const SUMMARY: u8 = 0x07;

impl ControlRecord {
    /// Appends the record.
    pub fn encode(&self, sink: &mut Vec<u8>) {
        match self {
            Self::SetRate(rate) => framed(sink, SET_RATE, |body| body.put_varint(rate.bits_per_second())),
            Self::SetPolicy(policy) => framed(sink, SET_POLICY, |body| body.put_u8(policy.number())),
            Self::Pause => framed(sink, PAUSE, |_| {}),
            Self::Resume => framed(sink, RESUME, |_| {}),
            Self::Cancel(code) => framed(sink, CANCEL, |body| body.put_u16(code.number())),
            Self::Progress { bytes, entries } => framed(sink, PROGRESS, |body| {
                body.put_varint(*bytes);
                body.put_varint(*entries);
            }),
            Self::Summary(summary) => framed(sink, SUMMARY, |body| {
                for field in summary.fields() {
                    body.put_varint(field);
                }
            }),
        }
    }

    /// Reads the first record of `bytes` and says how many bytes it took;
    /// `None` while it is not complete.
    ///
    /// # Errors
    /// If the bytes are no record.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, DecodeError> {
        let Some((kind, body, used)) = unframe("control record", bytes)? else { return Ok(None) };
        let mut reader = Reader::new("control record", body);
        let record = match kind {
            SET_RATE => Self::SetRate(Rate::from_bits_per_second(reader.varint()?)),
            SET_POLICY => Self::SetPolicy(RatePolicy::read(&mut reader)?),
            PAUSE => Self::Pause,
            RESUME => Self::Resume,
            CANCEL => Self::Cancel(Code::from_number(reader.u16()?)),
            PROGRESS => Self::Progress { bytes: reader.varint()?, entries: reader.varint()? },
            SUMMARY => {
                let mut fields = [0; 6];
                for field in &mut fields {
                    *field = reader.varint()?;
                }
                Self::Summary(Summary::from_fields(fields))
            }
            _ => return Err(reader.unknown()),
        };
        reader.end()?;
        Ok(Some((record, used)))
    }
}

impl Summary {
    pub(crate) fn fields(self) -> [u64; 6] {
        [self.settled, self.skipped, self.failed, self.bytes, self.carried, self.resumed]
    }

    pub(crate) fn from_fields([settled, skipped, failed, bytes, carried, resumed]: [u64; 6]) -> Self {
        Self { settled, skipped, failed, bytes, carried, resumed }
    }
}

#[cfg(test)]
mod tests;
