//! `core-datagrams COUNT [LOST]`: carries so many datagrams through the
//! protocol core, for tools that count what that takes. Each `LOST`-th is lost.

use std::process::ExitCode;

use limosa_bench::protocol::Core;

fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).map(|word| word.parse::<u64>());
    let (Some(Ok(count)), Ok(lost)) = (numbers.next(), numbers.next().transpose()) else {
        eprintln!("core-datagrams COUNT [LOST]");
        return ExitCode::from(2);
    };
    let mut core = Core::new(lost.unwrap_or(0));
    core.carry(count);
    println!("{count} datagrams at {:.0} Mbit/s", core.rate() / 1e6);
    ExitCode::SUCCESS
}
