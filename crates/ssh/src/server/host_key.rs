//! The server's own key: made once, kept in a file for its owner alone.

use super::embedded;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A host key, ready to serve with.
#[derive(Clone)]
pub struct ServerKey(pub(super) embedded::PrivateHostKey);

/// Why a host key cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("host key {}: {reason}", path.display())]
pub struct HostKeyError {
    path: PathBuf,
    reason: String,
}

impl std::fmt::Debug for ServerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ServerKey").field(&self.fingerprint()).finish()
    }
}

impl ServerKey {
    /// A new Ed25519 key that is nowhere stored.
    ///
    /// # Errors
    /// If the system gives no randomness.
    pub fn generate() -> Result<Self, HostKeyError> {
        let fail = |reason| HostKeyError { path: PathBuf::from("(new)"), reason };
        embedded::generate().map(Self).map_err(fail)
    }

    /// The key in `path`.
    ///
    /// # Errors
    /// If it cannot be read, is no unencrypted private key, or can be read by
    /// others than its owner.
    pub fn load(path: &Path) -> Result<Self, HostKeyError> {
        let fail = |error: io::Error| HostKeyError { path: path.to_owned(), reason: error.to_string() };
        Self::read(File::open(path).map_err(fail)?, path)
    }

    /// The key in `file`, opened by somebody who may; `path` names it in errors.
    ///
    /// # Errors
    /// As [`ServerKey::load`].
    pub fn read(mut file: File, path: &Path) -> Result<Self, HostKeyError> {
        let fail = |reason: String| HostKeyError { path: path.to_owned(), reason };
        check_owner_and_mode(&file).map_err(&fail)?;
        let mut text = Zeroizing::new(String::new());
        file.read_to_string(&mut text).map_err(|error| fail(error.to_string()))?;
        embedded::decode(&text).map(Self).map_err(fail)
    }

    /// The key in `path`, made there if there is none yet.
    ///
    /// # Errors
    /// As [`ServerKey::load`], and if it cannot be written.
    pub fn load_or_generate(path: &Path) -> Result<Self, HostKeyError> {
        if !path.exists() {
            let key = Self::generate()?;
            let written = key.write_new(path);
            match written {
                Ok(()) => return Ok(key),
                // Somebody else was faster: theirs holds.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(HostKeyError { path: path.to_owned(), reason: error.to_string() });
                }
            }
        }
        Self::load(path)
    }

    /// `SHA256:…` of the public half.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        embedded::fingerprint(&self.0)
    }

    /// The public half as a line for `known_hosts` or `authorized_keys`: type
    /// and base64.
    #[must_use]
    pub fn public_line(&self) -> String {
        embedded::public_line(&self.0)
    }

    /// Stages the file beside `path`, syncs, and links it into place, so that
    /// no reader ever sees half a key and no key is replaced.
    fn write_new(&self, path: &Path) -> io::Result<()> {
        let directory = path.parent().unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let staged = directory.join(format!(".{name}.{}", std::process::id()));
        let _ = std::fs::remove_file(&staged);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&staged)?;
        let text = embedded::encode(&self.0).map_err(io::Error::other)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        let linked = std::fs::hard_link(&staged, path);
        std::fs::remove_file(&staged)?;
        linked?;
        File::open(directory)?.sync_all()
    }
}

fn check_owner_and_mode(file: &File) -> Result<(), String> {
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!("mode {mode:04o} lets others use it; set it to 0600"));
    }
    let me = rustix::process::geteuid().as_raw();
    if metadata.uid() != me && metadata.uid() != 0 {
        return Err(format!("belongs to user {}, not to {me}", metadata.uid()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_once_then_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state/host_key");
        let made = ServerKey::load_or_generate(&path).unwrap();
        let loaded = ServerKey::load_or_generate(&path).unwrap();
        assert_eq!(made.fingerprint(), loaded.fingerprint());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("host_key");
        ServerKey::load_or_generate(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(ServerKey::load(&path).unwrap_err().to_string().contains("0600"));
    }

    #[test]
    fn the_key_is_not_shown() {
        let key = ServerKey::generate().unwrap();
        assert!(format!("{key:?}").contains("SHA256:"));
        assert!(key.public_line().starts_with("ssh-ed25519 AAAA"));
    }
}
