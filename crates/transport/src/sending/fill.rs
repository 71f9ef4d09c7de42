//! Filling datagrams with bulk: what may leave now, and what goes first.

use limosa_wire::Offset;
use limosa_wire::frame::{self, StreamId};

use super::{Held, Sending, Train};
use crate::Time;
use crate::application::Application;
use crate::outgoing::Cause;
use crate::packet::{PacketBuilder, piece};
use crate::rate::Allowance;
use crate::tail::Stake;

/// Streams in the order of their urgency.
const URGENCY: [StreamId; 3] = [StreamId::Control, StreamId::Verdicts, StreamId::Layout];
/// Old datagrams repeated in one go, at most.
const REPEATS: usize = 64;

impl Sending {
    /// What may leave in the burst that begins now.
    pub(crate) fn begin_burst(&mut self, now: Time) -> Allowance {
        let mut allowance = self.law.allowance(now);
        allowance.pace = self.brake.limit(allowance.pace);
        allowance.in_flight = allowance.in_flight.min(self.brake.window(now, self.rtt.estimate()));
        self.pace = allowance.pace;
        self.start_train(&allowance);
        allowance
    }

    /// Bytes of the linear space that may leave as far as pause and the
    /// receiver's queue go.
    fn sendable(&self) -> u64 {
        match (self.paused, self.brake.is_shut()) {
            (true, _) => 0,
            (false, true) => self.space.waiting() - self.space.fresh(),
            (false, false) => self.space.waiting(),
        }
    }

    fn start_train(&mut self, allowance: &Allowance) {
        let bytes = u64::from(allowance.train) * self.mtu.current() as u64;
        if allowance.train > 1 && self.train.is_none() && self.sendable() >= bytes {
            self.train = Some(Train { first: self.ring.next(), left: allowance.train });
        }
    }

    /// Whether another datagram of `size` bytes may leave; notes why not.
    pub(crate) fn admits(&mut self, now: Time, allowance: &Allowance, size: usize) -> bool {
        let in_flight = self.ring.in_flight();
        if !self.admits_number() || (in_flight > 0 && in_flight + size as u64 > allowance.in_flight) {
            self.hold(now, Held::Window);
            return false;
        }
        if self.train.is_none() && !self.pacer.admits(now, allowance.pace, size) {
            self.held = Held::Pace;
            return false;
        }
        true
    }

    /// Bulk stops for another reason than the pace.
    pub(crate) fn hold(&mut self, now: Time, why: Held) {
        self.held = why;
        self.train = None;
        self.pacer.idle(now);
    }

    /// A bulk datagram has left.
    pub(crate) fn on_bulk_sent(&mut self, now: Time, allowance: &Allowance, size: usize) {
        self.pacer.sent(now, allowance.pace, size);
        self.held = Held::Pace;
        let Some(train) = &mut self.train else { return };
        train.left -= 1;
        if train.left == 0
            && let (Some(first), Some(last)) =
                (limosa_wire::PacketNumber::new(train.first), limosa_wire::PacketNumber::new(self.ring.next() - 1))
        {
            self.law.on_train_sent(first, last);
            self.train = None;
        }
    }

    /// Fills a datagram: streams first, then what was lost, then new bytes.
    pub(crate) fn fill(&mut self, now: Time, packet: &mut PacketBuilder<'_>, app: &mut impl Application) {
        if (self.streams_wait() || self.sendable() > 0)
            && let Some((floor, interval)) = self.floor_due(now)
        {
            frame::put_floor(packet.sink(), floor, interval);
        }
        for stream in URGENCY {
            if !self.streams[stream.index()].is_idle() {
                self.fill_stream(now, stream, packet);
            }
        }
        if !self.paused {
            self.fill_data(packet, app);
        }
    }

    /// Writes the floor at once.
    pub(crate) fn put_floor(&mut self, now: Time, packet: &mut PacketBuilder<'_>) {
        self.next_floor = now;
        if let Some((floor, interval)) = self.floor_due(now) {
            frame::put_floor(packet.sink(), floor, interval);
        }
    }

    fn fill_stream(&mut self, now: Time, stream: StreamId, packet: &mut PacketBuilder<'_>) {
        let echo = if stream == StreamId::Layout { self.echo_after() } else { None };
        let (streams, ring) = (&mut self.streams, &mut self.ring);
        let outgoing = &mut streams[stream.index()];
        while let Some((offset, _)) = outgoing.next(now, 1, echo) {
            let Some((offset, length)) = outgoing.next(now, packet.stream_room(offset), echo) else { return };
            let piece = piece(stream, offset, length);
            packet.put_stream(piece, || ring.rare(), |out| outgoing.copy(offset, out));
            outgoing.sent(now, offset, length, echo.is_some());
        }
    }

    fn fill_data(&mut self, packet: &mut PacketBuilder<'_>, app: &mut impl Application) {
        let fresh = !self.brake.is_shut();
        let mut not_in_memory = 0;
        while packet.takes_data() {
            let Some(next) = self.space.candidate(not_in_memory, fresh) else { return };
            let start = next.range.start;
            let ring = &mut self.ring;
            let filled =
                packet.put_data(start, next.range.end - start, || ring.rare(), |out| fill_whole(app, start, out));
            if filled == 0 {
                not_in_memory += 1;
                continue;
            }
            packet.note_attempt(match next.cause {
                Cause::New => {
                    self.tail.on_new(self.ring.next());
                    0
                }
                Cause::Lost | Cause::Shed => 1,
                Cause::Tail => self.tail.attempt(),
            });
            self.space.sent(next.cause, start..start + filled as u64, &mut self.counts);
        }
    }

    /// Nothing else could be sent: queues again what should have been heard
    /// of. Returns whether anything was queued.
    pub(crate) fn repeat_tail(&mut self, now: Time) -> bool {
        if self.held != Held::Nothing {
            return false;
        }
        let age = self.rtt.verdict_after();
        let offered = if self.is_lossy() { self.space.offered() } else { 0 };
        let stake = Stake { offered, unsettled: self.space.unsettled(), loss: self.loss.rate() };
        self.tail.begin();
        let mut repeated = false;
        for _ in 0..REPEATS {
            let Some(number) = self.tail.next(now, &self.ring, age, stake) else { break };
            let Some(record) = self.ring.get(number) else { break };
            record.contents.ranges().for_each(|range| self.space.suspect(range));
            for piece in record.contents.pieces() {
                self.streams[piece.stream.index()].lost(piece.offset, usize::from(piece.length));
            }
            self.ring.mark_repeated(number);
            repeated = true;
        }
        repeated
    }
}

/// Asks the application until it has filled `out` or has no more in memory.
fn fill_whole(app: &mut impl Application, offset: u64, out: &mut [u8]) -> usize {
    let mut filled = 0;
    while filled < out.len() {
        let more = app.fill(Offset(offset + filled as u64), &mut out[filled..]).min(out.len() - filled);
        if more == 0 {
            break;
        }
        filled += more;
    }
    filled
}
