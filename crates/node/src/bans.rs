//! Addresses that failed too often are shut out for a while, longer each time.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failures older than this are forgotten.
const WINDOW: Duration = Duration::from_secs(600);
/// The first time that an address is shut out for.
const FIRST_BAN: Duration = Duration::from_secs(60);
/// The longest.
const LONGEST_BAN: Duration = Duration::from_secs(3600);
/// Addresses remembered at most; beyond, the one that failed longest ago is
/// forgotten.
const REMEMBERED: usize = 10_000;

/// Counts failed logins by address. An IPv6 host counts as its /64.
#[derive(Debug)]
pub(crate) struct Bans {
    permitted: u32,
    offenders: Mutex<HashMap<IpAddr, Offender>>,
}

#[derive(Clone, Copy, Debug)]
struct Offender {
    failures: u32,
    last: Instant,
    banned_until: Option<Instant>,
    next_ban: Duration,
}

impl Bans {
    /// Shuts an address out after `permitted` failures within ten minutes.
    #[must_use]
    pub(crate) fn new(permitted: u32) -> Self {
        Self { permitted: permitted.max(1), offenders: Mutex::default() }
    }

    /// Whether `address` is shut out at `now`.
    #[must_use]
    pub(crate) fn is_banned(&self, address: IpAddr, now: Instant) -> bool {
        let offenders = self.offenders.lock().unwrap_or_else(PoisonError::into_inner);
        let offender = offenders.get(&network_of(address));
        offender.and_then(|offender| offender.banned_until).is_some_and(|until| now < until)
    }

    /// A login from `address` failed at `now`. Returns for how long it is shut
    /// out, if it is from now on.
    pub(crate) fn failed(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let mut offenders = self.offenders.lock().unwrap_or_else(PoisonError::into_inner);
        let network = network_of(address);
        if !offenders.contains_key(&network) && offenders.len() >= REMEMBERED {
            let oldest = offenders.iter().min_by_key(|(_, offender)| offender.last).map(|(network, _)| *network);
            oldest.map(|network| offenders.remove(&network));
        }
        let new = Offender { failures: 0, last: now, banned_until: None, next_ban: FIRST_BAN };
        offenders.entry(network).or_insert(new).fail(now, self.permitted)
    }
}

impl Offender {
    fn fail(&mut self, now: Instant, permitted: u32) -> Option<Duration> {
        let since = now.duration_since(self.banned_until.unwrap_or(self.last).min(now));
        if since > WINDOW {
            (self.failures, self.banned_until, self.next_ban) = (0, None, FIRST_BAN);
        }
        self.last = now;
        self.failures += 1;
        if self.failures < permitted {
            return None;
        }
        let ban = self.next_ban;
        self.failures = 0;
        self.banned_until = Some(now + ban);
        self.next_ban = (ban * 2).min(LONGEST_BAN);
        Some(ban)
    }
}

/// Whom an address counts as.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn too_many_failures_shut_an_address_out_longer_each_time() {
        let (bans, now, peer) = (Bans::new(3), Instant::now(), ip("192.0.2.1"));
        assert_eq!([bans.failed(peer, now), bans.failed(peer, now)], [None, None]);
        assert!(!bans.is_banned(peer, now));
        assert_eq!(bans.failed(peer, now), Some(FIRST_BAN));
        assert!(bans.is_banned(peer, now) && !bans.is_banned(ip("192.0.2.2"), now));
        let later = now + FIRST_BAN;
        assert!(!bans.is_banned(peer, later));
        let again = [bans.failed(peer, later), bans.failed(peer, later), bans.failed(peer, later)];
        assert_eq!(again, [None, None, Some(FIRST_BAN * 2)]);
    }

    #[test]
    fn old_failures_are_forgotten() {
        let (bans, now, peer) = (Bans::new(2), Instant::now(), ip("192.0.2.1"));
        assert_eq!(bans.failed(peer, now), None);
        assert_eq!(bans.failed(peer, now + WINDOW + Duration::from_secs(1)), None);
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one() {
        let (bans, now) = (Bans::new(1), Instant::now());
        assert!(bans.failed(ip("2001:db8::1"), now).is_some());
        assert!(bans.is_banned(ip("2001:db8::2"), now) && !bans.is_banned(ip("2001:db8:0:1::2"), now));
    }

    #[test]
    fn memory_is_bounded() {
        let (bans, now) = (Bans::new(2), Instant::now());
        for n in 0..u32::try_from(REMEMBERED + 100).unwrap() {
            bans.failed(IpAddr::from(n.to_be_bytes()), now + Duration::from_millis(n.into()));
        }
        assert_eq!(bans.offenders.lock().unwrap().len(), REMEMBERED);
    }
}
