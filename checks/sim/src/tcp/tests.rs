//! The models against what is known of the real ones.

use super::*;
use crate::link::Queue;
use crate::scenario::{Change, Direction, FlowPlan, Kind, LineSettings, Scenario};
use crate::{Outcome, Table};

const CUBIC: Kind = Kind::Cubic;
const BBR: Kind = Kind::Bbr;

/// 50 ms, with a queue of `bdp` bandwidth-delay products.
fn line(megabits: u64, bdp: f64) -> LineSettings {
    let rtt = Duration::from_millis(50);
    LineSettings::new(Rate::from_bits_per_second(megabits * 1_000_000), rtt).with_queue(Queue::Time(rtt.mul_f64(bdp)))
}

/// Ninety seconds; the second flow joins after five.
fn run(line: LineSettings, kinds: &[Kind]) -> Outcome {
    let mut scenario = Scenario::new(line).lasting(Duration::from_secs(90));
    for (index, kind) in kinds.iter().enumerate() {
        scenario = scenario.flow(FlowPlan::new(*kind).starting(Duration::from_secs(5 * index as u64)));
    }
    scenario.run()
}

/// What the first flow got of what both got, in percent, after 20 s.
fn first_share(kinds: [Kind; 2], line: LineSettings) -> f64 {
    let outcome = run(line, &kinds);
    let late = Duration::from_secs(20)..Duration::from_secs(90);
    assert!(outcome.use_of_line(&late) > 0.95, "{}", outcome.use_of_line(&late));
    100.0 * outcome.share(0, &late) / outcome.use_of_line(&late)
}

#[test]
fn cubic_alone_fills_the_line_and_the_buffer() {
    for bdp in [0.5, 1.0, 2.0, 4.0] {
        let outcome = run(line(50, bdp), &[CUBIC]);
        let buffer = Duration::from_millis(50).mul_f64(bdp);
        assert!(outcome.use_of_line(&outcome.second_half()) > 0.99, "{bdp}");
        assert!(outcome.standing_queue(0.95) > buffer.mul_f64(0.85), "{bdp}");
        assert!(outcome.own_loss() < 0.001, "{bdp}");
    }
}

#[test]
fn two_of_a_kind_share_and_bbr_starves_cubic() {
    // Calibration: 58:42, 51:49 and 96:4 at one bandwidth-delay product.
    let cubic = first_share([CUBIC, CUBIC], line(200, 1.0));
    assert!((48.0..70.0).contains(&cubic), "CUBIC, CUBIC: {cubic}");
    let bbr = first_share([BBR, BBR], line(200, 1.0));
    assert!((46.0..56.0).contains(&bbr), "BBR, BBR: {bbr}");
    let mixed = first_share([BBR, CUBIC], line(200, 1.0));
    assert!((88.0..99.0).contains(&mixed), "BBR, CUBIC: {mixed}");
}

#[test]
fn cubic_gets_more_against_bbr_the_deeper_the_buffer() {
    let shares = [1.0, 2.0, 4.0].map(|bdp| first_share([BBR, CUBIC], line(50, bdp)));
    assert!(shares[0] > shares[1] && shares[1] > shares[2], "{shares:?}");
}

#[test]
fn random_loss_holds_cubic_to_its_response_function() {
    // RFC 9438, section 5.2: mean window 1.054 (RTT/p)^(3/4) segments.
    let rate = Rate::from_bits_per_second(10_000_000_000);
    for (loss, rtt) in [(1e-4, 0.1), (1e-3, 0.2)] {
        let mut line = LineSettings::new(rate, Duration::from_secs_f64(rtt));
        line.forward.loss = loss;
        let outcome = run(line, &[CUBIC]);
        let bytes = outcome.delivered(0, &outcome.second_half());
        let window = bytes as f64 / f64::from(SEGMENT_SIZE) / 45.0 * rtt;
        let expected = 1.054 * (rtt / loss).powf(0.75);
        assert!((0.75..1.35).contains(&(window / expected)), "{window} for {expected}");
    }
}

#[test]
fn a_blackout_costs_a_timeout_and_a_slow_start() {
    for kind in [CUBIC, BBR] {
        let seconds = Duration::from_secs;
        let outcome = Scenario::new(line(50, 1.0))
            .flow(FlowPlan::new(kind))
            .lasting(seconds(30))
            .at(seconds(5), Change::Blackout(Direction::Both, true))
            .at(seconds(8), Change::Blackout(Direction::Both, false))
            .run();
        assert_eq!(outcome.delivered(0, &(Duration::from_millis(5500)..seconds(8))), 0, "{kind:?}");
        assert!(outcome.use_of_line(&(seconds(20)..seconds(30))) > 0.9, "{kind:?}");
    }
}

#[test]
fn the_models_are_as_they_were() {
    let mut table = Table::default();
    for bdp in [0.5, 1.0, 2.0, 4.0] {
        for kinds in [&[CUBIC][..], &[CUBIC, CUBIC], &[BBR, BBR], &[BBR, CUBIC]] {
            table.add(format!("{bdp} BDP, {kinds:?}"), run(line(50, bdp), kinds));
        }
    }
    insta::assert_snapshot!(table);
}
