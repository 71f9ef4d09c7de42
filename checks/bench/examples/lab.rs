//! `lab LINE [RUNS [LIMOSA]]` or
//! `lab CLIENT_NS SERVER_NS SERVER_ADDRESS RATE_MBIT RTT_MS LOSS_PERCENT [RUNS [LIMOSA]]`:
//! runs `limosa send` in one network namespace against OpenSSH in the other, and
//! prints every run and the median. A LINE such as `1gbit,100ms,1%` is made
//! here; or there are two namespaces with one between them. Needs root, `ip`,
//! `sshd`, `ssh-keygen`, and the release build of `limosa`.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use limosa_bench::lab::{Line, measure, median, send};
use limosa_bench::network::{Medium, Pair, Place};
use limosa_bench::remains;
use limosa_bench::scratch::{Scratch, beside, same, write_noise};
use limosa_bench::server::Sshd;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What the runs are made over.
struct Lab {
    /// A line of our own.
    pair: Option<Pair>,
    client: String,
    server: Place,
    line: Line,
    /// As it was given.
    words: String,
}

impl Lab {
    /// Reads it from the first words; gives back the others.
    fn set_up(words: &[String]) -> Result<(Self, &[String])> {
        match words {
            [line, rest @ ..] if line.contains(',') => {
                let medium: Medium = line.parse()?;
                let Medium::Line(settings) = &medium else { return Err("not a line".into()) };
                let pair = Pair::joined_by(&medium, 1)?;
                let [client, server] = pair.places.clone();
                let (client, words) = (client.namespace.unwrap_or_default(), line.clone());
                Ok((Self { line: Line::of(settings), pair: Some(pair), client, server, words }, rest))
            }
            [client, server, address, rate, rtt, loss, rest @ ..] => {
                let line = Line {
                    rate: rate.parse::<f64>()? * 1e6,
                    rtt: Duration::from_secs_f64(rtt.parse::<f64>()? / 1e3),
                    loss: loss.parse::<f64>()? / 100.0,
                };
                let server = Place { namespace: Some(server.clone()), address: address.parse()? };
                let words = format!("{rate} Mbit/s, {rtt} ms, {loss} %");
                Ok((Self { pair: None, client: client.clone(), server, line, words }, rest))
            }
            _ => Err("lab LINE or CLIENT_NS SERVER_NS SERVER_ADDRESS RATE_MBIT RTT_MS LOSS_PERCENT, \
                      then [RUNS [LIMOSA]]"
                .into()),
        }
    }

    /// Share of the packets that the emulator was late with, in percent, since
    /// the line was made.
    fn late(&self) -> Option<f64> {
        let figures = self.pair.as_ref()?.figures()?;
        figures.iter().map(|direction| 100.0 * direction.late_share()).reduce(f64::max)
    }
}

fn main() -> Result<()> {
    remains::go_when_interrupted()?;
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (lab, rest) = Lab::set_up(&words)?;
    let line = lab.line;
    let runs: usize = rest.first().map_or(Ok(3), |runs| runs.parse())?;
    let limosa = rest.get(1).map_or_else(|| beside("limosa"), |path| Ok(PathBuf::from(path)))?;
    let scratch = Scratch::in_memory("lab")?;
    let source = scratch.path("source");
    write_noise(&source, line.bytes_for_a_fair_run())?;
    let _sshd = Sshd::start(&lab.server, 22, &scratch)?;
    let address = lab.server.address;
    let mut figures = Vec::new();
    for number in 1..=runs {
        let destination = scratch.path("arrived");
        // A guest's memory is fetched from its host when it is first touched,
        // and the emulator of the line stands still meanwhile.
        fs::copy(&source, &destination)?;
        fs::remove_file(&destination)?;
        let target = format!("root@[{address}]:{}", destination.display());
        let command = send(&lab.client, &limosa, &scratch, &source, &target);
        let run = measure(&command, &line)?;
        if !same(&source, &destination)? {
            return Err("what arrived is not what was sent".into());
        }
        fs::remove_file(&destination)?;
        println!(
            "run {number}: steady {}, whole {:.1} % in {:.1} s, 90 % after {}, redundant {:.2} %, SSH set-up {:.2} s{}",
            run.steady.map_or("-".into(), |steady| format!("{steady:.1} %")),
            run.whole,
            run.seconds,
            run.started.map_or("-".into(), |started| format!("{started:.1} s")),
            run.redundant,
            run.ssh.0,
            lab.late().map_or_else(String::new, |late| format!(", {late:.2} % late")),
        );
        figures.push(run);
    }
    let steady = median(figures.iter().map(|run| run.steady.unwrap_or(0.0)).collect());
    let whole = median(figures.iter().map(|run| run.whole).collect());
    println!("| {} | steady {:.1} % | whole {:.1} % |", lab.words, steady.unwrap_or(0.0), whole.unwrap_or(0.0));
    Ok(())
}
