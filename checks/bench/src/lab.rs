//! Goodput over a line between two network namespaces, with the programs as
//! they are installed: `limosa send` on one side, OpenSSH and `limosa session`
//! on the other.
//!
//! Two figures, never mixed. *Steady*: from the first time at 90 % of what the
//! line can carry to the last byte that was acknowledged in flow, in percent of
//! line x (1 - loss) x payload share. *Whole*: from the first datagram to the
//! verified end.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use limosa_sim::LineSettings;
use serde_json::Value;

use crate::scratch::Scratch;

/// Share of a 1,500-byte IPv4 packet that is payload of the linear space.
pub const PAYLOAD_SHARE: f64 = 1436.0 / 1500.0;
/// Share of the possible rate at which start-up counts as over.
const STARTED: f64 = 0.9;
/// Most bytes of a run: source and copy are both in memory.
const HELD_IN_MEMORY: u64 = 8_000_000_000;

/// A line as it was set up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Bits per second, IP packets counted whole.
    pub rate: f64,
    /// Round trip without queueing.
    pub rtt: Duration,
    /// Loss each way, 0 to 1.
    pub loss: f64,
}

impl Line {
    /// Bits per second of payload that the line can carry at best.
    #[must_use]
    pub fn possible(&self) -> f64 {
        self.rate * (1.0 - self.loss) * PAYLOAD_SHARE
    }

    /// What a line in words comes to in the way of the data.
    #[must_use]
    pub fn of(settings: &LineSettings) -> Self {
        let forward = &settings.forward;
        Self { rate: forward.rate.bits_per_second() as f64, rtt: settings.rtt(), loss: forward.total_loss() }
    }

    /// Bytes for a transfer of at least 30 s and 100 round trips, but no more
    /// than memory should hold twice.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn bytes_for_a_fair_run(&self) -> u64 {
        let seconds = (100.0 * self.rtt.as_secs_f64()).max(30.0);
        ((self.possible() / 8.0 * seconds) as u64).min(HELD_IN_MEMORY)
    }
}

/// Figures of one run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Run {
    /// Percent of what is possible, start-up left out; `None` if 90 % was
    /// never reached.
    pub steady: Option<f64>,
    /// Percent of what is possible, first datagram to verified end.
    pub whole: f64,
    /// Seconds of that.
    pub seconds: f64,
    /// Seconds until 90 % was reached.
    pub started: Option<f64>,
    /// Percent of the bytes sent that were not needed.
    pub redundant: f64,
    /// Seconds and round trips of the SSH set-up before.
    pub ssh: (f64, Option<u64>),
}

/// A `limosa send` in a network namespace to OpenSSH and `limosa session`: the
/// words of a command that prints JSON lines. Options go before its last two
/// words, source and destination.
#[must_use]
pub fn send(client: &str, limosa: &Path, scratch: &Scratch, source: &Path, destination: &str) -> Vec<String> {
    let text = |path: &Path| path.display().to_string();
    let words = ["ip", "netns", "exec", client].map(String::from).into_iter();
    let words = words.chain([text(limosa), "send".into(), "--json".into(), "--ssh".into(), "builtin".into()]);
    let words = words.chain(["--port".into(), "22".into(), "--durability".into(), "none".into()]);
    let words = words.chain(["--identity".into(), text(&scratch.path("id")), "--accept-new".into()]);
    let words = words.chain(["--known-hosts".into(), text(&scratch.path("known_hosts"))]);
    let words = words.chain(["--remote-command".into(), format!("{} session", limosa.display())]);
    words.chain([text(source), destination.into()]).collect()
}

/// Runs a client command that prints JSON lines, and measures it.
///
/// # Errors
/// If it cannot be run, fails, or says nothing that can be measured.
pub fn measure<S: AsRef<OsStr>>(command: &[S], line: &Line) -> Result<Run, String> {
    let (program, arguments) = command.split_first().ok_or("no command")?;
    let child = Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| format!("{}: {error}", program.as_ref().display()))?;
    let output = child.stdout.take().ok_or("no output")?;
    let lines = BufReader::new(output).lines().map_while(Result::ok);
    let events: Vec<Value> = lines.filter_map(|line| serde_json::from_str(&line).ok()).collect();
    let status = child.wait().map_err(|error| error.to_string())?;
    let last = events.last().ok_or("the client printed nothing")?;
    if !status.success() {
        return Err(format!("the client failed: {last}"));
    }
    figures(&events, line).ok_or_else(|| format!("the client's figures are not complete: {last}"))
}

/// A moment of a transfer: seconds and bytes that have crossed.
type Moment = (f64, f64);

