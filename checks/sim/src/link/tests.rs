use super::*;
use crate::random::Random;

/// A packet of a given length with a number.
#[derive(Clone, Debug, PartialEq)]
struct Packet {
    number: u32,
    length: u32,
}

impl Wire for Packet {
    fn wire_length(&self) -> u32 {
        self.length
    }
    fn corrupt(&mut self, _: &mut Random) -> bool {
        self.number |= 1 << 31;
        true
    }
}

fn gigabit(delay_ms: u64) -> LinkSettings {
    let rate = limosa_wire::Rate::from_bits_per_second(1_000_000_000);
    LinkSettings::new(rate, Duration::from_millis(delay_ms))
}

fn packet(number: u32) -> Packet {
    Packet { number, length: 1250 } // 10 µs at 1 Gbit/s
}

/// Sends `count` packets `gap` apart; returns arrivals as (time, number).
fn run(link: &mut Link<Packet>, count: u32, gap: Duration) -> Vec<(Time, u32)> {
    let mut arrivals = Vec::new();
    for number in 0..count {
        let now = Time::ZERO + gap * number;
        drain(link, now, &mut arrivals);
        let _ = link.send(now, packet(number));
    }
    drain(link, Time::from_nanos(u64::MAX / 2), &mut arrivals);
    arrivals
}

fn drain(link: &mut Link<Packet>, until: Time, arrivals: &mut Vec<(Time, u32)>) {
    while let Some(at) = link.next_event().filter(|at| *at <= until) {
        if let Some(packet) = link.receive(at) {
            arrivals.push((at, packet.number));
        }
    }
}

fn link(settings: LinkSettings) -> Link<Packet> {
    Link::new(settings, Seed(1))
}

#[test]
fn packets_take_their_length_at_the_rate_and_then_the_delay() {
    let arrivals = run(&mut link(gigabit(5)), 3, Duration::ZERO);
    let expected: Vec<_> = (1..=3).map(|n| (Time::from_micros(5000 + 10 * n), n as u32 - 1)).collect();
    assert_eq!(arrivals, expected);
}

#[test]
fn odd_rates_are_met_over_many_packets() {
    let mut settings = gigabit(0);
    settings.rate = limosa_wire::Rate::from_bits_per_second(7_777_777_777);
    settings.queue = Queue::HUGE;
    let arrivals = run(&mut link(settings), 100_000, Duration::ZERO);
    let seconds = arrivals.last().expect("all arrive").0.nanos() as f64 / 1e9;
    assert!((seconds * 7_777_777_777.0 / 1e9 - 1.0).abs() < 1e-6, "{seconds}");
}

#[test]
fn a_full_queue_drops_what_comes_last() {
    let mut settings = gigabit(1);
    settings.queue = Queue::Bytes(8 * 1250);
    let mut link = link(settings);
    let arrivals = run(&mut link, 20, Duration::ZERO);
    // One in transmission and eight in the queue.
    assert_eq!(arrivals.iter().map(|a| a.1).collect::<Vec<_>>(), (0..9).collect::<Vec<_>>());
    assert_eq!(link.counters().queue_full.packets, 11);
    assert!(link.counters().queueing.largest() == Duration::from_micros(80));
}

#[test]
fn queueing_is_measured_per_packet() {
    let mut link = link(gigabit(1));
    run(&mut link, 101, Duration::ZERO);
    let median = link.counters().queueing.quantile(0.5).as_secs_f64() * 1e6;
    assert!((485.0..515.0).contains(&median), "{median}");
}

#[test]
fn loss_is_as_frequent_as_asked_and_independent_of_other_faults() {
    let lost = |jitter| {
        let mut settings = gigabit(1);
        settings.loss = 0.1;
        settings.jitter = jitter;
        let arrived = run(&mut link(settings), 20_000, Duration::from_micros(10));
        let mut numbers: Vec<u32> = arrived.iter().map(|a| a.1).collect();
        numbers.sort_unstable();
        numbers
    };
    let plain = lost(None);
    assert!((17_700..18_300).contains(&plain.len()), "{}", plain.len());
    assert_eq!(plain, lost(Some(Jitter::PerPacket(Duration::from_millis(1)))));
}

