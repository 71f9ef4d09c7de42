//! `encryption [MEBIBYTES [RUNS]]`: what encrypting files at rest costs a whole
//! transfer. One file from memory to memory over loopback through `limosad`, by
//! turns in clear, encrypted by the client, by the server, and by both; up and
//! down. What comes back is compared with what was sent. Prints every run in
//! MB/s, and the median's share of that in clear. Needs the release builds of
//! `limosa` and `limosad`.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use limosa_bench::lab::median;
use limosa_bench::network::Place;
use limosa_bench::scratch::{Scratch, beside, write_noise};
use limosa_bench::server::Limosad;
use serde_json::Value;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const NAME: &str = "file";

/// Who encrypts.
#[derive(Clone, Copy, Debug)]
struct Way {
    name: &'static str,
    client: bool,
    server: bool,
}

const WAYS: [Way; 4] = [
    Way { name: "in clear", client: false, server: false },
    Way { name: "by the client", client: true, server: false },
    Way { name: "by the server", client: false, server: true },
    Way { name: "by both", client: true, server: true },
];

/// A server, and everything of its own.
struct End {
    scratch: Scratch,
    server: Limosad,
}

impl End {
    fn start(seals: bool) -> Result<Self> {
        let scratch = Scratch::in_memory(if seals { "sealing" } else { "clear" })?;
        let key = scratch.path("master");
        write_noise(&key, 32)?;
        fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        let sealing = format!("[master-keys.main]\nfile = {key:?}\n[defaults]\nseal-at-rest = \"main\"\n");
        let configuration = if seals { &sealing } else { "" };
        let docroot = scratch.path("docroot");
        let place = Place::loopback();
        let server = Limosad::start_configured(&place, &beside("limosad")?, &scratch, &docroot, configuration)?;
        Ok(Self { scratch, server })
    }

    /// Megabytes a second of one command.
    fn run(&self, words: &[&str], bytes: u64) -> Result<f64> {
        let mut command = Command::new(beside("limosa")?);
        command.args(words).args(["--json", "--quiet", "--ssh", "builtin", "--accept-new", "--durability", "none"]);
        command.args(["--port", &self.server.ssh.port().to_string()]);
        command.arg("--identity").arg(self.scratch.path("id"));
        command.arg("--known-hosts").arg(self.scratch.path("known_hosts"));
        command.env("LIMOSA_FILEPASS", "correct horse").env("LIMOSA_KDF_COST", "64,1,1");
        let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
        let last = String::from_utf8_lossy(&output.stdout).lines().last().map(str::to_owned).unwrap_or_default();
        if !output.status.success() {
            return Err(format!("{words:?} failed: {last}").into());
        }
        let summary: Value = serde_json::from_str(&last)?;
        let seconds = summary["seconds"].as_f64().ok_or("the client tells no time")?;
        Ok(bytes as f64 / 1e6 / seconds)
    }

    /// Up and down again.
    fn there_and_back(&self, way: Way, source: &Path) -> Result<(f64, f64)> {
        let bytes = fs::metadata(source)?.len();
        let text = |path: &Path| path.display().to_string();
        let (back, there) = (self.scratch.path("back"), "bench@127.0.0.1:".to_owned());
        let mut send = vec!["send"];
        let mut get = vec!["get"];
        let mut stored = format!("{there}{NAME}");
        if way.client {
            send.extend(["--file-crypt", "encrypt"]);
            get.extend(["--file-crypt", "decrypt"]);
            stored += ".aspera-env";
        }
        let (from, to) = (text(source), format!("{}/", text(&back)));
        send.extend([from.as_str(), &there]);
        get.extend([stored.as_str(), &to]);
        let up = self.run(&send, bytes)?;
        let down = self.run(&get, bytes)?;
        if fs::read(back.join(NAME))? != fs::read(source)? {
            return Err(format!("what came back {} is not what was sent", way.name).into());
        }
        fs::remove_dir_all(back)?;
        fs::remove_dir_all(self.scratch.path("docroot"))?;
        fs::create_dir(self.scratch.path("docroot"))?;
        Ok((up, down))
    }
}

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let mebibytes: u64 = words.next().map_or(Ok(1024), |word| word.parse())?;
    let runs: usize = words.next().map_or(Ok(5), |word| word.parse())?;
    let scratch = Scratch::in_memory("encryption")?;
    let source = scratch.path(NAME);
    write_noise(&source, mebibytes << 20)?;
    let (clear, sealing) = (End::start(false)?, End::start(true)?);
    let mut figures: [(Vec<f64>, Vec<f64>); WAYS.len()] = Default::default();
    for _ in 0..runs {
        for (way, (up, down)) in WAYS.into_iter().zip(&mut figures) {
            let end = if way.server { &sealing } else { &clear };
            let (sent, fetched) = end.there_and_back(way, &source)?;
            up.push(sent);
            down.push(fetched);
        }
    }
    println!("{mebibytes} MiB over loopback, from memory to memory, MB/s\n");
    println!("| encrypted | up | of clear | down | of clear |\n| --- | --- | --- | --- | --- |");
    let of = |values: &[f64]| median(values.to_vec()).unwrap_or(f64::NAN);
    let (up, down) = (of(&figures[0].0), of(&figures[0].1));
    for (way, (sent, fetched)) in WAYS.into_iter().zip(&figures) {
        let list = |values: &[f64]| values.iter().map(|value| format!("{value:.0}")).collect::<Vec<_>>().join(", ");
        let (of_up, of_down) = (100.0 * of(sent) / up, 100.0 * of(fetched) / down);
        println!("| {} | {} | {of_up:.0} % | {} | {of_down:.0} % |", way.name, list(sent), list(fetched));
    }
    Ok(())
}
