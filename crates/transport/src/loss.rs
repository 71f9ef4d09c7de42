//! When a datagram that is reported missing is lost rather than late.
//!
//! Only a report made when a later datagram had arrived can say that one is
//! missing; silence says nothing. How much later is learnt: a path that
//! reorders shows it by datagrams that turn up after they were given up.

use std::time::Duration;

/// Thresholds at first.
const PACKETS: u64 = 3;
const TIME: Duration = Duration::from_micros(200);
/// Datagrams over which the loss rate is smoothed.
const SMOOTHING: f64 = 500.0;
/// A path on which so many datagrams in a row are settled without a loss counts
/// as one that loses nothing. The smoothed rate cannot tell: with one loss in a
/// thousand it is next to nothing half of the time.
const CLEAN: u64 = 20_000;

/// Decides and learns.
#[derive(Debug)]
pub(crate) struct LossDetector {
    packets: u64,
    time: Duration,
    rate: f64,
    /// Datagrams settled since one was lost.
    since_loss: u64,
}

impl Default for LossDetector {
    fn default() -> Self {
        Self { packets: PACKETS, time: TIME, rate: 0.0, since_loss: CLEAN }
    }
}

impl LossDetector {
    /// Whether a datagram is lost that had not arrived when one sent `packets`
    /// numbers and `gap` of time later had.
    pub(crate) fn is_lost(&self, packets: u64, gap: Duration, rtt: Duration) -> bool {
        let patience = rtt / 4;
        (packets >= self.packets && gap >= self.time.min(patience.max(TIME))) || gap > patience.max(self.time)
    }

    /// A datagram declared lost turned up, overtaken by one that was sent so
    /// much later.
    pub(crate) fn on_late(&mut self, packets: u64, gap: Duration, rtt: Duration) {
        self.time = self.time.max(gap + gap / 4).min((rtt / 4).max(TIME));
        self.packets = self.packets.max(packets.min(2 * self.packets));
    }

    /// Notes the fate of datagrams.
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn on_settled(&mut self, arrived: u64, lost: u64) {
        let count = (arrived + lost) as f64;
        if count > 0.0 {
            let gain = (count / SMOOTHING).min(1.0);
            self.rate += gain * (lost as f64 / count - self.rate);
        }
        self.since_loss = if lost > 0 { 0 } else { self.since_loss.saturating_add(arrived) };
    }

    /// Whether datagrams are being lost at present, be it few of them.
    pub(crate) fn is_lossy(&self) -> bool {
        self.since_loss < CLEAN
    }

    /// Share of datagrams lost lately, 0 to 1.
    pub(crate) fn rate(&self) -> f64 {
        self.rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(100);

    #[test]
    fn three_later_datagrams_and_a_fifth_of_a_millisecond_decide() {
        let loss = LossDetector::default();
        assert!(!loss.is_lost(2, Duration::from_millis(1), RTT));
        assert!(!loss.is_lost(10, Duration::from_micros(100), RTT));
        assert!(loss.is_lost(3, Duration::from_micros(200), RTT));
        assert!(loss.is_lost(1, Duration::from_millis(26), RTT), "a quarter of a round trip is enough alone");
    }

    #[test]
    fn a_path_is_lossy_until_many_datagrams_have_passed_without_a_loss() {
        let mut loss = LossDetector::default();
        loss.on_settled(100_000, 0);
        assert!(!loss.is_lossy());
        for _ in 0..20 {
            loss.on_settled(0, 1);
            for _ in 0..999 {
                loss.on_settled(1, 0);
                assert!(loss.is_lossy(), "one in a thousand");
            }
        }
        loss.on_settled(CLEAN, 0);
        assert!(!loss.is_lossy());
    }

    #[test]
    fn patience_grows_with_reordering_but_not_beyond_a_quarter_of_the_round_trip() {
        let mut loss = LossDetector::default();
        loss.on_late(50, Duration::from_millis(4), RTT);
        assert!(!loss.is_lost(100, Duration::from_millis(4), RTT));
        assert!(loss.is_lost(100, Duration::from_millis(5), RTT));
        loss.on_late(50, Duration::from_secs(4), RTT);
        assert!(loss.is_lost(100, Duration::from_millis(25), RTT));
    }
}
