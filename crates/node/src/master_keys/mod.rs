//! The master keys of a server: had from where the configuration says, kept
//! while the process runs, and put to work on the store of a session.
//!
//! * `read`: what files and programs say.
//! * `shared`: a question that many have and one asks.
//! * [`transit`]: key servers.

mod read;
mod shared;
pub mod transit;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use limosa_policy::Settings;
use limosa_seal::AlgorithmSet;
use limosa_seal::envelope::{EnvelopeError, MasterKey, MasterKeyId};
use limosa_seal::module::Module;
use limosa_storage::{MasterKeySource, MasterKeys, SealedStore, Store};

use crate::config::{Configuration, KeyName, KeySource};
use read::{PATIENCE, plain_name, read_at_most, read_command, read_file};
use shared::Shared;
use transit::{TransitError, TransitKey};

/// For how long a source that had no key is taken to have none: nobody waits
/// for it anew for each of a thousand files.
const FAILURE_LASTS: Duration = Duration::from_secs(5);

/// Why a key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The configuration has no such key.
    #[error("no master key `{0}` is configured")]
    Unknown(MasterKeyId),
    /// The source cannot be read.
    #[error("{0}")]
    Unreadable(#[from] io::Error),
    /// Others than the owner may read the file.
    #[error("others may read it (mode {0:04o}); run `chmod 600` on it")]
    Open(u32),
    /// Others than the owner may write the file.
    #[error("others may write it (mode {0:04o}), and so choose the key; run `chmod go-w` on it")]
    Writable(u32),
    /// The file is somebody else's.
    #[error("it belongs to user {owner}, who may choose the key so; have it belong to root or to user {me}")]
    Foreign {
        /// Whose it is.
        owner: u32,
        /// Who reads it.
        me: u32,
    },
    /// A variable is not set.
    #[error("it is not set")]
    NotSet,
    /// The surroundings of this process are somebody else's.
    #[error("keys of a session under OpenSSH come from files, commands or key servers alone")]
    NotTrusted,
    /// The program did not come to an end.
    #[error("it printed no key within {} seconds", PATIENCE.as_secs())]
    Slow,
    /// The program failed.
    #[error("it failed ({0})")]
    Failed(std::process::ExitStatus),
    /// The key server does not unwrap it.
    #[error("{0}")]
    Transit(#[from] TransitError),
    /// What was read is no key.
    #[error("{0}")]
    NotAKey(#[from] EnvelopeError),
}

/// Whose environment this process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// That of whoever administers the server.
    Administered,
    /// That of a login, who may have set anything.
    Login,
}

/// See the module. Clones share what was read.
#[derive(Clone, Debug)]
pub struct KeySources {
    sources: Arc<BTreeMap<KeyName, Source>>,
    trust: Trust,
    /// What key servers may be asked with.
    set: AlgorithmSet,
    failure_lasts: Duration,
}

/// Where a key comes from, and what came of asking there.
#[derive(Debug)]
struct Source {
    place: KeySource,
    key: Shared<MasterKey, KeyError>,
}

impl KeySources {
    /// The keys that `config` names; none is read yet.
    #[must_use]
    pub fn of(config: &Configuration, trust: Trust) -> Self {
        // Where another module is asked for no session comes to be.
        let set = config.algorithms(Module::running()).unwrap_or(AlgorithmSet::Approved);
        Self::new(config.master_keys(), trust, set)
    }

    /// The same for a session of its own, with `settings`: what the node has to
    /// keep to is kept to as well.
    #[must_use]
    pub fn of_session(config: &Configuration, settings: &Settings, trust: Trust) -> Self {
        let node = Self::of(config, trust);
        match settings.fips.value.algorithms(Module::running()) {
            Ok(AlgorithmSet::Ordinary) => node,
            Ok(AlgorithmSet::Approved) | Err(_) => Self { set: AlgorithmSet::Approved, ..node },
        }
    }

    /// The keys that `places` name; none is read yet. Key servers are asked
    /// with what `set` holds.
    #[must_use]
    pub fn new(places: BTreeMap<KeyName, KeySource>, trust: Trust, set: AlgorithmSet) -> Self {
        let sources = places.into_iter().map(|(name, place)| (name, Source { place, key: Shared::default() }));
        Self { sources: Arc::new(sources.collect()), trust, set, failure_lasts: FAILURE_LASTS }
    }

    /// Every key and whether it can be had. Blocks.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&KeyName, &KeySource, Result<MasterKey, Arc<KeyError>>)> {
        self.sources.iter().map(|(name, source)| (name, &source.place, self.get(name, source)))
    }

    /// The key of this name. Who asks for a key that others wait for waits with
    /// them; nobody waits for another key. Blocks.
    ///
    /// # Errors
    /// If it is not configured, or cannot be had now or could not just before.
    pub fn key(&self, id: &MasterKeyId) -> Result<MasterKey, Arc<KeyError>> {
        let (name, source) = self.find(id).ok_or_else(|| KeyError::Unknown(id.clone()))?;
        self.get(name, source)
    }

    fn find(&self, id: &MasterKeyId) -> Option<(&KeyName, &Source)> {
        self.sources.get_key_value(&KeyName::from(id))
    }

    fn get(&self, name: &KeyName, source: &Source) -> Result<MasterKey, Arc<KeyError>> {
        source.key.get(self.failure_lasts, || self.ask(name, source))
    }

    fn ask(&self, name: &KeyName, source: &Source) -> Result<MasterKey, KeyError> {
        let text = match &source.place {
            KeySource::File(path) => read_file(path),
            KeySource::Command(words) => read_command(words),
            KeySource::Transit(path) => return Ok(TransitKey::read(path)?.unwrap(name.id(), self.set)?),
            KeySource::Environment(_) | KeySource::Credential(_) if self.trust == Trust::Login => {
                Err(KeyError::NotTrusted)
            }
            KeySource::Environment(name) => {
                let value = std::env::var(name).map_err(|_| KeyError::NotSet)?;
                Ok(value.into())
            }
            KeySource::Credential(name) => {
                let directory = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or(KeyError::NotSet)?;
                // systemd lets nobody else into this directory.
                read_at_most(std::fs::File::open(Path::new(&directory).join(plain_name(name)?))?)
            }
        };
        Ok(MasterKey::parse(name.id(), text?.expose())?)
    }

    /// Every key to open files with, each asked for when a file needs it.
    #[must_use]
    pub fn opening(&self, set: AlgorithmSet) -> MasterKeys {
        MasterKeys::opening(set, Vec::new()).or_from(Arc::new(self.clone()))
    }

    /// `store` as a session is to see it: new files are sealed by `sealing`, if
    /// any; those that are sealed are opened by every key that can be had when
    /// they are. Blocks.
    ///
    /// # Errors
    /// If the key that seals cannot be had. That others cannot is logged when
    /// somebody asks for a file of theirs, who is told.
    pub fn seal(
        &self,
        store: Arc<dyn Store>,
        set: AlgorithmSet,
        sealing: Option<&MasterKeyId>,
    ) -> Result<Arc<dyn Store>, Arc<KeyError>> {
        if self.sources.is_empty() && sealing.is_none() {
            return Ok(store);
        }
        let sealing = sealing.map(|id| self.key(id)).transpose()?;
        let keys = match sealing {
            Some(key) => self.opening(set).sealing_for(key),
            None => self.opening(set),
        };
        Ok(Arc::new(SealedStore::new(store, keys)))
    }
}

