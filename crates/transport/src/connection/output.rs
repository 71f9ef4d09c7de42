//! Datagrams out: what is most urgent first.

use std::net::SocketAddr;

use limosa_wire::Code;
use limosa_wire::datagram::MIN_PACKET;
use limosa_wire::frame;

use super::Connection;
use crate::Time;
use crate::application::Application;
use crate::config::Payload;
use crate::event::{ClosedBy, Ecn, Transmit};
use crate::packet::{Label, Packet, PacketBuilder};
use crate::path::{PathMessage, overhead};
use crate::protection::Protection;
use crate::rate::Allowance;
use crate::sending::Held;

/// Bytes of a small datagram about an address, as an IP packet, at most.
const SMALL: usize = 128;

impl<P: Protection> Connection<P> {
    /// Makes datagrams to send now: equal in size but for the last, sealed,
    /// back to back at the front of `buffer`. Called until there is nothing.
    ///
    /// `buffer` should hold a burst (64 KiB is what sockets take at once) and
    /// must hold one datagram of the largest packet size.
    pub fn poll_transmit(&mut self, now: Time, app: &mut impl Application, buffer: &mut [u8]) -> Option<Transmit> {
        if self.sending.is_used_up() && self.ending.is_open() {
            self.ending.say(now, Code::NUMBERS_USED_UP, "", ClosedBy::Fault);
        }
        if !self.ending.is_open() {
            return self.poll_end(now, buffer);
        }
        if let Some(transmit) = self.poll_path(now, buffer) {
            return Some(transmit);
        }
        if let Some(transmit) = self.poll_opening(now, buffer) {
            return Some(transmit);
        }
        if let Some(transmit) = self.poll_report(now, app, buffer) {
            return Some(transmit);
        }
        if !self.open {
            return None;
        }
        self.poll_probe(now, buffer).or_else(|| self.poll_bulk(now, app, buffer))
    }

    fn poll_end(&mut self, now: Time, buffer: &mut [u8]) -> Option<Transmit> {
        let to = self.path.target()?;
        let rtt = self.sending.rtt.estimate();
        let (code, reason) = self.ending.poll(now, rtt)?;
        let reason = reason.to_owned();
        self.single(now, to, MIN_PACKET, buffer, |_, packet| {
            frame::put_close(packet.sink(), code.number(), &reason);
        })
    }

    fn poll_path(&mut self, now: Time, buffer: &mut [u8]) -> Option<Transmit> {
        let (to, message) = self.path.poll(now, SMALL, self.sending.rtt.estimate())?;
        self.single(now, to, MIN_PACKET, buffer, |_, packet| {
            match message {
                PathMessage::Challenge(token) => frame::put_path_challenge(packet.sink(), &token),
                PathMessage::Response(token) => frame::put_path_response(packet.sink(), &token),
            }
            packet.ask();
        })
    }

    fn poll_opening(&mut self, now: Time, buffer: &mut [u8]) -> Option<Transmit> {
        let to = self.path.target()?;
        let rtt = self.sending.rtt.estimate();
        let size = self.opening.as_mut()?.poll(now, rtt, self.sending.mtu.opening_sizes())?;
        self.probe(now, to, Some(size), buffer)
    }

    /// A probe; padded to a whole packet of `size`, if one is given.
    fn probe(&mut self, now: Time, to: SocketAddr, size: Option<usize>, buffer: &mut [u8]) -> Option<Transmit> {
        self.single(now, to, size.unwrap_or(MIN_PACKET), buffer, |connection, packet| {
            connection.sending.put_floor(now, packet);
            frame::put_probe(packet.sink());
            packet.ask();
            if size.is_some() {
                packet.pad();
            }
        })
    }

    fn poll_report(&mut self, now: Time, app: &impl Application, buffer: &mut [u8]) -> Option<Transmit> {
        let to = self.path.target()?;
        let size = self.sending.mtu.current();
        if !self.receiving.start_report(now) {
            return None;
        }
        if !self.path.admits(size) {
            self.receiving.reporter.postpone(now);
            return None;
        }
        let rtt = self.sending.rtt.estimate();
        let before = self.sending.counts.bytes;
        let transmit = self.single(now, to, size, buffer, |connection, packet| {
            if connection.receiving.take_measure(now, rtt) {
                connection.sending.put_floor(now, packet);
                frame::put_probe(packet.sink());
                packet.ask();
            }
            connection.receiving.write_report(now, app, packet);
        });
        self.sending.counts.reports += 1;
        self.sending.counts.report_bytes += self.sending.counts.bytes - before;
        transmit
    }

