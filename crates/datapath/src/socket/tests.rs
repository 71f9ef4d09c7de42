use std::time::{Duration, Instant};

use super::*;

/// The only deadline of these tests: far beyond what loopback needs.
const DEADLINE: Duration = Duration::from_secs(10);

fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

fn bound(address: SocketAddr) -> UdpSocket {
    UdpSocket::bind(address, BufferSizes::default()).unwrap()
}

/// Receives until `count` datagrams are in.
fn receive(socket: &mut UdpSocket, count: usize) -> Vec<(crate::Arrival, Vec<u8>)> {
    let (mut batch, mut all, start) = (ReceiveBatch::new(), Vec::new(), Instant::now());
    while all.len() < count {
        assert!(start.elapsed() < DEADLINE, "{} of {count} datagrams arrived", all.len());
        socket.receive(&mut batch).unwrap();
        all.extend(batch.datagrams().map(|(arrival, bytes)| (arrival, bytes.to_vec())));
    }
    all
}

fn send_all(socket: &mut UdpSocket, mut outgoing: Outgoing<'_>) {
    while !outgoing.bytes.is_empty() {
        if let Sent::Bytes(bytes) = socket.send(&outgoing).unwrap() {
            outgoing.bytes = &outgoing.bytes[bytes..];
        }
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at / 7) as u8).collect()
}

fn outgoing(to: SocketAddr, segment: usize, bytes: &[u8]) -> Outgoing<'_> {
    Outgoing { to, local: None, ecn: Ecn::Capable, segment, bytes }
}

#[test]
fn many_datagrams_cross_with_marking_and_a_shorter_last_one() {
    for address in [loopback(), SocketAddr::from((Ipv6Addr::LOCALHOST, 0))] {
        let (mut from, mut to) = (bound(address), bound(address));
        let bytes = pattern(1400 * 100 + 33);
        send_all(&mut from, outgoing(to.local_addr(), 1400, &bytes));
        let received = receive(&mut to, 101);
        assert!(received.iter().all(|(arrival, _)| arrival.from == from.local_addr()));
        assert!(received.iter().all(|(arrival, _)| arrival.ecn == Ecn::Capable), "marking lost with coalescing");
        assert_eq!(received.last().map(|(_, bytes)| bytes.len()), Some(33));
        assert_eq!(received.iter().flat_map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>(), bytes);
        assert!(from.statistics().send_calls <= 101);
    }
}

#[test]
fn a_dual_stack_socket_speaks_ipv4_under_its_own_name() {
    let Ok(mut server) = UdpSocket::bind_shared(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)), BufferSizes::default())
    else {
        eprintln!("skipped: IPv6 is off on this machine");
        return;
    };
    let mut client = bound(loopback());
    let server_address = SocketAddr::from((Ipv4Addr::LOCALHOST, server.local_addr().port()));
    send_all(&mut client, outgoing(server_address, 100, b"hello"));
    let (arrival, _) = receive(&mut server, 1).remove(0);
    assert_eq!(arrival.from, client.local_addr());
    assert_eq!(arrival.local, Some(Ipv4Addr::LOCALHOST.into()));

    let answer = Outgoing { local: arrival.local, ..outgoing(arrival.from, 100, b"answer") };
    send_all(&mut server, answer);
    assert_eq!(receive(&mut client, 1)[0].0.from, server_address);

    let mut own = server.connected(arrival.local, arrival.from, BufferSizes::default()).unwrap();
    send_all(&mut client, outgoing(server_address, 100, b"more"));
    assert_eq!(receive(&mut own, 1)[0].1, b"more");
}

#[test]
fn a_connected_socket_takes_its_peer_alone_and_leaves_the_rest() {
    let mut shared = UdpSocket::bind_shared(loopback(), BufferSizes::default()).unwrap();
    let (mut peer, mut stranger) = (bound(loopback()), bound(loopback()));
    let mut own =
        shared.connected(Some(Ipv4Addr::LOCALHOST.into()), peer.local_addr(), BufferSizes::default()).unwrap();
    for at in 0..50_u8 {
        send_all(&mut peer, outgoing(shared.local_addr(), 100, &[at]));
        send_all(&mut stranger, outgoing(shared.local_addr(), 100, &[100 + at]));
    }
    let ours = receive(&mut own, 50);
    assert!(ours.iter().all(|(arrival, _)| arrival.from == peer.local_addr()));
    let rest = receive(&mut shared, 50);
    assert!(rest.iter().all(|(arrival, _)| arrival.from == stranger.local_addr()));
    assert_eq!(own.drops(), Some(0));
}

#[test]
fn an_exclusive_port_is_not_shared() {
    let first = bound(loopback());
    assert!(UdpSocket::bind(first.local_addr(), BufferSizes::default()).is_err());
    assert!(UdpSocket::bind_shared(first.local_addr(), BufferSizes::default()).is_err());
}

#[test]
fn nobody_listening_is_no_error() {
    let mut client = UdpSocket::bind_shared(loopback(), BufferSizes::default()).unwrap();
    let nobody = bound(loopback()).local_addr();
    let mut own = client.connected(Some(Ipv4Addr::LOCALHOST.into()), nobody, BufferSizes::default()).unwrap();
    let start = Instant::now();
    while own.statistics().unreachable == 0 {
        assert!(start.elapsed() < DEADLINE);
        send_all(&mut own, outgoing(nobody, 100, b"anybody?"));
        own.receive(&mut ReceiveBatch::new()).unwrap();
    }
    send_all(&mut client, outgoing(nobody, 100, b"still works"));
}

#[test]
fn a_datagram_beyond_the_interface_is_counted_and_given_up() {
    let (mut from, to) = (bound(loopback()), bound(loopback()));
    let bytes = pattern(65_508);
    assert_eq!(from.send(&outgoing(to.local_addr(), 65_508, &bytes)).unwrap(), Sent::Bytes(65_508));
    assert_eq!(from.statistics().too_large, 1);
    assert!(from.max_segments(1400) > 1 || cfg!(not(target_os = "linux")));
}

#[test]
fn overflow_of_the_buffer_is_counted() {
    let small = BufferSizes { receive: 4096, send: 1 << 20 };
    let (mut from, to) = (bound(loopback()), UdpSocket::bind(loopback(), small).unwrap());
    let bytes = pattern(1000);
    for _ in 0..200 {
        send_all(&mut from, outgoing(to.local_addr(), 1000, &bytes));
    }
    assert!(to.drops().unwrap() > 0);
    assert!(!to.buffers().too_small());
}
