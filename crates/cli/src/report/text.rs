//! Figures as people read them.

use std::borrow::Cow;
use std::time::Duration;

use limosa_session::{Outcome, SessionEvent};
use limosa_transfer::Event;
use limosa_wire::Code;

/// Bytes with a decimal unit: `1.2 GB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    #[allow(clippy::cast_precision_loss)]
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let decimals = usize::from(unit > 0 && value < 99.95);
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// Bytes in a time as a rate: `812 Mbit/s`.
pub(super) fn rate(count: u64, time: Duration) -> String {
    if time.is_zero() {
        return "-".to_owned();
    }
    #[allow(clippy::cast_precision_loss)]
    let per_second = count as f64 / time.as_secs_f64();
    limosa_wire::Rate::from_bytes_per_second(per_second).to_string()
}

/// A time as a person reads it: `3.2 s`, `4:05`, `2:03:00`.
pub(super) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{:.1} s", time.as_secs_f64()),
        60..3600 => format!("{}:{:02}", seconds / 60, seconds % 60),
        _ => format!("{}:{:02}:{:02}", seconds / 3600, seconds % 3600 / 60, seconds % 60),
    }
}

/// One line about a failed entry.
pub(super) fn failure(event: &SessionEvent) -> Option<String> {
    let SessionEvent::Entry(Event::Failed { path, failure, .. }) = event else { return None };
    Some(format!("{}: {}", path.printable(), coded(failure.code, &failure.detail)))
}

/// Summary of a code, with what is known more.
pub(crate) fn coded(code: Code, detail: &str) -> String {
    match detail {
        "" => format!("{} [{}]", code.summary(), code.number()),
        detail => format!("{} ({}) [{}]", code.summary(), one_line(detail), code.number()),
    }
}

/// What another program said in several lines, such as `ssh` with its frames
/// of `@`, in one.
fn one_line(detail: &str) -> Cow<'_, str> {
    if !detail.contains('\n') {
        return detail.into();
    }
    let bare = |line: &str| line.trim_matches(|c: char| c == '@' || c.is_whitespace()).to_owned();
    let lines: Vec<_> = detail.lines().map(bare).filter(|line| !line.is_empty()).collect();
    lines.join("; ").into()
}

/// The lines at the end, for people.
pub(super) fn ending(outcome: &Outcome) -> Vec<String> {
    let summary = outcome.summary;
    let moving = outcome.times.ended.saturating_sub(outcome.times.opened.unwrap_or_default());
    let mut lines = Vec::new();
    if outcome.times.opened.is_some() {
        let mut line = format!(
            "{} in {} files and directories, {} at {}",
            bytes(summary.bytes),
            summary.settled,
            duration(moving),
            rate(summary.bytes, moving)
        );
        let mut more = |count: u64, what: &str| {
            if count > 0 {
                line += &format!(", {count} {what}");
            }
        };
        more(summary.skipped, "there already");
        more(summary.failed, "failed");
        if summary.resumed > 0 {
            line += &format!(", {} found from before", bytes(summary.resumed));
        }
        lines.push(line);
    }
    if outcome.code != Code::OK {
        lines.push(format!("limosa: {}", coded(outcome.code, &outcome.detail)));
        if !outcome.code.advice().is_empty() {
            lines.push(format!("        {}", outcome.code.advice()));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_whatever_another_program_said() {
        let said = "ssh says: @@@@@@@\n@   WARNING: REVOKED   @\n@@@@@@@\nVerification failed.\n";
        let line = coded(Code::HOST_KEY_REVOKED, said);
        assert_eq!(line, "the host key is revoked (ssh says:; WARNING: REVOKED; Verification failed.) [303]");
    }

    #[test]
    fn figures_are_short() {
        for (count, text) in
            [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (123_456_789, "123 MB"), (999_600, "1.0 MB")]
        {
            assert_eq!(bytes(count), text);
        }
        assert_eq!(duration(Duration::from_millis(3200)), "3.2 s");
        assert_eq!(duration(Duration::from_secs(7383)), "2:03:03");
        assert_eq!(rate(125_000_000, Duration::from_secs(1)), "1.00 Gbit/s");
    }
}
