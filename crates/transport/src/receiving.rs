//! The receiving half of a connection: what arrives, and what is said of it.

use std::ops::Range;
use std::time::Duration;

use limosa_ranges::RangeSet;
use limosa_wire::frame::StreamId;
use limosa_wire::{Offset, PacketNumber, PeerTime};

use crate::application::{Application, Delivery};
use crate::config::Payload;
use crate::event::Ecn;
use crate::numbers::Numbers;
use crate::packet::{PacketBuilder, data_length};
use crate::reporter::{ReceiverState, Reporter, SHED_RANGES};
use crate::return_path::ReturnPath;
use crate::statistics::ReceivedCounts;
use crate::streams::Incoming;
use crate::{Time, lengths};

/// How often, at most, the way back is measured by a probe.
const MEASURE: Duration = Duration::from_millis(100);

/// Bytes delivered where payload crosses the line as lengths only.
static ZEROS: [u8; limosa_wire::datagram::MAX_DATAGRAM] = [0; limosa_wire::datagram::MAX_DATAGRAM];

/// The peer broke the protocol; the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offence(pub(crate) &'static str);

/// An authentic datagram as it arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) now: Time,
    pub(crate) number: PacketNumber,
    /// Bytes as an IP packet.
    pub(crate) size: usize,
    pub(crate) ecn: Ecn,
    /// The peer wants to know when it arrived.
    pub(crate) stamp: bool,
    /// The peer wants a report.
    pub(crate) asks: bool,
    /// It carried bytes of the space or of a stream.
    pub(crate) bulk: bool,
}

/// State of the receiving half.
#[derive(Debug)]
pub(crate) struct Receiving {
    pub(crate) numbers: Numbers,
    pub(crate) reporter: Reporter,
    pub(crate) return_path: ReturnPath,
    pub(crate) counts: ReceivedCounts,
    streams: [Incoming; StreamId::ALL.len()],
    /// Ranges that arrived, could not be kept, and have not come again.
    shed: RangeSet,
    /// The datagram at hand brought bytes that could not even be noted as
    /// shed.
    overflow: bool,
    state: ReceiverState,
    /// Datagrams that the operating system dropped.
    socket_drops: u64,
    next_measure: Time,
    /// Bulk arrived since the way back was last measured.
    bulk: bool,
    payload: Payload,
}

impl Receiving {
    pub(crate) fn new(now: Time, payload: Payload) -> Self {
        Self {
            numbers: Numbers::new(),
            reporter: Reporter::new(),
            return_path: ReturnPath::default(),
            counts: ReceivedCounts::default(),
            streams: StreamId::ALL.map(Incoming::new),
            shed: RangeSet::default(),
            overflow: false,
            state: ReceiverState::default(),
            socket_drops: 0,
            next_measure: now,
            bulk: false,
            payload,
        }
    }

    /// Bytes of the linear space arrived.
    pub(crate) fn on_data(&mut self, offset: Offset, bytes: &[u8], app: &mut impl Application) -> Result<(), Offence> {
        let length = data_length(self.payload, bytes).ok_or(Offence("data without its length"))?;
        let bytes = match self.payload {
            Payload::Bytes => bytes,
            Payload::Lengths => ZEROS.get(..length).ok_or(Offence("length beyond a datagram"))?,
        };
        let range = offset.0..offset.0.checked_add(length as u64).ok_or(Offence("data beyond the space"))?;
        match app.deliver(offset, bytes) {
            Delivery::Kept => self.counts.kept_bytes += length as u64,
            Delivery::Duplicate => self.counts.duplicate_bytes += length as u64,
            Delivery::Shed => {
                self.counts.shed_bytes += length as u64;
                self.shed.insert(range.clone());
                if self.shed.pieces() > SHED_RANGES {
                    self.shed.remove(&range);
                    self.overflow = true;
                }
                return Ok(());
            }
        }
        if !self.shed.is_empty() {
            self.forget_shed(range);
        }
        Ok(())
    }

    /// What was shed has come again. Where that would leave more ranges than a
    /// report can tell, it still counts as shed: the peer sends it once more
    /// for nothing, but never takes for kept what was not.
    fn forget_shed(&mut self, range: Range<u64>) {
        let removed = self.shed.remove(&range);
        if removed > 0 && self.shed.pieces() > SHED_RANGES {
            self.shed.insert(range);
        }
    }

    /// Bytes of a stream arrived.
    pub(crate) fn on_stream(
        &mut self,
        stream: StreamId,
        offset: u64,
        bytes: &[u8],
        app: &mut impl Application,
    ) -> Result<(), Offence> {
        self.streams[stream.index()]
            .receive(offset, bytes, |bytes| app.stream(stream, bytes))
            .map_err(|_| Offence("stream bytes beyond the window"))
    }

    /// The peer states what it cares for and how often it wants reports.
    pub(crate) fn on_floor(&mut self, lowest: PacketNumber, interval_us: u64) {
        self.numbers.set_floor(lowest);
        self.reporter.set_interval(interval_us);
    }

