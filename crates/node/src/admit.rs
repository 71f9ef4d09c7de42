//! From a request and who made it to the terms of a session, or a numbered
//! refusal.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use limosa_policy::{
    Authorization, CipherFloor, CipherModes, ContentPassphrase, ContentProtection, Denied, DurabilityFloor, Identity,
    NotValidated, PolicyCeiling, Settings, Wish,
};
use limosa_seal::AlgorithmSet;
use limosa_seal::envelope::MasterKeyId;
use limosa_seal::module::Module;
use limosa_seal::negotiation::{ModeChange, SuitePolicy};
use limosa_session::Terms;
use limosa_storage::{Confinement, ErrorKind, LocalStore, Store, StorePath};
use limosa_wire::setup::{self, Direction, Durability, RatePolicy, Refusal, Request, Suite, SuiteMode};
use limosa_wire::{Code, Rate};

use crate::master_keys::KeySources;

/// Why somebody is denied a session.
#[derive(Debug)]
pub(crate) struct Denial {
    /// What the client is told.
    pub(crate) refusal: Refusal,
    /// What is written down, where that is more.
    pub(crate) reason: Option<String>,
}

impl From<Refusal> for Denial {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, reason: None }
    }
}

impl Denial {
    /// The client is told `detail`; the administrator, what happened.
    fn because(code: Code, detail: &str, reason: String) -> Self {
        Self { refusal: Refusal { code, detail: detail.to_owned() }, reason: Some(reason) }
    }

    /// What is written down.
    pub(crate) fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or(&self.refusal.detail)
    }
}

/// What a machine adds to every permission.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    /// Umask of the process, read once at its start.
    pub(crate) umask: u32,
    /// Address that clients send datagrams to, where it is not the one that
    /// SSH reached.
    pub(crate) public_address: Option<IpAddr>,
    /// The keys of files at rest.
    pub(crate) master_keys: KeySources,
}

/// Decides on `request` of `identity`, of whom `running` sessions run already.
pub(crate) fn authorize(
    request: &Request,
    identity: Identity,
    settings: &Settings,
    running: u32,
) -> Result<Authorization, Refusal> {
    let write = request.direction == Direction::Upload;
    let wish =
        Wish { write, policy: assertiveness(request.policy), approved_only: offers_approved_only(request), running };
    Authorization::decide(identity, settings, wish).map_err(refusal)
}

/// Whether nothing that the client offers is outside the approved algorithms.
fn offers_approved_only(request: &Request) -> bool {
    let set = AlgorithmSet::Approved;
    request.suites.iter().all(|suite| set.suites().contains(suite))
        && request.digests.iter().all(|digest| set.digests().contains(digest))
}

fn refusal(denied: Denied) -> Refusal {
    let code = match denied {
        Denied::NoDocroot => Code::NO_DOCROOT,
        Denied::Read => Code::READ_NOT_ALLOWED,
        Denied::Write => Code::WRITE_NOT_ALLOWED,
        Denied::Policy { .. } => Code::POLICY_NOT_ALLOWED,
        Denied::NotApproved => Code::PEER_NOT_APPROVED,
        Denied::NotApprovedSsh => Code::SSH_NOT_APPROVED,
        Denied::Sessions(_) => Code::TOO_MANY_SESSIONS,
    };
    Refusal { code, detail: denied.to_string() }
}

fn not_validated(error: NotValidated) -> Denial {
    tracing::error!(%error, "a session is refused");
    Denial::because(Code::MODULE_NOT_VALIDATED, "on the server", error.to_string())
}

fn broken(error: &tokio::task::JoinError) -> Denial {
    Refusal { code: Code::INTERNAL, detail: error.to_string() }.into()
}

/// The terms of a permitted session: its files, confined, and its bounds.
pub(crate) async fn terms(
    permitted: &Authorization,
    surroundings: &Surroundings,
    reached: Option<IpAddr>,
) -> Result<Terms, Denial> {
    let algorithms = permitted.fips().algorithms(Module::running()).map_err(not_validated)?;
    let store = open_docroot(permitted.docroot().to_owned()).await?;
    let store =
        seal_at_rest(store, surroundings.master_keys.clone(), algorithms, permitted.seal_at_rest().cloned()).await?;
    Ok(Terms {
        store,
        home: StorePath::root(),
        algorithms,
        suites: suite_policy(permitted),
        rate_cap: Rate::from_bits_per_second(permitted.rate_cap()),
        policies: policies_up_to(permitted.policy_ceiling()),
        durability_floor: durability(permitted.durability_floor()),
        content: content(permitted),
        timeout: Duration::from_secs(permitted.session_timeout().into()),
        user: permitted.identity().user().as_str().as_bytes().to_vec(),
        reached,
        public_address: surroundings.public_address,
        umask: surroundings.umask,
    })
}

