//! The protocol's numbers as types, so that a packet number is never taken for
//! an offset, nor bits for bytes.

use std::fmt;
use std::time::Duration;

/// Number of a datagram within one direction of a session: 48 bits, counted
/// from zero, never repeated; also the nonce of the datagram's protection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PacketNumber(u64);

impl PacketNumber {
    /// The last number a direction may use.
    pub const MAX: Self = Self((1 << 48) - 1);

    /// `value` as a packet number, if it fits 48 bits.
    #[must_use]
    pub const fn new(value: u64) -> Option<Self> {
        if value <= Self::MAX.0 { Some(Self(value)) } else { None }
    }

    /// The number as an integer.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number after this one, or `None` where the direction is used up.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        Self::new(self.0 + 1)
    }

    /// How many numbers lie from `earlier` to this one; 0 if it is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Debug for PacketNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// A place in the linear space of 2^64 bytes that one session moves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Offset(pub u64);

impl Offset {
    /// The place `bytes` further on.
    ///
    /// # Panics
    /// In debug builds, past the end of the space; decoders reject such ranges.
    #[must_use]
    pub const fn plus(self, bytes: u64) -> Self {
        Self(self.0 + bytes)
    }
}

impl fmt::Debug for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}", self.0)
    }
}

/// Names a session on a port: random, unique among the live ones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u32);

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {:08x}", self.0)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// Number of an entry of the layout: dense, counted from zero in the order in
/// which the sender announced them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct EntryId(pub u64);

/// Microseconds of a peer's own clock, whose zero means nothing here: only
/// differences of two such times are used.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct PeerTime(pub u64);

/// A rate in bits per second of IP packets (headers included).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Rate(u64);

impl Rate {
    /// No limit.
    pub const UNLIMITED: Self = Self(u64::MAX);

    /// A rate of `bits` per second.
    #[must_use]
    pub const fn from_bits_per_second(bits: u64) -> Self {
        Self(bits)
    }

    /// A rate of `bytes` per second, rounded down and saturating.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn from_bytes_per_second(bytes: f64) -> Self {
        Self((bytes.max(0.0) * 8.0) as u64)
    }

    /// Bits per second.
    #[must_use]
    pub const fn bits_per_second(self) -> u64 {
        self.0
    }

    /// Bytes per second.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn bytes_per_second(self) -> f64 {
        self.0 as f64 / 8.0
    }

    /// How long `bytes` take at this rate; [`Duration::MAX`] at rate zero.
    #[must_use]
    #[allow(clippy::cast_possible_truncation)]
    #[inline]
    pub fn time_for(self, bytes: u64) -> Duration {
        if self.0 == 0 {
            return Duration::MAX;
        }
        const NANO_BITS: u64 = 8 * 1_000_000_000;
        if let Some(work) = bytes.checked_mul(NANO_BITS) {
            return Duration::from_nanos(work / self.0);
        }
        let nanos = u128::from(bytes) * u128::from(NANO_BITS) / u128::from(self.0);
        Duration::from_nanos(nanos.min(u128::from(u64::MAX)) as u64)
    }

    /// How many bytes pass in `time` at this rate, saturating.
    #[must_use]
    #[allow(clippy::cast_possible_truncation)]
    pub fn bytes_in(self, time: Duration) -> u64 {
        let bytes = (u128::from(self.0) * (time.as_nanos() / 8)) / 1_000_000_000;
        bytes.min(u128::from(u64::MAX)) as u64
    }
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[allow(clippy::cast_precision_loss)]
        let bits = self.0 as f64;
        match self.0 {
            u64::MAX => f.write_str("unlimited"),
            1_000_000_000.. => write!(f, "{:.2} Gbit/s", bits / 1e9),
            1_000_000.. => write!(f, "{:.1} Mbit/s", bits / 1e6),
            1_000.. => write!(f, "{:.1} kbit/s", bits / 1e3),
            _ => write!(f, "{bits} bit/s"),
        }
    }
}

/// Why text is not a rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a rate: write a number with k, m or g (bits per second), such as 300m or 1.5g")]
pub struct InvalidRate(String);

impl std::str::FromStr for Rate {
    type Err = InvalidRate;

    /// Reads `300m`, `1.5G`, `155mbit`, `2000000`: decimal bits per second.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn from_str(text: &str) -> Result<Self, InvalidRate> {
        let wrong = || InvalidRate(text.to_owned());
        let lower = text.trim().to_ascii_lowercase();
        let lower = ["bit/s", "bits/s", "bps", "bit"]
            .iter()
            .find_map(|unit| lower.strip_suffix(unit))
            .unwrap_or(&lower)
            .trim_end();
        let (number, factor) = match lower.as_bytes().last().ok_or_else(wrong)? {
            b'k' => (&lower[..lower.len() - 1], 1e3),
            b'm' => (&lower[..lower.len() - 1], 1e6),
            b'g' => (&lower[..lower.len() - 1], 1e9),
            b't' => (&lower[..lower.len() - 1], 1e12),
            _ => (lower, 1.0),
        };
        let number = number.trim_end();
        if !number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return Err(wrong());
        }
        let bits = number.parse::<f64>().map_err(|_| wrong())? * factor;
        if (1.0..1e18).contains(&bits) { Ok(Self(bits as u64)) } else { Err(wrong()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packet_numbers_end_at_48_bits() {
        assert_eq!(PacketNumber::new(1 << 48), None);
        assert_eq!(PacketNumber::MAX.next(), None);
        assert_eq!(PacketNumber::new(6).and_then(PacketNumber::next), PacketNumber::new(7));
    }

    #[test]
    fn rates_read_with_units_and_refuse_nonsense() {
        for (text, bits) in [
            ("300m", 300_000_000),
            ("1.5G", 1_500_000_000),
            ("155mbit", 155_000_000),
            ("10 Gbit/s", 10_000_000_000),
            ("64k", 64_000),
            ("9000", 9000),
        ] {
            assert_eq!(text.parse::<Rate>().map(Rate::bits_per_second), Ok(bits), "{text}");
        }
        for text in ["", "m", "-3m", "0", "1e9", "3x", "inf", "NaN", ".", "5mm"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_rate_and_a_time_give_bytes_and_back() {
        let rate = Rate::from_bits_per_second(1_000_000_000);
        assert_eq!(rate.time_for(125_000), Duration::from_millis(1));
        assert_eq!(rate.bytes_in(Duration::from_millis(1)), 125_000);
        assert_eq!(Rate::default().time_for(1), Duration::MAX);
        for bytes in [u64::MAX / 8_000_000_000, u64::MAX / 8_000_000_000 + 1, u64::MAX] {
            let nanos = u128::from(bytes) * 8 * 1_000_000_000 / 1_000_000_000_000;
            let expected = Duration::from_nanos(u64::try_from(nanos).unwrap());
            assert_eq!(Rate::from_bits_per_second(1_000_000_000_000).time_for(bytes), expected);
        }
    }
}
