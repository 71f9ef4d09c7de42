use super::*;
use crate::Table;
use crate::link::{Jitter, LossPlace};

#[test]
fn lines_read_as_text() {
    let line: LineSettings = "1gbit, 100ms, 1%".parse().unwrap();
    let gigabit = Rate::from_bits_per_second(1_000_000_000);
    assert_eq!(line, LineSettings::new(gigabit, Duration::from_millis(100)).with_loss(0.01));
    assert_eq!(line.rtt(), Duration::from_millis(100));

    let line: LineSettings =
        "155mbit,0.3s,queue=4bdp,loss=5%,back=1mbit,backloss=0.1,jitter=500us,mtu=1420".parse().unwrap();
    assert_eq!(line.forward.queue, Queue::Time(Duration::from_millis(1200)));
    assert_eq!((line.forward.loss, line.reverse.loss), (0.05, 0.1));
    assert_eq!(line.reverse.rate, Rate::from_bits_per_second(1_000_000));
    assert_eq!(line.reverse.jitter, Some(Jitter::PerPacket(Duration::from_micros(500))));
    assert_eq!((line.forward.mtu, line.forward.loss_place), (1420, LossPlace::AfterQueue));

    let line: LineSettings =
        "1g,1ms,bursts=5%:8,reorder=1%:2ms,dup=2%,corrupt=0.1%,queue=12000b,stalls=10%:5ms".parse().unwrap();
    assert!((line.forward.total_loss() - 0.05).abs() < 1e-9);
    assert_eq!(line.forward.stalls.map(|stalls| stalls.apart), Some(Duration::from_millis(45)));
    assert_eq!(line.forward.queue, Queue::Bytes(12_000));
}

#[test]
fn what_is_no_line_is_refused_by_name() {
    for (text, complaint) in [
        ("", "`` is not a rate, such as 300mbit"),
        ("1gbit", "`1gbit` is not a line: write RATE,RTT[,LOSS][,KEY=VALUE]…, such as 1gbit,100ms,1%"),
        ("1gbit,100", "`100` is not a time, such as 100ms"),
        ("1gbit,-1ms", "`-1` is not a number"),
        ("1gbit,1ms,150%", "`150%` is not a share, such as 1%"),
        ("1gbit,1ms,colour=red", "`colour` is not a property of a line"),
        ("1gbit,1ms,bursts=5%", "`5%` is not LOSS:MEAN"),
        ("1gbit,1ms,stalls=5%:0ms", "`0ms` is not a time from 1us on"),
        ("1gbit,1e300s", "`1e300s` is not a time, such as 100ms"),
    ] {
        assert_eq!(text.parse::<LineSettings>().unwrap_err().to_string(), complaint, "{text}");
    }
}

fn two_flows(seed: u64) -> Scenario {
    let line = "100mbit,20ms,1%,jitter=1ms,bursts=1%:4,dup=1%,reorder=1%:2ms".parse().unwrap();
    Scenario::new(line)
        .flow(FlowPlan::fixed(Rate::from_bits_per_second(50_000_000)))
        .flow(FlowPlan::new(Kind::Cubic))
        .lasting(Duration::from_secs(3))
        .seeded(seed)
}

#[test]
fn a_run_is_a_function_of_its_seed() {
    let series = |seed| {
        let outcome = two_flows(seed).run();
        (outcome.flows[0].delivered.clone(), outcome.flows[1].delivered.clone(), outcome.forward().clone())
    };
    assert_eq!(series(1), series(1));
    assert_ne!(series(1), series(2));
}

#[test]
fn outcomes_tell_shares_times_and_fairness() {
    let rate = Rate::from_bits_per_second(100_000_000);
    let half = FlowPlan::fixed(Rate::from_bits_per_second(50_000_000));
    let seconds = Duration::from_secs;
    let outcome = Scenario::new(LineSettings::new(rate, Duration::from_millis(20)))
        .flow(half.clone())
        .flow(half.starting(seconds(2)))
        .lasting(seconds(10))
        .run();
    let share = outcome.share(0, &outcome.second_half());
    assert!((share - 0.5).abs() < 0.005, "{share}");
    let jain = |from, until| outcome.jain(&(seconds(from)..seconds(until)));
    assert!(jain(5, 10) > 0.999);
    assert!((jain(0, 2) - 0.5).abs() < 0.001);
    // Both together reach the line only when the second has begun.
    let full = outcome.time_to(0.9).expect("it is reached").as_secs_f64();
    assert!((2.0..2.1).contains(&full), "{full}");
    assert!(outcome.time_to(1.1).is_none());
}

#[test]
fn possible_goodput_follows_the_line() {
    let seconds = Duration::from_secs;
    let line = LineSettings::new(Rate::from_bits_per_second(80_000_000), Duration::from_millis(20));
    let outcome = Scenario::new(line)
        .lasting(seconds(8))
        .at(seconds(2), Change::Loss(Direction::Both, 0.5))
        .at(seconds(4), Change::Rate(Direction::Forward, Rate::from_bits_per_second(40_000_000)))
        .at(seconds(6), Change::Blackout(Direction::Both, true))
        .run();
    let possible = outcome.possible.last().copied().unwrap();
    assert!((possible / 35e6 - 1.0).abs() < 0.01, "{possible}");
}

#[test]
fn a_run_has_a_table_rows_and_a_picture() {
    let scenario = two_flows(1).traced(Duration::from_millis(100));
    let outcome = scenario.run();
    insta::assert_snapshot!("csv", outcome.trace.csv());
    insta::assert_snapshot!("svg", outcome.trace.svg("fixed at half the line beside CUBIC"));
    let mut table = Table::default();
    table.add("fixed, CUBIC", outcome);
    insta::assert_snapshot!("table", table);
}