#[test]
fn loss_in_front_of_the_queue_takes_no_line_time() {
    let finish = |place| {
        let mut settings = gigabit(0);
        settings.loss = 0.5;
        settings.loss_place = place;
        settings.queue = Queue::HUGE;
        run(&mut link(settings), 1000, Duration::ZERO).last().map(|a| a.0.micros())
    };
    assert!(finish(LossPlace::AfterQueue) > Some(9_900));
    assert!(finish(LossPlace::BeforeQueue) < Some(6_000));
}

#[test]
fn bursts_have_the_length_and_share_asked_for() {
    let mut settings = gigabit(1);
    settings.bursts = Some(Bursts::of(8.0, 0.05));
    assert!((settings.total_loss() - 0.05).abs() < 1e-9);
    let arrived = run(&mut link(settings), 200_000, Duration::from_micros(10));
    let share = 1.0 - arrived.len() as f64 / 200_000.0;
    let gaps = arrived.windows(2).filter(|pair| pair[1].1 != pair[0].1 + 1).count();
    let mean = share * 200_000.0 / gaps as f64;
    assert!((0.042..0.058).contains(&share), "{share}");
    assert!((7.2..8.8).contains(&mean), "{mean}");
}

#[test]
fn smooth_jitter_keeps_the_order_and_other_jitter_does_not() {
    let order = |jitter| {
        let mut settings = gigabit(10);
        settings.jitter = Some(jitter);
        let arrivals = run(&mut link(settings), 10_000, Duration::from_micros(20));
        let delays = arrivals.iter().map(|(at, n)| at.micros() - 20 * u64::from(*n) - 10);
        assert_eq!(arrivals.len(), 10_000);
        assert!(delays.clone().all(|delay| delay >= 10_000));
        assert!(delays.clone().max() > Some(12_000));
        assert!(arrivals.windows(2).all(|pair| pair[0].0 <= pair[1].0));
        arrivals.windows(2).all(|pair| pair[0].1 < pair[1].1)
    };
    let (amplitude, period) = (Duration::from_millis(3), Duration::from_millis(20));
    assert!(order(Jitter::Smooth { amplitude, period }));
    assert!(!order(Jitter::PerPacket(Duration::from_millis(1))));
}

#[test]
fn reordering_duplication_and_corruption_happen_as_often_as_asked() {
    let mut settings = gigabit(1);
    settings.reordering = Some(Reordering { share: 0.1, by: Duration::from_millis(2) });
    settings.duplication = 0.02;
    settings.corruption = 0.03;
    let mut link = link(settings);
    let arrivals = run(&mut link, 10_000, Duration::from_micros(10));
    let late = arrivals.windows(2).filter(|pair| pair[1].1 % (1 << 31) < pair[0].1 % (1 << 31));
    assert!((700..1_100).contains(&late.count()));
    let counters = link.counters();
    assert!((150..250).contains(&counters.duplicated.packets));
    assert!((240..360).contains(&counters.corrupted.packets));
    assert_eq!(counters.delivered.packets, 10_000 + counters.duplicated.packets);
}

#[test]
fn too_long_packets_vanish_when_the_mtu_drops() {
    let mut link = link(gigabit(1));
    assert_eq!(link.send(Time::ZERO, packet(0)), Ok(()));
    link.change(Time::ZERO, |settings| settings.mtu = 1000);
    assert_eq!(link.send(Time::ZERO, packet(1)), Err(Refused::TooLong));
    assert_eq!(link.counters().too_long.packets, 1);
}

