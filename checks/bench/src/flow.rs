//! A sender that goes on until it is stopped, from the first end of a line to
//! the second: `limosa send`, or a TCP stream of the kernel's under one of its
//! laws of congestion control.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::lab::{self, PAYLOAD_SHARE};
use crate::network::{Pair, Place};
use crate::scratch::Scratch;

/// Share of a 1,500-byte IPv4 packet that is payload of a TCP stream with time
/// stamps.
const TCP_PAYLOAD_SHARE: f64 = 1448.0 / 1500.0;
/// What TCP is given and asked for at once.
const BLOCK: usize = 1 << 18;

/// Who sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Limosa under a policy.
    Limosa(&'static str),
    /// The kernel's TCP under a law of congestion control, by its name there.
    Tcp(String),
}

impl Kind {
    /// The policies of Limosa that share a line.
    const POLICIES: [&str; 3] = ["fair", "high", "low"];

    /// Share of a packet of 1,500 bytes that is payload.
    #[must_use]
    pub const fn payload_share(&self) -> f64 {
        match self {
            Self::Limosa(_) => PAYLOAD_SHARE,
            Self::Tcp(_) => TCP_PAYLOAD_SHARE,
        }
    }
}

impl FromStr for Kind {
    type Err = String;

    /// Reads a policy, or a law that is not called like one.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(policy) = Self::POLICIES.into_iter().find(|policy| *policy == text) {
            return Ok(Self::Limosa(policy));
        }
        match !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            true => Ok(Self::Tcp(text.to_owned())),
            false => Err(format!("{text} is neither a policy nor a law of congestion control")),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limosa(policy) => f.write_str(policy),
            Self::Tcp(law) => f.write_str(law),
        }
    }
}

/// A flow that is under way; it ends when this does.
#[derive(Debug)]
pub enum Flow {
    /// A transfer.
    Limosa(Transfer),
    /// A stream.
    Tcp(Stream),
}

impl Flow {
    /// Bytes of payload that have crossed the line.
    #[must_use]
    pub fn crossed(&self) -> u64 {
        match self {
            Self::Limosa(transfer) => transfer.crossed.load(Ordering::Relaxed),
            Self::Tcp(stream) => stream.received.load(Ordering::Relaxed),
        }
    }

    /// Makes sure that it still goes on.
    ///
    /// # Errors
    /// If it does not.
    pub fn check(&mut self) -> io::Result<()> {
        match self {
            Self::Limosa(Transfer { child, .. }) => match child.try_wait()? {
                Some(status) => Err(io::Error::other(format!("the transfer ended early: {status}"))),
                None => Ok(()),
            },
            Self::Tcp(stream) => stream.near.take_error()?.map_or(Ok(()), Err),
        }
    }
}

/// `limosa send` of a file.
#[derive(Debug)]
pub struct Transfer {
    child: Child,
    crossed: Arc<AtomicU64>,
}

impl Transfer {
    /// Starts a command that prints JSON lines, such as [`Self::command`] gives.
    ///
    /// # Errors
    /// If the program cannot be run.
    pub fn start(command: &[String]) -> io::Result<Self> {
        let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut child = Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let crossed = Arc::<AtomicU64>::default();
        let transfer = Self { child, crossed: Arc::clone(&crossed) };
        thread::Builder::new().name("progress".into()).spawn(move || follow(output, &crossed))?;
        Ok(transfer)
    }

    /// The command that sends `source` from one place to the directory
    /// `destination` at the other, where an [`Sshd`](crate::server::Sshd) is,
    /// under a policy.
    #[must_use]
    pub fn command(
        [client, server]: [&Place; 2],
        limosa: &Path,
        policy: &str,
        scratch: &Scratch,
        [source, destination]: [&Path; 2],
    ) -> Vec<String> {
        let target = format!("root@[{}]:{}/", server.address, destination.display());
        let client = client.namespace.as_deref().unwrap_or_default();
        let mut words = lab::send(client, limosa, scratch, source, &target);
        let end = words.len() - 2;
        words.splice(end..end, ["--policy".into(), policy.into()]);
        words
    }
}

/// Notes how far a transfer is until it ends.
fn follow(output: ChildStdout, crossed: &AtomicU64) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        if let Some(bytes) = bytes_crossed(&line) {
            crossed.store(bytes, Ordering::Relaxed);
        }
    }
}

fn bytes_crossed(line: &str) -> Option<u64> {
    let event: Value = serde_json::from_str(line).ok()?;
    (event["event"] == "progress").then(|| event["bytes_crossed"].as_u64())?
}

impl Drop for Transfer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Zeros from memory to nowhere.
#[derive(Debug)]
pub struct Stream {
    near: TcpStream,
    far: TcpStream,
    received: Arc<AtomicU64>,
}

impl Stream {
    /// Starts it between the ends of a pair. The law is the socket's, so that
    /// two streams may have different ones.
    ///
    /// # Errors
    /// If the kernel has no such law or lets nobody use it, or the other end is
    /// out of reach.
    pub fn start(pair: &Pair, law: &str) -> io::Result<Self> {
        let [client, server] = &pair.places;
        let listener = server.inside(|| TcpListener::bind(SocketAddr::new(server.address, 0)))?;
        let address = listener.local_addr()?;
        let near = client.inside(|| {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
            socket.connect(&address.into())?;
            // Not before: connecting takes the law of the route, if that has one.
            socket.set_tcp_congestion(law.as_bytes())?;
            Ok(TcpStream::from(socket))
        })?;
        let (far, _) = listener.accept()?;
        let received = Arc::<AtomicU64>::default();
        let stream = Self { near, far, received: Arc::clone(&received) };
        let (mut near, mut far) = (stream.near.try_clone()?, stream.far.try_clone()?);
        thread::Builder::new().name("stream out".into()).spawn(move || {
            let zeros = vec![0; BLOCK];
            while near.write_all(&zeros).is_ok() {}
        })?;
        thread::Builder::new().name("stream in".into()).spawn(move || {
            let mut buffer = vec![0; BLOCK];
            while let Ok(length @ 1..) = far.read(&mut buffer) {
                received.fetch_add(length as u64, Ordering::Relaxed);
            }
        })?;
        Ok(stream)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // Both threads wake and end; they are not waited for, since the line
        // they write to may be gone.
        for end in [&self.near, &self.far] {
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_and_laws_are_told_apart() {
        assert_eq!("fair".parse(), Ok(Kind::Limosa("fair")));
        assert_eq!("bbr".parse(), Ok(Kind::Tcp("bbr".into())));
        for text in ["", "bbr,cubic", "--runs"] {
            assert!(text.parse::<Kind>().is_err(), "{text}");
        }
        for text in ["high", "low", "cubic"] {
            assert_eq!(text.parse::<Kind>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn progress_alone_says_how_far_it_is() {
        assert_eq!(bytes_crossed(r#"{"event":"progress","bytes_crossed":12}"#), Some(12));
        assert_eq!(bytes_crossed(r#"{"event":"summary","bytes_crossed":12}"#), None);
        assert_eq!(bytes_crossed("limosa: no"), None);
    }

    #[test]
    fn the_policy_stands_before_source_and_destination() {
        let scratch = Scratch::below(&std::env::temp_dir(), "flow-command").unwrap();
        let place = Place { namespace: Some("here".into()), address: [10, 0, 0, 2].into() };
        let paths = [Path::new("/from"), Path::new("/to")];
        let words = Transfer::command([&place, &place], Path::new("/limosa"), "low", &scratch, paths);
        assert_eq!(words[words.len() - 4..], ["--policy", "low", "/from", "root@[10.0.0.2]:/to/"]);
    }
}
