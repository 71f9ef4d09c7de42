//! Datagrams that nobody should send.

use limosa_transport::{DropReason, Receipt};
use limosa_wire::SessionId;
use limosa_wire::datagram::Header;

use crate::MB;
use crate::network::{Pair, SESSION, client_address, fixed, moved_address, ms, server_address};

fn running() -> Pair {
    let mut pair = Pair::new(ms(20), fixed(50));
    pair.recorded = Some(Vec::new());
    pair.upload(MB);
    pair.run_for(ms(100));
    pair
}

#[test]
fn every_replay_is_dropped_and_moves_nothing() {
    let mut pair = running();
    pair.run_to_end(ms(1_000));
    let recorded = pair.recorded.take().unwrap();
    assert!(recorded.len() > 700);
    for (to_server, _, mut bytes) in recorded {
        let expected = Receipt::Dropped(DropReason::Replayed);
        assert_eq!(pair.inject(to_server, moved_address(), &mut bytes), expected);
    }
    assert_eq!(pair.server.connection.peer(), Some(client_address()));
    assert_eq!(pair.server.connection.statistics().received.duplicate_bytes, 0);
}

#[test]
fn junk_is_dropped_counted_and_never_answered() {
    let mut pair = running();
    pair.run_to_end(ms(1_000));
    pair.run_for(ms(2_000));
    let (before, sent) = (pair.server.connection.statistics().received, pair.server.log.len());
    let header = |session, number: u64| {
        let number = limosa_wire::PacketNumber::new(number).unwrap();
        Header { session, number, stamp: false }.encode()
    };
    for length in 0..200usize {
        pair.inject(true, moved_address(), &mut vec![0x5a; length]);
        let mut forged = header(SESSION, 1 << 40).to_vec();
        forged.resize(11 + length, 7);
        pair.inject(true, client_address(), &mut forged);
        let mut foreign = header(SessionId(9), 1).to_vec();
        foreign.resize(28 + length, 7);
        assert_eq!(pair.inject(true, client_address(), &mut foreign), Receipt::Dropped(DropReason::Foreign));
    }
    pair.run_for(ms(500));
    let after = pair.server.connection.statistics().received;
    assert!(after.forged >= before.forged + 180 && after.foreign >= before.foreign + 400, "{after:?}");
    assert_eq!(pair.server.log.len(), sent, "no answer");
    assert!(!pair.server.connection.is_closed());
}

#[test]
fn a_flipped_bit_anywhere_is_noticed() {
    let mut pair = running();
    let mut app = crate::application::TestApplication::default();
    let mut buffer = vec![0; 65_536];
    pair.upload(0);
    let transmit = std::iter::repeat_with(|| {
        pair.now = pair.now + ms(1);
        pair.client.connection.handle_deadline(pair.now);
        pair.client.connection.poll_transmit(pair.now, &mut app, &mut buffer)
    })
    .flatten()
    .next()
    .unwrap();
    let datagram = buffer[..transmit.segment].to_vec();
    for bit in 0..datagram.len() * 8 {
        let mut damaged = datagram.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let receipt = pair.inject(true, client_address(), &mut damaged);
        assert!(matches!(receipt, Receipt::Dropped(_)), "bit {bit}");
    }
    let mut whole = datagram;
    assert_eq!(pair.inject(true, client_address(), &mut whole), Receipt::Taken);
}

#[test]
fn a_datagram_thrown_back_at_its_sender_is_not_authentic() {
    let mut pair = running();
    let recorded = pair.recorded.take().unwrap();
    for (to_server, _, mut bytes) in recorded {
        let from = if to_server { server_address() } else { client_address() };
        assert!(matches!(pair.inject(!to_server, from, &mut bytes), Receipt::Dropped(_)));
    }
}
