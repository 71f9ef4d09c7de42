//! The tokens of a bucket.

use limosa_transport::Time;

use super::settings::{Bucket, LinkSettings};

/// What a bucket holds; full before its first packet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tokens {
    /// Bytes, and when there were so many.
    level: Option<(f64, Time)>,
}

impl Tokens {
    /// When there are tokens for a packet of `length` bytes, at `start` or
    /// later; they are taken.
    pub(super) fn ready(&mut self, settings: &LinkSettings, start: Time, length: u32) -> Time {
        let Some(Bucket { depth, .. }) = settings.bucket else { return start };
        let rate = settings.rate.bytes_per_second().max(1.0);
        let (before, since) = self.level.unwrap_or((depth as f64, start));
        let level = (before + rate * start.since(since).as_secs_f64()).min(depth as f64);
        let missing = (f64::from(length) - level).max(0.0);
        let ready = start + std::time::Duration::from_secs_f64(missing / rate);
        self.level = Some((level + missing - f64::from(length), ready));
        ready
    }
}
