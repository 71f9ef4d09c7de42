//! Two connections over a virtual line: what the protocol promises, one test
//! a promise.
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

#[path = "pair/application.rs"]
mod application;
#[path = "pair/network.rs"]
mod network;

use network::{Pair, fair, fixed, ms};

const MB: u64 = 1_000_000;

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
fn ten_megabytes_cross_a_lossy_line_with_less_than_one_percent_to_spare() {
    for loss in [0.01, 0.05, 0.1] {
        let mut pair = Pair::new(ms(50), fixed(100));
        (pair.up.loss, pair.down.loss) = (loss, loss);
        pair.upload(20 * MB);
        let took = pair.run_to_end(ms(10_000));
        assert!(pair.server.app.has_all(20 * MB));
        let sent = pair.client.connection.statistics().sent;
        println!("{loss}: {took:?} {sent:?}");
        let received = pair.server.connection.statistics().received;
        let redundant = received.duplicate_bytes as f64 / (20 * MB) as f64;
        assert!(redundant < 0.01, "{redundant} at {loss}");
    }
}

#[test]
fn fair_fills_a_line_of_its_own() {
    let mut pair = Pair::new(ms(40), fair());
    pair.up.rate = Some(100_000_000);
    pair.upload(50 * MB);
    let took = pair.run_to_end(ms(20_000));
    println!("{took:?} {:#?}", pair.client.connection.statistics());
    assert!(took < ms(5_500), "{took:?}");
}
