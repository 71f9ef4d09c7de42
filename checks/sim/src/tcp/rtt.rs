//! Smoothed round trip and retransmission timeout (RFC 6298, with the 200 ms
//! floor that systems use).

use std::time::Duration;

#[derive(Debug, Default)]
pub(super) struct RoundTrips {
    smoothed: Duration,
    variation: Duration,
}

impl RoundTrips {
    pub(super) fn add(&mut self, rtt: Duration) {
        if self.smoothed.is_zero() {
            self.smoothed = rtt;
            self.variation = rtt / 2;
            return;
        }
        let off = self.smoothed.abs_diff(rtt);
        self.variation = (self.variation * 3 + off) / 4;
        self.smoothed = (self.smoothed * 7 + rtt) / 8;
    }

    pub(super) fn timeout(&self) -> Duration {
        if self.smoothed.is_zero() {
            return Duration::from_secs(1);
        }
        self.smoothed + (self.variation * 4).max(Duration::from_millis(200))
    }
}
