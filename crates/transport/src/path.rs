//! Where the peer is: learnt only from authentic datagrams, believed only
//! when the address has answered.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::Time;
use crate::config::Role;
use crate::random::Random;

/// An address that has not answered gets at most so many times what it sent.
const AMPLIFICATION: u64 = 3;
/// Challenges sent to another address than the one in use before it is given
/// up.
const TRIES: u8 = 5;
/// Shortest distance of two challenges to the same address.
const AGAIN: Duration = Duration::from_millis(100);
/// Longest distance of those that follow, where it is the only address.
const SELDOM: Duration = Duration::from_secs(1);
/// Answers owed at most.
const OWED: usize = 4;

/// An address that may be the peer's.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    address: SocketAddr,
    token: [u8; 16],
    since: Time,
    received: u64,
    sent: u64,
    tries: u8,
    next_try: Time,
}

/// A small datagram that proves or asks for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathMessage {
    Challenge([u8; 16]),
    Response([u8; 16]),
}

/// What an answer to a challenge brought about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Confirmed {
    /// The first address of the session; the round trip of the challenge, if
    /// it took one.
    First(Option<Duration>),
    /// The peer moved; the round trip of the challenge.
    Moved(Duration),
}

/// The peer's address and who else claims to be it.
#[derive(Debug)]
pub(crate) struct Path {
    active: Option<SocketAddr>,
    /// Whether the active address has answered.
    confirmed: bool,
    candidate: Option<Candidate>,
    owed: VecDeque<(SocketAddr, [u8; 16])>,
    random: Random,
}

impl Path {
    pub(crate) fn new(role: Role, seed: u64) -> Self {
        let active = match role {
            Role::Client { server } => Some(server),
            Role::Server => None,
        };
        Self { active, confirmed: false, candidate: None, owed: VecDeque::new(), random: Random::new(seed) }
    }

    /// Where datagrams go: the active address, else one that may become it.
    pub(crate) fn target(&self) -> Option<SocketAddr> {
        self.active.or(self.candidate.map(|candidate| candidate.address))
    }

    /// The peer's address once it has answered.
    pub(crate) fn confirmed(&self) -> Option<SocketAddr> {
        self.active.filter(|_| self.confirmed)
    }

    /// Whether `bytes` may be sent to the target: always once it has answered,
    /// or if it was named by the set-up.
    pub(crate) fn admits(&self, bytes: usize) -> bool {
        self.active.is_some() || self.candidate.is_some_and(|candidate| candidate.admits(bytes))
    }

    /// Counts what went to an address.
    pub(crate) fn on_sent(&mut self, to: SocketAddr, bytes: usize) {
        if let Some(candidate) = self.candidate.as_mut().filter(|candidate| candidate.address == to) {
            candidate.sent += bytes as u64;
        }
    }

    /// An authentic datagram came from `from`; `highest` says that its number
    /// is the highest so far.
    pub(crate) fn on_datagram(&mut self, now: Time, from: SocketAddr, bytes: usize, highest: bool, rtt: Duration) {
        if self.active == Some(from) {
            if highest {
                self.candidate = None;
            }
            return;
        }
        match &mut self.candidate {
            Some(candidate) if candidate.address == from => candidate.received += bytes as u64,
            Some(candidate) if now.since(candidate.since) < rtt => {}
            _ if highest => {
                let token = self.random.token();
                self.candidate = Some(Candidate {
                    address: from,
                    token,
                    since: now,
                    received: bytes as u64,
                    sent: 0,
                    tries: 0,
                    next_try: now,
                });
            }
            _ => {}
        }
    }

    /// The active address has answered what was sent to it.
    pub(crate) fn on_answer(&mut self, from: SocketAddr) -> Option<Confirmed> {
        let first = !self.confirmed && self.active == Some(from);
        self.confirmed |= first;
        first.then_some(Confirmed::First(None))
    }

    /// A challenge came from `from` and is to be answered there.
    pub(crate) fn on_challenge(&mut self, from: SocketAddr, token: [u8; 16]) {
        if self.owed.len() < OWED {
            self.owed.push_back((from, token));
        }
    }

    /// An answer came from `from`.
    pub(crate) fn on_response(&mut self, now: Time, from: SocketAddr, token: [u8; 16]) -> Option<Confirmed> {
        let candidate = self.candidate.filter(|c| c.address == from && c.token == token && c.tries > 0)?;
        self.candidate = None;
        self.active = Some(from);
        let first = !std::mem::replace(&mut self.confirmed, true);
        let rtt = now.since(candidate.since);
        Some(if first { Confirmed::First(Some(rtt)) } else { Confirmed::Moved(rtt) })
    }

