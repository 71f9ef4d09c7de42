//! Settings in layers, each effective value with its origin.
//!
//! The same keys may be set for a user, for groups of users and for the node;
//! the first that is set wins in that order, and the built-in value stands
//! behind all. A layer may lock keys: then layers in front of it cannot change
//! them.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use limosa_seal::envelope::MasterKeyId;
use serde::{Deserialize, Serialize};

use crate::GroupName;
use crate::fips::FipsMode;

/// Weakest cipher that is accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CipherFloor {
    /// AES with a key of 128 bits.
    #[default]
    #[serde(rename = "aes-128")]
    Aes128,
    /// … 192 bits.
    #[serde(rename = "aes-192")]
    Aes192,
    /// … 256 bits.
    #[serde(rename = "aes-256")]
    Aes256,
}

/// How datagrams may be protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CipherModes {
    /// By AES, in GCM or in CFB.
    #[default]
    Aes,
    /// By AES in GCM alone.
    Gcm,
    /// By AES in CFB alone.
    Cfb,
    /// By AES, or not encrypted if the client asks for that.
    Any,
    /// Not encrypted, and in no other way.
    None,
}

/// Weakest durability that uploads get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DurabilityFloor {
    /// Whatever the client asks for.
    #[default]
    None,
    /// At least the bytes before the name.
    File,
    /// And the directory before the report.
    Strict,
}

/// Whether uploads must be encrypted by the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContentProtection {
    /// As the client likes.
    #[default]
    Optional,
    /// They must.
    Required,
}

/// For which passphrases uploads that must be encrypted may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContentPassphrase {
    /// Any.
    #[default]
    Any,
    /// Those that are hard to guess, by what the client says.
    Strong,
}

/// How much of a line a rate policy takes from others, and the most of it that
/// is permitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PolicyCeiling {
    /// What others leave.
    Low,
    /// As much as an equal flow.
    Fair,
    /// Twice as much.
    #[default]
    High,
    /// Whatever rate was asked for.
    Fixed,
}

impl fmt::Display for PolicyCeiling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Low => "low",
            Self::Fair => "fair",
            Self::High => "high",
            Self::Fixed => "fixed",
        })
    }
}

/// A rate as written in a settings file: `300m`, `1.5g`, in bits per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateCap(pub u64);

/// By which master key new files are sealed at rest: its name, or `none`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SealAtRest(pub Option<MasterKeyId>);

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Given on the command line.
    CommandLine,
    /// Set in the environment.
    Environment,
    /// Set for this user.
    User,
    /// Set for this group, of which the user is a member.
    Group(GroupName),
    /// Set for the node.
    Node,
    /// Built in.
    BuiltIn,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine => f.write_str("command line"),
            Self::Environment => f.write_str("environment"),
            Self::User => f.write_str("user"),
            Self::Group(name) => write!(f, "group {name}"),
            Self::Node => f.write_str("node"),
            Self::BuiltIn => f.write_str("built in"),
        }
    }
}

/// A value and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Its origin.
    pub origin: Origin,
}

