//! The `fair` law by itself, driven by the paced sender: one table per kind of
//! trouble, compared with the one that was reviewed.
//!
//! Numbers in the tables are figures to look at in a diff; what must hold is
//! asserted beside them.

use std::time::Duration;

use limosa_sim::outcome::Outcome;
use limosa_sim::pace::Clock;
use limosa_sim::scenario::Kind;
use limosa_sim::session::SessionPlan;
use limosa_sim::table::Table;
use limosa_sim::{Change, Direction, FlowPlan, LineSettings, Scenario};
use limosa_transport::rate::Policy;
use limosa_wire::Rate;

/// What one flow must use of a line in the second half of a run.
const STEADY: f64 = 0.95;
/// The same of what is left of a line whose bottleneck stalls, in the median
/// run and in the worst, where a stall hid the line's end; and the round trips
/// in which so much of the line is found.
const STALLING: (f64, f64) = (0.9, 0.75);
const FOUND: (f64, f64) = (8.0, 0.8);
/// Longest median queue without a rival that fills the buffer.
const QUEUE: Duration = Duration::from_millis(15);
/// Least fairness among equals.
const JAIN: f64 = 0.95;
/// The same, soon after one of them joined late on a long path.
const JAIN_SOON: f64 = 0.9;
/// Shares of `high` and of `low` beside another flow, from and to.
const HIGH: (f64, f64) = (0.6, 0.73);
const LOW: (f64, f64) = (0.0, 0.1);
/// Share beside one CUBIC flow, from and to.
const BESIDE_CUBIC: (f64, f64) = (0.30, 0.62);
/// Least share beside one BBR flow, of a buffer of one bandwidth-delay product
/// or more.
const BESIDE_BBR: f64 = 0.30;
/// Least share, of us and of a CUBIC flow, of a line that is not regular: in the
/// median run and in the worst.
const IRREGULAR: (f64, f64) = (0.38, 0.33);
/// Most of its packets that the law throws away beside BBR on such a line, and
/// the least share of BBR.
const THROWN_AWAY: (f64, f64) = (0.25, 0.35);
const LEFT_TO_BBR: (f64, f64) = (0.45, 0.4);

