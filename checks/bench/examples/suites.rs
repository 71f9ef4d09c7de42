//! What each suite costs for a datagram: `cargo run -p limosa-bench --example
//! suites`. Nanoseconds on one thread to seal and to open datagrams that lie one
//! behind the other in memory, the least of many rounds, so that a busy machine
//! shows little.

use std::time::Instant;

use limosa_bench::protection::keys_of;
use limosa_seal::datagram::{DatagramOpener, DatagramSealer};
use limosa_wire::datagram::{Header, TAG_LEN};
use limosa_wire::setup::Suite;
use limosa_wire::{PacketNumber, SessionId};

/// Datagrams of a round.
const ROUND: usize = 500;
const ROUNDS: u64 = 60;
/// Bytes of frames: those of packets of 1,500 and 9,000 bytes.
const SIZES: [usize; 2] = [1_445, 8_945];

fn main() {
    println!("suite         bytes  seal, ns  open, ns");
    for suite in Suite::ALL {
        for size in SIZES {
            let (seal, open) = least(*suite, size);
            println!("{:<12} {size:>6} {seal:>9} {open:>9}", suite.name());
        }
    }
}

/// Least time to seal and to open a datagram, each in its best round.
fn least(suite: Suite, size: usize) -> (u128, u128) {
    let [(mut sealer, _), (_, mut opener)] = keys_of(suite);
    let mut bodies = vec![vec![0; size + TAG_LEN]; ROUND];
    let mut times = (u128::MAX, u128::MAX);
    for round in 0..ROUNDS {
        let numbers = round * ROUND as u64..;
        let began = Instant::now();
        seal(&mut sealer, numbers.clone(), &mut bodies);
        let sealed = Instant::now();
        open(&mut opener, numbers, &mut bodies);
        times.0 = times.0.min((sealed - began).as_nanos() / ROUND as u128);
        times.1 = times.1.min(sealed.elapsed().as_nanos() / ROUND as u128);
    }
    times
}

fn seal(sealer: &mut DatagramSealer, numbers: impl Iterator<Item = u64>, bodies: &mut [Vec<u8>]) {
    for (number, body) in numbers.zip(bodies) {
        let header = header(number);
        sealer.seal(header.number, &header.encode(), body).expect("numbers rise, and there is room");
    }
}

fn open(opener: &mut DatagramOpener, numbers: impl Iterator<Item = u64>, bodies: &mut [Vec<u8>]) {
    for (number, body) in numbers.zip(bodies) {
        let header = header(number);
        opener.open(header.number, &header.encode(), body).expect("it was sealed a moment ago");
    }
}

fn header(number: u64) -> Header {
    let number = PacketNumber::new(number).expect("far below the last one");
    Header { session: SessionId(1), number, stamp: false }
}
