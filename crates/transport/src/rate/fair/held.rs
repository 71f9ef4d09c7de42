//! What the buffer has been seen to hold.
//!
//! A line that stands still for a moment delays all that waits in it, and loses
//! what comes meanwhile once its buffer is full: such a delay may be many times
//! the buffer. So a queue counts only if nothing was lost while it was met, nor
//! in the round trips after it: what a standstill loses had been sent after
//! what it delayed.

use super::peak::Peak;
use super::{Sample, seconds_since};
use crate::Time;

/// Deepest queue that went by without loss of its making.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    /// What was met since then.
    current: Option<(Time, f64)>,
    /// What was met in the window before.
    waiting: Option<f64>,
    most: Peak,
}

impl Held {
    /// Takes in the queue of a sample; `lost` says that it may have dropped
    /// packets. It is remembered for `memory` seconds.
    pub(super) fn on_sample(&mut self, s: &Sample, lost: bool, memory: f64) {
        if lost {
            (self.current, self.waiting) = (None, None);
            return;
        }
        let (since, queue) = self.current.unwrap_or((s.now, 0.0));
        let queue = queue.max(s.queue);
        self.current = Some((since, queue));
        if seconds_since(s.now, since) <= s.window {
            return;
        }
        if let Some(held) = self.waiting.replace(queue) {
            self.most.note(s.now, held, memory);
        }
        self.current = None;
    }

    /// In seconds; what is met now counts until loss shows otherwise. `None`
    /// before anything has gone by without loss, as long as what the line itself
    /// loses is not known.
    pub(super) fn most(&self) -> Option<f64> {
        let current = self.current.map_or(0.0, |(_, queue)| queue);
        let most = self.most.most();
        (most > 0.0).then(|| most.max(self.waiting.unwrap_or(0.0)).max(current))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After three round trips with a queue of 20 ms, the first of which met
    /// `first`; packets were lost in report `lost`.
    fn held(first: f64, lost: Option<u32>) -> f64 {
        let mut held = Held::default();
        for i in 0..30 {
            let queue = if i < 4 { first } else { 0.02 };
            let s = Sample::calm(1.0 + f64::from(i) * 0.00625, 1e8).with_queue(queue);
            held.on_sample(&s, lost == Some(i), 60.0);
        }
        held.most().unwrap_or_default()
    }

    #[test]
    fn the_deepest_queue_without_loss_is_what_the_buffer_holds() {
        assert!((held(0.01, None) - 0.02).abs() < 1e-9);
        assert!((held(0.05, None) - 0.05).abs() < 1e-9);
    }

    #[test]
    fn a_standstill_that_loses_is_no_buffer() {
        assert!((held(0.05, Some(6)) - 0.02).abs() < 1e-9, "what came meanwhile");
        assert!((held(0.05, Some(29))) > 0.04, "long ago");
    }
}
