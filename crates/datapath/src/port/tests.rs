use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use limosa_transport::Ecn;
use limosa_wire::PacketNumber;

use super::*;

/// The only deadline of these tests: far beyond what loopback needs.
const DEADLINE: Duration = Duration::from_secs(10);

fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

fn datagram(session: SessionId, at: u64) -> Vec<u8> {
    let header = Header { session, number: PacketNumber::new(at).unwrap(), stamp: false };
    [header.encode().as_slice(), &[0; 40]].concat()
}

fn send(from: &mut UdpSocket, to: SocketAddr, bytes: &[u8]) {
    let outgoing = Outgoing { to, local: None, ecn: Ecn::NotCapable, segment: bytes.len(), bytes };
    assert_eq!(from.send(&outgoing).unwrap(), Sent::Bytes(bytes.len()));
}

fn until(mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < DEADLINE, "it did not happen");
        std::thread::yield_now();
    }
}

#[test]
fn datagrams_reach_the_session_they_name_and_strangers_nobody() {
    let port = SharedPort::open(loopback(), BufferSizes::default()).unwrap();
    let (first, second) = (SessionId(1), SessionId(2));
    let wakers = [waker().unwrap(), waker().unwrap()];
    let sessions =
        [port.register(first, wakers[0].0.clone()).unwrap(), port.register(second, wakers[1].0.clone()).unwrap()];
    assert!(port.register(first, wakers[0].0.clone()).is_none(), "ids are unique");

    let mut client = UdpSocket::bind(loopback(), BufferSizes::default()).unwrap();
    for at in 0..20 {
        send(&mut client, port.local_addr(), &datagram(first, at));
        send(&mut client, port.local_addr(), &datagram(second, at));
        send(&mut client, port.local_addr(), &datagram(SessionId(3), at));
        send(&mut client, port.local_addr(), b"junk");
    }
    until(|| port.statistics() == PortStatistics { forwarded: 40, foreign: 40, overflowed: 0 });
    for (session, id) in sessions.iter().zip([first, second]) {
        for at in 0..20 {
            let forwarded = session.take().unwrap();
            assert_eq!(&*forwarded.bytes, datagram(id, at));
            assert_eq!(forwarded.arrival.from, client.local_addr());
        }
    }
    drop(sessions);
    assert!(port.register(first, wakers[0].0.clone()).is_some(), "the place is free again");
}

#[test]
fn a_full_queue_drops_and_counts() {
    let port = SharedPort::open(loopback(), BufferSizes::default()).unwrap();
    let (waker, _wakeup) = waker().unwrap();
    let session = port.register(SessionId(1), waker).unwrap();
    let mut client = UdpSocket::bind(loopback(), BufferSizes::default()).unwrap();
    for at in 0..QUEUE as u64 + 10 {
        send(&mut client, port.local_addr(), &datagram(SessionId(1), at));
    }
    until(|| port.statistics().forwarded + port.statistics().overflowed == QUEUE as u64 + 10);
    assert_eq!(port.statistics().overflowed, 10);
    assert_eq!(std::iter::from_fn(|| session.take()).count(), QUEUE);
}

#[test]
fn a_confirmed_peer_has_its_own_socket_and_the_port_outlives_its_owner_there() {
    let port = SharedPort::open(loopback(), BufferSizes::default()).unwrap();
    let address = port.local_addr();
    let (waker, _wakeup) = waker().unwrap();
    let session = port.register(SessionId(1), waker).unwrap();
    let mut client = UdpSocket::bind(loopback(), BufferSizes::default()).unwrap();
    send(&mut client, address, &datagram(SessionId(1), 0));
    let mut first = None;
    until(|| {
        first = first.take().or_else(|| session.take());
        first.is_some()
    });
    let arrival = first.unwrap().arrival;
    let mut own = session.connect(arrival.local, arrival.from).unwrap();
    drop(port);

    send(&mut client, address, b"directly");
    let mut batch = ReceiveBatch::new();
    until(|| {
        own.receive(&mut batch).unwrap();
        !batch.is_empty()
    });
    assert!(batch.datagrams().all(|(_, bytes)| bytes == b"directly"));
}

#[test]
fn what_came_to_the_sessions_own_socket_goes_before_copies_sent_from_elsewhere() {
    let port = SharedPort::open(loopback(), BufferSizes::default()).unwrap();
    let (waker, _wakeup) = waker().unwrap();
    let mut link = crate::Link::from(port.register(SessionId(1), waker).unwrap());
    let mut client = UdpSocket::bind(loopback(), BufferSizes::default()).unwrap();
    link.confirm(client.local_addr()).unwrap();
    let mut thief = UdpSocket::bind(loopback(), BufferSizes::default()).unwrap();
    send(&mut client, port.local_addr(), &datagram(SessionId(1), 7));
    send(&mut thief, port.local_addr(), &datagram(SessionId(1), 7));
    until(|| port.statistics().forwarded == 1);
    let (mut batch, mut from) = (ReceiveBatch::new(), Vec::new());
    until(|| {
        link.receive(&mut batch, |arrival, _| from.push(arrival.from)).unwrap();
        from.len() == 2
    });
    assert_eq!(from, [client.local_addr(), thief.local_addr()]);
}

#[test]
fn a_port_that_fails_rests_longer_each_time_but_not_for_ever() {
    let port = SharedPort::open(loopback(), BufferSizes::default()).unwrap();
    let (waker, wakeup) = waker().unwrap();
    waker.wake(); // so that no rest takes time
    let failure = io::Error::from(io::ErrorKind::OutOfMemory);
    let mut rest = FIRST_REST;
    for _ in 0..20 {
        let next = port.shared.rest_after(&failure, rest, &wakeup);
        assert_eq!(next, LONGEST_REST.min(rest * 2));
        rest = next;
    }
    assert_eq!(rest, LONGEST_REST);
}
