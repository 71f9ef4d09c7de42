//! The audit log: who logged in or was refused, which sessions ran and how
//! they ended; one JSON object a line, appended, for the owner alone.
//!
//! The file is opened for each line, so that it can be rotated at any time.
//! It holds no secrets. Text that strangers chose is escaped, so that it can
//! neither end a line nor move a terminal's cursor.
//!
//! Every line has `time` (UTC) and `event`. The events and their fields are
//! the variants of [`Event`] and what they hold.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::Value;

/// Where the audit log is written.
#[derive(Clone, Debug)]
pub struct AuditLog {
    target: Target,
}

#[derive(Clone, Debug)]
enum Target {
    Nowhere,
    File(PathBuf),
    /// A server, which takes lines at this socket and says who sent them.
    Server(PathBuf),
}

/// What is told.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Event {
    /// A server started.
    ServerStart {
        /// Name and version.
        software: &'static str,
        /// Its process.
        pid: u32,
    },
    /// A server was stopped.
    ServerStop {
        /// Its process.
        pid: u32,
    },
    /// Somebody tried to log in at the embedded SSH server.
    Login {
        /// `accepted` or `refused`.
        outcome: &'static str,
        /// The name as typed, escaped.
        user: String,
        /// From where.
        peer: SocketAddr,
        /// `publickey`, `publickey-offer` (a key that was asked about, not
        /// proved), or `password`.
        method: &'static str,
        /// Fingerprint of the key, if it was one.
        #[serde(skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// Why it was refused.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'static str>,
    },
    /// A session was asked for and permitted.
    SessionStart(SessionLine),
    /// A session was asked for and refused.
    SessionRefused {
        /// Who and what.
        #[serde(flatten)]
        session: SessionLine,
        /// Numbered code.
        code: u16,
        /// Its name.
        name: &'static str,
        /// More about it, escaped.
        detail: String,
    },
    /// A session ended.
    SessionEnd {
        /// Who and what.
        #[serde(flatten)]
        session: SessionLine,
        /// How it ended.
        #[serde(flatten)]
        result: SessionResult,
    },
}

/// Who wants what.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SessionLine {
    /// Tells the lines of one session from those of others.
    pub session: String,
    /// The user.
    pub user: String,
    /// How the user was authenticated: `publickey`, `password`, `system`.
    pub method: &'static str,
    /// From where, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<SocketAddr>,
    /// Name and version of the client, escaped.
    pub software: String,
    /// `upload` or `download`.
    pub direction: &'static str,
    /// Destination of an upload, sources of a download, as typed, escaped; the
    /// first of them if there are many.
    pub paths: Vec<String>,
    /// How many paths there are, if not all are listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paths_in_all: Option<usize>,
    /// Name of the transfer: the same when it is continued.
    pub transfer: String,
}

/// How a session ended.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SessionResult {
    /// Numbered code; 0 if every entry is settled.
    pub code: u16,
    /// Its name.
    pub name: &'static str,
    /// More about it, escaped.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// Entries under their names.
    pub settled: u64,
    /// Of them, those that were there already.
    pub skipped: u64,
    /// Entries that failed.
    pub failed: u64,
    /// Bytes of the files settled.
    pub bytes: u64,
    /// Milliseconds from permission to end.
    pub duration_ms: u64,
}

/// Paths listed at most.
const PATHS: usize = 16;
/// Characters kept of a text from outside.
const TEXT: usize = 1024;

impl AuditLog {
    /// A log in `file`; `None` writes nothing.
    #[must_use]
    pub fn new(file: Option<PathBuf>) -> Self {
        Self { target: file.map_or(Target::Nowhere, Target::File) }
    }

    /// The log of the server that takes lines at `socket`.
    #[must_use]
    pub fn of_server(socket: PathBuf) -> Self {
        Self { target: Target::Server(socket) }
    }

    /// Checks that the log can be written.
    ///
    /// # Errors
    /// If it cannot.
    pub fn check(&self) -> io::Result<()> {
        self.append(&[])
    }

