//! What a person or a program is told while a transfer runs.
//!
//! The engines tell events and figures; a reporter draws them. Progress goes
//! to standard error, results for programs (`--json`) to standard output.

mod json;
mod lines;
mod terminal;
mod text;

pub use json::{JsonReporter, SCHEMA};
pub use lines::LineReporter;
pub use terminal::TerminalReporter;

pub(crate) use json::code_fields;
pub(crate) use text::{bytes, coded};

use limosa_session::{Outcome, SessionEvent, Snapshot};
use limosa_wire::Code;

/// What is known before the session starts.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// `[user@]host`.
    pub target: String,
    /// How the connection was made, for the curious.
    pub way: String,
    /// Fingerprint of the host key.
    pub host_key: Option<String>,
    /// Time from TCP connect to the session's request.
    pub ssh_time: std::time::Duration,
    /// Round trips of that, where they could be counted.
    pub ssh_round_trips: Option<u32>,
}

/// Draws what happens.
pub trait Reporter: Send {
    /// The SSH connection stands.
    fn connected(&mut self, connection: &Connection);
    /// Whether what happens to each entry is of use, and not only failures.
    fn wants_entries(&self) -> bool;
    /// Something happened.
    fn event(&mut self, event: &SessionEvent);
    /// Where the session stands; called several times a second.
    fn progress(&mut self, snapshot: &Snapshot);
    /// A word to the person, such as an order that was understood.
    fn note(&mut self, text: &str);
    /// The end; the last call.
    fn finished(&mut self, outcome: &Outcome);
    /// A failure before there was a session; the last call.
    fn failed(&mut self, code: Code, detail: &str);
}

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Only errors.
    Quiet,
    /// Progress and the result.
    Normal,
    /// And what happens to each entry.
    Verbose,
}
