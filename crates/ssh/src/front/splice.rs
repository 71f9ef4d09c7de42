//! A session's bytes over the Unix socket, in chunks, so that an orderly end
//! can be told from the death of the process at the other side: a chunk of
//! length zero is the end, the end of the socket without one is a break.

use crate::SshError;
use crate::channel::{End, Feed};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;

/// Longest chunk, in bytes.
const CHUNK: usize = 32 * 1024;

/// Sends what `from` yields as chunks; the end, if it ends in order.
pub(super) async fn send(
    from: &mut (impl AsyncRead + Unpin),
    socket: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    let mut buffer = vec![0; 4 + CHUNK];
    loop {
        let Some((length, room)) = buffer.split_first_chunk_mut::<4>() else {
            return Ok(());
        };
        let read = from.read(room).await?;
        *length = u32::try_from(read).unwrap_or(0).to_be_bytes();
        socket.write_all(buffer.get(..4 + read).unwrap_or_default()).await?;
        if read == 0 {
            return Ok(());
        }
    }
}

/// Writes the chunks of `socket` to `to`; returns at the end of the stream.
pub(super) async fn receive(
    socket: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let length = usize::try_from(socket.read_u32().await?).unwrap_or(usize::MAX);
        if length == 0 {
            return to.shutdown().await;
        }
        let chunk = buffer.get_mut(..length);
        let chunk = chunk.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "chunk"))?;
        socket.read_exact(chunk).await?;
        to.write_all(chunk).await?;
    }
}

/// Serves the main process's channel from the socket until either side ends.
pub(super) async fn serve_feed(socket: UnixStream, feed: Feed) {
    let (mut socket_read, mut socket_write) = socket.into_split();
    let Feed { stream, mut closing } = feed;
    let (mut from_caller, mut to_caller) = tokio::io::split(stream);
    let up = async {
        let sent = send(&mut from_caller, &mut socket_write).await;
        closing.dropped().await;
        sent
    };
    let down = async {
        let received = receive(&mut socket_read, &mut to_caller).await;
        match received {
            // The client closed; the front hangs up when all is delivered.
            Ok(()) => {
                hung_up(&mut socket_read).await;
                Ok(())
            }
            Err(error) => Err(error),
        }
    };
    let end = {
        tokio::pin!(up, down);
        tokio::select! {
            result = &mut down => end_of(result),
            result = &mut up => end_of(result),
        }
    };
    closing.finish(end);
}

/// Waits until the other side has dropped the socket.
pub(super) async fn hung_up(socket: &mut (impl AsyncRead + Unpin)) {
    let _ = socket.read_u8().await;
}

fn end_of(result: io::Result<()>) -> End {
    match result {
        Ok(()) => End::Closed { status: None, stderr: String::new() },
        Err(error) => {
            End::Broken(Arc::new(SshError::Broken { reason: format!("the SSH front or its client is gone: {error}") }))
        }
    }
}
