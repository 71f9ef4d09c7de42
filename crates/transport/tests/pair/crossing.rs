//! Bytes and streams cross, whatever the line does to datagrams.

use limosa_transport::rate::{Policy, RateLimits};
use limosa_transport::{Payload, Time};
use limosa_wire::frame::StreamId;
use limosa_wire::{Offset, Rate};

use crate::MB;
use crate::network::{Pair, fair, fixed, ms};

/// Share of the bytes that arrived although they were there already.
fn redundancy(pair: &Pair) -> f64 {
    let received = pair.server.connection.statistics().received;
    received.duplicate_bytes as f64 / received.kept_bytes as f64
}

#[test]
fn ten_megabytes_cross_a_clean_line_at_the_rate_asked_for() {
    let mut pair = Pair::new(ms(20), fixed(100));
    pair.upload(10 * MB);
    let took = pair.run_to_end(ms(2_000));
    assert!(pair.server.app.has_all(10 * MB));
    assert!(took < ms(950), "{took:?}");
    let sent = pair.client.connection.statistics().sent;
    assert_eq!((sent.new_bytes, sent.acknowledged_bytes, pair.client.app.acknowledged), (10 * MB, 10 * MB, 10 * MB));
    assert_eq!((sent.lost, sent.repeated_lost), (0, 0));
}

#[test]
fn a_lossy_line_costs_less_than_one_percent_of_redundancy() {
    for loss in [0.001, 0.01, 0.05, 0.1] {
        let mut pair = Pair::new(ms(50), fixed(100));
        (pair.up.loss, pair.down.loss) = (loss, loss);
        pair.upload(20 * MB);
        let took = pair.run_to_end(ms(4_000));
        assert!(pair.server.app.has_all(20 * MB));
        let possible = 1.6 * 1.06 / (1.0 - loss);
        assert!(took.as_secs_f64() < possible + 0.4, "{took:?} at {loss}");
        assert!(redundancy(&pair) < 0.01, "{} at {loss}", redundancy(&pair));
    }
}

#[test]
fn fair_fills_a_line_of_its_own_and_leaves_its_queue_short() {
    let mut pair = Pair::new(ms(40), fair());
    pair.up.rate = Some(100_000_000);
    pair.upload(50 * MB);
    let took = pair.run_to_end(ms(6_000));
    assert!(took < ms(4_600), "{took:?}");
    let queue = pair.client.connection.statistics().rate.queue;
    assert!(queue < ms(30), "{queue:?}");
}

#[test]
fn reordering_is_learnt_and_not_taken_for_loss() {
    let mut pair = Pair::new(ms(40), fixed(100));
    (pair.up.reorder, pair.up.reorder_by) = (0.05, ms(3));
    pair.upload(30 * MB);
    pair.run_to_end(ms(5_000));
    assert!(pair.server.app.has_all(30 * MB));
    assert!(redundancy(&pair) < 0.005, "{}", redundancy(&pair));
}

#[test]
fn doubled_and_damaged_datagrams_do_no_harm() {
    let mut pair = Pair::new(ms(30), fixed(50));
    for link in [&mut pair.up, &mut pair.down] {
        (link.duplicate, link.corrupt, link.loss) = (0.1, 0.02, 0.02);
    }
    pair.upload(5 * MB);
    pair.run_to_end(ms(5_000));
    assert!(pair.server.app.has_all(5 * MB));
    let received = pair.server.connection.statistics().received;
    assert!(received.replayed > 200 && received.forged + received.foreign > 40, "{received:?}");
    assert!(redundancy(&pair) < 0.01, "a replayed datagram never reaches the application: {}", redundancy(&pair));
}

#[test]
fn streams_arrive_whole_and_in_order_both_ways_beside_bulk() {
    let mut pair = Pair::new(ms(60), fixed(50));
    (pair.up.loss, pair.down.loss, pair.up.reorder, pair.down.reorder) = (0.05, 0.05, 0.1, 0.1);
    pair.upload(5 * MB);
    let text = |stream: StreamId, n: usize| -> Vec<u8> { (0..n).map(|i| (i * 7 + stream.index()) as u8).collect() };
    for stream in StreamId::ALL {
        assert_eq!(pair.client.connection.write_stream(stream, &text(stream, 100_000)), 100_000);
        assert_eq!(pair.server.connection.write_stream(stream, &text(stream, 70_000)), 70_000);
    }
    let all = |connection: &limosa_transport::Connection<_>| {
        StreamId::ALL.iter().all(|stream| connection.stream_unacknowledged(*stream) == 0)
    };
    pair.run_to_end(ms(5_000));
    assert!(pair.run_until(Time::from_micros(10_000_000), |p| all(&p.client.connection) && all(&p.server.connection)));
    for stream in StreamId::ALL {
        assert_eq!(pair.server.app.streams[stream.index()], text(stream, 100_000), "{stream:?} up");
        assert_eq!(pair.client.app.streams[stream.index()], text(stream, 70_000), "{stream:?} down");
    }
}

#[test]
fn both_ends_send_at_once() {
    let mut pair = Pair::new(ms(30), fixed(50));
    (pair.up.loss, pair.down.loss) = (0.01, 0.01);
    pair.upload(5 * MB);
    pair.server.connection.offer(Offset(0), 7 * MB);
    let done = |p: &Pair| p.client.connection.unacknowledged() + p.server.connection.unacknowledged() == 0;
    assert!(pair.run_until(Time::from_micros(3_000_000), done));
    assert!(pair.server.app.has_all(5 * MB) && pair.client.app.has_all(7 * MB));
}

