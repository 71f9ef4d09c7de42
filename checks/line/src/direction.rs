//! One direction of a line as a machine without clock and devices: packets go
//! in with the time of day, and come out when it is their time.

use std::time::Duration;

use limosa_sim::datagram::Wire;
use limosa_sim::link::Refused;
use limosa_sim::random::{Random, Seed};
use limosa_sim::{Link, LinkSettings};
use limosa_transport::Time;

/// Whoever is later than this is counted.
pub const LATE: Duration = Duration::from_millis(1);
/// A fiftieth of the delay passes between two looks at the devices, within these
/// bounds: seldom enough to spare the processor, often enough that the line
/// does not deliver in bursts which a program could tell from a real one's.
const STEPS: (Duration, Duration) = (Duration::from_micros(50), Duration::from_micros(200));

/// What happened in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Packets that were sent into it.
    pub entered: u64,
    /// Packets dropped because the queue was full.
    pub queue_full: u64,
    /// Those of UDP among the ones that were sent into it.
    pub entered_udp: u64,
    /// Those of UDP among the ones that the full queue dropped.
    pub queue_full_udp: u64,
    /// How long the queue was when the last packet came, in time.
    pub queue: Duration,
    /// Packets lost at random.
    pub lost: u64,
    /// Packets that came out of it.
    pub delivered: u64,
    /// Packets that were taken in, or let out, more than a millisecond later
    /// than they should have been, because the machine had no time for the
    /// emulator. Who was late both times counts twice.
    pub late: u64,
    /// The latest one.
    pub latest: Duration,
    /// Packets that the far device did not take.
    pub refused: u64,
    /// CPU time of the thread, the kernel's work in it included.
    pub cpu: Duration,
    /// Whether the thread runs before all ordinary ones.
    pub first: bool,
}

impl Figures {
    /// Share of the packets that were late, 0 to 1.
    #[must_use]
    pub fn late_share(&self) -> f64 {
        self.late as f64 / self.delivered.max(1) as f64
    }
}

/// An IP packet with its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet(Box<[u8]>);

impl Packet {
    /// Its bytes, IP header first.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it is one of UDP over IPv4.
    #[must_use]
    pub fn is_udp(&self) -> bool {
        /// Where an IPv4 header names the protocol, and how it names UDP
        /// (RFC 791; IANA, Protocol Numbers).
        const PROTOCOL: (usize, u8) = (9, 17);
        self.0.first().is_some_and(|byte| byte >> 4 == 4) && self.0.get(PROTOCOL.0) == Some(&PROTOCOL.1)
    }
}

impl Wire for Packet {
    fn wire_length(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    fn corrupt(&mut self, random: &mut Random) -> bool {
        let bit = random.below(self.0.len() as u64 * 8);
        match usize::try_from(bit / 8).ok().and_then(|byte| self.0.get_mut(byte)) {
            Some(byte) => {
                *byte ^= 1 << (bit % 8);
                true
            }
            None => false,
        }
    }
}

/// One direction of a line.
#[derive(Debug)]
pub struct Direction {
    link: Link<Packet>,
    step: Duration,
    figures: Figures,
}

impl Direction {
    /// An idle one. Packets are lost as `seed` says: the n-th in every run.
    #[must_use]
    pub fn new(mut settings: LinkSettings, seed: Seed) -> Self {
        let step = (settings.delay / 50).clamp(STEPS.0, STEPS.1);
        // A packet waits half a step on average until it is seen, and half a
        // step until it is delivered.
        settings.delay = settings.delay.saturating_sub(step);
        Self { link: Link::new(settings, seed), step, figures: Figures::default() }
    }

    /// Time from one look at the devices to the next while packets pass.
    #[must_use]
    pub fn step(&self) -> Duration {
        self.step
    }

    /// Takes in a packet at `now`, in a look that came `delayed` after the
    /// moment it was meant for.
    pub fn take(&mut self, now: Time, delayed: Duration, bytes: &[u8]) {
        self.note_lateness(delayed);
        self.figures.queue = self.link.backlog(now);
        let packet = Packet(bytes.into());
        let udp = u64::from(packet.is_udp());
        self.figures.entered_udp += udp;
        // Where it went is in the link's counters, but not whose it was.
        if self.link.send(now, packet) == Err(Refused::QueueFull) {
            self.figures.queue_full_udp += udp;
        }
    }

    /// The next packet whose time has come by `now`.
    pub fn give(&mut self, now: Time) -> Option<Packet> {
        loop {
            let due = self.link.next_event().filter(|due| *due <= now)?;
            // No packet where the event was but the end of a transmission.
            if let Some(packet) = self.link.receive(due) {
                self.note_lateness(now.since(due));
                return Some(packet);
            }
        }
    }

    /// When [`Self::give`] next has something to do.
    #[must_use]
    pub fn next_event(&self) -> Option<Time> {
        self.link.next_event()
    }

    /// Notes that the far device did not take a packet.
    pub fn refused(&mut self) {
        self.figures.refused += 1;
    }

    fn note_lateness(&mut self, lateness: Duration) {
        self.figures.late += u64::from(lateness > LATE);
        self.figures.latest = self.figures.latest.max(lateness);
    }

    /// What happened so far. Those of the thread are left to whoever knows it.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let counters = self.link.counters();
        Figures {
            entered: counters.offered.packets,
            queue_full: counters.queue_full.packets,
            lost: counters.lost.packets,
            delivered: counters.delivered.packets,
            ..self.figures
        }
    }
}

#[cfg(test)]
mod tests;