#[test]
fn nothing_passes_in_a_blackout() {
    let mut link = link(gigabit(1));
    link.change(Time::ZERO, |settings| settings.blackout = true);
    assert!(link.send(Time::ZERO, packet(0)).is_ok());
    assert!(link.receive(Time::from_micros(5_000)).is_none());
    link.change(Time::from_micros(5_000), |settings| settings.blackout = false);
    assert!(link.send(Time::from_micros(5_000), packet(1)).is_ok());
    let mut arrivals = Vec::new();
    drain(&mut link, Time::from_micros(9_000), &mut arrivals);
    assert_eq!(arrivals, [(Time::from_micros(6_010), 1)]);
    assert_eq!(link.counters().blackout.packets, 1);
}

#[test]
fn a_rate_step_slows_what_is_already_queued() {
    let mut link = link(gigabit(0));
    for number in 0..11 {
        assert!(link.send(Time::ZERO, packet(number)).is_ok());
    }
    let tenth = limosa_wire::Rate::from_bits_per_second(100_000_000);
    link.change(Time::from_micros(5), |settings| settings.rate = tenth);
    // 5 µs of the first packet are left, then ten packets of 100 µs each.
    assert_eq!(link.backlog(Time::from_micros(5)), Duration::from_micros(1005));
    let mut arrivals = Vec::new();
    drain(&mut link, Time::from_micros(10_000), &mut arrivals);
    assert_eq!(arrivals.last(), Some(&(Time::from_micros(1010), 10)));
}

#[test]
fn a_shorter_route_overtakes() {
    let mut link = link(gigabit(50));
    assert!(link.send(Time::ZERO, packet(0)).is_ok());
    link.change(Time::from_micros(100), |s| s.delay = Duration::from_millis(5));
    assert!(link.send(Time::from_micros(100), packet(1)).is_ok());
    let mut arrivals = Vec::new();
    drain(&mut link, Time::from_micros(100_000), &mut arrivals);
    assert_eq!(arrivals.iter().map(|a| a.1).collect::<Vec<_>>(), [1, 0]);
}

#[test]
fn a_bottleneck_that_stalls_keeps_the_order_and_loses_its_share_of_the_time() {
    let mut settings = gigabit(5);
    settings.queue = Queue::HUGE;
    settings.stalls = Some(Stalls::of(0.2, Duration::from_millis(5)));
    let count = 200_000; // 2 s at the full rate
    let arrivals = run(&mut link(settings), count, Duration::ZERO);
    assert!(arrivals.iter().map(|a| a.1).eq(0..count));
    let took = arrivals.last().expect("arrivals").0.since(arrivals[0].0).as_secs_f64();
    assert!((2.3..2.7).contains(&took), "{took} s");
    let longest = arrivals.windows(2).map(|pair| pair[1].0.since(pair[0].0)).max();
    assert!(longest > Some(Duration::from_millis(10)));
}

/// Delays of the second half of two seconds at one and a half times the rate,
/// under this management.
fn delays(managed: ManagedQueue) -> (Vec<Duration>, Counters) {
    let mut settings = gigabit(0);
    settings.queue = Queue::HUGE;
    settings.managed = Some(managed);
    let mut link = link(settings);
    let apart = Duration::from_nanos(6_667);
    let arrivals = run(&mut link, 300_000, apart);
    let late = arrivals.into_iter().filter(|(_, number)| *number > 150_000);
    let waited = late.map(|(at, number)| at.since(Time::ZERO + apart * number)).collect();
    (waited, link.counters().clone())
}

