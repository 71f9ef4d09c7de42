//! The inside of a datagram: frames, one behind the other.
//!
//! A frame that carries bytes borrows them from the datagram, which was opened
//! in place; nothing is copied before it reaches its stream or its file.

use crate::codec::{DecodeError, Reader, Sink, varint_len};
use crate::{Offset, PacketNumber, PeerTime};

const PADDING: u8 = 0x00;
const DATA_TO_END: u8 = 0x01;
const DATA: u8 = 0x02;
const STREAM: u8 = 0x03;
const REPORT: u8 = 0x04;
const SLICE: u8 = 0x05;
const FLOOR: u8 = 0x06;
const PROBE: u8 = 0x07;
const PATH_CHALLENGE: u8 = 0x08;
const PATH_RESPONSE: u8 = 0x09;
const CLOSE: u8 = 0x0a;
const SHED: u8 = 0x0b;

/// Most stamps in one report.
pub const MAX_STAMPS: usize = 64;
/// Most packet numbers that one slice may speak of.
pub const MAX_SLICE_SPAN: u64 = 1 << 22;
/// Most ranges in one [`Shed`].
pub const MAX_SHED: usize = 64;
/// Longest reason in a [`Frame::Close`], bytes.
pub const MAX_REASON: usize = 256;
/// Bytes in front of the payload of a [`Frame::Data`] that ends its datagram.
pub const DATA_HEADER: usize = 1 + 8;

/// One of the reliable ordered byte streams beside the linear space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamId {
    /// What is sent, from the sending side ([`crate::layout`]).
    Layout,
    /// What the receiving side says to it ([`crate::verdict`]).
    Verdicts,
    /// Live control, both ways ([`crate::control`]).
    Control,
}

impl StreamId {
    /// All streams.
    pub const ALL: [Self; 3] = [Self::Layout, Self::Verdicts, Self::Control];

    /// The stream's number on the wire, also usable as an index.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Layout => 0,
            Self::Verdicts => 1,
            Self::Control => 2,
        }
    }
}

/// State of the receiver, sent regularly. Which datagrams arrived is said by
/// the [`Slice`]s that go with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Report<'a> {
    /// Highest packet number that arrived.
    pub largest: PacketNumber,
    /// When it did.
    pub largest_at: PeerTime,
    /// When this report left.
    pub sent_at: PeerTime,
    /// Datagrams that arrived in all, each counted once.
    pub delivered_packets: u64,
    /// Their bytes on the wire, IP and UDP headers included.
    pub delivered_bytes: u64,
    /// Datagrams that arrived with a congestion mark, in all.
    pub congestion_marks: u64,
    /// Datagrams that the receiver's own machine is known to have dropped.
    pub local_drops: u64,
    /// The receiver's interval between reports, in microseconds.
    pub interval_us: u64,
    /// Bytes waiting for the disk.
    pub queued: u64,
    /// How many may wait.
    pub queue_capacity: u64,
    /// Bytes that have left that queue in all.
    pub drained: u64,
    /// Arrival times that the sender had asked for.
    pub stamps: Stamps<'a>,
}

/// Encoded arrival times; iterate to read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Stamps<'a> {
    bytes: &'a [u8],
    largest: PacketNumber,
    sent_at: PeerTime,
}

impl Iterator for Stamps<'_> {
    type Item = (PacketNumber, PeerTime);

    fn next(&mut self) -> Option<Self::Item> {
        let mut reader = Reader::new("stamps", self.bytes);
        let back = reader.varint().ok()?;
        let ago = reader.varint().ok()?;
        self.bytes = reader.rest();
        let number = PacketNumber::new(self.largest.get().checked_sub(back)?)?;
        Some((number, PeerTime(self.sent_at.0.checked_sub(ago)?)))
    }
}

/// Which packet numbers of a stretch have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice<'a> {
    /// First number it speaks of.
    pub first: PacketNumber,
    /// Highest number that had arrived when it was made.
    pub as_of: PacketNumber,
    /// What arrived and what did not, from `first` on.
    pub runs: Runs<'a>,
}

/// A run of packet numbers of a [`Slice`] that share one fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// First number.
    pub first: PacketNumber,
    /// How many; at least 1.
    pub count: u64,
    /// Whether they arrived.
    pub arrived: bool,
}

/// Encoded runs, alternately arrived and missing, the first arrived (and the
/// only one that may be empty); iterate to read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Runs<'a> {
    bytes: &'a [u8],
    next: PacketNumber,
    arrived: bool,
}

impl Iterator for Runs<'_> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        loop {
            let mut reader = Reader::new("runs", self.bytes);
            let count = reader.varint().ok()?;
            let run = Run { first: self.next, count, arrived: self.arrived };
            self.bytes = reader.rest();
            self.next = PacketNumber::new(self.next.get() + count)?;
            self.arrived = !self.arrived;
            if count > 0 {
                return Some(run);
            }
        }
    }
}

