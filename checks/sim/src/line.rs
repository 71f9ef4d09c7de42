//! A line: two links, shared by several flows.
//!
//! All flows meet in the same two queues (a dumbbell). Each has its own
//! access delay behind the shared part, so flows of different round trips can
//! compete, and its own addresses, which a NAT on the way may change.

use std::time::Duration;

use limosa_transport::Time;

use crate::datagram::Wire;
use crate::link::{Flight, Link, LinkSettings, Refused, Tally};
use crate::random::{Random, Seed};

/// Which end of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The end that sends over the forward link.
    Near,
    /// The end that sends over the reverse link.
    Far,
}

impl Side {
    /// The other end.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Near => Self::Far,
            Self::Far => Self::Near,
        }
    }

    pub(crate) fn index(self) -> usize {
        usize::from(self == Self::Far)
    }
}

/// An address as the other side sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// Number of the flow it belongs to.
    pub flow: u32,
    /// The end it belongs to.
    pub side: Side,
    /// How often a NAT has given this end a new one.
    pub binding: u32,
}

/// One flow's own part of the line.
#[derive(Debug)]
struct Branch<D> {
    access_delay: Duration,
    /// The present address of each side.
    addresses: [Address; 2],
    /// On the access delay, by the side they were sent from.
    flights: [Flight<Parcel<D>>; 2],
    queue_full: [Tally; 2],
    misaddressed: u64,
}

/// A datagram with its addresses.
#[derive(Clone, Debug)]
pub struct Parcel<D> {
    /// Where it came from, as the receiver sees it.
    pub from: Address,
    /// Where it goes.
    pub to: Address,
    /// What it carries.
    pub datagram: D,
}

impl<D: Wire> Wire for Parcel<D> {
    fn wire_length(&self) -> u32 {
        self.datagram.wire_length()
    }

    fn corrupt(&mut self, random: &mut Random) -> bool {
        self.datagram.corrupt(random)
    }

    fn mark(&mut self) -> bool {
        self.datagram.mark()
    }
}

/// Two links and the branches of the flows that share them.
#[derive(Debug)]
pub struct Line<D> {
    links: [Link<Parcel<D>>; 2],
    branches: Vec<Branch<D>>,
}

impl<D: Wire> Line<D> {
    /// An idle line from the near to the far side and back.
    #[must_use]
    pub fn new(forward: LinkSettings, reverse: LinkSettings, seed: Seed) -> Self {
        Self {
            links: [Link::new(forward, seed.part("forward")), Link::new(reverse, seed.part("reverse"))],
            branches: Vec::new(),
        }
    }

    /// Adds a flow whose packets take `access_delay` longer each way.
    pub fn add_flow(&mut self, access_delay: Duration) -> u32 {
        let flow = self.branches.len() as u32;
        let address = |side| Address { flow, side, binding: 0 };
        self.branches.push(Branch {
            access_delay,
            addresses: [address(Side::Near), address(Side::Far)],
            flights: [Flight::default(), Flight::default()],
            queue_full: [Tally::default(); 2],
            misaddressed: 0,
        });
        flow
    }

    /// The link that `side` sends over.
    #[must_use]
    pub fn link(&self, side: Side) -> &Link<Parcel<D>> {
        &self.links[side.index()]
    }

    /// The link that `side` sends over, to change it.
    pub fn link_mut(&mut self, side: Side) -> &mut Link<Parcel<D>> {
        &mut self.links[side.index()]
    }

    /// The address at which `side` of `flow` is reached at present.
    #[must_use]
    pub fn address(&self, flow: u32, side: Side) -> Address {
        self.branches[flow as usize].addresses[side.index()]
    }

    /// Gives `side` of `flow` a new address; the old one leads nowhere.
    pub fn rebind(&mut self, flow: u32, side: Side) {
        self.branches[flow as usize].addresses[side.index()].binding += 1;
    }

    /// Packets of `flow` from `side` that found the queue full.
    #[must_use]
    pub fn queue_full(&self, flow: u32, side: Side) -> Tally {
        self.branches[flow as usize].queue_full[side.index()]
    }

    /// Packets of `flow` sent to an address that nobody has any more.
    #[must_use]
    pub fn misaddressed(&self, flow: u32) -> u64 {
        self.branches[flow as usize].misaddressed
    }

    /// Sends a datagram from `side` of `flow`, to the other side's present
    /// address unless `to` names one.
    pub fn send(&mut self, now: Time, flow: u32, side: Side, to: Option<Address>, datagram: D) {
        let branch = &mut self.branches[flow as usize];
        let from = branch.addresses[side.index()];
        let to = to.unwrap_or(branch.addresses[side.other().index()]);
        let length = datagram.wire_length();
        let sent = self.links[side.index()].send(now, Parcel { from, to, datagram });
        if sent == Err(Refused::QueueFull) {
            branch.queue_full[side.index()].add(length);
        }
    }

    /// When the shared link from `side` next has something to do.
    #[must_use]
    pub fn next_event(&self, side: Side) -> Option<Time> {
        self.links[side.index()].next_event()
    }

    /// When the access delay of a packet from `side` of `flow` next ends.
    #[must_use]
    pub fn next_access_event(&self, flow: u32, side: Side) -> Option<Time> {
        self.branches[flow as usize].flights[side.index()].next_arrival()
    }

    /// The next packet from `side` that has crossed the shared link by `now`:
    /// delivered, or sent on its access delay.
    pub fn receive(&mut self, now: Time, side: Side) -> Option<Arrival<D>> {
        let parcel = self.links[side.index()].receive(now)?;
        let flow = parcel.from.flow;
        let branch = self.branches.get_mut(flow as usize)?;
        if branch.access_delay.is_zero() {
            return Some(Arrival::Delivered(parcel));
        }
        branch.flights[side.index()].push(now + branch.access_delay, parcel);
        Some(Arrival::OnAccess(flow))
    }

    /// The next packet from `side` of `flow` at the end of its access delay.
    pub fn receive_access(&mut self, now: Time, flow: u32, side: Side) -> Option<Parcel<D>> {
        self.branches[flow as usize].flights[side.index()].pop(now)
    }

    /// Whether somebody still has the address that `parcel` was sent to; counts
    /// it if not.
    pub fn is_reachable(&mut self, parcel: &Parcel<D>) -> bool {
        let branch = &mut self.branches[parcel.from.flow as usize];
        let reachable = branch.addresses[parcel.to.side.index()] == parcel.to;
        branch.misaddressed += u64::from(!reachable);
        reachable
    }
}

/// A packet that has crossed the shared link.
#[derive(Debug)]
pub enum Arrival<D> {
    /// It is there.
    Delivered(Parcel<D>),
    /// It is on the access delay of this flow.
    OnAccess(u32),
}
