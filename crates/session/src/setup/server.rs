//! The server's side of set-up.

use limosa_wire::Code;
use limosa_wire::setup::{Answer, Refusal, Request, SetupMessage};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{SetupChannel, SetupError, our_hello};

/// A request that waits for a decision.
#[derive(Debug)]
pub struct IncomingRequest<S> {
    channel: SetupChannel<S>,
    request: Request,
    version: u16,
    transcript: [Vec<u8>; 3],
}

/// Says hello and hears the client's hello and request.
///
/// # Errors
/// If the channel breaks or no Limosa client speaks. A client of another
/// version has been told so.
pub async fn accept<S>(stream: S) -> Result<IncomingRequest<S>, SetupError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut channel = SetupChannel::new(stream);
    let hello = our_hello().encode();
    channel.write(&hello).await?;
    let (_, version, their_hello) = match channel.read_hello().await {
        Err(error @ SetupError::Versions { .. }) => {
            let refusal = Refusal { code: Code::VERSION_MISMATCH, detail: error.to_string() };
            channel.write(&SetupMessage::Refusal(refusal).encode()).await?;
            return Err(error);
        }
        result => result?,
    };
    let (message, request_bytes) = channel.read().await?.ok_or(SetupError::Closed)?;
    let SetupMessage::Request(request) = message else {
        return Err(SetupError::Unexpected(channel.peer().to_owned()));
    };
    Ok(IncomingRequest { channel, request: *request, version, transcript: [their_hello, request_bytes, hello] })
}

impl<S: AsyncRead + AsyncWrite + Unpin> IncomingRequest<S> {
    /// What is asked for.
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Version of the protocol in force.
    #[must_use]
    pub fn version(&self) -> u16 {
        self.version
    }

    /// Name and version of the client's software.
    #[must_use]
    pub fn peer(&self) -> &str {
        self.channel.peer()
    }

    /// Consents. Returns the channel and the bytes of client hello, request,
    /// server hello and answer.
    ///
    /// # Errors
    /// If the channel breaks.
    pub async fn consent(mut self, answer: &Answer) -> Result<(SetupChannel<S>, [Vec<u8>; 4]), SetupError> {
        let answer = SetupMessage::Answer(Box::new(answer.clone())).encode();
        self.channel.write(&answer).await?;
        let [client_hello, request, server_hello] = self.transcript;
        Ok((self.channel, [client_hello, request, server_hello, answer]))
    }

    /// Refuses.
    ///
    /// # Errors
    /// If the channel breaks.
    pub async fn refuse(mut self, code: Code, detail: impl Into<String>) -> Result<(), SetupError> {
        let refusal = Refusal { code, detail: detail.into() };
        self.channel.write(&SetupMessage::Refusal(refusal).encode()).await
    }
}
