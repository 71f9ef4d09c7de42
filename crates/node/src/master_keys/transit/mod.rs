//! Master keys that a key server guards, by the transit API of HashiCorp's
//! Vault (`/v1/MOUNT/{datakey,decrypt,rewrap}/KEY`), which OpenBao has too.
//!
//! The server's own key never leaves it. It makes a master key and wraps it; the
//! wrapped one stands in a file of ours, worthless by itself. Who is to use it
//! asks the server to unwrap it, once while a process runs: so the server
//! decides who may, and says afterwards who did.
//!
//! ```toml
//! address = "https://vault.example.org:8200"
//! key = "limosa"
//! token-file = "/run/vault/limosa.token"
//! wrapped = "vault:v1:…"
//! check = "0123…"
//! ```
//!
//! `request` asks one question; `file` is how such a file gets to the disk.

mod file;
mod request;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use limosa_seal::envelope::{EnvelopeError, MasterKey, MasterKeyId};
use limosa_seal::tls::TlsError;
use limosa_seal::{AlgorithmSet, SecretBytes};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::read::open_trusted;
use request::{PATIENCE, Told};

/// Longest description, bytes.
const LIMIT: u64 = 64 << 10;

/// Where a key server is and what it wrapped: a file in TOML. It holds no
/// secret, but who can write it chooses whose key seals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TransitKey {
    /// `https://HOST:PORT`; `http` only to this machine, where an agent may be.
    pub address: String,
    /// Where the transit engine is mounted.
    #[serde(default = "usual_mount")]
    pub mount: String,
    /// The server's name of the key that wraps.
    pub key: String,
    /// The namespace, if the server has such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// File with the token, which nobody but its owner may read. Without, none
    /// is sent: an agent adds its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// Certificates, in PEM form, of the authorities to believe; without, those
    /// that this machine trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The master key as the server wrapped it.
    #[serde(default)]
    pub wrapped: String,
    /// What tells that master key from others ([`MasterKey::check`]): whoever
    /// answers in the server's place cannot have another one used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
}

/// Where transit engines are unless somebody says otherwise.
#[must_use]
pub fn usual_mount() -> String {
    "transit".to_owned()
}

