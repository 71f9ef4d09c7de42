//! One direction of a line as a model: when a datagram leaves it, if it does.

use std::str::FromStr;
use std::time::Duration;

use limosa_transport::Time;
use limosa_wire::Rate;

/// Bytes of the IPv4 and UDP headers, which take up the line too.
const HEADERS: u64 = 28;

/// A line: what it carries, how long that takes, what it loses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Bits per second each way, headers included.
    pub rate: Rate,
    /// Time for there and back, without queueing.
    pub rtt: Duration,
    /// Probability that a datagram is lost, each way; 0 to 1.
    pub loss: f64,
    /// How long a datagram waits at most for its turn.
    pub queue: Duration,
}

impl Default for Line {
    /// 300 Mbit/s, 100 ms, 1 % each way, 50 ms of queue.
    fn default() -> Self {
        let rate = Rate::from_bits_per_second(300_000_000);
        Self { rate, rtt: Duration::from_millis(100), loss: 0.01, queue: Duration::from_millis(50) }
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {:?}, {} % loss, {:?} of queue", self.rate, self.rtt, self.loss * 100.0, self.queue)
    }
}

/// Text that is no line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a line: write RATE,RTT,LOSS[,QUEUE] such as 300m,100ms,1% or 1g,20ms,0.1%,50ms")]
pub struct InvalidLine(String);

impl FromStr for Line {
    type Err = InvalidLine;

    /// Reads `RATE,RTT,LOSS[,QUEUE]`: `300m,100ms,1%`. The loss is in percent
    /// with or without the sign.
    fn from_str(text: &str) -> Result<Self, InvalidLine> {
        let parse = || {
            let mut parts = text.split(',').map(str::trim);
            let rate = parts.next()?.parse().ok()?;
            let rtt = duration(parts.next()?)?;
            let loss = number(parts.next()?.trim_end_matches('%'))? / 100.0;
            let queue = parts.next().map_or(Some(Self::default().queue), duration)?;
            (parts.next().is_none() && loss < 1.0).then_some(Self { rate, rtt, loss, queue })
        };
        parse().ok_or_else(|| InvalidLine(text.to_owned()))
    }
}

fn number(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.trim().parse().ok().filter(|_| plain)
}

fn duration(text: &str) -> Option<Duration> {
    let (value, unit) = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0)]
        .iter()
        .find_map(|(unit, factor)| text.strip_suffix(unit).map(|value| (value, *factor)))?;
    Duration::try_from_secs_f64(number(value)? * unit).ok().filter(|time| *time <= Duration::from_secs(60))
}

/// What became of the datagrams that went one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineCounts {
    /// Datagrams that came in.
    pub entered: u64,
    /// Datagrams that arrived at the other end.
    pub delivered: u64,
    /// Their bytes as IP packets.
    pub delivered_bytes: u64,
    /// Datagrams lost at random.
    pub lost: u64,
    /// Datagrams dropped because the queue was full.
    pub overflowed: u64,
    /// Datagrams dropped in a blackout.
    pub blacked_out: u64,
}

/// One direction: its transmitter and its dice.
#[derive(Debug)]
pub(super) struct Bottleneck {
    /// When the transmitter has sent all that came in so far.
    free: Time,
    random: u64,
}

impl Bottleneck {
    pub(super) fn new(seed: u64) -> Self {
        Self { free: Time::ZERO, random: seed }
    }

    /// When a datagram of `payload` bytes that comes in `now` arrives; `None`
    /// if it does not.
    pub(super) fn pass(&mut self, line: &Line, now: Time, payload: usize, counts: &mut LineCounts) -> Option<Time> {
        counts.entered += 1;
        if self.free.since(now) > line.queue {
            counts.overflowed += 1;
            return None;
        }
        self.free = self.free.max(now) + line.rate.time_for(payload as u64 + HEADERS);
        if self.chance() < line.loss {
            counts.lost += 1;
            return None;
        }
        counts.delivered += 1;
        counts.delivered_bytes += payload as u64 + HEADERS;
        Some(self.free + line.rtt / 2)
    }

    /// The next number from 0 to 1 (SplitMix64).
    #[allow(clippy::cast_precision_loss)]
    fn chance(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}