/// Ranges that arrived but could not be kept (disk queue full): to be sent
/// again, and no loss of the path.
///
/// It stands in front of the [`Slice`]s of its datagram and qualifies them:
/// what they say arrived is not acknowledged as far as it is shed. So a
/// datagram with slices names every range that is shed at the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shed<'a> {
    bytes: &'a [u8],
}

impl Iterator for Shed<'_> {
    type Item = (Offset, u64);

    fn next(&mut self) -> Option<Self::Item> {
        let mut reader = Reader::new("shed", self.bytes);
        let offset = reader.varint().ok()?;
        let length = reader.varint().ok()?;
        self.bytes = reader.rest();
        Some((Offset(offset), length))
    }
}

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// Bytes of the linear space.
    Data {
        /// Where they belong.
        offset: Offset,
        /// The bytes; never empty.
        bytes: &'a [u8],
    },
    /// Bytes of a stream.
    Stream {
        /// Which one.
        stream: StreamId,
        /// Place of the first byte in the stream.
        offset: u64,
        /// The bytes; never empty.
        bytes: &'a [u8],
    },
    /// State of the receiver.
    Report(Report<'a>),
    /// What arrived of a stretch of packet numbers.
    Slice(Slice<'a>),
    /// What the sender of numbers still cares for.
    Floor {
        /// Lowest number whose fate it wants to hear.
        lowest: PacketNumber,
        /// The report interval it would like, in microseconds.
        interval_us: u64,
    },
    /// Asks for a report; padded, it tries a size.
    Probe,
    /// Asks the holder of an address to answer.
    PathChallenge([u8; 16]),
    /// The answer.
    PathResponse([u8; 16]),
    /// The session ends.
    Close {
        /// Numbered reason ([`crate::Code`]); 0 for an orderly end.
        code: u16,
        /// A word more, for people.
        reason: &'a str,
    },
    /// Ranges to be sent again.
    Shed(Shed<'a>),
}

impl Frame<'_> {
    /// Whether the peer answers a datagram with this frame by a report.
    #[must_use]
    pub const fn asks_for_report(&self) -> bool {
        match self {
            Self::Data { .. } | Self::Stream { .. } | Self::Probe | Self::PathChallenge(_) | Self::PathResponse(_) => {
                true
            }
            Self::Report(_) | Self::Slice(_) | Self::Floor { .. } | Self::Close { .. } | Self::Shed(_) => false,
        }
    }
}

/// The frames of an opened datagram. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    reader: Reader<'a>,
    failed: bool,
}

impl<'a> Frames<'a> {
    /// Reads the opened inside of a datagram.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { reader: Reader::new("frame", bytes), failed: false }
    }

    fn frame(&mut self) -> Result<Option<Frame<'a>>, DecodeError> {
        let reader = &mut self.reader;
        loop {
            if reader.is_empty() {
                return Ok(None);
            }
            let kind = reader.u8()?;
            return Ok(Some(match kind {
                PADDING => continue,
                DATA_TO_END => {
                    let offset = Offset(reader.u64()?);
                    data(reader, offset, reader.rest().len())?
                }
                DATA => {
                    let offset = Offset(reader.u64()?);
                    let length = reader.count(usize::from(u16::MAX))?;
                    data(reader, offset, length)?
                }
                STREAM => stream(reader)?,
                REPORT => Frame::Report(report(reader)?),
                SLICE => Frame::Slice(slice(reader)?),
                FLOOR => Frame::Floor { lowest: number(reader)?, interval_us: reader.varint()? },
                PROBE => Frame::Probe,
                PATH_CHALLENGE => Frame::PathChallenge(reader.array()?),
                PATH_RESPONSE => Frame::PathResponse(reader.array()?),
                CLOSE => Frame::Close { code: reader.u16()?, reason: reader.text(MAX_REASON)? },
                SHED => Frame::Shed(shed(reader)?),
                _ => return Err(reader.unknown()),
            }));
        }
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let frame = self.frame();
        self.failed = frame.is_err();
        frame.transpose()
    }
}

fn number(reader: &mut Reader<'_>) -> Result<PacketNumber, DecodeError> {
    let value = reader.varint()?;
    PacketNumber::new(value).ok_or_else(|| reader.range())
}

fn data<'a>(reader: &mut Reader<'a>, offset: Offset, length: usize) -> Result<Frame<'a>, DecodeError> {
    let bytes = reader.take(length)?;
    if bytes.is_empty() || offset.0.checked_add(length as u64).is_none() {
        return Err(reader.range());
    }
    Ok(Frame::Data { offset, bytes })
}

