//! The bound on connections that have not logged in: in all, and from one
//! address, so that one host cannot take every place.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Hands out places.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    places: Arc<Mutex<Places>>,
    in_all: usize,
    per_peer: usize,
}

#[derive(Debug, Default)]
struct Places {
    taken: usize,
    by_peer: HashMap<IpAddr, usize>,
}

/// A place taken; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    gate: Gate,
    peer: IpAddr,
}

impl Gate {
    pub(super) fn new(in_all: usize, per_peer: usize) -> Self {
        Self { places: Arc::default(), in_all, per_peer }
    }

    /// A place for a connection from `peer`, if there is one left.
    pub(super) fn enter(&self, peer: IpAddr) -> Option<Place> {
        let peer = network_of(peer);
        let mut places = self.lock();
        let of_peer = places.by_peer.get(&peer).copied().unwrap_or(0);
        if places.taken >= self.in_all || of_peer >= self.per_peer {
            return None;
        }
        places.taken += 1;
        places.by_peer.insert(peer, of_peer + 1);
        Some(Place { gate: self.clone(), peer })
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.gate.lock();
        places.taken -= 1;
        if let Some(of_peer) = places.by_peer.get_mut(&self.peer) {
            *of_peer -= 1;
            if *of_peer == 0 {
                places.by_peer.remove(&self.peer);
            }
        }
    }
}

/// Whom an address counts as: an IPv6 host has its whole /64 at its disposal.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = u128::from(address) & (u128::MAX << 64);
            IpAddr::V6(network.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn both_bounds_hold_and_places_come_back() {
        let gate = Gate::new(3, 2);
        let first = gate.enter(ip("192.0.2.1")).unwrap();
        let _second = gate.enter(ip("192.0.2.1")).unwrap();
        assert!(gate.enter(ip("192.0.2.1")).is_none(), "per address");
        let _third = gate.enter(ip("192.0.2.2")).unwrap();
        assert!(gate.enter(ip("192.0.2.3")).is_none(), "in all");
        drop(first);
        assert!(gate.enter(ip("192.0.2.1")).is_some());
        assert_eq!(gate.lock().by_peer.len(), 2);
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one() {
        let gate = Gate::new(10, 1);
        let _first = gate.enter(ip("2001:db8::1")).unwrap();
        assert!(gate.enter(ip("2001:db8::ffff:2")).is_none());
        assert!(gate.enter(ip("2001:db8:0:1::1")).is_some());
        let _mapped = gate.enter(ip("::ffff:192.0.2.1")).unwrap();
        assert!(gate.enter(ip("192.0.2.1")).is_none());
    }
}
