//! The client's side of set-up.

use limosa_wire::setup::{Answer, Request, SetupMessage};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{SetupChannel, SetupError, our_hello, printable};

/// What the server consented to, and what keys depend on.
#[derive(Debug)]
pub struct ClientSetup<S> {
    /// The channel, for what follows.
    pub channel: SetupChannel<S>,
    /// The server's terms.
    pub answer: Answer,
    /// The bytes of client hello, request, server hello and answer.
    pub transcript: [Vec<u8>; 4],
}

/// Sends hello and request without waiting, then hears the server out.
///
/// # Errors
/// If the channel breaks, no Limosa answers, or the server refuses.
pub async fn open<S>(stream: S, request: &Request) -> Result<ClientSetup<S>, SetupError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut channel = SetupChannel::new(stream);
    let hello = our_hello().encode();
    let request = SetupMessage::Request(Box::new(request.clone())).encode();
    let sent = channel.write(&[&hello[..], &request[..]].concat()).await;
    let heard = channel.read_hello().await;
    // Whoever is no Limosa may have gone before it was asked: what it said
    // tells more than that.
    if !matches!(heard, Err(SetupError::Foreign(_))) {
        sent?;
    }
    let (_, version, their_hello) = heard?;
    let (message, answer_bytes) = channel.read().await?.ok_or(SetupError::Closed)?;
    match message {
        SetupMessage::Answer(answer) if answer.version == version => {
            let transcript = [hello, request, their_hello, answer_bytes];
            Ok(ClientSetup { channel, answer: *answer, transcript })
        }
        SetupMessage::Refusal(refusal) => Err(SetupError::Refused {
            code: refusal.code,
            detail: printable(refusal.detail.as_bytes()),
            software: channel.peer().to_owned(),
        }),
        _ => Err(SetupError::Unexpected(channel.peer().to_owned())),
    }
}