fn stream<'a>(reader: &mut Reader<'a>) -> Result<Frame<'a>, DecodeError> {
    let stream = *StreamId::ALL.get(usize::from(reader.u8()?)).ok_or_else(|| reader.unknown())?;
    let offset = reader.varint()?;
    let bytes = reader.string(usize::from(u16::MAX))?;
    if bytes.is_empty() || offset.checked_add(bytes.len() as u64).is_none() {
        return Err(reader.range());
    }
    Ok(Frame::Stream { stream, offset, bytes })
}

fn report<'a>(reader: &mut Reader<'a>) -> Result<Report<'a>, DecodeError> {
    let largest = number(reader)?;
    let sent_at = PeerTime(reader.varint()?);
    let held = reader.varint_up_to(sent_at.0)?;
    let mut fields = [0; 8];
    for field in &mut fields {
        *field = reader.varint()?;
    }
    let [
        delivered_packets,
        delivered_bytes,
        congestion_marks,
        local_drops,
        interval_us,
        queued,
        queue_capacity,
        drained,
    ] = fields;
    let count = reader.count(MAX_STAMPS)?;
    let start = reader.rest();
    for _ in 0..count {
        reader.varint_up_to(largest.get())?;
        reader.varint_up_to(sent_at.0)?;
    }
    let stamps = Stamps { bytes: &start[..start.len() - reader.rest().len()], largest, sent_at };
    Ok(Report {
        largest,
        largest_at: PeerTime(sent_at.0 - held),
        sent_at,
        delivered_packets,
        delivered_bytes,
        congestion_marks,
        local_drops,
        interval_us,
        queued,
        queue_capacity,
        drained,
        stamps,
    })
}

fn slice<'a>(reader: &mut Reader<'a>) -> Result<Slice<'a>, DecodeError> {
    let first = number(reader)?;
    let as_of = number(reader)?;
    let count = reader.count(usize::from(u16::MAX))?;
    let start = reader.rest();
    let mut span = 0u64;
    for index in 0..count {
        let run = reader.varint_up_to(MAX_SLICE_SPAN)?;
        span += run;
        if (run == 0 && index > 0) || span > MAX_SLICE_SPAN {
            return Err(reader.range());
        }
    }
    if as_of.get() + 1 < first.get() + span {
        return Err(reader.range());
    }
    let bytes = &start[..start.len() - reader.rest().len()];
    Ok(Slice { first, as_of, runs: Runs { bytes, next: first, arrived: true } })
}

fn shed<'a>(reader: &mut Reader<'a>) -> Result<Shed<'a>, DecodeError> {
    let count = reader.count(MAX_SHED)?;
    let start = reader.rest();
    for _ in 0..count {
        let offset = reader.varint()?;
        let length = reader.varint()?;
        if length == 0 || offset.checked_add(length).is_none() {
            return Err(reader.range());
        }
    }
    Ok(Shed { bytes: &start[..start.len() - reader.rest().len()] })
}

/// Writes the header of a [`Frame::Data`] whose bytes fill the rest of the
/// datagram; [`DATA_HEADER`] bytes.
pub fn put_data_to_end(sink: &mut impl Sink, offset: Offset) {
    sink.put_u8(DATA_TO_END);
    sink.put_u64(offset.0);
}

/// Writes the header of a [`Frame::Data`] of `length` bytes that other frames
/// may follow; [`data_header_len`] bytes.
pub fn put_data(sink: &mut impl Sink, offset: Offset, length: usize) {
    sink.put_u8(DATA);
    sink.put_u64(offset.0);
    sink.put_varint(length as u64);
}

/// Length of what [`put_data`] writes.
#[must_use]
pub const fn data_header_len(length: usize) -> usize {
    DATA_HEADER + varint_len(length as u64)
}

/// Writes the header of a [`Frame::Stream`] of `length` bytes;
/// [`stream_header_len`] bytes.
#[allow(clippy::cast_possible_truncation)]
pub fn put_stream(sink: &mut impl Sink, stream: StreamId, offset: u64, length: usize) {
    sink.put_u8(STREAM);
    sink.put_u8(stream.index() as u8);
    sink.put_varint(offset);
    sink.put_varint(length as u64);
}

/// Length of what [`put_stream`] writes.
#[must_use]
pub const fn stream_header_len(offset: u64, length: usize) -> usize {
    2 + varint_len(offset) + varint_len(length as u64)
}

/// Longest [`put_report`] without stamps.
pub const MAX_REPORT_BASE: usize = 1 + 11 * crate::codec::MAX_VARINT + 1;

