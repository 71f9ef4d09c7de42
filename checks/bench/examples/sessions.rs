//! `sessions [COUNT [MBIT [SECONDS]]]`: what sessions cost a server that are
//! there at the same time. COUNT clients send a file each at MBIT to one `limosad
//! serve` on loopback; once all of them send, the server's CPU time, memory and
//! threads are read over SECONDS. A server takes 64 sessions unless it is told
//! otherwise. Needs `ssh-keygen` and the release builds of `limosa` and
//! `limosad`; a client takes some 10 MB of memory.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use limosa_bench::memory::status;
use limosa_bench::processor;
use limosa_bench::scratch::{Scratch, beside};
use limosa_bench::server::Limosad;
use serde_json::Value;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How long the clients may take until all of them send.
const PATIENCE: Duration = Duration::from_secs(120);
/// A client sends once so many bytes have crossed.
const SENDS: u64 = 64 << 10;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, otherwise: u64| words.get(index).map_or(Ok(otherwise), |word| word.parse());
    let (count, megabits, seconds) = (number(0, 50)?, number(1, 1)?, number(2, 10)?);
    let scratch = Scratch::in_memory("sessions")?;
    // More than a client sends until it is stopped, without holes.
    let length = (PATIENCE.as_secs() + seconds) * megabits * 1_000_000 / 8;
    fs::write(scratch.path("source"), vec![1; usize::try_from(length)?])?;
    let server = Limosad::start(&beside("limosad")?, &scratch, &scratch.path("docroot"))?;
    let idle = Figures::of(&server);
    println!("no session: {:.1} MB resident, {} threads", idle.resident, idle.threads);

    let (tell, sending) = channel();
    let mut clients = Vec::new();
    // One after the other: a server refuses many logins at once.
    for number in 0..count {
        clients.push(Client::start(&scratch, &server, number, megabits, tell.clone())?);
        if !sending.recv_timeout(PATIENCE).unwrap_or(false) {
            return Err(format!("client {number} does not come to send").into());
        }
    }
    let (began, before) = (Instant::now(), Figures::of(&server));
    std::thread::sleep(Duration::from_secs(seconds));
    let (elapsed, after) = (began.elapsed(), Figures::of(&server));
    drop(clients);
    let each = |more: f64| more / count as f64;
    println!(
        "{count} sessions at {megabits} Mbit/s: {:.1} MB resident, {} threads; {:.0} KB and {:.1} threads a session, \
         {:.2} % of a core a session",
        after.resident,
        after.threads,
        each((after.resident - idle.resident) * 1e3),
        each((after.threads - idle.threads) as f64),
        each(100.0 * (after.cpu - before.cpu).as_secs_f64() / elapsed.as_secs_f64()),
    );
    Ok(())
}

/// What the server has used.
struct Figures {
    /// Megabytes.
    resident: f64,
    threads: i64,
    cpu: Duration,
}

impl Figures {
    fn of(server: &Limosad) -> Self {
        let threads = fs::read_dir(format!("/proc/{}/task", server.process())).map_or(0, Iterator::count);
        Self {
            resident: status(server.process(), "VmRSS").unwrap_or(0) as f64 / 1e6,
            threads: i64::try_from(threads).unwrap_or(0),
            cpu: processor::of(server.process()).unwrap_or_default(),
        }
    }
}

/// One client; it is stopped when this goes.
struct Client(Child);

impl Client {
    /// Starts it; `tell` hears when it sends, or that it never will.
    fn start(scratch: &Scratch, server: &Limosad, number: u64, megabits: u64, tell: Sender<bool>) -> Result<Self> {
        let place = |name: &str| scratch.path(name).display().to_string();
        let mut client = Command::new(beside("limosa")?);
        client.args(["send", "--json", "--ssh", "builtin", "--port", &server.ssh.port().to_string()]);
        client.args(["--identity", &place("id"), "--known-hosts", &place(&format!("known_hosts-{number}"))]);
        client.args(["--accept-new", "--durability", "none", "--rate", &format!("{megabits}M")]);
        client.args([&place("source"), &format!("bench@127.0.0.1:arrived-{number}")]);
        let mut child = client.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?;
        let said = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        std::thread::spawn(move || {
            let mut lines = said.lines().map_while(std::result::Result::ok);
            let _ = tell.send(lines.any(|line| crossed(&line) >= SENDS));
            // Read to the end, or the client would wait for room.
            lines.for_each(drop);
        });
        Ok(Self(child))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Bytes that have crossed, if a line tells of progress.
fn crossed(line: &str) -> u64 {
    let event: Value = serde_json::from_str(line).unwrap_or_default();
    event["bytes_crossed"].as_u64().unwrap_or(0)
}