    /// Writes `event`. What cannot be written is reported in the server's own
    /// log: a full disk must not end transfers.
    pub fn write(&self, event: &Event) {
        #[derive(Serialize)]
        struct Line<'a> {
            time: String,
            #[serde(flatten)]
            event: &'a Event,
        }
        self.write_line(&Line { time: rfc3339(SystemTime::now()), event });
    }

    /// Writes a line that another process reported, under the time it came and
    /// with the user and process that the kernel says it is from.
    pub(crate) fn write_reported(&self, mut line: serde_json::Map<String, Value>, uid: u32, pid: Option<i32>) {
        line.insert("time".into(), rfc3339(SystemTime::now()).into());
        line.insert("reported-by-uid".into(), uid.into());
        line.insert("reported-by-pid".into(), pid.into());
        self.write_line(&line);
    }

    fn write_line(&self, line: &impl Serialize) {
        let line = serde_json::to_vec(line);
        let written = line.map_err(io::Error::other).and_then(|mut line| {
            line.push(b'\n');
            self.append(&line)
        });
        if let Err(error) = written {
            tracing::error!(%error, target = ?self.target, "the audit log cannot be written");
        }
    }

    fn append(&self, line: &[u8]) -> io::Result<()> {
        match &self.target {
            Target::Nowhere => Ok(()),
            Target::File(path) => {
                let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
                file.write_all(line)
            }
            Target::Server(socket) => UnixStream::connect(socket)?.write_all(line),
        }
    }
}

/// Paths as typed, escaped, and how many there are if those are not all.
pub(crate) fn paths(typed: &[Vec<u8>]) -> (Vec<String>, Option<usize>) {
    let shown = typed.iter().take(PATHS).map(|path| escaped(path)).collect();
    (shown, (typed.len() > PATHS).then_some(typed.len()))
}

/// Foreign bytes as text: what is not UTF-8 as `\xNN`, control characters and
/// backslashes escaped, the rest as it is.
#[must_use]
pub fn escaped(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || c == '\\' || is_bidi(c) { out.extend(c.escape_default()) } else { out.push(c) }
        }
        out.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    out.chars().take(TEXT).collect()
}

/// Whether a character changes the direction in which a line is shown.
const fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A time as `2026-01-31T23:59:59.999Z`.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil_from_days(days);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}.{:03}Z", second % 60, since.subsec_millis())
}

/// Year, month and day of a day counted from 1970-01-01: eras of 400 years
/// that begin on a first of March, so that a leap day is the last of its year.
const fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn times_are_calendar_times() {
        let at = |seconds: u64| rfc3339(UNIX_EPOCH + Duration::from_millis(seconds * 1000 + 7));
        assert_eq!(at(0), "1970-01-01T00:00:00.007Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00.007Z");
        assert_eq!(at(1_709_251_199), "2024-02-29T23:59:59.007Z");
        assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00.007Z");
    }

    #[test]
    fn foreign_text_cannot_end_a_line_or_steer_a_terminal() {
        let nasty = b"a\nb\x1b[2Jc\xff\\d\xe2\x80\xae";
        assert_eq!(escaped(nasty), "a\\nb\\u{1b}[2Jc\\xff\\\\d\\u{202e}");
        assert_eq!(escaped("naïve 名前".as_bytes()), "naïve 名前");
    }

    #[test]
    fn lines_are_objects_for_the_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.log");
        let log = AuditLog::new(Some(path.clone()));
        log.check().unwrap();
        log.write(&Event::ServerStart { software: "limosa", pid: 7 });
        log.write(&Event::Login {
            outcome: "refused",
            user: escaped(b"x\ny"),
            peer: "192.0.2.1:5".parse().unwrap(),
            method: "password",
            key: None,
            reason: Some("wrong password"),
        });
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((lines.len(), &lines[0]["event"], &lines[1]["user"]), (2, &"server-start".into(), &"x\\ny".into()));
    }
}
