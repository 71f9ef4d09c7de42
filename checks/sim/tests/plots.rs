//! The pictures in `docs/plots`: rate, delay and queue over time. They are
//! compared with what the simulator draws; after a change that was looked at:
//! `LIMOSA_UPDATE_DOCUMENTS=1 cargo test -p limosa-sim --test plots`.

use std::path::PathBuf;
use std::time::Duration;

use limosa_sim::scenario::Kind;
use limosa_sim::{Change, Direction, FlowPlan, LineSettings, Scenario};
use limosa_transport::rate::Policy;
use limosa_wire::Rate;

/// Points of a picture.
const POINTS: u32 = 240;

fn line(text: &str, seconds: f64) -> Scenario {
    let line: LineSettings = text.parse().expect("the test's line is well formed");
    Scenario::new(line).lasting(Duration::from_secs_f64(seconds))
}

fn late(kind: Kind) -> FlowPlan {
    FlowPlan::new(kind).starting(Duration::from_secs(5))
}

fn mbit(megabits: u64) -> Rate {
    Rate::from_bits_per_second(megabits * 1_000_000)
}

#[track_caller]
fn compare(name: &str, title: &str, scenario: &Scenario) {
    let outcome = scenario.clone().traced(scenario.duration / POINTS).run();
    let drawn = outcome.trace.svg(title);
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/plots").join(format!("{name}.svg"));
    if std::env::var_os("LIMOSA_UPDATE_DOCUMENTS").is_some() {
        std::fs::write(&path, &drawn).expect("the picture is written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(drawn == kept, "{} is not what the simulator draws now", path.display());
}

#[test]
fn start_up() {
    compare(
        "start-up",
        "Start-up: 1 Gbit/s, 100 ms, 1 % lost",
        &line("1gbit,100ms,1%,queue=50ms", 2.0).flow(FlowPlan::fair()),
    );
}

#[test]
fn a_line_that_changes() {
    let forward = Direction::Forward;
    let scenario = line("300mbit,50ms,queue=100ms", 12.0)
        .flow(FlowPlan::fair())
        .at(Duration::from_secs(3), Change::Rate(forward, mbit(100)))
        .at(Duration::from_secs(6), Change::Rate(forward, mbit(300)))
        .at(Duration::from_secs(9), Change::Blackout(Direction::Both, true))
        .at(Duration::from_secs(10), Change::Blackout(Direction::Both, false));
    compare("changes", "300 Mbit/s, 50 ms: 100 Mbit/s from 3 s to 6 s, dark from 9 s to 10 s", &scenario);
}

#[test]
fn flows_that_join() {
    let scenario = line("200mbit,50ms,queue=100ms", 24.0).flows(4, Duration::from_secs(3), &FlowPlan::fair());
    compare("joining", "Four flows, one each 3 s: 200 Mbit/s, 50 ms, 100 ms of buffer", &scenario);
}

#[test]
fn rivals_and_policies() {
    let fair = Kind::Paced(Policy::Fair);
    for (name, title, first, second) in [
        ("cubic", "CUBIC joins fair", fair, Kind::Cubic),
        ("bbr", "BBR (version 1) joins fair", fair, Kind::Bbr),
        ("high", "high joins fair", fair, Kind::Paced(Policy::High)),
        ("low", "fair joins low", Kind::Paced(Policy::Low), fair),
    ] {
        let scenario = line("200mbit,50ms,queue=1bdp", 30.0).flow(FlowPlan::new(first)).flow(late(second));
        compare(name, &format!("{title} at 5 s: 200 Mbit/s, 50 ms, 1 BDP of buffer"), &scenario);
    }
}
