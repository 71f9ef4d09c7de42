//! This end's half of the control stream: records in, records out.

use limosa_transport::{Connection, Protection};
use limosa_wire::codec::DecodeError;
use limosa_wire::control::ControlRecord;
use limosa_wire::frame::StreamId;

/// Bytes of both directions that are under way.
#[derive(Debug, Default)]
pub(super) struct ControlStream {
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    /// Bytes handed to the connection so far.
    written: u64,
}

impl ControlStream {
    /// Takes bytes of the other end.
    pub(super) fn received(&mut self, bytes: &[u8]) {
        self.incoming.extend_from_slice(bytes);
    }

    /// The next record of the other end.
    pub(super) fn next(&mut self) -> Result<Option<ControlRecord>, DecodeError> {
        let Some((record, used)) = ControlRecord::decode(&self.incoming)? else { return Ok(None) };
        self.incoming.drain(..used);
        Ok(Some(record))
    }

    /// Queues a record of ours.
    pub(super) fn push(&mut self, record: &ControlRecord) {
        record.encode(&mut self.outgoing);
    }

    /// Hands over what the connection has room for.
    pub(super) fn write<P: Protection>(&mut self, connection: &mut Connection<P>) {
        if !self.outgoing.is_empty() {
            let written = connection.write_stream(StreamId::Control, &self.outgoing);
            self.outgoing.drain(..written);
            self.written += written as u64;
        }
    }

    /// Whether the other end has everything.
    pub(super) fn is_acknowledged<P: Protection>(&self, connection: &Connection<P>) -> bool {
        self.outgoing.is_empty() && connection.stream_acknowledged(StreamId::Control) == self.written
    }
}
