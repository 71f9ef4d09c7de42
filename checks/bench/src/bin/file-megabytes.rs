//! `file-megabytes DIRECTORY [LOST]`: moves the file `source` of a directory to
//! `in/source` there, both ends on one thread and in virtual time, for tools that
//! count what that takes. Each `LOST`-th datagram is lost.

use std::path::Path;
use std::process::ExitCode;

use limosa_bench::pipeline::Pipeline;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let (directory, lost) = (words.next(), words.next().map(|word| word.parse::<u64>()).transpose());
    let (Some(directory), Ok(lost)) = (directory, lost) else {
        eprintln!("file-megabytes DIRECTORY [LOST]");
        return ExitCode::from(2);
    };
    let moved = Pipeline::new(Path::new(&directory), lost.unwrap_or(0)).and_then(|mut pipeline| {
        pipeline.carry(u64::MAX)?;
        Ok(pipeline.calls())
    });
    match moved {
        Ok(calls) => {
            println!("{} {} {}", calls.sends, calls.datagrams, calls.returns);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("file-megabytes: {error}");
            ExitCode::FAILURE
        }
    }
}
