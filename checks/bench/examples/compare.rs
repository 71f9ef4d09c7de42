//! ```text
//! compare [--line LINE]... [--size BYTES | --tree COUNTxBYTES] [--runs N] [--cap SECONDS]
//!         [--peers NAME,...] [--programs DIRECTORY] [--record FILE]
//! ```
//!
//! Limosa beside what else moves files under encryption: the same content over
//! the same line, by turns, from file to file in memory, each byte compared.
//! Goodput is from the start of the command to its end, log-in included; CPU
//! time is that of the whole machine: both ends, servers, and the line's
//! emulator where there is one. Who is not done after the cap is stopped, and
//! what had arrived counts.
//!
//! A LINE is `RATE,RTT[,LOSS]` such as `1gbit,100ms,1%`, made by the kernel's
//! netem or else by an emulator; or `veth-1500`, `veth-9000` or `loopback`, where
//! only the machine limits. Without one there are four: 1 Gbit/s over 100 ms
//! with and without loss, and two of these. `--record` keeps all runs in a file,
//! so that many calls make one table; `--runs 0` only prints it.
//!
//! Needs Linux, root, `ip`, and the release builds of `limosa` and `limosad`.
//! Whatever peer is not installed is named and left out.

use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use limosa_bench::comparison::{Comparison, Record};
use limosa_bench::network::{Medium, Pair};
use limosa_bench::peer::{Peer, Stage, arrived, laws};
use limosa_bench::remains;
use limosa_bench::scratch::{Scratch, beside, same, write_noise};
use limosa_bench::trial::{Ending, Trial};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const LINES: [&str; 4] = ["1gbit,100ms,1%", "1gbit,100ms", "veth-1500", "loopback"];

/// What is moved.
#[derive(Clone, Copy, Debug)]
enum Content {
    File(u64),
    Tree { count: u64, each: u64 },
}

impl Content {
    fn bytes(self) -> u64 {
        match self {
            Self::File(bytes) => bytes,
            Self::Tree { count, each } => count * each,
        }
    }

    fn name(self) -> String {
        match self {
            Self::File(bytes) => format!("{bytes} bytes"),
            Self::Tree { count, each } => format!("{count} files of {each} bytes"),
        }
    }

    fn write(self, path: &Path) -> io::Result<()> {
        let Self::Tree { count, each } = self else { return write_noise(path, self.bytes()) };
        fs::create_dir(path)?;
        (0..count).try_for_each(|number| write_noise(&path.join(format!("{number:07}")), each))
    }
}

/// What was asked for.
struct Settings {
    lines: Vec<String>,
    content: Content,
    runs: usize,
    cap: Duration,
    peers: Vec<String>,
    programs: PathBuf,
    record: Option<Record>,
}

fn main() -> Result<()> {
    let settings = settings(std::env::args().skip(1))?;
    if !rustix::process::geteuid().is_root() {
        return Err("only root may make network namespaces".into());
    }
    remains::go_when_interrupted()?;
    let peers = peers(&settings)?;
    describe_machine(&settings);
    let content = Scratch::in_memory("content")?;
    let source = content.path("source");
    if settings.runs > 0 {
        settings.content.write(&source)?;
    }
    for line in &settings.lines {
        compare(&settings, line, &peers, &source)?;
    }
    Ok(())
}

fn settings(mut words: impl Iterator<Item = String>) -> Result<Settings> {
    let mut settings = Settings {
        lines: Vec::new(),
        content: Content::File(1_000_000_000),
        runs: 3,
        cap: Duration::from_secs(30),
        peers: Vec::new(),
        programs: beside("")?,
        record: None,
    };
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} wants a value"))?;
        match word.as_str() {
            "--line" => settings.lines.push(value),
            "--size" => settings.content = Content::File(bytes(&value)?),
            "--tree" => {
                let (count, each) = value.split_once('x').ok_or("a tree is COUNTxBYTES, such as 2000x100KiB")?;
                settings.content = Content::Tree { count: count.parse()?, each: bytes(each)? };
            }
            "--runs" => settings.runs = value.parse()?,
            "--cap" => settings.cap = Duration::from_secs_f64(value.parse()?),
            "--peers" => settings.peers.extend(value.split(',').map(str::to_owned)),
            "--programs" => settings.programs = value.into(),
            "--record" => settings.record = Some(Record::at(value.into())),
            _ => return Err(format!("{word} is not known; see the head of compare.rs").into()),
        }
    }
    if settings.lines.is_empty() {
        settings.lines = LINES.map(str::to_owned).into();
    }
    Ok(settings)
}

/// Reads `4096`, `100KiB`, `256MB`, `1GB`.
fn bytes(text: &str) -> Result<u64> {
    let units =
        [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("kB", 1000), ("MB", 1_000_000), ("GB", 1_000_000_000)];
    let found = units.into_iter().find_map(|(unit, scale)| Some((text.strip_suffix(unit)?, scale)));
    let (digits, scale) = found.unwrap_or((text, 1));
    Ok(digits.parse::<u64>()? * scale)
}

