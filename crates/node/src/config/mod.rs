//! The configuration: `limosad.toml`, the environment above it, flags above
//! both, and the built-in values behind all.
//!
//! Nothing needs to be configured. Unknown keys are errors, told with file,
//! line and the key that was probably meant. Each section has a file of its
//! own here; every key `K` of section `S` can be set by the variable
//! `LIMOSA_S_K` of the environment.
//!
//! `[defaults]` holds the settings of every user, `[groups.NAME]` those of the
//! users it lists, `[users.NAME]` those of a login of this machine that comes in
//! through OpenSSH. (Users of the embedded server have theirs beside their keys:
//! see [`crate::users`].)
//!
//! `[master-keys.NAME]` says where a key for files at rest comes from.
//!
//! [`edit`] changes the file in place, for keys that [`key`] knows.

mod audit;
mod broker;
pub mod edit;
pub mod key;
mod listen;
mod master_keys;
mod ports;
mod problem;
pub(crate) mod section;
mod sessions;
mod ssh;
mod udp;
mod value;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use limosa_policy::group::groups_of;
use limosa_policy::{Group, GroupName, NotValidated, Origin, Settings, SettingsLayer, UserName};
use limosa_seal::AlgorithmSet;
use limosa_seal::module::Module;
use serde::Deserialize;

pub use audit::{Audit, AuditLayer};
pub use broker::{Broker, BrokerLayer};
pub use listen::{InvalidListen, Listen};
pub use master_keys::{KeyName, KeySource};
pub use ports::{InvalidPortRange, PortRange};
pub use problem::{ConfigError, Place};
pub use section::Line;
pub use sessions::{Sessions, SessionsLayer};
pub use ssh::{Ssh, SshLayer};
pub use udp::{Udp, UdpLayer};

/// What is set in one place: the file, a variable, the command line.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct ConfigLayer {
    /// The embedded SSH server.
    pub ssh: SshLayer,
    /// The ports of the data path.
    pub udp: UdpLayer,
    /// The port broker.
    pub broker: BrokerLayer,
    /// Bounds on all sessions together.
    pub sessions: SessionsLayer,
    /// The audit log.
    pub audit: AuditLayer,
    /// Settings of every user.
    pub defaults: SettingsLayer,
    /// Where the keys come from that seal files at rest.
    pub master_keys: BTreeMap<KeyName, KeySource>,
    /// Groups of users, of the embedded server and of this machine alike.
    pub groups: BTreeMap<GroupName, Group>,
    /// Settings of single logins of this machine.
    pub users: BTreeMap<UserName, SettingsLayer>,
}

/// Where a configuration is taken from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file that was named; if none was, the usual one, which may be
    /// missing.
    pub file: Option<PathBuf>,
    /// The environment; empty where it is not to be trusted, as in a session
    /// program.
    pub environment: Vec<(OsString, OsString)>,
    /// What was given on the command line.
    pub command_line: ConfigLayer,
}

/// The effective configuration.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// The file it was read from, if any.
    pub file: Option<PathBuf>,
    /// The embedded SSH server.
    pub ssh: Ssh,
    /// The ports of the data path.
    pub udp: Udp,
    /// The port broker.
    pub broker: Broker,
    /// Bounds on all sessions together.
    pub sessions: Sessions,
    /// The audit log.
    pub audit: Audit,
    layers: Vec<(Origin, ConfigLayer)>,
}

impl Configuration {
    /// Reads the configuration from `sources`.
    ///
    /// # Errors
    /// [`ConfigError`], with place and problem.
    pub fn load(sources: Sources) -> Result<Self, ConfigError> {
        let mut layers = vec![(Origin::CommandLine, sources.command_line)];
        for (name, value) in sources.environment {
            let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else { continue };
            if let Some((section, key)) = variable(name) {
                layers.push((Origin::Environment, from_variable(name, &section, &key, value)?));
            }
        }
        let (file, layer) = read_file(sources.file)?;
        layers.push((Origin::Node, layer));
        Ok(Self::resolve(file, layers))
    }

