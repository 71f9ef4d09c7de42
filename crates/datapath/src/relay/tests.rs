use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use limosa_transport::Ecn;
use limosa_wire::Rate;

use super::*;
use crate::{Outgoing, ReceiveBatch, Sent};

/// The only deadline of these tests.
const DEADLINE: Duration = Duration::from_secs(20);

fn line(mbit: u64, rtt_ms: u64, loss: f64) -> Line {
    Line {
        rate: Rate::from_bits_per_second(mbit * 1_000_000),
        rtt: Duration::from_millis(rtt_ms),
        loss,
        queue: Duration::from_secs(1),
    }
}

fn bound() -> UdpSocket {
    UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), BufferSizes::default()).unwrap()
}

fn send(from: &mut UdpSocket, to: SocketAddr, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let outgoing = Outgoing { to, local: None, ecn: Ecn::Capable, segment: 1000, bytes };
        if let Sent::Bytes(sent) = from.send(&outgoing).unwrap() {
            bytes = &bytes[sent..];
        }
    }
}

/// Receives until `done` says so of all datagrams so far.
fn receive(socket: &mut UdpSocket, done: impl Fn(&[(SocketAddr, Vec<u8>)]) -> bool) -> Vec<(SocketAddr, Vec<u8>)> {
    let (mut batch, mut all, start) = (ReceiveBatch::new(), Vec::new(), Instant::now());
    while !done(&all) {
        assert!(start.elapsed() < DEADLINE, "{} datagrams arrived", all.len());
        socket.receive(&mut batch).unwrap();
        all.extend(batch.datagrams().map(|(arrival, bytes)| (arrival.from, bytes.to_vec())));
        if batch.is_empty() {
            std::thread::yield_now();
        }
    }
    all
}

#[test]
fn a_line_is_read_from_text() {
    let expected = Line { queue: Duration::from_millis(50), ..line(300, 100, 0.01) };
    assert_eq!("300m,100ms,1%".parse(), Ok(expected));
    assert_eq!(" 1g, 20us , 0.1 , 2s".parse::<Line>().map(|line| (line.rtt, line.queue)), {
        Ok((Duration::from_micros(20), Duration::from_secs(2)))
    });
    for text in ["", "300m", "300m,100ms", "300m,100,1%", "300m,-1ms,1%", "300m,1ms,100%", "300m,1ms,1%,1ms,x"] {
        assert!(text.parse::<Line>().is_err(), "{text}");
    }
}

#[test]
fn datagrams_arrive_whole_in_order_and_no_earlier_than_the_line_allows() {
    let (mut server, mut client) = (bound(), bound());
    let relay = Relay::start(server.local_addr(), line(80, 40, 0.0), 1).unwrap();
    let bytes: Vec<u8> = (0..500_000_u32).map(|at| (at / 13) as u8).collect();
    let start = Instant::now();
    send(&mut client, relay.address(), &bytes);
    let got = receive(&mut server, |all| all.len() == 500);
    let took = start.elapsed();
    assert_eq!(got.iter().flat_map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>(), bytes);
    // 514,000 bytes at 10 bytes per microsecond, and half a round trip.
    assert!(took >= Duration::from_micros(51_400 + 20_000), "{took:?}");

    send(&mut server, got[0].0, b"answer");
    assert_eq!(receive(&mut client, |all| all.len() == 1), [(relay.address(), b"answer".to_vec())]);
    assert!(start.elapsed() >= took + Duration::from_millis(20));
}

#[test]
fn loss_and_a_full_queue_take_their_share() {
    let server = bound();
    let short = Line { queue: Duration::from_millis(10), ..line(80, 1, 0.2) };
    let relay = Relay::start(server.local_addr(), short, 7).unwrap();
    let mut client = bound();
    // 10 ms at 10 bytes per microsecond are about 97 datagrams of 1,028 bytes.
    send(&mut client, relay.address(), &vec![0; 1_000_000]);
    let start = Instant::now();
    while relay.statistics().forward.entered < 1000 {
        assert!(start.elapsed() < DEADLINE);
        std::thread::yield_now();
    }
    let counts = relay.statistics().forward;
    assert!(counts.overflowed > 300, "{counts:?}");
    assert!(counts.lost > counts.delivered / 10 && counts.lost < counts.delivered / 2, "{counts:?}");
    assert_eq!(counts.entered, counts.delivered + counts.lost + counts.overflowed);
}

#[test]
fn blackouts_let_nothing_through_and_rebinding_changes_the_address() {
    let (mut server, mut client) = (bound(), bound());
    let relay = Relay::start(server.local_addr(), line(100, 1, 0.0), 1).unwrap();
    relay.set_blackout(Blackout::Forward);
    send(&mut client, relay.address(), b"dark");
    let start = Instant::now();
    while relay.statistics().forward.blacked_out == 0 {
        assert!(start.elapsed() < DEADLINE);
        std::thread::yield_now();
    }
    relay.set_blackout(Blackout::Off);
    send(&mut client, relay.address(), b"light");
    let (first, bytes) = receive(&mut server, |all| all.len() == 1).remove(0);
    assert_eq!(bytes, b"light");

    relay.rebind();
    send(&mut client, relay.address(), b"moved");
    let (second, _) = receive(&mut server, |all| all.len() == 1).remove(0);
    assert_ne!(first, second);
    send(&mut server, first, b"to the old address");
    send(&mut server, second, b"to the new one");
    assert_eq!(receive(&mut client, |all| all.len() == 1)[0].1, b"to the new one");
}