    /// All frames of a datagram were taken: note it as arrived, unless some of
    /// its bytes could be neither kept nor noted as shed; then it counts as
    /// dropped by this machine and comes again. Returns whether it was noted.
    pub(crate) fn on_taken(&mut self, arrival: &Arrival) -> bool {
        let at = PeerTime(arrival.now.micros());
        if arrival.asks {
            self.reporter.on_asked(arrival.now);
        }
        self.bulk |= arrival.bulk;
        if std::mem::take(&mut self.overflow) {
            self.counts.no_room += 1;
            return false;
        }
        if self.numbers.insert(arrival.number) {
            self.state.largest_at = at;
        }
        if arrival.stamp {
            self.reporter.stamp(arrival.number, at);
        }
        self.counts.datagrams += 1;
        self.counts.bytes += arrival.size as u64;
        self.counts.congestion_marks += u64::from(arrival.ecn == Ecn::Congestion);
        true
    }

    /// The operating system dropped so many datagrams in all.
    pub(crate) fn set_socket_drops(&mut self, total: u64) {
        self.socket_drops = total;
    }

    /// Whether a report is due and may go; see [`Self::write_report`].
    pub(crate) fn start_report(&mut self, now: Time) -> bool {
        let narrow = self.return_path.limit();
        self.reporter.start(now, &self.numbers, self.counts.bytes, narrow)
    }

    /// Writes one datagram of a report. While the application's queue is more
    /// than half full, another report follows in any case: the sender must
    /// learn when it may go on.
    pub(crate) fn write_report(&mut self, now: Time, app: &impl Application, packet: &mut PacketBuilder<'_>) {
        let queue = app.queue();
        self.state = ReceiverState {
            largest_at: self.state.largest_at,
            delivered_packets: self.counts.datagrams,
            delivered_bytes: self.counts.bytes,
            congestion_marks: self.counts.congestion_marks,
            local_drops: self.counts.no_room + self.socket_drops,
            queued: queue.queued,
            queue_capacity: queue.capacity,
            drained: queue.drained,
        };
        self.reporter.write(now, &self.numbers, &self.state, &self.shed, packet);
        if queue.capacity > 0 && queue.queued >= queue.capacity / 2 {
            self.reporter.on_news(now);
        }
    }

    /// Whether the report being written should ask for one in turn, so that
    /// the way back is known. A report about nothing but such questions asks
    /// none.
    pub(crate) fn take_measure(&mut self, now: Time, rtt: Duration) -> bool {
        let due = self.next_measure <= now && self.bulk;
        if due {
            self.bulk = false;
            self.next_measure = now + MEASURE.max(rtt);
        }
        due
    }
}

/// Takes the size claim off a datagram's end, where it has one.
pub(crate) fn sized(datagram: &mut [u8], payload: Payload) -> Option<(&mut [u8], usize)> {
    match payload {
        Payload::Bytes => {
            let size = datagram.len();
            Some((datagram, size))
        }
        Payload::Lengths => lengths::split_claim(datagram),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::QueueState;

    /// Bytes per datagram here.
    const STEP: u64 = 10;

    /// Keeps bytes while there is room, and remembers which.
    #[derive(Default)]
    struct Disk {
        full: bool,
        kept: BTreeSet<u64>,
    }

    impl Application for Disk {
        fn fill(&mut self, _: Offset, _: &mut [u8]) -> usize {
            0
        }

        fn acknowledged(&mut self, _: Offset, _: u64) {}

        fn deliver(&mut self, offset: Offset, _: &[u8]) -> Delivery {
            if self.kept.contains(&offset.0) {
                Delivery::Duplicate
            } else if self.full {
                Delivery::Shed
            } else {
                self.kept.insert(offset.0);
                Delivery::Kept
            }
        }

        fn queue(&self) -> QueueState {
            QueueState::default()
        }

        fn stream(&mut self, _: StreamId, _: &[u8]) {}
    }

    proptest! {
        /// What a report says arrived and names as shed nowhere, the sender
        /// forgets: it must have been kept.
        #[test]
        fn whatever_was_not_kept_is_told(steps in proptest::collection::vec((proptest::bool::weighted(0.8), 0u64..150), 100..400)) {
            let mut receiving = Receiving::new(Time::ZERO, Payload::Bytes);
            let mut disk = Disk::default();
            let mut noted = BTreeSet::new();
            for (number, (full, step)) in (0..).zip(steps) {
                disk.full = full;
                let offset = step * STEP;
                receiving.on_data(Offset(offset), &[0; STEP as usize], &mut disk).unwrap();
                let arrival = Arrival {
                    now: Time::ZERO,
                    number: PacketNumber::new(number).unwrap(),
                    size: 100,
                    ecn: Ecn::NotCapable,
                    stamp: false,
                    asks: true,
                    bulk: true,
                };
                if receiving.on_taken(&arrival) {
                    noted.insert(offset);
                }
                prop_assert!(receiving.shed.pieces() <= SHED_RANGES, "more ranges than a report tells");
                for offset in noted.difference(&disk.kept) {
                    prop_assert_eq!(receiving.shed.overlap(&(*offset..offset + STEP)), STEP);
                }
            }
        }
    }
}
