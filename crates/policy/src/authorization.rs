//! The decision on one request, as a value that only this module makes.

use std::path::{Path, PathBuf};

use limosa_seal::envelope::MasterKeyId;

use crate::fips::FipsMode;
use crate::settings::{
    CipherFloor, CipherModes, ContentPassphrase, ContentProtection, DurabilityFloor, PolicyCeiling, Settings,
};
use crate::user::{Identity, Method};

/// What a request asks for, in the terms of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// To write below the docroot (else to read).
    pub write: bool,
    /// How assertive its rate policy is.
    pub policy: PolicyCeiling,
    /// Whether the client uses approved algorithms alone.
    pub approved_only: bool,
    /// Sessions of this user that run already.
    pub running: u32,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No docroot is set for the user.
    #[error("no directory is set for this user")]
    NoDocroot,
    /// Reading is not permitted.
    #[error("this user may not download")]
    Read,
    /// Writing is not permitted.
    #[error("this user may not upload")]
    Write,
    /// The policy asked for is not permitted.
    #[error("rate policy `{asked}` is not permitted, `{most}` is at most")]
    Policy {
        /// What was asked for.
        asked: PolicyCeiling,
        /// What may be asked for.
        most: PolicyCeiling,
    },
    /// The client may use algorithms that are not approved.
    #[error("only clients that use approved algorithms alone are served")]
    NotApproved,
    /// Only what is approved may be used, and the SSH that they came by is not.
    #[error("only sessions through OpenSSH are served in FIPS mode")]
    NotApprovedSsh,
    /// The user has as many sessions as permitted.
    #[error("this user has {0} sessions already")]
    Sessions(u32),
}

/// A permitted request: who, where, and within what bounds. A session is
/// opened only with one of these, and takes its root from it and nowhere else.
#[derive(Clone, Debug)]
pub struct Authorization {
    identity: Identity,
    docroot: PathBuf,
    write: bool,
    rate_cap: u64,
    policy_ceiling: PolicyCeiling,
    cipher_floor: CipherFloor,
    cipher_modes: CipherModes,
    cipher_strict: bool,
    fips: FipsMode,
    durability_floor: DurabilityFloor,
    content: (ContentProtection, ContentPassphrase),
    session_timeout: u32,
    seal_at_rest: Option<MasterKeyId>,
}

impl Authorization {
    /// Decides on `wish` of `identity` under `settings`.
    ///
    /// # Errors
    /// [`Denied`], with the reason to tell.
    pub fn decide(identity: Identity, settings: &Settings, wish: Wish) -> Result<Self, Denied> {
        if settings.docroot.value.as_os_str().is_empty() {
            return Err(Denied::NoDocroot);
        }
        if wish.write && !settings.write.value {
            return Err(Denied::Write);
        }
        if !wish.write && !settings.read.value {
            return Err(Denied::Read);
        }
        let most = settings.policy_ceiling.value;
        if wish.policy > most {
            return Err(Denied::Policy { asked: wish.policy, most });
        }
        if settings.fips.value == FipsMode::Required && !wish.approved_only {
            return Err(Denied::NotApproved);
        }
        // Whoever the operating system vouches for came through its own SSH.
        if settings.fips.value != FipsMode::Off && identity.method() != Method::System {
            return Err(Denied::NotApprovedSsh);
        }
        if wish.running >= settings.max_sessions.value {
            return Err(Denied::Sessions(wish.running));
        }
        Ok(Self {
            identity,
            docroot: settings.docroot.value.clone(),
            write: wish.write,
            rate_cap: settings.rate_cap.value.0,
            policy_ceiling: most,
            cipher_floor: settings.cipher_floor.value,
            cipher_modes: settings.cipher_modes.value,
            cipher_strict: settings.cipher_strict.value,
            fips: settings.fips.value,
            durability_floor: settings.durability_floor.value,
            content: (settings.content_protection.value, settings.content_protection_passphrase.value),
            session_timeout: settings.session_timeout.value,
            seal_at_rest: settings.seal_at_rest.value.0.clone(),
        })
    }

    /// Who is permitted.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The directory that no path of the session leaves.
    #[must_use]
    pub fn docroot(&self) -> &Path {
        &self.docroot
    }

    /// Whether writing is permitted (else reading).
    #[must_use]
    pub fn may_write(&self) -> bool {
        self.write
    }

    /// The master key that seals new files, if any does.
    #[must_use]
    pub fn seal_at_rest(&self) -> Option<&MasterKeyId> {
        self.seal_at_rest.as_ref()
    }

    /// Highest rate, bits per second.
    #[must_use]
    pub fn rate_cap(&self) -> u64 {
        self.rate_cap
    }

    /// Most assertive rate policy.
    #[must_use]
    pub fn policy_ceiling(&self) -> PolicyCeiling {
        self.policy_ceiling
    }

