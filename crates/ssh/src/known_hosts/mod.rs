//! Which host keys are trusted: the `known_hosts` files of OpenSSH, matched by
//! our own code.
//!
//! Stricter than what SSH libraries do: a revoked key is refused whatever else
//! is on record, a key of another type than the recorded one counts as
//! changed, a file that exists but cannot be read is an error and not an empty
//! file. [`parse`] is pure and takes any bytes; keys stay blobs, so an unknown
//! key type can still be matched or revoked.

mod pattern;
mod record;

pub use record::{append, render};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pattern::HostPatterns;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The port whose number is left out of host names.
pub const DEFAULT_PORT: u16 = 22;

/// A line of a file, for a person to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} line {}", self.file.display(), self.line)
    }
}

/// A `known_hosts` file that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("known_hosts file {}: {source}; host keys cannot be checked without it", file.display())]
pub struct KnownHostsError {
    /// The file.
    pub file: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// The name a host goes by in `known_hosts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName {
    /// The plain name, in lower case.
    plain: String,
    /// `[name]:port` where the port is not 22.
    with_port: Option<String>,
}

impl HostName {
    /// The name of `host` at `port`.
    #[must_use]
    pub fn new(host: &str, port: u16) -> Self {
        let plain = host.to_lowercase();
        let with_port = (port != DEFAULT_PORT).then(|| format!("[{plain}]:{port}"));
        Self { plain, with_port }
    }

    /// A name set by `HostKeyAlias`, which knows no port.
    #[must_use]
    pub fn alias(name: &str) -> Self {
        Self::new(name, DEFAULT_PORT)
    }

    /// The name as it is written in a file.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.with_port.as_deref().unwrap_or(&self.plain)
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A public key as it goes over the wire.
#[derive(Clone, PartialEq, Eq)]
pub struct HostKey {
    key_type: String,
    blob: Vec<u8>,
}

impl HostKey {
    /// The key whose wire form is `blob`; `None` if that does not start with
    /// the name of its type.
    #[must_use]
    pub fn from_blob(blob: Vec<u8>) -> Option<Self> {
        let key_type = blob_type(&blob)?.to_owned();
        Some(Self { key_type, blob })
    }

    /// Name of the key's type, such as `ssh-ed25519`.
    #[must_use]
    pub fn key_type(&self) -> &str {
        &self.key_type
    }

    /// The wire form.
    #[must_use]
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// The wire form in base64, as files have it.
    #[must_use]
    pub fn base64(&self) -> String {
        STANDARD.encode(&self.blob)
    }
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.key_type, self.base64())
    }
}

fn blob_type(blob: &[u8]) -> Option<&str> {
    let (length, rest) = blob.split_first_chunk::<4>()?;
    let name = rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    let name = std::str::from_utf8(name).ok()?;
    (!name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic())).then_some(name)
}

/// What a line says of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    /// The key of the hosts named.
    Host,
    /// `@revoked`: never to be accepted for the hosts named.
    Revoked,
    /// `@cert-authority`: signs certificates of the hosts named.
    CertAuthority,
}

/// One line that could be understood.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The line, counted from 1.
    pub line: usize,
    /// What the line says of its key.
    pub marker: Marker,
    hosts: HostPatterns,
    /// The key.
    pub key: HostKey,
}

impl Entry {
    /// Whether the line speaks of `name`, written as [`HostName::as_str`].
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.hosts.matches(name)
    }
}

/// The lines of a file's content that can be understood, in order; comments,
/// blank lines and lines of no known form are left out.
#[must_use]
pub fn parse(content: &[u8]) -> Vec<Entry> {
    let lines = content.split(|&byte| byte == b'\n').enumerate();
    lines.filter_map(|(index, line)| parse_line(index + 1, std::str::from_utf8(line).ok()?)).collect()
}

fn parse_line(line: usize, text: &str) -> Option<Entry> {
    let mut words = text.split([' ', '\t', '\r']).filter(|word| !word.is_empty());
    let mut hosts = words.next()?;
    if hosts.starts_with('#') {
        return None;
    }
    let marker = match hosts {
        "@revoked" => Marker::Revoked,
        "@cert-authority" => Marker::CertAuthority,
        other if other.starts_with('@') => return None,
        _ => Marker::Host,
    };
    if marker != Marker::Host {
        hosts = words.next()?;
    }
    let key_type = words.next()?;
    let key = HostKey::from_blob(STANDARD.decode(words.next()?).ok()?)?;
    (key.key_type == key_type).then(|| Entry { line, marker, hosts: HostPatterns::parse(hosts), key })
}

/// What the files say of a key presented for a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This key is on record for this host.
    Known,
    /// Nothing is on record for this host.
    Unknown,
    /// Another key is on record, of the same type or another.
    Changed(Place),
    /// The key is revoked.
    Revoked(Place),
}

