//! An authenticated connection on which sessions can be started: what the two
//! ways, built-in and system, have in common.

use super::Remote;
use crate::SshError;
use std::future::Future;
use std::pin::Pin;
use tokio::io::AsyncWrite;

/// A future on the heap, for the few calls that go through a trait object.
pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A connection on which the session program can be started.
pub(crate) trait Line: Send {
    /// Asks for the session program by `remote`, without waiting for the
    /// answer: what is written before it is the program's input.
    fn start(&mut self, remote: Remote) -> BoxFuture<'_, Result<Started, SshError>>;

    /// Ends the connection, after what was written has left.
    fn close(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// The standard input of a session program.
pub(crate) type Input = Box<dyn AsyncWrite + Send + Unpin>;

/// A session program that was asked for.
pub(crate) struct Started {
    /// Its standard input.
    pub(crate) input: Input,
    /// What comes back.
    pub(crate) output: Box<dyn Output>,
}

/// What comes back from a session program.
pub(crate) trait Output: Send {
    /// Waits for what happens next. Dropping the future loses nothing.
    fn next(&mut self) -> BoxFuture<'_, Event>;
}

/// Something that came back.
#[derive(Debug)]
pub(crate) enum Event {
    /// Standard output.
    Data(Vec<u8>),
    /// The program writes no more.
    Eof,
    /// There is no such program, or the server does not start it.
    NotStarted(String),
    /// The program ended.
    Closed {
        /// Its exit status, where it was told.
        status: Option<u32>,
        /// The end of its standard error.
        stderr: String,
    },
    /// The connection is gone.
    Broken(SshError),
}

/// Exit statuses by which a shell says that it cannot run a command.
pub(crate) const CANNOT_RUN: [u32; 2] = [126, 127];

/// The end of a stream of text, bounded.
#[derive(Debug, Default)]
pub(crate) struct Tail(String);

impl Tail {
    const LONGEST: usize = 4096;

    /// Adds what came, and forgets what is too long ago.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.0.push_str(&String::from_utf8_lossy(bytes));
        if self.0.len() > Self::LONGEST {
            let mut from = self.0.len() - Self::LONGEST;
            while !self.0.is_char_boundary(from) {
                from += 1;
            }
            self.0.drain(..from);
        }
    }

    /// The text, its ends trimmed, control characters replaced.
    pub(crate) fn text(&self) -> String {
        let safe = |c: char| if c.is_control() && c != '\n' { ' ' } else { c };
        self.0.replace("\r\n", "\n").trim().chars().map(safe).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_bounded_and_harmless() {
        let mut tail = Tail::default();
        for _ in 0..1000 {
            tail.push("é\x1b[31m\r\n".as_bytes());
        }
        assert!(tail.text().len() <= Tail::LONGEST);
        assert!(!tail.text().contains(['\x1b', '\r']));
    }
}
