//! The model of TCP CUBIC beside the kernel's, over a line that an emulator
//! makes between two network namespaces.
//!
//! ```text
//! cargo run -p limosa-sim --release --example cubic_lab -- \
//!     SOURCE_NAMESPACE SINK_NAMESPACE SINK_ADDRESS LINE [SECONDS]
//! ```
//!
//! LINE says in the simulator's words what the emulator was set to, for example
//! `100mbit,40ms,queue=1bdp,loss=0.01%`. Needs Linux, root and `ip`. Prints
//! the goodput of both, as payload bits per second over the second half of the
//! run, and their ratio.
//!
//! The same program runs in either namespace to measure: `--receive ADDRESS`
//! prints how many bytes had come in after each tenth of a second,
//! `--send ADDRESS SECONDS` sends through a socket under CUBIC.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use limosa_sim::scenario::Kind;
use limosa_sim::tcp::{SEGMENT_PAYLOAD, SEGMENT_SIZE};
use limosa_sim::{FlowPlan, LineSettings, Scenario};
use socket2::{Domain, Socket, Type};

const PORT: u16 = 33_998;
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["--receive", address] => receive(address),
        ["--send", address, seconds] => send(address, seconds),
        [source, sink, address, line] => compare(source, sink, address, line, 60),
        [source, sink, address, line, seconds] => match seconds.parse() {
            Ok(seconds) => compare(source, sink, address, line, seconds),
            Err(_) => Err(format!("{seconds} is no number of seconds").into()),
        },
        _ => Err("cubic_lab SOURCE_NAMESPACE SINK_NAMESPACE SINK_ADDRESS LINE [SECONDS]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cubic_lab: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(source: &str, sink: &str, address: &str, line: &str, seconds: u64) -> Result<(), Box<dyn Error>> {
    let settings: LineSettings = line.parse()?;
    let modelled = model(settings, seconds);
    let measured = measure(source, sink, address, seconds)?;
    println!(
        "{line}: modelled {:.1} Mbit/s, measured {:.1} Mbit/s, ratio {:.2}",
        modelled / 1e6,
        measured / 1e6,
        modelled / measured,
    );
    Ok(())
}

/// Mean of five seeds, as random loss makes single runs scatter.
fn model(line: LineSettings, seconds: u64) -> f64 {
    let scenario = Scenario::new(line).flow(FlowPlan::new(Kind::Cubic)).lasting(Duration::from_secs(seconds));
    let seeds = 1..=5;
    let total: f64 = seeds
        .clone()
        .map(|seed| {
            let outcome = scenario.clone().seeded(seed).run();
            let bytes = outcome.delivered(0, &outcome.second_half());
            let payload = bytes as f64 * f64::from(SEGMENT_PAYLOAD) / f64::from(SEGMENT_SIZE);
            payload * 8.0 / (seconds as f64 / 2.0)
        })
        .sum();
    total / seeds.count() as f64
}

fn measure(source: &str, sink: &str, address: &str, seconds: u64) -> Result<f64, Box<dyn Error>> {
    let address = SocketAddr::new(address.parse()?, PORT).to_string();
    let mut receiver = inside(sink, &["--receive", &address])?;
    let mut lines = BufReader::new(receiver.stdout.take().ok_or("no output of the receiver")?).lines();
    lines.next().ok_or("the receiver did not start")??;
    let mut sender = inside(source, &["--send", &address, &seconds.to_string()])?;
    let samples: Vec<u64> = lines.map_while(Result::ok).filter_map(|line| line.parse().ok()).collect();
    if !sender.wait()?.success() || !receiver.wait()?.success() {
        return Err("the measuring parts failed; see above".into());
    }
    let (half, end) = (seconds as usize * 5, seconds as usize * 10);
    let at = |tenth: usize| samples.get(tenth).or(samples.last()).copied().unwrap_or(0);
    Ok((at(end) - at(half)) as f64 * 8.0 / (seconds as f64 / 2.0))
}

/// This program in a network namespace.
fn inside(namespace: &str, args: &[&str]) -> std::io::Result<Child> {
    let program = std::env::current_exe()?;
    Command::new("ip")
        .args(["netns", "exec", namespace])
        .arg(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
}

/// Prints a line when ready, then the bytes received after each tenth of a
/// second from the first one on.
fn receive(address: &str) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(address)?;
    println!("ready");
    let (mut stream, _) = listener.accept()?;
    let mut buffer = vec![0; 1 << 20];
    let mut received = 0_u64;
    let mut first = None;
    let mut printed = 0;
    loop {
        let read = stream.read(&mut buffer)?;
        let began = *first.get_or_insert_with(Instant::now);
        while u128::from(printed) * 100 <= began.elapsed().as_millis() {
            println!("{received}");
            printed += 1_u32;
        }
        if read == 0 {
            return Ok(());
        }
        received += read as u64;
    }
}

fn send(address: &str, seconds: &str) -> Result<(), Box<dyn Error>> {
    let address: SocketAddr = address.parse()?;
    let duration = Duration::from_secs(seconds.parse()?);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_congestion(b"cubic")?;
    socket.connect_timeout(&address.into(), CONNECT_DEADLINE)?;
    socket.set_write_timeout(Some(Duration::from_secs(5)))?;
    let mut stream = std::net::TcpStream::from(socket);
    let began = Instant::now();
    let block = vec![0; 1 << 16];
    while began.elapsed() < duration + Duration::from_secs(1) {
        stream.write_all(&block)?;
    }
    Ok(())
}
