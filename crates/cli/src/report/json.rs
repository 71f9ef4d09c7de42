//! Events as JSON, one object a line, for programs. The last line is the
//! summary.

use std::io::Write;

use limosa_session::{Outcome, SessionEvent, Snapshot};
use limosa_transfer::Event;
use limosa_transfer::event::Announced;
use limosa_wire::Code;
use limosa_wire::control::Summary;
use serde_json::{Value, json};

use super::{Connection, Reporter, Verbosity};

/// Version of the lines' schema: raised when a field changes its meaning or
/// goes; new fields and new events do not raise it.
pub const SCHEMA: u32 = 1;

/// Writes JSON lines.
#[derive(Debug)]
pub struct JsonReporter<W> {
    out: W,
    verbosity: Verbosity,
}

impl<W: Write + Send> JsonReporter<W> {
    /// Writes everything to `out`.
    pub fn new(out: W) -> Self {
        Self { out, verbosity: Verbosity::Verbose }
    }

    /// Leaves out progress and what happens to each entry, failures excepted,
    /// where this is [`Verbosity::Quiet`].
    #[must_use]
    pub fn with_verbosity(self, verbosity: Verbosity) -> Self {
        Self { verbosity, ..self }
    }

    /// Whether progress and entries are told.
    fn tells_all(&self) -> bool {
        self.verbosity > Verbosity::Quiet
    }

    fn line(&mut self, event: &str, mut fields: Value) {
        fields["event"] = event.into();
        fields["schema"] = SCHEMA.into();
        // A reader that went away is no reason to stop a transfer.
        let _ = writeln!(self.out, "{fields}").and_then(|()| self.out.flush());
    }
}

/// What is told of a code wherever one ends something.
pub(crate) fn code_fields(code: Code, detail: &str) -> Value {
    json!({
        "code": code.number(),
        "name": code.name(),
        "summary": code.summary(),
        "advice": code.advice(),
        "detail": detail,
        "exit": code.exit_status(),
        "retry": code.may_retry(),
    })
}

fn counts(summary: &Summary) -> Value {
    json!({
        "settled": summary.settled,
        "skipped": summary.skipped,
        "failed": summary.failed,
        "bytes": summary.bytes,
        "carried": summary.carried,
        "resumed": summary.resumed,
    })
}

fn entry(event: &Event) -> (&'static str, Value) {
    match event {
        Event::Announced { entry, path, what } => {
            let (kind, size) = match what {
                Announced::File(size) => ("file", *size),
                Announced::Directory => ("directory", None),
                Announced::Symlink => ("symlink", None),
                Announced::Removal => ("removal", None),
            };
            ("announced", json!({ "entry": entry.0, "path": path.printable(), "kind": kind, "size": size }))
        }
        Event::Started { entry, path } => ("started", json!({ "entry": entry.0, "path": path.printable() })),
        Event::Transferred { entry, path } => ("transferred", json!({ "entry": entry.0, "path": path.printable() })),
        Event::Settled { entry, path } => ("settled", json!({ "entry": entry.0, "path": path.printable() })),
        Event::Skipped { entry, path } => ("skipped", json!({ "entry": entry.0, "path": path.printable() })),
        Event::LeftOut { path } => ("left_out", json!({ "path": path.printable() })),
        Event::Retaken { entry, path } => ("retaken", json!({ "entry": entry.0, "path": path.printable() })),
        Event::Failed { entry, path, failure } => {
            let mut fields = code_fields(failure.code, &failure.detail);
            fields["entry"] = entry.map(|entry| entry.0).into();
            fields["path"] = path.printable().into();
            ("failed", fields)
        }
    }
}

impl<W: Write + Send> Reporter for JsonReporter<W> {
    fn connected(&mut self, connection: &Connection) {
        let fields = json!({
            "target": connection.target,
            "way": connection.way,
            "host_key": connection.host_key,
            "ssh_seconds": connection.ssh_time.as_secs_f64(),
            "ssh_round_trips": connection.ssh_round_trips,
        });
        self.line("connected", fields);
    }