    /// The next small datagram about addresses, if `size` bytes may go where
    /// it must.
    pub(crate) fn poll(&mut self, now: Time, size: usize, rtt: Duration) -> Option<(SocketAddr, PathMessage)> {
        if let Some((to, token)) = self.owed.pop_front() {
            return Some((to, PathMessage::Response(token)));
        }
        let candidate = self.candidate.as_mut().filter(|c| c.next_try <= now)?;
        // The peer may be nowhere else, and have nothing to say until it is
        // answered.
        let is_only = self.active.is_none();
        if candidate.tries >= TRIES && !is_only {
            self.candidate = None;
            return None;
        }
        let more = u32::from(candidate.tries.saturating_sub(TRIES - 1));
        candidate.tries = candidate.tries.saturating_add(1);
        let usual = AGAIN.max(2 * rtt);
        candidate.next_try = now + (usual * (1 << more.min(4))).min(SELDOM.max(usual));
        candidate.admits(size).then_some((candidate.address, PathMessage::Challenge(candidate.token)))
    }

    /// When [`Self::poll`] has something to say.
    pub(crate) fn deadline(&self) -> Option<Time> {
        if self.owed.is_empty() { self.candidate.map(|candidate| candidate.next_try) } else { Some(Time::ZERO) }
    }
}

impl Candidate {
    fn admits(&self, bytes: usize) -> bool {
        self.sent + bytes as u64 <= AMPLIFICATION * self.received
    }
}

/// Bytes of IP and UDP headers in front of a datagram to `address`.
pub(crate) fn overhead(address: SocketAddr) -> usize {
    match address.ip() {
        IpAddr::V4(_) => 28,
        IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some() => 28,
        IpAddr::V6(_) => 48,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(100);

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    fn ms(ms: u64) -> Time {
        Time::from_micros(ms * 1000)
    }

    fn challenged(path: &mut Path, now: Time) -> (SocketAddr, [u8; 16]) {
        match path.poll(now, 60, RTT) {
            Some((to, PathMessage::Challenge(token))) => (to, token),
            other => panic!("no challenge but {other:?}"),
        }
    }

    #[test]
    fn an_address_is_believed_when_it_answers_its_challenge() {
        let mut path = Path::new(Role::Server, 1);
        path.on_datagram(ms(0), address(1), 1000, true, RTT);
        assert_eq!((path.target(), path.confirmed()), (Some(address(1)), None));
        let (to, token) = challenged(&mut path, ms(0));
        assert_eq!(to, address(1));
        assert_eq!(path.on_response(ms(90), address(2), token), None, "from elsewhere");
        assert_eq!(path.on_response(ms(90), address(1), [0; 16]), None, "another token");
        let rtt = Some(Duration::from_millis(90));
        assert_eq!(path.on_response(ms(90), address(1), token), Some(Confirmed::First(rtt)));
        assert_eq!(path.confirmed(), Some(address(1)));
    }

    #[test]
    fn the_only_address_is_asked_until_it_answers_and_another_one_five_times() {
        let asked = |path: &mut Path| {
            let times = (0..20_000).filter(|at| path.poll(ms(*at), 60, RTT).is_some());
            times.collect::<Vec<_>>()
        };
        let mut first = Path::new(Role::Server, 1);
        first.on_datagram(ms(0), address(1), 1000, true, RTT);
        let all = asked(&mut first);
        assert_eq!(all[..9], [0, 200, 400, 600, 800, 1000, 1400, 2200, 3200], "{all:?}");
        assert!(all.len() > 20);
        let mut moved = Path::new(Role::Client { server: address(1) }, 1);
        moved.on_datagram(ms(0), address(2), 1000, true, RTT);
        assert_eq!(asked(&mut moved), [0, 200, 400, 600, 800]);
    }

    #[test]
    fn at_most_three_times_what_came_goes_to_an_unproven_address() {
        let mut path = Path::new(Role::Server, 1);
        path.on_datagram(ms(0), address(1), 100, true, RTT);
        assert!(path.admits(300));
        path.on_sent(address(1), 250);
        assert!(!path.admits(60));
        path.on_datagram(ms(1), address(1), 100, false, RTT);
        assert!(path.admits(60));
    }

    #[test]
    fn data_stay_on_the_old_address_until_the_new_one_answers() {
        let mut path = Path::new(Role::Client { server: address(1) }, 1);
        assert_eq!(path.on_answer(address(1)), Some(Confirmed::First(None)));
        path.on_datagram(ms(0), address(2), 100, false, RTT);
        assert_eq!(path.poll(ms(0), 60, RTT), None, "an old number moves nobody");
        path.on_datagram(ms(0), address(2), 100, true, RTT);
        let (to, token) = challenged(&mut path, ms(0));
        assert_eq!((to, path.target()), (address(2), Some(address(1))));
        path.on_datagram(ms(50), address(3), 100, true, RTT);
        assert_eq!(path.poll(ms(50), 60, RTT), None, "one candidate a round trip");
        assert_eq!(path.on_response(ms(90), address(2), token), Some(Confirmed::Moved(Duration::from_millis(90))));
        assert_eq!(path.target(), Some(address(2)));
    }

    #[test]
    fn a_stray_copy_from_elsewhere_is_forgotten_when_the_old_address_goes_on() {
        let mut path = Path::new(Role::Client { server: address(1) }, 1);
        path.on_datagram(ms(0), address(2), 100, true, RTT);
        path.on_datagram(ms(1), address(1), 100, true, RTT);
        assert_eq!(path.poll(ms(1), 60, RTT), None);
    }
}
