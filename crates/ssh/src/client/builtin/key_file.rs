//! Private keys in files: OpenSSH's and the PEM formats, encrypted or not.

use super::short_scalar;
use crate::{Secret, SshError};
use russh::keys::{PrivateKey, PublicKey};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// A private key file that was read.
pub(super) struct KeyFile {
    pub(super) path: PathBuf,
    content: Zeroizing<String>,
    /// The key's public half, where it can be had without the passphrase.
    pub(super) public: Option<PublicKey>,
}

/// What opening a key yields.
pub(super) enum Opened {
    /// The key.
    Key(Arc<PrivateKey>),
    /// The key is encrypted, and the passphrase is missing or wrong.
    Locked,
}

impl KeyFile {
    /// Reads `path`. `None` if there is no such file.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, SshError> {
        let content = match std::fs::read_to_string(path) {
            Ok(content) => Zeroizing::new(content),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unusable(path, error.to_string())),
        };
        // In OpenSSH's format the public half is never encrypted.
        let of_private = PrivateKey::from_openssh(content.as_str()).ok();
        let public = of_private
            .map(|key| key.public_key().clone())
            .or_else(|| short_scalar::public_half(&content))
            .or_else(|| russh::keys::load_public_key(super::super::auto::with_suffix(path, ".pub")).ok());
        Ok(Some(Self { path: path.to_owned(), content, public }))
    }

    /// Opens the key with `passphrase`, or without one.
    pub(super) fn open(&self, passphrase: Option<&Secret>) -> Result<Opened, SshError> {
        let encrypted = self.is_encrypted();
        if encrypted && passphrase.is_none() {
            return Ok(Opened::Locked);
        }
        let passphrase = if encrypted { passphrase } else { None };
        match short_scalar::decode(&self.content, passphrase.map(Secret::expose)) {
            Ok(key) => Ok(Opened::Key(Arc::new(key))),
            Err(russh::keys::Error::KeyIsEncrypted) => Ok(Opened::Locked),
            Err(_) if encrypted => Ok(Opened::Locked),
            Err(error) => Err(unusable(
                &self.path,
                format!("{error}; a private key in OpenSSH or PEM format is wanted: Ed25519, ECDSA or RSA"),
            )),
        }
    }

    /// Whether a passphrase is needed.
    pub(super) fn is_encrypted(&self) -> bool {
        if let Ok(key) = PrivateKey::from_openssh(self.content.as_str()) {
            return key.is_encrypted();
        }
        self.content.contains("ENCRYPTED")
    }
}

pub(super) fn unusable(path: &Path, reason: String) -> SshError {
    SshError::KeyFile { path: path.to_owned(), reason }
}
