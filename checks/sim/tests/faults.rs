//! Every fault a line can have, with real bytes and checked protection: the
//! session must end complete, with no wrong byte and little sent in vain.

use std::time::Duration;

use limosa_sim::link::Queue;
use limosa_sim::outcome::{Outcome, SessionOutcome};
use limosa_sim::session::{Disk, SessionPlan};
use limosa_sim::{Change, Direction, FlowPlan, LineSettings, Scenario, Side};
use limosa_transport::{Event, Time};
use limosa_wire::Rate;

const MEGABYTE: u64 = 1_000_000;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn line(text: &str) -> LineSettings {
    text.parse().expect("the test's line is well formed")
}

fn scenario(text: &str, plan: SessionPlan) -> Scenario {
    Scenario::new(line(text)).flow(FlowPlan::session(plan)).lasting(Duration::from_secs(120)).until_finished()
}

/// Runs up and down and checks what must hold on any line.
#[track_caller]
fn survives(name: &str, build: impl Fn(SessionPlan) -> Scenario, bytes: u64) -> [Outcome; 2] {
    [SessionPlan::upload(bytes), SessionPlan::download(bytes)].map(|plan| {
        let outcome = build(plan).run();
        let session = session(&outcome);
        assert!(
            session.acknowledged.is_some(),
            "{name}, client {:?}: not finished after {:.1} s: {:?} {:?}",
            plan.client,
            outcome.duration.as_secs_f64(),
            session.sender_events,
            session.receiver_events,
        );
        assert_eq!(session.wrong_bytes, 0, "{name}");
        assert!(session.receiver.received.kept_bytes >= bytes, "{name}");
        outcome
    })
}

fn session(outcome: &Outcome) -> &SessionOutcome {
    outcome.flows[0].session.as_ref().expect("the flow is a session")
}

fn seconds(outcome: &Outcome) -> f64 {
    session(outcome).arrived.expect("it finished").nanos() as f64 / 1e9
}

/// Lines that are bad all the time: name, line, and the longest that 8 MB may
/// take in seconds.
const BAD_LINES: &[(&str, &str, f64)] = &[
    ("clean", "100mbit,50ms", 1.6),
    ("loss", "100mbit,50ms,10%", 2.0),
    ("bursts", "100mbit,50ms,bursts=5%:8", 2.5),
    ("jitter", "100mbit,50ms,1%,jitter=500us", 2.5),
    ("drift", "100mbit,50ms,1%,drift=5ms", 2.5),
    ("reordering", "100mbit,50ms,1%,reorder=2%:5ms", 2.5),
    ("duplication", "100mbit,50ms,1%,dup=5%", 2.0),
    ("bit flips", "100mbit,50ms,corrupt=2%", 2.0),
    ("return path loss", "100mbit,50ms,backloss=30%", 2.0),
    ("narrow return path", "100mbit,50ms,1%,back=1mbit", 2.0),
    ("tiny buffer", "100mbit,50ms,queue=12000b", 3.0),
    ("huge buffer", "100mbit,50ms,1%,queue=40bdp", 2.0),
    ("MTU 1420", "100mbit,50ms,mtu=1420", 2.5),
    ("MTU 1280", "100mbit,50ms,mtu=1280", 2.5),
    ("everything", "100mbit,50ms,2%,bursts=1%:4,jitter=300us,dup=1%,corrupt=1%,reorder=1%:3ms", 4.0),
];

#[test]
fn bad_lines_cost_time_but_no_byte() {
    for (name, text, longest) in BAD_LINES {
        for outcome in survives(name, |plan| scenario(text, plan), 8 * MEGABYTE) {
            let took = seconds(&outcome);
            assert!(took < *longest, "{name}: {took:.2} s");
        }
    }
}

#[test]
fn nearly_every_third_packet_may_be_lost_either_way() {
    for outcome in survives("30 % loss", |plan| scenario("100mbit,50ms,30%", plan), 8 * MEGABYTE) {
        let took = seconds(&outcome);
        assert!(took < 3.5, "{took}");
    }
}

#[test]
fn little_is_sent_in_vain_at_ten_percent_loss() {
    for outcome in survives("loss", |plan| scenario("100mbit,50ms,10%", plan), 40 * MEGABYTE) {
        let share = session(&outcome).redundancy();
        assert!(share < 0.02, "{share}");
    }
}

#[test]
fn flipped_bits_are_dropped_and_counted() {
    for outcome in survives("bit flips", |plan| scenario("100mbit,50ms,corrupt=2%", plan), 8 * MEGABYTE) {
        let received = session(&outcome).receiver.received;
        let damaged = outcome.forward().corrupted.packets;
        assert!(damaged > 50);
        let dropped = received.forged + received.foreign + received.malformed + received.replayed;
        assert!(dropped + 3 >= damaged, "{dropped} of {damaged}");
        assert_eq!(received.malformed, 0);
    }
}

