//! Carries bytes between the caller's [`Channel`](crate::Channel) and the
//! session program, and starts that program by whichever of the two means
//! works.
//!
//! The caller writes at once; nobody waits for the server's answer to the
//! request. So until the program's first byte has come back, what was written
//! is kept, and written again where the first means turns out not to work.

use super::line::{Event, Input, Line, Output, Started};
use super::memory::{Remote, RemoteMemory};
use crate::SshError;
use crate::channel::{Closing, End, Feed};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, split};
use tokio::sync::watch;

/// Most bytes kept for writing again, in bytes. Whoever writes more before the
/// first answer forgoes the second means.
const KEPT: usize = 64 * 1024;

/// How long the other end may take to close after the caller has dropped its
/// channel.
const CLOSING_TIME: Duration = Duration::from_secs(2);

/// Where the means that worked is remembered.
pub(crate) struct Remembering {
    pub(crate) memory: RemoteMemory,
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// One connection's carrier.
pub(crate) struct Courier {
    line: Box<dyn Line>,
    first: Remote,
    proof: Option<Proof>,
}

/// The caller's side of a channel while it is served.
struct Caller {
    reads: WriteHalf<DuplexStream>,
    writes: ReadHalf<DuplexStream>,
    /// The caller writes no more.
    done: bool,
    kept: Vec<u8>,
    progress: Progress,
}

/// How much of what is kept a program's input has taken.
#[derive(Clone, Copy)]
enum Progress {
    /// So many bytes.
    Written(usize),
    /// All, and it was closed; or it takes no more.
    Shut,
}

impl Caller {
    fn unwritten(&self) -> &[u8] {
        match self.progress {
            Progress::Written(length) => self.kept.get(length..).unwrap_or_default(),
            Progress::Shut => &[],
        }
    }
}

/// How the attempt to start the program went.
enum Outcome {
    /// It runs; the event is what came back first.
    Runs(Option<Event>),
    /// It could not be started.
    NotStarted(String),
}

impl Courier {
    /// A carrier on `line` that tries `first` first, and says in `works` what
    /// works.
    pub(crate) fn new(
        line: Box<dyn Line>,
        first: Remote,
        remembering: Option<Remembering>,
        works: watch::Sender<Option<Remote>>,
    ) -> Self {
        let proof = Some(Proof { works, remembering, remote: first });
        Self { line, first, proof }
    }

    /// Starts the session program and carries bytes until the end.
    pub(crate) async fn run(mut self, feed: Feed) {
        let Feed { stream, mut closing } = feed;
        let (writes, reads) = split(stream);
        let mut caller = Caller { reads, writes, done: false, kept: Vec::new(), progress: Progress::Written(0) };
        let end = match self.start(&mut caller).await {
            Ok((started, first)) => carry(started, first, caller, &mut closing, self.proof.take()).await,
            Err(error) => {
                // The stream outlives the verdict, so the caller sees it.
                closing.finish(End::Broken(Arc::new(error)));
                drop(caller);
                self.line.close().await;
                return;
            }
        };
        closing.finish(end.0);
        drop(end.1);
        self.line.close().await;
    }

