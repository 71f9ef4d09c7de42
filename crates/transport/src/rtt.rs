//! The round trip: smoothed, smallest, and what follows from it.

use std::time::Duration;

/// Assumed before anything is known.
const UNKNOWN: Duration = Duration::from_millis(100);
/// Reports come no more often than this unless asked for.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(5);

/// Round-trip times of one path.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rtt {
    hint: Option<Duration>,
    smoothed: Option<Duration>,
    smallest: Option<Duration>,
}

impl Rtt {
    pub(crate) fn new(hint: Option<Duration>) -> Self {
        Self { hint, ..Self::default() }
    }

    /// Takes a measurement.
    pub(crate) fn sample(&mut self, rtt: Duration) {
        let rtt = rtt.max(Duration::from_micros(20));
        self.smoothed = Some(self.smoothed.map_or(rtt, |old| (old * 7 + rtt) / 8));
        self.smallest = Some(self.smallest.map_or(rtt, |old| old.min(rtt)));
    }

    /// The smoothed round trip, or the best guess.
    pub(crate) fn estimate(&self) -> Duration {
        self.smoothed.or(self.hint).unwrap_or(UNKNOWN)
    }

    /// The smallest round trip, or the best guess.
    pub(crate) fn base(&self) -> Duration {
        self.smallest.or(self.hint).unwrap_or(UNKNOWN)
    }

    pub(crate) fn smoothed(&self) -> Option<Duration> {
        self.smoothed
    }

    pub(crate) fn smallest(&self) -> Option<Duration> {
        self.smallest
    }

    /// How often the peer should report.
    pub(crate) fn report_interval(&self) -> Duration {
        (self.base() / 8).clamp(SHORTEST_INTERVAL, Duration::from_secs(1))
    }

    /// How often the peer should report of the first packets of a path, where
    /// what becomes of them decides how to go on.
    pub(crate) fn first_report_interval(&self) -> Duration {
        (self.base() / 32).max(SHORTEST_INTERVAL).min(self.report_interval())
    }

    /// How long after it was sent a datagram's fate should be known here.
    pub(crate) fn verdict_after(&self) -> Duration {
        self.estimate() * 11 / 10 + 2 * self.report_interval()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_serves_until_the_first_sample() {
        let mut rtt = Rtt::new(Some(Duration::from_millis(300)));
        assert_eq!(rtt.estimate(), Duration::from_millis(300));
        rtt.sample(Duration::from_millis(80));
        assert_eq!(rtt.estimate(), Duration::from_millis(80));
        assert_eq!(rtt.report_interval(), Duration::from_millis(10));
    }

    #[test]
    fn of_the_first_packets_reports_may_come_more_often() {
        let asked = |millis: u64| {
            let rtt = Rtt::new(Some(Duration::from_millis(millis)));
            (rtt.first_report_interval().as_micros(), rtt.report_interval().as_micros())
        };
        assert_eq!(asked(20), (5_000, 5_000));
        assert_eq!(asked(100), (5_000, 12_500));
        assert_eq!(asked(320), (10_000, 40_000));
    }
}
