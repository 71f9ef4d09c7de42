//! The end of a session, orderly or not.

use std::time::Duration;

use limosa_wire::Code;

use crate::Time;
use crate::event::{Closed, ClosedBy};

/// Times an end is said if the peer does not say it too.
const REPEATS: u8 = 5;
/// Shortest distance of two of them.
const AGAIN: Duration = Duration::from_millis(20);

/// How far the end has come.
#[derive(Debug, Default)]
pub(crate) enum Ending {
    /// The session lives.
    #[default]
    Open,
    /// The end is being said.
    Saying(Saying),
    /// The peer said it, or nobody is left to say it to. `echo` is owed to a
    /// peer that said it (again).
    Over { closed: Closed, echo: bool },
}

/// An end on its way to the peer.
#[derive(Debug)]
pub(crate) struct Saying {
    closed: Closed,
    left: u8,
    next: Time,
}

impl Ending {
    pub(crate) fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }

    /// Whether nothing more comes of this session.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self, Self::Over { .. })
    }

    /// Ends the session from here; only the first end counts.
    pub(crate) fn say(&mut self, now: Time, code: Code, reason: &str, by: ClosedBy) {
        if self.is_open() {
            let closed = Closed { code, reason: reason.to_owned(), by };
            *self = Self::Saying(Saying { closed, left: REPEATS, next: now });
        }
    }

    /// Ends the session without a word: there is nobody to hear it.
    pub(crate) fn drop_silently(&mut self, code: Code) -> Option<Closed> {
        self.over(Closed { code, reason: String::new(), by: ClosedBy::Fault }, false)
    }

    /// Gives up saying the end: there is nobody to hear it. Returns it, once.
    pub(crate) fn end_unsaid(&mut self) -> Option<Closed> {
        let Self::Saying(saying) = self else { return None };
        let closed = saying.closed.clone();
        self.over(closed, false)
    }

    /// The peer said the end. Returns the end that counts, once.
    pub(crate) fn heard(&mut self, code: Code, reason: &str) -> Option<Closed> {
        match self {
            Self::Open => self.over(Closed { code, reason: reason.to_owned(), by: ClosedBy::Peer }, true),
            Self::Saying(saying) => {
                let closed = saying.closed.clone();
                self.over(closed, false)
            }
            Self::Over { closed, echo } => {
                *echo = closed.by == ClosedBy::Peer;
                None
            }
        }
    }

    fn over(&mut self, closed: Closed, echo: bool) -> Option<Closed> {
        if self.is_over() {
            return None;
        }
        *self = Self::Over { closed: closed.clone(), echo };
        Some(closed)
    }

    /// What is to be said now.
    pub(crate) fn poll(&mut self, now: Time, rtt: Duration) -> Option<(Code, &str)> {
        match self {
            Self::Saying(saying) if saying.next <= now && saying.left > 0 => {
                saying.left -= 1;
                saying.next = now + AGAIN.max(rtt / 2);
                Some((saying.closed.code, &saying.closed.reason))
            }
            Self::Over { closed, echo } => std::mem::take(echo).then_some((closed.code, "")),
            _ => None,
        }
    }

    /// Notices that the end was said often enough; returns it, once.
    pub(crate) fn give_up(&mut self, now: Time) -> Option<Closed> {
        match self {
            Self::Saying(saying) if saying.left == 0 && saying.next <= now => {
                let closed = saying.closed.clone();
                self.over(closed, false)
            }
            _ => None,
        }
    }

    /// When something is to be done.
    pub(crate) fn deadline(&self) -> Option<Time> {
        match self {
            Self::Open => None,
            Self::Saying(saying) => Some(saying.next),
            Self::Over { echo, .. } => echo.then_some(Time::ZERO),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(100);

    #[test]
    fn an_end_is_said_until_it_is_echoed() {
        let mut ending = Ending::default();
        ending.say(Time::ZERO, Code::OK, "done", ClosedBy::Us);
        assert_eq!(ending.poll(Time::ZERO, RTT), Some((Code::OK, "done")));
        assert_eq!(ending.poll(Time::ZERO, RTT), None);
        assert_eq!(ending.poll(Time::from_micros(50_000), RTT), Some((Code::OK, "done")));
        let closed = ending.heard(Code::OK, "").unwrap();
        assert_eq!((closed.code, closed.by), (Code::OK, ClosedBy::Us));
        assert_eq!(ending.heard(Code::OK, ""), None);
        assert_eq!(ending.poll(Time::from_micros(500_000), RTT), None, "no echo of an echo");
    }

    #[test]
    fn an_end_nobody_echoes_is_given_up() {
        let mut ending = Ending::default();
        ending.say(Time::ZERO, Code::CANCELLED, "", ClosedBy::Us);
        let mut now = Time::ZERO;
        let mut said = 0;
        let closed = loop {
            said += usize::from(ending.poll(now, RTT).is_some());
            if let Some(closed) = ending.give_up(now) {
                break closed;
            }
            now = ending.deadline().unwrap();
        };
        assert_eq!((said, closed.code), (5, Code::CANCELLED));
        assert!(ending.is_over());
    }
}
