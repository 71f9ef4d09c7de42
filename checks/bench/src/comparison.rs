//! What many trials of many programs come to: a record of them all, and a
//! table.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::lab::median;
use crate::trial::{Ending, Trial};

/// Trials over the same line with the same content.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// By program, in the order they were first tried.
    trials: Vec<(String, Vec<Trial>)>,
}

impl Comparison {
    /// How often a program was tried.
    #[must_use]
    pub fn count(&self, peer: &str) -> usize {
        self.trials.iter().find(|(name, _)| name == peer).map_or(0, |(_, trials)| trials.len())
    }

    /// Adds a trial.
    pub fn add(&mut self, peer: &str, trial: Trial) {
        match self.trials.iter_mut().find(|(name, _)| name == peer) {
            Some((_, trials)) => trials.push(trial),
            None => self.trials.push((peer.to_owned(), vec![trial])),
        }
    }

    /// A Markdown table, the fastest first: every run, and the median of goodput
    /// and of CPU time. `*` marks runs that were stopped when their time was
    /// over, `!` those that failed; the bytes that had arrived count.
    #[must_use]
    pub fn table(&self) -> String {
        let mut rows: Vec<(f64, String)> = self.trials.iter().map(|(peer, trials)| row(peer, trials)).collect();
        rows.sort_by(|one, other| other.0.total_cmp(&one.0));
        let head = "| program | goodput, every run (Mbit/s) | median | seconds | CPU s/GB |\n| --- | --- | --- | --- | --- |\n";
        rows.into_iter().fold(head.to_owned(), |table, (_, row)| table + &row)
    }
}

/// A line of the table, and what it is sorted by.
fn row(peer: &str, trials: &[Trial]) -> (f64, String) {
    let middle = |of: fn(&Trial) -> f64| median(trials.iter().map(of).collect()).unwrap_or(f64::NAN);
    let goodput = middle(Trial::goodput);
    let mut runs = String::new();
    for trial in trials {
        let mark = match trial.ending {
            Ending::Done => "",
            Ending::Stopped => "*",
            Ending::Failed => "!",
        };
        let separator = if runs.is_empty() { "" } else { ", " };
        let _ = write!(runs, "{separator}{}{mark}", megabits(trial.goodput()));
    }
    let all_done = trials.iter().all(|trial| trial.ending == Ending::Done);
    let cpu = match all_done {
        true => format!("{:.1}", middle(Trial::cpu_per_gigabyte)),
        false => "-".to_owned(),
    };
    let seconds = middle(|trial| trial.seconds);
    (goodput, format!("| {peer} | {runs} | {} | {seconds:.1} | {cpu} |\n", megabits(goodput)))
}

/// Three figures that count.
fn megabits(goodput: f64) -> String {
    match goodput / 1e6 {
        small if small < 10.0 => format!("{small:.2}"),
        some if some < 100.0 => format!("{some:.1}"),
        many => format!("{many:.0}"),
    }
}

/// A file that keeps trials from one call of the program to the next.
#[derive(Debug)]
pub struct Record(PathBuf);

impl Record {
    /// The one at `path`, which need not be there yet.
    #[must_use]
    pub const fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Everything that it holds, by line and content.
    ///
    /// # Errors
    /// If it is there and cannot be read.
    pub fn read(&self) -> io::Result<BTreeMap<(String, String), Comparison>> {
        let mut held: BTreeMap<_, Comparison> = BTreeMap::new();
        let text = match fs::read_to_string(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(held),
            text => text?,
        };
        for line in text.lines() {
            let value: Value = serde_json::from_str(line)?;
            let word = |key: &str| value[key].as_str().map(str::to_owned).ok_or(io::ErrorKind::InvalidData);
            let trial = Trial::from_json(&value["trial"]).ok_or(io::ErrorKind::InvalidData)?;
            held.entry((word("line")?, word("content")?)).or_default().add(&word("peer")?, trial);
        }
        Ok(held)
    }

    /// Adds a trial.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn add(&self, line: &str, content: &str, peer: &str, trial: &Trial) -> io::Result<()> {
        let entry = json!({ "line": line, "content": content, "peer": peer, "trial": trial.to_json() });
        let mut file = OpenOptions::new().create(true).append(true).open(&self.0)?;
        writeln!(file, "{entry}")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scratch::Scratch;

    fn trial(ending: Ending, bytes: u64) -> Trial {
        Trial { ending, seconds: 8.0, bytes, cpu: Duration::from_secs(2), stolen: Duration::ZERO }
    }

    #[test]
    fn the_fastest_stands_first_and_who_did_not_end_is_marked() {
        let mut comparison = Comparison::default();
        comparison.add("slow", trial(Ending::Stopped, 5_000_000));
        comparison.add("slow", trial(Ending::Failed, 6_000_000));
        for bytes in [900_000_000, 1_000_000_000, 1_100_000_000] {
            comparison.add("fast", trial(Ending::Done, bytes));
        }
        let table = comparison.table();
        let rows: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(
            rows,
            ["| fast | 900, 1000, 1100 | 1000 | 8.0 | 2.0 |", "| slow | 5.00*, 6.00! | 5.50 | 8.0 | - |",]
        );
    }

    #[test]
    fn a_record_gives_back_what_was_added() {
        let scratch = Scratch::below(&std::env::temp_dir(), "record").unwrap();
        let record = Record::at(scratch.path("trials"));
        assert!(record.read().unwrap().is_empty());
        for (line, peer) in [("1gbit,1ms", "scp"), ("veth-1500", "scp"), ("veth-1500", "scp")] {
            record.add(line, "1000000 bytes", peer, &trial(Ending::Done, 1)).unwrap();
        }
        let held = record.read().unwrap();
        let count = |line: &str| held[&(line.to_owned(), "1000000 bytes".to_owned())].count("scp");
        assert_eq!((count("1gbit,1ms"), count("veth-1500")), (1, 2));
    }
}
