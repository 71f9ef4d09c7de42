//! The command-line client: what is typed, what it means, and how progress and
//! results are shown.
//!
//! Reading order: [`arguments`] and [`location`] for what is typed,
//! [`transfer`] for how it is carried out, and [`crypt`] for encryption on the
//! way; [`report`] for what is shown;
//! [`envelope`] for the commands that encrypt files on this machine.
#![forbid(unsafe_code)]

pub mod arguments;
pub mod crypt;
pub mod descriptors;
pub mod doctor;
pub mod envelope;
pub mod failure;
pub mod local;
pub mod location;
pub mod reach;
pub mod report;
pub mod session_program;
pub mod signals;
pub mod terminal_prompt;
pub mod transfer;
pub mod version;

use std::io::{IsTerminal, stderr, stdout};
use std::process::ExitCode;

use clap::Parser;
use tokio::runtime::{self, Runtime};

use arguments::{Arguments, Command, TransferArguments};
use limosa_wire::Code;
use report::{JsonReporter, LineReporter, Reporter, TerminalReporter, Verbosity};

/// The `limosa` program: what it was given, to its exit status.
#[must_use]
pub fn main() -> ExitCode {
    descriptors::raise_limit();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return not_understood(&error),
    };
    match prepare() {
        Ok(runtime) => runtime.block_on(run(arguments)),
        Err(error) => cannot_start(&arguments, &error),
    }
}

/// Makes sure that secrets stay in memory and that cryptography works, and starts
/// the runtime.
fn prepare() -> std::io::Result<Runtime> {
    limosa_seal::keep_from_core_dumps()?;
    limosa_seal::module::self_test().map_err(std::io::Error::other)?;
    runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

/// Runs a command to its exit status.
pub async fn run(arguments: Arguments) -> ExitCode {
    match arguments.command {
        Command::Send(send) => {
            transfer::run(transfer::plan_send(&send), &send.transfer, reporter(&send.transfer)).await
        }
        Command::Doctor(arguments) => doctor::run(&arguments).await,
        Command::Protect(arguments) => envelope::protect(arguments).await,
        Command::Unprotect(arguments) => envelope::unprotect(arguments).await,
        Command::Envelope(command) => envelope::envelope(command).await,
        Command::Version(arguments) => version::run(&arguments),
        Command::Session(arguments) => session_program::run(&arguments).await,
        Command::Get(get) => transfer::run(transfer::plan_get(&get), &get.transfer, reporter(&get.transfer)).await,
    }
}

/// Says what is wrong with the command line, to programs in the form they
/// asked for; or shows the help that was asked for.
#[must_use]
pub fn not_understood(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os().any(|argument| argument == "--json");
    if !error.use_stderr() || !json {
        // Whoever closed the stream does not want to read it.
        let _ = error.print();
    }
    if !error.use_stderr() {
        return ExitCode::SUCCESS;
    }
    if json {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        JsonReporter::new(stdout()).failed(Code::USAGE, first.trim_start_matches("error: "));
    } else {
        LineReporter::new(stderr(), Verbosity::Normal).failed(Code::USAGE, "");
    }
    ExitCode::from(Code::USAGE.exit_status())
}

/// Says that the machine lacks what it takes to run a command at all, in the
/// form that was asked for.
#[must_use]
pub fn cannot_start(arguments: &Arguments, error: &std::io::Error) -> ExitCode {
    let mut told: Box<dyn Reporter> = match &arguments.command {
        Command::Send(send) => reporter(&send.transfer),
        Command::Get(get) => reporter(&get.transfer),
        _ => Box::new(LineReporter::new(stderr(), Verbosity::Normal)),
    };
    told.failed(Code::RESOURCES, &format!("cannot start: {error}"));
    ExitCode::from(Code::RESOURCES.exit_status())
}

/// The reporter that options and surroundings ask for.
#[must_use]
pub fn reporter(arguments: &TransferArguments) -> Box<dyn Reporter> {
    let verbosity = match (arguments.quiet, arguments.verbose) {
        (true, _) => Verbosity::Quiet,
        (false, 0) => Verbosity::Normal,
        (false, _) => Verbosity::Verbose,
    };
    if arguments.json {
        Box::new(JsonReporter::new(stdout()).with_verbosity(verbosity))
    } else if stderr().is_terminal() {
        Box::new(TerminalReporter::new(verbosity))
    } else {
        Box::new(LineReporter::new(stderr(), verbosity))
    }
}