/// Why a key server's key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TransitError {
    /// A file cannot be read or written.
    #[error("{path}: {reason}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The file is there.
    #[error("{0} is there already; it may be the only way to a key that sealed files")]
    Exists(PathBuf),
    /// What is written there does not serve.
    #[error("`{key}`: {problem}")]
    Unfit {
        /// The setting.
        key: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// No TLS.
    #[error("{0}")]
    Tls(#[from] TlsError),
    /// No answer.
    #[error("no answer from {address}: {reason}")]
    Unreachable {
        /// The server.
        address: String,
        /// Why, as far as is known.
        reason: String,
    },
    /// The key server says no.
    #[error("the key server refuses ({status}){complaint}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What it says, if anything.
        complaint: String,
    },
    /// It names another server.
    #[error(
        "{address} is not the server to ask: it sends on to {to} ({status}), which is not followed; name that one, \
         or one that passes requests on, in `address`"
    )]
    Redirected {
        /// Who was asked.
        address: String,
        /// The HTTP status.
        status: u16,
        /// Whom it names.
        to: String,
    },
    /// It is not what was wrapped.
    #[error(
        "the key server yields another key than was wrapped: something else answers in its place, or the description \
         was changed"
    )]
    OtherKey,
    /// What was wrapped is no key.
    #[error("{0}")]
    NotAKey(#[from] EnvelopeError),
    /// The answer is not one.
    #[error("the key server's answer cannot be understood: {0}")]
    Answer(&'static str),
}

const NO_FIELD: TransitError = TransitError::Answer("what was asked for is not in it");

impl TransitKey {
    /// Reads a description.
    ///
    /// # Errors
    /// If there is none, it does not serve, or somebody else may have written
    /// it.
    pub fn read(path: &Path) -> Result<Self, TransitError> {
        let failed = |reason: &dyn fmt::Display| TransitError::File { path: path.into(), reason: reason.to_string() };
        let file = open_trusted(path).map_err(|error| failed(&error))?;
        let mut text = String::new();
        file.take(LIMIT).read_to_string(&mut text).map_err(|error| failed(&error))?;
        toml::from_str(&text).map_err(|error: toml::de::Error| failed(&error.message()))
    }

    /// Has the server make a master key and unwrap it, and writes it, wrapped, to
    /// a new file.
    ///
    /// # Errors
    /// If the file is there, or the server does not do it.
    pub fn create(mut self, path: &Path, set: AlgorithmSet) -> Result<(), TransitError> {
        // The server keeps nothing of a key that could then not be written.
        if path.try_exists().is_ok_and(|exists| exists) {
            return Err(TransitError::Exists(path.into()));
        }
        self.wrapped = self.ask(set, "datakey/wrapped", json!({ "bits": 256 }))?.wrapped()?;
        version(&self.wrapped)?;
        self.check = Some(self.unwrap(id_for_itself(), set)?.check());
        self.write(path, file::create)
    }

    /// Has the server wrap the same master key by the newest version of its own,
    /// and unwrap both, before the file is replaced.
    ///
    /// # Errors
    /// If it does not, or they are not the same. The file is what it was then.
    pub fn renew(path: &Path, set: AlgorithmSet) -> Result<Renewed, TransitError> {
        let old = Self::read(path)?;
        let wrapped = old.ask(set, "rewrap", json!({ "ciphertext": old.wrapped }))?.wrapped()?;
        // The text differs each time.
        let (from, to) = (version(&old.wrapped)?.to_owned(), version(&wrapped)?.to_owned());
        if from == to {
            return Ok(Renewed::Newest(to));
        }
        let check = Some(old.unwrap(id_for_itself(), set)?.check());
        let new = Self { wrapped, check, ..old };
        new.unwrap(id_for_itself(), set)?;
        new.write(path, file::replace)?;
        Ok(Renewed::Changed { from, to })
    }

    /// The master key, which is to be called `id`. Blocks until the server has
    /// answered.
    pub(super) fn unwrap(&self, id: MasterKeyId, set: AlgorithmSet) -> Result<MasterKey, TransitError> {
        let told = self.ask(set, "decrypt", json!({ "ciphertext": self.wrapped }))?;
        let plaintext = told.plaintext.ok_or(NO_FIELD)?;
        let text = STANDARD.decode(plaintext.expose()).map_err(|_| TransitError::Answer("no base64"))?;
        let key = MasterKey::parse(id, SecretBytes::from(text).expose())?;
        match &self.check {
            Some(check) if *check != key.check() => Err(TransitError::OtherKey),
            _ => Ok(key),
        }
    }

    fn ask(&self, set: AlgorithmSet, what: &str, question: Value) -> Result<Told, TransitError> {
        request::ask(self, set, what, question, PATIENCE)
    }

    fn write(&self, path: &Path, write: impl Fn(&Path, &[u8]) -> io::Result<()>) -> Result<(), TransitError> {
        let text = toml::to_string(self).map_err(io::Error::other);
        text.and_then(|text| write(path, text.as_bytes())).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => TransitError::Exists(path.into()),
            _ => TransitError::File { path: path.into(), reason: error.to_string() },
        })
    }
}

/// What a key is called that is looked at and not used.
fn id_for_itself() -> MasterKeyId {
    "wrapped".parse().expect("it is a name")
}

/// What became of a wrapped key that was to be wrapped by the newest version of
/// the server's, versions being `v1`, `v2` and so on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// This one wraps it already.
    Newest(String),
    /// Another one does now.
    Changed {
        /// Which did before.
        from: String,
        /// Which does now.
        to: String,
    },
}

/// The version of the server's key that made `wrapped`: `v1` of `vault:v1:…`.
fn version(wrapped: &str) -> Result<&str, TransitError> {
    let is_version = |word: &&str| word.strip_prefix('v').is_some_and(|number| number.parse::<u64>().is_ok());
    let mut words = wrapped.split(':');
    let version = words.next().and_then(|_| words.next()).filter(is_version);
    version.filter(|_| words.next().is_some_and(|rest| !rest.is_empty())).ok_or_else(|| TransitError::Unfit {
        key: "wrapped",
        problem: "it begins with the version of the key server's key, as in `vault:v1:`".to_owned(),
    })
}
