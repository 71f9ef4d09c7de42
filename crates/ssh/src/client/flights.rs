//! Counts the round trips of a handshake where they can be seen: at the
//! socket.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{self, AsyncRead, AsyncWrite, ReadBuf};

/// Round trips so far. What arrives counts as an answer, and so ends a round
/// trip, if it arrives at least half a path round trip after what was sent:
/// what arrives earlier was under way already.
#[derive(Debug)]
struct Count {
    rtt: Duration,
    round_trips: u32,
    asked: Option<Instant>,
}

impl Count {
    fn sent(&mut self, now: Instant) {
        self.asked.get_or_insert(now);
    }

    fn received(&mut self, now: Instant) {
        let answers = |asked: Instant| now.duration_since(asked) >= self.rtt / 2;
        if self.asked.is_some_and(answers) {
            self.round_trips += 1;
            self.asked = None;
        }
    }
}

/// Reads the count of a [`Counted`] stream that somebody else owns.
#[derive(Clone, Debug)]
pub(crate) struct Flights(Arc<Mutex<Count>>);

impl Flights {
    /// Round trips so far, the one that made the connection included.
    pub(crate) fn round_trips(&self) -> u32 {
        self.count().round_trips
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream whose round trips are counted.
#[derive(Debug)]
pub(crate) struct Counted<S> {
    stream: S,
    flights: Flights,
}

impl<S> Counted<S> {
    /// Counts on `stream`, which took one round trip of `rtt` to make.
    pub(crate) fn new(stream: S, rtt: Duration) -> (Self, Flights) {
        let count = Count { rtt, round_trips: 1, asked: None };
        let flights = Flights(Arc::new(Mutex::new(count)));
        (Self { stream, flights: flights.clone() }, flights)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.flights.count().received(Instant::now());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.flights.count().sent(Instant::now());
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_under_way_is_no_answer() {
        let ms = Duration::from_millis;
        let start = Instant::now();
        let mut count = Count { rtt: ms(100), round_trips: 1, asked: None };
        count.sent(start);
        count.received(start + ms(100)); // the answer
        count.sent(start + ms(100));
        count.received(start + ms(101)); // the rest of the answer
        count.sent(start + ms(102));
        count.received(start + ms(200)); // the next answer
        count.received(start + ms(400)); // unasked
        assert_eq!(count.round_trips, 3);
    }
}