/// Those that were asked for and are there; says who is missing.
fn peers(settings: &Settings) -> Result<Vec<Peer>> {
    let is_tree = matches!(settings.content, Content::Tree { .. });
    let all = Peer::all(&laws()?);
    for name in &settings.peers {
        if !all.iter().any(|peer| peer.is_called(name)) {
            let names: Vec<String> = all.iter().map(ToString::to_string).collect();
            return Err(format!("no peer is called {name}; there are: {}", names.join(", ")).into());
        }
    }
    let asked = |peer: &Peer| settings.peers.is_empty() || settings.peers.iter().any(|name| peer.is_called(name));
    let fitting = all.into_iter().filter(|peer| asked(peer) && peer.program.fits(is_tree));
    Ok(fitting
        .filter(|peer| match peer.program.missing(&settings.programs) {
            Some(missing) => {
                println!("skipped: {peer}, for `{missing}` is not installed");
                false
            }
            None => true,
        })
        .collect())
}

/// The machine and the versions of all programs, one a line.
fn describe_machine(settings: &Settings) {
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = text("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    println!("{} x {}", cores(), model.map_or("unknown processor", |(_, model)| model));
    println!("Linux {}", text("/proc/sys/kernel/osrelease").trim());
    let limosa = settings.programs.join("limosa");
    let asks: [(&Path, &str); 7] = [
        (&limosa, "--version"),
        (Path::new("ssh"), "-V"),
        (Path::new("rsync"), "--version"),
        (Path::new("nginx"), "-v"),
        (Path::new("curl"), "--version"),
        (Path::new("aria2c"), "--version"),
        (Path::new("qcp"), "--version"),
    ];
    for (program, flag) in asks {
        let Ok(output) = Command::new(program).arg(flag).output() else { continue };
        let said = if output.stdout.is_empty() { output.stderr } else { output.stdout };
        println!("{}", String::from_utf8_lossy(&said).lines().next().unwrap_or_default());
    }
}

/// All peers over one line, by turns; then the table.
fn compare(settings: &Settings, line: &str, peers: &[Peer], source: &Path) -> Result<()> {
    let medium: Medium = line.parse()?;
    let content = settings.content.name();
    println!("\n{line}, {content}");
    let held = settings.record.as_ref().map_or(Ok(Default::default()), Record::read)?;
    let mut comparison: Comparison = held.get(&(line.to_owned(), content.clone())).cloned().unwrap_or_default();
    for _ in 0..settings.runs {
        for peer in peers {
            let name = peer.to_string();
            let number = comparison.count(&name) + 1;
            let trial = attempt(settings, &medium, peer, source, number as u64)?;
            if let Some(record) = &settings.record {
                record.add(line, &content, &name, &trial)?;
            }
            comparison.add(&name, trial);
        }
    }
    println!("\n{}", comparison.table());
    Ok(())
}

/// One run of one peer, over a line made for it.
fn attempt(settings: &Settings, medium: &Medium, peer: &Peer, source: &Path, number: u64) -> Result<Trial> {
    let scratch = Scratch::in_memory("run")?;
    let destination = scratch.path("root/arrived");
    fs::create_dir_all(&destination)?;
    touch_memory(&destination, settings.content.bytes())?;
    let pair = Pair::joined_by(medium, number)?;
    pair.tune_tcp(&peer.law)?;
    let stage = Stage {
        pair: &pair,
        medium,
        scratch: &scratch,
        source,
        destination: &destination,
        programs: &settings.programs,
    };
    let server = peer.server(&stage)?;
    let command = peer.command(&stage, &server)?;
    let mut trial = Trial::run(command, &destination, settings.content.bytes(), settings.cap)?;
    let line = describe_line(&pair);
    drop(server);
    drop(pair);
    if trial.ending == Ending::Done && !same(source, &arrived(source, &destination))? {
        println!("  what arrived is not what was sent:");
        trial.ending = Ending::Failed;
    }
    let (goodput, seconds) = (trial.goodput() / 1e6, trial.seconds);
    // What its host took from the machine it had not either.
    let busy = 100.0 * (trial.cpu + trial.stolen).as_secs_f64() / seconds / cores() as f64;
    println!(
        "  {peer} {number}: {:?}, {goodput:.1} Mbit/s in {seconds:.2} s, CPU {:.2} s/GB, {busy:.0} % of the machine{line}",
        trial.ending,
        trial.cpu_per_gigabyte(),
    );
    Ok(trial)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A guest's memory is fetched from its host when it is first touched, and
/// everything stands still meanwhile.
fn touch_memory(folder: &Path, bytes: u64) -> io::Result<()> {
    let path = folder.join("touched");
    io::copy(&mut io::Read::take(io::repeat(1), bytes), &mut fs::File::create(&path)?)?;
    fs::remove_file(path)
}

/// What the line has to say of itself after a run.
fn describe_line(pair: &Pair) -> String {
    let Some([forward, reverse]) = pair.figures() else { return String::new() };
    let late = 100.0 * forward.late_share().max(reverse.late_share());
    format!(
        "; {}: {} of {} packets dropped at the queue, {} lost, {late:.2} % late (at most {:.1} ms), CPU {:.1} + {:.1} s{}",
        pair.maker(),
        forward.queue_full,
        forward.entered,
        forward.lost,
        forward.latest.max(reverse.latest).as_secs_f64() * 1e3,
        forward.cpu.as_secs_f64(),
        reverse.cpu.as_secs_f64(),
        if forward.first { "" } else { ", without real-time scheduling" },
    )
}