impl MasterKeySource for KeySources {
    fn master_key(&self, id: &MasterKeyId) -> Option<MasterKey> {
        let (name, source) = self.find(id)?;
        // Logged by who asks, not for each file; those who want one are told.
        let say = |error: &KeyError| {
            tracing::warn!(key = %name, source = %source.place, %error, "a master key cannot be had");
        };
        source.key.get(self.failure_lasts, || self.ask(name, source).inspect_err(say)).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::mpsc;

    use super::*;
    use crate::config::Sources;

    /// What takes longer is not going to happen.
    const DEADLINE: Duration = Duration::from_secs(30);
    const DIGITS: &str = "0707070707070707070707070707070707070707070707070707070707070707";

    fn sources(text: &str) -> KeySources {
        KeySources::new(toml::from_str(text).unwrap(), Trust::Administered, AlgorithmSet::Ordinary)
    }

    fn id(name: &str) -> MasterKeyId {
        name.parse().unwrap()
    }

    fn main(sources: &KeySources) -> Result<MasterKey, Arc<KeyError>> {
        sources.key(&id("main"))
    }

    fn refusal(sources: &KeySources) -> Arc<KeyError> {
        main(sources).unwrap_err()
    }

    /// A program that prints a key once somebody writes to the pipe that it
    /// makes, and says in a file that it was started.
    fn held_up_until(go: &Path, started: &Path) -> String {
        let script = format!("mkfifo {go:?}; echo x >> {started:?}; read line < {go:?}; echo {DIGITS}");
        format!("[\"sh\", \"-c\", {script:?}]")
    }

    fn wait_for(path: &Path) {
        let start = std::time::Instant::now();
        while !path.exists() {
            assert!(start.elapsed() < DEADLINE, "{} is not there in time", path.display());
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_and_one_that_was_read_is_remembered() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::fs::write(&path, format!("{DIGITS}\n")).unwrap();
        let keys = KeySources { failure_lasts: Duration::ZERO, ..sources(&format!("main.file = {path:?}")) };
        for mode in [0o640, 0o604, 0o660] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            assert!(matches!(*refusal(&keys), KeyError::Open(found) if found == mode));
        }
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        assert_eq!(main(&keys).unwrap().id().as_str(), "main");
        drop(directory);
        assert!(main(&keys).is_ok());
        assert!(matches!(*refusal(&sources(&format!("main.file = {path:?}"))), KeyError::Unreadable(_)));
        assert!(matches!(*refusal(&sources("other.file = \"/k\"")), KeyError::Unknown(_)));
    }

    #[test]
    fn a_program_prints_a_key_or_fails() {
        let command = |script: &str| main(&sources(&format!("main.command = [\"sh\", \"-c\", {script:?}]")));
        assert!(command(&format!("echo {DIGITS}")).is_ok());
        assert!(
            matches!(*command(&format!("echo {DIGITS}; exit 3")).unwrap_err(), KeyError::Failed(status) if status.code() == Some(3))
        );
        assert!(matches!(*command("head -c 9000 /dev/zero").unwrap_err(), KeyError::NotAKey(_) | KeyError::Failed(_)));
        assert!(matches!(*command("true").unwrap_err(), KeyError::NotAKey(_)));
        assert!(main(&sources("main.command = []")).is_err());
        assert!(main(&sources("main.command = [\"/nonexistent/program\"]")).is_err());
    }

    #[test]
    fn who_needs_another_key_does_not_wait_for_one_that_is_slow_to_come() {
        let directory = tempfile::tempdir().unwrap();
        let (go, started) = (directory.path().join("go"), directory.path().join("started"));
        let slow = held_up_until(&go, &started);
        let keys = sources(&format!("slow.command = {slow}\nmain.command = [\"echo\", \"{DIGITS}\"]"));
        let ask = |name: &'static str| {
            let (keys, (tell, told)) = (keys.clone(), mpsc::channel());
            std::thread::spawn(move || tell.send(keys.key(&id(name)).map(drop).map_err(|error| error.to_string())));
            told
        };
        let slow = [ask("slow"), ask("slow")];
        wait_for(&started);
        assert_eq!(ask("main").recv_timeout(DEADLINE), Ok(Ok(())));
        let store: Arc<dyn Store> = Arc::new(limosa_storage::MemoryStore::new());
        let sealed = keys.seal(store, AlgorithmSet::Ordinary, Some(&id("main"))).unwrap();
        let path = limosa_storage::StorePath::parse(b"f").unwrap();
        drop(sealed.create(&path).unwrap());
        assert!(sealed.open(&path, limosa_storage::FollowLinks::No).is_ok());
        assert!(slow.iter().all(|told| told.try_recv().is_err()), "the slow one is still asked");
        std::fs::write(&go, "").unwrap();
        for told in slow {
            assert_eq!(told.recv_timeout(DEADLINE), Ok(Ok(())));
        }
        assert_eq!(std::fs::read_to_string(&started).unwrap(), "x\n", "who waits does not ask");
    }

