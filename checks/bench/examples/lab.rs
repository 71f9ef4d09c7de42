//! `lab CLIENT_NS SERVER_NS SERVER_ADDRESS RATE RTT_MS LOSS_PERCENT [RUNS]`:
//! runs `limosa send` in one network namespace against OpenSSH in the other,
//! over whatever line is between them, and prints every run and the median.
//! Needs root, `ip`, `sshd`, `ssh-keygen`, and the release build of `limosa`.

use std::error::Error;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use limosa_bench::lab::{Line, measure, median};

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
    let scratch = Scratch::new()?;
    let source = scratch.0.join("source");
    write_noise(&source, line.bytes_for_a_fair_run())?;
    let _sshd = Sshd::start(server, address.parse()?, &scratch.0)?;
    let mut figures = Vec::new();
    for number in 1..=runs {
        let destination = scratch.0.join("arrived");
        let command =
            command(client, &limosa, &scratch.0, &source, &format!("root@[{address}]:{}", destination.display()));
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

/// A program beside this one's directory: `target/release/NAME`.
fn beside(name: &str) -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let folder = here.parent().and_then(Path::parent).ok_or("no directory of programs")?;
    Ok(folder.join(name))
}

fn command(client: &str, limosa: &Path, scratch: &Path, source: &Path, destination: &str) -> Vec<String> {
    let text = |path: &Path| path.display().to_string();
    let words = ["ip", "netns", "exec", client].map(String::from).into_iter();
    let words = words.chain([text(limosa), "send".into(), "--json".into(), "--ssh".into(), "builtin".into()]);
    let words = words.chain(["--port".into(), "22".into(), "--durability".into(), "none".into()]);
    let words = words.chain(["--identity".into(), text(&scratch.join("id")), "--accept-new".into()]);
    let words = words.chain(["--known-hosts".into(), text(&scratch.join("known_hosts"))]);
    let words = words.chain(["--remote-command".into(), format!("{} session", limosa.display())]);
    words.chain([text(source), destination.into()]).collect()
}

/// A directory in memory that goes when this does.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let path = PathBuf::from(format!("/dev/shm/limosa-lab-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Bytes that do not compress and do not repeat.
fn write_noise(path: &Path, length: u64) -> Result<()> {
    use std::io::{Read, Write};
    let mut random = fs::File::open("/dev/urandom")?.take(length);
    let mut file = fs::File::create(path)?;
    std::io::copy(&mut random, &mut file)?;
    Ok(file.flush()?)
}

fn same(left: &Path, right: &Path) -> Result<()> {
    let status = Command::new("cmp").args([left, right]).status()?;
    if status.success() { Ok(()) } else { Err("what arrived is not what was sent".into()) }
}

/// An `sshd` in the server's namespace.
struct Sshd(Child);

impl Sshd {
    fn start(namespace: &str, address: IpAddr, scratch: &Path) -> Result<Self> {
        for name in ["hostkey", "id"] {
            let key = scratch.join(name);
            let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status()?;
            if !made.success() {
                return Err("ssh-keygen failed".into());
            }
        }
        let folder = scratch.display();
        let config = format!(
            "Port 22\nListenAddress {address}\nHostKey {folder}/hostkey\nAuthorizedKeysFile {folder}/id.pub\n\
             StrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\nUsePAM no\nPidFile none\nUseDNS no\n"
        );
        fs::write(scratch.join("sshd_config"), config)?;
        fs::create_dir_all("/run/sshd")?;
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace, "/usr/sbin/sshd", "-D", "-f"]).arg(scratch.join("sshd_config"));
        Ok(Self(command.stdin(Stdio::null()).spawn()?))
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
