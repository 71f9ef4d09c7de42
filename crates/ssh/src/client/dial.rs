//! Reaching a host over TCP: names to addresses, several addresses and ports,
//! and the round trip it took.

use crate::SshError;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// How long one address is waited for before the next is tried beside it.
const STAGGER: Duration = Duration::from_millis(250);

/// A connection just made.
#[derive(Debug)]
pub(crate) struct Dialed {
    pub(crate) stream: TcpStream,
    pub(crate) address: SocketAddr,
    /// From the first packet to the host's answer: one round trip.
    pub(crate) rtt: Duration,
}

/// Connects to the first of `ports` of `host` that accepts.
pub(crate) async fn dial(host: &str, ports: &[u16], within: Duration) -> Result<Dialed, SshError> {
    let mut first_error = None;
    for &port in ports {
        match dial_port(host, port, within).await {
            Ok(dialed) => return Ok(dialed),
            Err(error @ SshError::Resolve { .. }) => return Err(error),
            Err(error) => {
                tracing::debug!(%error, "this port does not answer");
                first_error.get_or_insert(error);
            }
        }
    }
    Err(first_error.unwrap_or_else(|| SshError::Protocol("no port to connect to".into())))
}

async fn dial_port(host: &str, port: u16, within: Duration) -> Result<Dialed, SshError> {
    let at = || format!("{host} port {port}");
    match tokio::time::timeout(within, dial_any(resolve(host, port).await?)).await {
        Err(_) => Err(SshError::Timeout { at: at(), after: within }),
        Ok(Ok(dialed)) => Ok(dialed),
        Ok(Err(error)) => Err(match error.kind() {
            io::ErrorKind::ConnectionRefused => SshError::Refused { at: at() },
            io::ErrorKind::TimedOut => SshError::Timeout { at: at(), after: within },
            _ => SshError::Connect { at: at(), source: error },
        }),
    }
}

async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, SshError> {
    let fail = |reason: String| SshError::Resolve { host: host.to_owned(), reason };
    let found = tokio::net::lookup_host((host, port)).await;
    let addresses: Vec<_> = found.map_err(|error| fail(error.to_string()))?.collect();
    if addresses.is_empty() {
        return Err(fail("the name has no address".into()));
    }
    Ok(addresses)
}

/// Tries all addresses, each a little after the one before; the first that
/// accepts wins.
async fn dial_any(addresses: Vec<SocketAddr>) -> io::Result<Dialed> {
    let mut waiting = addresses.into_iter();
    let mut trying = JoinSet::new();
    let mut last_error = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        if let Some(address) = waiting.next() {
            trying.spawn(dial_one(address));
        } else if trying.is_empty() {
            return Err(last_error);
        }
        match tokio::time::timeout(STAGGER, trying.join_next()).await {
            Ok(Some(Ok(Ok(dialed)))) => return Ok(dialed),
            Ok(Some(Ok(Err(error)))) => last_error = error,
            Ok(Some(Err(_)) | None) | Err(_) => {}
        }
    }
}

async fn dial_one(address: SocketAddr) -> io::Result<Dialed> {
    let start = Instant::now();
    let stream = TcpStream::connect(address).await?;
    let rtt = start.elapsed();
    stream.set_nodelay(true)?;
    Ok(Dialed { stream, address, rtt })
}