    #[test]
    fn a_source_without_a_key_is_not_asked_for_every_file() {
        let directory = tempfile::tempdir().unwrap();
        let asked = directory.path().join("asked");
        let script = format!("echo x >> {asked:?}; exit 1");
        let keys = KeySources {
            failure_lasts: Duration::MAX,
            ..sources(&format!("old.command = [\"sh\", \"-c\", {script:?}]"))
        };
        for _ in 0..3 {
            assert!(keys.clone().master_key(&id("old")).is_none());
            assert!(matches!(*keys.key(&id("old")).unwrap_err(), KeyError::Failed(_)));
        }
        assert_eq!(std::fs::read_to_string(&asked).unwrap(), "x\n");
        let later = KeySources { failure_lasts: Duration::ZERO, ..keys };
        assert!(later.key(&id("old")).is_err());
        assert_eq!(std::fs::read_to_string(&asked).unwrap(), "x\nx\n");
    }

    #[test]
    fn key_servers_are_asked_in_fips_mode_by_whom_it_binds() {
        let directory = tempfile::tempdir().unwrap();
        let asks = |node: &str, login: &str| {
            let text = format!(
                "[defaults]\nfips = \"{node}\"\n[users.ada]\nfips = \"on\"\n[users.tom]\nfips = \"off\"\n\
                 [groups.audited]\nmembers = [\"eve\"]\n[groups.audited.settings]\nfips = \"on\"\n"
            );
            let file = directory.path().join("limosad.toml");
            std::fs::write(&file, text).unwrap();
            let config = Configuration::load(Sources { file: Some(file), ..Sources::default() }).unwrap();
            let settings = config.settings_of_login(&login.parse().unwrap());
            KeySources::of_session(&config, &settings, Trust::Login).set
        };
        for (node, login) in [("off", "ada"), ("off", "eve"), ("on", "tom"), ("on", "kim"), ("required", "tom")] {
            assert_eq!(asks(node, login), AlgorithmSet::Approved, "{node} {login}");
        }
        assert_eq!((asks("off", "tom"), asks("off", "kim")), (AlgorithmSet::Ordinary, AlgorithmSet::Ordinary));
    }

    #[test]
    fn a_login_cannot_bring_keys_of_its_own() {
        let sources = sources("main.environment = \"PATH\"\nother.credential = \"../key\"");
        assert!(matches!(*refusal(&sources), KeyError::NotAKey(_)), "the path is no key");
        assert!(plain_name("../key").is_err() && plain_name("key").is_ok());
        let foreign = KeySources { trust: Trust::Login, failure_lasts: Duration::ZERO, ..sources };
        assert!(matches!(*refusal(&foreign), KeyError::NotTrusted));
    }
}
