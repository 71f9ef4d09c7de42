//! What holds the machine's own `ssh` to the algorithms of one profile: options
//! of the command line, which come before everything its user has configured.

use super::Plan;
use super::config::EffectiveConfig;
use crate::algorithms::{any_made_by, preferring};
use crate::known_hosts::{self, HostName};
use crate::sshd_config::{Lists, Profile};
use crate::{Distrust, HostKeyProblem};

/// The least length of RSA keys, in bits.
const LEAST_RSA_LENGTH: u32 = 2048;

/// How `ssh` calls the least length of RSA keys: OpenSSH since 9.1, and that of
/// Red Hat before.
const RSA_LENGTH_KEYWORDS: [&str; 2] = ["RequiredRSASize", "RSAMinSize"];

/// The hold on one connection.
pub(super) struct Hold<'plan> {
    lists: Lists,
    config: &'plan EffectiveConfig,
    /// The types of the host keys on record.
    recorded: Vec<String>,
}

impl<'plan> Hold<'plan> {
    /// The hold on a connection to `port`, or to the port that is configured.
    pub(super) fn new(profile: Profile, plan: &'plan Plan, port: Option<u16>) -> Self {
        let mut recorded = plan.known.key_types(&name_on_record(plan, port));
        recorded.sort_unstable();
        recorded.dedup();
        Self { lists: profile.lists(), config: &plan.config, recorded }
    }

    /// The options that hold, in the form of `-o`.
    pub(super) fn options(&self) -> Vec<String> {
        let (host_keys, user_keys) = (self.kept(self.lists.host_keys), self.kept(self.lists.user_keys));
        let mut options = vec![
            list("KexAlgorithms", self.lists.key_exchange),
            // `ssh` itself puts types on record first only where it has no list.
            list("HostKeyAlgorithms", &preferring(&host_keys, &self.recorded)),
            list("CASignatureAlgorithms", &host_keys),
            list("PubkeyAcceptedAlgorithms", &user_keys),
            list("Ciphers", self.lists.ciphers),
            list("MACs", self.lists.macs),
            // One that stands already may have been negotiated otherwise.
            "ControlPath=none".to_owned(),
            // Its signatures are made by this host's keys, which no list here binds.
            "HostbasedAuthentication=no".to_owned(),
            // It would strike keys off the record that are merely not approved.
            "UpdateHostKeys=no".to_owned(),
        ];
        // Its methods are offered whatever KexAlgorithms says. Only the `ssh` of
        // some distributions have it, and others do not start over the name.
        if self.config.is_set("gssapikeyexchange") {
            options.push("GSSAPIKeyExchange=no".to_owned());
        }
        options.extend(self.rsa_length());
        options
    }

    /// The option that refuses short RSA keys, where this `ssh` has one. A
    /// greater length that is configured stays.
    fn rsa_length(&self) -> Option<String> {
        let keyword = RSA_LENGTH_KEYWORDS.into_iter().find(|keyword| self.config.is_set(&keyword.to_lowercase()))?;
        let configured = self.config.get(&keyword.to_lowercase()).and_then(|bits| bits.parse().ok());
        let bits = configured.unwrap_or(LEAST_RSA_LENGTH).max(LEAST_RSA_LENGTH);
        Some(format!("{keyword}={bits}"))
    }

    /// What of `signatures` can be held: RSA only where short keys are refused.
    fn kept(&self, signatures: &[&'static str]) -> Vec<&'static str> {
        let takes_rsa = self.rsa_length().is_some();
        signatures.iter().copied().filter(|name| takes_rsa || !name.starts_with("rsa-")).collect()
    }

    /// What is wrong with the host key that `ssh` refused over `distrust`, if
    /// the hold is the reason: no key on record could have been presented.
    pub(super) fn problem(&self, distrust: Distrust, plan: &Plan, port: Option<u16>) -> Option<HostKeyProblem> {
        let approved = self.kept(self.lists.host_keys);
        // Where a command tells of keys, the files are not the whole record.
        let is_told_by_files = self.config.get("knownhostscommand").is_none();
        let none_approved = !self.recorded.is_empty() && !any_made_by(&approved, &self.recorded);
        (distrust == Distrust::Changed && is_told_by_files && none_approved).then(|| HostKeyProblem::NoneApproved {
            host: name_on_record(plan, port).to_string(),
            recorded: self.recorded.join(", "),
            approved: approved.join(", "),
            file: plan.known_files.first().cloned().unwrap_or_default(),
        })
    }
}

/// The name under which `ssh` looks for the host's keys. Without a port it
/// takes the one configured, which is 22 where none is.
fn name_on_record(plan: &Plan, port: Option<u16>) -> HostName {
    let configured = || plan.config.get("port").and_then(|port| port.parse().ok());
    plan.name_at(port.or_else(configured).unwrap_or(known_hosts::DEFAULT_PORT))
}

fn list(option: &str, names: &[&str]) -> String {
    format!("{option}={}", names.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(answer: &str, recorded: &[&str]) -> Vec<String> {
        let config = EffectiveConfig::parse_answer(answer);
        let recorded = recorded.iter().map(|&name| name.to_owned()).collect();
        Hold { lists: Profile::Fips.lists(), config: &config, recorded }.options()
    }

    fn has(options: &[String], option: &str) -> bool {
        options.iter().any(|given| given == option)
    }

    #[test]
    fn key_exchange_by_gssapi_is_switched_off_where_the_word_is_known() {
        for configured in ["gssapikeyexchange yes\n", "gssapikeyexchange no\n"] {
            assert!(has(&options(configured, &[]), "GSSAPIKeyExchange=no"), "{configured}");
        }
        let upstream = options("gssapiauthentication yes\n", &[]);
        assert!(!upstream.iter().any(|option| option.starts_with("GSSAPI")), "{upstream:?}");
    }

    #[test]
    fn short_rsa_keys_are_refused_and_without_a_word_for_that_all() {
        assert!(has(&options("requiredrsasize 1024\n", &[]), "RequiredRSASize=2048"));
        assert!(has(&options("requiredrsasize 3072\n", &[]), "RequiredRSASize=3072"));
        assert!(has(&options("rsaminsize 1024\n", &[]), "RSAMinSize=2048"));
        let old = options("", &["ssh-rsa"]);
        assert!(!old.iter().any(|option| option.to_lowercase().contains("rsa-")), "{old:?}");
        assert!(!old.iter().any(|option| option.contains("RSA")), "{old:?}");
    }

    #[test]
    fn types_on_record_come_first() {
        let first = |recorded: &[&str]| {
            let options = options("requiredrsasize 1024\n", recorded);
            let given =
                options.into_iter().find_map(|option| Some(option.strip_prefix("HostKeyAlgorithms=")?.to_owned()));
            given.unwrap().split(',').next().unwrap().to_owned()
        };
        assert_eq!(first(&[]), "ecdsa-sha2-nistp256");
        assert_eq!(first(&["ssh-ed25519", "ssh-rsa"]), "rsa-sha2-512");
        assert_eq!(first(&["ecdsa-sha2-nistp384"]), "ecdsa-sha2-nistp384");
    }
}