#[test]
fn a_blackout_is_waited_out() {
    let build = |plan| {
        scenario("100mbit,50ms,1%", plan)
            .at(millis(500), Change::Blackout(Direction::Both, true))
            .at(millis(20_500), Change::Blackout(Direction::Both, false))
    };
    for outcome in survives("blackout", build, 12 * MEGABYTE) {
        let took = seconds(&outcome);
        assert!(took < 22.5, "{took}");
        let silent = |e: &(Time, Event)| matches!(e.1, Event::LineSilent);
        assert!(session(&outcome).sender_events.iter().any(silent));
        let share = session(&outcome).redundancy();
        assert!(share < 0.02, "{share}");
    }
}

#[test]
fn steps_of_rate_delay_and_loss_are_followed() {
    let build = |plan| {
        scenario("100mbit,50ms", plan)
            .at(millis(1_000), Change::Rate(Direction::Forward, Rate::from_bits_per_second(30_000_000)))
            .at(millis(3_000), Change::Rate(Direction::Forward, Rate::from_bits_per_second(100_000_000)))
            .at(millis(4_000), Change::Delay(Direction::Both, millis(75)))
            .at(millis(6_000), Change::Delay(Direction::Both, millis(25)))
            .at(millis(7_000), Change::Loss(Direction::Both, 0.05))
    };
    for outcome in survives("steps", build, 60 * MEGABYTE) {
        let took = seconds(&outcome);
        assert!(took < 9.5, "{took}");
    }
}

#[test]
fn a_new_address_is_confirmed_and_followed() {
    for client in [Side::Near, Side::Far] {
        let plan = SessionPlan { client, ..SessionPlan::upload(20 * MEGABYTE) };
        let outcome = scenario("100mbit,50ms,1%", plan)
            .at(millis(700), Change::Rebind(0, client))
            .at(millis(1_400), Change::Rebind(0, client))
            .run();
        let session = session(&outcome);
        assert!(
            session.acknowledged.is_some(),
            "client {client:?}: {:?} {:?}",
            session.sender_events,
            session.receiver_events,
        );
        let server_events = if client == Side::Near { &session.receiver_events } else { &session.sender_events };
        let moves = server_events.iter().filter(|e| matches!(e.1, Event::PeerMoved { .. })).count();
        assert_eq!(moves, 2, "{client:?}: {server_events:?}");
    }
}

#[test]
fn an_mtu_that_drops_in_mid_transfer_is_found_without_a_word_from_the_line() {
    for mtu in [1420, 1280] {
        let build = |plan| scenario("100mbit,50ms", plan).at(millis(800), Change::Mtu(Direction::Both, mtu));
        for outcome in survives("MTU drop", build, 20 * MEGABYTE) {
            let took = seconds(&outcome);
            assert!(took < 4.5, "{mtu}: {took}");
            assert!(session(&outcome).sender.path.packet_size <= mtu as usize);
        }
    }
}

#[test]
fn a_disk_that_stalls_or_is_slow_sheds_instead_of_losing() {
    let stalled =
        Disk { queue: 4 << 20, stall: Some((Time::from_micros(500_000), Duration::from_secs(10))), ..Disk::default() };
    let slow = Disk { queue: 4 << 20, rate: Rate::from_bits_per_second(10_000_000), ..Disk::default() };
    for (name, disk, longest) in [("stall", stalled, 13.0), ("slow", slow, 16.5)] {
        let build = |plan| scenario("100mbit,50ms,1%", SessionPlan { disk, ..plan });
        for outcome in survives(name, build, 20 * MEGABYTE) {
            let took = seconds(&outcome);
            assert!(took < longest, "{name}: {took}");
            let session = session(&outcome);
            let again = session.sender.sent.repeated_shed as f64 / (20 * MEGABYTE) as f64;
            assert!(again < 0.25, "{name}: {again} sent again");
        }
    }
}

#[test]
fn like_sessions_share_evenly() {
    for (count, jain) in [(2, 0.9), (4, 0.9)] {
        let plan = FlowPlan::session(SessionPlan::upload(1 << 40).as_lengths());
        let outcome = Scenario::new(line("200mbit,50ms").with_queue(Queue::Time(millis(100))))
            .flows(count, millis(500), &plan)
            .lasting(Duration::from_secs(12))
            .run();
        let half = outcome.second_half();
        assert!(outcome.jain(&half) > jain, "{count}: {}", outcome.jain(&half));
        assert!(outcome.use_of_line(&half) > 0.95, "{count}: {}", outcome.use_of_line(&half));
        assert!(outcome.standing_queue(0.5) < millis(30), "{count}");
    }
}