fn figures(events: &[Value], line: &Line) -> Option<Run> {
    let named = |name: &str| events.iter().filter(move |event| event["event"] == name).collect::<Vec<_>>();
    let moments: Vec<Moment> = named("progress")
        .iter()
        .filter_map(|event| Some((event["seconds"].as_f64()?, event["bytes_crossed"].as_f64()?)))
        .collect();
    let summary = *named("summary").last()?;
    let seconds = summary["seconds"].as_f64()?;
    let bytes = summary["here"]["bytes"].as_f64()?.max(summary["there"]["bytes"].as_f64().unwrap_or(0.0));
    let connected = named("connected");
    let connected = connected.first()?;
    let start = start_of_steady(&moments, line);
    Some(Run {
        steady: start.and_then(|start| steady(&moments, start, line)),
        whole: 100.0 * bytes * 8.0 / seconds / line.possible(),
        seconds,
        started: start.map(|(at, _)| at),
        redundant: 100.0 * summary["redundant_bytes"].as_f64()? / summary["new_bytes"].as_f64()?.max(1.0),
        ssh: (connected["ssh_seconds"].as_f64()?, connected["ssh_round_trips"].as_u64()),
    })
}

/// First moment at which the rate over about a round trip reaches 90 %.
fn start_of_steady(moments: &[Moment], line: &Line) -> Option<Moment> {
    let window = line.rtt.as_secs_f64().max(0.3);
    moments.iter().enumerate().find_map(|(index, &(at, bytes))| {
        let (before, crossed) = *moments[..index].iter().rev().find(|(before, _)| at - before >= window)?;
        let rate = (bytes - crossed) * 8.0 / (at - before);
        (rate >= STARTED * line.possible()).then_some((at, bytes))
    })
}

/// Percent of the possible from `start` until the flow ended.
fn steady(moments: &[Moment], start: Moment, line: &Line) -> Option<f64> {
    let total = moments.last()?.1;
    let end = moments.iter().rev().find(|(_, bytes)| *bytes < total)?;
    let (seconds, bytes) = (end.0 - start.0, end.1 - start.1);
    (seconds > 1.0).then(|| 100.0 * bytes * 8.0 / seconds / line.possible())
}

/// The middle one of some figures, or what is between the middle two.
#[must_use]
pub fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    let upper = figures.get(figures.len() / 2)?;
    let lower = figures.get((figures.len() - 1) / 2)?;
    Some(f64::midpoint(*lower, *upper))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const LINE: Line = Line { rate: 8e6 / PAYLOAD_SHARE, rtt: Duration::from_millis(100), loss: 0.0 };

    #[test]
    fn start_up_and_tail_are_left_out_of_steady_and_not_of_whole() {
        // 1 MB/s possible: two seconds of nothing, then full rate for ten.
        let mut events = vec![json!({"event": "connected", "ssh_seconds": 0.5, "ssh_round_trips": 8})];
        for tenth in 0..=120_u32 {
            let crossed = tenth.saturating_sub(20) * 100_000;
            events.push(json!({"event": "progress", "seconds": f64::from(tenth) / 10.0, "bytes_crossed": crossed}));
        }
        events.push(json!({
            "event": "summary", "seconds": 12.5, "here": {"bytes": 10_000_000}, "there": null,
            "new_bytes": 10_000_000, "redundant_bytes": 50_000,
        }));
        let run = figures(&events, &LINE).unwrap();
        assert!((run.steady.unwrap() - 100.0).abs() < 0.1, "{run:?}");
        assert!((run.whole - 80.0).abs() < 0.1, "{run:?}");
        assert!((run.redundant - 0.5).abs() < 1e-9, "{run:?}");
        assert!(run.started.unwrap() > 2.0 && run.started.unwrap() < 2.6, "{run:?}");
    }

    #[test]
    fn a_line_that_was_never_filled_has_no_steady_figure() {
        let moments: Vec<Moment> =
            (0..100).map(|tenth| (f64::from(tenth) / 10.0, f64::from(tenth) * 50_000.0)).collect();
        assert_eq!(start_of_steady(&moments, &LINE), None);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 8.0]), Some(3.0));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn fair_runs_last_thirty_seconds_or_a_hundred_round_trips() {
        assert_eq!(LINE.bytes_for_a_fair_run(), 30_000_000);
        let far = Line { rtt: Duration::from_secs(1), ..LINE };
        assert_eq!(far.bytes_for_a_fair_run(), 100_000_000);
        let fast = Line { rate: 1000.0 * LINE.rate, ..far };
        assert_eq!(fast.bytes_for_a_fair_run(), HELD_IN_MEMORY);
    }
}
