//! Runs rate-control laws over a simulated line and prints what came of it.
//!
//! ```text
//! cargo run -p limosa-sim --release --example rate -- 1gbit,100ms,1% \
//!     --queue 50ms --secs 60 --policy fair --flows 2 --stagger 3s
//! ```
//!
//! Options: `--queue 50ms|4bdp|12000b`, `--secs N`, `--seed N` (or `1-3` for
//! several runs), `--policy fair|high|low|fixed`, `--target RATE`, `--flows N`,
//! `--stagger TIME`, `--longer TIME` (of the round trip, from flow to flow),
//! `--cubic before|after` and `--bbr before|after` (5 s before or after),
//! `--kind cubic|bbr` (TCP alone instead of a policy), `--session BYTES` (the
//! whole transport instead of the law alone), `--burst TIME`, `--at TIME:rate=R|rtt=T|loss=P|blackout=on|blackout=off` (repeatable),
//! `--pause FROM-UNTIL`, `--offset TIME` (receivers' clocks), `--csv FILE`,
//! `--svg FILE`, `--per-flow`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use limosa_sim::outcome::Outcome;
use limosa_sim::scenario::{Kind, parse_time};
use limosa_sim::session::SessionPlan;
use limosa_sim::table::Table;
use limosa_sim::{Change, Direction, FlowPlan, LineSettings, Scenario};
use limosa_transport::rate::Policy;
use limosa_wire::Rate;

type Failure = Box<dyn std::error::Error>;

struct Options {
    scenario: Scenario,
    seeds: std::ops::RangeInclusive<u64>,
    csv: Option<String>,
    svg: Option<String>,
    per_flow: bool,
}

/// What describes the flows, until they can be made.
struct Flows {
    plan: FlowPlan,
    count: u32,
    stagger: Duration,
    longer: Duration,
    rivals: Vec<(Kind, bool)>,
}

fn main() -> ExitCode {
    match options(std::env::args().skip(1)) {
        Ok(options) => run(&options),
        Err(failure) => {
            eprintln!("rate: {failure}");
            ExitCode::from(2)
        }
    }
}

fn options(mut args: impl Iterator<Item = String>) -> Result<Options, Failure> {
    let mut line = args.next().ok_or("which line? For example 1gbit,100ms,1%")?;
    let mut flows =
        Flows { plan: FlowPlan::fair(), count: 1, stagger: Duration::ZERO, longer: Duration::ZERO, rivals: Vec::new() };
    let placeholder = "1gbit,1ms".parse::<LineSettings>()?;
    let mut options =
        Options { scenario: Scenario::new(placeholder), seeds: 1..=1, csv: None, svg: None, per_flow: false };
    while let Some(flag) = args.next() {
        if flag == "--per-flow" {
            options.per_flow = true;
            continue;
        }
        let value = args.next().ok_or_else(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--queue" => line = format!("{line},queue={value}"),
            "--csv" => options.csv = Some(value),
            "--svg" => options.svg = Some(value),
            "--seed" => options.seeds = seeds(&value)?,
            "--secs" => options.scenario.duration = Duration::from_secs_f64(value.parse()?),
            "--at" => options.scenario.changes.extend(change(&value)?),
            _ => flow_option(&mut flows, &flag, &value)?,
        }
    }
    options.scenario.line = line.parse()?;
    place(&mut options.scenario, &flows);
    if options.csv.is_some() || options.svg.is_some() {
        options.scenario.trace = Some(options.scenario.duration / 2000);
    }
    Ok(options)
}

fn flow_option(flows: &mut Flows, flag: &str, value: &str) -> Result<(), Failure> {
    let plan = &mut flows.plan;
    match flag {
        "--flows" => flows.count = value.parse()?,
        "--stagger" => flows.stagger = parse_time(value)?,
        "--longer" => flows.longer = parse_time(value)?,
        "--cubic" => flows.rivals.push((Kind::Cubic, before(value)?)),
        "--bbr" => flows.rivals.push((Kind::Bbr, before(value)?)),
        "--session" => {
            let plan = SessionPlan::upload(value.parse()?).as_lengths();
            flows.plan = FlowPlan { limits: flows.plan.limits, ..FlowPlan::session(plan) };
        }
        "--burst" => plan.sender.burst = parse_time(value)?,
        "--offset" => plan.clock.offset = parse_time(value)?,
        "--target" => plan.limits.target = Some(value.parse::<Rate>()?),
        "--pause" => {
            let (from, until) = value.split_once('-').ok_or("--pause FROM-UNTIL")?;
            *plan = plan.clone().pausing(parse_time(from)?, parse_time(until)?);
        }
        "--policy" | "--kind" => {
            plan.kind = match value {
                "fair" => Kind::Paced(Policy::Fair),
                "high" => Kind::Paced(Policy::High),
                "low" => Kind::Paced(Policy::Low),
                "fixed" => Kind::Paced(Policy::Fixed),
                "cubic" => Kind::Cubic,
                "bbr" => Kind::Bbr,
                _ => return Err(format!("{flag} {value}: no such thing").into()),
            }
        }
        _ => return Err(format!("{flag}: no such option").into()),
    }
    Ok(())
}

