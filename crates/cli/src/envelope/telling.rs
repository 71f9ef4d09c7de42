//! What is said while files are sealed and opened: lines for people on
//! standard error, JSON for programs on standard output.

use std::io::{IsTerminal, Write, stderr, stdout};
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use limosa_wire::Code;
use serde_json::{Value, json};

use crate::arguments::TellingArguments;
use crate::failure::CommandFailure;
use crate::report::{LineReporter, Reporter, SCHEMA, Verbosity, bytes, code_fields, coded};

use super::batch::Tally;

/// How results are told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Telling {
    json: bool,
    verbosity: Verbosity,
}

impl Telling {
    /// As the options say.
    pub(super) fn new(arguments: TellingArguments) -> Self {
        let verbosity = match (arguments.quiet, arguments.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, false) => Verbosity::Normal,
            (false, true) => Verbosity::Verbose,
        };
        Self { json: arguments.json, verbosity }
    }

    /// What shows a person that something happens; hidden from all others.
    pub(super) fn bar(self) -> ProgressBar {
        if self.json || self.verbosity == Verbosity::Quiet || !stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{decimal_bytes} {decimal_bytes_per_sec} {wide_msg}") {
            bar.set_style(style);
        }
        bar
    }

    fn event(event: &str, mut fields: Value) {
        fields["event"] = event.into();
        fields["schema"] = SCHEMA.into();
        // A reader that went away is no reason to stop.
        let _ = writeln!(stdout(), "{fields}");
    }

    fn line(self, least: Verbosity, bar: &ProgressBar, line: &str) {
        if self.verbosity >= least {
            bar.suspend(|| eprintln!("{line}"));
        }
    }

    fn tell(self, bar: &ProgressBar, event: &str, shown: &str, more: Value, line: &str) {
        if !self.json {
            self.line(Verbosity::Verbose, bar, line);
        } else if self.verbosity > Verbosity::Quiet {
            let mut fields = more;
            fields["path"] = shown.into();
            Self::event(event, fields);
        }
    }

    /// A file is done.
    pub(super) fn settled(self, bar: &ProgressBar, shown: &str, bytes: u64) {
        self.tell(bar, "settled", shown, json!({ "bytes": bytes }), shown);
    }

    /// A file is as it should be already.
    pub(super) fn skipped(self, bar: &ProgressBar, shown: &str) {
        self.tell(bar, "skipped", shown, json!({}), &format!("{shown} (encrypted already)"));
    }

    /// A link is left out.
    pub(super) fn left_out(self, bar: &ProgressBar, shown: &str) {
        self.tell(bar, "left_out", shown, json!({}), &format!("{shown} (link left out)"));
    }

    /// A file failed.
    pub(super) fn failed_entry(self, bar: &ProgressBar, shown: &str, failure: &CommandFailure) {
        if self.json {
            let mut fields = code_fields(failure.code, &failure.detail);
            fields["path"] = shown.into();
            Self::event("failed", fields);
        } else {
            self.line(Verbosity::Quiet, bar, &format!("{shown}: {}", coded(failure.code, &failure.detail)));
        }
    }

    /// The end of all.
    pub(super) fn finished(self, tally: &Tally, end: &CommandFailure) {
        if self.json {
            let mut fields = code_fields(end.code, &end.detail);
            fields["settled"] = tally.settled.into();
            fields["skipped"] = tally.skipped.into();
            fields["failed"] = tally.failed.into();
            fields["bytes"] = tally.bytes.into();
            return Self::event("summary", fields);
        }
        if tally.settled > 0 && self.verbosity > Verbosity::Quiet {
            eprintln!("{} files, {}", tally.settled, bytes(tally.bytes));
        }
        if end.code != Code::OK {
            LineReporter::new(stderr(), self.verbosity).failed(end.code, &end.detail);
        }
    }

    /// A failure before anything was begun.
    pub(super) fn failed(self, failure: &CommandFailure) -> ExitCode {
        self.finished(&Tally::default(), failure);
        ExitCode::from(failure.code.exit_status())
    }
}