/// Writes layer, effective settings and their combination from one list.
macro_rules! settings {
    ($($(#[$meta:meta])* $key:ident: $type:ty = $default:expr;)+) => {
        /// One layer: what is set in one place.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
        pub struct SettingsLayer {
            $(
                $(#[$meta])*
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $key: Option<$type>,
            )+
            /// Keys that layers in front of this one cannot change.
            #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "known_keys")]
            pub locked: Vec<String>,
        }

        /// What applies, each value with its origin.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Settings {
            $($(#[$meta])* pub $key: Sourced<$type>,)+
        }

        impl Settings {
            /// Every key, as it is written in a file.
            pub const KEYS: &'static [&'static str] = &[$(stringify!($key)),+];

            /// Combines the layers of a user and of the node.
            #[must_use]
            pub fn resolve(user: &SettingsLayer, node: &SettingsLayer) -> Self {
                Self::resolve_layers(&[(Origin::User, user), (Origin::Node, node)])
            }

            /// Combines any layers, the one that wins first. A layer cannot
            /// set what one behind it locks.
            #[must_use]
            pub fn resolve_layers(layers: &[(Origin, &SettingsLayer)]) -> Self {
                Self {
                    $($key: first_set(layers, stringify!($key), |layer| layer.$key.as_ref(), || $default),)+
                }
            }

            /// Key, value and origin of each setting, for people.
            #[must_use]
            pub fn lines(&self) -> Vec<(String, String, Origin)> {
                vec![$((file_key(stringify!($key)), written(&self.$key.value), self.$key.origin.clone()),)+]
            }
        }
    };
}

settings! {
    /// Directory that all paths of the user are relative to and never leave.
    docroot: PathBuf = PathBuf::new();
    /// Whether the user may download.
    read: bool = true;
    /// Whether the user may upload.
    write: bool = true;
    /// Highest rate of one session, bits per second.
    rate_cap: RateCap = RateCap(u64::MAX);
    /// Most assertive rate policy that may be asked for.
    policy_ceiling: PolicyCeiling = PolicyCeiling::default();
    /// Weakest cipher accepted.
    cipher_floor: CipherFloor = CipherFloor::default();
    /// Ways to protect datagrams that are accepted.
    cipher_modes: CipherModes = CipherModes::default();
    /// Whether the client's first choice of a way binds, where it offers others.
    cipher_strict: bool = true;
    /// How far approved cryptography is insisted on.
    fips: FipsMode = FipsMode::default();
    /// Weakest durability of uploads.
    durability_floor: DurabilityFloor = DurabilityFloor::default();
    /// Whether uploads must be encrypted by the client.
    content_protection: ContentProtection = ContentProtection::default();
    /// For which passphrases, if they must.
    content_protection_passphrase: ContentPassphrase = ContentPassphrase::default();
    /// The master key that seals new files at rest.
    seal_at_rest: SealAtRest = SealAtRest::default();
    /// Sessions of one user at a time.
    max_sessions: u32 = 64;
    /// How long a session outlives silence, seconds.
    session_timeout: u32 = 60;
}

impl SettingsLayer {
    fn locks(&self, key: &str) -> bool {
        let key = file_key(key);
        self.locked.contains(&key)
    }
}

/// Names of keys; one that there is not would lock nothing, unnoticed.
fn known_keys<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let locked = Vec::<String>::deserialize(deserializer)?;
    let known: Vec<String> = Settings::KEYS.iter().map(|key| file_key(key)).collect();
    let Some(unknown) = locked.iter().find(|key| !known.contains(key)) else { return Ok(locked) };
    Err(serde::de::Error::custom(match suggestion(unknown, known.iter().map(String::as_str)) {
        Some(meant) => format!("unknown key `{unknown}`; did you mean `{meant}`?"),
        None => format!("unknown key `{unknown}`; known here: {}", known.join(", ")),
    }))
}

/// A value as it is written in a file.
fn written(value: &impl Serialize) -> String {
    toml::Value::try_from(value).map(|value| value.to_string()).unwrap_or_default()
}

/// A key as it is written in a file.
fn file_key(key: &str) -> String {
    key.replace('_', "-")
}

fn first_set<T: Clone>(
    layers: &[(Origin, &SettingsLayer)],
    key: &str,
    value: impl Fn(&SettingsLayer) -> Option<&T>,
    built_in: impl FnOnce() -> T,
) -> Sourced<T> {
    let locked_by = layers.iter().rposition(|(_, layer)| layer.locks(key)).unwrap_or(0);
    let set = layers.iter().skip(locked_by).find_map(|(origin, layer)| Some((origin.clone(), value(layer)?)));
    match set {
        Some((origin, value)) => Sourced { value: value.clone(), origin },
        None => Sourced { value: built_in(), origin: Origin::BuiltIn },
    }
}

/// The known key most like `unknown`, if one is near enough to be meant.
#[must_use]
pub fn suggestion<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|key| (edit_distance(unknown, key), key))
        .min()
        .filter(|(distance, key)| *distance <= key.len() / 2)
        .map(|(_, key)| key)
}

/// Levenshtein's distance, by bytes.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

impl FromStr for RateCap {
    type Err = String;

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a rate: write a number with k, m or g (bits per second)");
        if text == "unlimited" {
            return Ok(Self(u64::MAX));
        }
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let factor = match unit.to_ascii_lowercase().as_str() {
            "" => 1.0,
            "k" => 1e3,
            "m" => 1e6,
            "g" => 1e9,
            _ => return Err(wrong()),
        };
        let bits = number.parse::<f64>().map_err(|_| wrong())? * factor;
        if (1.0..1e18).contains(&bits) { Ok(Self(bits as u64)) } else { Err(wrong()) }
    }
}

impl fmt::Display for RateCap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            u64::MAX => f.write_str("unlimited"),
            bits if bits.is_multiple_of(1_000_000_000) => write!(f, "{}g", bits / 1_000_000_000),
            bits if bits.is_multiple_of(1_000_000) => write!(f, "{}m", bits / 1_000_000),
            bits if bits.is_multiple_of(1_000) => write!(f, "{}k", bits / 1_000),
            bits => write!(f, "{bits}"),
        }
    }
}

impl Serialize for RateCap {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RateCap {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl FromStr for SealAtRest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self(None)),
            name => name.parse().map(|name| Self(Some(name))).map_err(|error| format!("`{name}`: {error}")),
        }
    }
}

