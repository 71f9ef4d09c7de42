//! One session for one transfer, across the processes of a user.
//!
//! Where no server keeps track of all sessions, session programs find each
//! other by a Unix socket named after the transfer, in a directory that only
//! their user can enter. A newer session connects to it, which tells the older
//! one to end; when that one has closed its files it closes the connection.

use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

/// How long an older session may take to end.
const PATIENCE: Duration = Duration::from_secs(15);

/// The right to run a transfer, until a newer session wants it.
#[derive(Debug)]
pub struct Claim {
    listener: UnixListener,
    path: PathBuf,
}

/// A newer session that waits for this one to end; it goes on when this is
/// dropped.
#[derive(Debug)]
pub struct Challenger {
    _waiting: UnixStream,
}

/// The directory for claims of the user who runs this process: below the
/// runtime directory if there is one, else below `/tmp`.
#[must_use]
pub fn directory_of_user() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(runtime) if Path::new(&runtime).is_absolute() => Path::new(&runtime).join("limosa"),
        _ => std::env::temp_dir().join(format!("limosa-{}", rustix::process::geteuid().as_raw())),
    }
}

/// Claims `transfer`, ending an older session for it first.
///
/// # Errors
/// If the directory is not this user's alone, the older session does not end,
/// or the socket cannot be made.
pub async fn claim(directory: &Path, transfer: [u8; 16]) -> io::Result<Claim> {
    make_private(directory)?;
    let path = directory.join(limosa_seal::identity::hex(&transfer));
    if let Ok(mut older) = UnixStream::connect(&path).await {
        let ended = timeout(PATIENCE, older.read_to_end(&mut Vec::new())).await;
        if ended.is_err() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the older session for this transfer does not end"));
        }
    }
    // What is left is the socket of a process that is gone.
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    Ok(Claim { listener: UnixListener::bind(&path)?, path })
}

/// Makes the directory, or insists that it is this user's alone.
fn make_private(directory: &Path) -> io::Result<()> {
    match std::fs::DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let found = std::fs::symlink_metadata(directory)?;
    let ours = found.is_dir() && found.uid() == rustix::process::geteuid().as_raw() && found.mode() & 0o077 == 0;
    if ours {
        return Ok(());
    }
    let text = format!("{} is not a directory that only this user can enter", directory.display());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
}

impl Claim {
    /// Waits for a newer session that wants this transfer.
    pub async fn challenged(&self) -> Challenger {
        loop {
            // Running out of handles for a moment is no challenge.
            if let Ok((waiting, _)) = self.listener.accept().await {
                return Challenger { _waiting: waiting };
            }
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Gone or not, the next session copes.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_newer_session_waits_for_the_older_one_to_end() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("claims");
        let older = claim(&directory, [1; 16]).await.unwrap();
        let newer = tokio::spawn({
            let directory = directory.clone();
            async move { claim(&directory, [1; 16]).await }
        });
        let challenger = older.challenged().await;
        assert!(!newer.is_finished());
        drop(older);
        drop(challenger);
        assert!(newer.await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn the_socket_of_a_process_that_is_gone_is_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("claims");
        let mut gone = claim(&directory, [2; 16]).await.unwrap();
        let path = std::mem::take(&mut gone.path);
        drop(gone);
        assert!(path.exists(), "the socket's name stays behind");
        assert!(claim(&directory, [2; 16]).await.is_ok());
    }

    #[tokio::test]
    async fn a_directory_that_others_can_enter_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let error = claim(folder.path(), [3; 16]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }
}
