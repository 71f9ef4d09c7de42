//! The receiver's disk is slower than the line.

use crate::MB;
use crate::application::Disk;
use crate::network::{Pair, at, fixed, ms};

fn pair_with_disk(disk: Disk) -> Pair {
    let mut pair = Pair::new(ms(40), fixed(200));
    pair.server.app.disk = Some(disk);
    pair
}

#[test]
fn a_disk_at_a_tenth_of_the_line_sets_the_pace() {
    let disk = Disk { rate: 2_500_000, capacity: 4 * MB, stall: at(0)..at(0) };
    let mut pair = pair_with_disk(disk);
    pair.upload(20 * MB);
    let took = pair.run_to_end(ms(12_000));
    assert!(pair.server.app.has_all(20 * MB));
    assert!(took < ms(8_800), "{took:?} for 8 s of disk");
    let sent = pair.client.connection.statistics().sent;
    assert_eq!(sent.lost, 0, "what is shed is not lost: {sent:?}");
    assert!(sent.repeated_shed < 4 * MB, "{sent:?}");
}

#[test]
fn a_queue_smaller_than_the_line_holds_sheds_and_still_every_byte_arrives() {
    let disk = Disk { rate: 2_500_000, capacity: MB / 4, stall: at(0)..at(0) };
    let mut pair = pair_with_disk(disk);
    pair.up.loss = 0.02;
    pair.upload(10 * MB);
    pair.run_to_end(ms(20_000));
    assert!(pair.server.app.has_all(10 * MB));
    let received = pair.server.connection.statistics().received;
    assert!(received.shed_bytes > 0, "{received:?}");
    let sent = pair.client.connection.statistics().sent;
    assert!(sent.lost < 800, "only what the line lost is lost: {sent:?}");
}

#[test]
fn a_disk_that_stalls_ten_seconds_stops_new_data_and_nothing_breaks() {
    let disk = Disk { rate: 12_500_000, capacity: 2 * MB, stall: at(500)..at(10_500) };
    let mut pair = pair_with_disk(disk);
    pair.upload(20 * MB);
    assert!(!pair.run_until(at(3_000), |p| p.client.connection.unacknowledged() == 0));
    let before = pair.up.carried;
    pair.run_until(at(10_400), |_| false);
    assert!(pair.up.carried - before < MB, "{} bytes towards a full queue", pair.up.carried - before);
    pair.run_to_end(ms(6_000));
    assert!(pair.server.app.has_all(20 * MB));
    assert!(!pair.client.has(|e| *e == limosa_transport::Event::LineSilent), "reports go on");
}
