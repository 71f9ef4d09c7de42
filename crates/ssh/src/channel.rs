//! The byte stream to the program at the other end, and what ended it.
//!
//! A transfer outlives a broken control line but not an orderly close, so the
//! stream tells the two apart: after an orderly close reading yields end of
//! file, after anything else an error of kind `ConnectionReset` that carries
//! the [`SshError`]. Writing may start before the other end has answered
//! anything; what is written waits in a bounded buffer.

use crate::SshError;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::{oneshot, watch};

/// Bytes each direction holds between the caller and the line.
pub(crate) const BUFFER: usize = 256 * 1024;

/// How a channel ended.
#[derive(Clone, Debug)]
pub enum End {
    /// In order: the other end closed it, or we did.
    Closed {
        /// Exit status of the remote program, where it was told.
        status: Option<u32>,
        /// The last lines the remote program wrote to its standard error.
        stderr: String,
    },
    /// The line or the process behind it broke, or nothing could be started.
    Broken(Arc<SshError>),
}

/// A byte stream to the program at the other end of an SSH connection.
/// Dropping it closes the channel in order, after what was written has left.
#[derive(Debug)]
pub struct Channel {
    stream: DuplexStream,
    end: EndWatch,
    _alive: oneshot::Sender<()>,
}

/// Waits for the end of a [`Channel`] that somebody else reads and writes.
#[derive(Clone, Debug)]
pub struct EndWatch(watch::Receiver<Option<End>>);

impl EndWatch {
    /// Waits until the channel has ended and says how.
    pub async fn ended(&mut self) -> End {
        match self.0.wait_for(Option::is_some).await {
            Ok(end) => end.clone().unwrap_or_else(abandoned),
            Err(_) => abandoned(),
        }
    }

    /// How the channel ended, if it has.
    fn now(&self) -> Option<End> {
        let end = self.0.borrow().clone();
        let forgotten = end.is_none() && self.0.has_changed().is_err();
        if forgotten { Some(abandoned()) } else { end }
    }
}

fn abandoned() -> End {
    End::Broken(Arc::new(SshError::Broken { reason: "the task that served the connection is gone".into() }))
}

impl Channel {
    /// A handle that waits for the end, to keep beside the split stream.
    #[must_use]
    pub fn end(&self) -> EndWatch {
        self.end.clone()
    }
}

impl AsyncRead for Channel {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let at_end = buf.filled().len() == before && buf.remaining() > 0;
        if at_end && let Some(End::Broken(error)) = self.end.now() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionReset, error)));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Channel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The line's half of a [`Channel`]: what the caller wrote is read here, what
/// is written here the caller reads. Dropped without `finish`, the
/// caller sees a broken channel.
#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) stream: DuplexStream,
    pub(crate) closing: Closing,
}

/// The part of a [`Feed`] that stays when its stream is split.
#[derive(Debug)]
pub(crate) struct Closing {
    end: watch::Sender<Option<End>>,
    alive: oneshot::Receiver<()>,
}

impl Closing {
    /// Says how the channel ended; to be called before the stream is dropped.
    pub(crate) fn finish(&self, end: End) {
        self.end.send_replace(Some(end));
    }

    /// Waits until the caller has dropped its half.
    pub(crate) async fn dropped(&mut self) {
        let _ = (&mut self.alive).await;
    }
}

/// The two halves of a new channel.
pub(crate) fn pair() -> (Channel, Feed) {
    let (near, far) = tokio::io::duplex(BUFFER);
    let (end, watch) = watch::channel(None);
    let (alive, alive_watch) = oneshot::channel();
    let channel = Channel { stream: near, end: EndWatch(watch), _alive: alive };
    let closing = Closing { end, alive: alive_watch };
    (channel, Feed { stream: far, closing })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn orderly_close_is_end_of_file() {
        let (mut channel, mut feed) = pair();
        feed.stream.write_all(b"bye").await.unwrap();
        feed.closing.finish(End::Closed { status: Some(0), stderr: String::new() });
        drop(feed);
        let mut read = Vec::new();
        channel.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"bye");
        assert!(matches!(channel.end().ended().await, End::Closed { status: Some(0), .. }));
    }

    #[tokio::test]
    async fn a_forgotten_feed_is_a_broken_line() {
        let (mut channel, mut feed) = pair();
        feed.stream.write_all(b"half").await.unwrap();
        drop(feed);
        let mut read = Vec::new();
        let error = channel.read_to_end(&mut read).await.unwrap_err();
        assert_eq!((read.as_slice(), error.kind()), (&b"half"[..], io::ErrorKind::ConnectionReset));
        assert!(matches!(channel.end().ended().await, End::Broken(_)));
    }
}