    fn resolve(file: Option<PathBuf>, layers: Vec<(Origin, ConfigLayer)>) -> Self {
        fn part<L>(layers: &[(Origin, ConfigLayer)], of: impl Fn(&ConfigLayer) -> &L) -> Vec<(Origin, &L)> {
            layers.iter().map(|(origin, layer)| (origin.clone(), of(layer))).collect()
        }
        Self {
            file,
            ssh: Ssh::resolve(&part(&layers, |layer| &layer.ssh)),
            udp: Udp::resolve(&part(&layers, |layer| &layer.udp)),
            broker: Broker::resolve(&part(&layers, |layer| &layer.broker)),
            sessions: Sessions::resolve(&part(&layers, |layer| &layer.sessions)),
            audit: Audit::resolve(&part(&layers, |layer| &layer.audit)),
            layers,
        }
    }

    /// The settings in force for `user`, whose own are `own`: flags and
    /// environment first, then the user's, those of their groups, the node's.
    #[must_use]
    pub fn settings(&self, user: &UserName, own: &SettingsLayer) -> Settings {
        let groups = self.layers.iter().flat_map(|(_, layer)| groups_of(user, &layer.groups));
        let groups = groups.map(|(name, group)| (Origin::Group(name.clone()), &group.settings));
        self.settings_in_front(std::iter::once((Origin::User, own)).chain(groups))
    }

    /// The settings of whoever has none of their own and is in no group.
    #[must_use]
    pub fn settings_of_all(&self) -> Settings {
        self.settings_in_front(std::iter::empty())
    }

    /// Which algorithms the node itself may use, with `module`.
    ///
    /// # Errors
    /// If its FIPS mode asks for another module.
    pub fn algorithms(&self, module: Module) -> Result<AlgorithmSet, NotValidated> {
        self.settings_of_all().fips.value.algorithms(module)
    }

    /// The settings of a member of `group` who has none of their own and is in
    /// no other; nothing if there is no such group.
    #[must_use]
    pub fn settings_of_group(&self, group: &GroupName) -> Option<Settings> {
        let own = (Origin::Group(group.clone()), &self.group(group)?.settings);
        Some(self.settings_in_front(std::iter::once(own)))
    }

    /// The settings of a login of this machine.
    #[must_use]
    pub fn settings_of_login(&self, login: &UserName) -> Settings {
        let own = self.layers.iter().find_map(|(_, layer)| layer.users.get(login));
        self.settings(login, own.unwrap_or(&SettingsLayer::default()))
    }

    /// `own` between flags and environment, and the node's.
    fn settings_in_front<'a>(&'a self, own: impl Iterator<Item = (Origin, &'a SettingsLayer)>) -> Settings {
        let is_above = |origin: &Origin| matches!(origin, Origin::CommandLine | Origin::Environment);
        let node = || self.layers.iter().map(|(origin, layer)| (origin.clone(), &layer.defaults));
        let above = node().filter(|(origin, _)| is_above(origin));
        let behind = node().filter(|(origin, _)| !is_above(origin));
        let layers: Vec<_> = above.chain(own).chain(behind).collect();
        Settings::resolve_layers(&layers)
    }

    /// Where each master key comes from.
    #[must_use]
    pub fn master_keys(&self) -> BTreeMap<KeyName, KeySource> {
        let all = self.layers.iter().rev().flat_map(|(_, layer)| &layer.master_keys);
        all.map(|(name, source)| (name.clone(), source.clone())).collect()
    }

    /// The group of this name.
    #[must_use]
    pub fn group(&self, name: &GroupName) -> Option<&Group> {
        self.layers.iter().find_map(|(_, layer)| layer.groups.get(name))
    }

    /// The groups there are.
    pub fn groups(&self) -> impl Iterator<Item = &GroupName> {
        self.layers.iter().flat_map(|(_, layer)| layer.groups.keys())
    }

