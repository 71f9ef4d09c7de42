//! Passwords for users: from a terminal, twice, or from standard input; never
//! from arguments.

use std::io::{self, BufRead, IsTerminal};

use limosa_node::users::hash_password;
use limosa_seal::{AlgorithmSet, SecretBytes};
use limosa_wire::Code;

use crate::failure::Failure;

/// The stored form of a new password, by what `set` holds for it.
pub(crate) fn ask(set: AlgorithmSet, from_stdin: bool) -> Result<String, Failure> {
    let password = if from_stdin { read_line()? } else { prompt()? };
    Ok(hash_password(set.password(), &password)?)
}

fn read_line() -> Result<SecretBytes, Failure> {
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    read.map_err(|error| Failure::new(Code::USAGE, format!("no password on standard input: {error}")))?;
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    Ok(line.into())
}

fn prompt() -> Result<SecretBytes, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::new(Code::USAGE, "there is no terminal to ask at; use --password-stdin"));
    }
    let ask = |text| rpassword::prompt_password(text);
    let failed = |error: io::Error| Failure::new(Code::USAGE, format!("no password: {error}"));
    let first: SecretBytes = ask("New password: ").map_err(failed)?.into();
    let second: SecretBytes = ask("Once more: ").map_err(failed)?.into();
    if !first.matches(&second) {
        return Err(Failure::new(Code::USAGE, "the two passwords differ; nothing was changed"));
    }
    Ok(first)
}
