//! Prints how `fair` shares a line: beside one CUBIC or BBR flow, with several
//! of its kind, and with one of ten times its round trip. Medians of five runs
//! of 120 s; what misses its bar is bold.
//!
//! ```text
//! cargo run -p limosa-sim --release --example rivals [cubic|bbr|alike] [LINE]...
//! ```
//!
//! A LINE such as `100mbit,10ms,queue=1bdp` is asked for instead of the usual ones.

use std::error::Error;
use std::ops::RangeInclusive;
use std::time::Duration;

use limosa_sim::outcome::Outcome;
use limosa_sim::scenario::Kind;
use limosa_sim::{FlowPlan, LineSettings, Scenario};

const RUN: Duration = Duration::from_secs(120);
const SEEDS: RangeInclusive<u64> = 1..=5;
/// The lines beside other kinds, and their queues.
const LINES: [&str; 2] = ["200mbit,50ms", "1gbit,20ms"];
const QUEUES: [&str; 4] = ["0.5bdp", "1bdp", "2bdp", "4bdp"];
/// What joins late does so after so long.
const LATE: Duration = Duration::from_secs(5);
/// The bars: what `fair` takes of the line, what it leaves of half of what the
/// other has alone, and Jain's index at equal and at unequal round trips.
const TAKEN: f64 = 0.35;
const LEFT: f64 = 0.8;
const EVEN: f64 = 0.95;
const EVEN_AT_TEN_TO_ONE: f64 = 0.85;

fn main() -> Result<(), Box<dyn Error>> {
    let wanted = std::env::args().nth(1);
    let mut lines: Vec<String> = std::env::args().skip(2).collect();
    if lines.is_empty() {
        lines = LINES.iter().flat_map(|line| QUEUES.map(|queue| format!("{line},queue={queue}"))).collect();
    }
    let wants = |name: &str| wanted.as_deref().is_none_or(|wanted| wanted == name);
    for (name, kind) in [("cubic", Kind::Cubic), ("bbr", Kind::Bbr)] {
        if wants(name) {
            beside(name, kind, &lines)?;
        }
    }
    if wants("alike") {
        alike()?;
    }
    Ok(())
}

fn beside(name: &str, kind: Kind, lines: &[String]) -> Result<(), Box<dyn Error>> {
    println!("| beside {name} | who is first | fair has | {name} has | of half of what it has alone | own loss |");
    println!("|---|---|---|---|---|---|");
    for text in lines {
        let line: LineSettings = text.parse()?;
        let text = text.replace(",queue=", ", ");
        let alone = middle(runs(&line, &[FlowPlan::new(kind)]).iter().map(|o| share(o, 0)).collect());
        for late in [0, 1] {
            let mut plans = [FlowPlan::fair(), FlowPlan::new(kind)];
            plans[late] = plans[late].clone().starting(LATE);
            let outcomes = runs(&line, &plans);
            let median = |figure: fn(&Outcome) -> f64| middle(outcomes.iter().map(figure).collect());
            let (ours, theirs) = (median(|o| share(o, 0)), median(|o| share(o, 1)));
            let loss = median(|o| o.flows[0].own_loss());
            let left = theirs / (alone / 2.0);
            println!(
                "| {text} | {} | {} | {:.0} % | {} | {:.2} % |",
                if late == 0 { name } else { "fair" },
                barred(ours, TAKEN),
                theirs * 100.0,
                barred(left, LEFT),
                loss * 100.0,
            );
        }
    }
    println!();
    Ok(())
}

fn alike() -> Result<(), Box<dyn Error>> {
    println!("| flows of policy fair | one each | Jain | worst of five | queue median |\n|---|---|---|---|---|");
    for text in ["1gbit,50ms", "200mbit,50ms", "1gbit,10ms"] {
        let line: LineSettings = format!("{text},queue=100ms").parse()?;
        for count in [2, 4, 8, 16] {
            for apart in [10, 1000] {
                let apart = Duration::from_millis(apart);
                let plans: Vec<_> = (0..count).map(|index| FlowPlan::fair().starting(apart * index)).collect();
                print_even(&format!("{count}, {text}"), apart, &line, &plans, EVEN);
            }
        }
    }
    for (text, longer) in [("1gbit,10ms", 90), ("200mbit,20ms", 180)] {
        let line: LineSettings = format!("{text},queue=100ms").parse()?;
        let far = FlowPlan::fair().with_longer_rtt(Duration::from_millis(longer));
        for plans in [[FlowPlan::fair(), far.clone().starting(LATE)], [far.clone(), FlowPlan::fair().starting(LATE)]] {
            print_even(&format!("2, {text}, 10 to 1"), LATE, &line, &plans, EVEN_AT_TEN_TO_ONE);
        }
    }
    Ok(())
}

fn print_even(name: &str, apart: Duration, line: &LineSettings, plans: &[FlowPlan], bar: f64) {
    let outcomes = runs(line, plans);
    let mut even: Vec<f64> = outcomes.iter().map(|outcome| outcome.jain(&outcome.second_half())).collect();
    even.sort_by(f64::total_cmp);
    let queue = middle(outcomes.iter().map(|outcome| outcome.standing_queue(0.5).as_secs_f64() * 1e3).collect());
    let (jain, worst) = (even[even.len() / 2], even[0]);
    let mark = if jain < bar { "**" } else { "" };
    println!("| {name} | {} s | {mark}{jain:.2}{mark} | {worst:.2} | {queue:.1} ms |", apart.as_secs_f64());
}

fn runs(line: &LineSettings, plans: &[FlowPlan]) -> Vec<Outcome> {
    let scenario =
        plans.iter().fold(Scenario::new(line.clone()).lasting(RUN), |scenario, plan| scenario.flow(plan.clone()));
    SEEDS.map(|seed| scenario.clone().seeded(seed).run()).collect()
}

fn middle(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Part of the line in the last three quarters of a run.
fn share(outcome: &Outcome, flow: usize) -> f64 {
    outcome.share(flow, &(RUN / 4..RUN))
}

fn barred(figure: f64, bar: f64) -> String {
    let mark = if figure < bar { "**" } else { "" };
    format!("{mark}{:.0} %{mark}", figure * 100.0)
}
