//! A line between real network namespaces, whoever makes it: nothing comes
//! early, out of order or more often than the line permits.

#![allow(clippy::unwrap_used)] // a test's surroundings fail it

use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use limosa_bench::network::Pair;

/// How long whatever is awaited may take.
const DEADLINE: Duration = Duration::from_secs(20);
const PORT: u16 = 4000;

/// Reports a skip by name, or fails where a skip is a failure.
fn skip(missing: &str) {
    let required = std::env::var_os("LIMOSA_REQUIRE_COUNTERPARTS").is_some_and(|value| value == "1");
    assert!(!required, "missing: {missing}");
    println!("skipped: {missing}");
}

/// Whether this machine can have namespaces with a line between them.
fn is_fit() -> bool {
    let missing = if !rustix::process::geteuid().is_root() {
        "root, for network namespaces"
    } else if Command::new("ip").arg("-V").output().is_err() {
        "the `ip` program"
    } else if !Path::new("/dev/net/tun").exists() {
        "TUN devices"
    } else {
        return true;
    };
    skip(missing);
    false
}

/// A line by everybody who can make one here.
fn lines(text: &str) -> Vec<Pair> {
    if !is_fit() {
        return Vec::new();
    }
    let emulated = Pair::over_emulator(&text.parse().unwrap(), 1).unwrap();
    let chosen = Pair::joined_by(&text.parse().unwrap(), 1).unwrap();
    if chosen.maker() == "netem" {
        return vec![emulated, chosen];
    }
    // No package brings it, so nobody can be required to have it.
    println!("skipped: netem in this kernel");
    vec![emulated]
}

fn socket(pair: &Pair, end: usize) -> UdpSocket {
    let place = &pair.places[end];
    let socket = place.inside(|| UdpSocket::bind((place.address, PORT))).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.connect((pair.places[1 - end].address, PORT)).unwrap();
    socket
}

/// Sends datagrams with these numbers in one go, each an IP packet of 1,250 bytes.
fn send(socket: &UdpSocket, numbers: &[u32]) {
    let mut bytes = [0; 1222];
    for number in numbers {
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        assert_eq!(socket.send(&bytes).unwrap(), bytes.len());
    }
}

fn receive(socket: &UdpSocket) -> u32 {
    let mut bytes = [0; 1500];
    socket.recv(&mut bytes).unwrap();
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// Waits until the forward direction has settled the fate of so many packets.
fn await_fates(pair: &Pair, count: u64) -> limosa_line::Figures {
    let began = Instant::now();
    loop {
        let [forward, _] = pair.figures().unwrap();
        if forward.delivered + forward.lost + forward.queue_full >= count {
            return forward;
        }
        assert!(began.elapsed() < DEADLINE, "not in time: {forward:?}");
        std::thread::yield_now();
    }
}

#[test]
fn an_answer_takes_a_round_trip_and_the_time_on_the_line() {
    for pair in lines("10mbit,40ms") {
        let (near, far) = (socket(&pair, 0), socket(&pair, 1));
        // The first ones may have tokens to spare, or wait for an address.
        for _ in 0..3 {
            let began = Instant::now();
            send(&near, &[1, 2, 3, 4]);
            let came: Vec<u32> = (0..4).map(|_| receive(&far)).collect();
            assert_eq!(came, [1, 2, 3, 4]);
            send(&far, &[5]);
            assert_eq!(receive(&near), 5);
            // 1,250 bytes take 1 ms; a burst of 3,000 need not. The emulator may
            // save a step at either end.
            let took = began.elapsed();
            assert!(took >= Duration::from_micros(40_000 + 2000 - 2 * 200), "{}: {took:?}", pair.maker());
        }
    }
}

#[test]
fn a_burst_comes_in_order_as_far_as_the_queue_takes_it() {
    const BURST: u32 = 500;
    const LAST: u32 = 1000;
    for pair in lines("10mbit,20ms") {
        let (near, far) = (socket(&pair, 0), socket(&pair, 1));
        let began = Instant::now();
        // A millisecond each; 50 of them wait, one is in transmission, and more
        // find room only as far as the machine is slow to send them all.
        send(&near, &(0..BURST).collect::<Vec<_>>());
        let mut came = vec![receive(&far)];
        while came.last() != Some(&LAST) {
            // Nothing overtakes: what was sent before has come, or never will.
            send(&near, &[LAST]);
            came.push(receive(&far));
        }
        let maker = pair.maker();
        assert!(came.is_sorted_by(|one, two| one < two), "{maker}: {came:?}");
        assert!((51..BURST as usize).contains(&came.len()), "{maker}: {} of {BURST} at once came", came.len() - 1);
        assert!(began.elapsed() >= Duration::from_millis(came.len() as u64), "{maker}");
    }
}

#[test]
fn the_emulator_loses_the_same_packets_again() {
    let survivors = || {
        let pair = Pair::over_emulator(&"1gbit,10ms,20%".parse().unwrap(), 1).unwrap();
        let (near, far) = (socket(&pair, 0), socket(&pair, 1));
        // So few that queue and socket buffer take them all.
        send(&near, &(0..80).collect::<Vec<_>>());
        let figures = await_fates(&pair, 80);
        assert_eq!(figures.queue_full, 0, "{figures:?}");
        (0..figures.delivered).map(|_| receive(&far)).collect::<Vec<_>>()
    };
    if is_fit() {
        let first = survivors();
        assert!((50..80).contains(&first.len()), "{} of 80 at 20 % loss", first.len());
        assert_eq!(survivors(), first);
    }
}
