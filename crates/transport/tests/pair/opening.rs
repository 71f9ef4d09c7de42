//! Opening, packet sizes, addresses.

use limosa_transport::{Event, Receipt};
use limosa_wire::Offset;

use crate::MB;
use crate::network::{Pair, at, client_address, fixed, moved_address, ms};

#[test]
fn the_client_is_open_after_one_round_trip_and_the_server_after_one_and_a_half() {
    let mut pair = Pair::new(ms(100), fixed(10));
    assert!(pair.run_until(at(110), |p| p.client.connection.is_open()));
    assert_eq!(pair.now, at(101));
    assert!(pair.run_until(at(160), |p| p.server.connection.is_open()));
    assert_eq!(pair.server.connection.peer(), Some(client_address()));
    assert!(pair.server.has(|e| matches!(e, Event::Opened { peer, .. } if *peer == client_address())));
}

#[test]
fn the_packet_size_is_known_after_the_opening() {
    for (mtu, used) in [(1_280, 1_280), (1_420, 1_420), (1_450, 1_420), (1_500, 1_500), (9_000, 9_000)] {
        let mut pair = Pair::new(ms(20), fixed(100));
        (pair.up.mtu, pair.down.mtu) = (mtu, mtu);
        pair.upload(MB);
        pair.run_to_end(ms(1_000));
        assert_eq!(pair.client.connection.statistics().path.packet_size, used, "line of {mtu}");
        let largest = pair.client.log.iter().skip(10).map(|(_, _, bytes)| bytes + 28).filter(|b| *b <= mtu).max();
        assert_eq!(largest, Some(used), "line of {mtu}");
        assert_eq!(pair.server.connection.statistics().path.packet_size, used, "back over {mtu}");
    }
}

#[test]
fn a_packet_size_that_shrinks_in_mid_transfer_is_found_again() {
    for mtu in [1_280, 1_420] {
        let mut pair = Pair::new(ms(40), fixed(50));
        pair.upload(10 * MB);
        pair.run_for(ms(500));
        assert_eq!(pair.client.connection.statistics().path.packet_size, 1_500);
        pair.up.mtu = mtu;
        let took = pair.run_to_end(ms(6_000));
        assert!(pair.server.app.has_all(10 * MB));
        assert_eq!(pair.client.connection.statistics().path.packet_size, mtu, "after {took:?}");
        assert!(pair.client.has(|e| *e == Event::PacketSize { bytes: 1_280 }));
    }
}

#[test]
fn heavy_loss_does_not_shrink_packets() {
    let mut pair = Pair::new(ms(40), fixed(50));
    pair.up.loss = 0.3;
    pair.upload(10 * MB);
    pair.run_to_end(ms(6_000));
    assert_eq!(pair.client.connection.statistics().path.packet_size, 1_500);
}

#[test]
fn an_address_that_has_not_answered_gets_little_and_no_bulk() {
    let mut pair = Pair::new(ms(40), fixed(100));
    // The client's datagrams arrive, the server's answers do not.
    pair.down.dark = at(0)..at(1_000_000);
    pair.server.connection.offer(Offset(0), 100 * MB);
    pair.run_for(ms(4_000));
    let received: usize = pair.client.log.iter().map(|(_, _, bytes)| bytes).sum();
    let sent: usize = pair.server.log.iter().map(|(_, _, bytes)| bytes).sum();
    assert!(!pair.server.log.is_empty() && sent <= 3 * received, "{sent} bytes for {received}");
    assert_eq!(pair.server.connection.statistics().sent.new_bytes, 0);
}

#[test]
fn a_spoofed_source_gets_no_more_than_a_few_small_datagrams() {
    let mut pair = Pair::new(ms(40), fixed(100));
    pair.recorded = Some(Vec::new());
    pair.server.connection.offer(Offset(0), 100 * MB);
    pair.up.dark = at(0)..at(300);
    // Somebody on the way holds back the client's first datagram and sends it
    // on as if it came from a victim.
    let mut app = crate::application::TestApplication::default();
    let mut buffer = vec![0; 65_536];
    let transmit = pair.client.connection.poll_transmit(pair.now, &mut app, &mut buffer).unwrap();
    let mut stolen = buffer[..transmit.length].to_vec();
    let size = stolen.len();
    assert_eq!(pair.inject(true, moved_address(), &mut stolen), Receipt::Taken);
    pair.run_for(ms(250));
    let to_victim: usize = pair.server.log.iter().filter(|(_, to, _)| *to == moved_address()).map(|(.., b)| b).sum();
    assert!(to_victim <= 3 * size, "{to_victim} bytes to the victim");
    assert_eq!(pair.server.connection.statistics().sent.new_bytes, 0);
    assert!(
        pair.run_until(at(1_000), |p| p.server.connection.peer() == Some(client_address())),
        "and the client gets in"
    );
}

#[test]
fn a_transfer_survives_a_nat_that_forgets() {
    for upload in [true, false] {
        let mut pair = Pair::new(ms(40), fixed(50));
        if upload {
            pair.upload(5 * MB);
        } else {
            pair.server.connection.offer(Offset(0), 5 * MB);
        }
        pair.run_for(ms(300));
        pair.rebind();
        let left = |p: &Pair| p.client.connection.unacknowledged() + p.server.connection.unacknowledged();
        assert!(pair.run_until(at(6_000), |p| left(p) == 0), "upload {upload}: {} bytes left", left(&pair));
        assert_eq!(pair.server.connection.peer(), Some(moved_address()));
        assert!(pair.server.has(|e| *e == Event::PeerMoved { peer: moved_address() }));
    }
}

#[test]
fn data_stay_on_the_old_address_until_the_new_one_has_answered() {
    let mut pair = Pair::new(ms(100), fixed(20));
    pair.server.connection.offer(Offset(0), 20 * MB);
    pair.run_for(ms(1_000));
    pair.rebind();
    let moved = pair.now;
    assert!(pair.run_until(at(10_000), |p| p.server.connection.peer() == Some(moved_address())));
    let early: usize = pair
        .server
        .log
        .iter()
        .filter(|(at, to, _)| *at < pair.now && *at >= moved && *to == moved_address())
        .map(|l| l.2)
        .sum();
    assert!(early < 2_000, "{early} bytes to an address that had not answered");
}
