//! Builds one datagram in place: header, frames, tag.

use limosa_wire::codec::{Cursor, Sink, varint_len};
use limosa_wire::datagram::{HEADER_LEN, Header, OVERHEAD, TAG_LEN};
use limosa_wire::frame::{self, DATA_HEADER, StreamId};
use limosa_wire::{Offset, PacketNumber, SessionId};

use crate::config::Payload;
use crate::lengths::CLAIM_LEN;
use crate::protection::Protection;
use crate::sent::{Contents, Rare, StreamPiece};

/// Most ranges of the linear space in one datagram.
const MAX_RANGES: usize = 24;

/// A datagram under construction. Room is counted in the bytes that the
/// datagram stands for; with [`Payload::Lengths`] fewer are written.
#[derive(Debug)]
pub(crate) struct PacketBuilder<'a> {
    cursor: Cursor<'a>,
    payload: Payload,
    /// Bytes that the frames may stand for.
    limit: usize,
    /// Bytes stood for and not written.
    unwritten: usize,
    contents: Contents,
    ranges: usize,
    /// Whether the peer shall answer with a report.
    asks: bool,
    /// A frame that reaches to the end was written.
    complete: bool,
}

/// A finished datagram.
#[derive(Debug)]
pub(crate) struct Packet {
    /// Bytes written.
    pub(crate) length: usize,
    /// Bytes of UDP payload it stands for.
    pub(crate) claimed: usize,
    pub(crate) contents: Contents,
    pub(crate) asks: bool,
}

impl<'a> PacketBuilder<'a> {
    /// Starts a datagram of at most `size` bytes at the front of `buffer`, if
    /// both have room for a frame.
    #[inline]
    pub(crate) fn new(buffer: &'a mut [u8], size: usize, payload: Payload) -> Option<Self> {
        let claim = if payload == Payload::Lengths { CLAIM_LEN } else { 0 };
        let written = size.min(buffer.len().checked_sub(claim)?);
        let limit = written.checked_sub(OVERHEAD)?;
        let limit = if payload == Payload::Lengths { size - OVERHEAD } else { limit };
        let frames = buffer.get_mut(HEADER_LEN..written - TAG_LEN)?;
        Some(Self {
            cursor: Cursor::new(frames),
            payload,
            limit,
            unwritten: 0,
            contents: Contents::default(),
            ranges: 0,
            asks: false,
            complete: false,
        })
    }

    /// Bytes of frames that still fit.
    pub(crate) fn room(&self) -> usize {
        if self.complete { 0 } else { self.limit.saturating_sub(self.used()).min(self.cursor.room()) }
    }

    fn used(&self) -> usize {
        self.cursor.used() + self.unwritten
    }

    /// Whether there is anything in it that the peer is to answer.
    pub(crate) fn asks(&self) -> bool {
        self.asks
    }

    /// Whether bytes of the linear space fit, and few ranges are in yet.
    pub(crate) fn takes_data(&self) -> bool {
        self.ranges < MAX_RANGES && self.claim_room() > DATA_HEADER + 2 && self.cursor.room() > DATA_HEADER + 2
    }

    fn claim_room(&self) -> usize {
        if self.complete { 0 } else { self.limit.saturating_sub(self.used()) }
    }

