//! The law as a whole, on a modelled line.

use std::time::Duration;

use limosa_wire::{PacketNumber, PeerTime, Rate};
use proptest::prelude::*;

use super::Fair;
use crate::Time;
use crate::rate::line::Line;
use crate::rate::{Fixed, PathReport, Policy, RateControl, RateLimits, Sent, Stamp};

const OPEN: RateLimits = RateLimits { target: None, cap: Rate::UNLIMITED };

fn fair(line: &Line, rtt_ms: u64) -> Box<dyn RateControl> {
    let rtt = Some(Duration::from_millis(rtt_ms));
    Box::new(Fair::new(line.now(), rtt, OPEN))
}

#[test]
fn one_flow_fills_the_line_and_keeps_the_queue_short() {
    for (megabits, rtt, buffer, loss) in
        [(100, 10, 50, 0.0), (1000, 10, 5, 0.1), (1000, 100, 5, 0.01), (1000, 100, 400, 0.1)]
    {
        let mut line = Line::new(megabits, buffer, loss);
        let law = fair(&line, rtt);
        line.add(law, rtt);
        line.run(rtt as f64 * 0.01);
        line.flow(0).median_queue_ms();
        let used = line.use_over(5.0);
        let queue = line.flow(0).median_queue_ms();
        let case = format!("{megabits} Mbit/s, {rtt} ms, {buffer} ms, {loss}");
        assert!(used > 0.97, "{case}: {used}");
        assert!(queue < 10.0, "{case}: {queue} ms");
    }
}

/// A law that takes the path's own delay for a queue of others falls back to
/// next to nothing, for as long as the path stays.
#[test]
fn a_path_that_was_shorter_for_a_moment_keeps_its_rate() {
    for (by, jitter) in [(5, 0), (5, 2), (9, 3), (20, 3)] {
        let mut line = Line::new(1000, 50, 0.01);
        line.jitter = Duration::from_millis(jitter);
        let law = fair(&line, 100);
        line.add(law, 100);
        line.run(4.0);
        line.flow(0).rtt -= Duration::from_millis(2 * by);
        line.run(0.2);
        line.flow(0).rtt += Duration::from_millis(2 * by);
        line.run(8.0);
        let used = line.use_over(5.0);
        assert!(used > 0.9, "shorter by {by} ms, {jitter} ms of jitter: {used}");
    }
}

fn jain(x: &[u64]) -> f64 {
    let sum: f64 = x.iter().map(|&x| x as f64).sum();
    let squares: f64 = x.iter().map(|&x| (x as f64).powi(2)).sum();
    sum * sum / (squares * x.len() as f64)
}

/// A flow of 50 ms that has a line of 1 Gbit/s for itself.
fn settled() -> Line {
    let mut line = Line::new(1000, 100, 0.0);
    let law = fair(&line, 50);
    line.add(law, 50);
    line.run(5.0);
    line
}

#[test]
fn flows_that_join_late_get_their_part_within_thirty_round_trips() {
    for (megabits, rtt, flows) in [(1000, 50, 2), (1000, 50, 4), (100, 100, 2), (1000, 300, 2)] {
        let mut line = Line::new(megabits, 100, 0.0);
        for _ in 0..flows {
            let law = fair(&line, rtt);
            line.add(law, rtt);
            line.run(rtt as f64 * 0.03);
        }
        let shares = line.run(rtt as f64 * 0.03);
        assert!(jain(&shares) > 0.9, "{megabits} Mbit/s, {flows} flows, {rtt} ms: {shares:?}");
    }
}

/// Each looks for the whole line, and all but the first find a queue that they
/// cannot tell from the path.
#[test]
fn flows_that_start_at_once_find_the_path_under_their_queue() {
    for (apart, loss) in [(3, 0.0), (10, 0.0), (15, 0.0), (3, 0.01), (15, 0.01)] {
        let mut line = Line::new(100, 200, loss);
        for _ in 0..4 {
            let law = fair(&line, 10);
            line.add(law, 10);
            line.run(f64::from(apart) * 1e-3);
        }
        line.run(0.7);
        let shares = line.run(0.5);
        assert!(jain(&shares) > 0.9, "{apart} ms apart, {loss}: {shares:?}");
    }
}

