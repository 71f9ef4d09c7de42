//! Plain lines, for a log or a pipe.

use std::io::Write;
use std::time::Duration;

use limosa_session::{Outcome, SessionEvent, Snapshot};
use limosa_transfer::Event;
use limosa_wire::Code;

use super::{Connection, Reporter, Verbosity, text};

/// How often progress is told.
const EVERY: Duration = Duration::from_secs(10);

/// Writes lines.
#[derive(Debug)]
pub struct LineReporter<W> {
    out: W,
    verbosity: Verbosity,
    next: Duration,
}

impl<W: Write + Send> LineReporter<W> {
    /// Writes to `out`, as much as `verbosity` says.
    pub fn new(out: W, verbosity: Verbosity) -> Self {
        Self { out, verbosity, next: EVERY }
    }

    fn line(&mut self, least: Verbosity, line: &str) {
        if self.verbosity >= least {
            // A reader that went away is no reason to stop a transfer.
            let _ = writeln!(self.out, "{line}");
        }
    }
}

/// What a verbose reporter says of an event.
pub(super) fn told(event: &SessionEvent) -> Option<String> {
    Some(match event {
        SessionEvent::Opened { peer, rtt: Some(rtt) } => format!("UDP open to {peer}, round trip {rtt:.1?}"),
        SessionEvent::Opened { peer, rtt: None } => format!("UDP open to {peer}"),
        SessionEvent::UdpBlocked { server } => format!("no answer from UDP {server}"),
        SessionEvent::LineSilent => "the line is silent; waiting".to_owned(),
        SessionEvent::LineBack(after) => format!("the line is back after {after:.1?}"),
        SessionEvent::PeerMoved(peer) => format!("the other end moved to {peer}"),
        SessionEvent::PacketSize(bytes) => format!("packets of {bytes} bytes"),
        SessionEvent::Entry(entry) => match entry {
            Event::Settled { path, .. } => path.printable(),
            Event::Skipped { path, .. } => format!("{} (there already)", path.printable()),
            Event::LeftOut { path } => format!("{} (link left out)", path.printable()),
            Event::Retaken { path, .. } => format!("{} (changed while it was read; once more)", path.printable()),
            _ => return None,
        },
    })
}

/// Whether an event is told even without `-v`.
pub(super) fn matters(event: &SessionEvent) -> bool {
    matches!(event, SessionEvent::LineSilent | SessionEvent::LineBack(_) | SessionEvent::PeerMoved(_))
}

impl<W: Write + Send> Reporter for LineReporter<W> {
    fn connected(&mut self, connection: &Connection) {
        let trips = connection.ssh_round_trips.map_or(String::new(), |trips| format!(", {trips} round trips"));
        let line =
            format!("connected to {} in {:.1?}{trips} ({})", connection.target, connection.ssh_time, connection.way);
        self.line(Verbosity::Verbose, &line);
    }

    fn wants_entries(&self) -> bool {
        self.verbosity >= Verbosity::Verbose
    }

    fn event(&mut self, event: &SessionEvent) {
        if let Some(line) = text::failure(event) {
            self.line(Verbosity::Quiet, &line);
            return;
        }
        let least = if matters(event) { Verbosity::Normal } else { Verbosity::Verbose };
        // A line for each of a million files is not worth making for nobody.
        if self.verbosity >= least
            && let Some(line) = told(event)
        {
            self.line(least, &line);
        }
    }

    fn progress(&mut self, snapshot: &Snapshot) {
        if snapshot.at >= self.next {
            self.next = snapshot.at + EVERY;
            let progress = &snapshot.progress;
            let done = progress.bytes_crossed + progress.bytes_present;
            let total = if progress.layout_complete { text::bytes(progress.bytes_announced) } else { "…".into() };
            let line = format!(
                "{} of {total}, {} of {} entries, {}",
                text::bytes(done),
                progress.entries_finished,
                progress.entries_announced,
                text::rate(progress.bytes_crossed, snapshot.at)
            );
            self.line(Verbosity::Normal, &line);
        }
    }

    fn note(&mut self, text: &str) {
        self.line(Verbosity::Normal, text);
    }

    fn finished(&mut self, outcome: &Outcome) {
        let least = if outcome.code == Code::OK { Verbosity::Normal } else { Verbosity::Quiet };
        for line in text::ending(outcome) {
            self.line(least, &line);
        }
    }

    fn failed(&mut self, code: Code, detail: &str) {
        self.finished(&Outcome::early(code, detail));
    }
}