    /// The sink for frames that need not be remembered; the caller has checked
    /// [`Self::room`].
    pub(crate) fn sink(&mut self) -> &mut Cursor<'a> {
        &mut self.cursor
    }

    /// The peer shall answer with a report.
    pub(crate) fn ask(&mut self) {
        self.asks = true;
    }

    /// Adds bytes of the linear space from `offset` on, at most `most`, as
    /// `fill` provides them; returns how many that were.
    pub(crate) fn put_data(
        &mut self,
        offset: u64,
        most: u64,
        rare: impl FnOnce() -> Box<Rare>,
        fill: impl FnMut(&mut [u8]) -> usize,
    ) -> usize {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let to_end = self.claim_room() - DATA_HEADER;
        let fits = to_end - varint_len(to_end as u64);
        let filled = match self.payload {
            Payload::Bytes if most > fits => self.put_bytes(offset, to_end.min(most), true, fill),
            Payload::Bytes => self.put_bytes(offset, most, false, fill),
            Payload::Lengths => self.put_length(offset, to_end, most, fill),
        };
        if filled > 0 {
            self.asks = true;
            self.note_range(offset, filled, rare);
        }
        filled
    }

    /// Something of the linear space in this datagram was sent `attempt` times before.
    pub(crate) fn note_attempt(&mut self, attempt: u8) {
        self.contents.attempt = self.contents.attempt.max(attempt);
    }

    fn put_bytes(
        &mut self,
        offset: u64,
        length: usize,
        to_end: bool,
        mut fill: impl FnMut(&mut [u8]) -> usize,
    ) -> usize {
        let header = if to_end { DATA_HEADER } else { frame::data_header_len(length) };
        let filled = fill(&mut self.cursor.free()[header..header + length]).min(length);
        if filled == 0 {
            return 0;
        }
        if to_end || filled < length {
            // What is not in memory now ends the datagram: the rest comes in
            // another one.
            if header != DATA_HEADER {
                self.cursor.free().copy_within(header..header + filled, DATA_HEADER);
            }
            frame::put_data_to_end(&mut self.cursor, Offset(offset));
            self.complete = true;
        } else {
            frame::put_data(&mut self.cursor, Offset(offset), length);
        }
        self.cursor.advance(filled);
        filled
    }

    fn put_length(
        &mut self,
        offset: u64,
        to_end: usize,
        most: usize,
        mut fill: impl FnMut(&mut [u8]) -> usize,
    ) -> usize {
        // The frame's own length field is 1; with bytes it would be up to 3.
        let length = most.min(to_end.saturating_sub(3)).min(self.cursor.room());
        let filled = fill(&mut self.cursor.free()[..length]).min(length);
        if let Ok(count) = u16::try_from(filled)
            && count > 0
        {
            frame::put_data(&mut self.cursor, Offset(offset), CLAIM_LEN);
            self.cursor.put_u16(count);
            self.unwritten += (filled + varint_len(filled as u64)).saturating_sub(CLAIM_LEN + 1);
        }
        filled
    }

    #[allow(clippy::cast_possible_truncation)]
    fn note_range(&mut self, offset: u64, length: usize, rare: impl FnOnce() -> Box<Rare>) {
        self.ranges += 1;
        if self.contents.length == 0 {
            self.contents.offset = offset;
            self.contents.length = length as u16;
        } else {
            self.contents.rare.get_or_insert_with(rare).ranges.push((offset, length as u16));
        }
    }

    /// Bytes of a stream from `offset` on that fit; 0 if none.
    pub(crate) fn stream_room(&self, offset: u64) -> usize {
        let room = self.room().min(usize::from(u16::MAX));
        room.saturating_sub(frame::stream_header_len(offset, room))
    }

    /// Adds a piece of a stream that [`Self::stream_room`] allows.
    pub(crate) fn put_stream(
        &mut self,
        piece: StreamPiece,
        rare: impl FnOnce() -> Box<Rare>,
        copy: impl FnOnce(&mut [u8]),
    ) {
        let length = usize::from(piece.length);
        frame::put_stream(&mut self.cursor, piece.stream, piece.offset, length);
        copy(&mut self.cursor.free()[..length]);
        self.cursor.advance(length);
        self.contents.rare.get_or_insert_with(rare).pieces.push(piece);
        self.asks = true;
    }

    /// Fills the datagram up to its size with padding.
    pub(crate) fn pad(&mut self) {
        let missing = self.claim_room();
        match self.payload {
            Payload::Bytes => {
                let missing = missing.min(self.cursor.room());
                self.cursor.free()[..missing].fill(0);
                self.cursor.advance(missing);
            }
            Payload::Lengths => self.unwritten += missing,
        }
        self.complete = true;
    }

    /// Ends the construction and gives the buffer free for sealing.
    pub(crate) fn finish(self) -> Draft {
        Draft { frames: self.cursor.used(), unwritten: self.unwritten, contents: self.contents, asks: self.asks }
    }
}

/// A datagram whose frames are written and that is not sealed yet.
#[derive(Debug)]
pub(crate) struct Draft {
    frames: usize,
    unwritten: usize,
    contents: Contents,
    asks: bool,
}

/// What the header of a datagram says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Label {
    pub(crate) session: SessionId,
    pub(crate) number: PacketNumber,
    pub(crate) stamp: bool,
}

