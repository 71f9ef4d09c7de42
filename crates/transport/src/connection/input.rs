//! Datagrams in: checked, opened, and their frames handed to whom they
//! concern.

use std::net::SocketAddr;

use limosa_wire::Code;
use limosa_wire::datagram::{HEADER_LEN, Header};
use limosa_wire::frame::{Frame, Frames, Report};

use super::Connection;
use crate::Time;
use crate::application::Application;
use crate::event::{ClosedBy, DropReason, Ecn, Event, Receipt};
use crate::path::{self, Confirmed};
use crate::protection::Protection;
use crate::receiving::{Arrival, Offence, sized};

impl<P: Protection> Connection<P> {
    /// Takes one datagram, uncovering it in place. Whatever is not authentic
    /// and new is dropped without a trace but a count.
    pub fn handle_datagram(
        &mut self,
        now: Time,
        from: SocketAddr,
        ecn: Ecn,
        datagram: &mut [u8],
        app: &mut impl Application,
    ) -> Receipt {
        match self.take_datagram(now, from, ecn, datagram, app) {
            Ok(()) => Receipt::Taken,
            Err(reason) => {
                self.count_drop(reason);
                Receipt::Dropped(reason)
            }
        }
    }

    fn count_drop(&mut self, reason: DropReason) {
        let counts = &mut self.receiving.counts;
        match reason {
            DropReason::Foreign => counts.foreign += 1,
            DropReason::Replayed => counts.replayed += 1,
            DropReason::Forged => counts.forged += 1,
            DropReason::Malformed => counts.malformed += 1,
            // Counted where it is noticed; or nobody counts any more.
            DropReason::NoRoom | DropReason::Closed => {}
        }
    }

    fn take_datagram(
        &mut self,
        now: Time,
        from: SocketAddr,
        ecn: Ecn,
        datagram: &mut [u8],
        app: &mut impl Application,
    ) -> Result<(), DropReason> {
        let (datagram, size) = sized(datagram, self.config.payload).ok_or(DropReason::Foreign)?;
        let (header, _) = Header::decode(datagram).map_err(|_| DropReason::Foreign)?;
        if header.session != self.config.session {
            return Err(DropReason::Foreign);
        }
        if !self.receiving.numbers.is_fresh(header.number) {
            return Err(DropReason::Replayed);
        }
        let (head, inside) = datagram.split_at_mut(HEADER_LEN);
        let length = self.protection.open(header.number, head, inside).ok_or(DropReason::Forged)?;
        let inside = inside.get(..length).ok_or(DropReason::Forged)?;

        let highest = self.receiving.numbers.largest().is_none_or(|largest| header.number > largest);
        self.silence.on_heard(now);
        self.path.on_datagram(now, from, size, highest, self.sending.rtt.estimate());
        let mut arrival = Arrival {
            now,
            number: header.number,
            size: size + path::overhead(from),
            ecn,
            stamp: header.stamp,
            asks: false,
            bulk: false,
        };
        if !self.ending.is_open() {
            self.receiving.numbers.insert(header.number);
            self.hear_end(inside);
            return Err(DropReason::Closed);
        }
        let taken = self.take_frames(from, inside, &mut arrival, app);
        self.sending.digest(now);
        let noted = self.receiving.on_taken(&arrival);
        if let Err(Offence(what)) = taken {
            self.ending.say(now, Code::PROTOCOL, what, ClosedBy::Fault);
            return Err(DropReason::Malformed);
        }
        self.tell_packet_size();
        if noted { Ok(()) } else { Err(DropReason::NoRoom) }
    }

    /// While the session ends, only the peer's own end is listened to.
    fn hear_end(&mut self, inside: &[u8]) {
        for frame in Frames::new(inside).flatten() {
            if let Frame::Close { code, reason } = frame
                && let Some(closed) = self.ending.heard(Code::from_number(code), reason)
            {
                self.on_closed(closed);
            }
        }
    }

    fn take_frames(
        &mut self,
        from: SocketAddr,
        inside: &[u8],
        arrival: &mut Arrival,
        app: &mut impl Application,
    ) -> Result<(), Offence> {
        for frame in Frames::new(inside) {
            let frame = frame.map_err(|_| Offence("frame that cannot be read"))?;
            arrival.asks |= frame.asks_for_report();
            arrival.bulk |= matches!(frame, Frame::Data { .. } | Frame::Stream { .. });
            self.take_frame(from, &frame, arrival.now, app)?;
        }
        Ok(())
    }

    fn take_frame(
        &mut self,
        from: SocketAddr,
        frame: &Frame<'_>,
        now: Time,
        app: &mut impl Application,
    ) -> Result<(), Offence> {
        match *frame {
            Frame::Data { offset, bytes } => self.receiving.on_data(offset, bytes, app)?,
            Frame::Stream { stream, offset, bytes } => self.receiving.on_stream(stream, offset, bytes, app)?,
            Frame::Report(report) => self.on_report(now, from, &report)?,
            Frame::Shed(shed) => self.sending.on_shed(now, shed),
            Frame::Slice(slice) => self.sending.on_slice(now, &slice, app)?,
            Frame::Floor { lowest, interval_us } => self.receiving.on_floor(lowest, interval_us),
            Frame::Probe => {}
            Frame::PathChallenge(token) => self.path.on_challenge(from, token),
            Frame::PathResponse(token) => {
                if let Some(confirmed) = self.path.on_response(now, from, token) {
                    self.on_confirmed(now, from, confirmed);
                }
            }
            Frame::Close { code, reason } => {
                if let Some(closed) = self.ending.heard(Code::from_number(code), reason) {
                    self.on_closed(closed);
                }
            }
        }
        Ok(())
    }

    fn on_report(&mut self, now: Time, from: SocketAddr, report: &Report<'_>) -> Result<(), Offence> {
        self.receiving.counts.reports += 1;
        if let Some(newest) = self.sending.on_report(now, report)? {
            self.receiving.return_path.on_report(newest.sent, newest.received, newest.delivered_bytes);
        }
        if let Some(after) = self.silence.on_report(now) {
            self.push(Event::LineBack { after });
        }
        if let Some(confirmed) = self.path.on_answer(from) {
            self.on_confirmed(now, from, confirmed);
        }
        Ok(())
    }

    fn on_confirmed(&mut self, now: Time, peer: SocketAddr, confirmed: Confirmed) {
        match confirmed {
            Confirmed::First(rtt) => {
                self.open = true;
                self.opening = None;
                self.sending.on_path(now, rtt, false, self.config.largest_packet);
                self.push(Event::Opened { peer, rtt: self.sending.rtt.smoothed() });
            }
            Confirmed::Moved(rtt) => {
                self.sending.on_path(now, Some(rtt), true, self.config.largest_packet);
                self.receiving.return_path = Default::default();
                self.push(Event::PeerMoved { peer });
            }
        }
    }

    fn tell_packet_size(&mut self) {
        if self.sending.take_resized() {
            self.push(Event::PacketSize { bytes: self.sending.mtu.current() });
        }
    }
}
