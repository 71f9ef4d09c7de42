//! `lab CLIENT_NS SERVER_NS SERVER_ADDRESS RATE RTT_MS LOSS_PERCENT [RUNS]`:
//! runs `limosa send` in one network namespace against OpenSSH in the other,
//! over whatever line is between them, and prints every run and the median.
//! Needs root, `ip`, `sshd`, `ssh-keygen`, and the release build of `limosa`.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use limosa_bench::lab::{Line, measure, median};
use limosa_bench::network::Place;
use limosa_bench::scratch::{Scratch, beside, write_noise};
use limosa_bench::server::Sshd;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [client, server, address, rate, rtt, loss, rest @ ..] = &words[..] else {
        return Err("lab CLIENT_NS SERVER_NS SERVER_ADDRESS RATE_MBIT RTT_MS LOSS_PERCENT [RUNS [LIMOSA]]".into());
    };
    let line = Line {
        rate: rate.parse::<f64>()? * 1e6,
        rtt: Duration::from_secs_f64(rtt.parse::<f64>()? / 1e3),
        loss: loss.parse::<f64>()? / 100.0,
    };
    let runs: usize = rest.first().map_or(Ok(3), |runs| runs.parse())?;
    let limosa = rest.get(1).map_or_else(|| beside("limosa"), |path| Ok(PathBuf::from(path)))?;
    let scratch = Scratch::in_memory("lab")?;
    let source = scratch.path("source");
    write_noise(&source, line.bytes_for_a_fair_run())?;
    let _sshd = Sshd::start(&Place { namespace: Some(server.clone()), address: address.parse()? }, 22, &scratch)?;
    let mut figures = Vec::new();
    for number in 1..=runs {
        let destination = scratch.path("arrived");
        // A guest's memory is fetched from its host when it is first touched,
        // and the emulator of the line stands still meanwhile.
        fs::copy(&source, &destination)?;
        fs::remove_file(&destination)?;
        let command =
            command(client, &limosa, &scratch, &source, &format!("root@[{address}]:{}", destination.display()));
        let run = measure(&command, &line)?;
        same(&source, &destination)?;
        fs::remove_file(&destination)?;
        println!(
            "run {number}: steady {}, whole {:.1} % in {:.1} s, 90 % after {}, redundant {:.2} %, SSH set-up {:.2} s",
            run.steady.map_or("-".into(), |steady| format!("{steady:.1} %")),
            run.whole,
            run.seconds,
            run.started.map_or("-".into(), |started| format!("{started:.1} s")),
            run.redundant,
            run.ssh.0,
        );
        figures.push(run);
    }
    let steady = median(figures.iter().map(|run| run.steady.unwrap_or(0.0)).collect());
    let whole = median(figures.iter().map(|run| run.whole).collect());
    println!(
        "| {rate} Mbit/s | {rtt} ms | {loss} % | steady {:.1} % | whole {:.1} % |",
        steady.unwrap_or(0.0),
        whole.unwrap_or(0.0)
    );
    Ok(())
}

fn command(client: &str, limosa: &Path, scratch: &Scratch, source: &Path, destination: &str) -> Vec<String> {
    let text = |path: &Path| path.display().to_string();
    let words = ["ip", "netns", "exec", client].map(String::from).into_iter();
    let words = words.chain([text(limosa), "send".into(), "--json".into(), "--ssh".into(), "builtin".into()]);
    let words = words.chain(["--port".into(), "22".into(), "--durability".into(), "none".into()]);
    let words = words.chain(["--identity".into(), text(&scratch.path("id")), "--accept-new".into()]);
    let words = words.chain(["--known-hosts".into(), text(&scratch.path("known_hosts"))]);
    let words = words.chain(["--remote-command".into(), format!("{} session", limosa.display())]);
    words.chain([text(source), destination.into()]).collect()
}

fn same(left: &Path, right: &Path) -> Result<()> {
    let status = Command::new("cmp").args([left, right]).status()?;
    if status.success() { Ok(()) } else { Err("what arrived is not what was sent".into()) }
}
