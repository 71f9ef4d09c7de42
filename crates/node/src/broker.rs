//! The port broker: lends the server's UDP port to session programs.
//!
//! Under OpenSSH every session is a process of its own, run by the user it
//! serves. They find the broker at a Unix socket that every user of the machine
//! may connect to; the kernel says who they are. Where the port is not open
//! anyway, it is opened with the first session and closed with the last. A
//! second socket takes lines for the audit log, which session programs have no
//! right to write: each is stamped with the user and process it came from.

use std::fs::Permissions;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use limosa_session::{SharedUdp, WeakUdp};
use rustix::net::{
    AddressFamily, Shutdown, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, listen, shutdown, socket_with,
    sockopt,
};
use tokio::io::AsyncReadExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use crate::audit::AuditLog;
use crate::config::Listen;
use crate::error::NodeError;
use crate::server::open_udp;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 64;
/// Longest audit line of a session program, bytes.
const LINE: u64 = 64 * 1024;
/// Time a session program gets to say it.
const LINE_TIME: Duration = Duration::from_secs(5);

/// A running broker; its sockets are removed when it is dropped. Sessions that
/// have sockets of their own go on.
#[derive(Debug)]
pub(crate) struct Broker {
    listener: Arc<OwnedFd>,
    path: PathBuf,
    auditing: tokio::task::JoinHandle<()>,
}

/// The port that is lent.
#[derive(Debug)]
pub(crate) enum LentUdp {
    /// It is open anyway.
    Open(SharedUdp),
    /// It is open while somebody has it.
    OnDemand(Listen, Mutex<WeakUdp>),
}

impl LentUdp {
    pub(crate) fn on_demand(listen: Listen) -> Self {
        Self::OnDemand(listen, Mutex::default())
    }

    fn open(&self) -> Result<SharedUdp, NodeError> {
        match self {
            Self::Open(udp) => Ok(udp.clone()),
            Self::OnDemand(listen, known) => {
                let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(udp) = known.upgrade() {
                    return Ok(udp);
                }
                let udp = open_udp(*listen)?;
                *known = udp.downgrade();
                tracing::info!(port = udp.local_addr().port(), "UDP port opened for session programs");
                Ok(udp)
            }
        }
    }
}

impl Broker {
    /// Listens at the Unix socket `path` and, for audit lines, beside it; lends
    /// `udp` to at most `max` sessions at a time.
    ///
    /// # Errors
    /// If there can be no such sockets, or another broker has them.
    pub(crate) fn start(path: &Path, udp: LentUdp, max: u32, audit: AuditLog) -> Result<Self, NodeError> {
        prepare_directory(path).map_err(NodeError::state("make the broker's directory for", path))?;
        let listener = bind_for_all(path).map_err(NodeError::state("listen at", path))?;
        let audit_path = audit_socket(path);
        let audit_listener = listen_for_lines(&audit_path).map_err(NodeError::state("listen at", &audit_path))?;
        let listener = Arc::new(listener);
        let lending = Lending { listener: Arc::clone(&listener), udp, max, borrowed: Arc::default() };
        let thread = std::thread::Builder::new().name("port-broker".into()).spawn(move || lending.run());
        thread.map_err(NodeError::start("the port broker"))?;
        let auditing = tokio::spawn(take_lines(audit_listener, audit));
        Ok(Self { listener, path: path.to_owned(), auditing })
    }

    /// The socket at which the port is lent.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = shutdown(&*self.listener, Shutdown::Both);
        self.auditing.abort();
        let _ = std::fs::remove_file(&self.path);
        let _ = std::fs::remove_file(audit_socket(&self.path));
    }
}

/// Where audit lines are taken, beside the socket at `path`.
pub(crate) fn audit_socket(path: &Path) -> PathBuf {
    path.with_extension("audit")
}

struct Lending {
    listener: Arc<OwnedFd>,
    udp: LentUdp,
    max: u32,
    borrowed: Arc<AtomicU32>,
}

impl Lending {
    fn run(self) {
        loop {
            match accept_with(&*self.listener, SocketFlags::CLOEXEC) {
                Ok(socket) => self.take(socket),
                Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNABORTED) => {}
                // The broker is being stopped.
                Err(rustix::io::Errno::INVAL) => return,
                Err(error) => {
                    tracing::error!(%error, "the port broker");
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
        }
    }

    fn take(&self, socket: OwnedFd) {
        let Ok(peer) = sockopt::socket_peercred(socket.as_fd()) else { return };
        let (user, process) = (peer.uid.as_raw(), peer.pid.as_raw_nonzero());
        if self.borrowed.load(Ordering::Relaxed) >= self.max {
            tracing::warn!(user, "the port is lent to as many sessions as may be");
            return;
        }
        let lent = self.udp.open().and_then(|udp| {
            self.borrowed.fetch_add(1, Ordering::Relaxed);
            let borrowed = Arc::clone(&self.borrowed);
            let ended = move || {
                borrowed.fetch_sub(1, Ordering::Relaxed);
            };
            udp.lend(socket, ended).map_err(NodeError::start("a thread of the port broker"))
        });
        match lent {
            Ok(()) => tracing::debug!(user, %process, "port lent"),
            Err(error) => tracing::error!(%error, user, "the port cannot be lent"),
        }
    }
}

/// The directory of the sockets, which everybody may enter and only this user
/// may change.
fn prepare_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    std::fs::DirBuilder::new().recursive(true).mode(0o755).create(directory)
}

/// A listening socket that every user may connect to. What a broker that is
/// gone has left behind is replaced; one that runs is not.
fn bind_for_all(path: &Path) -> io::Result<OwnedFd> {
    if limosa_session::ServerPorts::is_lent_at(path) {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    remove_socket(path)?;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o666))?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

fn listen_for_lines(path: &Path) -> io::Result<UnixListener> {
    remove_socket(path)?;
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o666))?;
    Ok(listener)
}

/// Removes a socket of a process that is gone, and nothing else.
fn remove_socket(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => std::fs::remove_file(path),
        Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, "something that is no socket is in the way")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

async fn take_lines(listener: UnixListener, audit: AuditLog) {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => drop(tokio::spawn(take_line(socket, audit.clone()))),
            Err(error) => {
                tracing::error!(%error, "the audit socket");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Takes the lines of one session program.
async fn take_line(socket: UnixStream, audit: AuditLog) {
    let Ok(peer) = socket.peer_cred() else { return };
    let mut text = Vec::new();
    let read = timeout(LINE_TIME, socket.take(LINE).read_to_end(&mut text)).await;
    let line = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&text);
    match (read, line) {
        (Ok(Ok(_)), Ok(line)) => audit.write_reported(line, peer.uid(), peer.pid()),
        _ => tracing::warn!(user = peer.uid(), "an audit line that is none"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_sockets_come_and_go_and_are_not_taken_from_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/ports");
        let udp = || LentUdp::on_demand("127.0.0.1:0".parse().unwrap());
        let audit = || AuditLog::new(None);
        let broker = Broker::start(&path, udp(), 2, audit()).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o666);
        assert!(limosa_session::ServerPorts::is_lent_at(&path));
        assert!(Broker::start(&path, udp(), 2, audit()).is_err());
        drop(broker);
        assert!(!path.exists() && !audit_socket(&path).exists());
        std::fs::write(&path, "a file").unwrap();
        assert!(Broker::start(&path, udp(), 2, audit()).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"a file");
    }
}
