//! Prints how soon a session finds the end of its line, in round trips of 5 ms
//! at least, and what it loses by its own doing meanwhile, in bandwidth-delay
//! products: with queues of 50 and 5 ms, from nothing and told the rate. Before
//! that, how long a file of 10 MB takes over 100 ms, and what is lost where the
//! rate that is given is more than the line's.
//!
//! ```text
//! cargo run -p limosa-sim --release --example startup [SEED [RATE [RTT]]]
//! ```
//!
//! A rate, and a round trip in milliseconds, confine it to cells of that kind.

use std::error::Error;
use std::time::Duration;

use limosa_sim::job::file::SingleFile;
use limosa_sim::startup::Start;
use limosa_wire::Rate;

const FILE: u64 = 10_000_000;
const FILE_RTT: Duration = Duration::from_millis(100);
/// Runs of each file.
const RUNS: u64 = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let seed = arguments.first().map_or(Ok(1), |seed| seed.parse::<u64>())?;
    if arguments.len() < 2 {
        files(seed)?;
        overstated(seed)?;
    }
    let wanted = |at: usize, text: &str| arguments.get(at).is_none_or(|wanted| wanted == text);
    println!("\n{}", Start::HEAD);
    for rate in ["100mbit", "1gbit", "10gbit"].into_iter().filter(|rate| wanted(1, rate)) {
        for rtt in [1, 10, 100, 300, 1000].into_iter().filter(|rtt| wanted(2, &rtt.to_string())) {
            for percent in [0.0, 10.0, 30.0] {
                let rate: Rate = rate.parse()?;
                println!("{}", Start::new(rate, Duration::from_millis(rtt), percent).row(seed));
            }
        }
    }
    Ok(())
}

/// Own losses where so many times the line's rate is given, in a queue of 50 ms.
fn overstated(seed: u64) -> Result<(), Box<dyn Error>> {
    println!("\n| rate | RTT | told 1 x | 2 x | 4 x | 10 x |\n|---|---|---|---|---|---|");
    for rate in ["100mbit", "1gbit"] {
        for rtt in [1, 10, 100] {
            let start = Start::new(rate.parse()?, Duration::from_millis(rtt), 0.0);
            let cells =
                [1.0, 2.0, 4.0, 10.0].map(|factor| format!("{:.2} BDP", start.told_times(factor).run(seed).own_loss));
            println!("| {} | {rtt} ms | {} |", start.rate, cells.join(" | "));
        }
    }
    Ok(())
}

/// First data datagram to verified end, in round trips beyond the line's time.
fn files(seed: u64) -> Result<(), Box<dyn Error>> {
    println!("| rate | loss | 10 MB over 100 ms after | round trips beyond the line's time |\n|---|---|---|---|");
    for rate in ["100mbit", "1gbit"] {
        for percent in [0.0, 1.0] {
            let file = SingleFile { size: FILE, rate: rate.parse()?, rtt: FILE_RTT, loss: percent / 100.0 };
            let runs: Result<Vec<_>, _> = (seed..seed + RUNS).map(|seed| file.run(seed)).collect();
            let took: Vec<Duration> = runs?.into_iter().flatten().collect();
            let times: Vec<String> = took.iter().map(|time| format!("{:.2}", time.as_secs_f64())).collect();
            let beyond =
                |time: &Duration| (time.as_secs_f64() - file.line_time().as_secs_f64()) / FILE_RTT.as_secs_f64();
            let trips: Vec<String> = took.iter().map(|time| format!("{:.1}", beyond(time))).collect();
            println!("| {} | {percent:.1} % | {} s | {} |", file.rate, times.join(", "), trips.join(", "));
        }
    }
    Ok(())
}
