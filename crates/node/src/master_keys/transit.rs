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
//! ```

use std::fmt;
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use limosa_seal::tls::{self, TlsError};
use limosa_seal::{AlgorithmSet, SecretBytes};
use reqwest::blocking::{Client, Response};
use reqwest::header::HeaderValue;
use reqwest::{Url, redirect};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::read_file;

/// Time the key server has to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest answer, and longest description, bytes.
const LIMIT: u64 = 64 << 10;
/// Longest complaint of a key server that is repeated, characters.
const COMPLAINT: usize = 200;

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
    /// No TLS with these certificates.
    #[error("ca-file: {0}")]
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
    /// The answer is not one.
    #[error("the key server's answer cannot be understood: {0}")]
    Answer(&'static str),
}

const NO_FIELD: TransitError = TransitError::Answer("what was asked for is not in it");

impl TransitKey {
    /// Reads a description.
    ///
    /// # Errors
    /// If there is none, or it does not serve.
    pub fn read(path: &Path) -> Result<Self, TransitError> {
        let failed = |reason: &dyn fmt::Display| TransitError::File { path: path.into(), reason: reason.to_string() };
        let file = std::fs::File::open(path).map_err(|error| failed(&error))?;
        let mut text = String::new();
        file.take(LIMIT).read_to_string(&mut text).map_err(|error| failed(&error))?;
        toml::from_str(&text).map_err(|error: toml::de::Error| failed(&error.message()))
    }

    /// Has the server make a master key and writes it, wrapped, to a new file.
    /// The key itself is not seen here.
    ///
    /// # Errors
    /// If the file is there, or the server does not do it.
    pub fn create(mut self, path: &Path, set: AlgorithmSet) -> Result<(), TransitError> {
        // The server keeps nothing of a key that could then not be written.
        if path.try_exists().is_ok_and(|exists| exists) {
            return Err(TransitError::Exists(path.into()));
        }
        self.wrapped = self.ask(set, "datakey/wrapped", &json!({ "bits": 256 }))?.wrapped()?;
        self.write(path, Replace::Never)
    }

    /// Has the server wrap the same master key by the newest version of its own.
    /// Says whether that changed anything.
    ///
    /// # Errors
    /// If it does not.
    pub fn renew(path: &Path, set: AlgorithmSet) -> Result<bool, TransitError> {
        let mut key = Self::read(path)?;
        let wrapped = key.ask(set, "rewrap", &json!({ "ciphertext": key.wrapped }))?.wrapped()?;
        let is_new = wrapped != key.wrapped;
        if is_new {
            key.wrapped = wrapped;
            key.write(path, Replace::Always)?;
        }
        Ok(is_new)
    }

    /// The master key's 32 bytes. Blocks until the server has answered.
    pub(super) fn unwrap(&self, set: AlgorithmSet) -> Result<SecretBytes, TransitError> {
        let told = self.ask(set, "decrypt", &json!({ "ciphertext": self.wrapped }))?;
        let plaintext = SecretBytes::from(told.plaintext.ok_or(NO_FIELD)?);
        let key = STANDARD.decode(plaintext.expose()).map_err(|_| TransitError::Answer("no base64"))?;
        Ok(key.into())
    }

