use std::sync::{Arc, Mutex};

use limosa_transport::Time;
use limosa_transport::rate::{Allowance, PathReport, Policy, RateControl, RateLimits, RateStatistics, Sent};
use limosa_wire::PacketNumber;

use super::*;
use crate::line::{Line, Side};
use crate::link::{Jitter, Queue, Reordering};
use crate::network::{FlowSettings, Network};
use crate::random::Seed;
use crate::scenario::{LineSettings, Party};

/// A law that sends at one pace, asks for a train now and then, and checks and
/// counts all it is told.
#[derive(Debug)]
struct Checker {
    pace: Rate,
    seen: Arc<Mutex<Seen>>,
    until_train: u32,
}

#[derive(Debug, Default)]
struct Seen {
    sent: u64,
    limited: u64,
    reports: u64,
    silences: u64,
    trains: Vec<(u64, u64)>,
    stamps: Vec<u64>,
    last: Option<(u64, u64, Time)>,
    in_flight: u64,
    largest_in_flight: u64,
}

impl RateControl for Checker {
    fn on_path(&mut self, _: Time, _: Option<Duration>) {}

    fn on_sent(&mut self, sent: Sent, limited: bool) {
        let mut seen = self.seen.lock().unwrap();
        assert_eq!(sent.number.get(), seen.sent);
        assert_eq!(sent.sent_bytes, (seen.sent + 1) * 1500);
        seen.sent += 1;
        seen.limited += u64::from(limited);
    }

    fn on_report(&mut self, report: &PathReport<'_>) {
        let mut seen = self.seen.lock().unwrap();
        seen.reports += 1;
        let largest = report.largest.sent.number.get();
        if let Some((number, delivered, now)) = seen.last {
            assert!(largest >= number && report.delivered_packets >= delivered && report.now >= now);
        }
        seen.last = Some((largest, report.delivered_packets, report.now));
        assert_eq!(report.delivered_bytes, report.delivered_packets * 1500);
        for stamp in report.stamps {
            let number = stamp.sent.number.get();
            assert!(seen.stamps.last().is_none_or(|last| *last < number));
            seen.stamps.push(number);
        }
        seen.in_flight = report.in_flight;
        seen.largest_in_flight = seen.largest_in_flight.max(report.in_flight);
    }

    fn on_silence(&mut self, _: Time) {
        self.seen.lock().unwrap().silences += 1;
    }

    fn set_limits(&mut self, _: Time, _: RateLimits) {}

    fn follow(&mut self, _: Policy) -> bool {
        false
    }

    fn allowance(&mut self, _: Time) -> Allowance {
        self.until_train = self.until_train.checked_sub(1).unwrap_or(20);
        let train = if self.until_train == 0 { 16 } else { 0 };
        Allowance { pace: self.pace, in_flight: u64::MAX / 2, train }
    }

    fn on_train_sent(&mut self, first: PacketNumber, last: PacketNumber) {
        self.seen.lock().unwrap().trains.push((first.get(), last.get()));
    }

    fn statistics(&self) -> RateStatistics {
        RateStatistics {
            phase: "checker",
            capacity: self.pace,
            base_rtt: Duration::ZERO,
            queue: Duration::ZERO,
            baseline_loss: 0.0,
        }
    }
}

const PACE: Rate = Rate::from_bits_per_second(90_000_000);

/// 100 Mbit/s, 40 ms: reports every 5 ms.
fn line() -> LineSettings {
    LineSettings::new(Rate::from_bits_per_second(100_000_000), Duration::from_millis(40))
}

fn network(line: &LineSettings, settings: SenderSettings) -> (Network<Party>, Arc<Mutex<Seen>>) {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let law = Checker { pace: PACE, seen: Arc::clone(&seen), until_train: 5 };
    let settings = SenderSettings { known_rtt: Some(line.rtt()), ..settings };
    let near = Party::PacedSender(Box::new(Sender::new(Box::new(law), settings)));
    let far = Party::PacedReceiver(Box::new(Receiver::new(Clock { offset: Duration::from_secs(77), drift_ppm: 50.0 })));
    let mut network = Network::new(Line::new(line.forward.clone(), line.reverse.clone(), Seed(3)));
    network.add_flow(near, far, FlowSettings::default());
    (network, seen)
}