#[test]
fn managed_queues_stay_short_by_drops_or_by_pie_at_once() {
    let (target, marks) = (Duration::from_millis(5), false);
    let pie = ManagedQueue { discipline: Discipline::Pie, target, marks };
    let (mut waited, counters) = delays(pie);
    waited.sort();
    assert!(waited[waited.len() / 2] < target * 3, "{:?}", waited[waited.len() / 2]);
    assert_eq!(counters.queue_full.packets, 0);
    // What does not listen loses what is too much: a third.
    let dropped = counters.managed.packets as f64 / counters.offered.packets as f64;
    assert!((0.2..0.36).contains(&dropped), "{dropped}");
    let (_, counters) = delays(ManagedQueue { discipline: Discipline::CoDel, ..pie });
    assert!(counters.managed.packets > 50 && counters.marked.packets == 0, "{counters:?}");
}

#[test]
fn codel_leaves_short_bursts_alone_and_then_strikes_ever_more_often() {
    let mut settings = gigabit(0);
    settings.queue = Queue::HUGE;
    settings.managed =
        Some(ManagedQueue { discipline: Discipline::CoDel, target: Duration::from_millis(5), marks: false });
    let mut burst = link(settings.clone());
    assert_eq!(run(&mut burst, 9_000, Duration::ZERO).len(), 9_000, "90 ms of queue, but no longer");
    let mut standing = link(settings);
    let arrivals = run(&mut standing, 100_000, Duration::from_nanos(9_000));
    let lost = |from: u32, until: u32| {
        let arrived = arrivals.iter().filter(|(_, number)| (from..until).contains(number)).count();
        (until - from) as usize - arrived
    };
    let (first, second) = (lost(0, 50_000), lost(50_000, 100_000));
    assert!(first > 2 && second > first, "{first}, {second}");
}

#[test]
fn what_can_be_marked_is_not_dropped() {
    use crate::datagram::Udp;
    use limosa_transport::Ecn;
    let mut settings = gigabit(0);
    settings.queue = Queue::HUGE;
    settings.managed =
        Some(ManagedQueue { discipline: Discipline::CoDel, target: Duration::from_millis(5), marks: true });
    let mut link = Link::new(settings, Seed(1));
    for number in 0..50_000_u32 {
        let ecn = if number % 2 == 0 { Ecn::Capable } else { Ecn::NotCapable };
        assert!(link.send(Time::ZERO, Udp { ecn, ..Udp::claiming(Vec::new(), 1222) }).is_ok());
    }
    let mut marked = 0;
    while let Some(at) = link.next_event() {
        marked += u64::from(link.receive(at).is_some_and(|udp| udp.ecn == Ecn::Congestion));
    }
    let counters = link.counters();
    assert!(marked > 0 && marked == counters.marked.packets && counters.managed.packets > 0, "{counters:?}");
    assert_eq!(counters.delivered.packets + counters.managed.packets, 50_000);
}

#[test]
fn a_bucket_lets_what_was_saved_up_pass_at_once() {
    let mut settings = gigabit(0);
    settings.queue = Queue::HUGE;
    let peak = limosa_wire::Rate::from_bits_per_second(10_000_000_000);
    settings.bucket = Some(Bucket { depth: 125_000, peak });
    let arrivals = run(&mut link(settings), 1_100, Duration::ZERO);
    let at = |number: usize| arrivals[number].0.micros();
    // A hundred packets at 1 µs, for which eleven more are earned; the rest at
    // the link's rate of 10 µs each.
    assert_eq!((at(0), at(99)), (1, 100));
    assert!((9_980..10_020).contains(&at(1_099)), "{}", at(1_099));
}

#[test]
fn bunched_packets_arrive_together_and_in_order() {
    let mut settings = gigabit(5);
    settings.bunching = Some(Duration::from_millis(4));
    let arrivals = run(&mut link(settings), 1_000, Duration::from_micros(20));
    assert!(arrivals.iter().map(|a| a.1).eq(0..1_000));
    assert!(arrivals.iter().all(|(at, _)| at.nanos().is_multiple_of(4_000_000)));
    let moments: std::collections::BTreeSet<_> = arrivals.iter().map(|a| a.0).collect();
    assert_eq!(moments.len(), 6, "5 to 25 ms");
}