impl Draft {
    /// Adds header and protection.
    pub(crate) fn seal(
        self,
        buffer: &mut [u8],
        label: Label,
        payload: Payload,
        protection: &mut impl Protection,
    ) -> Packet {
        let Label { session, number, stamp } = label;
        let mut length = OVERHEAD + self.frames;
        let (header, inside) = buffer[..length].split_at_mut(HEADER_LEN);
        header.copy_from_slice(&Header { session, number, stamp }.encode());
        protection.seal(number, header, inside);
        let claimed = length + self.unwritten;
        if payload == Payload::Lengths {
            let claim = u16::try_from(claimed).unwrap_or(u16::MAX).to_be_bytes();
            buffer[length..length + CLAIM_LEN].copy_from_slice(&claim);
            length += CLAIM_LEN;
        }
        Packet { length, claimed, contents: self.contents, asks: self.asks }
    }
}

/// The length a `Data` frame stands for.
pub(crate) fn data_length(payload: Payload, bytes: &[u8]) -> Option<usize> {
    match payload {
        Payload::Bytes => Some(bytes.len()),
        Payload::Lengths => <[u8; 2]>::try_from(bytes).ok().map(|length| usize::from(u16::from_be_bytes(length))),
    }
}

/// A piece of a stream as it is remembered.
pub(crate) fn piece(stream: StreamId, offset: u64, length: usize) -> StreamPiece {
    StreamPiece { stream, offset, length: u16::try_from(length).unwrap_or(u16::MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::NullProtection;
    use limosa_wire::frame::{Frame, Frames};

    fn build(size: usize, payload: Payload, put: impl FnOnce(&mut PacketBuilder<'_>)) -> (Vec<u8>, Packet) {
        let mut buffer = vec![0xee; size + 8];
        let mut builder = PacketBuilder::new(&mut buffer, size, payload).unwrap();
        put(&mut builder);
        let draft = builder.finish();
        let label = Label { session: SessionId(1), number: PacketNumber::default(), stamp: false };
        let packet = draft.seal(&mut buffer, label, payload, &mut NullProtection::pair(0).0);
        buffer.truncate(packet.length);
        (buffer, packet)
    }

    fn ones(out: &mut [u8]) -> usize {
        out.fill(1);
        out.len()
    }

    #[test]
    fn data_fills_a_datagram_to_the_last_byte() {
        let (bytes, packet) = build(1400, Payload::Bytes, |b| {
            assert_eq!(b.put_data(7, 20, Box::default, ones), 20);
            assert_eq!(b.put_data(100, 1 << 40, Box::default, ones), 1400 - OVERHEAD - 30 - DATA_HEADER);
            assert!(!b.takes_data());
        });
        assert_eq!((bytes.len(), packet.claimed), (1400, 1400));
        let frames: Vec<_> = Frames::new(&bytes[HEADER_LEN..1400 - TAG_LEN]).map(Result::unwrap).collect();
        assert_eq!(frames[0], Frame::Data { offset: Offset(7), bytes: &[1; 20] });
        assert!(matches!(frames[1], Frame::Data { offset: Offset(100), bytes } if bytes.len() == 1334));
        assert_eq!(packet.contents.ranges().collect::<Vec<_>>(), [7..27, 100..1434]);
    }

    #[test]
    fn what_is_not_in_memory_ends_the_datagram() {
        let (bytes, packet) = build(1400, Payload::Bytes, |b| {
            assert_eq!(b.put_data(0, 300, Box::default, |out| ones(&mut out[..5])), 5);
        });
        assert_eq!(bytes.len(), OVERHEAD + DATA_HEADER + 5);
        assert!(packet.contents.ranges().eq(std::iter::once(0..5)));
    }

    #[test]
    fn lengths_claim_what_bytes_would_take() {
        let (bytes, packet) = build(1400, Payload::Lengths, |b| {
            let first = b.put_data(0, 1 << 40, Box::default, |out| out.len());
            assert!((1355..1365).contains(&first), "{first}");
        });
        assert!(bytes.len() < 64, "{}", bytes.len());
        assert!((1398..=1400).contains(&packet.claimed), "{}", packet.claimed);
        assert_eq!(crate::lengths::claimed(&bytes), packet.claimed);
    }
}
