//! The `limosa` program.

use std::process::ExitCode;

use clap::Parser;
use limosa_cli::arguments::Arguments;

fn main() -> ExitCode {
    limosa_cli::descriptors::raise_limit();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return limosa_cli::not_understood(&error),
    };
    if let Err(error) = limosa_seal::keep_from_core_dumps() {
        return limosa_cli::cannot_start(&arguments, &error);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(limosa_cli::run(arguments)),
        Err(error) => limosa_cli::cannot_start(&arguments, &error),
    }
}
