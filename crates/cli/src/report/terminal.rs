//! A line that redraws itself, for a person at a terminal.

use std::collections::VecDeque;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use limosa_session::{Outcome, SessionEvent, Snapshot};
use limosa_transfer::Event;
use limosa_wire::Code;

use super::lines::{matters, told};
use super::{Connection, Reporter, Verbosity, text};

/// Time over which "the rate now" is taken.
const NOW: Duration = Duration::from_secs(1);

/// Draws to standard error.
#[derive(Debug)]
pub struct TerminalReporter {
    bar: ProgressBar,
    verbosity: Verbosity,
    /// Times and bytes crossed of the last second.
    recent: VecDeque<(Duration, u64)>,
    opened: bool,
    latest: String,
}

impl TerminalReporter {
    /// Draws as much as `verbosity` says.
    #[must_use]
    pub fn new(verbosity: Verbosity) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if verbosity == Verbosity::Quiet {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        let style = ProgressStyle::with_template("{bar:24} {msg}\n{prefix:.dim}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style);
        bar.set_message("connecting");
        Self { bar, verbosity, recent: VecDeque::new(), opened: false, latest: String::new() }
    }

    fn rate_now(&mut self, at: Duration, crossed: u64) -> String {
        self.recent.push_back((at, crossed));
        while self.recent.len() > 2 && self.recent.front().is_some_and(|(then, _)| at.saturating_sub(*then) > NOW) {
            self.recent.pop_front();
        }
        let (then, before) = self.recent.front().copied().unwrap_or((at, crossed));
        text::rate(crossed.saturating_sub(before), at.saturating_sub(then))
    }

    fn line(&self, line: &str) {
        // Nothing is said while the bar is hidden, unless it must be.
        self.bar.suspend(|| eprintln!("{line}"));
    }
}

/// Scan, transfer or verify: what is going on.
fn phase(snapshot: &Snapshot, opened: bool) -> &'static str {
    let progress = &snapshot.progress;
    if !opened {
        return "opening";
    }
    match progress.layout_complete {
        true if progress.bytes_crossed + progress.bytes_present >= progress.bytes_announced => "verifying",
        true => "moving",
        false => "scanning and moving",
    }
}

/// Time left at the average rate, once everything is announced.
fn time_left(snapshot: &Snapshot) -> Option<Duration> {
    let progress = &snapshot.progress;
    let left = progress.bytes_announced.checked_sub(progress.bytes_crossed + progress.bytes_present)?;
    if !progress.layout_complete || progress.bytes_crossed == 0 {
        return None;
    }
    #[allow(clippy::cast_precision_loss)]
    let seconds = snapshot.at.as_secs_f64() * left as f64 / progress.bytes_crossed as f64;
    Duration::try_from_secs_f64(seconds).ok()
}

impl Reporter for TerminalReporter {
    fn connected(&mut self, connection: &Connection) {
        self.bar.set_message(format!("connected to {}", connection.target));
        if self.verbosity >= Verbosity::Verbose {
            let trips = connection.ssh_round_trips.map_or(String::new(), |trips| format!(", {trips} round trips"));
            self.line(&format!("connected in {:.1?}{trips} ({})", connection.ssh_time, connection.way));
        }
    }

    fn wants_entries(&self) -> bool {
        // The bar names what is sent.
        true
    }

    fn event(&mut self, event: &SessionEvent) {
        match event {
            SessionEvent::Opened { .. } => self.opened = true,
            SessionEvent::Entry(Event::Started { path, .. }) => self.latest = path.printable(),
            _ => {}
        }
        let least = if matters(event) { Verbosity::Normal } else { Verbosity::Verbose };
        let told = || if self.verbosity >= least { told(event) } else { None };
        if let Some(line) = text::failure(event).or_else(told) {
            self.line(&line);
        }
    }

    fn progress(&mut self, snapshot: &Snapshot) {
        let progress = &snapshot.progress;
        let done = progress.bytes_crossed + progress.bytes_present;
        self.bar.set_length(progress.bytes_announced.max(1));
        self.bar.set_position(done.min(progress.bytes_announced));
        let rate = self.rate_now(snapshot.at, progress.bytes_crossed);
        let average = text::rate(progress.bytes_crossed, snapshot.at);
        let left = time_left(snapshot).map_or(String::new(), |left| format!(", {} left", text::duration(left)));
        self.bar.set_message(format!(
            "{}: {} of {}{}, now {rate}, average {average}{left}",
            phase(snapshot, self.opened),
            text::bytes(done),
            if progress.layout_complete { "" } else { "at least " },
            text::bytes(progress.bytes_announced),
        ));
        let path = &snapshot.connection.path;
        let rtt = path.rtt.map_or_else(|| "-".to_owned(), |rtt| format!("{rtt:.1?}"));
        self.bar.set_prefix(format!(
            "{} of {} entries, loss {:.1} %, round trip {rtt}  {}",
            progress.entries_finished,
            progress.entries_announced,
            path.loss * 100.0,
            self.latest
        ));
    }

    fn note(&mut self, text: &str) {
        if self.verbosity >= Verbosity::Normal {
            self.line(text);
        }
    }

    fn finished(&mut self, outcome: &Outcome) {
        self.bar.finish_and_clear();
        if self.verbosity >= Verbosity::Normal || outcome.code != Code::OK {
            for line in text::ending(outcome) {
                eprintln!("{line}");
            }
        }
    }

    fn failed(&mut self, code: Code, detail: &str) {
        self.finished(&Outcome::early(code, detail));
    }
}
