//! The embedded server in a process of its own, and what its death does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod support;

use limosa_ssh::front::{self, Incoming, IncomingSession, Incomings, Proof};
use limosa_ssh::server::{Identity, Method, ServerKey, Settings};
use limosa_ssh::{End, Secret, SshError, Way, connect};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use support::{Lab, echoes, in_time};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener, UnixStream};

const MAIN: &str = "LIMOSA_TEST_FRONT_SOCKET";

/// Not a test of its own: the front process, when started as one.
#[tokio::test]
async fn front_process() {
    let Some(main) = std::env::var_os(MAIN) else {
        return;
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("\nport {}", listener.local_addr().unwrap().port());
    let key = ServerKey::generate().unwrap();
    front::serve(listener, &key, Settings::default(), Path::new(&main)).await.unwrap();
}

struct Front {
    child: Child,
    port: u16,
}

impl Front {
    fn start(main: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "front_process", "--nocapture"])
            .env(MAIN, main)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("port ")?.parse().ok());
        Self { child, port: port.expect("the front tells its port") }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lets `alice` in by the password, until a session comes.
async fn session(incomings: &mut Incomings) -> IncomingSession {
    loop {
        match in_time(incomings.next()).await.unwrap() {
            Incoming::Session(session) => return session,
            Incoming::Login(login) => match &login.proof {
                Proof::Password(secret) if secret.expose() == "s3cret" => {
                    login.accept(Identity::new("alice"));
                }
                _ => login.refuse(),
            },
        }
    }
}

fn listen(lab: &Lab) -> Incomings {
    let socket = UnixListener::bind(lab.path("main")).unwrap();
    let me = std::fs::metadata(lab.dir.path()).unwrap();
    front::accept(socket, vec![std::os::unix::fs::MetadataExt::uid(&me)])
}

#[tokio::test]
async fn sessions_cross_the_boundary_and_a_crash_is_a_broken_line() {
    let lab = Lab::new();
    let mut incomings = listen(&lab);
    let mut front = Front::start(&lab.path("main"));
    let request = lab.request(front.port).way(Way::Builtin).password(Some(Secret::new("s3cret".into())));
    let (connected, mut ours) = tokio::join!(in_time(connect(request.clone())), session(&mut incomings));
    let mut connected = connected.unwrap();
    assert_eq!((ours.identity.name(), &ours.method), ("alice", &Method::Password));
    assert!(ours.peer.ip().is_loopback());

    // Bytes, both ways, then an orderly end from the client.
    connected.channel.write_all(b"ping").await.unwrap();
    let mut ping = [0; 4];
    in_time(ours.channel.read_exact(&mut ping)).await.unwrap();
    ours.channel.write_all(b"pong").await.unwrap();
    in_time(connected.channel.read_exact(&mut ping)).await.unwrap();
    assert_eq!(&ping, b"pong");
    drop(connected);
    let mut rest = Vec::new();
    in_time(ours.channel.read_to_end(&mut rest)).await.unwrap();

    // An orderly end from the main process.
    let (connected, ours) = tokio::join!(in_time(connect(request.clone())), session(&mut incomings));
    drop(ours);
    let mut connected = connected.unwrap();
    in_time(connected.channel.read_to_end(&mut rest)).await.unwrap();
    assert!(matches!(in_time(connected.channel.end().ended()).await, End::Closed { .. }));

    // The front dies.
    let (connected, mut ours) = tokio::join!(in_time(connect(request)), session(&mut incomings));
    let mut connected = connected.unwrap();
    front.child.kill().unwrap();
    for channel in [&mut ours.channel, &mut connected.channel] {
        let error = in_time(channel.read_u8()).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
    }
    // The main process goes on, with a new front.
    let front = Front::start(&lab.path("main"));
    std::fs::remove_file(lab.path("known_hosts")).unwrap();
    let request = lab.request(front.port).way(Way::Builtin).password(Some(Secret::new("s3cret".into())));
    let (connected, ours) = tokio::join!(in_time(connect(request)), session(&mut incomings));
    let (mut reader, mut writer) = tokio::io::split(ours.channel);
    tokio::spawn(async move { tokio::io::copy(&mut reader, &mut writer).await });
    echoes(&mut connected.unwrap().channel, 500_000).await;
}

#[tokio::test]
async fn a_refused_login_and_a_session_without_one_come_to_nothing() {
    let lab = Lab::new();
    let mut incomings = listen(&lab);
    let front = Front::start(&lab.path("main"));
    let request = lab.request(front.port).way(Way::Builtin).password(Some(Secret::new("wrong".into())));
    let refused = tokio::select! {
        refused = connect(request) => refused.unwrap_err(),
        _ = session(&mut incomings) => panic!("a session without a login"),
    };
    assert!(matches!(refused, SshError::Authentication { .. }), "{refused}");
    // A session message with a ticket nobody issued: the socket is closed.
    let mut socket = UnixStream::connect(lab.path("main")).await.unwrap();
    let mut message = vec![0, 0, 0, 21, 7, 0, 0, 0, 16];
    message.extend([0; 16]);
    socket.write_all(&message).await.unwrap();
    assert!(in_time(socket.read_u8()).await.is_err());
}