    fn wants_entries(&self) -> bool {
        self.tells_all()
    }

    fn event(&mut self, event: &SessionEvent) {
        let failed = matches!(event, SessionEvent::Entry(Event::Failed { .. }));
        if matches!(event, SessionEvent::Entry(_)) && !failed && !self.tells_all() {
            return;
        }
        let (name, fields) = match event {
            SessionEvent::Opened { peer, rtt } => {
                ("opened", json!({ "peer": peer.to_string(), "rtt_seconds": rtt.map(|rtt| rtt.as_secs_f64()) }))
            }
            SessionEvent::UdpBlocked { server } => ("udp_blocked", json!({ "server": server.to_string() })),
            SessionEvent::LineSilent => ("line_silent", json!({})),
            SessionEvent::LineBack(after) => ("line_back", json!({ "seconds": after.as_secs_f64() })),
            SessionEvent::PeerMoved(peer) => ("peer_moved", json!({ "peer": peer.to_string() })),
            SessionEvent::PacketSize(bytes) => ("packet_size", json!({ "bytes": bytes })),
            SessionEvent::Entry(event) => entry(event),
        };
        self.line(name, fields);
    }

    fn progress(&mut self, snapshot: &Snapshot) {
        if !self.tells_all() {
            return;
        }
        let progress = &snapshot.progress;
        let path = &snapshot.connection.path;
        let rate = &snapshot.connection.rate;
        let fields = json!({
            "seconds": snapshot.at.as_secs_f64(),
            "bytes_crossed": progress.bytes_crossed,
            "bytes_present": progress.bytes_present,
            "bytes_announced": progress.bytes_announced,
            "entries_finished": progress.entries_finished,
            "entries_announced": progress.entries_announced,
            "layout_complete": progress.layout_complete,
            "pace_bits_per_second": path.pace.bits_per_second(),
            "rtt_seconds": path.rtt.map(|rtt| rtt.as_secs_f64()),
            "loss": path.loss,
            "in_flight": path.in_flight,
            "packet_size": path.packet_size,
            "phase": rate.phase,
            "capacity_bits_per_second": rate.capacity.bits_per_second(),
            "base_rtt_seconds": rate.base_rtt.as_secs_f64(),
            "queue_seconds": rate.queue.as_secs_f64(),
            "baseline_loss": rate.baseline_loss,
        });
        self.line("progress", fields);
    }

    fn note(&mut self, text: &str) {
        self.line("note", json!({ "text": text }));
    }

    fn finished(&mut self, outcome: &Outcome) {
        let mut fields = code_fields(outcome.code, &outcome.detail);
        fields["here"] = counts(&outcome.summary);
        fields["there"] = outcome.theirs.as_ref().map_or(Value::Null, counts);
        fields["setup_seconds"] = outcome.times.setup.as_secs_f64().into();
        fields["opened_seconds"] = outcome.times.opened.map(|opened| opened.as_secs_f64()).into();
        fields["seconds"] = outcome.times.ended.as_secs_f64().into();
        if let Some(connection) = &outcome.connection {
            let sent = &connection.sent;
            fields["datagrams_sent"] = sent.datagrams.into();
            fields["datagrams_lost"] = sent.lost.into();
            fields["new_bytes"] = sent.new_bytes.into();
            fields["sent_again"] = json!({
                "lost": sent.repeated_lost,
                "shed": sent.repeated_shed,
                "tail": sent.repeated_tail,
            });
            fields["shed_bytes"] = connection.received.shed_bytes.into();
            fields["redundant_bytes"] = sent.redundant_bytes.into();
            fields["packet_size"] = connection.path.packet_size.into();
        }
        self.line("summary", fields);
    }

    fn failed(&mut self, code: Code, detail: &str) {
        self.finished(&Outcome::early(code, detail));
    }
}