#[test]
fn bytes_that_are_not_in_memory_are_waited_for_without_spinning() {
    let mut pair = Pair::new(ms(20), fixed(100));
    pair.client.app.in_memory = Some(MB);
    pair.upload(2 * MB);
    pair.run_for(ms(1_000));
    assert!(pair.server.app.has_all(MB) && !pair.server.app.has_all(MB + 1));
    let before = pair.client.log.len();
    pair.run_for(ms(1_000));
    assert!(pair.client.log.len() - before < 10, "an idle sender is quiet");
    pair.client.app.in_memory = None;
    pair.run_to_end(ms(1_000));
}

#[test]
fn withdrawn_bytes_do_not_cross() {
    let mut pair = Pair::new(ms(20), fixed(100));
    pair.upload(2 * MB);
    pair.client.connection.withdraw(Offset(MB), MB / 2);
    pair.run_to_end(ms(1_000));
    assert_eq!(pair.server.app.received, 3 * MB / 2);
}

#[test]
fn a_pause_stops_bulk_and_nothing_else() {
    let mut pair = Pair::new(ms(20), fixed(100));
    pair.upload(20 * MB);
    pair.run_for(ms(500));
    pair.client.connection.pause();
    pair.run_for(ms(50));
    let before = pair.server.app.received;
    pair.client.connection.write_stream(StreamId::Control, b"paused");
    pair.run_for(ms(120_000));
    assert_eq!(pair.server.app.received, before);
    assert_eq!(pair.server.app.streams[StreamId::Control.index()], b"paused");
    assert!(!pair.client.connection.is_closed() && !pair.server.connection.is_closed(), "kept alive");
    pair.client.connection.resume();
    pair.run_to_end(ms(3_000));
}

#[test]
fn rate_and_policy_change_live() {
    let mut pair = Pair::new(ms(20), fixed(10));
    pair.upload(40 * MB);
    let carried = |pair: &mut Pair| {
        let before = pair.server.app.received;
        pair.run_for(ms(1_000));
        (pair.server.app.received - before) as f64 * 8.0 / 1e6
    };
    pair.run_for(ms(200));
    let slow = carried(&mut pair);
    let (_, limits) = fixed(100);
    pair.client.connection.set_limits(pair.now, limits);
    pair.run_for(ms(50));
    let fast = carried(&mut pair);
    let cap = Rate::from_bits_per_second(30_000_000);
    pair.client.connection.set_policy(pair.now, Policy::Fair);
    pair.client.connection.set_limits(pair.now, RateLimits { target: None, cap });
    pair.run_for(ms(1_000));
    let capped = carried(&mut pair);
    assert!((9.0..10.0).contains(&slow) && (92.0..97.0).contains(&fast), "{slow} {fast}");
    assert!((25.0..30.0).contains(&capped), "{capped} under a cap of 30");
}

#[test]
fn lengths_alone_cross_as_their_bytes_would() {
    let run = |payload| {
        let mut pair = Pair::with(ms(50), fixed(100), |config| config.with_payload(payload));
        pair.lengths = payload == Payload::Lengths;
        (pair.client.app.lengths, pair.server.app.lengths) = (pair.lengths, pair.lengths);
        (pair.up.loss, pair.down.loss) = (0.02, 0.02);
        pair.upload(10 * MB);
        let took = pair.run_to_end(ms(3_000));
        assert!(pair.server.app.has_all(10 * MB));
        (took.as_secs_f64(), pair.up.carried as f64)
    };
    let ((time, bytes), (time_of_lengths, claimed)) = (run(Payload::Bytes), run(Payload::Lengths));
    assert!((time / time_of_lengths - 1.0).abs() < 0.1, "{time} s and {time_of_lengths} s");
    assert!((bytes / claimed - 1.0).abs() < 0.02, "{bytes} and {claimed} bytes");
}

#[test]
fn a_word_lost_in_a_pause_is_said_again_within_two_round_trips() {
    for seed in 0..20 {
        let mut pair = Pair::new(ms(100), fixed(50));
        pair.upload(20 * MB);
        pair.run_for(ms(600));
        pair.client.connection.pause();
        pair.run_for(ms(1_000));
        pair.seed(seed);
        pair.up.loss = 0.5;
        pair.client.connection.write_stream(StreamId::Control, b"rate 10m");
        let before = pair.now;
        assert!(pair.run_until(before + ms(3_000), |p| !p.server.app.streams[StreamId::Control.index()].is_empty()));
        let repeats = pair.now.since(before).as_millis() / 100;
        assert!(repeats < 20, "seed {seed}: {repeats} round trips");
    }
}

#[test]
fn layout_bytes_leave_twice_while_datagrams_are_lost_and_once_while_none_are() {
    let sent = |loss: f64| {
        let mut pair = Pair::new(ms(100), fixed(50));
        pair.up.loss = loss;
        pair.upload(4 * MB);
        pair.run_for(ms(500));
        let mut written = 0;
        while pair.client.connection.unacknowledged() > 0 {
            written += pair.client.connection.write_stream(StreamId::Layout, &[7; 2_000]);
            pair.run_for(ms(20));
        }
        pair.run_for(ms(1_000));
        assert_eq!(pair.server.app.streams[StreamId::Layout.index()].len(), written);
        let all = pair.client.connection.statistics().sent;
        let bulk = all.new_bytes + all.repeated_lost + all.repeated_tail;
        (all.bytes - bulk) as f64 - all.datagrams as f64 * 64.0 - written as f64
    };
    let (clean, lossy) = (sent(0.0), sent(0.05));
    assert!(lossy > clean + 20_000.0, "{clean} and {lossy} bytes beside the first copy");
}