fn assertiveness(policy: RatePolicy) -> PolicyCeiling {
    match policy {
        RatePolicy::Low => PolicyCeiling::Low,
        RatePolicy::Fair => PolicyCeiling::Fair,
        RatePolicy::High => PolicyCeiling::High,
        RatePolicy::Fixed => PolicyCeiling::Fixed,
    }
}

fn policies_up_to(most: PolicyCeiling) -> Vec<RatePolicy> {
    RatePolicy::ALL.iter().copied().filter(|&policy| assertiveness(policy) <= most).collect()
}

async fn open_docroot(path: PathBuf) -> Result<LocalStore, Denial> {
    let shown = path.clone();
    let opened = tokio::task::spawn_blocking(move || LocalStore::open(&path, Confinement::Inside)).await;
    opened.map_err(|error| broken(&error))?.map_err(|error| {
        // The path stays here: the client is told what is wrong, not where.
        tracing::error!(docroot = %shown.display(), %error, "a docroot cannot be opened");
        let detail = match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => "the directory set for this user does not exist",
            _ => "the directory set for this user cannot be opened",
        };
        Denial::because(Code::NO_DOCROOT, detail, format!("{}: {error}", shown.display()))
    })
}

/// The store as the session sees it, where files are sealed at rest.
async fn seal_at_rest(
    store: LocalStore,
    keys: KeySources,
    set: AlgorithmSet,
    key: Option<MasterKeyId>,
) -> Result<Arc<dyn Store>, Denial> {
    let named = key.clone();
    let sealed = tokio::task::spawn_blocking(move || keys.seal(Arc::new(store), set, named.as_ref())).await;
    sealed.map_err(|error| broken(&error))?.map_err(|error| {
        // Where keys come from is not for the client to know.
        let key = key.as_ref().map_or("", MasterKeyId::as_str);
        tracing::error!(key, %error, "the master key that is to seal files cannot be had");
        Denial::because(Code::AT_REST_KEY, "", format!("master key {key}: {error}"))
    })
}

/// `docroot` with `%u` replaced by the user's name, `%h` by the home directory
/// (of logins of this machine), `%%` by a percent sign.
#[must_use]
pub fn expand_docroot(docroot: &Path, user: &str, home: Option<&Path>) -> PathBuf {
    let Some(text) = docroot.to_str() else { return docroot.to_owned() };
    let home = home.and_then(Path::to_str).unwrap_or_default();
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match (c, characters.as_str().chars().next()) {
            ('%', Some(token @ ('u' | 'h' | '%'))) => {
                characters.next();
                out.push_str(match token {
                    'u' => user,
                    'h' => home,
                    _ => "%",
                });
            }
            _ => out.push(c),
        }
    }
    out.into()
}

/// The suites that the settings permit. The floor is one for keys: it says
/// nothing of sessions that have none, which are permitted by mode alone.
fn suite_policy(permitted: &Authorization) -> SuitePolicy {
    let modes = modes(permitted.cipher_modes());
    let shortest = match permitted.cipher_floor() {
        CipherFloor::Aes128 => 128,
        CipherFloor::Aes192 => 192,
        CipherFloor::Aes256 => 256,
    };
    let long_enough = |suite: &Suite| suite.mode() == SuiteMode::Unencrypted || suite.key_bits() >= shortest;
    let allowed = |suite: &Suite| modes.contains(&suite.mode()) && long_enough(suite);
    SuitePolicy {
        suites: Suite::ALL.iter().copied().filter(allowed).collect(),
        change: if permitted.cipher_strict() { ModeChange::Strict } else { ModeChange::Offered },
    }
}

const fn modes(modes: CipherModes) -> &'static [SuiteMode] {
    match modes {
        CipherModes::Aes => &[SuiteMode::Gcm, SuiteMode::Cfb],
        CipherModes::Gcm => &[SuiteMode::Gcm],
        CipherModes::Cfb => &[SuiteMode::Cfb],
        CipherModes::Any => &[SuiteMode::Gcm, SuiteMode::Cfb, SuiteMode::Unencrypted],
        CipherModes::None => &[SuiteMode::Unencrypted],
    }
}

/// The weakest protection of content that is accepted.
fn content(permitted: &Authorization) -> setup::ContentProtection {
    match (permitted.content_protection(), permitted.content_passphrase()) {
        (ContentProtection::Optional, _) => setup::ContentProtection::None,
        (ContentProtection::Required, ContentPassphrase::Any) => setup::ContentProtection::Sealed,
        (ContentProtection::Required, ContentPassphrase::Strong) => setup::ContentProtection::SealedStrongly,
    }
}

const fn durability(floor: DurabilityFloor) -> Durability {
    match floor {
        DurabilityFloor::None => Durability::None,
        DurabilityFloor::File => Durability::File,
        DurabilityFloor::Strict => Durability::Strict,
    }
}

