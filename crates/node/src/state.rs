//! The state directory: host key, users, audit log, and the lock that keeps
//! two servers from sharing one.
//!
//! It belongs to one user and lets nobody else in (mode 0700). Files in it are
//! replaced whole: staged, synced, renamed, the directory synced.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::error::NodeError;

/// A state directory that exists and is private.
#[derive(Clone, Debug)]
pub struct StateDirectory {
    path: PathBuf,
}

/// Held by the server that runs on a state directory.
#[derive(Debug)]
pub struct ServerLock(#[allow(dead_code)] File);

impl StateDirectory {
    /// The usual place: `$LIMOSA_STATE`, else `/var/lib/limosa` for root, else
    /// `limosad` below the user's state directory.
    #[must_use]
    pub fn usual_path() -> PathBuf {
        if let Some(path) = std::env::var_os("LIMOSA_STATE").filter(|path| !path.is_empty()) {
            return path.into();
        }
        if rustix::process::geteuid().is_root() {
            return "/var/lib/limosa".into();
        }
        let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".local/state");
        std::env::var_os("XDG_STATE_HOME").map_or_else(home, PathBuf::from).join("limosad")
    }

    /// Opens the directory, and makes it if there is none.
    ///
    /// # Errors
    /// If it cannot be made, or lets others in.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, NodeError> {
        let path = path.into();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(NodeError::state("make the state directory", &path))?;
        let state = Self { path };
        state.check_private()?;
        Ok(state)
    }

    fn check_private(&self) -> Result<(), NodeError> {
        let metadata = self.path.metadata().map_err(NodeError::state("look at", &self.path))?;
        let mode = metadata.permissions().mode() & 0o777;
        let me = rustix::process::geteuid().as_raw();
        if metadata.uid() != me {
            let owner = io::Error::other(format!("it belongs to user {}, and this is user {me}", metadata.uid()));
            return Err(NodeError::state("use the state directory", &self.path)(owner));
        }
        if mode & 0o077 != 0 {
            return Err(NodeError::Exposed { path: self.path.clone(), mode });
        }
        Ok(())
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The SSH host key.
    #[must_use]
    pub fn host_key(&self) -> PathBuf {
        self.path.join("ssh_host_ed25519_key")
    }

    /// The users of the embedded server.
    #[must_use]
    pub fn users(&self) -> PathBuf {
        self.path.join("users.toml")
    }

    /// The audit log, where no other place is configured.
    #[must_use]
    pub fn audit(&self) -> PathBuf {
        self.path.join("audit.log")
    }

    /// Takes the lock of the one server on this state.
    ///
    /// # Errors
    /// [`NodeError::AlreadyServed`] if there is one.
    pub fn lock_for_serving(&self) -> Result<ServerLock, NodeError> {
        let path = self.path.join("serving.lock");
        let file = open_lock(&path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(ServerLock(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(NodeError::AlreadyServed(self.path.clone())),
            Err(error) => Err(NodeError::state("lock", &path)(error.into())),
        }
    }

    /// Waits for the lock that changes to the users are made under.
    pub(crate) fn lock_users(&self) -> Result<File, NodeError> {
        let path = self.path.join("users.lock");
        let file = open_lock(&path)?;
        flock(&file, FlockOperation::LockExclusive).map_err(|error| NodeError::state("lock", &path)(error.into()))?;
        Ok(file)
    }
}

fn open_lock(path: &Path) -> Result<File, NodeError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map_err(NodeError::state("open", path))
}

/// Replaces the file at `path`, for its owner alone, by one with `content`:
/// after a crash there is the old one or the new one, whole.
pub(crate) fn replace_file(path: &Path, content: &[u8]) -> io::Result<()> {
    replace_with(path, content, |_| Ok(()))
}

/// The same for a file that is not ours alone: mode and owner stay those of the
/// old one. If there is none, everybody may read the new one.
pub(crate) fn replace_shared_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let old = match path.metadata() {
        Ok(metadata) => Some(metadata),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    replace_with(path, content, |staged| {
        let Some(old) = &old else { return staged.set_permissions(PermissionsExt::from_mode(0o644)) };
        let new = staged.metadata()?;
        if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
            fchown(staged, Some(old.uid()), Some(old.gid()))?;
        }
        staged.set_permissions(old.permissions())
    })
}

/// Replaces a file by one with `content` that `dress` gives its owner and mode.
fn replace_with(path: &Path, content: &[u8], dress: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let staged = directory.join(format!(".{name}.{}", std::process::id()));
    let _ = std::fs::remove_file(&staged);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&staged)?;
    let written = file.write_all(content).and_then(|()| dress(&file)).and_then(|()| file.sync_all());
    let placed = written.and_then(|()| std::fs::rename(&staged, path));
    if placed.is_err() {
        let _ = std::fs::remove_file(&staged);
    }
    placed?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_is_made_private_and_must_stay_so() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("a/state");
        let state = StateDirectory::open(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::set_permissions(state.path(), PermissionsExt::from_mode(0o750)).unwrap();
        assert!(StateDirectory::open(&path).unwrap_err().to_string().contains("chmod 700"));
    }

    #[test]
    fn one_server_at_a_time() {
        let outer = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(outer.path().join("s")).unwrap();
        let lock = state.lock_for_serving().unwrap();
        assert!(matches!(state.lock_for_serving(), Err(NodeError::AlreadyServed(_))));
        drop(lock);
        assert!(state.lock_for_serving().is_ok());
    }

    #[test]
    fn a_replaced_file_is_for_its_owner_alone_and_leaves_nothing_behind() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("users.toml");
        replace_file(&path, b"one").unwrap();
        replace_file(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(outer.path()).unwrap().count(), 1);
    }
}
