//! The largest of the figures of late.

use std::collections::VecDeque;

use super::later;
use crate::Time;

/// Parts of the time that is remembered: each is forgotten as a whole.
const PARTS: f64 = 12.0;

/// Largest of the figures noted within some time.
#[derive(Clone, Debug, Default)]
pub(super) struct Peak {
    parts: VecDeque<(Time, f64)>,
}

impl Peak {
    /// Notes `figure` and forgets those older than `memory` seconds.
    pub(super) fn note(&mut self, now: Time, figure: f64, memory: f64) {
        let fresh = |(since, _): &(Time, f64)| now < later(*since, memory / PARTS);
        match self.parts.back_mut() {
            Some(part) if fresh(part) => part.1 = part.1.max(figure),
            _ => self.parts.push_back((now, figure)),
        }
        let old = |(since, _): &(Time, f64)| now > later(*since, memory);
        while self.parts.front().is_some_and(old) {
            self.parts.pop_front();
        }
    }

    /// The largest, 0 of none.
    pub(super) fn most(&self) -> f64 {
        self.parts.iter().map(|part| part.1).fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_is_kept_for_its_time() {
        let mut peak = Peak::default();
        assert!(peak.most() == 0.0);
        for (second, figure, most) in [(0.0, 3.0, 3.0), (2.0, 7.0, 7.0), (9.0, 4.0, 7.0), (13.0, 1.0, 4.0)] {
            peak.note(later(Time::ZERO, second), figure, 10.0);
            assert!((peak.most() - most).abs() < 1e-9, "{second}");
        }
    }
}