#[cfg(test)]
mod tests {
    use limosa_policy::SettingsLayer;

    use super::*;
    use crate::master_keys::Trust;

    #[test]
    fn a_docroot_can_name_user_and_home() {
        let expanded = |text: &str| expand_docroot(Path::new(text), "ada", Some(Path::new("/home/ada")));
        assert_eq!(expanded("/srv/%u/in"), Path::new("/srv/ada/in"));
        assert_eq!(expanded("%h/drop"), Path::new("/home/ada/drop"));
        assert_eq!(expanded("/srv/100%%/%x%"), Path::new("/srv/100%/%x%"));
    }

    fn permitted_by(text: &str) -> Authorization {
        let layer: SettingsLayer = toml::from_str(text).unwrap();
        let settings = Settings::resolve(&layer, &SettingsLayer::default());
        let identity = Identity::of_system_login("ada".parse().unwrap());
        let wish = Wish { write: true, policy: PolicyCeiling::Fair, approved_only: false, running: 0 };
        Authorization::decide(identity, &settings, wish).unwrap()
    }

    #[test]
    fn floor_and_modes_leave_their_suites() {
        let suites = |text: &str| {
            let policy = suite_policy(&permitted_by(&format!("docroot = \"/srv\"\n{text}")));
            let names: Vec<_> = policy.suites.iter().map(|suite| suite.name()).collect();
            (names.join(" "), policy.change)
        };
        let strict = |names: &str| (names.to_owned(), ModeChange::Strict);
        assert_eq!(suites("").0.split(' ').count(), 6);
        assert_eq!(suites("cipher-floor = \"aes-256\""), strict("aes-256-gcm aes-256-cfb"));
        assert_eq!(suites("cipher-modes = \"gcm\""), strict("aes-128-gcm aes-192-gcm aes-256-gcm"));
        assert_eq!(
            suites("cipher-modes = \"any\"\ncipher-floor = \"aes-256\""),
            strict("aes-256-gcm aes-256-cfb none")
        );
        assert_eq!(suites("cipher-modes = \"none\""), strict("none"));
        let lenient = suites("cipher-modes = \"cfb\"\ncipher-floor = \"aes-192\"\ncipher-strict = false");
        assert_eq!(lenient, ("aes-192-cfb aes-256-cfb".to_owned(), ModeChange::Offered));
    }

    #[tokio::test]
    async fn terms_follow_the_settings_and_a_missing_docroot_has_its_own_code() {
        let directory = tempfile::tempdir().unwrap();
        let text = format!("docroot = {:?}\nrate-cap = \"5m\"\ndurability-floor = \"strict\"", directory.path());
        let permitted = permitted_by(&text);
        let surroundings = |keys: &str| Surroundings {
            umask: 0o022,
            public_address: None,
            master_keys: KeySources::new(toml::from_str(keys).unwrap(), Trust::Administered, AlgorithmSet::Ordinary),
        };
        let (surroundings, with_key) = (surroundings(""), surroundings("main.file = \"/nonexistent/key\""));
        let sealing = permitted_by(&format!("{text}\nseal-at-rest = \"main\""));
        for keys in [&surroundings, &with_key] {
            let denied = terms(&sealing, keys, None).await.unwrap_err();
            assert_eq!((denied.refusal.code, denied.refusal.detail.as_str()), (Code::AT_REST_KEY, ""));
            assert!(denied.reason().starts_with("master key main: "), "{denied:?}");
        }
        assert!(terms(&permitted, &with_key, None).await.is_ok(), "a key that only opens may be missing");
        let granted = terms(&permitted, &surroundings, None).await.unwrap();
        assert_eq!(granted.rate_cap, Rate::from_bits_per_second(5_000_000));
        assert_eq!(granted.durability_floor, Durability::Strict);
        drop(directory);
        let denied = terms(&permitted, &surroundings, None).await.unwrap_err();
        assert_eq!(denied.refusal.code, Code::NO_DOCROOT);
        assert!(!denied.refusal.detail.contains('/') && denied.reason().contains('/'), "{denied:?}");
    }

    #[test]
    fn no_policy_above_the_ceiling_may_be_changed_to() {
        for (most, expected) in [
            (PolicyCeiling::Low, RatePolicy::Low),
            (PolicyCeiling::Fair, RatePolicy::Fair),
            (PolicyCeiling::High, RatePolicy::High),
            (PolicyCeiling::Fixed, RatePolicy::Fixed),
        ] {
            let mut permitted = policies_up_to(most);
            permitted.sort_by_key(|&policy| assertiveness(policy));
            assert_eq!(permitted, expected.up_to_this(), "both crates order them alike");
        }
    }
}
