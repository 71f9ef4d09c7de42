//! ```text
//! sharing [--line LINE]... [--laws LAW,...] [--beside KIND,...] [--first rival|other|both]
//!        [--seconds N] [--runs N] [--segments offloaded|single] [--source FILE] [--limosa PROGRAM]
//! ```
//!
//! What is left to a TCP flow of the kernel's when another flow shares its line:
//! Limosa under a policy (`fair`, `high`, `low`), or TCP under a law such as
//! `cubic` or `bbr`, as a measure of what such flows leave each other. Prints
//! every run, and a table of medians. What misses its bar is bold: `fair` takes
//! 35 % of the line and leaves 80 % of half of what the other has alone, `low`
//! takes at most 10 %.
//!
//! A LINE is one of the simulator's, such as `200mbit,50ms,queue=1bdp`. The
//! second flow starts 5 s after the first; goodput is the median of that of each
//! second from a quarter of the run to its end.
//!
//! Needs Linux, root, `ip`, `sshd`, `ssh-keygen` and the release build of
//! `limosa`. The content to send is made first, or given as a file that several
//! calls at a time may share; 120 s take 15 MB for each Mbit/s of the line.

use std::error::Error;
use std::time::Duration;

use limosa_bench::flow::Kind;
use limosa_bench::lab::{Line, median};
use limosa_bench::network::Medium;
use limosa_bench::remains;
use limosa_bench::scratch::{Scratch, beside, write_noise};
use limosa_bench::sharing::{First, LineReport, Run, Settings, Stage, keeps_its_bar, leaves_enough, left, share};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let settings = Settings::parse(std::env::args().skip(1))?;
    if !rustix::process::geteuid().is_root() {
        return Err("only root may make network namespaces".into());
    }
    remains::go_when_interrupted()?;
    for line in &settings.lines {
        share_line(&settings, line)?;
    }
    Ok(())
}

/// All pairs of flows over one line; then their table.
fn share_line(settings: &Settings, line: &str) -> Result<()> {
    let medium: Medium = line.parse()?;
    let Medium::Line(words) = &medium else { return Err("not a line".into()) };
    let rate = Line::of(words).rate;
    let scratch = Scratch::in_memory("sharing")?;
    let duration = Duration::from_secs(settings.seconds.into());
    let source = settings.source.clone().unwrap_or_else(|| scratch.path("source"));
    let mut kinds = settings.laws.iter().chain(&settings.beside);
    if settings.source.is_none() && kinds.any(|kind| matches!(kind, Kind::Limosa(_))) {
        // As much as the line carries if nobody else uses it.
        write_noise(&source, (rate / 8.0 * duration.as_secs_f64()) as u64)?;
    }
    let limosa = settings.limosa.clone().map_or_else(|| beside("limosa"), Ok)?;
    let segments = settings.segments;
    let stage = Stage { medium: &medium, segments, duration, limosa: &limosa, source: &source, scratch: &scratch };
    let mut table = Vec::new();
    for (index, law) in settings.laws.iter().enumerate() {
        let alone = attempt(&stage, line, &[law], 1)?.goodput[0];
        for (other, first) in settings.pairs(index) {
            let kinds = if first == First::Rival { [law, other] } else { [other, law] };
            let runs = (1..=settings.runs).map(|number| attempt(&stage, line, &kinds, number));
            let runs = runs.collect::<Result<Vec<_>>>()?;
            table.push(row(line, rate, (law, alone), (other, first), &runs));
        }
    }
    println!("\n{}\n{}", HEAD, table.join("\n"));
    Ok(())
}

/// One run; prints what it gave.
fn attempt(stage: &Stage<'_>, line: &str, kinds: &[&Kind], number: usize) -> Result<Run> {
    let run = stage.run(kinds)?;
    let names: Vec<String> = kinds.iter().map(ToString::to_string).collect();
    let megabits = |rates: &[f64]| {
        let each: Vec<String> = rates.iter().map(|rate| format!("{:.1}", rate / 1e6)).collect();
        each.join(" + ")
    };
    let report = run.line.map_or_else(String::new, |line| {
        let [median, tail] = line.queue.map(milliseconds);
        let [dropped, datagrams, late] = [line.dropped, line.dropped_datagrams, line.late].map(|share| share * 100.0);
        format!(
            ", queue {median:.1} / {tail:.1} ms, {dropped:.2} % dropped ({datagrams:.2} % of UDP), {late:.2} % late"
        )
    });
    let (goodput, mean) = (megabits(&run.goodput), megabits(&run.mean));
    println!("{line}: {} {number}: {goodput} Mbit/s (mean {mean}){report}", names.join(", then "));
    Ok(run)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

const HEAD: &str = "\
| line | beside | flow | who is first | it has | the other has | of half of what that has alone | queue median / p95 | dropped | of Limosa's | late |
|---|---|---|---|---|---|---|---|---|---|---|";

fn row(line: &str, rate: f64, (law, alone): (&Kind, f64), (other, first): (&Kind, First), runs: &[Run]) -> String {
    let (ours, theirs) = if first == First::Rival { (1, 0) } else { (0, 1) };
    let taken = share(middle(runs, |run| run.goodput[ours]), other, rate);
    let goodput = middle(runs, |run| run.goodput[theirs]);
    let left = left(goodput, alone);
    let of_line = |figure: fn(&LineReport) -> f64| middle(runs, |run| run.line.as_ref().map_or(f64::NAN, figure));
    format!(
        "| {line} | {law} | {other} | {} | {} | {:.0} % | {} | {:.1} / {:.1} ms | {:.2} % | {:.2} % | {:.2} % |",
        if first == First::Rival { law } else { other },
        barred(taken, keeps_its_bar(other, taken)),
        share(goodput, law, rate) * 100.0,
        barred(left, leaves_enough(other, left)),
        of_line(|line| milliseconds(line.queue[0])),
        of_line(|line| milliseconds(line.queue[1])),
        of_line(|line| line.dropped * 100.0),
        of_line(|line| line.dropped_datagrams * 100.0),
        of_line(|line| line.late * 100.0),
    )
}

fn middle(runs: &[Run], figure: impl Fn(&Run) -> f64) -> f64 {
    median(runs.iter().map(figure).collect()).unwrap_or(f64::NAN)
}

fn barred(figure: f64, good: bool) -> String {
    let mark = if good { "" } else { "**" };
    format!("{mark}{:.0} %{mark}", figure * 100.0)
}
