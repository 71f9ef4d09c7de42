//! When nothing is heard: keeping paths alive, holding fire while the line is
//! cut, and giving up.

use std::time::Duration;

use crate::Time;

/// Something is sent at least this often.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Shortest wait for a report before sending stops.
const PATIENCE: Duration = Duration::from_millis(100);
/// A wait longer than this does not make for more patience.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// Shortest distance of two probes of a silent line.
const PROBE: Duration = Duration::from_millis(50);
/// Silence shorter than this is nothing to tell people of.
const NOTABLE: Duration = Duration::from_secs(1);

/// What a connection has heard and sent last.
#[derive(Debug)]
pub(crate) struct Silence {
    timeout: Duration,
    heard: Time,
    sent: Time,
    /// When the first datagram left that should have been reported by now.
    waiting_since: Option<Time>,
    /// How long reports have been waited for lately: a narrow way back brings
    /// them seldom.
    usual_wait: Duration,
    silent_since: Option<Time>,
    next_probe: Time,
    told: bool,
}

impl Silence {
    pub(crate) fn new(now: Time, timeout: Duration) -> Self {
        Self {
            timeout,
            heard: now,
            sent: now,
            waiting_since: None,
            usual_wait: Duration::ZERO,
            silent_since: None,
            next_probe: now,
            told: false,
        }
    }

    /// Something authentic arrived.
    pub(crate) fn on_heard(&mut self, now: Time) {
        self.heard = now;
    }

    /// A report arrived; returns how long the line had been silent, if people
    /// were told that it was.
    pub(crate) fn on_report(&mut self, now: Time) -> Option<Duration> {
        if let Some(since) = self.waiting_since.take() {
            let waited = now.since(since).min(LONGEST_WAIT);
            self.usual_wait = waited.max(self.usual_wait - self.usual_wait / 8);
        }
        let since = self.silent_since.take()?;
        std::mem::take(&mut self.told).then(|| now.since(since))
    }

    /// A datagram left.
    pub(crate) fn on_sent(&mut self, now: Time, asks: bool) {
        self.sent = now;
        if asks {
            self.waiting_since.get_or_insert(now);
        }
    }

    /// Whether sending is suspended.
    pub(crate) fn is_silent(&self) -> bool {
        self.silent_since.is_some()
    }

    fn suspend_at(&self, rtt: Duration) -> Option<Time> {
        let since = self.waiting_since.filter(|_| self.silent_since.is_none())?;
        Some(since + PATIENCE.max(2 * rtt).max(2 * self.usual_wait))
    }

    /// Notices silence; returns true when it begins.
    pub(crate) fn notice(&mut self, now: Time, rtt: Duration) -> bool {
        let begins = self.suspend_at(rtt).is_some_and(|at| at <= now);
        if begins {
            self.silent_since = self.waiting_since;
            self.next_probe = now;
        }
        begins
    }

    /// Whether people should be told now that the line is silent.
    pub(crate) fn tell(&mut self, now: Time) -> bool {
        let tell = !self.told && self.silent_since.is_some_and(|since| now.since(since) >= NOTABLE);
        self.told |= tell;
        tell
    }

    /// Whether a probe is due: one a round trip while silent, else one when
    /// nothing was sent for long.
    pub(crate) fn take_probe(&mut self, now: Time, rtt: Duration) -> bool {
        let due = self.probe_at() <= now;
        if due && self.is_silent() {
            self.next_probe = now + PROBE.max(rtt);
        }
        due
    }

    fn probe_at(&self) -> Time {
        if self.is_silent() { self.next_probe } else { self.sent + KEEP_ALIVE }
    }

    /// Whether nothing has been heard for the session's timeout.
    pub(crate) fn is_over(&self, now: Time) -> bool {
        now.since(self.heard) >= self.timeout
    }

    /// When nothing will have been heard for the session's timeout.
    pub(crate) fn over_at(&self) -> Time {
        self.heard + self.timeout
    }

    /// When something is to be done, the timeout left aside.
    pub(crate) fn deadline(&self, rtt: Duration) -> Time {
        let tell = self.silent_since.filter(|_| !self.told).map(|since| since + NOTABLE);
        [Some(self.probe_at()), self.suspend_at(rtt), tell].into_iter().flatten().min().unwrap_or(self.sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(80);

    fn ms(ms: u64) -> Time {
        Time::from_micros(ms * 1000)
    }

    #[test]
    fn two_round_trips_without_a_report_suspend_sending() {
        let mut silence = Silence::new(Time::ZERO, Duration::from_secs(60));
        silence.on_sent(ms(10), true);
        silence.on_sent(ms(100), true);
        assert!(!silence.notice(ms(169), RTT));
        assert!(silence.notice(ms(170), RTT));
        assert!(silence.take_probe(ms(170), RTT));
        assert!(!silence.take_probe(ms(249), RTT));
        assert!(silence.take_probe(ms(250), RTT));
        assert!(!silence.tell(ms(1000)));
        assert!(silence.tell(ms(1010)));
        assert_eq!(silence.on_report(ms(2000)), Some(Duration::from_millis(1990)));
        assert!(!silence.is_silent());
    }

    #[test]
    fn an_idle_line_is_kept_alive_and_a_dead_one_given_up() {
        let mut silence = Silence::new(Time::ZERO, Duration::from_secs(60));
        assert!(!silence.take_probe(ms(14_999), RTT));
        assert!(silence.take_probe(ms(15_000), RTT));
        silence.on_heard(ms(15_000));
        assert!(!silence.is_over(ms(74_999)));
        assert!(silence.is_over(ms(75_000)));
    }
}
