//! Bytes cross real sockets, under real protection, over lines that lose,
//! delay, go dark and move.
#![allow(clippy::unwrap_used)] // the scene around the tests, too

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use limosa_datapath::relay::{Blackout, Line, Relay};
use limosa_datapath::{BufferSizes, Finished, Outgoing, SharedPort};
use limosa_transport::{Config, Ecn, Event};
use limosa_wire::datagram::Header;
use limosa_wire::{Code, PacketNumber, SessionId};

#[allow(dead_code, unreachable_pub)]
mod support;
use support::{Progress, Running, Sink, Source, loopback_socket, protections, start};

const SESSION: SessionId = SessionId(0x1234_5678);
/// The only deadline of these tests.
const DEADLINE: Duration = Duration::from_secs(60);

/// Two ends with a relay between; the server behind a shared port.
struct Scene {
    relay: Relay,
    port: SharedPort,
    source: Running<Source>,
    sink: Running<Sink>,
    progress: Progress,
    length: u64,
}

impl Scene {
    fn new(line: &str, length: u64) -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let port = SharedPort::open(any, BufferSizes::default()).unwrap();
        let relay = Relay::start(port.local_addr(), line.parse::<Line>().unwrap(), 1).unwrap();
        let (client, server) = protections(SESSION);
        let sink = start(Config::server(SESSION, 1), server, Sink::new(true), |waker| {
            port.register(SESSION, waker).unwrap().into()
        });
        let engine = Source::new(length);
        let progress = engine.acknowledged.clone();
        let config = Config::client(SESSION, relay.address(), 2).with_rtt(Duration::from_millis(20));
        let source = start(config, client, engine, |_| loopback_socket().into());
        Self { relay, port, source, sink, progress, length }
    }

    /// Waits until the peer is known to have a share of the bytes.
    fn until(&self, share: f64) {
        let start = Instant::now();
        while (self.progress.load(Ordering::Relaxed) as f64) < self.length as f64 * share {
            assert!(start.elapsed() < DEADLINE, "stuck at {} bytes", self.progress.load(Ordering::Relaxed));
            std::thread::yield_now();
        }
    }

    /// Lets both ends finish and looks at every byte.
    fn finish(self) -> (Finished<Source>, Finished<Sink>, SharedPort, Relay) {
        self.until(1.0);
        let (source, sink) = (self.source.join().unwrap(), self.sink.join().unwrap());
        assert_eq!((sink.engine.received, sink.engine.wrong), (self.length, 0));
        for result in [&source.result, &sink.result] {
            assert_eq!(result.as_ref().unwrap().code, Code::OK);
        }
        (source, sink, self.port, self.relay)
    }
}

#[test]
fn bytes_cross_delay_and_loss_whole() {
    let scene = Scene::new("200m,30ms,2%", 6_000_000);
    let (source, _, _, relay) = scene.finish();
    assert!(relay.statistics().forward.lost > 3);
    assert!(source.connection.sent.repeated_lost > 0);
}

#[test]
fn in_steady_state_the_shared_port_is_idle() {
    let (_, sink, port, _) = Scene::new("200m,10ms,0%", 6_000_000).finish();
    assert!(port.statistics().forwarded < 100, "{:?}", port.statistics());
    assert!(sink.sockets.receive_calls > 0);
}

#[test]
fn junk_is_neither_taken_nor_answered() {
    let scene = Scene::new("100m,10ms,0%", 6_000_000);
    let mut attacker = loopback_socket();
    let header = Header { session: SESSION, number: PacketNumber::new(1 << 20).unwrap(), stamp: false };
    let forged = [header.encode().as_slice(), &[0xaa; 1000]].concat();
    for bytes in [forged.as_slice(), b"junk", &[0; 1400]] {
        for to in [scene.relay.address(), scene.port.local_addr()] {
            for _ in 0..300 {
                let outgoing = Outgoing { to, local: None, ecn: Ecn::NotCapable, segment: bytes.len(), bytes };
                attacker.send(&outgoing).unwrap();
            }
        }
    }
    let (_, sink, port, _) = scene.finish();
    assert!(port.statistics().foreign >= 600, "{:?}", port.statistics());
    assert!(sink.connection.received.forged > 0, "{:?}", sink.connection.received);
    let mut batch = limosa_datapath::ReceiveBatch::new();
    attacker.receive(&mut batch).unwrap();
    assert!(batch.is_empty(), "an answer to junk");
}

#[test]
fn a_blackout_and_a_new_address_are_survived() {
    let scene = Scene::new("100m,10ms,0.1%", 8_000_000);
    scene.until(0.1);
    scene.relay.set_blackout(Blackout::Both);
    let dark = Instant::now();
    while scene.relay.statistics().forward.blacked_out < 3 {
        assert!(dark.elapsed() < DEADLINE);
        std::thread::yield_now();
    }
    scene.relay.set_blackout(Blackout::Off);
    scene.until(0.4);
    scene.relay.rebind();
    let (_, sink, _, _) = scene.finish();
    assert!(sink.engine.events.iter().any(|event| matches!(event, Event::PeerMoved { .. })));
}