    /// Probes of larger packets, of a silent line, of a full receiver.
    fn poll_probe(&mut self, now: Time, buffer: &mut [u8]) -> Option<Transmit> {
        let to = self.path.confirmed()?;
        let rtt = self.sending.rtt.estimate();
        if self.silence.take_probe(now, rtt) {
            return self.probe(now, to, None, buffer);
        }
        if !self.may_send_bulk() {
            return None;
        }
        if let Some(size) = self.sending.mtu.next_probe(now, rtt) {
            return self.probe(now, to, Some(size), buffer);
        }
        if self.sending.take_look(now) { self.probe(now, to, None, buffer) } else { None }
    }

    /// Streams and bytes of the linear space, as much as may leave at once;
    /// if there are none, what should have been heard of.
    fn poll_bulk(&mut self, now: Time, app: &mut impl Application, buffer: &mut [u8]) -> Option<Transmit> {
        let to = self.path.confirmed().filter(|_| self.may_send_bulk())?;
        if let Some(transmit) = self.burst(now, to, app, buffer) {
            return Some(transmit);
        }
        if self.sending.repeat_tail(now) { self.burst(now, to, app, buffer) } else { None }
    }

    fn burst(&mut self, now: Time, to: SocketAddr, app: &mut impl Application, buffer: &mut [u8]) -> Option<Transmit> {
        let allowance = self.sending.begin_burst(now);
        let size = self.sending.mtu.current() - overhead(to);
        let mut transmit = Transmit { to, length: 0, segment: 0, ecn: self.bulk_ecn() };
        while let Some(length) = self.bulk_datagram(now, to, size, &allowance, app, &mut buffer[transmit.length..]) {
            transmit.length += length;
            transmit.segment = transmit.segment.max(length);
            let whole = length == size && self.config.payload == Payload::Bytes;
            if !whole || buffer.len() - transmit.length < size {
                break;
            }
        }
        (transmit.length > 0).then_some(transmit)
    }

    fn bulk_ecn(&self) -> Ecn {
        if self.config.ecn { Ecn::Capable } else { Ecn::NotCapable }
    }

    /// Writes one datagram of bulk, `size` bytes at most; returns its length.
    fn bulk_datagram(
        &mut self,
        now: Time,
        to: SocketAddr,
        size: usize,
        allowance: &Allowance,
        app: &mut impl Application,
        buffer: &mut [u8],
    ) -> Option<usize> {
        if !self.sending.admits(now, allowance, size + overhead(to)) {
            return None;
        }
        let mut builder = PacketBuilder::new(buffer, size, self.config.payload)?;
        self.sending.fill(now, &mut builder, app);
        if !builder.asks() {
            self.sending.hold(now, Held::Nothing);
            return None;
        }
        let draft = builder.finish();
        let label = self.label(now)?;
        let packet = draft.seal(buffer, label, self.config.payload, &mut self.protection);
        let (length, wire) = (packet.length, packet.claimed + overhead(to));
        self.on_sent(now, to, packet, label.stamp);
        self.sending.on_bulk_sent(now, allowance, wire);
        Some(length)
    }

    fn label(&self, now: Time) -> Option<Label> {
        let number = self.sending.next_number()?;
        Some(Label { session: self.config.session, number, stamp: self.sending.wants_stamp(now) })
    }

    /// Writes one datagram that is not bulk, at most `size` bytes as an IP
    /// packet.
    fn single(
        &mut self,
        now: Time,
        to: SocketAddr,
        size: usize,
        buffer: &mut [u8],
        write: impl FnOnce(&mut Self, &mut PacketBuilder<'_>),
    ) -> Option<Transmit> {
        let mut builder = PacketBuilder::new(buffer, size - overhead(to), self.config.payload)?;
        write(self, &mut builder);
        let draft = builder.finish();
        let label = self.label(now)?;
        let packet = draft.seal(buffer, label, self.config.payload, &mut self.protection);
        let length = packet.length;
        self.on_sent(now, to, packet, label.stamp);
        Some(Transmit { to, length, segment: length, ecn: Ecn::NotCapable })
    }

    fn on_sent(&mut self, now: Time, to: SocketAddr, packet: Packet, stamp: bool) {
        self.path.on_sent(to, packet.claimed);
        self.silence.on_sent(now, packet.asks);
        let wire = packet.claimed + overhead(to);
        self.sending.on_sent(now, packet, wire, stamp);
    }
}