fn at(seconds: f64) -> Time {
    Time::ZERO + Duration::from_secs_f64(seconds)
}

fn sender(network: &Network<Party>) -> &Sender {
    match network.endpoint(0, Side::Near) {
        Party::PacedSender(sender) => sender,
        other => panic!("{other:?} at the near side"),
    }
}

fn receiver(network: &Network<Party>) -> &Receiver {
    match network.endpoint(0, Side::Far) {
        Party::PacedReceiver(receiver) => receiver,
        other => panic!("{other:?} at the far side"),
    }
}

#[test]
fn packets_leave_at_the_pace_in_bursts_or_one_by_one() {
    for burst in [Duration::ZERO, Duration::from_micros(250), Duration::from_millis(2)] {
        let (mut network, seen) = network(&line(), SenderSettings { burst, ..SenderSettings::default() });
        network.run_until(at(2.0));
        let expected = 2.0 * 90e6 / 8.0 / 1500.0;
        let sent = seen.lock().unwrap().sent as f64;
        assert!((sent / expected - 1.0).abs() < 0.01, "{sent} for {expected}");
    }
}

#[test]
fn every_packet_is_delivered_lost_or_in_flight() {
    let with = |set: &dyn Fn(&mut LineSettings)| {
        let mut line = line();
        set(&mut line);
        line
    };
    let lines = [
        line(),
        line().with_loss(0.1),
        line().with_loss(0.3),
        with(&|l| l.forward.queue = Queue::Bytes(3000)),
        with(&|l| l.forward.jitter = Some(Jitter::PerPacket(Duration::from_micros(500)))),
        with(&|l| l.forward.reordering = Some(Reordering { share: 0.02, by: Duration::from_millis(3) })),
        with(&|l| l.forward.duplication = 0.05),
        with(&|l| l.reverse.loss = 0.5),
    ];
    for line in lines {
        let (mut network, seen) = network(&line, SenderSettings::default());
        network.run_until(at(5.0));
        let seen = seen.lock().unwrap();
        let (_, delivered, _) = seen.last.expect("reports came");
        let known = delivered + sender(&network).lost();
        // What left since the last report that came.
        let open = (seen.in_flight / 1500) as i64 - (seen.sent - known) as i64;
        assert!(open.abs() <= 300, "{line:?}: {open}");
        let round_trip = 90e6 / 8.0 * 0.055;
        assert!((seen.in_flight as f64) < round_trip * 1.3, "{line:?}: {}", seen.in_flight);
        assert!(delivered <= receiver(&network).delivered_packets());
    }
}

#[test]
fn reordering_raises_the_threshold_instead_of_the_redundancy() {
    let mut line = line();
    line.forward.reordering = Some(Reordering { share: 0.02, by: Duration::from_millis(3) });
    let (mut network, seen) = network(&line, SenderSettings::default());
    network.run_until(at(5.0));
    let share = sender(&network).spurious() as f64 / seen.lock().unwrap().sent as f64;
    assert!(share < 0.001, "{share}");
}

#[test]
fn stamps_come_several_a_report_and_at_both_ends_of_trains() {
    let (mut network, seen) = network(&line().with_loss(0.05), SenderSettings::default());
    network.run_until(at(3.0));
    let seen = seen.lock().unwrap();
    assert!(seen.stamps.len() as u64 > 3 * seen.reports, "{} in {}", seen.stamps.len(), seen.reports);
    let stamped = |number: &u64| seen.stamps.binary_search(number).is_ok();
    let done: Vec<_> = seen.trains.iter().filter(|(_, last)| *last + 2000 < seen.sent).collect();
    assert!(done.len() > 20);
    assert!(done.iter().all(|(first, last)| last - first == 15));
    // Five percent of either end are lost.
    let whole = done.iter().filter(|(first, last)| stamped(first) && stamped(last)).count();
    assert!(whole as f64 > 0.8 * done.len() as f64, "{whole} of {}", done.len());
}

