use limosa_sim::link::Queue;
use limosa_wire::Rate;
use proptest::prelude::*;

use super::*;

/// A packet of `length` bytes with a number in it.
fn packet(number: u32, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length.max(4)];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    bytes
}

fn number(packet: &Packet) -> u32 {
    packet.bytes()[..4].try_into().map(u32::from_be_bytes).unwrap()
}

fn settings(megabits: u64, delay_ms: u64, loss: f64) -> LinkSettings {
    let rate = Rate::from_bits_per_second(megabits * 1_000_000);
    LinkSettings { loss, ..LinkSettings::new(rate, Duration::from_millis(delay_ms)) }
}

/// Everything that is still on the way, with the times it is due.
fn drain(direction: &mut Direction, until: Time) -> Vec<(Time, u32)> {
    let mut out = Vec::new();
    while let Some(now) = direction.next_event().filter(|at| *at <= until) {
        while let Some(packet) = direction.give(now) {
            out.push((now, number(&packet)));
        }
    }
    out
}

const END: Time = Time::from_nanos(u64::MAX / 2);

#[test]
fn a_packet_takes_its_length_at_the_rate_and_the_delay_less_a_step() {
    let mut direction = Direction::new(settings(1000, 50, 0.0), Seed(1));
    for number in 0..3 {
        direction.take(Time::ZERO, Duration::ZERO, &packet(number, 1250));
    }
    let step = direction.step();
    assert_eq!(step, Duration::from_micros(200));
    let delay = Duration::from_millis(50) - step;
    let expected: Vec<_> =
        (0..3).map(|number| (Time::from_micros(10 * u64::from(number + 1)) + delay, number)).collect();
    assert_eq!(drain(&mut direction, END), expected);
}

#[test]
fn fifty_milliseconds_of_packets_find_room_and_the_next_does_not() {
    let mut direction = Direction::new(settings(100, 10, 0.0), Seed(1));
    // 0.1 ms each: 500 wait, one is in transmission.
    for number in 0..600 {
        direction.take(Time::ZERO, Duration::ZERO, &packet(number, 1250));
    }
    assert_eq!(direction.figures().queue_full, 99);
    assert_eq!(direction.figures().queue, Duration::from_micros(50_100));
    assert_eq!(drain(&mut direction, END).len(), 501);
}

#[test]
fn whose_packets_the_full_queue_dropped_is_told() {
    let mut direction = Direction::new(settings(100, 10, 0.0), Seed(1));
    let udp = |number| {
        let mut bytes = packet(number, 1250);
        (bytes[0], bytes[9]) = (0x45, 17);
        bytes
    };
    // Room for 501, of which TCP, or whatever it is, takes 300.
    for number in 0..300 {
        direction.take(Time::ZERO, Duration::ZERO, &packet(number, 1250));
    }
    for number in 300..600 {
        direction.take(Time::ZERO, Duration::ZERO, &udp(number));
    }
    direction.take(Time::ZERO, Duration::ZERO, &packet(600, 1250));
    let figures = direction.figures();
    assert_eq!((figures.entered, figures.queue_full), (601, 100));
    assert_eq!((figures.entered_udp, figures.queue_full_udp), (300, 99));
}

#[test]
fn the_nth_packet_is_lost_in_every_run_however_the_packets_are_spaced() {
    let survivors = |gap: Duration, seed| {
        let mut direction = Direction::new(settings(1000, 5, 0.02), Seed(seed));
        let mut out = Vec::new();
        for number in 0..5000 {
            let now = Time::ZERO + gap * number;
            out.extend(drain(&mut direction, now));
            direction.take(now, Duration::ZERO, &packet(number, 100));
        }
        out.extend(drain(&mut direction, END));
        out.into_iter().map(|(_, number)| number).collect::<Vec<_>>()
    };
    let reference = survivors(Duration::from_micros(10), 1);
    assert!((4850..4950).contains(&reference.len()), "{} of 5000 at 2 % loss", reference.len());
    assert_eq!(survivors(Duration::from_micros(70), 1), reference);
    assert_ne!(survivors(Duration::from_micros(10), 2), reference);
}

#[test]
fn who_is_late_is_counted_at_either_end() {
    let mut direction = Direction::new(settings(1000, 5, 0.0), Seed(1));
    direction.take(Time::ZERO, Duration::ZERO, &packet(0, 100));
    direction.take(Time::ZERO, Duration::from_micros(1500), &packet(1, 100));
    assert_eq!(direction.figures().late, 1);
    let due = direction.next_event().unwrap() + Duration::from_millis(5);
    assert!(direction.give(due + Duration::from_micros(2500)).is_some());
    assert_eq!(direction.figures().late, 2);
    assert!(direction.figures().latest > Duration::from_millis(2));
}

proptest! {
    /// Whatever is sent when: nothing comes early, out of order or twice,
    /// nothing passes faster than the rate or waits longer than the queue
    /// takes, and every packet is accounted for.
    #[test]
    fn the_line_keeps_its_promises(
        sends in prop::collection::vec((0_u64..300, 20_usize..1500), 1..400),
        loss in 0.0_f64..0.3,
        queue_us in 500_u64..20_000,
    ) {
        let rate = 100_000_000;
        let queue = Queue::Time(Duration::from_micros(queue_us));
        let mut direction = Direction::new(LinkSettings { queue, ..settings(100, 10, loss) }, Seed(queue_us));
        let (mut now, mut sent, mut out) = (Time::ZERO, Vec::new(), Vec::new());
        for (number, (gap, length)) in (0..).zip(&sends) {
            now = now + Duration::from_micros(*gap);
            out.extend(drain(&mut direction, now));
            direction.take(now, Duration::ZERO, &packet(number, *length));
            sent.push(now);
        }
        out.extend(drain(&mut direction, END));

        let figures = direction.figures();
        prop_assert_eq!(figures.entered, sends.len() as u64);
        prop_assert_eq!(figures.entered, figures.delivered + figures.lost + figures.queue_full);
        prop_assert_eq!(figures.delivered, out.len() as u64);
        let delay = Duration::from_millis(10) - direction.step();
        let time_for = |length: usize| Duration::from_nanos(length as u64 * 8_000_000_000 / rate);
        // One packet in transmission beside those that wait, and rounding.
        let longest = Duration::from_micros(queue_us) + time_for(1500) * 2;
        for (at, number) in &out {
            let (_, length) = sends[*number as usize];
            let taken = at.since(sent[*number as usize]);
            prop_assert!(taken >= delay + time_for(length), "packet {number} after {taken:?}");
            prop_assert!(taken <= delay + longest, "packet {number} after {taken:?}");
        }
        for pair in out.windows(2) {
            let [(before, one), (after, two)] = pair else { continue };
            prop_assert!(one < two, "{one} before {two}");
            let (_, length) = sends[*two as usize];
            prop_assert!(after.since(*before) + Duration::from_nanos(1) >= time_for(length));
        }
    }
}
