//! `small [--line CLIENT_NS SERVER_NS SERVER_ADDRESS] [--in DIRECTORY]
//! [--get] [--runs N] [--limosa PROGRAM] TREE... [-- DURABILITY...]`: trees of
//! small files through `limosa send` (or `get`) and OpenSSH, over whatever line
//! is between two network namespaces, or over loopback; by turns with the least
//! that making the same tree costs there ([`limosa_bench::trees`]), and with one
//! file of as many bytes. Every tree that arrives is compared with its source.
//! Needs root, `sshd`, `ssh-keygen`, and the release build of `limosa`.

use std::cell::Cell;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use limosa_bench::lab::median;
use limosa_bench::network::Place;
use limosa_bench::scratch::{Scratch, beside, write_noise};
use limosa_bench::server::Sshd;
use limosa_bench::trees::{Durability, Noise, Shape};
use serde_json::Value;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Where files are in memory.
const MEMORY: &str = "/dev/shm";
/// Threads of the floor; the fastest counts.
const THREADS: [usize; 2] = [1, 2];

/// What is asked for on the command line.
struct Plan {
    client: Option<String>,
    server: Place,
    parent: PathBuf,
    get: bool,
    runs: usize,
    limosa: PathBuf,
    shapes: Vec<Shape>,
    durabilities: Vec<Durability>,
}

impl Plan {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let mut plan = Self {
            client: None,
            server: Place::loopback(),
            parent: MEMORY.into(),
            get: false,
            runs: 3,
            limosa: beside("limosa")?,
            shapes: Vec::new(),
            durabilities: Vec::new(),
        };
        while let Some(word) = words.next() {
            let mut next = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                "--line" => {
                    plan.client = Some(next()?);
                    plan.server = Place { namespace: Some(next()?), address: next()?.parse()? };
                }
                "--in" => plan.parent = next()?.into(),
                "--get" => plan.get = true,
                "--runs" => plan.runs = next()?.parse()?,
                "--limosa" => plan.limosa = next()?.into(),
                "--" => break,
                name => plan.shapes.push(Shape::named(name).ok_or(format!("{name}: no such tree"))?),
            }
        }
        for word in words {
            let named = Durability::ALL.into_iter().find(|durability| durability.name() == word);
            plan.durabilities.push(named.ok_or(format!("{word}: no such durability"))?);
        }
        if plan.durabilities.is_empty() {
            plan.durabilities.extend(Durability::ALL);
        }
        Ok(plan)
    }
}

fn main() -> Result<()> {
    let plan = Plan::parse(std::env::args().skip(1))?;
    let scratch = Scratch::below(&plan.parent, "small")?;
    let port = if plan.client.is_some() { 22 } else { 2298 };
    let _sshd = Sshd::start(&plan.server, port, &scratch)?;
    let bench = Bench { plan: &plan, scratch: &scratch, noise: Noise::new()?, port, arrivals: Cell::new(0) };
    println!("| tree | durability | floor | one file | the tree | with SSH | of the lower |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for shape in &plan.shapes {
        bench.shape(shape)?;
    }
    Ok(())
}

struct Bench<'a> {
    plan: &'a Plan,
    scratch: &'a Scratch,
    noise: Noise,
    port: u16,
    arrivals: Cell<u32>,
}

/// Seconds of one transfer.
#[derive(Clone, Copy, Debug)]
struct Took {
    /// First datagram to verified end.
    whole: f64,
    /// The command, SSH set-up included.
    command: f64,
}