#[test]
fn a_flow_that_is_alone_makes_no_room_for_others() {
    for (megabits, rtt, jitter) in [(5, 20, 0), (10, 20, 0), (100, 300, 2), (1000, 100, 1)] {
        let mut line = Line::new(megabits, 500, 0.0);
        line.jitter = Duration::from_millis(jitter);
        let law = fair(&line, rtt);
        line.add(law, rtt);
        for _ in 0..400 {
            line.run(rtt as f64 * 1e-4);
            let phase = line.flow(0).law.statistics().phase;
            assert_ne!(phase, "clear", "{megabits} Mbit/s, {rtt} ms");
        }
    }
}

#[test]
fn a_rate_that_falls_and_rises_is_followed() {
    let mut line = settled();
    line.rate = Rate::from_bits_per_second(300_000_000);
    line.run(0.6);
    line.flow(0).median_queue_ms();
    line.run(1.0);
    assert!(line.flow(0).median_queue_ms() < 12.0);
    line.run(5.0);
    line.rate = Rate::from_bits_per_second(1_000_000_000);
    line.run(1.5);
    assert!(line.use_over(1.0) > 0.9);
}

#[test]
fn a_longer_path_is_not_taken_for_a_queue_for_long() {
    for rtt in [150, 66, 53] {
        let mut line = settled();
        line.flow(0).rtt = Duration::from_millis(rtt);
        line.run(4.0);
        let used = line.use_over(2.0);
        assert!(used > 0.95, "50 to {rtt} ms: {used}");
    }
}

#[test]
fn loss_that_begins_and_ends_does_not_slow_it_down() {
    let mut line = settled();
    for loss in [0.05, 0.0, 0.01] {
        line.loss = loss;
        line.run(2.0);
        let used = line.use_over(2.0);
        assert!(used > 0.95, "{loss}: {used}");
    }
}

#[test]
fn a_source_that_dries_up_leaves_the_share_as_it_was() {
    let mut line = settled();
    for source in [1e6, 0.0] {
        line.flow(0).source = Some(source);
        line.run(3.0);
        line.flow(0).source = None;
        line.run(0.1);
        let used = line.use_over(0.5);
        assert!(used > 0.9, "after {source} B/s: {used}");
    }
}

#[test]
fn a_cap_holds_and_lifting_it_is_noticed_at_once() {
    let mut line = settled();
    let cap = |megabits: u64| RateLimits { target: None, cap: Rate::from_bits_per_second(megabits * 1_000_000) };
    let now = line.now();
    line.flow(0).law.set_limits(now, cap(50));
    line.run(0.2);
    let used = line.use_over(2.0);
    assert!((0.04..=0.0505).contains(&used), "{used}");
    let now = line.now();
    line.flow(0).law.set_limits(now, OPEN);
    line.run(0.5);
    assert!(line.use_over(1.0) > 0.9);
}

#[test]
fn policies_of_the_family_change_without_a_new_start() {
    let mut line = settled();
    for policy in [Policy::Low, Policy::High, Policy::Fair] {
        assert!(line.flow(0).law.follow(policy));
        let used = line.use_over(1.0);
        assert!(used > 0.97, "{policy:?}: {used}");
    }
    assert!(!line.flow(0).law.follow(Policy::Fixed), "that needs nothing of what was learnt");
}

/// Calls that may come in any order, with any numbers.
#[derive(Clone, Debug)]
enum Call {
    Send { size: u32, limited: bool },
    Report { number: u64, received: u64, packets: u64, bytes: u64, marks: u64, interval: u64, held: u64 },
    Train { first: u64, last: u64 },
    Silence,
    Path { rtt: u64 },
    Limits { target: Option<u64>, cap: u64 },
    Follow(Policy),
    Wait { nanos: u64 },
}

