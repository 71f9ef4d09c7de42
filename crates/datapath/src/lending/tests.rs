use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use limosa_transport::Ecn;
use limosa_wire::{PacketNumber, SessionId};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::message::Message;
use super::{LentPort, lend};
use crate::batch::ReceiveBatch;
use crate::buffers::BufferSizes;
use crate::port::{Forwarded, SharedPort};
use crate::socket::{Outgoing, Sent, UdpSocket};
use crate::wake::waker;

/// The only deadline of these tests: far beyond what loopback needs.
const DEADLINE: Duration = Duration::from_secs(10);

fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

fn pair() -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
}

fn datagram(session: SessionId, text: &[u8]) -> Vec<u8> {
    let header = limosa_wire::datagram::Header { session, number: PacketNumber::new(1).unwrap(), stamp: false };
    let mut bytes = header.encode().to_vec();
    bytes.extend_from_slice(text);
    bytes.resize(bytes.len() + 64, 0);
    bytes
}

fn send(from: &mut UdpSocket, to: SocketAddr, bytes: &[u8]) {
    let outgoing = Outgoing { to, local: None, ecn: Ecn::Capable, segment: bytes.len(), bytes };
    assert_eq!(from.send(&outgoing).unwrap(), Sent::Bytes(bytes.len()));
}

fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < DEADLINE);
        std::thread::yield_now();
    }
}

fn received(socket: &mut UdpSocket) -> Vec<u8> {
    let mut batch = ReceiveBatch::new();
    wait_for(|| {
        socket.receive(&mut batch).unwrap();
        batch.datagrams().next().map(|(_, bytes)| bytes.to_vec())
    })
}

#[test]
fn a_borrower_gets_its_datagrams_answers_and_then_a_socket_of_its_own() {
    let port = Arc::new(SharedPort::open(loopback(), BufferSizes::default()).unwrap());
    let address = port.local_addr();
    let (ours, theirs) = pair();
    let (tell, ended) = channel();
    lend(Arc::clone(&port), theirs, move || tell.send(()).unwrap()).unwrap();
    let (session, lent) = LentPort::borrow(ours, waker().unwrap().0, || SessionId(7)).unwrap();
    assert_eq!((session, lent.port()), (SessionId(7), address.port()));

    let mut client = UdpSocket::bind(loopback(), BufferSizes::default()).unwrap();
    let first = datagram(session, b"first");
    send(&mut client, address, &first);
    let Forwarded { arrival, bytes } = wait_for(|| lent.take());
    assert_eq!((arrival.from, arrival.ecn, &*bytes), (client.local_addr(), Ecn::Capable, &*first));

    let answer = Outgoing { to: arrival.from, local: arrival.local, ecn: Ecn::Capable, segment: 6, bytes: b"answer" };
    assert_eq!(lent.send(&answer).unwrap(), Sent::Bytes(6));
    assert_eq!(received(&mut client), b"answer");

    let mut own = lent.connect(arrival.local, arrival.from).unwrap();
    assert_eq!(own.local_addr().port(), address.port());
    send(&mut client, address, b"straight");
    assert_eq!(received(&mut own), b"straight");
    send(&mut own, client.local_addr(), b"back");
    assert_eq!(received(&mut client), b"back");

    drop(lent);
    ended.recv_timeout(DEADLINE).unwrap();
    // The place is free again, and the socket works on without it.
    assert!(port.register(session, waker().unwrap().0).is_some());
    drop(port);
    send(&mut client, address, b"still");
    assert_eq!(received(&mut own), b"still");
}

#[test]
fn a_borrower_reaches_nobody_who_did_not_ask_for_it() {
    let port = Arc::new(SharedPort::open(loopback(), BufferSizes::default()).unwrap());
    let (ours, theirs) = pair();
    lend(Arc::clone(&port), theirs, || {}).unwrap();
    let (_, lent) = LentPort::borrow(ours, waker().unwrap().0, || SessionId(9)).unwrap();
    let mut stranger = UdpSocket::bind(loopback(), BufferSizes::default()).unwrap();
    let to = stranger.local_addr();
    lent.send(&Outgoing { to, local: None, ecn: Ecn::Capable, segment: 3, bytes: b"spy" }).unwrap();
    assert!(lent.connect(None, to).is_err());
    // The owner has dealt with both by now.
    let mut batch = ReceiveBatch::new();
    stranger.receive(&mut batch).unwrap();
    assert!(batch.is_empty());
}

#[test]
fn an_id_that_is_taken_is_drawn_again() {
    let port = Arc::new(SharedPort::open(loopback(), BufferSizes::default()).unwrap());
    let _taken = port.register(SessionId(1), waker().unwrap().0).unwrap();
    let (ours, theirs) = pair();
    lend(Arc::clone(&port), theirs, || {}).unwrap();
    let mut next = 0;
    let draw = || {
        next += 1;
        SessionId(next)
    };
    assert_eq!(LentPort::borrow(ours, waker().unwrap().0, draw).unwrap().0, SessionId(2));
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_a_message_or_not(bytes: Vec<u8>) {
        if let Ok(message) = Message::decode(&bytes) {
            let mut again = Vec::new();
            message.encode(&mut again);
            proptest::prop_assert_eq!(Message::decode(&again), Ok(message));
        }
    }
}

#[test]
fn messages_return_as_they_were_sent() {
    let peer: SocketAddr = "[fe80::1%3]:5".parse().unwrap();
    let local = Some(Ipv4Addr::LOCALHOST.into());
    let messages = [
        Message::Register(SessionId(7)),
        Message::Registered(33_001),
        Message::Refused,
        Message::Datagram { peer, local, ecn: Ecn::Congestion, segment: 2, bytes: b"abc" },
        Message::Connect(peer, None),
        Message::Connected("192.0.2.1:9".parse().unwrap()),
    ];
    for message in messages {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        assert_eq!(Message::decode(&bytes), Ok(message));
        let shorter = &bytes[..bytes.len() - 1];
        assert!(matches!(message, Message::Datagram { .. }) || Message::decode(shorter).is_err());
    }
    assert!(Message::decode(&[99]).is_err());
}
