//! One session for one transfer, across the processes of a user.
//!
//! Where no server keeps track of all sessions, session programs find each
//! other by a Unix socket named after the transfer, in a directory that only
//! their user can enter. A newer session connects to it, which tells the older
//! one to end; when that one has closed its files it closes the connection.
//!
//! Several newer sessions take turns: a lock on a file beside the socket is
//! held from the look for an older session until the own socket is there.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::retry_on_intr;
use tokio::io::AsyncReadExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

/// How long an older session may take to end, and how long another newer one
/// may wait for that.
const PATIENCE: Duration = Duration::from_secs(15);

/// The right to run a transfer, until a newer session wants it.
#[derive(Debug)]
pub struct Claim {
    listener: UnixListener,
    path: PathBuf,
    /// Which file the socket is. The number is not given to another file while
    /// the listener is open.
    file: FileId,
}

/// Device and number of a file.
type FileId = (u64, u64);

fn file_id(found: &Metadata) -> FileId {
    (found.dev(), found.ino())
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
    let _turn = take_turn(&lock_beside(&path)).await?;
    end_older(&path).await?;
    // What is left is the socket of a process that is gone.
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    let file = file_id(&std::fs::symlink_metadata(&path)?);
    Ok(Claim { listener, path, file })
}

/// Tells an older session at `path` to end, and waits until it has.
async fn end_older(path: &Path) -> io::Result<()> {
    use io::ErrorKind::{ConnectionRefused, NotFound};
    let mut older = match UnixStream::connect(path).await {
        Ok(older) => older,
        Err(error) if matches!(error.kind(), ConnectionRefused | NotFound) => return Ok(()),
        Err(error) => return Err(error),
    };
    match timeout(PATIENCE, older.read_to_end(&mut Vec::new())).await {
        Ok(_) => Ok(()),
        Err(_) => Err(does_not_end()),
    }
}

fn does_not_end() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the older session for this transfer does not end")
}

fn lock_beside(socket: &Path) -> PathBuf {
    socket.with_extension("lock")
}

/// Waits until no other session is about to claim; the turn lasts as long as
/// the file is open.
async fn take_turn(lock: &Path) -> io::Result<File> {
    let locked = async {
        loop {
            let file = open_lock(lock)?;
            let wait = move || retry_on_intr(|| flock(&file, FlockOperation::LockExclusive)).map(|()| file);
            let file = tokio::task::spawn_blocking(wait).await??;
            if is_at(&file, lock) {
                return Ok(file);
            }
        }
    };
    timeout(PATIENCE, locked).await.map_err(|_| does_not_end())?
}

fn open_lock(lock: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(lock)
}

/// Whether `path` still names the open `file`: whoever ends a claim removes
/// the lock's name.
fn is_at(file: &File, path: &Path) -> bool {
    let named = std::fs::symlink_metadata(path);
    file.metadata().ok().zip(named.ok()).is_some_and(|(open, named)| file_id(&open) == file_id(&named))
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
        // Gone or not, the next session copes. While the listener is open, whoever
        // finds the socket waits for its end, so nobody replaces it meanwhile.
        if std::fs::symlink_metadata(&self.path).is_ok_and(|found| file_id(&found) == self.file) {
            let _ = std::fs::remove_file(&self.path);
        }
        let lock = lock_beside(&self.path);
        let Ok(file) = OpenOptions::new().write(true).open(&lock) else { return };
        let free = flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
        if free && is_at(&file, &lock) && !self.path.exists() {
            let _ = std::fs::remove_file(&lock);
        }
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

    /// Longest that anything here may take.
    const DEADLINE: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn of_two_newer_sessions_one_waits_for_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("claims");
        let older = claim(&directory, [4; 16]).await.unwrap();
        let newer = || {
            let directory = directory.clone();
            tokio::spawn(async move { claim(&directory, [4; 16]).await })
        };
        let (mut one, mut two) = (newer(), newer());
        let challenger = timeout(DEADLINE, older.challenged()).await.unwrap();
        drop(older);
        drop(challenger);
        let (winner, loser) = tokio::select! {
            winner = &mut one => (winner, two),
            winner = &mut two => (winner, one),
        };
        let winner = winner.unwrap().unwrap();
        let challenger = timeout(DEADLINE, winner.challenged()).await.expect("the other challenges the winner");
        assert!(!loser.is_finished());
        drop(winner);
        drop(challenger);
        let last = timeout(DEADLINE, loser).await.unwrap().unwrap().unwrap();
        assert!(last.path.exists());
        drop(last);
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0, "nothing stays behind");
    }

    #[tokio::test]
    async fn an_older_session_leaves_the_socket_of_a_newer_one() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("claims");
        let older = claim(&directory, [5; 16]).await.unwrap();
        let path = older.path.clone();
        std::fs::remove_file(&path).unwrap();
        let _newer = UnixListener::bind(&path).unwrap();
        drop(older);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn the_socket_of_a_process_that_is_gone_is_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("claims");
        let mut gone = claim(&directory, [2; 16]).await.unwrap();
        gone.file = (0, 0);
        let path = gone.path.clone();
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