impl Bench<'_> {
    fn shape(&self, shape: &Shape) -> Result<()> {
        let source = self.scratch.path("source");
        shape.make(&source, &self.noise)?;
        let large = self.scratch.path("large");
        write_noise(&large, shape.bytes())?;
        for &durability in &self.plan.durabilities {
            let (mut floors, mut files, mut trees) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..self.plan.runs {
                floors.push(self.floor(shape, durability)?);
                if shape.bytes() > 0 {
                    files.push(self.transfer(&large, durability)?);
                    self.clear()?;
                }
                trees.push(self.transfer(&source, durability)?);
                shape.compare(&source, &self.arrived().join("source"), &self.noise)?;
                self.clear()?;
            }
            tell(shape, durability, &floors, &files, &trees);
        }
        fs::remove_dir_all(&source)?;
        Ok(fs::remove_file(&large)?)
    }

    fn arrived(&self) -> PathBuf {
        self.scratch.path(&format!("arrived-{}", self.arrivals.get()))
    }

    /// Makes room for the next run, so that what arrived costs it nothing. On a
    /// disk that stays to the end: ext4 looks for a minute at each inode that
    /// was freed before it takes one.
    fn clear(&self) -> Result<()> {
        if self.plan.parent == Path::new(MEMORY) {
            fs::remove_dir_all(self.arrived())?;
        }
        self.arrivals.set(self.arrivals.get() + 1);
        Ok(rustix::fs::syncfs(fs::File::open(self.scratch.path(""))?)?)
    }

    fn floor(&self, shape: &Shape, durability: Durability) -> Result<f64> {
        let mut fastest = f64::INFINITY;
        for threads in THREADS {
            let took = shape.floor(&self.arrived(), &self.noise, durability, threads)?;
            fastest = fastest.min(took.as_secs_f64());
            self.clear()?;
        }
        Ok(fastest)
    }

    fn transfer(&self, source: &Path, durability: Durability) -> Result<Took> {
        let mut command = self.command(source, durability);
        let began = Instant::now();
        let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
        let command = began.elapsed().as_secs_f64();
        let last = String::from_utf8_lossy(&output.stdout).lines().last().map(str::to_owned).unwrap_or_default();
        if !output.status.success() {
            return Err(format!("the client failed: {last}").into());
        }
        let summary: Value = serde_json::from_str(&last)?;
        let whole = summary["seconds"].as_f64().ok_or("the client tells no time")?;
        Ok(Took { whole, command })
    }

    fn command(&self, source: &Path, durability: Durability) -> Command {
        let limosa = &self.plan.limosa;
        let mut command = Place { namespace: self.plan.client.clone(), ..Place::loopback() }.command(limosa);
        let text = |path: &Path| path.display().to_string();
        let there = |path: &Path| format!("root@[{}]:{}", self.plan.server.address, text(path));
        let arrived = self.arrived().join("");
        command.arg(if self.plan.get { "get" } else { "send" });
        command.args(["--json", "--quiet", "--ssh", "builtin", "--accept-new"]);
        command.args(["--port", &self.port.to_string(), "--durability", durability.name()]);
        command.arg("--identity").arg(self.scratch.path("id"));
        command.arg("--known-hosts").arg(self.scratch.path("known_hosts"));
        command.args(["--remote-command", &format!("{} session", limosa.display())]);
        match self.plan.get {
            true => command.args([there(source), text(&arrived)]),
            false => command.args([text(source), there(&arrived)]),
        };
        command
    }
}

fn tell(shape: &Shape, durability: Durability, floors: &[f64], files: &[Took], trees: &[Took]) {
    let list = |figures: &[f64]| {
        let all: Vec<String> = figures.iter().map(|figure| format!("{figure:.2}")).collect();
        if all.is_empty() { "-".into() } else { all.join(", ") + " s" }
    };
    let whole = |took: &[Took]| took.iter().map(|took| took.whole).collect::<Vec<f64>>();
    let (files, commands) = (whole(files), trees.iter().map(|took| took.command).collect::<Vec<f64>>());
    let trees = whole(trees);
    let bar = median(floors.to_vec()).unwrap_or(0.0).max(median(files.clone()).unwrap_or(0.0));
    let share = 100.0 * bar / median(trees.clone()).unwrap_or(f64::NAN);
    println!(
        "| {} | {} | {} | {} | {} | {} | {share:.0} % |",
        shape.name,
        durability.name(),
        list(floors),
        list(&files),
        list(&trees),
        list(&commands),
    );
}
