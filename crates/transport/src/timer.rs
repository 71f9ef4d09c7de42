//! The deadlines of a connection, one of each kind.

use crate::Time;

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// The next volley of opening probes, or the word that UDP is blocked.
    Opening,
    /// Challenges and answers about addresses.
    Path,
    /// A report is due.
    Report,
    /// The pace allows the next burst.
    Pace,
    /// A datagram's fate should be known.
    Tail,
    /// A second copy of stream bytes is due.
    Echo,
    /// Larger packets are to be tried.
    Mtu,
    /// The line is to be probed, or called silent.
    Silence,
    /// The receiver's full queue is to be looked at again.
    Receiver,
    /// The end is to be said again.
    Close,
    /// The session ends for want of any sign of life.
    Timeout,
}

/// Deadlines by kind, made fresh from the machines that have them.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    earliest: Option<(Time, Timer)>,
}

impl Deadlines {
    /// Adds one, if it is set.
    pub(crate) fn add(&mut self, timer: Timer, at: Option<Time>) -> &mut Self {
        if let Some(at) = at
            && self.earliest.is_none_or(|(earliest, _)| at < earliest)
        {
            self.earliest = Some((at, timer));
        }
        self
    }

    /// The earliest, and what it is for.
    pub(crate) fn earliest(&self) -> Option<(Time, Timer)> {
        self.earliest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_deadline_counts() {
        let mut deadlines = Deadlines::default();
        deadlines.add(Timer::Report, Some(Time::from_micros(5))).add(Timer::Path, None);
        deadlines.add(Timer::Pace, Some(Time::from_micros(3))).add(Timer::Mtu, Some(Time::from_micros(4)));
        assert_eq!(deadlines.earliest(), Some((Time::from_micros(3), Timer::Pace)));
    }
}
