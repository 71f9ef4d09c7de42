//! How evenly flows of one kind share a line, started together and joining
//! late: Jain's index from thirty round trips after the last of them joined.
//!
//! ```text
//! cargo run -p limosa-sim --release --example fairness [-- SEED]
//! ```
//!
//! Prints a table and marks what is below 0.9. The runs go on for as long after
//! the thirty round trips as they had lasted before.

use std::error::Error;
use std::time::Duration;

use limosa_sim::{FlowPlan, LineSettings, Scenario};

/// Least index.
const EVEN: f64 = 0.9;
/// Round trips that flows have to find their shares.
const TRIPS: u32 = 30;
/// The shortest run.
const SHORTEST: Duration = Duration::from_millis(1200);
/// How many flows, and how far apart they start.
const FLOWS: [(u32, Duration); 6] = [
    (2, Duration::from_millis(10)),
    (2, Duration::from_secs(1)),
    (2, Duration::from_secs(3)),
    (4, Duration::from_millis(10)),
    (4, Duration::from_secs(1)),
    (4, Duration::from_secs(3)),
];

fn main() -> Result<(), Box<dyn Error>> {
    let seed = std::env::args().nth(1).map_or(Ok(1), |seed| seed.parse::<u64>())?;
    println!("| line | queue | 2 together | 2, 1 s | 2, 3 s | 4 together | 4, 1 s | 4, 3 s |");
    println!("|---|---|---|---|---|---|---|---|");
    let (mut cells, mut uneven) = (0, 0);
    for line in lines() {
        let settings: LineSettings = line.parse()?;
        let mut row = line.replacen(",queue=", " | ", 1).replace(',', ", ");
        for (count, apart) in FLOWS {
            let index = jain(&settings, count, apart, seed);
            let mark = if index < EVEN { "**" } else { "" };
            row += &format!(" | {mark}{index:.2}{mark}");
            cells += 1;
            uneven += u32::from(index < EVEN);
        }
        println!("| {row} |");
    }
    println!("\n{uneven} of {cells} cells below {EVEN}");
    Ok(())
}

fn lines() -> Vec<String> {
    let mut lines = Vec::new();
    for rate in ["100mbit", "1gbit"] {
        for rtt in [10, 50, 100, 300] {
            for loss in ["0%", "1%"] {
                for queue in [50, 200] {
                    lines.push(format!("{rate},{rtt}ms,{loss},queue={queue}ms"));
                }
            }
        }
    }
    lines
}

fn jain(line: &LineSettings, count: u32, apart: Duration, seed: u64) -> f64 {
    let settled = apart * (count - 1) + TRIPS * line.rtt();
    let scenario = Scenario::new(line.clone()).lasting((2 * settled).max(SHORTEST)).seeded(seed);
    let outcome = scenario.flows(count, apart, &FlowPlan::fair()).run();
    outcome.jain(&outcome.second_half())
}