    /// Weakest cipher accepted.
    #[must_use]
    pub fn cipher_floor(&self) -> CipherFloor {
        self.cipher_floor
    }

    /// Ways to protect datagrams that are accepted.
    #[must_use]
    pub fn cipher_modes(&self) -> CipherModes {
        self.cipher_modes
    }

    /// Whether the client's first choice of a way binds.
    #[must_use]
    pub fn cipher_strict(&self) -> bool {
        self.cipher_strict
    }

    /// How far approved cryptography is insisted on.
    #[must_use]
    pub fn fips(&self) -> FipsMode {
        self.fips
    }

    /// Weakest durability given.
    #[must_use]
    pub fn durability_floor(&self) -> DurabilityFloor {
        self.durability_floor
    }

    /// Whether uploads must be encrypted by the client.
    #[must_use]
    pub fn content_protection(&self) -> ContentProtection {
        self.content.0
    }

    /// For which passphrases, if they must.
    #[must_use]
    pub fn content_passphrase(&self) -> ContentPassphrase {
        self.content.1
    }

    /// How long the session outlives silence, seconds.
    #[must_use]
    pub fn session_timeout(&self) -> u32 {
        self.session_timeout
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::user::by_key;
    use crate::{PublicKey, SettingsLayer, UserRecord};

    fn settings(text: &str) -> Settings {
        let node: SettingsLayer = toml::from_str(text).unwrap();
        Settings::resolve(&SettingsLayer::default(), &node)
    }

    fn decide(text: &str, wish: Wish) -> Result<Authorization, Denied> {
        let identity = Identity::of_system_login("ada".parse().unwrap());
        Authorization::decide(identity, &settings(text), wish)
    }

    const READ: Wish = Wish { write: false, policy: PolicyCeiling::Fair, approved_only: false, running: 0 };
    const WRITE: Wish = Wish { write: true, ..READ };

    #[test]
    fn nothing_is_permitted_without_a_docroot() {
        assert_eq!(decide("", READ).unwrap_err(), Denied::NoDocroot);
    }

    #[test]
    fn reading_and_writing_are_permitted_one_by_one() {
        let only_read = "docroot = \"/srv\"\nwrite = false";
        assert!(decide(only_read, READ).is_ok());
        assert_eq!(decide(only_read, WRITE).unwrap_err(), Denied::Write);
        assert_eq!(decide("docroot = \"/srv\"\nread = false", READ).unwrap_err(), Denied::Read);
    }

    #[test]
    fn no_policy_above_the_ceiling_is_permitted_and_sessions_are_counted() {
        let wish = |policy| Wish { policy, ..READ };
        let denied = |asked, most| Some(Denied::Policy { asked, most });
        let (fair, high, fixed) = (PolicyCeiling::Fair, PolicyCeiling::High, PolicyCeiling::Fixed);
        assert!(decide("docroot = \"/srv\"", wish(high)).is_ok());
        assert_eq!(decide("docroot = \"/srv\"", wish(fixed)).err(), denied(fixed, high));
        assert!(decide("docroot = \"/srv\"\npolicy-ceiling = \"fixed\"", wish(fixed)).is_ok());
        assert_eq!(decide("docroot = \"/srv\"\npolicy-ceiling = \"fair\"", wish(high)).err(), denied(high, fair));
        let many = Wish { running: 2, ..READ };
        assert_eq!(decide("docroot = \"/srv\"\nmax-sessions = 2", many).unwrap_err(), Denied::Sessions(2));
    }

    #[test]
    fn in_fips_mode_only_sessions_through_openssh_are_permitted() {
        let key = PublicKey { kind: "ssh-ed25519".into(), blob: vec![1] };
        let record = UserRecord {
            name: "ada".parse().unwrap(),
            keys: vec![key.clone()],
            password: None,
            locked: false,
            settings: SettingsLayer::default(),
        };
        for (mode, permitted) in [("off", true), ("on", false), ("required", false)] {
            let settings = settings(&format!("docroot = \"/srv\"\nfips = \"{mode}\""));
            let wish = Wish { approved_only: true, ..READ };
            let decided = Authorization::decide(by_key(&record, &key).unwrap(), &settings, wish);
            assert_eq!(decided.err(), (!permitted).then_some(Denied::NotApprovedSsh), "{mode}");
            let login = Identity::of_system_login("ada".parse().unwrap());
            assert!(Authorization::decide(login, &settings, wish).is_ok(), "{mode}");
        }
    }

    #[test]
    fn the_bounds_travel_with_the_permission() {
        let authorization =
            decide("docroot = \"/srv\"\nrate-cap = \"10m\"\ncipher-floor = \"aes-256\"", WRITE).unwrap();
        assert_eq!(authorization.rate_cap(), 10_000_000);
        assert_eq!(authorization.cipher_floor(), CipherFloor::Aes256);
        assert_eq!(authorization.docroot(), Path::new("/srv"));
    }
}
