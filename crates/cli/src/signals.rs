//! Ctrl-C and its relatives: once to stop in order, twice to abort.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Counts requests to stop.
#[derive(Debug)]
pub struct Interrupts {
    signals: Vec<Signal>,
    count: u32,
}

impl Interrupts {
    /// Takes SIGINT and SIGTERM over from now on. A signal that cannot be
    /// taken over keeps ending the process at once.
    #[must_use]
    pub fn listen() -> Self {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate()];
        Self { signals: kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect(), count: 0 }
    }

    /// Waits for the next request and says how many there were.
    pub async fn next(&mut self) -> u32 {
        std::future::poll_fn(|context| {
            let any = self.signals.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
            if any { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
        self.count += 1;
        self.count
    }
}
