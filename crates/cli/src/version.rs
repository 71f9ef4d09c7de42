//! `limosa version`: what this is, and what its cryptography rests on.

use std::process::ExitCode;

use limosa_seal::module::{Module, self_test};
use limosa_wire::Code;

use crate::arguments::VersionArguments;

/// Runs `limosa version` to an exit status: whether the module works, where that
/// is asked.
#[must_use]
pub fn run(arguments: &VersionArguments) -> ExitCode {
    println!("limosa {}", env!("CARGO_PKG_VERSION"));
    if !arguments.fips {
        return ExitCode::SUCCESS;
    }
    println!("cryptography: {}", Module::running());
    match self_test() {
        Ok(()) => {
            println!("self-test: passed");
            ExitCode::SUCCESS
        }
        Err(failed) => {
            println!("self-test: {failed}");
            ExitCode::from(Code::INTERNAL.exit_status())
        }
    }
}
