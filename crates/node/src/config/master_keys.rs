//! `[master-keys.NAME]`: where the keys come from that seal files at rest.

use std::fmt;
use std::path::PathBuf;

use limosa_policy::Origin;
use limosa_seal::envelope::{EnvelopeError, MasterKeyId};
use serde::{Deserialize, Serialize};

use super::section::Line;

/// What a master key is called in the file, and in the files that it seals.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct KeyName(String);

impl KeyName {
    /// As headers of files have it.
    ///
    /// # Panics
    /// Never: what is no such name is no value of this type.
    #[must_use]
    pub fn id(&self) -> MasterKeyId {
        self.0.parse().expect("it was parsed before")
    }
}

impl TryFrom<String> for KeyName {
    type Error = EnvelopeError;

    fn try_from(text: String) -> Result<Self, EnvelopeError> {
        // `seal-at-rest = "none"` means no key.
        if text == "none" {
            return Err(EnvelopeError::NotAKey("name of a master key: `none` stands for no key"));
        }
        text.parse::<MasterKeyId>().map(|_| Self(text))
    }
}

impl From<&MasterKeyId> for KeyName {
    fn from(id: &MasterKeyId) -> Self {
        Self(id.to_string())
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where one key comes from. It is 32 bytes, or as many in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeySource {
    /// A file that nobody but its owner may read.
    File(PathBuf),
    /// A variable of the server's environment.
    Environment(String),
    /// A credential that systemd passes to the server (`LoadCredential=`).
    Credential(String),
    /// What this program prints, with these arguments. No shell is involved.
    Command(Vec<String>),
    /// The key that this file describes, wrapped by a key server.
    Transit(PathBuf),
}

impl KeySource {
    /// The keys of a `[master-keys.NAME]`, of which each has one.
    pub(super) const KEYS: [&'static str; 5] = ["file", "environment", "credential", "command", "transit"];

    /// As it is shown.
    pub(super) fn line(&self) -> Line {
        let table = toml::Table::try_from(self).unwrap_or_default();
        let (key, value) = table.into_iter().next().unwrap_or_else(|| (String::new(), toml::Value::Boolean(false)));
        (key, value.to_string(), Origin::Node)
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Environment(name) => write!(f, "the variable {name}"),
            Self::Credential(name) => write!(f, "the credential {name}"),
            Self::Command(words) => write!(f, "`{}`", words.join(" ")),
            Self::Transit(path) => write!(f, "the key server of {}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_key_has_one_source_and_a_name() {
        let read = |text: &str| toml::from_str::<BTreeMap<KeyName, KeySource>>(text);
        let text = "[main]\nfile = \"/k\"\n[b]\ncommand = [\"fetch\", \"b\"]\n[c]\ncredential = \"c\"";
        let keys = read(text).unwrap();
        let lines: Vec<_> = keys.values().map(KeySource::line).map(|(key, value, _)| (key, value)).collect();
        let expected = [("command", "[\"fetch\", \"b\"]"), ("credential", "\"c\""), ("file", "\"/k\"")];
        assert_eq!(lines, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
        for wrong in
            ["[main]", "[main]\nfile = \"/k\"\nenvironment = \"K\"", "[none]\nfile = \"/k\"", "[main]\nfil = 1"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
