//! How fast a connection moves bytes between two threads of this machine,
//! without files: sockets, protection, reliability and rate control as in a
//! transfer, content made up and dropped.
//!
//! ```text
//! cargo run --release -p limosa-datapath --example loopback -- [GIGABYTES] [PACKET] [RATE] [LINE]
//! ```
//!
//! PACKET is the largest IP packet (default 1500), RATE a fixed rate (default:
//! `fair`, unlimited), LINE a relay in between, such as `300m,100ms,1%`.

use std::error::Error;
use std::time::{Duration, Instant};

use limosa_datapath::relay::{Line, Relay};
use limosa_datapath::{Finished, SocketStatistics};
use limosa_transport::Config;
use limosa_transport::rate::{Policy, RateLimits};
use limosa_wire::{Rate, SessionId};

#[allow(dead_code, unreachable_pub)]
#[path = "../tests/support/mod.rs"]
mod support;
use support::{Sink, Source, loopback_socket, protections, start};

const SESSION: SessionId = SessionId(7);

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let gigabytes: f64 = arguments.next().map_or(Ok(4.0), |text| text.parse())?;
    let packet: usize = arguments.next().map_or(Ok(1500), |text| text.parse())?;
    let rate: Option<Rate> = arguments.next().filter(|text| text != "-").map(|text| text.parse()).transpose()?;
    let line: Option<Line> = arguments.next().map(|text| text.parse()).transpose()?;

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let length = (gigabytes * 1e9) as u64;
    let server_socket = loopback_socket();
    let mut server = server_socket.local_addr();
    println!("buffers: {}", server_socket.buffers());
    let relay = line.map(|line| Relay::start(server, line, 1)).transpose()?;
    if let Some(relay) = &relay {
        server = relay.address();
    }

    let limits = RateLimits { target: rate, cap: Rate::UNLIMITED };
    let policy = if rate.is_some() { Policy::Fixed } else { Policy::Fair };
    let rtt = line.map_or(Duration::from_micros(100), |line| line.rtt);
    let with = |config: Config| config.with_largest_packet(packet).with_rate(policy, limits).with_rtt(rtt);
    let (client_keys, server_keys) = protections(SESSION);

    let (begin, cpu) = (Instant::now(), cpu_seconds());
    let sink = start(with(Config::server(SESSION, 1)), server_keys, Sink::new(false), |_| server_socket.into());
    let client = with(Config::client(SESSION, server, 2));
    let source = start(client, client_keys, Source::new(length), |_| loopback_socket().into());
    let source = source.join().map_err(|_| "the sending thread failed")?;
    let took = begin.elapsed().as_secs_f64();
    let cpu = cpu_seconds() - cpu;
    let sink = sink.join().map_err(|_| "the receiving thread failed")?;
    report(length, took, cpu, &source, &sink);
    if let Some(relay) = relay {
        println!("line: {:?}", relay.statistics());
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss)]
fn report(length: u64, took: f64, cpu: f64, source: &Finished<Source>, sink: &Finished<Sink>) {
    assert_eq!(sink.engine.received, length, "bytes are missing: {:?}, {:?}", source.result, sink.result);
    let gigabytes = length as f64 / 1e9;
    let sent = source.connection.sent;
    println!(
        "{:.2} Gbit/s, {took:.2} s, {:.2} CPU-s/GB for the whole process",
        gigabytes * 8.0 / took,
        cpu / gigabytes
    );
    println!(
        "{} datagrams, {} lost, {:.2} % redundant, packets of {} bytes, rtt {:?}",
        sent.datagrams,
        sent.lost,
        sent.redundant_bytes as f64 / length as f64 * 100.0,
        source.connection.path.packet_size,
        source.connection.path.rtt.unwrap_or_default(),
    );
    for (name, calls) in [("sender", source.sockets), ("receiver", sink.sockets)] {
        let SocketStatistics { send_calls, receive_calls, .. } = calls;
        let per_mb = |calls: u64| calls as f64 / (gigabytes * 1000.0);
        println!("{name}: {:.1} send and {:.1} receive calls per MB", per_mb(send_calls), per_mb(receive_calls));
    }
}

/// CPU time of this process so far, user and system.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    #[allow(clippy::cast_precision_loss)]
    let seconds = time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
    seconds
}
