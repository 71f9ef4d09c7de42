//! Set-up over an in-memory stream.

use std::pin::Pin;
use std::task::{Context, Poll};

use limosa_wire::setup::{
    Answer, ContentDigest, ContentProtection, Direction, Durability, Hello, Overwrite, RatePolicy, Request,
    ResumeLevel, SetupMessage, Suite, Symlinks, UdpEndpoint,
};
use limosa_wire::{Code, Rate, SessionId};
use tokio::io::{AsyncWriteExt, ReadBuf, duplex};

use super::{SETUP_HEADER, SetupChannel, SetupError, accept, open};

fn request() -> Request {
    Request {
        direction: Direction::Upload,
        transfer: [1; 16],
        random: [2; 32],
        suites: vec![Suite::Aes128Gcm],
        digests: vec![ContentDigest::Blake3],
        policy: RatePolicy::Fair,
        rate: None,
        resume: ResumeLevel::Attributes,
        durability: Durability::File,
        symlinks: Symlinks::Follow,
        overwrite: Overwrite::Different,
        keep_mode: true,
        keep_times: true,
        fresh: false,
        protection: ContentProtection::None,
        source_count: 1,
        paths: vec![b"in".to_vec()],
    }
}

fn answer(version: u16) -> Answer {
    Answer {
        version,
        session: SessionId(7),
        udp: vec![UdpEndpoint { address: None, port: 33001 }],
        suite: Suite::Aes128Gcm,
        digest: ContentDigest::Blake3,
        random: [3; 32],
        policy: RatePolicy::Fair,
        rate_cap: Rate::UNLIMITED,
        fresh: true,
        orphan_credit: 8 << 20,
        timeout_seconds: 60,
    }
}

#[tokio::test]
async fn both_sides_end_with_the_same_transcript() {
    let (client, server) = duplex(1 << 16);
    let serve = async {
        let incoming = accept(server).await.unwrap();
        assert_eq!(incoming.request(), &request());
        let version = incoming.version();
        incoming.consent(&answer(version)).await.unwrap().1
    };
    let request = request();
    let (opened, theirs) = tokio::join!(open(client, &request), serve);
    let opened = opened.unwrap();
    assert_eq!(opened.transcript, theirs);
    assert_eq!(opened.answer.session, SessionId(7));
    assert_eq!(opened.channel.peer(), super::SOFTWARE);
}

#[tokio::test]
async fn a_refusal_names_code_reason_and_server_version() {
    let (client, server) = duplex(1 << 16);
    let serve = async { accept(server).await.unwrap().refuse(Code::WRITE_NOT_ALLOWED, "ask ops").await.unwrap() };
    let request = request();
    let (opened, ()) = tokio::join!(open(client, &request), serve);
    let error = opened.unwrap_err();
    assert_eq!(error.code(), Code::WRITE_NOT_ALLOWED);
    assert!(error.to_string().contains("ask ops") && error.to_string().contains(super::SOFTWARE), "{error}");
}

#[tokio::test]
async fn a_chatty_login_script_is_shown() {
    let (client, mut server) = duplex(1 << 16);
    server.write_all(b"Welcome to example!\r\nplease behave\n").await.unwrap();
    drop(server.shutdown().await);
    let error = open(client, &request()).await.unwrap_err();
    assert_eq!(error.code(), Code::NOT_LIMOSA);
    assert!(error.to_string().contains("Welcome to example!"), "{error}");
}

/// Says something and takes nothing any more, as a command that has ended.
#[derive(Debug)]
struct Gone<'a>(&'a [u8]);

impl tokio::io::AsyncRead for Gone<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl tokio::io::AsyncWrite for Gone<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Err(std::io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_stranger_who_has_gone_already_is_still_heard() {
    let error = open(Gone(b"limosa: command not found\n"), &request()).await.unwrap_err();
    assert_eq!(error.code(), Code::NOT_LIMOSA);
    assert!(error.to_string().contains("command not found"), "{error}");
    let error = open(Gone(b""), &request()).await.unwrap_err();
    assert!(matches!(error, SetupError::Channel(_)), "{error:?}");
}

#[tokio::test]
async fn another_version_is_refused_on_both_sides() {
    let (mut client, server) = duplex(1 << 16);
    let hello = SetupMessage::Hello(Hello { versions: (90, 91), software: "limosa 9.0".into(), capabilities: 0 });
    client.write_all(&hello.encode()).await.unwrap();
    let error = accept(server).await.unwrap_err();
    assert_eq!(error.code(), Code::VERSION_MISMATCH);
    assert!(error.to_string().contains("90–91") && error.to_string().contains("limosa 9.0"), "{error}");
    let mut theirs = super::SetupChannel::new(client);
    assert!(matches!(theirs.read().await, Ok(Some((SetupMessage::Hello(_), _)))));
    let Ok(Some((SetupMessage::Refusal(refusal), _))) = theirs.read().await else { panic!("the client is told") };
    assert_eq!(refusal.code, Code::VERSION_MISMATCH);
}

#[tokio::test]
async fn a_channel_that_ends_early_is_told_apart() {
    let (client, server) = duplex(1 << 16);
    drop(server);
    let error = open(client, &request()).await.unwrap_err();
    assert!(matches!(error, SetupError::Channel(_) | SetupError::Closed), "{error:?}");
    assert_eq!(error.code(), Code::SSH_LOST);
}

#[tokio::test]
async fn a_read_that_is_dropped_midway_loses_nothing() {
    let (mut ours, theirs) = tokio::io::duplex(1 << 12);
    let message = SetupMessage::UdpSeen { datagrams: 3, authentic: 2 };
    let bytes = message.encode();
    let (start, rest) = bytes.split_at(SETUP_HEADER + 1);
    let mut channel = SetupChannel::new(theirs);
    ours.write_all(start).await.unwrap();
    tokio::select! {
        biased;
        read = channel.read() => panic!("half a message was read: {read:?}"),
        () = std::future::ready(()) => {}
    }
    ours.write_all(rest).await.unwrap();
    assert_eq!(channel.read().await.unwrap(), Some((message, bytes.clone())));
    ours.write_all(start).await.unwrap();
    drop(ours);
    assert!(matches!(channel.read().await, Err(SetupError::Closed)), "half a message is no orderly end");
}
