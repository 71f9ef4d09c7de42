//! Outcomes as rows of a text table, rounded so that they can be kept as
//! snapshots and compared in a diff.

use std::fmt;
use std::time::Duration;

use crate::outcome::Outcome;

/// A table with one row per run.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<(String, Outcome)>,
}

impl Table {
    /// Adds a row.
    pub fn add(&mut self, name: impl Into<String>, outcome: Outcome) {
        self.rows.push((name.into(), outcome));
    }

    fn name_width(&self) -> usize {
        self.rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).max(8)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.name_width();
        writeln!(
            f,
            "{:width$}  use%  2nd half%  90% after RTT  own loss%  queue ms med  p95  Jain  shares of 2nd half%",
            "scenario"
        )?;
        for (name, outcome) in &self.rows {
            row(f, name, width, outcome)?;
        }
        Ok(())
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, width: usize, outcome: &Outcome) -> fmt::Result {
    let half = outcome.second_half();
    let percent = |share: f64| share * 100.0;
    let start = outcome
        .time_to(0.9)
        .map_or("never".to_owned(), |after| format!("{:.1}", after.as_secs_f64() / outcome.rtt.as_secs_f64()));
    let shares: Vec<String> =
        (0..outcome.flows.len()).map(|flow| format!("{:.1}", percent(outcome.share(flow, &half)))).collect();
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    writeln!(
        f,
        "{name:width$} {:5.1} {:10.1} {start:>14} {:10.2} {:13.1} {:4.0} {:5.2}  {}",
        percent(outcome.use_of_line(&outcome.whole())),
        percent(outcome.use_of_line(&half)),
        percent(outcome.own_loss()),
        millis(outcome.standing_queue(0.5)),
        millis(outcome.standing_queue(0.95)),
        outcome.jain(&half),
        shares.join(" "),
    )
}