/// The `known_hosts` files in force, read once.
#[derive(Clone, Debug, Default)]
pub struct KnownHosts {
    files: Vec<(PathBuf, Vec<Entry>)>,
}

impl KnownHosts {
    /// Reads `files`; one that does not exist counts as empty.
    ///
    /// # Errors
    /// If a file exists but cannot be read.
    pub fn load(files: &[PathBuf]) -> Result<Self, KnownHostsError> {
        let read = files.iter().map(|file| match std::fs::read(file) {
            Ok(content) => Ok((file.clone(), parse(&content))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((file.clone(), Vec::new())),
            Err(source) => Err(KnownHostsError { file: file.clone(), source }),
        });
        Ok(Self { files: read.collect::<Result<_, _>>()? })
    }

    /// The same over a content that is already in memory, as if read from `file`.
    #[must_use]
    pub fn from_content(file: &Path, content: &[u8]) -> Self {
        Self { files: vec![(file.to_owned(), parse(content))] }
    }

    fn entries(&self) -> impl Iterator<Item = (&Path, &Entry)> {
        self.files.iter().flat_map(|(file, entries)| entries.iter().map(move |entry| (file.as_path(), entry)))
    }

    /// What is on record for `key` presented by `host`.
    ///
    /// A port other than 22 is looked up as `[host]:port`; where that is not on
    /// record, an equal key of the plain name counts as known, as OpenSSH has
    /// it. A revocation of the plain name holds at every port.
    #[must_use]
    pub fn check(&self, host: &HostName, key: &HostKey) -> Verdict {
        if let Some(place) = self.revoked(host, key) {
            return Verdict::Revoked(place);
        }
        match self.recorded(host.as_str(), key) {
            Verdict::Unknown if host.with_port.is_some() => match self.recorded(&host.plain, key) {
                Verdict::Known => Verdict::Known,
                _ => Verdict::Unknown,
            },
            verdict => verdict,
        }
    }

    fn revoked(&self, host: &HostName, key: &HostKey) -> Option<Place> {
        self.entries()
            .filter(|(_, entry)| entry.marker == Marker::Revoked && entry.key == *key)
            .find(|(_, entry)| entry.matches(host.as_str()) || entry.matches(&host.plain))
            .map(|(file, entry)| Place { file: file.to_owned(), line: entry.line })
    }

    fn recorded(&self, name: &str, key: &HostKey) -> Verdict {
        let mut other: Option<(&Path, &Entry)> = None;
        let of_host = self.entries().filter(|(_, entry)| entry.marker == Marker::Host && entry.matches(name));
        for (file, entry) in of_host {
            if entry.key == *key {
                return Verdict::Known;
            }
            let closer =
                other.is_none_or(|(_, seen)| seen.key.key_type != key.key_type && entry.key.key_type == key.key_type);
            if closer {
                other = Some((file, entry));
            }
        }
        other.map_or(Verdict::Unknown, |(file, entry)| {
            Verdict::Changed(Place { file: file.to_owned(), line: entry.line })
        })
    }

    /// The types of the keys on record for `host`, so that a server with
    /// several keys can be asked for one of those.
    #[must_use]
    pub fn key_types(&self, host: &HostName) -> Vec<String> {
        let types = |name: &str| -> Vec<String> {
            self.entries()
                .filter(|(_, entry)| entry.marker == Marker::Host && entry.matches(name))
                .map(|(_, entry)| entry.key.key_type.clone())
                .collect()
        };
        let found = types(host.as_str());
        if found.is_empty() { types(&host.plain) } else { found }
    }

    /// The first line that names a certificate authority for `host`, if any.
    #[must_use]
    pub fn cert_authority(&self, host: &HostName) -> Option<Place> {
        self.marked(host, Marker::CertAuthority)
    }

    /// The first line that revokes a key of `host`, if any.
    #[must_use]
    pub fn revocation(&self, host: &HostName) -> Option<Place> {
        self.marked(host, Marker::Revoked)
    }

    fn marked(&self, host: &HostName, marker: Marker) -> Option<Place> {
        self.entries()
            .filter(|(_, entry)| entry.marker == marker)
            .find(|(_, entry)| entry.matches(host.as_str()) || entry.matches(&host.plain))
            .map(|(file, entry)| Place { file: file.to_owned(), line: entry.line })
    }
}

/// Whether the comma-separated `list` of patterns, of the form shared by
/// `known_hosts` and the `Host` line of `ssh_config`, matches `host`.
pub(crate) fn host_list_matches(list: &str, host: &str) -> bool {
    HostPatterns::parse(list).matches(&host.to_lowercase())
}

#[cfg(test)]
mod tests;
