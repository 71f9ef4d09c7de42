//! `limosad check`: does this machine, with this configuration, serve well?

mod members;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use limosa_policy::{FipsMode, Settings};
use limosa_seal::module::Module;
use limosa_session::setup::SOFTWARE;
use limosa_session::{ServerPorts, SharedUdp};
use limosa_storage::{Confinement, LocalStore, Resolver};

use crate::admit::expand_docroot;
use crate::config::{Configuration, KeyName};
use crate::error::NodeError;
use crate::master_keys::{KeySources, Trust};
use crate::state::StateDirectory;
use crate::users::UserStore;

/// How a finding is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// As it should be.
    Good,
    /// Works, but could be better or safer.
    Advice,
    /// Keeps something from working.
    Wrong,
}

/// Something that was examined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How it is to be taken.
    pub level: Level,
    /// What was examined.
    pub about: String,
    /// What was found, and what to do.
    pub text: String,
}

impl Finding {
    fn new(level: Level, about: impl Into<String>, text: impl Into<String>) -> Self {
        Self { level, about: about.into(), text: text.into() }
    }
}

/// Examines everything; opens no port for longer than a look at it takes.
#[must_use]
pub fn examine(config: &Configuration, state: &StateDirectory) -> Vec<Finding> {
    let mut findings = vec![
        Finding::new(Level::Good, "version", SOFTWARE),
        cryptography(Module::running()),
        fips(config, Module::running()),
        configuration_file(config),
        state_files(state),
        facing_the_network(config),
        rights(),
        udp(config),
    ];
    findings.extend(broker(config));
    findings.extend(master_keys(config));
    findings.extend(users(config, state));
    findings.extend(logins(config));
    findings.extend(members::members(config, state));
    findings
}

/// Which module there is, and whether it works.
fn cryptography(module: Module) -> Finding {
    let about = "cryptography";
    match limosa_seal::module::self_test() {
        Ok(()) => Finding::new(Level::Good, about, format!("{module}; self-test passed")),
        Err(failed) => Finding::new(Level::Wrong, about, failed.to_string()),
    }
}

/// Whether the FIPS mode that is set for the node can be kept.
fn fips(config: &Configuration, module: Module) -> Finding {
    let about = "FIPS mode";
    let mode = config.settings_of_all().fips.value;
    let problem = match mode {
        FipsMode::Off => return Finding::new(Level::Good, about, "off"),
        FipsMode::On | FipsMode::Required if config.ssh.enabled.value => NodeError::FrontInFipsMode.to_string(),
        FipsMode::On | FipsMode::Required => match mode.algorithms(module) {
            Err(error) => error.to_string(),
            Ok(_) if module.is_validated() => {
                return Finding::new(Level::Good, about, "approved algorithms only, by the validated module");
            }
            Ok(_) => {
                let text = "approved algorithms only, but not by the validated module; see `fips` in OPERATIONS.md";
                return Finding::new(Level::Advice, about, text);
            }
        },
    };
    Finding::new(Level::Wrong, about, problem)
}

fn configuration_file(config: &Configuration) -> Finding {
    match &config.file {
        None => Finding::new(Level::Good, "configuration", "no file; built-in values apply"),
        Some(file) => Finding::new(Level::Good, "configuration", format!("{} is valid", file.display())),
    }
}

fn state_files(state: &StateDirectory) -> Finding {
    let about = "state";
    for path in [state.host_key(), state.users(), state.audit()] {
        let Ok(metadata) = path.metadata() else { continue };
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            let text = format!("{} has mode {mode:04o}; run `chmod 600 {}`", path.display(), path.display());
            return Finding::new(Level::Wrong, about, text);
        }
    }
    Finding::new(Level::Good, about, format!("{} lets nobody else in", state.path().display()))
}

/// Whether sessions under OpenSSH are served here, for all that is known.
fn serves_logins(config: &Configuration) -> bool {
    !config.ssh.enabled.value || config.broker.enabled.value == Some(true)
}

/// Whether session programs find a server that lends its port.
fn broker(config: &Configuration) -> Option<Finding> {
    let enabled = config.broker.enabled.value.unwrap_or(!config.ssh.enabled.value);
    let (about, path) = ("port broker", &config.broker.socket.value);
    enabled.then(|| match ServerPorts::is_lent_at(path) {
        true => Finding::new(Level::Good, about, format!("lends the UDP port at {}", path.display())),
        false => {
            let range = config.udp.session_ports.value;
            let text = format!(
                "nobody lends a port at {} now: `limosad serve` does; without it sessions use UDP {range}",
                path.display()
            );
            Finding::new(Level::Advice, about, text)
        }
    })
}

/// Whether each master key can be had here and now, and those that settings
/// name exist.
fn master_keys(config: &Configuration) -> Vec<Finding> {
    let keys = KeySources::of(config, Trust::Administered);
    let mut findings: Vec<_> = keys
        .all()
        .map(|(name, source, key)| match key {
            Ok(_) => Finding::new(Level::Good, format!("master key {name}"), format!("comes from {source}")),
            Err(error) => Finding::new(Level::Wrong, format!("master key {name}"), format!("{source}: {error}")),
        })
        .collect();
    let missing = no_such_key(config, &config.settings_of_all());
    findings.extend(missing.map(|text| Finding::new(Level::Wrong, "master keys", text)));
    findings
}

