//! `cpu [GIGABYTES [RUNS [loopback|veth-MTU]...]]`: what a byte costs from file
//! to file, in CPU time, beside the least that its stages cost on this machine.
//!
//! First the floor, stage by stage ([`limosa_bench::floor`]), then by turns the
//! whole floor and `limosa send` to `limosad serve`, with everything that both
//! processes do counted. Files are in memory. Needs `ssh-keygen` and the release
//! builds of `limosa` and `limosad`; for `veth` also root and `ip`.

use std::error::Error;
use std::fs;
use std::process::Stdio;
use std::time::Duration;

use limosa_bench::floor::{Cost, Floor, Stages};
use limosa_bench::lab::median;
use limosa_bench::network::{Pair, Place};
use limosa_bench::processor;
use limosa_bench::scratch::{Scratch, beside, write_noise};
use limosa_bench::server::Limosad;
use serde_json::Value;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The stages as they are added.
const STAGES: [(&str, Stages); 3] = [
    ("datagrams alone", Stages { protection: false, digest: false, files: false }),
    ("with protection", Stages { protection: true, digest: false, files: false }),
    ("with digests", Stages { protection: true, digest: true, files: false }),
];
const FLOOR: Stages = Stages { protection: true, digest: true, files: true };
/// Largest packet that is used on loopback.
const LOOPBACK_PACKET: usize = 9000;

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let gigabytes: f64 = words.next().map_or(Ok(2.0), |word| word.parse())?;
    let runs: usize = words.next().map_or(Ok(3), |word| word.parse())?;
    let mut lines: Vec<String> = words.collect();
    if lines.is_empty() {
        lines = ["loopback", "veth-1500", "veth-9000"].map(str::to_owned).into();
    }
    let length = (gigabytes * 1e9) as u64 >> 20 << 20;
    let scratch = Scratch::in_memory("cpu")?;
    write_noise(&scratch.path("source"), length)?;
    for line in &lines {
        let pair;
        let (places, packet) = match line.strip_prefix("veth-") {
            None => ([Place::loopback(), Place::loopback()], LOOPBACK_PACKET),
            Some(mtu) => {
                let mtu = mtu.parse()?;
                pair = Pair::make(mtu)?;
                (pair.places.clone(), mtu)
            }
        };
        println!("{line}, packets of {packet} bytes, {length} bytes, medians of {runs}");
        let run = Run { scratch: &scratch, places: &places, packet, length, runs };
        run.stages()?;
        run.beside_the_floor()?;
    }
    Ok(())
}

struct Run<'a> {
    scratch: &'a Scratch,
    places: &'a [Place; 2],
    packet: usize,
    length: u64,
    runs: usize,
}

impl Run<'_> {
    /// The floor's stages without files, one after the other.
    fn stages(&self) -> Result<()> {
        for (name, stages) in STAGES {
            let costs: Result<Vec<Cost>> = (0..self.runs).map(|_| self.floor(stages)).collect();
            self.tell(name, &costs?, "");
        }
        Ok(())
    }

    /// The floor and Limosa by turns, so that both have the same machine.
    fn beside_the_floor(&self) -> Result<()> {
        let docroot = self.scratch.path("docroot");
        let server = Limosad::start_at(&self.places[1], &beside("limosad")?, self.scratch, &docroot)?;
        let (mut floors, mut costs, mut again) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.runs {
            floors.push(self.floor(FLOOR)?);
            let (cost, repeated) = self.transfer(&server)?;
            costs.push(cost);
            again.push(format!("{repeated:.1}"));
            fs::remove_file(docroot.join("arrived"))?;
        }
        self.tell("with files: the floor", &floors, "");
        self.tell("limosa send", &costs, &format!("; sent again: {} %", again.join(" ")));
        fs::remove_dir_all(self.scratch.path("state"))?;
        fs::remove_file(self.scratch.path("id"))?;
        Ok(())
    }

    fn floor(&self, stages: Stages) -> Result<Cost> {
        let target = self.scratch.path("floor");
        let source = self.scratch.path("source");
        let places = self.places.each_ref();
        let floor =
            Floor { places, packet: self.packet, length: self.length, stages, source: &source, target: &target };
        let cost = floor.run()?;
        fs::remove_file(&target)?;
        Ok(cost)
    }

    /// One transfer, and the percentage of its bytes that was repeated.
    fn transfer(&self, server: &Limosad) -> Result<(Cost, f64)> {
        let place = |name: &str| self.scratch.path(name).display().to_string();
        let mut client = self.places[0].command(&beside("limosa")?);
        client.args(["send", "--json", "--ssh", "builtin", "--port", &server.ssh.port().to_string()]);
        client.args(["--identity", &place("id"), "--known-hosts", &place("known_hosts"), "--accept-new"]);
        client.args(["--durability", "none", &place("source"), &format!("bench@{}:arrived", self.places[1].address)]);
        let times = || Some((processor::of_children()?, processor::of(server.process())?));
        let before = times().ok_or("CPU times are not told")?;
        let output = client.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
        let after = times().ok_or("CPU times are not told")?;
        let text = String::from_utf8(output.stdout)?;
        let summary: Value = serde_json::from_str(text.lines().last().ok_or("the client said nothing")?)?;
        let seconds = summary["seconds"].as_f64().filter(|_| summary["code"] == 0).ok_or("the transfer failed")?;
        let again: u64 = ["lost", "shed", "tail"]
            .iter()
            .map(|why| summary["sent_again"][why].as_u64())
            .sum::<Option<u64>>()
            .ok_or("the summary lacks what was sent again")?;
        let elapsed = Duration::from_secs_f64(seconds);
        let cost =
            Cost { elapsed, sender: after.0.saturating_sub(before.0), receiver: after.1.saturating_sub(before.1) };
        Ok((cost, 100.0 * again as f64 / self.length as f64))
    }

    /// A line with medians and every run's speed.
    fn tell(&self, name: &str, costs: &[Cost], more: &str) {
        let speed = |cost: &Cost| self.length as f64 * 8e-9 / cost.elapsed.as_secs_f64();
        let per_kilobyte = |time: Duration| time.as_nanos() as f64 / (self.length as f64 / 1000.0);
        let middle = |of: &dyn Fn(&Cost) -> f64| median(costs.iter().map(of).collect()).unwrap_or(f64::NAN);
        let all: Vec<String> = costs.iter().map(|cost| format!("{:.2}", speed(cost))).collect();
        println!(
            "  {name:<22} {:6.2} Gbit/s, sender {:4.0} ns/KB, receiver {:4.0} ns/KB (runs {}{more})",
            middle(&speed),
            middle(&|cost| per_kilobyte(cost.sender)),
            middle(&|cost| per_kilobyte(cost.receiver)),
            all.join(" "),
        );
    }
}
