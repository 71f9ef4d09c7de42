//! How many round trips the built-in client takes, seen from outside: by a
//! relay that holds every byte back for half a round trip.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod support;

use limosa_ssh::client::Remote;
use limosa_ssh::server::Settings;
use limosa_ssh::{Way, connect};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use support::{Echo, Embedded, Lab, Sshd, echoes, in_time, installed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Half a round trip of the relay.
const DELAY: Duration = Duration::from_millis(40);

/// Depth of what has arrived at either end. What the client sends is one
/// deeper than the deepest it has received; what the server sends is as deep as
/// the deepest it has received: so what was under way already counts for nothing.
#[derive(Default)]
struct Depths {
    at_server: AtomicU32,
    at_client: AtomicU32,
}

impl Depths {
    /// Round trips the client has waited for, TCP's own included, which the
    /// relay does not see.
    fn round_trips(&self) -> u32 {
        self.at_client.load(Ordering::SeqCst) + 1
    }
}

/// A relay to `to` that delays both directions; its port and its count.
async fn relay(to: u16) -> (u16, Arc<Depths>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let depths = Arc::new(Depths::default());
    let counted = Arc::clone(&depths);
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        let server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        let (client_read, client_write) = client.into_split();
        let (server_read, server_write) = server.into_split();
        let [of_up, to_server, of_down, to_client] = [0; 4].map(|_| Arc::clone(&counted));
        let depth_up = move || of_up.at_client.load(Ordering::SeqCst) + 1;
        let depth_down = move || of_down.at_server.load(Ordering::SeqCst);
        let arrived_up = move |depth| to_server.at_server.fetch_max(depth, Ordering::SeqCst);
        let arrived_down = move |depth| to_client.at_client.fetch_max(depth, Ordering::SeqCst);
        tokio::spawn(pump(client_read, server_write, depth_up, arrived_up));
        tokio::spawn(pump(server_read, client_write, depth_down, arrived_down));
    });
    (port, depths)
}

async fn pump(
    mut from: impl AsyncReadExt + Unpin + Send + 'static,
    mut to: impl AsyncWriteExt + Unpin + Send + 'static,
    depth: impl Fn() -> u32 + Send + 'static,
    arrived: impl Fn(u32) -> u32 + Send + 'static,
) {
    let (sender, mut receiver) = mpsc::channel::<(Instant, u32, Vec<u8>)>(1000);
    tokio::spawn(async move {
        while let Some((at, depth, bytes)) = receiver.recv().await {
            tokio::time::sleep_until(at).await;
            arrived(depth);
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    let mut buffer = vec![0; 65536];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let late = (Instant::now() + DELAY, depth(), buffer[..length].to_vec());
        if sender.send(late).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn key_login_to_the_embedded_server_takes_seven_round_trips() {
    if !installed(&["ssh-keygen"]) {
        return;
    }
    let lab = Lab::new();
    let key = lab.key("key", &["-t", "ed25519"], "");
    let server = Embedded::run(Echo::trusting(&lab.public(&key)), Settings::default()).await;
    let (port, depths) = relay(server.port).await;
    let mut connected = in_time(connect(lab.request(port).way(Way::Builtin).identity(key))).await.unwrap();
    let setup = depths.round_trips();
    echoes(&mut connected.channel, 100).await;
    let answered = depths.round_trips();
    println!("embedded: {setup} round trips of set-up, {answered} to the first answer, {:?}", connected.setup);
    assert_eq!(connected.started().await, Some(Remote::Subsystem));
    assert!(setup <= 7 && answered <= 8, "{setup}, {answered}");
}

#[tokio::test]
async fn key_login_to_openssh_takes_seven_round_trips_and_a_window() {
    if !installed(&["sshd", "ssh-keygen"]) {
        return;
    }
    let lab = Lab::new();
    let key = lab.key("key", &["-t", "ed25519"], "");
    let sshd = Sshd::run(&lab, &lab.public(&key), &Sshd::with_subsystem(&lab));
    let (port, depths) = relay(sshd.port).await;
    let mut connected = in_time(connect(lab.request(port).way(Way::Builtin).identity(key))).await.unwrap();
    let setup = depths.round_trips();
    echoes(&mut connected.channel, 100).await;
    let answered = depths.round_trips();
    println!("OpenSSH: {setup} round trips of set-up, {answered} to the first answer, {:?}", connected.setup);
    // sshd grants a channel no window before its program runs: one more.
    assert!(setup <= 7 && answered <= 9, "{setup}, {answered}");
}
