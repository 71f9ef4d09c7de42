//! The choice between the built-in client and the machine's own `ssh`, and
//! the reason for it.
//!
//! The built-in client is the faster one to open; the machine's own follows
//! every setting of its user. So the latter is taken as soon as a setting in
//! force needs what the former does not do.

use super::config::EffectiveConfig;
use crate::known_hosts::{HostName, KnownHosts};
use std::fmt;
use std::path::{Path, PathBuf};

/// The way chosen for a connection, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The client built into this program.
    Builtin,
    /// The machine's own `ssh`, for the reason given.
    System(String),
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin => f.write_str("built-in SSH: no setting needs the machine's own"),
            Self::System(reason) => write!(f, "the machine's own ssh: {reason}"),
        }
    }
}

/// Settings that the built-in client does not follow, whatever their value.
const NEEDS_SYSTEM: &[(&str, &str)] = &[
    ("proxycommand", "ProxyCommand is set"),
    ("proxyjump", "ProxyJump is set"),
    ("pkcs11provider", "PKCS11Provider is set"),
    ("certificatefile", "CertificateFile is set"),
    ("revokedhostkeys", "RevokedHostKeys is set"),
    ("knownhostscommand", "KnownHostsCommand is set"),
    ("controlpath", "ControlPath is set"),
    ("bindaddress", "BindAddress is set"),
    ("bindinterface", "BindInterface is set"),
];

/// Decides from the configuration in force and the `known_hosts` files.
pub(crate) fn choose(config: &EffectiveConfig, known: &KnownHosts, host: &HostName) -> Choice {
    let reason =
        setting(config).or_else(|| security_key(config)).or_else(|| kerberos(config)).or_else(|| marked(known, host));
    reason.map_or(Choice::Builtin, Choice::System)
}

fn setting(config: &EffectiveConfig) -> Option<String> {
    let set = NEEDS_SYSTEM.iter().find(|(keyword, _)| config.get(keyword).is_some());
    if let Some((_, reason)) = set {
        return Some((*reason).to_owned());
    }
    if config.get("controlmaster").is_some() && !config.is_no("controlmaster") {
        return Some("ControlMaster is on".into());
    }
    if config.is_yes("verifyhostkeydns") {
        return Some("VerifyHostKeyDNS is on".into());
    }
    if config.is_yes("hostbasedauthentication") {
        return Some("HostbasedAuthentication is on".into());
    }
    (config.get("securitykeyprovider").is_some_and(|value| value != "internal"))
        .then(|| "SecurityKeyProvider is set".into())
}

/// Key files that live on a security key, hold a certificate beside them, or
/// whose name has tokens only `ssh` expands.
fn security_key(config: &EffectiveConfig) -> Option<String> {
    config.path_lines("identityfile").into_iter().find_map(|file| {
        let name = file.display();
        if file.to_string_lossy().contains('%') {
            return Some(format!("IdentityFile {name} has tokens"));
        }
        if with_suffix(&file, "-cert.pub").exists() {
            return Some(format!("{name} has a certificate"));
        }
        let public = std::fs::read_to_string(with_suffix(&file, ".pub")).unwrap_or_default();
        (file.exists() && public.starts_with("sk-")).then(|| format!("{name} is on a security key"))
    })
}

pub(crate) fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Distributions switch GSSAPI on for everybody; it matters to those who hold
/// a Kerberos ticket.
fn kerberos(config: &EffectiveConfig) -> Option<String> {
    let held = std::env::var_os("KRB5CCNAME").is_some() || {
        let user = rustix::process::getuid().as_raw();
        Path::new(&format!("/tmp/krb5cc_{user}")).exists()
    };
    (held && config.is_yes("gssapiauthentication"))
        .then(|| "GSSAPIAuthentication is on and there is a Kerberos ticket".into())
}

fn marked(known: &KnownHosts, host: &HostName) -> Option<String> {
    if let Some(place) = known.cert_authority(host) {
        return Some(format!("@cert-authority for {host} at {place}"));
    }
    known.revocation(host).map(|place| format!("@revoked for {host} at {place}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(settings: &str, known_hosts: &str) -> Choice {
        let known = KnownHosts::from_content(Path::new("kh"), known_hosts.as_bytes());
        let config = EffectiveConfig::parse_answer(settings);
        choose(&config, &known, &HostName::new("h", 33001))
    }

    const PLAIN: &str = "user u\nport 22\ncontrolmaster false\nsecuritykeyprovider internal\n\
        gssapiauthentication no\nidentityfile /nonexistent/id\n";

    #[test]
    fn an_ordinary_configuration_is_built_in() {
        assert_eq!(chosen(PLAIN, ""), Choice::Builtin);
    }

    #[test]
    fn each_setting_that_needs_it_takes_the_system_client() {
        for setting in [
            "proxycommand nc %h %p",
            "proxyjump gate",
            "pkcs11provider /lib/p11.so",
            "controlpath /tmp/c",
            "controlmaster auto",
            "revokedhostkeys /etc/r",
            "securitykeyprovider /lib/sk.so",
            "certificatefile /c",
            "identityfile /k/%h",
            "bindaddress 192.0.2.1",
            "verifyhostkeydns true",
        ] {
            let config = PLAIN.replace("controlmaster false\n", "") + setting + "\n";
            let config = config.replace("securitykeyprovider internal\n", "");
            assert!(matches!(chosen(&config, ""), Choice::System(_)), "{setting}");
        }
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
        for line in ["@revoked h", "@cert-authority *"] {
            assert!(matches!(chosen(PLAIN, &format!("{line} {key}")), Choice::System(_)), "{line}");
        }
    }
}