fn secs(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn line(text: &str) -> LineSettings {
    text.parse().expect("the test's line is well formed")
}

fn scenario(text: &str, seconds: f64) -> Scenario {
    Scenario::new(line(text)).lasting(secs(seconds))
}

fn alone(text: &str, seconds: f64) -> Scenario {
    scenario(text, seconds).flow(FlowPlan::fair())
}

/// Fills the line with a short queue in the second half.
#[track_caller]
fn fills(table: &mut Table, name: &str, scenario: &Scenario) {
    let outcome = scenario.run();
    let used = outcome.use_of_line(&outcome.second_half());
    let queue = outcome.standing_queue(0.5);
    assert!(used > STEADY, "{name}: {:.1} % of the line", used * 100.0);
    assert!(queue < QUEUE, "{name}: a queue of {queue:?}");
    table.add(name, outcome);
}

fn half(outcome: &Outcome, flow: usize) -> f64 {
    outcome.share(flow, &outcome.second_half())
}

#[test]
fn one_flow_fills_a_line_whatever_its_buffer_and_loss() {
    let mut table = Table::default();
    for (rtt, seconds) in [("10ms", 3.0), ("100ms", 5.0), ("300ms", 9.0)] {
        for loss in ["0%", "10%"] {
            for queue in ["5ms", "4bdp"] {
                let text = format!("1gbit,{rtt},{loss},queue={queue}");
                fills(&mut table, &text, &alone(&text, seconds));
            }
        }
    }
    for (text, seconds) in [
        ("10gbit,100ms,1%,queue=50ms", 2.0),
        ("100mbit,1ms,0%,queue=12000b", 10.0),
        ("100mbit,1ms,10%,queue=50ms", 10.0),
        ("100mbit,1s,5%,queue=5ms", 60.0),
        ("1gbit,100ms,0%,bursts=5%:8,queue=50ms", 6.0),
        ("1gbit,100ms,10%,jitter=0.5ms,queue=50ms", 6.0),
        ("1gbit,100ms,0%,back=10mbit,queue=50ms", 5.0),
    ] {
        fills(&mut table, text, &alone(text, seconds));
    }
    insta::assert_snapshot!("one_flow", table.to_string());
}

/// A bottleneck that stands still for moments, as radio links and routers in
/// virtual machines do: they must pass neither for the line's end nor for
/// somebody else's queue.
#[test]
fn a_line_that_stalls_is_filled_as_fast() {
    let mut table = Table::default();
    for (text, rtt, share) in [
        ("1gbit,100ms,1%,stalls=5%:3ms,queue=50ms", 0.1, 0.05),
        ("1gbit,100ms,stalls=10%:5ms,queue=50ms", 0.1, 0.1),
        ("100mbit,50ms,1%,stalls=10%:5ms,queue=50ms", 0.05, 0.1),
        ("300mbit,200ms,1%,stalls=10%:5ms,queue=50ms", 0.2, 0.1),
    ] {
        let mut uses = Vec::new();
        for seed in 1..=5 {
            let outcome = alone(text, 6.0).seeded(seed).run();
            let used = outcome.use_of_line(&outcome.second_half()) / (1.0 - share);
            uses.push(used);
            let found = outcome.time_to(FOUND.1).expect("start-up ended").as_secs_f64() / rtt;
            assert!(found < FOUND.0, "{text}, seed {seed}: start-up took {found:.1} round trips");
            table.add(format!("{text}, seed {seed}"), outcome);
        }
        uses.sort_by(f64::total_cmp);
        let (median, worst) = (uses[uses.len() / 2], uses[0]);
        assert!(median > STALLING.0 && worst > STALLING.1, "{text}: {median:.2}, {worst:.2} of what the stalls leave");
    }
    insta::assert_snapshot!("stalls", table.to_string());
}

#[test]
fn a_line_that_changes_is_followed() {
    let at = |s: f64| secs(s);
    let both = Direction::Both;
    let base = || alone("300mbit,50ms,queue=100ms", 20.0);
    let mut table = Table::default();
    let slow = Rate::from_bits_per_second(100_000_000);
    fills(&mut table, "rate 300 to 100 Mbit/s at 2 s, and back at 6 s", &{
        base()
            .at(at(2.0), Change::Rate(Direction::Forward, slow))
            .at(at(6.0), Change::Rate(Direction::Forward, Rate::from_bits_per_second(300_000_000)))
    });
    fills(&mut table, "round trip 50 to 150 ms at 2 s, and back at 6 s", &{
        base().at(at(2.0), Change::Delay(both, at(0.075))).at(at(6.0), Change::Delay(both, at(0.025)))
    });
    fills(&mut table, "round trip 50 to 66 ms at 2 s", &base().at(at(2.0), Change::Delay(both, at(0.033))));
    fills(&mut table, "dark from 2 s to 9 s", &{
        base().at(at(2.0), Change::Blackout(both, true)).at(at(9.0), Change::Blackout(both, false))
    });
    fills(&mut table, "loss 0 to 5 % at 2 s, and back at 6 s", &{
        base().at(at(2.0), Change::Loss(both, 0.05)).at(at(6.0), Change::Loss(both, 0.0))
    });
    let plan = FlowPlan::fair().pausing(at(2.0), at(5.0));
    fills(&mut table, "source dry from 2 s to 5 s", &scenario("300mbit,50ms,queue=100ms", 20.0).flow(plan));
    insta::assert_snapshot!("changes", table.to_string());
}

/// Routers that keep their queues short, rate limiters, bunched and overtaking
/// packets, and clocks that disagree.
#[test]
fn lines_that_are_no_plain_queue_are_filled() {
    let mut table = Table::default();
    for (text, seconds) in [
        ("1gbit,50ms,aqm=codel:5ms,queue=200ms", 6.0),
        ("100mbit,50ms,aqm=codel:5ms,queue=200ms", 20.0),
        ("100mbit,50ms,aqm=pie:15ms,queue=200ms", 20.0),
        ("100mbit,20ms,1%,aqm=pie:15ms,queue=200ms", 20.0),
        ("200mbit,50ms,bucket=2000000:1gbit,queue=50ms", 20.0),
        ("100mbit,100ms,bucket=10000000:1gbit,queue=3000b", 20.0),
        ("300mbit,20ms,bunches=4ms,queue=50ms", 10.0),
        ("300mbit,60ms,reorder=1%:5ms,queue=50ms", 10.0),
        ("300mbit,60ms,1%,reorder=10%:30ms,queue=50ms", 10.0),
    ] {
        fills(&mut table, text, &alone(text, seconds));
    }
    for drift_ppm in [-100.0, 100.0] {
        let clock = Clock { offset: secs(200.0), drift_ppm };
        let plan = FlowPlan::fair().with_clock(clock);
        let name = format!("200mbit,50ms,queue=50ms, the receiver's clock {drift_ppm:+} ppm, 200 s ahead");
        fills(&mut table, &name, &scenario("200mbit,50ms,queue=50ms", 60.0).flow(plan));
    }
    insta::assert_snapshot!("other_lines", table.to_string());
}

#[test]
fn sessions_heed_congestion_marks_in_place_of_losses() {
    let session = FlowPlan::session(SessionPlan::upload(u64::MAX >> 8).as_lengths());
    let mut table = Table::default();
    for aqm in ["codel-ecn:5ms", "pie-ecn:5ms"] {
        for flows in [1, 4] {
            let text = format!("100mbit,50ms,aqm={aqm},queue=200ms");
            let outcome = scenario(&text, 40.0).flows(flows, secs(1.0), &session).run();
            let used = outcome.use_of_line(&outcome.second_half());
            assert!(used > STEADY, "{flows} sessions, {text}: {:.1} %", used * 100.0);
            assert!(outcome.jain(&outcome.second_half()) > JAIN_SOON, "{flows} sessions, {text}");
            table.add(format!("{flows} sessions, {text}"), outcome);
        }
    }
    insta::assert_snapshot!("marks", table.to_string());
}

#[test]
fn flows_of_one_kind_share_evenly() {
    let mut table = Table::default();
    for (text, flows, stagger, seconds, least) in [
        ("1gbit,50ms,queue=100ms", 2, 1.0, 16.0, JAIN),
        ("1gbit,50ms,queue=100ms", 4, 0.01, 16.0, JAIN),
        ("1gbit,10ms,queue=100ms", 4, 1.0, 12.0, JAIN),
        ("200mbit,50ms,queue=100ms", 2, 3.0, 40.0, JAIN),
        ("200mbit,50ms,queue=100ms", 4, 3.0, 40.0, JAIN),
        // From 30 round trips after the last one joined.
        ("100mbit,10ms,queue=200ms", 4, 0.01, 1.2, JAIN_SOON),
        ("100mbit,10ms,1%,queue=50ms", 4, 0.01, 2.4, JAIN_SOON),
        ("100mbit,100ms,1%,queue=200ms", 2, 0.01, 6.1, JAIN_SOON),
        ("1gbit,100ms,1%,queue=50ms", 2, 1.0, 8.0, JAIN_SOON),
        ("100mbit,100ms,1%,queue=50ms", 4, 3.0, 24.0, JAIN_SOON),
        ("1gbit,300ms,queue=100ms", 2, 3.0, 24.0, JAIN_SOON),
    ] {
        let outcome = scenario(text, seconds).flows(flows, secs(stagger), &FlowPlan::fair()).run();
        let jain = outcome.jain(&outcome.second_half());
        assert!(jain > least, "{flows} flows, {text}: Jain {jain:.3}");
        assert!(outcome.standing_queue(0.5) < QUEUE, "{flows} flows, {text}");
        table.add(format!("{flows} flows, one each {stagger} s, {text}"), outcome);
    }
    let (near, far) = (FlowPlan::fair(), FlowPlan::fair().with_longer_rtt(secs(0.18)));
    let far_late = far.clone().starting(secs(2.0));
    let near_late = near.clone().starting(secs(2.0));
    for (name, first, second) in [("near first", near, far_late), ("far first", far, near_late)] {
        let outcome = scenario("200mbit,20ms,queue=100ms", 60.0).flow(first).flow(second).run();
        assert!(outcome.jain(&outcome.second_half()) > 0.85, "round trips 10 to 1, {name}");
        table.add(format!("round trips of 20 and 200 ms, {name}"), outcome);
    }
    insta::assert_snapshot!("flows", table.to_string());
}

/// Each presses for its part, and loses packets by the others' pressing.
#[test]
fn flows_that_begin_together_do_not_take_each_other_for_rivals() {
    for seed in 1..=6 {
        let scenario = scenario("100mbit,100ms,1%,queue=50ms", 6.06).flows(4, secs(0.01), &FlowPlan::fair());
        let outcome = scenario.seeded(seed).run();
        let jain = outcome.jain(&outcome.second_half());
        assert!(jain > JAIN_SOON, "seed {seed}: Jain {jain:.3}");
    }
}

/// `fair` on 200 Mbit/s and 50 ms with one flow of `kind`, either of them five
/// seconds after the other: its share is to lie within `bounds`.
fn beside(kind: Kind, name: &str, queues: &[&str], bounds: std::ops::Range<f64>) -> Table {
    let mut table = Table::default();
    for queue in queues {
        for first in [true, false] {
            let (ours, theirs) = if first { (0.0, 5.0) } else { (5.0, 0.0) };
            let outcome = scenario(&format!("200mbit,50ms,queue={queue}"), 80.0)
                .flow(FlowPlan::fair().starting(secs(ours)))
                .flow(FlowPlan::new(kind).starting(secs(theirs)))
                .run();
            let row = format!("{name} {}, queue {queue}", if first { "second" } else { "first" });
            let share = half(&outcome, 0);
            assert!(bounds.contains(&share), "{row}: {:.1} %", share * 100.0);
            table.add(row, outcome);
        }
    }
    table
}

#[test]
fn beside_cubic_it_neither_starves_nor_crushes() {
    let (least, most) = BESIDE_CUBIC;
    let table = beside(Kind::Cubic, "CUBIC", &["0.5bdp", "1bdp", "2bdp", "4bdp"], least..most);
    insta::assert_snapshot!("cubic", table.to_string());
}

#[test]
fn beside_bbr_which_heeds_no_loss_it_insists() {
    let table = beside(Kind::Bbr, "BBR", &["1bdp", "2bdp"], BESIDE_BBR..1.0);
    insta::assert_snapshot!("bbr", table.to_string());
}

/// Five runs with a flow of `kind` that was there before, on 100 Mbit/s and
/// 10 ms with a buffer of one bandwidth-delay product. Of our share, of theirs
/// and of the part of our packets that a full queue dropped: all, in order.
fn beside_on_irregular(kind: Kind, irregular: &str, table: &mut Table) -> [Vec<f64>; 3] {
    let mut figures = [const { Vec::new() }; 3];
    for seed in 1..=5 {
        let outcome = scenario(&format!("100mbit,10ms,queue=1bdp,{irregular}"), 60.0)
            .flow(FlowPlan::fair().starting(secs(5.0)))
            .flow(FlowPlan::new(kind))
            .seeded(seed)
            .run();
        figures[0].push(half(&outcome, 0));
        figures[1].push(half(&outcome, 1));
        figures[2].push(outcome.flows[0].own_loss());
        table.add(format!("{kind:?}, {irregular}, seed {seed}"), outcome);
    }
    figures.iter_mut().for_each(|figures| figures.sort_by(f64::total_cmp));
    figures
}

/// Delay that is not the queue's hides a full buffer: what that drops must not
/// pass for the line's own loss, or the law heeds it no more.
#[test]
fn beside_others_on_irregular_lines_its_own_loss_is_not_the_lines() {
    let mut table = Table::default();
    let [ours, theirs, _] = beside_on_irregular(Kind::Cubic, "stalls=0.5%:3ms", &mut table);
    for shares in [ours, theirs] {
        assert!(shares[2] > IRREGULAR.0 && shares[0] > IRREGULAR.1, "beside CUBIC: {shares:.2?}");
    }
    for irregular in ["drift=0.5ms", "drift=2ms"] {
        let [_, theirs, lost] = beside_on_irregular(Kind::Bbr, irregular, &mut table);
        assert!(lost[2] < THROWN_AWAY.0 && lost[4] < THROWN_AWAY.1, "{irregular}: {lost:.2?} thrown away");
        assert!(theirs[2] > LEFT_TO_BBR.0 && theirs[0] > LEFT_TO_BBR.1, "{irregular}: {theirs:.2?} left");
    }
    insta::assert_snapshot!("irregular", table.to_string());
}

#[test]
fn policies_keep_their_place_beside_each_other() {
    let mut table = Table::default();
    let plan = |policy| FlowPlan::new(Kind::Paced(policy));
    for (name, first, second, share) in [
        ("high beside fair", plan(Policy::High), FlowPlan::fair(), HIGH),
        ("high after fair", plan(Policy::High).starting(secs(5.0)), FlowPlan::fair(), HIGH),
        ("low beside fair", plan(Policy::Low), FlowPlan::fair(), LOW),
        ("low after fair", plan(Policy::Low).starting(secs(5.0)), FlowPlan::fair(), LOW),
        ("low before fair", plan(Policy::Low), FlowPlan::fair().starting(secs(5.0)), LOW),
        ("low beside CUBIC", plan(Policy::Low), FlowPlan::new(Kind::Cubic).starting(secs(5.0)), LOW),
        ("low alone", plan(Policy::Low), FlowPlan::fair().stopping(secs(0.1)), (STEADY, 1.0)),
    ] {
        let outcome = scenario("200mbit,50ms,queue=1bdp", 80.0).flow(first).flow(second).run();
        let part = half(&outcome, 0);
        assert!(part >= share.0 && part <= share.1, "{name}: {:.1} %", part * 100.0);
        table.add(name, outcome);
    }
    let (low, late) = (plan(Policy::Low), plan(Policy::Low).starting(secs(3.0)));
    let outcome = scenario("200mbit,50ms,queue=1bdp", 60.0).flow(low).flow(late).run();
    assert!(outcome.jain(&outcome.second_half()) > JAIN, "two low flows");
    table.add("low beside low", outcome);
    let outcome = scenario("4gbit,20ms,queue=1bdp", 12.0).flow(plan(Policy::Low)).flow(FlowPlan::fair()).run();
    assert!(half(&outcome, 0) < LOW.1, "low on a fast line: {:.3}", half(&outcome, 0));
    table.add("low beside fair, 4 Gbit/s", outcome);
    insta::assert_snapshot!("policies", table.to_string());
}

#[test]
fn a_rival_that_leaves_is_noticed() {
    let outcome = scenario("200mbit,50ms,queue=2bdp", 45.0)
        .flow(FlowPlan::fair())
        .flow(FlowPlan::new(Kind::Cubic).starting(secs(5.0)).stopping(secs(30.0)))
        .run();
    let after = outcome.share(0, &(secs(35.0)..secs(45.0)));
    assert!(after > 0.95, "{:.1} % five seconds after it left", after * 100.0);
}
