//! `flood [DATAGRAMS_A_SECOND [MBIT [MEGABYTES]]]`: what an attacker at the
//! server's UDP port costs. Sends a file at most at MBIT through `limosad serve`
//! on loopback, by turns without and with a flood of garbage, of datagrams cut
//! short, of true ones again and of true ones for another session, from an
//! address of its own; prints the goodputs, the server's memory, and what the
//! attacker was answered. Needs `ssh-keygen` and the release builds of `limosa`,
//! `limosad`.

use std::error::Error;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use limosa_bench::lab::median;
use limosa_bench::memory::status;
use limosa_bench::scratch::{Scratch, beside, write_noise};
use limosa_bench::server::Limosad;
use serde_json::Value;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// So often without and with.
const ROUNDS: usize = 5;
/// True datagrams kept for the attacker, and how many pass for one kept.
const KEPT: usize = 256;
const KEEP_EVERY: u64 = 50;
/// Longest wait for a datagram before the end of the run is looked for.
const PATIENCE: Duration = Duration::from_millis(100);
/// The attacker sends in bursts so far apart.
const BURST_EVERY: Duration = Duration::from_millis(1);
/// Largest datagram.
const LARGEST: usize = 2048;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, otherwise: u64| words.get(index).map_or(Ok(otherwise), |word| word.parse());
    let (per_second, megabits, megabytes) = (number(0, 50_000)?, number(1, 200)?, number(2, 500)?);
    let scratch = Scratch::in_memory("flood")?;
    write_noise(&scratch.path("source"), megabytes * 1_000_000)?;
    let server = Limosad::start(&beside("limosad")?, &scratch, &scratch.path("docroot"))?;
    let tap = Tap::start(server.udp)?;
    let send = || transfer(&scratch, &server, &tap, megabits);

    // The first session of a server leaves memory behind for the next ones.
    send()?;
    let (mut before, mut during) = (Vec::new(), Vec::new());
    let (mut sent, mut answered, mut seconds) = (0, 0, 0.0);
    for _ in 0..ROUNDS {
        before.push(told("without", send()?, &server));
        let attacker = Attacker::start(server.udp, per_second, Arc::clone(&tap.kept))?;
        during.push(told("with", send()?, &server));
        let (more_sent, more_answered, more_seconds) = attacker.stop()?;
        (sent, answered, seconds) = (sent + more_sent, answered + more_answered, seconds + more_seconds);
    }
    println!(
        "median with in percent of median without: {:.1}; {sent} datagrams in {seconds:.1} s ({:.0} a second), {answered} answered",
        100.0 * median(during).unwrap_or(f64::NAN) / median(before).unwrap_or(f64::NAN),
        sent as f64 / seconds,
    );
    Ok(())
}

/// Prints a run's goodput, Mbit/s, and what memory the server has after it.
fn told(run: &str, goodput: f64, server: &Limosad) -> f64 {
    let resident = status(server.process(), "VmRSS").unwrap_or(0) as f64 / 1e6;
    println!("{run:>7}: {goodput:.1} Mbit/s, server at {resident:.1} MB");
    goodput
}

/// Sends the file; Mbit/s from the first datagram to the verified end.
fn transfer(scratch: &Scratch, server: &Limosad, tap: &Tap, megabits: u64) -> Result<f64> {
    let place = |name: &str| scratch.path(name).display().to_string();
    let mut client = Command::new(beside("limosa")?);
    client.args(["send", "--json", "--ssh", "builtin", "--port", &server.ssh.port().to_string()]);
    client.args(["--identity", &place("id"), "--known-hosts", &place("known_hosts"), "--accept-new"]);
    client.args(["--udp-host", &tap.address.to_string(), "--rate", &format!("{megabits}M")]);
    client.args([&place("source"), "bench@127.0.0.1:arrived"]);
    let output = client.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    let text = String::from_utf8(output.stdout)?;
    let summary: Value = serde_json::from_str(text.lines().last().ok_or("the client said nothing")?)?;
    let arrived = scratch.path("docroot").join("arrived");
    if summary["code"] != 0 || fs::read(&arrived)? != fs::read(scratch.path("source"))? {
        return Err(format!("the transfer failed: {summary}").into());
    }
    fs::remove_file(arrived)?;
    let figure = |field: &Value| field.as_f64().ok_or("a figure is missing");
    Ok(figure(&summary["new_bytes"])? * 8e-6 / figure(&summary["seconds"])?)
}

/// True datagrams of the client, as an attacker on the line sees them.
type Kept = Arc<Mutex<Vec<Vec<u8>>>>;

/// Passes datagrams between the client and the server, and keeps some.
struct Tap {
    address: SocketAddr,
    kept: Kept,
}