    /// The logins of this machine that have settings of their own.
    pub fn logins(&self) -> impl Iterator<Item = &UserName> {
        self.layers.iter().flat_map(|(_, layer)| layer.users.keys())
    }

    /// Every setting of the node with its origin, by section.
    #[must_use]
    pub fn sections(&self) -> Vec<(String, Vec<Line>)> {
        let sections = [
            ("ssh", self.ssh.lines()),
            ("udp", self.udp.lines()),
            ("broker", self.broker.lines()),
            ("sessions", self.sessions.lines()),
            ("audit", self.audit.lines()),
        ];
        let sections = sections.into_iter().map(|(name, lines)| (name.to_owned(), lines));
        let keys = self.master_keys();
        let keys = keys.iter().map(|(name, source)| (format!("master-keys.{name}"), vec![source.line()]));
        sections.chain(keys).collect()
    }
}

/// The file that is read when none is named: `/etc/limosa/limosad.toml` for
/// root, else `limosa/limosad.toml` below the user's configuration directory.
#[must_use]
pub fn usual_file() -> Option<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Some(system_file());
    }
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".config"));
    let directory = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).or_else(home)?;
    Some(directory.join("limosa/limosad.toml"))
}

/// The file of the machine, which session programs of all users read.
#[must_use]
pub fn system_file() -> PathBuf {
    PathBuf::from("/etc/limosa/limosad.toml")
}

fn read_file(named: Option<PathBuf>) -> Result<(Option<PathBuf>, ConfigLayer), ConfigError> {
    let must_exist = named.is_some();
    let Some(path) = named.or_else(usual_file) else { return Ok((None, ConfigLayer::default())) };
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok((Some(path.clone()), parse(&path, &text)?)),
        Err(error) if error.kind() == ErrorKind::NotFound && !must_exist => Ok((None, ConfigLayer::default())),
        Err(error) => Err(ConfigError::unreadable(path, &error)),
    }
}

fn parse(path: &Path, text: &str) -> Result<ConfigLayer, ConfigError> {
    toml::from_str(text).map_err(|error| ConfigError::in_file(path.to_owned(), text, &error))
}

/// Section and key that a variable of the environment sets, if it sets any.
fn variable(name: &str) -> Option<(String, String)> {
    let name = name.strip_prefix("LIMOSA_")?.to_ascii_lowercase();
    let (section, key) = name.split_once('_')?;
    let key = section::file_key(key);
    section_keys(section)?.contains(&key).then(|| (section.to_owned(), key))
}

/// The sections whose keys apply to the node and everybody.
const SECTIONS: [&str; 6] = ["ssh", "udp", "broker", "sessions", "audit", "defaults"];

/// The keys of one of [`SECTIONS`], as they are written in the file.
fn section_keys(section: &str) -> Option<Vec<String>> {
    Some(match section {
        "ssh" => Ssh::keys(),
        "udp" => Udp::keys(),
        "broker" => Broker::keys(),
        "sessions" => Sessions::keys(),
        "audit" => Audit::keys(),
        "defaults" => Settings::KEYS.iter().map(|key| section::file_key(key)).collect(),
        _ => return None,
    })
}