/// That the key which is to seal files is not configured.
fn no_such_key(config: &Configuration, settings: &Settings) -> Option<String> {
    let named = settings.seal_at_rest.value.0.as_ref()?;
    let is_there = config.master_keys().contains_key(&KeyName::from(named));
    (!is_there)
        .then(|| format!("`seal-at-rest` names `{named}`, and there is no [master-keys.{named}]: sessions are refused"))
}

fn facing_the_network(config: &Configuration) -> Finding {
    let about = "SSH";
    if !config.ssh.enabled.value {
        return Finding::new(Level::Good, about, "OpenSSH faces the network; the embedded server is off");
    }
    let text = format!("the embedded server faces the network at TCP {}", config.ssh.listen.value);
    if config.ssh.passwords.value {
        let advice = format!("{text} and takes passwords; where keys are enough, set `passwords = false` in [ssh]");
        return Finding::new(Level::Advice, about, advice);
    }
    Finding::new(Level::Good, about, text)
}

fn rights() -> Finding {
    let about = "rights";
    if rustix::process::geteuid().is_root() {
        let text = "run by root, uploads belong to root; a user of the server's own, who owns the docroots, is safer";
        return Finding::new(Level::Advice, about, text);
    }
    Finding::new(Level::Good, about, "run by an ordinary user")
}

/// Buffers are judged at a port of their own, since the real one may be in use
/// by the server itself.
fn udp(config: &Configuration) -> Finding {
    let about = "UDP";
    let any_port = crate::config::Listen { port: 0, ..config.udp.listen.value };
    let mut refusal = None;
    for address in any_port.candidates() {
        match SharedUdp::open(address) {
            Ok(port) => {
                return match port.advice() {
                    Some(advice) => Finding::new(Level::Advice, about, advice),
                    None => Finding::new(Level::Good, about, "socket buffers are as large as they should be"),
                };
            }
            Err(error) => refusal = Some(error),
        }
    }
    let reason = refusal.map(|error| error.to_string()).unwrap_or_default();
    Finding::new(Level::Wrong, about, format!("{} cannot be listened at: {reason}", config.udp.listen.value))
}

fn users(config: &Configuration, state: &StateDirectory) -> Vec<Finding> {
    if !config.ssh.enabled.value {
        return Vec::new();
    }
    let users = match UserStore::new(state.clone()).all() {
        Ok(users) => users,
        Err(error) => return vec![Finding::new(Level::Wrong, "users", error.to_string())],
    };
    if users.is_empty() {
        return vec![Finding::new(Level::Advice, "users", "none; see `limosad user add --help`")];
    }
    let finding = |(name, user): (&limosa_policy::UserName, &crate::users::StoredUser)| {
        let settings = config.settings(name, &user.settings);
        docroot(&format!("user {name}"), &expand_docroot(&settings.docroot.value, name.as_str(), None))
    };
    users.iter().map(finding).collect()
}

fn logins(config: &Configuration) -> Vec<Finding> {
    if !serves_logins(config) {
        return Vec::new();
    }
    let of_all = config.settings_of_all().docroot.value;
    let common = match of_all.to_str() {
        Some("") => Finding::new(Level::Advice, "logins", "those without a `docroot` of their own are refused"),
        Some(text) if text.contains('%') => Finding::new(Level::Good, "logins", format!("docroot is {text}")),
        _ => docroot("logins", &of_all),
    };
    let own = config.logins().filter_map(|login| {
        let path = config.settings_of_login(login).docroot.value;
        let depends_on_login = path.to_string_lossy().contains("%h");
        (!depends_on_login).then(|| docroot(&format!("login {login}"), &expand_docroot(&path, login.as_str(), None)))
    });
    std::iter::once(common).chain(own).collect()
}

fn docroot(about: &str, path: &Path) -> Finding {
    if path.as_os_str().is_empty() {
        return Finding::new(Level::Wrong, about, "has no docroot: every request is refused");
    }
    match LocalStore::open(path, Confinement::Inside) {
        Err(error) => Finding::new(Level::Wrong, about, format!("docroot {}: {error}", path.display())),
        Ok(store) => {
            let enforced = match store.resolver() {
                Resolver::Kernel => "by the kernel",
                Resolver::Walk => "step by step, as this kernel or sandbox refuses openat2",
            };
            Finding::new(Level::Good, about, format!("confined to {} {enforced}", path.display()))
        }
    }
}

#[cfg(test)]
mod tests {
    use limosa_policy::SettingsLayer;

    use super::*;
    use crate::config::Sources;
    use crate::users::StoredUser;

    #[test]
    fn a_missing_docroot_and_an_open_file_are_found() {
        let outer = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(outer.path().join("s")).unwrap();
        let file = outer.path().join("limosad.toml");
        std::fs::write(&file, "").unwrap();
        let config = Configuration::load(Sources { file: Some(file), ..Sources::default() }).unwrap();
        let settings: SettingsLayer = toml::from_str("docroot = \"/nonexistent/here\"").unwrap();
        let users = UserStore::new(state.clone());
        users.add(&"ada".parse().unwrap(), StoredUser { settings, ..StoredUser::default() }).unwrap();
        std::fs::set_permissions(state.users(), PermissionsExt::from_mode(0o644)).unwrap();
        let wrong: Vec<_> =
            examine(&config, &state).into_iter().filter(|finding| finding.level == Level::Wrong).collect();
        let about: Vec<_> = wrong.iter().map(|finding| finding.about.as_str()).collect();
        assert_eq!(about, ["state", "user ada"], "{wrong:?}");
    }
}