fn before(value: &str) -> Result<bool, Failure> {
    match value {
        "before" => Ok(true),
        "after" => Ok(false),
        _ => Err("a rival comes `before` or `after`".into()),
    }
}

fn seeds(value: &str) -> Result<std::ops::RangeInclusive<u64>, Failure> {
    Ok(match value.split_once('-') {
        Some((first, last)) => first.parse()?..=last.parse()?,
        None => value.parse()?..=value.parse()?,
    })
}

/// `TIME:KEY=VALUE`, both ways but for the rate.
fn change(value: &str) -> Result<Vec<(limosa_transport::Time, Change)>, Failure> {
    let (at, what) = value.split_once(':').ok_or("--at TIME:KEY=VALUE")?;
    let (key, value) = what.split_once('=').ok_or("--at TIME:KEY=VALUE")?;
    let change = match key {
        "rate" => Change::Rate(Direction::Forward, value.parse()?),
        "rtt" => Change::Delay(Direction::Both, parse_time(value)? / 2),
        "loss" => Change::Loss(Direction::Both, value.trim_end_matches('%').parse::<f64>()? / 100.0),
        "blackout" => Change::Blackout(Direction::Both, value == "on"),
        _ => return Err(format!("{key} cannot change").into()),
    };
    Ok(vec![(limosa_transport::Time::ZERO + parse_time(at)?, change)])
}

/// Our flows in a row, rivals 5 s before or after the first of them.
fn place(scenario: &mut Scenario, flows: &Flows) {
    let five = Duration::from_secs(5);
    let late = if flows.rivals.iter().any(|(_, before)| *before) { five } else { Duration::ZERO };
    for index in 0..flows.count {
        let longer = flows.longer * index;
        scenario.flows.push(flows.plan.clone().with_longer_rtt(longer).starting(late + flows.stagger * index));
    }
    for (kind, before) in &flows.rivals {
        let start = if *before { Duration::ZERO } else { late + five };
        scenario.flows.push(FlowPlan::new(*kind).starting(start));
    }
}

fn run(options: &Options) -> ExitCode {
    let mut table = Table::default();
    for seed in options.seeds.clone() {
        let scenario = options.scenario.clone().seeded(seed);
        let began = Instant::now();
        let outcome = scenario.run();
        print_speed(seed, &outcome, began.elapsed());
        if options.per_flow {
            print_flows(&outcome);
        }
        if let Err(error) = write_traces(options, seed, &outcome) {
            eprintln!("rate: {error}");
            return ExitCode::FAILURE;
        }
        table.add(format!("seed {seed}"), outcome);
    }
    print!("{table}");
    ExitCode::SUCCESS
}

fn print_speed(seed: u64, outcome: &Outcome, took: Duration) {
    let datagrams = outcome.forward().offered.packets + outcome.reverse.offered.packets;
    let speed = datagrams as f64 / took.as_secs_f64() / 1e6;
    eprintln!("seed {seed}: {datagrams} datagrams in {:.2} s, {speed:.2} million/s", took.as_secs_f64());
}

fn write_traces(options: &Options, seed: u64, outcome: &Outcome) -> std::io::Result<()> {
    if let Some(path) = &options.csv {
        std::fs::write(path, outcome.trace.csv())?;
    }
    if let Some(path) = &options.svg {
        std::fs::write(path, outcome.trace.svg(&format!("seed {seed}")))?;
    }
    Ok(())
}

fn print_flows(outcome: &Outcome) {
    for (index, flow) in outcome.flows.iter().enumerate() {
        println!(
            "       flow {index}: sent {}, own loss {:.2} %, spurious {}",
            flow.sent,
            flow.own_loss() * 100.0,
            flow.spurious,
        );
    }
}