#[test]
fn reports_come_at_the_interval_and_lost_ones_cost_nothing() {
    let (mut network, seen) = network(&line(), SenderSettings::default());
    network.run_until(at(4.0));
    let reports = seen.lock().unwrap().reports;
    assert!((770..=800).contains(&reports), "{reports}");

    let mut line = line();
    line.reverse.loss = 0.5;
    line.forward.loss = 0.1;
    let (mut network, _) = self::network(&line, SenderSettings::default());
    network.run_until(at(4.0));
    let truly_lost = network.line().link(Side::Near).counters().lost.packets;
    let known = sender(&network).lost();
    assert!(known <= truly_lost && known + 120 > truly_lost, "{known} of {truly_lost}");
    assert_eq!(sender(&network).spurious(), 0);
}

#[test]
fn silence_stops_the_flow_but_for_probes_and_loses_no_account() {
    let (mut network, seen) = network(&line(), SenderSettings::default());
    let black = |blackout| {
        move |now, line: &mut Line<crate::Datagram>| {
            for side in [Side::Near, Side::Far] {
                line.link_mut(side).change(now, |settings| settings.blackout = blackout);
            }
        }
    };
    network.at(at(1.0), black(true));
    network.at(at(6.0), black(false));
    network.run_until(at(1.5));
    let at_silence = seen.lock().unwrap().sent;
    network.run_until(at(6.0));
    assert_eq!(seen.lock().unwrap().silences, 1);
    let probes = seen.lock().unwrap().sent - at_silence;
    assert!((80..=92).contains(&probes), "{probes}");
    network.run_until(at(8.0));
    let seen = seen.lock().unwrap();
    let rate = (receiver(&network).delivered_packets() * 1500 * 8) as f64 / 2.9;
    assert!(rate > 85e6, "{rate}");
    assert!((seen.in_flight as f64) < 90e6 / 8.0 * 0.06, "{}", seen.in_flight);
}

#[test]
fn a_pause_sends_nothing_and_is_marked_as_the_applications() {
    let settings = SenderSettings { pauses: vec![(at(1.0), at(2.0))], ..SenderSettings::default() };
    let (mut network, seen) = network(&line(), settings);
    network.run_until(at(1.0));
    let before = seen.lock().unwrap().sent;
    network.run_until(at(1.9));
    assert_eq!(seen.lock().unwrap().sent, before);
    network.run_until(at(3.0));
    let seen = seen.lock().unwrap();
    assert_eq!((seen.limited, seen.silences), (1, 0));
    assert!(seen.sent > before + 7_000);
}

#[test]
fn long_reports_are_cut_into_slices() {
    let mut line = LineSettings::new(Rate::from_bits_per_second(10_000_000_000), Duration::from_millis(400));
    line.forward.loss = 0.3;
    let (mut network, _) = network(&line, SenderSettings::default());
    network.run_until(at(0.5));
    let law = Checker { pace: Rate::from_bits_per_second(9_000_000_000), seen: Arc::default(), until_train: 5 };
    let seen = Arc::clone(&law.seen);
    let settings = SenderSettings { known_rtt: Some(line.rtt()), ..SenderSettings::default() };
    let near = Party::PacedSender(Box::new(Sender::new(Box::new(law), settings)));
    let far = Party::PacedReceiver(Box::new(Receiver::new(Clock::default())));
    let flow = network.add_flow(near, far, FlowSettings { start: at(0.5), ..FlowSettings::default() });
    network.run_until(at(2.5));
    assert_eq!(network.line().link(Side::Far).counters().too_long.packets, 0);
    let Party::PacedSender(sender) = network.endpoint(flow, Side::Near) else { panic!("not a sender") };
    let seen = seen.lock().unwrap();
    let (_, delivered, _) = seen.last.expect("reports came");
    let known = (delivered + sender.lost()) as f64;
    assert!(known > 0.7 * seen.sent as f64 && sender.spurious() == 0, "{known} of {}", seen.sent);
}