/// Writes a report; its own `stamps` field is ignored in favour of `stamps`,
/// of which the first [`MAX_STAMPS`] are written.
pub fn put_report(sink: &mut impl Sink, report: &Report<'_>, stamps: &[(PacketNumber, PeerTime)]) {
    sink.put_u8(REPORT);
    sink.put_varint(report.largest.get());
    sink.put_varint(report.sent_at.0);
    sink.put_varint(report.sent_at.0.saturating_sub(report.largest_at.0));
    for field in [
        report.delivered_packets,
        report.delivered_bytes,
        report.congestion_marks,
        report.local_drops,
        report.interval_us,
        report.queued,
        report.queue_capacity,
        report.drained,
    ] {
        sink.put_varint(field);
    }
    let stamps = &stamps[..stamps.len().min(MAX_STAMPS)];
    sink.put_varint(stamps.len() as u64);
    for (number, at) in stamps {
        sink.put_varint(report.largest.since(*number));
        sink.put_varint(report.sent_at.0.saturating_sub(at.0));
    }
}

/// Collects runs for one [`Slice`] and writes it when they are complete.
#[derive(Debug, Default)]
pub struct SliceBuilder {
    runs: Vec<u8>,
    count: u64,
    span: u64,
    arrived: bool,
}

impl SliceBuilder {
    /// Most bytes in front of the runs.
    pub const MAX_HEADER: usize = 1 + 8 + 8 + 3;

    /// Empties the builder for a new slice; keeps its memory.
    pub fn clear(&mut self) {
        self.runs.clear();
        self.count = 0;
        self.span = 0;
        self.arrived = true;
    }

    /// Appends `count` numbers with one fate; runs must alternate, starting
    /// with one that arrived (or an empty one). Returns false, having changed
    /// nothing, when the slice would outgrow `room` bytes or its largest span.
    #[must_use]
    pub fn push(&mut self, count: u64, arrived: bool, room: usize) -> bool {
        debug_assert_eq!(arrived, self.arrived, "runs alternate");
        let length = Self::MAX_HEADER + self.runs.len() + varint_len(count);
        if length > room || self.span + count > MAX_SLICE_SPAN || self.count >= u64::from(u16::MAX) {
            return false;
        }
        self.runs.put_varint(count);
        self.count += 1;
        self.span += count;
        self.arrived = !arrived;
        true
    }

    /// Packet numbers spoken of so far.
    #[must_use]
    pub fn span(&self) -> u64 {
        self.span
    }

    /// Whether it says nothing yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.span == 0
    }

    /// Bytes that [`Self::put`] will write at most.
    #[must_use]
    pub fn max_len(&self) -> usize {
        Self::MAX_HEADER + self.runs.len()
    }

    /// Writes the slice.
    pub fn put(&self, sink: &mut impl Sink, first: PacketNumber, as_of: PacketNumber) {
        sink.put_u8(SLICE);
        sink.put_varint(first.get());
        sink.put_varint(as_of.get());
        sink.put_varint(self.count);
        sink.put(&self.runs);
    }
}

/// Longest [`put_floor`].
pub const MAX_FLOOR: usize = 1 + 7 + crate::codec::MAX_VARINT;

/// Writes a floor.
pub fn put_floor(sink: &mut impl Sink, lowest: PacketNumber, interval_us: u64) {
    sink.put_u8(FLOOR);
    sink.put_varint(lowest.get());
    sink.put_varint(interval_us);
}

/// Writes a probe; 1 byte.
pub fn put_probe(sink: &mut impl Sink) {
    sink.put_u8(PROBE);
}

/// Writes a challenge; 17 bytes.
pub fn put_path_challenge(sink: &mut impl Sink, token: &[u8; 16]) {
    sink.put_u8(PATH_CHALLENGE);
    sink.put(token);
}

/// Writes the answer to a challenge; 17 bytes.
pub fn put_path_response(sink: &mut impl Sink, token: &[u8; 16]) {
    sink.put_u8(PATH_RESPONSE);
    sink.put(token);
}

/// Writes an end; the reason is cut to [`MAX_REASON`] bytes.
pub fn put_close(sink: &mut impl Sink, code: u16, reason: &str) {
    let mut end = reason.len().min(MAX_REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    sink.put_u8(CLOSE);
    sink.put_u16(code);
    sink.put_string(&reason.as_bytes()[..end]);
}

/// Length of [`put_shed`] of `ranges`.
#[must_use]
pub fn shed_len(ranges: &[(Offset, u64)]) -> usize {
    2 + ranges.iter().take(MAX_SHED).map(|(offset, length)| varint_len(offset.0) + varint_len(*length)).sum::<usize>()
}

/// Writes the first [`MAX_SHED`] of `ranges`.
pub fn put_shed(sink: &mut impl Sink, ranges: &[(Offset, u64)]) {
    let ranges = &ranges[..ranges.len().min(MAX_SHED)];
    sink.put_u8(SHED);
    sink.put_varint(ranges.len() as u64);
    for (offset, length) in ranges {
        sink.put_varint(offset.0);
        sink.put_varint(*length);
    }
}

#[cfg(test)]
mod tests;