    /// Tries both means in turn; the running program and what it said first.
    async fn start(&mut self, caller: &mut Caller) -> Result<(Started, Option<Event>), SshError> {
        let mut tried = Vec::new();
        for remote in [self.first, self.first.other()] {
            let mut started = match self.line.start(remote).await {
                Ok(started) => started,
                Err(error) if tried.is_empty() => return Err(error),
                Err(error) => {
                    tried.push(error.to_string());
                    break;
                }
            };
            match settle(&mut started, caller).await {
                Outcome::Runs(event) => {
                    if let Some(proof) = &mut self.proof {
                        proof.remote = remote;
                    }
                    return Ok((started, event));
                }
                Outcome::NotStarted(reason) => {
                    tracing::debug!(?remote, reason, "no session by this means");
                    tried.push(reason);
                }
            }
        }
        Err(SshError::NoSession { tried: tried.join("; ") })
    }
}

/// Notes what works once the program has answered; only that proves it.
pub(crate) struct Proof {
    works: watch::Sender<Option<Remote>>,
    remembering: Option<Remembering>,
    remote: Remote,
}

impl Proof {
    fn note(self) {
        self.works.send_replace(Some(self.remote));
        if let Some(Remembering { memory, host, port }) = &self.remembering {
            memory.remember(host, *port, self.remote);
        }
    }
}

/// Hands over what the caller writes until something comes back.
///
/// Writing never holds up listening: OpenSSH grants a channel no window before
/// its program runs, so on a channel that is refused writing waits for ever.
async fn settle(started: &mut Started, caller: &mut Caller) -> Outcome {
    let Started { input, output } = started;
    caller.progress = Progress::Written(0);
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let to_write = !matches!(caller.progress, Progress::Shut) && (caller.done || !caller.unwritten().is_empty());
        let room = !caller.done && caller.kept.len() < KEPT;
        tokio::select! {
            event = output.next() => return match event {
                Event::NotStarted(reason) => Outcome::NotStarted(reason),
                event => Outcome::Runs(Some(event)),
            },
            progress = advance(input, &caller.kept, caller.progress), if to_write => {
                caller.progress = progress;
            }
            read = caller.writes.read(&mut buffer), if room => {
                let bytes = buffer.get(..read.unwrap_or(0)).unwrap_or_default();
                caller.done = bytes.is_empty();
                caller.kept.extend_from_slice(bytes);
            }
        }
        if matches!(caller.progress, Progress::Written(length) if length >= KEPT) {
            return Outcome::Runs(None);
        }
    }
}

/// One step: writes some of what is unwritten, or closes where nothing is.
/// What broke the input shows in the output, so errors end the writing alone.
async fn advance(input: &mut Input, kept: &[u8], progress: Progress) -> Progress {
    let Progress::Written(length) = progress else {
        return progress;
    };
    let unwritten = kept.get(length..).unwrap_or_default();
    if unwritten.is_empty() {
        let _ = input.shutdown().await;
        return Progress::Shut;
    }
    match input.write(unwritten).await {
        Ok(more @ 1..) => Progress::Written(length + more),
        Ok(0) | Err(_) => Progress::Shut,
    }
}

/// Carries both directions until the program or the caller ends it.
async fn carry(
    started: Started,
    first: Option<Event>,
    caller: Caller,
    closing: &mut Closing,
    proof: Option<Proof>,
) -> (End, (WriteHalf<DuplexStream>, ReadHalf<DuplexStream>)) {
    let Started { mut input, mut output } = started;
    let left = caller.unwritten().to_vec();
    let shut = matches!(caller.progress, Progress::Shut);
    let Caller { mut reads, mut writes, .. } = caller;
    let end = {
        let up = async {
            if !shut && input.write_all(&left).await.is_ok() {
                let _ = tokio::io::copy(&mut writes, &mut input).await;
                let _ = input.shutdown().await;
            }
            closing.dropped().await;
            tokio::time::sleep(CLOSING_TIME).await;
        };
        let down = receive(first, output.as_mut(), &mut reads, proof);
        tokio::select! {
            end = down => end,
            () = up => End::Closed { status: None, stderr: String::new() },
        }
    };
    (end, (reads, writes))
}

/// Hands what comes back to the caller until the end.
async fn receive(
    first: Option<Event>,
    output: &mut dyn Output,
    reads: &mut WriteHalf<DuplexStream>,
    mut proof: Option<Proof>,
) -> End {
    let mut event = match first {
        Some(event) => event,
        None => output.next().await,
    };
    loop {
        match event {
            Event::Data(bytes) => {
                if let Some(proof) = proof.take() {
                    proof.note();
                }
                // A caller that no longer reads may still wait for the end.
                let _ = reads.write_all(&bytes).await;
            }
            Event::Eof => {
                let _ = reads.shutdown().await;
            }
            Event::NotStarted(tried) => {
                return End::Broken(Arc::new(SshError::NoSession { tried }));
            }
            Event::Closed { status, stderr } => return End::Closed { status, stderr },
            Event::Broken(error) => return End::Broken(Arc::new(error)),
        }
        event = output.next().await;
    }
}
