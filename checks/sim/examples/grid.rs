//! Runs the grid of lines and prints it as a Markdown table.
//!
//! ```text
//! cargo run -p limosa-sim --release --example grid            # every cell
//! cargo run -p limosa-sim --release --example grid -- --short # as the tests do
//! ```
//!
//! `--law` runs the rate-control law alone, without the transport above it;
//! `--rate R`, `--rtt T`, `--loss P` keep the cells with that value alone;
//! `--cell RATE,RTT,LOSS` runs that line instead;
//! `--queue 5ms|4bdp` sets another queue than 50 ms; `--seed N`. Ends with the
//! number of cells that miss a bar, and fails if there are any.

use std::process::ExitCode;
use std::time::Duration;

use limosa_sim::grid::{self, Cell, CellResult, Extent, Sender};
use limosa_sim::link::Queue;
use limosa_sim::scenario::parse_time;
use limosa_transport::rate::Policy;
use limosa_wire::Rate;

/// The bars are for lines that lose at most so much.
const BARRED: f64 = 0.1;

struct Options {
    cells: Vec<Cell>,
    extent: Extent,
    sender: Sender,
    seed: u64,
}

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("grid: {error}");
            return ExitCode::from(2);
        }
    };
    println!("{}", CellResult::HEAD);
    let mut missed = 0;
    for cell in &options.cells {
        let result = cell.run(options.sender, options.extent, options.seed);
        println!("{result}");
        if let Some(bar) = result.missed(Duration::ZERO).filter(|_| cell.loss <= BARRED) {
            eprintln!("missed: {bar}");
            missed += 1;
        }
    }
    println!("{missed} cells with up to 10 % loss miss a bar");
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn options(mut args: impl Iterator<Item = String>) -> Result<Options, Box<dyn std::error::Error>> {
    let fair = Policy::Fair;
    let mut options = Options { cells: grid::full(), extent: Extent::FULL, sender: Sender::Session(fair), seed: 1 };
    while let Some(flag) = args.next() {
        match flag.as_str() {
            "--short" => (options.cells, options.extent) = (grid::short(), Extent::SHORT),
            "--law" => options.sender = Sender::Law(fair),
            _ => {
                let value = args.next().ok_or_else(|| format!("{flag} needs a value"))?;
                narrow(&mut options, &flag, &value)?;
            }
        }
    }
    Ok(options)
}

fn narrow(options: &mut Options, flag: &str, value: &str) -> Result<(), Box<dyn std::error::Error>> {
    match flag {
        "--seed" => options.seed = value.parse()?,
        "--rate" => {
            let rate: Rate = value.parse()?;
            options.cells.retain(|cell| cell.rate == rate);
        }
        "--rtt" => {
            let rtt = parse_time(value)?;
            options.cells.retain(|cell| cell.rtt == rtt);
        }
        "--loss" => {
            let loss = value.trim_end_matches('%').parse::<f64>()? / 100.0;
            options.cells.retain(|cell| cell.loss == loss);
        }
        "--cell" => {
            let [rate, rtt, loss] = value.split(',').collect::<Vec<_>>()[..] else {
                return Err(format!("{value} is not RATE,RTT,LOSS").into());
            };
            let loss = loss.trim_end_matches('%').parse::<f64>()? / 100.0;
            options.cells = vec![Cell::new(rate.parse()?, parse_time(rtt)?, loss)];
        }
        "--queue" => {
            for cell in &mut options.cells {
                cell.queue = Queue::Time(queue(value, cell.rtt)?);
            }
        }
        _ => return Err(format!("{flag}: no such option").into()),
    }
    Ok(())
}

fn queue(value: &str, rtt: Duration) -> Result<Duration, Box<dyn std::error::Error>> {
    match value.strip_suffix("bdp") {
        Some(times) => Ok(Duration::try_from_secs_f64(rtt.as_secs_f64() * times.parse::<f64>()?)?),
        None => Ok(parse_time(value)?),
    }
}