    fn write(&self, path: &Path, replace: Replace) -> Result<(), TransitError> {
        let text = toml::to_string(self).map_err(io::Error::other);
        text.and_then(|text| write_whole(path, text.as_bytes(), replace)).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => TransitError::Exists(path.into()),
            _ => TransitError::File { path: path.into(), reason: error.to_string() },
        })
    }

    /// What the server says to `question` at `what`.
    fn ask(&self, set: AlgorithmSet, what: &str, question: &Value) -> Result<Told, TransitError> {
        let mut request = self.client(set)?.post(self.endpoint(what)?).json(question);
        if let Some(path) = &self.token_file {
            request = request.header("X-Vault-Token", token(path)?);
        }
        if let Some(namespace) = &self.namespace {
            request = request.header("X-Vault-Namespace", namespace);
        }
        let answer = request.send().map_err(|error| self.unreachable(&error))?;
        let status = answer.status();
        let body = body(answer).map_err(|error| self.unreachable(&error))?;
        if !status.is_success() {
            return Err(TransitError::Refused { status: status.as_u16(), complaint: complaint(body.expose()) });
        }
        let answer: Answer = serde_json::from_slice(body.expose()).map_err(|_| TransitError::Answer("no such JSON"))?;
        Ok(answer.data)
    }

    fn unreachable(&self, error: &dyn std::error::Error) -> TransitError {
        // The innermost says most: "connection refused", "certificate expired".
        let mut innermost = error;
        while let Some(source) = innermost.source() {
            innermost = source;
        }
        TransitError::Unreachable { address: self.address.clone(), reason: innermost.to_string() }
    }

    fn client(&self, set: AlgorithmSet) -> Result<Client, TransitError> {
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|error| TransitError::File { path: path.clone(), reason: error.to_string() })
        };
        let authorities = self.ca_file.as_ref().map(read).transpose()?;
        let tls = tls::client(set, authorities.as_deref())?;
        // Neither a proxy out of somebody's environment nor another server by a
        // redirect is to see the token.
        let client = Client::builder().tls_backend_preconfigured(tls).no_proxy().redirect(redirect::Policy::none());
        client.timeout(PATIENCE).build().map_err(|error| self.unreachable(&error))
    }

    fn endpoint(&self, what: &str) -> Result<Url, TransitError> {
        let unfit = |key, problem: &str| TransitError::Unfit { key, problem: problem.to_owned() };
        let base = Url::parse(&self.address).map_err(|error| unfit("address", &error.to_string()))?;
        match base.scheme() {
            "https" => {}
            "http" if is_this_machine(&base) => {}
            "http" => return Err(unfit("address", "only https leaves this machine")),
            _ => return Err(unfit("address", "it begins with https://")),
        }
        let is_plain = |name: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            !name.is_empty() && !name.starts_with('.') && name.chars().all(fits)
        };
        if !self.mount.split('/').all(is_plain) {
            return Err(unfit("mount", "letters, digits, `.`, `_`, `-`, and `/` between names"));
        }
        if !is_plain(&self.key) {
            return Err(unfit("key", "letters, digits, `.`, `_`, `-`"));
        }
        let path = format!("/v1/{}/{what}/{}", self.mount, self.key);
        base.join(&path).map_err(|error| unfit("address", &error.to_string()))
    }
}

/// Whether a file that is there may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Replace {
    Never,
    Always,
}

/// Under its name there is the whole file or none.
fn write_whole(path: &Path, text: &[u8], replace: Replace) -> io::Result<()> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().permissions(PermissionsExt::from_mode(0o644)).tempfile_in(directory)?;
    file.write_all(text)?;
    file.as_file().sync_all()?;
    match replace {
        Replace::Never => file.persist_noclobber(path),
        Replace::Always => file.persist(path),
    }
    .map_err(|error| error.error)?;
    std::fs::File::open(directory)?.sync_all()
}

fn is_this_machine(address: &Url) -> bool {
    let host = address.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn token(path: &Path) -> Result<HeaderValue, TransitError> {
    let failed = |reason: String| TransitError::File { path: path.into(), reason };
    let token = read_file(path).map_err(|error| failed(error.to_string()))?;
    let token = HeaderValue::from_bytes(token.expose().trim_ascii());
    let mut token = token.map_err(|_| failed("it holds no token".to_owned()))?;
    token.set_sensitive(true);
    Ok(token)
}

fn body(answer: Response) -> io::Result<SecretBytes> {
    // Read into one place, so that no copy is left behind in a smaller one.
    let mut body = Vec::with_capacity(LIMIT as usize + 1);
    answer.take(LIMIT).read_to_end(&mut body)?;
    Ok(body.into())
}

/// What matters of an answer.
#[derive(Deserialize)]
struct Answer {
    data: Told,
}

#[derive(Deserialize)]
struct Told {
    plaintext: Option<String>,
    ciphertext: Option<String>,
}

impl Told {
    fn wrapped(self) -> Result<String, TransitError> {
        self.ciphertext.ok_or(NO_FIELD)
    }
}

/// What a refusal says, cut short and without what a terminal would obey.
fn complaint(body: &[u8]) -> String {
    let said = serde_json::from_slice::<Value>(body).unwrap_or_default();
    let said = said["errors"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let said: Vec<_> = said.flat_map(str::split_whitespace).collect();
    let said: String = said.join(" ").chars().filter(|c| !c.is_control()).take(COMPLAINT).collect();
    if said.is_empty() { said } else { format!(": {said}") }
}
