//! The sending half of a stream.

use std::collections::VecDeque;
use std::time::Duration;

use limosa_ranges::RangeSet;
use limosa_wire::frame::StreamId;

use super::window;
use crate::Time;

/// Bytes written and not yet acknowledged.
#[derive(Debug)]
pub(crate) struct Outgoing {
    window: usize,
    /// From `base` on.
    bytes: VecDeque<u8>,
    /// All before it is acknowledged.
    base: u64,
    /// Never sent from here on.
    next: u64,
    acknowledged: RangeSet,
    again: RangeSet,
    /// Sent once and to be sent a second time without waiting for news.
    echoes: VecDeque<Echo>,
}

#[derive(Clone, Copy, Debug)]
struct Echo {
    offset: u64,
    length: usize,
    sent: Time,
}

/// Pieces remembered for a second copy at most.
const ECHOES: usize = 4096;

impl Outgoing {
    pub(crate) fn new(stream: StreamId) -> Self {
        Self {
            window: window(stream),
            bytes: VecDeque::new(),
            base: 0,
            next: 0,
            acknowledged: RangeSet::default(),
            again: RangeSet::default(),
            echoes: VecDeque::new(),
        }
    }

    fn end(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    /// Bytes that [`Self::write`] would take.
    pub(crate) fn room(&self) -> usize {
        self.window - self.bytes.len()
    }

    /// Appends what there is room for; returns how much that was.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.room());
        self.bytes.extend(&bytes[..taken]);
        taken
    }

    /// Bytes that the peer has, from the start.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.base
    }

    /// Bytes written that the peer does not have.
    pub(crate) fn unacknowledged(&self) -> u64 {
        self.bytes.len() as u64 - self.acknowledged.total()
    }

    /// Whether anything waits to be sent for the first time or again.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.again.is_empty() || self.next < self.end()
    }

    /// Whether nothing waits: no new bytes, no lost ones, no second copies.
    pub(crate) fn is_idle(&self) -> bool {
        self.echoes.is_empty() && !self.is_waiting()
    }

    /// A piece to send now, of at most `most` bytes: what was lost, what is
    /// new, then second copies of what left more than `echo_after` ago (if
    /// second copies are wanted).
    pub(crate) fn next(&mut self, now: Time, most: usize, echo_after: Option<Duration>) -> Option<(u64, usize)> {
        if most == 0 {
            return None;
        }
        if let Some(range) = self.again.first() {
            return Some((range.start, most.min(length(range.start, range.end))));
        }
        if self.next < self.end() {
            return Some((self.next, most.min(length(self.next, self.end()))));
        }
        self.next_echo(now, most, echo_after?)
    }

    fn next_echo(&mut self, now: Time, most: usize, after: Duration) -> Option<(u64, usize)> {
        while let Some(echo) = self.echoes.front() {
            let end = echo.offset + echo.length as u64;
            let settled = end <= self.base || self.acknowledged.contains(&(echo.offset..end));
            if !settled {
                return (now.since(echo.sent) >= after).then(|| {
                    let from = echo.offset.max(self.base);
                    (from, most.min(length(from, end)))
                });
            }
            self.echoes.pop_front();
        }
        None
    }

    /// When the next second copy is due.
    pub(crate) fn echo_due(&self, after: Duration) -> Option<Time> {
        self.echoes.front().map(|echo| echo.sent + after)
    }

    /// Copies bytes of a piece.
    pub(crate) fn copy(&self, offset: u64, out: &mut [u8]) {
        let from = length(self.base, offset);
        let (front, back) = self.bytes.as_slices();
        let in_front = front.get(from..).unwrap_or_default();
        let first = in_front.len().min(out.len());
        out[..first].copy_from_slice(&in_front[..first]);
        let rest = out.len() - first;
        let from = from.saturating_sub(front.len());
        if rest > 0 {
            out[first..].copy_from_slice(&back[from..from + rest]);
        }
    }

    /// Notes that a piece was sent; `echo` asks for a second copy of new
    /// bytes.
    pub(crate) fn sent(&mut self, now: Time, offset: u64, length: usize, echo: bool) {
        let end = offset + length as u64;
        if offset >= self.next {
            self.next = end;
            if echo && self.echoes.len() < ECHOES {
                self.echoes.push_back(Echo { offset, length, sent: now });
            }
        } else if self.again.remove(&(offset..end)) == 0
            && let Some(echo) = self.echoes.front_mut()
            && (echo.offset..echo.offset + echo.length as u64).contains(&offset)
        {
            let done = length + super::outgoing::length(echo.offset, offset);
            echo.offset += done as u64;
            echo.length = echo.length.saturating_sub(done);
            if echo.length == 0 {
                self.echoes.pop_front();
            }
        }
    }

    /// A piece arrived.
    pub(crate) fn arrived(&mut self, offset: u64, length: usize) {
        let end = offset + length as u64;
        let from = offset.max(self.base);
        if from >= end {
            return;
        }
        self.acknowledged.insert(from..end);
        self.again.remove(&(from..end));
        let base = self.acknowledged.end_of(self.base);
        if base > self.base {
            self.acknowledged.remove(&(self.base..base));
            self.bytes.drain(..super::outgoing::length(self.base, base));
            self.base = base;
        }
    }

    /// A piece was lost or is suspected to be.
    pub(crate) fn lost(&mut self, offset: u64, length: usize) {
        let end = offset + length as u64;
        for part in self.acknowledged.missing(&(offset.max(self.base)..end)) {
            self.again.insert(part);
        }
    }
}

/// Distance of two places that lie within one window.
fn length(from: u64, to: u64) -> usize {
    usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_bytes_are_sent_twice_when_asked_and_not_once_they_are_there() {
        let mut out = Outgoing::new(StreamId::Layout);
        out.write(&[1; 100]);
        let after = Some(Duration::from_millis(5));
        assert_eq!(out.next(Time::ZERO, 60, after), Some((0, 60)));
        out.sent(Time::ZERO, 0, 60, true);
        assert_eq!(out.next(Time::ZERO, 60, after), Some((60, 40)));
        out.sent(Time::ZERO, 60, 40, true);
        assert_eq!(out.next(Time::ZERO, 60, after), None, "too early for the copy");
        out.arrived(0, 60);
        let later = Time::from_micros(5000);
        assert_eq!(out.next(later, 30, after), Some((60, 30)));
        out.sent(later, 60, 30, false);
        assert_eq!(out.next(later, 30, after), Some((90, 10)));
        out.sent(later, 90, 10, false);
        assert_eq!(out.next(later, 30, after), None);
    }

    #[test]
    fn takes_no_more_than_its_window() {
        let mut out = Outgoing::new(StreamId::Control);
        assert_eq!(out.write(&vec![0; 1 << 20]), 256 << 10);
        assert_eq!(out.room(), 0);
        out.sent(Time::ZERO, 0, 1000, false);
        out.arrived(0, 1000);
        assert_eq!((out.room(), out.acknowledged()), (1000, 1000));
    }
}
