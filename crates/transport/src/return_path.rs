//! What the way back has shown to carry, so that reports do not flood it.

use limosa_wire::PeerTime;

use crate::Time;

/// Queueing delay that says "this is all it carries", in microseconds.
const QUEUE: f64 = 20_000.0;
/// A limit above this, in bytes per second, is none.
const PLENTY: f64 = 50e6;
/// No limit is below this, in bytes per second.
const LEAST: f64 = 500.0;
/// Stretch over which the carried rate is measured, in microseconds.
const WINDOW: u64 = 40_000;

/// A limit on report traffic, in bytes per second, learnt from what the peer
/// says of the datagrams sent to it.
#[derive(Debug, Default)]
pub(crate) struct ReturnPath {
    limit: Option<f64>,
    base: Option<f64>,
    last: Option<(u64, u64)>,
}

#[allow(clippy::cast_precision_loss)]
impl ReturnPath {
    /// A datagram that left at `sent` arrived at `received`, when `delivered`
    /// bytes had in all.
    pub(crate) fn on_report(&mut self, sent: Time, received: PeerTime, delivered: u64) {
        let delay = received.0 as f64 - sent.micros() as f64;
        let base = self.base.map_or(delay, |base| base.min(delay));
        self.base = Some(base);
        let queue = delay - base;
        let Some((then, before)) = self.last else {
            self.last = Some((received.0, delivered));
            return;
        };
        let span = received.0.saturating_sub(then);
        if span < WINDOW {
            return;
        }
        self.last = Some((received.0, delivered));
        let shown = delivered.saturating_sub(before) as f64 / (span as f64 * 1e-6);
        if queue > QUEUE {
            self.limit = Some((shown / 2.0).max(LEAST));
        } else if queue < QUEUE / 4.0 {
            self.limit = self.limit.map(|limit| limit * 1.25).filter(|limit| *limit < PLENTY);
        }
    }

    /// Bytes per second of reports, at most.
    pub(crate) fn limit(&self) -> f64 {
        self.limit.unwrap_or(f64::INFINITY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_on_the_way_back_halves_reports_below_what_it_carries() {
        let mut path = ReturnPath::default();
        for step in 0..10u64 {
            let at = step * 50_000;
            let queued = if step > 3 { 60_000 } else { 0 };
            path.on_report(Time::from_micros(at), PeerTime(at + 7 + queued), step * 5_000);
        }
        assert!((path.limit() - 50_000.0).abs() < 10_000.0, "{} of 100 kB/s", path.limit());
        for step in 10..80u64 {
            path.on_report(Time::from_micros(step * 50_000), PeerTime(step * 50_000 + 7), step * 5_000);
        }
        assert!(path.limit().is_infinite(), "free again: {}", path.limit());
    }
}