impl fmt::Display for SealAtRest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_ref().map_or("none", MasterKeyId::as_str))
    }
}

impl Serialize for SealAtRest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SealAtRest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(text: &str) -> SettingsLayer {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn the_first_that_is_set_wins_and_says_so() {
        let node = layer("rate-cap = \"1g\"\nread = false");
        let user = layer("rate-cap = \"100m\"");
        let settings = Settings::resolve(&user, &node);
        assert_eq!(settings.rate_cap, Sourced { value: RateCap(100_000_000), origin: Origin::User });
        assert_eq!(settings.read, Sourced { value: false, origin: Origin::Node });
        assert_eq!(settings.write, Sourced { value: true, origin: Origin::BuiltIn });
    }

    #[test]
    fn a_locked_key_cannot_be_changed_in_front() {
        let node = layer("cipher-floor = \"aes-256\"\nlocked = [\"cipher-floor\"]");
        let user = layer("cipher-floor = \"aes-128\"");
        let settings = Settings::resolve(&user, &node);
        assert_eq!(settings.cipher_floor, Sourced { value: CipherFloor::Aes256, origin: Origin::Node });
    }

    #[test]
    fn the_lock_of_the_layer_furthest_behind_holds() {
        let locks = layer("locked = [\"read\", \"write\"]\nread = false");
        let front = layer("read = true\nwrite = false");
        let layers = [(Origin::Environment, &front), (Origin::User, &front), (Origin::Node, &locks)];
        let settings = Settings::resolve_layers(&layers);
        assert_eq!(settings.read, Sourced { value: false, origin: Origin::Node });
        assert_eq!(settings.write, Sourced { value: true, origin: Origin::BuiltIn });
        let settings = Settings::resolve_layers(&layers[..2]);
        assert_eq!(settings.write, Sourced { value: false, origin: Origin::Environment });
    }

    #[test]
    fn unknown_keys_are_refused_and_the_nearest_is_suggested() {
        assert!(toml::from_str::<SettingsLayer>("docrot = \"/srv\"").is_err());
        assert_eq!(suggestion("docrot", Settings::KEYS.iter().copied()), Some("docroot"));
        assert_eq!(suggestion("xyzzy", Settings::KEYS.iter().copied()), None);
    }

    #[test]
    fn locks_on_keys_that_there_are_not_are_refused() {
        let error = toml::from_str::<SettingsLayer>("locked = [\"rate_cap\"]").unwrap_err();
        assert!(error.message().contains("did you mean `rate-cap`?"), "{error}");
    }

    #[test]
    fn values_are_shown_as_a_file_would_have_them() {
        let settings = Settings::resolve(&layer("docroot = \"/srv/ada\""), &SettingsLayer::default());
        let lines = settings.lines();
        for expected in
            ["docroot = \"/srv/ada\"", "rate-cap = \"unlimited\"", "cipher-floor = \"aes-128\"", "read = true"]
        {
            assert!(lines.iter().any(|(key, value, _)| format!("{key} = {value}") == expected), "{lines:?}");
        }
    }

    #[test]
    fn only_who_says_so_goes_unencrypted() {
        let settings = |text: &str| Settings::resolve(&layer(text), &SettingsLayer::default());
        assert_eq!(settings("").cipher_modes.value, CipherModes::Aes);
        assert!(settings("").cipher_strict.value);
        for (text, modes) in [("any", CipherModes::Any), ("none", CipherModes::None), ("cfb", CipherModes::Cfb)] {
            assert_eq!(settings(&format!("cipher-modes = \"{text}\"")).cipher_modes.value, modes);
        }
        assert!(toml::from_str::<SettingsLayer>("cipher-modes = \"off\"").is_err());
    }

    #[test]
    fn files_are_sealed_for_those_whom_the_nearest_layer_says() {
        let node = layer("seal-at-rest = \"main\"");
        let key = |user: &str| Settings::resolve(&layer(user), &node).seal_at_rest.value.to_string();
        assert_eq!([key(""), key("seal-at-rest = \"none\""), key("seal-at-rest = \"b\"")], ["main", "none", "b"]);
        assert!(toml::from_str::<SettingsLayer>("seal-at-rest = \"two words\"").is_err());
        assert_eq!(Settings::resolve(&layer(""), &layer("")).seal_at_rest.value, SealAtRest(None));
    }

    #[test]
    fn rates_return_as_they_were_written() {
        for text in ["300m", "1500k", "2g", "unlimited", "7"] {
            assert_eq!(text.parse::<RateCap>().map(|rate| rate.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "fast", "3q", "-1", "0"] {
            assert!(text.parse::<RateCap>().is_err(), "{text}");
        }
    }
}
