//! Asking the person at the terminal, never anybody else: questions go to and
//! answers come from `/dev/tty`, so that redirected input is not taken for
//! them.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};

use limosa_ssh::{NoPrompt, Prompt, Secret};
use std::sync::Arc;

/// The person at the process's controlling terminal.
#[derive(Debug)]
struct Terminal;

/// Whoever can be asked: the terminal's person, or nobody.
#[must_use]
pub fn whoever_is_there() -> Arc<dyn Prompt> {
    match OpenOptions::new().read(true).write(true).open("/dev/tty") {
        Ok(_) => Arc::new(Terminal),
        Err(_) => Arc::new(NoPrompt),
    }
}

impl Prompt for Terminal {
    fn secret(&self, question: &str) -> Option<Secret> {
        rpassword::prompt_password(format!("{question}: ")).ok().filter(|text| !text.is_empty()).map(Secret::new)
    }

    fn confirm(&self, question: &str) -> bool {
        let ask = || -> std::io::Result<String> {
            let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
            write!(terminal, "{question} (yes/no) ")?;
            let mut answer = String::new();
            BufReader::new(terminal).read_line(&mut answer)?;
            Ok(answer)
        };
        ask().is_ok_and(|answer| answer.trim().eq_ignore_ascii_case("yes"))
    }

    fn notice(&self, text: &str) {
        eprintln!("{text}");
    }
}