/// The layer that a variable makes. Its value is read as the file would have
/// it, or else as text.
fn from_variable(name: &str, section: &str, key: &str, value: &str) -> Result<ConfigLayer, ConfigError> {
    let layer = |value: &toml::Value| {
        let keys = toml::Table::from_iter([(key.to_owned(), value.clone())]);
        ConfigLayer::deserialize(toml::Table::from_iter([(section.to_owned(), keys.into())]))
    };
    match value::read(value, layer) {
        Ok((_, layer)) => Ok(layer),
        Err(error) => Err(ConfigError::in_variable(name.to_owned(), &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, environment: &[(&str, &str)]) -> Result<Configuration, ConfigError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("limosad.toml");
        std::fs::write(&path, file).unwrap();
        let environment = environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
        Configuration::load(Sources { file: Some(path), environment, ..Sources::default() })
    }

    #[test]
    fn nothing_needs_to_be_configured() {
        let config = load("", &[]).unwrap();
        assert!(config.ssh.enabled.value);
        assert_eq!(config.udp.listen.value, Listen::everywhere(33_001));
        assert_eq!(config.ssh.listen.origin, Origin::BuiltIn);
    }

    #[test]
    fn the_environment_stands_above_the_file() {
        let file = "[ssh]\nlisten = 22\npasswords = false\n[defaults]\nrate-cap = \"1g\"";
        let variables = [
            ("LIMOSA_SSH_LISTEN", "127.0.0.1:5"),
            ("LIMOSA_DEFAULTS_RATE_CAP", "10m"),
            ("LIMOSA_UDP_PORT", "7"), // the client's; no key of ours
            ("LIMOSA_PASS", "secret"),
        ];
        let config = load(file, &variables).unwrap();
        assert_eq!(config.ssh.listen.value.to_string(), "127.0.0.1:5");
        assert_eq!(config.ssh.listen.origin, Origin::Environment);
        assert_eq!((config.ssh.passwords.value, &config.ssh.passwords.origin), (false, &Origin::Node));
        let ada = "ada".parse().unwrap();
        let settings = config.settings(&ada, &toml::from_str("rate-cap = \"5m\"").unwrap());
        assert_eq!((settings.rate_cap.value.0, settings.rate_cap.origin), (10_000_000, Origin::Environment));
    }

    #[test]
    fn a_login_of_this_machine_has_settings_of_its_own() {
        let config = load("[defaults]\nwrite = false\n[users.ada]\nwrite = true\ndocroot = \"/srv/ada\"", &[]).unwrap();
        let ada = config.settings_of_login(&"ada".parse().unwrap());
        assert_eq!((ada.write.value, ada.write.origin), (true, Origin::User));
        assert!(!config.settings_of_login(&"bob".parse().unwrap()).write.value);
    }

    #[test]
    fn a_group_stands_between_its_members_and_the_node() {
        let file = "[defaults]\nrate-cap = \"1g\"\nmax-sessions = 9\n\
                    [groups.staff]\nmembers = [\"ada\", \"bob\"]\n\
                    [groups.staff.settings]\nrate-cap = \"100m\"\nread = false\nmax-sessions = 5\n\
                    [users.ada]\nread = true\n";
        let config = load(file, &[("LIMOSA_DEFAULTS_MAX_SESSIONS", "7")]).unwrap();
        let staff = Origin::Group("staff".parse().unwrap());
        let of = |name: &str| config.settings_of_login(&name.parse().unwrap());
        let (ada, bob, eve) = (of("ada"), of("bob"), of("eve"));
        assert_eq!((ada.read.value, ada.read.origin), (true, Origin::User));
        assert_eq!((bob.read.value, bob.read.origin), (false, staff.clone()));
        assert_eq!((ada.rate_cap.value.0, ada.rate_cap.origin), (100_000_000, staff));
        assert_eq!((eve.rate_cap.value.0, eve.rate_cap.origin), (1_000_000_000, Origin::Node));
        assert_eq!((bob.max_sessions.value, bob.max_sessions.origin), (7, Origin::Environment));
        assert!(config.settings_of_group(&"guests".parse().unwrap()).is_none());
    }

    #[test]
    fn a_wrong_variable_is_named() {
        let error = load("", &[("LIMOSA_SSH_LISTEN", "nowhere")]).unwrap_err();
        assert!(error.to_string().starts_with("LIMOSA_SSH_LISTEN: "), "{error}");
    }

    #[test]
    fn a_file_that_was_named_must_exist() {
        let sources = Sources { file: Some("/nonexistent/limosad.toml".into()), ..Sources::default() };
        assert!(Configuration::load(sources).unwrap_err().to_string().contains("cannot be read"));
    }
}
