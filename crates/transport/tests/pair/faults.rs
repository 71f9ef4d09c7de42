//! The line misbehaves.

use limosa_transport::{Event, Time};
use limosa_wire::Offset;

use crate::MB;
use crate::network::{Pair, at, fair, fixed, ms};

#[test]
fn the_loss_of_the_last_datagrams_costs_a_round_trip_or_two() {
    for seed in 0..40 {
        let mut pair = Pair::new(ms(100), fixed(100));
        pair.seed(seed);
        (pair.up.loss, pair.down.loss) = (0.2, 0.2);
        pair.upload(20_000);
        let took = pair.run_to_end(ms(3_000));
        assert!(pair.server.app.has_all(20_000));
        assert!(took < ms(1_300), "seed {seed}: {took:?}");
    }
}

#[test]
fn lost_reports_cost_nothing_but_time() {
    let mut pair = Pair::new(ms(50), fixed(50));
    pair.down.loss = 0.5;
    pair.upload(10 * MB);
    let took = pair.run_to_end(ms(3_000));
    let sent = pair.client.connection.statistics().sent;
    assert!(took < ms(2_400), "{took:?}");
    assert!(sent.lost == 0 && sent.repeated_lost == 0, "silence is not loss: {sent:?}");
    assert!(sent.repeated_tail < 10 * MB / 50, "{sent:?}");
}

#[test]
fn a_blackout_of_twenty_seconds_is_survived_with_little_sent_into_it() {
    let mut pair = Pair::new(ms(50), fixed(50));
    let dark = at(1_000)..at(21_000);
    (pair.up.dark, pair.down.dark) = (dark.clone(), dark);
    pair.upload(20 * MB);
    assert!(pair.run_until(at(20_999), |_| false) || pair.client.has(|e| *e == Event::LineSilent));
    let probes = pair.client.log.iter().filter(|(t, ..)| *t > at(1_300) && *t < at(21_000)).count();
    assert!((100..900).contains(&probes), "{probes} datagrams into the dark");
    let took = pair.run_to_end(ms(6_000));
    assert!(pair.server.app.has_all(20 * MB));
    assert!(pair.client.has(|e| matches!(e, Event::LineBack { .. })));
    assert!(took < ms(2_800), "{took:?} after the light came back");
}

#[test]
fn a_blackout_of_one_direction_is_survived_too() {
    for up in [true, false] {
        let mut pair = Pair::new(ms(50), fixed(50));
        *(if up { &mut pair.up.dark } else { &mut pair.down.dark }) = at(500)..at(8_500);
        pair.upload(5 * MB);
        pair.run_to_end(ms(12_000));
        assert!(pair.server.app.has_all(5 * MB));
        let received = pair.server.connection.statistics().received;
        assert!(received.duplicate_bytes < MB, "{received:?}");
    }
}

#[test]
fn a_way_back_of_a_hundredth_is_enough() {
    for loss in [0.0, 0.02] {
        let mut pair = Pair::new(ms(60), fixed(100));
        pair.down.rate = Some(1_000_000);
        pair.down.buffer = ms(200);
        pair.up.loss = loss;
        pair.upload(40 * MB);
        let took = pair.run_to_end(ms(8_000));
        assert!(took < ms(4_200), "{took:?} at {loss}");
        let back = pair.down.carried as f64 * 8.0 / took.as_secs_f64();
        assert!(back < 700_000.0, "{back} bit/s of reports over a line of 1 Mbit/s");
    }
}

#[test]
fn a_crawling_way_back_is_not_flooded() {
    let mut pair = Pair::new(ms(60), fixed(100));
    pair.down.rate = Some(100_000);
    pair.down.buffer = ms(500);
    pair.up.loss = 0.05;
    pair.upload(20 * MB);
    let took = pair.run_to_end(ms(20_000));
    assert!(pair.server.app.has_all(20 * MB));
    assert!(took < ms(4_000), "{took:?}");
}

#[test]
fn reports_stay_below_one_percent_of_what_is_delivered() {
    let mut pair = Pair::new(ms(100), fixed(500));
    pair.up.loss = 0.1;
    pair.upload(60 * MB);
    pair.run_to_end(ms(3_000));
    let share = pair.down.carried as f64 / pair.up.carried as f64;
    assert!(share < 0.012, "{share}");
}

#[test]
fn steps_of_delay_are_no_loss() {
    let mut pair = Pair::new(ms(40), fair());
    pair.up.rate = Some(50_000_000);
    pair.upload(30 * MB);
    pair.run_for(ms(2_000));
    (pair.up.delay, pair.down.delay) = (ms(70), ms(70));
    pair.run_to_end(ms(20_000));
    assert_eq!(pair.client.connection.statistics().sent.lost, 0);
    let received = pair.server.connection.statistics().received;
    assert!(received.duplicate_bytes < MB / 5, "{received:?}");
}

#[test]
fn everything_at_once_and_still_every_byte() {
    for seed in 0..12 {
        let mut pair = Pair::new(ms(30), fixed(40));
        pair.seed(seed);
        for link in [&mut pair.up, &mut pair.down] {
            (link.loss, link.reorder, link.duplicate, link.corrupt) = (0.1, 0.1, 0.05, 0.05);
            link.reorder_by = ms(20);
        }
        pair.up.dark = at(300)..at(700);
        pair.upload(3 * MB);
        pair.server.connection.offer(Offset(0), MB);
        let left = |p: &Pair| p.client.connection.unacknowledged() + p.server.connection.unacknowledged();
        assert!(pair.run_until(Time::from_micros(10_000_000), |p| left(p) == 0), "seed {seed}: {} left", left(&pair));
        assert!(pair.server.app.has_all(3 * MB) && pair.client.app.has_all(MB));
    }
}