fn any_call() -> impl Strategy<Value = Call> {
    let short = 0..200_000_000_u64;
    prop_oneof![
        8 => (any::<u32>(), any::<bool>()).prop_map(|(size, limited)| Call::Send { size, limited }),
        8 => any::<(u64, u64, u64, u64, u64, u64, u64)>().prop_map(
            |(number, received, packets, bytes, marks, interval, held)| {
                Call::Report { number, received, packets, bytes, marks, interval, held }
            }
        ),
        2 => any::<(u64, u64)>().prop_map(|(first, last)| Call::Train { first, last }),
        1 => Just(Call::Silence),
        1 => any::<u64>().prop_map(|rtt| Call::Path { rtt }),
        1 => (any::<Option<u64>>(), any::<u64>()).prop_map(|(target, cap)| Call::Limits { target, cap }),
        1 => proptest::sample::select(vec![Policy::Fair, Policy::High, Policy::Low]).prop_map(Call::Follow),
        8 => short.prop_map(|nanos| Call::Wait { nanos }),
        1 => any::<u64>().prop_map(|nanos| Call::Wait { nanos }),
    ]
}

/// Makes `calls` on `law`; every pace must be one that can be kept.
fn torment(law: &mut dyn RateControl, calls: Vec<Call>) -> Result<(), TestCaseError> {
    let (mut now, mut log) = (Time::ZERO, Vec::<Sent>::new());
    for call in calls {
        match call {
            Call::Send { size, limited } => {
                let before = log.last().map_or(0, |sent| sent.sent_bytes);
                let number = PacketNumber::new(log.len() as u64).unwrap_or_default();
                log.push(Sent { number, at: now, sent_bytes: before.saturating_add(u64::from(size)), size });
                law.on_sent(log[log.len() - 1], limited);
            }
            Call::Report { number, received, packets, bytes, marks, interval, held } => {
                let Some(sent) = log.get((number % (log.len() as u64 + 1)) as usize) else { continue };
                let largest = Stamp { sent: *sent, received_at: PeerTime(received) };
                law.on_report(&PathReport {
                    now,
                    largest,
                    delivered_packets: packets,
                    delivered_bytes: bytes,
                    stamps: &[largest, largest],
                    congestion_marks: marks,
                    in_flight: bytes,
                    interval: Duration::from_nanos(interval),
                    held: Duration::from_nanos(held),
                });
            }
            Call::Train { first, last } => {
                let number = |n: u64| PacketNumber::new(n >> 16).unwrap_or_default();
                law.on_train_sent(number(first), number(last));
            }
            Call::Silence => law.on_silence(now),
            Call::Path { rtt } => law.on_path(now, Some(Duration::from_nanos(rtt))),
            Call::Limits { target, cap } => {
                let target = target.map(Rate::from_bits_per_second);
                law.set_limits(now, RateLimits { target, cap: Rate::from_bits_per_second(cap) });
            }
            Call::Follow(policy) => {
                law.follow(policy);
            }
            Call::Wait { nanos } => now = now + Duration::from_nanos(nanos),
        }
        let allowed = law.allowance(now);
        let pace = allowed.pace.bits_per_second();
        prop_assert!((64_000..=1_000_000_000_000).contains(&pace), "{allowed:?}");
        prop_assert!(allowed.in_flight > 0 && allowed.train < 1_000, "{allowed:?}");
        let seen = law.statistics();
        prop_assert!((0.0..1.0).contains(&seen.baseline_loss), "{seen:?}");
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_peer_makes_it_panic_stop_or_run_away(calls in proptest::collection::vec(any_call(), 1..200)) {
        torment(&mut Fair::new(Time::ZERO, None, OPEN), calls.clone())?;
        torment(&mut Fixed::new(Time::ZERO, None, OPEN), calls)?;
    }
}
