//! The server program: `limosad serve` and the commands that administer it.
//!
//! [`arguments`] is what may be typed; every command has a module of its own,
//! thin over [`limosa_node`].
#![forbid(unsafe_code)]

pub mod arguments;
mod check;
mod config;
pub mod demo;
mod failure;
mod greeting;
mod log;
mod password;
mod seal;
mod serve;
mod user;

use std::process::ExitCode;

use clap::Parser;
use limosa_seal::module::self_test;
use limosa_ssh::sshd_config::sshd_config;
use limosa_wire::Code;
use rustix::fs::Mode;

use arguments::{Arguments, Command};
use failure::Failure;

/// Runs the program with the arguments it was given.
#[must_use]
pub fn run() -> ExitCode {
    let umask = read_umask();
    limosa_cli::descriptors::raise_limit();
    let arguments = Arguments::parse();
    // Standard error of a session program is for its client to see.
    if !matches!(arguments.command, Command::Session(_)) {
        log::start(arguments.log_format);
    }
    let ready = limosa_seal::keep_from_core_dumps().and_then(|()| self_test().map_err(std::io::Error::other));
    if let Err(error) = ready {
        return Failure::new(Code::RESOURCES, format!("cannot start: {error}")).tell();
    }
    let result = match &arguments.command {
        Command::Serve(serve) => serve::run(serve, arguments.log_format, umask),
        Command::User(command) => user::run(command),
        Command::Check(check) => check::run(check),
        Command::Config(command) => config::run(command),
        Command::Seal(command) => seal::run(command),
        Command::SshConfig(arguments) => {
            print!("{}", sshd_config(arguments.profile()));
            Ok(())
        }
        Command::Session(arguments) => session(arguments, umask),
        Command::Demo(demo) => return demo::run(demo),
        Command::Front => limosa_node::front::process::run().map_err(Failure::from),
    };
    result.map_or_else(|failure| failure.tell(), |()| ExitCode::SUCCESS)
}

fn session(arguments: &arguments::SessionArguments, umask: u32) -> Result<(), Failure> {
    let code = limosa_node::session_program::run(arguments.config.clone(), umask)?;
    if code.exit_status() == 0 { Ok(()) } else { Err(Failure::told(code)) }
}

/// The umask, which can only be read by setting it; no other thread runs yet.
fn read_umask() -> u32 {
    let umask = rustix::process::umask(Mode::RWXG | Mode::RWXO);
    rustix::process::umask(umask);
    umask.bits()
}
