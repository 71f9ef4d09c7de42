//! Counts of durations in buckets whose width grows with the value.

use std::time::Duration;

const STEPS_PER_OCTAVE: u32 = 32;
const OCTAVES: u32 = 36;

/// A histogram of durations from 64 ns to an hour, exact to 3 %. Recording is a
/// few instructions, so every packet can be sampled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    largest: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; (STEPS_PER_OCTAVE * OCTAVES) as usize], total: 0, largest: Duration::ZERO }
    }
}

impl Histogram {
    /// Counts `value`.
    pub fn record(&mut self, value: Duration) {
        let nanos = u64::try_from(value.as_nanos()).unwrap_or(u64::MAX);
        let bucket = Self::bucket(nanos).min(self.counts.len() - 1);
        self.counts[bucket] += 1;
        self.total += 1;
        self.largest = self.largest.max(value);
    }

    /// How many values were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.total
    }

    /// The largest value recorded.
    #[must_use]
    pub fn largest(&self) -> Duration {
        self.largest
    }

    /// The value that `share` (0 to 1) of the recorded ones do not exceed; zero
    /// if none was recorded.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        let rank = (share * self.total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_nanos(Self::middle(bucket)).min(self.largest);
            }
        }
        Duration::ZERO
    }

    /// What was recorded here since `earlier`, a former state of this one. The
    /// largest value stays that of the whole time.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let counts = self.counts.iter().zip(&earlier.counts);
        Self {
            counts: counts.map(|(now, then)| now.saturating_sub(*then)).collect(),
            total: self.total.saturating_sub(earlier.total),
            largest: self.largest,
        }
    }

    fn bucket(nanos: u64) -> usize {
        if nanos < u64::from(STEPS_PER_OCTAVE) {
            return nanos as usize;
        }
        let octave = nanos.ilog2() - STEPS_PER_OCTAVE.ilog2();
        let step = (nanos >> octave) as u32 - STEPS_PER_OCTAVE;
        ((octave + 1) * STEPS_PER_OCTAVE + step) as usize
    }

    fn middle(bucket: usize) -> u64 {
        let bucket = bucket as u64;
        let steps = u64::from(STEPS_PER_OCTAVE);
        if bucket < steps {
            return bucket;
        }
        let octave = bucket / steps - 1;
        let low = (steps + bucket % steps) << octave;
        low + ((1 << octave) >> 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_exact_to_three_percent() {
        let mut histogram = Histogram::default();
        for micros in 1..=10_000 {
            histogram.record(Duration::from_micros(micros));
        }
        for (share, micros) in [(0.01, 100.0), (0.5, 5_000.0), (0.95, 9_500.0), (1.0, 10_000.0)] {
            let got = histogram.quantile(share).as_secs_f64() * 1e6;
            assert!((got / micros - 1.0).abs() < 0.03, "{share}: {got} for {micros}");
        }
        assert_eq!(Histogram::default().quantile(0.5), Duration::ZERO);
    }

    #[test]
    fn a_difference_holds_what_came_later() {
        let mut histogram = Histogram::default();
        histogram.record(Duration::from_millis(1));
        let before = histogram.clone();
        histogram.record(Duration::from_millis(9));
        let later = histogram.since(&before);
        assert_eq!(later.count(), 1);
        assert!(later.quantile(0.0) > Duration::from_millis(8));
    }

    #[test]
    fn buckets_and_middles_agree() {
        for nanos in (0..40).chain((6..45).map(|shift| 1_u64 << shift)) {
            let bucket = Histogram::bucket(nanos);
            assert_eq!(Histogram::bucket(Histogram::middle(bucket)), bucket, "{nanos}");
        }
    }
}
