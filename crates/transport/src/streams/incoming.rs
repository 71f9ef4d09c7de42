//! The receiving half of a stream.

use std::collections::VecDeque;

use limosa_ranges::RangeSet;
use limosa_wire::frame::StreamId;

use super::window;

/// The peer sent bytes that its window did not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stream bytes beyond the window")]
pub(crate) struct BeyondWindow;

/// Bytes that came before those in front of them.
#[derive(Debug)]
pub(crate) struct Incoming {
    window: usize,
    /// The next byte to hand over.
    next: u64,
    /// Bytes from `next` on, with holes.
    ahead: VecDeque<u8>,
    have: RangeSet,
}

impl Incoming {
    pub(crate) fn new(stream: StreamId) -> Self {
        Self { window: window(stream), next: 0, ahead: VecDeque::new(), have: RangeSet::default() }
    }

    /// Takes a piece and hands over what is in order now.
    pub(crate) fn receive(
        &mut self,
        offset: u64,
        bytes: &[u8],
        mut deliver: impl FnMut(&[u8]),
    ) -> Result<(), BeyondWindow> {
        let end = offset + bytes.len() as u64;
        if end > self.next + self.window as u64 {
            return Err(BeyondWindow);
        }
        if end <= self.next {
            return Ok(());
        }
        let known = usize::try_from(self.next.saturating_sub(offset)).unwrap_or(bytes.len());
        let bytes = &bytes[known..];
        if offset <= self.next && self.have.is_empty() {
            deliver(bytes);
            self.next = end;
            return Ok(());
        }
        self.keep(offset.max(self.next), bytes);
        self.hand_over(deliver);
        Ok(())
    }

    fn keep(&mut self, offset: u64, bytes: &[u8]) {
        let start = usize::try_from(offset - self.next).unwrap_or(self.window);
        let end = start + bytes.len();
        if self.ahead.len() < end {
            self.ahead.resize(end, 0);
        }
        for (place, byte) in self.ahead.range_mut(start..end).zip(bytes) {
            *place = *byte;
        }
        self.have.insert(offset..offset + bytes.len() as u64);
    }

    fn hand_over(&mut self, mut deliver: impl FnMut(&[u8])) {
        let end = self.have.end_of(self.next);
        let count = usize::try_from(end - self.next).unwrap_or(0);
        if count == 0 {
            return;
        }
        let (front, back) = self.ahead.as_slices();
        let first = front.len().min(count);
        deliver(&front[..first]);
        if count > first {
            deliver(&back[..count - first]);
        }
        self.ahead.drain(..count);
        self.have.remove(&(self.next..end));
        self.next = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_beyond_the_window_are_an_offence() {
        let mut inc = Incoming::new(StreamId::Control);
        assert_eq!(inc.receive(256 << 10, &[1], |_| ()), Err(BeyondWindow));
        assert_eq!(inc.receive((256 << 10) - 1, &[1], |_| ()), Ok(()));
    }
}
