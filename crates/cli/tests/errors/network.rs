//! 2xx: the network between the ends.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use limosa_wire::Code;
use rustix::net::{AddressFamily, SocketType};

use crate::case::Case;
use crate::peer::{answer, hello, scripted};
use crate::scene::{LARGE, Scene, without_host};
use crate::support::client::Finished;
use crate::support::openssh::free_port;
use crate::support::process::wait_gone;
use crate::support::until;

pub const CASES: &[Case] = &[
    Case::command(Code::RESOLVE_FAILED, "limosa send FILE HOST:", "no resolver knows HOST", no_such_name),
    Case::command(Code::CONNECT_REFUSED, "limosa send --port PORT FILE HOST:", "nothing listens there", refused),
    Case::command(
        Code::CONNECT_TIMEOUT,
        "limosa send --port PORT FILE HOST:",
        "what listens there takes no connection; a firewall that drops packets looks the same",
        no_answer,
    ),
    Case::command(
        Code::SSH_FAILED,
        "limosa send --port PORT FILE HOST:",
        "something that is no SSH server answers there",
        no_ssh,
    ),
    Case::command(
        Code::SSH_LOST,
        "limosa send --remote-command 'kill -9 $PPID' FILE HOST:",
        "the connection breaks before the session stands",
        ssh_lost,
    ),
    Case::command(
        Code::UDP_BLOCKED_OUT,
        "limosa send --udp-host HOST:PORT FILE HOST:",
        "datagrams to PORT are dropped on the way",
        blocked_out,
    ),
    Case::command(
        Code::UDP_BLOCKED_BACK,
        "limosa send --udp-host HOST:PORT FILE HOST:",
        "PORT is a relay that passes datagrams on and drops the answers",
        blocked_back,
    ),
    Case::command(
        Code::UDP_BLOCKED,
        "limosa send --remote-command 'cat SAID -' FILE HOST:",
        "the other end answers over SSH (what is in SAID) and is silent from then on",
        blocked,
    ),
    Case::command(Code::UDP_BIND, "limosa send --udp-port PORT FILE HOST:", "something else uses PORT", port_taken),
    Case::command(
        Code::PEER_SILENT,
        "limosa send --rate 4m FILE HOST:",
        "the server stands still for longer than its `session-timeout`",
        peer_silent,
    ),
    Case::command(
        Code::LINE_DEAD,
        "limosa send --rate 4m FILE HOST:",
        "the server stands still, and its SSH connection breaks",
        line_dead,
    ),
    Case::command(
        Code::PEER_GONE,
        "limosa send --rate 4m FILE HOST:",
        "`kill -9` ends the session at the other end",
        peer_gone,
    ),
];

/// How often a relay looks whether it is to end.
const LOOK: Duration = Duration::from_millis(50);

fn no_such_name(scene: &mut Scene) -> Option<Finished> {
    // Longer than names may be: nobody is asked for it.
    scene.fill("HOST", "h".repeat(64));
    without_host(scene)
}

fn refused(scene: &mut Scene) -> Option<Finished> {
    scene.fill("HOST", "127.0.0.1");
    scene.fill("PORT", free_port());
    without_host(scene)
}

fn no_answer(scene: &mut Scene) -> Option<Finished> {
    let listener = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&listener, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let listener = TcpListener::from(listener);
    let address = listener.local_addr().unwrap();
    // Fills the queue of connections that nobody takes.
    let waiting: Vec<_> = std::iter::from_fn(|| TcpStream::connect_timeout(&address, LOOK).ok()).take(8).collect();
    assert!(!waiting.is_empty());
    scene.fill("HOST", "127.0.0.1");
    scene.fill("PORT", address.port());
    without_host(scene)
}

fn no_ssh(scene: &mut Scene) -> Option<Finished> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    scene.fill("HOST", "127.0.0.1");
    scene.fill("PORT", listener.local_addr().unwrap().port());
    scene.file("FILE", 1000);
    let running = scene.spawn();
    let (mut stream, _) = listener.accept().unwrap();
    stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n").unwrap();
    drop((stream, listener));
    Some(running.finish())
}

fn ssh_lost(scene: &mut Scene) -> Option<Finished> {
    let _server = scene.openssh()?;
    without_host(scene)
}

fn blocked_out(scene: &mut Scene) -> Option<Finished> {
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap();
    scene.fill("HOST:PORT", nobody.local_addr().unwrap());
    let _server = scene.limosad()?;
    without_host(scene)
}

fn blocked_back(scene: &mut Scene) -> Option<Finished> {
    let relay = UdpSocket::bind("127.0.0.1:0").unwrap();
    relay.set_read_timeout(Some(LOOK)).unwrap();
    scene.fill("HOST:PORT", relay.local_addr().unwrap());
    // A port that was free a moment ago.
    let udp = UdpSocket::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
    let _server = scene.openssh_with(&format!(" --udp-ports {udp}"))?;
    let udp = SocketAddr::from((Ipv4Addr::LOCALHOST, udp));
    let over = Arc::new(AtomicBool::new(false));
    let until = Arc::clone(&over);
    let relaying = std::thread::spawn(move || {
        let mut datagram = [0; 65_536];
        while !until.load(Ordering::Relaxed) {
            let Ok((length, from)) = relay.recv_from(&mut datagram) else { continue };
            if from != udp {
                relay.send_to(&datagram[..length], udp).unwrap();
            }
        }
    });
    let finished = without_host(scene);
    over.store(true, Ordering::Relaxed);
    relaying.join().unwrap();
    finished
}

fn blocked(scene: &mut Scene) -> Option<Finished> {
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = nobody.local_addr().unwrap().port();
    scripted(scene, &[hello((1, 1)), answer(port)].concat())
}

fn port_taken(scene: &mut Scene) -> Option<Finished> {
    let taken = UdpSocket::bind("0.0.0.0:0").unwrap();
    scene.fill("PORT", taken.local_addr().unwrap().port());
    let _server = scene.limosad()?;
    without_host(scene)
}

fn peer_silent(scene: &mut Scene) -> Option<Finished> {
    let server = scene.limosad()?;
    scene.set("session-timeout = 5");
    scene.file("FILE", LARGE);
    let running = scene.spawn();
    scene.until_it_flows();
    server.process().halt();
    let finished = running.finish();
    server.process().resume();
    Some(finished)
}

fn line_dead(scene: &mut Scene) -> Option<Finished> {
    let server = scene.limosad()?;
    scene.set("session-timeout = 5");
    scene.file("FILE", LARGE);
    let running = scene.spawn();
    scene.until_it_flows();
    server.process().halt();
    let front = until("the process that holds the connection", || server.process().child());
    front.kill();
    let finished = running.finish();
    server.process().resume();
    Some(finished)
}

fn peer_gone(scene: &mut Scene) -> Option<Finished> {
    let server = scene.openssh()?;
    scene.file("FILE", LARGE);
    let running = scene.spawn();
    scene.until_it_flows();
    let session = server.session().unwrap();
    session.kill();
    wait_gone("the session", session);
    Some(running.finish())
}
