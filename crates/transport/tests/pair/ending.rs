//! Every way a session ends.

use limosa_transport::{ClosedBy, Event, Time};
use limosa_wire::{Code, PacketNumber};

use crate::MB;
use crate::network::{Pair, at, fixed, ms, server_address};

fn both_closed(pair: &Pair) -> bool {
    pair.client.closed().is_some() && pair.server.closed().is_some()
}

#[test]
fn an_orderly_end_from_either_side_reaches_the_other() {
    for by_client in [true, false] {
        for loss in [0.0, 0.3] {
            let mut pair = Pair::new(ms(40), fixed(50));
            pair.upload(MB);
            pair.run_to_end(ms(1_000));
            (pair.up.loss, pair.down.loss) = (loss, loss);
            let now = pair.now;
            let end = if by_client { &mut pair.client } else { &mut pair.server };
            end.connection.close(now, Code::OK, "done");
            assert!(pair.run_until(now + ms(1_000), both_closed));
            let (us, them) = if by_client { (&pair.client, &pair.server) } else { (&pair.server, &pair.client) };
            let (us, them) = (us.closed().unwrap(), them.closed().unwrap());
            assert_eq!((us.code, us.by), (Code::OK, ClosedBy::Us));
            assert_eq!((them.code, them.by, them.reason.as_str()), (Code::OK, ClosedBy::Peer, "done"));
            assert!(pair.client.connection.next_deadline().is_none_or(|at| at <= pair.now), "no timer outlives it");
        }
    }
}

#[test]
fn a_cancellation_in_mid_transfer_says_its_code() {
    let mut pair = Pair::new(ms(40), fixed(50));
    pair.upload(100 * MB);
    pair.run_for(ms(500));
    pair.client.connection.close(pair.now, Code::CANCELLED, "");
    assert!(pair.run_until(at(1_000), both_closed));
    assert_eq!(pair.server.closed().unwrap().code, Code::CANCELLED);
}

#[test]
fn a_killed_peer_is_noticed_after_the_timeout() {
    let mut pair = Pair::new(ms(40), fixed(50));
    pair.upload(100 * MB);
    pair.run_for(ms(500));
    pair.server.dead = true;
    let killed = pair.now;
    assert!(pair.run_until(at(120_000), |p| p.client.closed().is_some()));
    assert_eq!(pair.client.closed().unwrap().code, Code::PEER_SILENT);
    let waited = pair.now.since(killed);
    assert!(waited > ms(59_000) && waited < ms(61_000), "{waited:?}");
}

#[test]
fn a_line_cut_longer_than_the_timeout_ends_both() {
    let mut pair = Pair::with(ms(40), fixed(50), |config| config.with_timeout(ms(10_000)));
    let dark = at(500)..at(1_000_000);
    (pair.up.dark, pair.down.dark) = (dark.clone(), dark);
    pair.upload(100 * MB);
    assert!(pair.run_until(at(12_000), both_closed));
    assert_eq!(pair.client.closed().unwrap().code, Code::PEER_SILENT);
    assert_eq!(pair.server.closed().unwrap().code, Code::PEER_SILENT);
}

#[test]
fn blocked_udp_is_told_after_five_seconds_and_given_up_after_the_timeout() {
    for out in [true, false] {
        let mut pair = Pair::new(ms(40), fixed(50));
        *(if out { &mut pair.up.dark } else { &mut pair.down.dark }) = at(0)..at(1_000_000);
        pair.upload(MB);
        let blocked = Event::UdpBlocked { server: server_address() };
        assert!(pair.run_until(at(5_100), |p| p.client.has(|e| *e == blocked)));
        assert!(pair.now >= at(5_000));
        assert_eq!(pair.server.connection.statistics().received.datagrams > 0, !out, "which tells the direction");
        assert!(pair.run_until(at(61_000), |p| p.client.closed().is_some()));
        assert_eq!(pair.client.closed().unwrap().code, Code::UDP_BLOCKED);
    }
}

#[test]
fn an_idle_session_is_kept_alive_for_as_long_as_it_takes() {
    let mut pair = Pair::new(ms(200), fixed(50));
    pair.run_for(ms(1_000));
    let before = pair.client.log.len() + pair.server.log.len();
    pair.run_for(ms(600_000));
    let kept = pair.client.log.len() + pair.server.log.len() - before;
    assert!(pair.client.connection.is_open() && pair.server.connection.is_open());
    assert!((40..600).contains(&kept), "{kept} datagrams in ten minutes");
}

#[test]
fn packet_numbers_are_never_used_twice_but_used_up() {
    let first = PacketNumber::new(PacketNumber::MAX.get() - 400).unwrap();
    let mut pair = Pair::with(ms(20), fixed(50), |config| config.with_first_number(first));
    pair.upload(10 * MB);
    assert!(pair.run_until(Time::from_micros(2_000_000), both_closed));
    assert_eq!(pair.client.closed().unwrap().code, Code::NUMBERS_USED_UP);
    assert_eq!(pair.server.closed().unwrap().code, Code::NUMBERS_USED_UP);
    assert!(pair.server.app.received > 200_000, "what there was room for has crossed");
}

#[test]
fn a_session_closed_before_it_began_ends_at_once() {
    let mut pair = Pair::new(ms(20), fixed(50));
    pair.server.connection.close(pair.now, Code::CANCELLED, "");
    pair.run_for(ms(1));
    assert_eq!(pair.server.closed().unwrap().code, Code::CANCELLED);
}
