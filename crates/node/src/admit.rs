//! From a request and who made it to the terms of a session, or a numbered
//! refusal.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use limosa_policy::{Authorization, CipherFloor, Denied, DurabilityFloor, Identity, PolicyCeiling, Settings, Wish};
use limosa_seal::AlgorithmSet;
use limosa_session::Terms;
use limosa_storage::{Confinement, ErrorKind, LocalStore, StorePath};
use limosa_wire::setup::{Direction, Durability, RatePolicy, Refusal, Request, Suite, SuiteMode};
use limosa_wire::{Code, Rate};

/// What a machine adds to every permission.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    /// Which algorithms may be used.
    pub(crate) algorithms: AlgorithmSet,
    /// Umask of the process, read once at its start.
    pub(crate) umask: u32,
    /// Address that clients send datagrams to, where it is not the one that
    /// SSH reached.
    pub(crate) public_address: Option<IpAddr>,
}

/// Decides on `request` of `identity`, of whom `running` sessions run already.
pub(crate) fn authorize(
    request: &Request,
    identity: Identity,
    settings: &Settings,
    running: u32,
) -> Result<Authorization, Refusal> {
    let write = request.direction == Direction::Upload;
    let wish = Wish { write, policy: assertiveness(request.policy), running };
    Authorization::decide(identity, settings, wish).map_err(refusal)
}

fn refusal(denied: Denied) -> Refusal {
    let code = match denied {
        Denied::NoDocroot => Code::NO_DOCROOT,
        Denied::Read => Code::READ_NOT_ALLOWED,
        Denied::Write => Code::WRITE_NOT_ALLOWED,
        Denied::Policy { .. } => Code::POLICY_NOT_ALLOWED,
        Denied::Sessions(_) => Code::TOO_MANY_SESSIONS,
    };
    Refusal { code, detail: denied.to_string() }
}

/// The terms of a permitted session: its files, confined, and its bounds.
pub(crate) async fn terms(
    permitted: &Authorization,
    surroundings: &Surroundings,
    reached: Option<IpAddr>,
) -> Result<Terms, Refusal> {
    let store = open_docroot(permitted.docroot().to_owned()).await?;
    Ok(Terms {
        store: Arc::new(store),
        home: StorePath::root(),
        algorithms: surroundings.algorithms,
        suites: suites_from(permitted.cipher_floor()),
        rate_cap: Rate::from_bits_per_second(permitted.rate_cap()),
        policies: policies_up_to(permitted.policy_ceiling()),
        durability_floor: durability(permitted.durability_floor()),
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

async fn open_docroot(path: PathBuf) -> Result<LocalStore, Refusal> {
    let shown = path.clone();
    let opened = tokio::task::spawn_blocking(move || LocalStore::open(&path, Confinement::Inside)).await;
    let opened = opened.map_err(|error| Refusal { code: Code::INTERNAL, detail: error.to_string() })?;
    opened.map_err(|error| {
        // The path stays here: the client is told what is wrong, not where.
        tracing::error!(docroot = %shown.display(), %error, "a docroot cannot be opened");
        let detail = match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => "the directory set for this user does not exist",
            _ => "the directory set for this user cannot be opened",
        };
        Refusal { code: Code::NO_DOCROOT, detail: detail.to_owned() }
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

fn suites_from(floor: CipherFloor) -> Vec<Suite> {
    let shortest = match floor {
        CipherFloor::Aes128 => 128,
        CipherFloor::Aes192 => 192,
        CipherFloor::Aes256 => 256,
    };
    let allowed = |suite: &Suite| suite.mode() == SuiteMode::Gcm && suite.key_bits() >= shortest;
    Suite::ALL.iter().copied().filter(allowed).collect()
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

    #[test]
    fn a_docroot_can_name_user_and_home() {
        let expanded = |text: &str| expand_docroot(Path::new(text), "ada", Some(Path::new("/home/ada")));
        assert_eq!(expanded("/srv/%u/in"), Path::new("/srv/ada/in"));
        assert_eq!(expanded("%h/drop"), Path::new("/home/ada/drop"));
        assert_eq!(expanded("/srv/100%%/%x%"), Path::new("/srv/100%/%x%"));
    }

    #[test]
    fn the_floor_leaves_the_stronger_suites() {
        assert_eq!(suites_from(CipherFloor::Aes128).len(), 3);
        assert_eq!(suites_from(CipherFloor::Aes256), [Suite::Aes256Gcm]);
    }

    #[tokio::test]
    async fn terms_follow_the_settings_and_a_missing_docroot_has_its_own_code() {
        let directory = tempfile::tempdir().unwrap();
        let text = format!("docroot = {:?}\nrate-cap = \"5m\"\ndurability-floor = \"strict\"", directory.path());
        let layer: SettingsLayer = toml::from_str(&text).unwrap();
        let settings = Settings::resolve(&layer, &SettingsLayer::default());
        let identity = Identity::of_system_login("ada".parse().unwrap());
        let wish = Wish { write: true, policy: PolicyCeiling::Fair, running: 0 };
        let permitted = Authorization::decide(identity, &settings, wish).unwrap();
        let surroundings = Surroundings { algorithms: AlgorithmSet::Ordinary, umask: 0o022, public_address: None };
        let granted = terms(&permitted, &surroundings, None).await.unwrap();
        assert_eq!(granted.rate_cap, Rate::from_bits_per_second(5_000_000));
        assert_eq!(granted.durability_floor, Durability::Strict);
        drop(directory);
        let refused = terms(&permitted, &surroundings, None).await.unwrap_err();
        assert_eq!(refused.code, Code::NO_DOCROOT);
        assert!(!refused.detail.contains('/'), "{}", refused.detail);
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
