//! Session set-up over any byte stream: hello, request, answer.
//!
//! The client writes hello and request in one go and then listens; the server
//! answers once it has decided. Both sides keep the bytes of these four
//! messages, on which the keys depend: whoever changed one of them on the way
//! ends up with other keys.

mod client;
mod server;

#[cfg(test)]
mod tests;

pub use client::{ClientSetup, open};
pub use server::{IncomingRequest, accept};

use limosa_wire::Code;
use limosa_wire::codec::DecodeError;
use limosa_wire::setup::{Hello, SETUP_HEADER, SetupMessage, VERSIONS};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Name and version of this software, as told to the peer.
pub const SOFTWARE: &str = concat!("limosa ", env!("CARGO_PKG_VERSION"));

/// Why a session did not come about.
#[derive(Debug, Error)]
pub enum SetupError {
    /// The channel broke.
    #[error("the SSH channel broke during set-up: {0}")]
    Channel(#[from] std::io::Error),
    /// The channel ended without an answer.
    #[error("the other end closed the SSH channel without an answer")]
    Closed,
    /// What came is not our protocol; most likely text.
    #[error("the other end does not answer as Limosa does; it said: {0}")]
    Foreign(String),
    /// A message that is none.
    #[error("{0} (from {1})")]
    Decode(DecodeError, String),
    /// A message at the wrong time.
    #[error("unexpected message (from {0})")]
    Unexpected(String),
    /// No version in common.
    #[error("no common protocol version: here {}–{}, there {}–{} ({software})", VERSIONS.0, VERSIONS.1, theirs.0, theirs.1)]
    Versions {
        /// Versions of the peer.
        theirs: (u16, u16),
        /// Its software.
        software: String,
    },
    /// The server refused.
    #[error("{} ({software})", refusal_text(*code, detail))]
    Refused {
        /// Why.
        code: Code,
        /// More about it.
        detail: String,
        /// Name and version of the server.
        software: String,
    },
}

fn refusal_text(code: Code, detail: &str) -> String {
    if detail.is_empty() { code.summary().to_owned() } else { format!("{}: {detail}", code.summary()) }
}

impl SetupError {
    /// The numbered code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Channel(_) | Self::Closed => Code::SSH_LOST,
            Self::Foreign(_) => Code::NOT_LIMOSA,
            Self::Decode(..) | Self::Unexpected(_) => Code::PROTOCOL,
            Self::Versions { .. } => Code::VERSION_MISMATCH,
            Self::Refused { code, .. } => *code,
        }
    }
}

/// A byte stream that carries set-up messages, and what its peer is called.
#[derive(Debug)]
pub struct SetupChannel<S> {
    stream: S,
    peer: String,
    /// The start of a message whose rest has not arrived.
    partial: Vec<u8>,
}

impl<S> SetupChannel<S> {
    /// Speaks over `stream`.
    pub fn new(stream: S) -> Self {
        Self { stream, peer: "an unknown peer".to_owned(), partial: Vec::new() }
    }

    /// Name and version of the peer's software, once it has said hello.
    #[must_use]
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// The stream itself.
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> SetupChannel<S> {
    /// Reads the next message, with its bytes; `None` at an orderly end. May be
    /// dropped while it waits: the next call goes on where this one was.
    ///
    /// # Errors
    /// If the channel breaks or something else comes.
    pub async fn read(&mut self) -> Result<Option<(SetupMessage, Vec<u8>)>, SetupError> {
        if !self.fill(SETUP_HEADER).await? {
            return if self.partial.is_empty() { Ok(None) } else { Err(SetupError::Closed) };
        }
        let header = self.partial.first_chunk().copied().unwrap_or_default();
        let Ok(length) = SetupMessage::body_length(header) else {
            let start = std::mem::take(&mut self.partial);
            return Err(self.foreign(&start).await);
        };
        if !self.fill(SETUP_HEADER + length).await? {
            return Err(SetupError::Closed);
        }
        let bytes = std::mem::take(&mut self.partial);
        let message = SetupMessage::decode(&bytes).map_err(|error| SetupError::Decode(error, self.peer.clone()))?;
        Ok(Some((message, bytes)))
    }

    /// Reads until `length` bytes of the message are there; false if the
    /// stream ends before. What came stays if this is dropped while it waits.
    async fn fill(&mut self, length: usize) -> Result<bool, SetupError> {
        // Grows with what arrives: a length alone reserves nothing.
        let mut portion = [0; 4096];
        while self.partial.len() < length {
            let wanted = portion.len().min(length - self.partial.len());
            let read = self.stream.read(&mut portion[..wanted]).await?;
            if read == 0 {
                return Ok(false);
            }
            self.partial.extend_from_slice(&portion[..read]);
        }
        Ok(true)
    }

    /// Collects a little of what a stranger says, to show it.
    async fn foreign(&mut self, start: &[u8]) -> SetupError {
        const SHOWN: usize = 400;
        const PATIENCE: std::time::Duration = std::time::Duration::from_millis(300);
        let mut said = start.to_vec();
        let more = (&mut self.stream).take(SHOWN as u64);
        // Whether the stranger goes on, stops or breaks off makes no odds here.
        let _ = tokio::time::timeout(PATIENCE, { more }.read_to_end(&mut said)).await;
        SetupError::Foreign(printable(&said))
    }

    /// Reads the peer's hello and settles the version.
    async fn read_hello(&mut self) -> Result<(Hello, u16, Vec<u8>), SetupError> {
        let (message, bytes) = self.read().await?.ok_or(SetupError::Closed)?;
        let SetupMessage::Hello(hello) = message else {
            return Err(SetupError::Unexpected(self.peer.clone()));
        };
        self.peer = printable(hello.software.as_bytes());
        let version = VERSIONS.1.min(hello.versions.1);
        if version < VERSIONS.0 || version < hello.versions.0 {
            return Err(SetupError::Versions { theirs: hello.versions, software: self.peer.clone() });
        }
        Ok((hello, version, bytes))
    }
}

impl<S: AsyncWrite + Unpin> SetupChannel<S> {
    /// Writes bytes made by [`SetupMessage::encode`].
    ///
    /// # Errors
    /// If the channel breaks.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), SetupError> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await?;
        Ok(())
    }
}

fn our_hello() -> SetupMessage {
    SetupMessage::Hello(Hello { versions: VERSIONS, software: SOFTWARE.to_owned(), capabilities: 0 })
}

/// Foreign text made fit for a terminal and a log.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