impl Tap {
    /// Runs to the end of this program.
    fn start(server: SocketAddr) -> Result<Self> {
        let front = Arc::new(UdpSocket::bind("127.0.0.1:0")?);
        let back = Arc::new(UdpSocket::bind("127.0.0.1:0")?);
        back.connect(server)?;
        let address = front.local_addr()?;
        let kept = Kept::default();
        let client = Arc::new(Mutex::new(None));
        {
            let (front, back, kept, client) = (front.clone(), back.clone(), kept.clone(), client.clone());
            std::thread::spawn(move || pass_on(&front, &back, &kept, &client));
        }
        std::thread::spawn(move || pass_back(&front, &back, &client));
        Ok(Self { address, kept })
    }
}

fn pass_on(front: &UdpSocket, back: &UdpSocket, kept: &Kept, client: &Mutex<Option<SocketAddr>>) {
    let mut buffer = [0; LARGEST];
    for count in 0_u64.. {
        let Ok((length, from)) = front.recv_from(&mut buffer) else { continue };
        *client.lock().unwrap_or_else(PoisonError::into_inner) = Some(from);
        let _ = back.send(&buffer[..length]);
        // Only what has reached the server is a replay.
        if count.is_multiple_of(KEEP_EVERY) {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() < KEPT {
                kept.push(buffer[..length].to_vec());
            } else {
                kept[usize::try_from(count / KEEP_EVERY).unwrap_or(0) % KEPT] = buffer[..length].to_vec();
            }
        }
    }
}

fn pass_back(front: &UdpSocket, back: &UdpSocket, client: &Mutex<Option<SocketAddr>>) {
    let mut buffer = [0; LARGEST];
    loop {
        let Ok(length) = back.recv(&mut buffer) else { continue };
        let to = *client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(to) = to {
            let _ = front.send_to(&buffer[..length], to);
        }
    }
}

/// Floods the server's port until it is stopped.
struct Attacker {
    stop: Arc<AtomicBool>,
    answered: JoinHandle<u64>,
    sent: Arc<AtomicU64>,
    sender: JoinHandle<()>,
    began: Instant,
}

impl Attacker {
    fn start(server: SocketAddr, per_second: u64, kept: Kept) -> Result<Self> {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0")?);
        socket.set_read_timeout(Some(PATIENCE))?;
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicU64::new(0));
        let answered = {
            let (socket, stop) = (socket.clone(), stop.clone());
            std::thread::spawn(move || {
                let mut answered = 0;
                while !stop.load(Ordering::Relaxed) {
                    answered += u64::from(socket.recv(&mut [0; LARGEST]).is_ok());
                }
                answered
            })
        };
        let sender = {
            let (stop, sent) = (stop.clone(), sent.clone());
            std::thread::spawn(move || flood(&socket, server, per_second, &kept, &stop, &sent))
        };
        Ok(Self { stop, answered, sent, sender, began: Instant::now() })
    }

    /// Datagrams sent, datagrams answered, seconds.
    fn stop(self) -> Result<(u64, u64, f64)> {
        let seconds = self.began.elapsed().as_secs_f64();
        self.stop.store(true, Ordering::Relaxed);
        self.sender.join().map_err(|_| "the attacker failed")?;
        let answered = self.answered.join().map_err(|_| "the attacker failed")?;
        Ok((self.sent.load(Ordering::Relaxed), answered, seconds))
    }
}

fn flood(socket: &UdpSocket, server: SocketAddr, per_second: u64, kept: &Kept, stop: &AtomicBool, sent: &AtomicU64) {
    let began = Instant::now();
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        let due = (began.elapsed().as_secs_f64() * per_second as f64) as u64;
        while count < due {
            let datagram = hostile(count, kept);
            let _ = socket.send_to(&datagram, server);
            count += 1;
        }
        sent.store(count, Ordering::Relaxed);
        std::thread::sleep(BURST_EVERY);
    }
}

/// A datagram that must do nothing: by turns garbage of all lengths, a true
/// one cut short, a true one again, a true one with a bit turned, and a true
/// one for another session.
fn hostile(count: u64, kept: &Kept) -> Vec<u8> {
    let random = count.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(17) ^ count;
    let length = usize::try_from(random % 1400).unwrap_or(0);
    let garbage = || (0..length).map(|i| (random >> (i % 57)) as u8).collect();
    let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(mut bytes) = kept.get(usize::try_from(random >> 32).unwrap_or(0) % kept.len().max(1)).cloned() else {
        return garbage();
    };
    match count % 5 {
        0 => return garbage(),
        1 => bytes.truncate(length.min(bytes.len())),
        2 => {}
        3 => {
            let place = length % bytes.len();
            bytes[place] ^= 1;
        }
        _ => bytes[0] ^= 0x55,
    }
    bytes
}
