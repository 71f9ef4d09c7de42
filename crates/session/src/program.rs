//! The session program: one session for whoever is at the other end of its
//! standard input and output, as an SSH server starts it.
//!
//! Hang-up and end of input mean here that the SSH connection broke, not that
//! the client is done, which it says in so many words: the session lives on
//! while authentic datagrams arrive.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use limosa_wire::Code;
use limosa_wire::setup::Request;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, Stdin, Stdout};
use tokio::signal::unix::{SignalKind, signal};

use crate::client::StartError;
use crate::outcome::{Order, Outcome};
use crate::server::{Terms, serve};
use crate::setup::accept;
use crate::takeover::{Claim, claim};
use crate::udp::ServerPorts;

/// Standard input and output as one stream that never ends in order.
#[derive(Debug)]
pub struct Pipes {
    input: Stdin,
    output: Stdout,
}

impl Pipes {
    /// Standard input and output, which nothing else may use from now on. A
    /// thread waits for input, so a process that is done must not wait for it.
    #[must_use]
    pub fn standard() -> Self {
        Self { input: tokio::io::stdin(), output: tokio::io::stdout() }
    }
}

impl AsyncRead for Pipes {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.input).poll_read(context, buffer))?;
        if buffer.filled().len() == before && buffer.remaining() > 0 {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionReset, "end of input")));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipes {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.output).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.output).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.output).poll_shutdown(context)
    }
}

/// Serves one request on standard input and output to its outcome. `decide`
/// turns the request into terms, or into a refusal that the client is told;
/// `claims` is the directory by which sessions for the same transfer find each
/// other.
///
/// # Errors
/// What kept the session from starting; the client was told, if it could be.
pub async fn run(
    decide: impl FnOnce(&Request) -> Result<Terms, (Code, String)>,
    ports: &ServerPorts,
    claims: &Path,
) -> Result<Outcome, StartError> {
    // Taken over, a hang-up no longer ends the process.
    let _hang_up = signal(SignalKind::hangup());
    let incoming = accept(Pipes::standard()).await?;
    let terms = match decide(incoming.request()) {
        Ok(terms) => terms,
        Err((code, detail)) => {
            incoming.refuse(code, detail.clone()).await?;
            return Err(StartError::Job { code, detail });
        }
    };
    let claimed = match claim(claims, incoming.request().transfer).await {
        Ok(claimed) => claimed,
        Err(error) => {
            let detail = error.to_string();
            incoming.refuse(Code::IN_USE, detail.clone()).await?;
            return Err(StartError::Job { code: Code::IN_USE, detail });
        }
    };
    let mut running = serve(incoming, terms, ports).await?;
    running.events.close();
    Ok(until_over(running, claimed).await)
}

/// Waits for the end, which a newer session may bring about.
async fn until_over(mut running: crate::Running, claimed: Claim) -> Outcome {
    let steering = running.steering();
    let challenger = tokio::select! {
        outcome = running.outcome() => return outcome,
        challenger = claimed.challenged() => challenger,
    };
    steering.order(Order::Cancel(Code::TAKEN_OVER));
    // Its peer may be long gone; the files are what matters.
    let patience = tokio::time::timeout(TAKEOVER_PATIENCE, running.outcome());
    let outcome = match patience.await {
        Ok(outcome) => outcome,
        Err(_) => {
            steering.order(Order::Abort(Code::TAKEN_OVER));
            running.outcome().await
        }
    };
    // The newer session makes its own socket once it hears of the end.
    drop(claimed);
    drop(challenger);
    outcome
}

/// How long a session that is taken over may say good-bye.
const TAKEOVER_PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);
