//! The master keys of a server: had from where the configuration says, kept
//! while the process runs, and put to work on the store of a session.

pub mod transit;

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use limosa_seal::envelope::{EnvelopeError, MasterKey, MasterKeyId};
use limosa_seal::module::Module;
use limosa_seal::{AlgorithmSet, SecretBytes};
use limosa_storage::{MasterKeys, SealedStore, Store};

use crate::config::{Configuration, KeyName, KeySource};
use transit::{TransitError, TransitKey};

/// Longest text a key is read from, bytes.
const LIMIT: u64 = 4096;
/// Time a program has to print a key.
const PATIENCE: Duration = Duration::from_secs(10);
/// After how long a source is asked again that had no key.
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// How often a program is asked whether it has ended.
const LOOK: Duration = Duration::from_millis(5);

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
    sources: Arc<BTreeMap<KeyName, KeySource>>,
    trust: Trust,
    /// What key servers may be asked with.
    set: AlgorithmSet,
    had: Arc<Mutex<BTreeMap<KeyName, MasterKey>>>,
    /// When those were asked for in vain that only open.
    missed: Arc<Mutex<BTreeMap<KeyName, Instant>>>,
}

impl KeySources {
    /// The keys that `config` names; none is read yet.
    #[must_use]
    pub fn of(config: &Configuration, trust: Trust) -> Self {
        // Where another module is asked for no session comes to be.
        let set = config.algorithms(Module::running()).unwrap_or(AlgorithmSet::Approved);
        Self::new(config.master_keys(), trust, set)
    }

    /// The keys that `sources` name; none is read yet. Key servers are asked
    /// with what `set` holds.
    #[must_use]
    pub fn new(sources: BTreeMap<KeyName, KeySource>, trust: Trust, set: AlgorithmSet) -> Self {
        Self { sources: Arc::new(sources), trust, set, had: Arc::default(), missed: Arc::default() }
    }

    /// Every key and whether it can be had. Blocks.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&KeyName, &KeySource, Result<MasterKey, KeyError>)> {
        self.sources.iter().map(|(name, source)| (name, source, self.get(name, source)))
    }

    /// The key of this name. Blocks.
    ///
    /// # Errors
    /// If it is not configured, or cannot be had.
    pub fn key(&self, id: &MasterKeyId) -> Result<MasterKey, KeyError> {
        let found = self.sources.get_key_value(&KeyName::from(id));
        let (name, source) = found.ok_or_else(|| KeyError::Unknown(id.clone()))?;
        self.get(name, source)
    }

    fn get(&self, name: &KeyName, source: &KeySource) -> Result<MasterKey, KeyError> {
        // Held while a key is read: nobody starts a second program for it.
        let mut had = self.had.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = had.get(name) {
            return Ok(key.clone());
        }
        let key = MasterKey::parse(name.id(), self.read(source)?.expose())?;
        had.insert(name.clone(), key.clone());
        Ok(key)
    }

    fn read(&self, source: &KeySource) -> Result<SecretBytes, KeyError> {
        match source {
            KeySource::File(path) => read_file(path),
            KeySource::Command(words) => read_command(words),
            KeySource::Transit(path) => Ok(TransitKey::read(path)?.unwrap(self.set)?),
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
        }
    }

    /// The keys that can be had; that others cannot is logged, and for a while
    /// they are not asked for again: a source that does not answer would keep
    /// every session waiting. Blocks.
    #[must_use]
    pub fn available(&self) -> Vec<MasterKey> {
        // Held, so that sessions wait for such a source together.
        let mut missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        missed.retain(|_, since| since.elapsed() < ASK_AGAIN);
        let mut available = Vec::new();
        for (name, source) in &*self.sources {
            if missed.contains_key(name) {
                continue;
            }
            match self.get(name, source) {
                Ok(key) => available.push(key),
                Err(error) => {
                    tracing::warn!(key = %name, %source, %error, "a master key cannot be had");
                    missed.insert(name.clone(), Instant::now());
                }
            }
        }
        available
    }

    /// `store` as a session is to see it: new files are sealed by `sealing`, if
    /// any; those that are sealed are opened by every key that can be had.
    /// Blocks.
    ///
    /// # Errors
    /// If the key that seals cannot be had. That others cannot is logged: who
    /// asks for a file of theirs is told.
    pub fn seal(
        &self,
        store: Arc<dyn Store>,
        set: AlgorithmSet,
        sealing: Option<&MasterKeyId>,
    ) -> Result<Arc<dyn Store>, KeyError> {
        if self.sources.is_empty() && sealing.is_none() {
            return Ok(store);
        }
        let sealing = sealing.map(|id| self.key(id)).transpose()?;
        let keys = MasterKeys::opening(set, self.available());
        let keys = match sealing {
            Some(key) => keys.sealing_for(key),
            None => keys,
        };
        Ok(Arc::new(SealedStore::new(store, keys)))
    }
}

fn read_file(path: &Path) -> Result<SecretBytes, KeyError> {
    // A pipe would be waited for.
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    let metadata = file.metadata()?;
    let mode = metadata.permissions().mode() & 0o777;
    match mode & 0o077 {
        0 => read_at_most(file),
        _ => Err(KeyError::Open(mode)),
    }
}

/// A name without a way to another directory.
fn plain_name(name: &str) -> io::Result<&str> {
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a credential has a plain name"));
    }
    Ok(name)
}

fn read_at_most(source: impl Read) -> Result<SecretBytes, KeyError> {
    Ok(read_bounded(source)?)
}

fn read_bounded(source: impl Read) -> io::Result<SecretBytes> {
    // Read into one place, so that no copy is left behind in a smaller one.
    let mut bytes = Vec::with_capacity(LIMIT as usize + 1);
    source.take(LIMIT).read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

fn read_command(words: &[String]) -> Result<SecretBytes, KeyError> {
    let nothing = || io::Error::new(io::ErrorKind::InvalidInput, "no program is named");
    let (program, arguments) = words.split_first().ok_or_else(nothing)?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let result = printed(&mut child, Instant::now() + PATIENCE);
    // It has ended, or is not waited for any longer.
    let _ = child.kill();
    let _ = child.wait();
    result
}

/// What a program prints until it ends in order.
fn printed(child: &mut Child, deadline: Instant) -> Result<SecretBytes, KeyError> {
    let stdout = child.stdout.take().ok_or_else(|| io::Error::other("its output cannot be read"))?;
    let (tell, told) = mpsc::channel();
    // Ends when the program does, or closes its output.
    std::thread::spawn(move || tell.send(read_bounded(stdout)));
    let left = |deadline: Instant| deadline.saturating_duration_since(Instant::now());
    let text = told.recv_timeout(left(deadline)).map_err(|_| KeyError::Slow)??;
    loop {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(text),
            Some(status) => return Err(KeyError::Failed(status)),
            None if left(deadline).is_zero() => return Err(KeyError::Slow),
            None => std::thread::sleep(LOOK),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGITS: &str = "0707070707070707070707070707070707070707070707070707070707070707";

    fn sources(text: &str) -> KeySources {
        KeySources::new(toml::from_str(text).unwrap(), Trust::Administered, AlgorithmSet::Ordinary)
    }

    fn main(sources: &KeySources) -> Result<MasterKey, KeyError> {
        sources.key(&"main".parse().unwrap())
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_and_one_that_was_read_is_remembered() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::fs::write(&path, format!("{DIGITS}\n")).unwrap();
        let keys = sources(&format!("main.file = {path:?}"));
        for mode in [0o640, 0o604, 0o660] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            assert!(matches!(main(&keys), Err(KeyError::Open(found)) if found == mode));
        }
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        assert_eq!(main(&keys).unwrap().id().as_str(), "main");
        drop(directory);
        assert!(main(&keys).is_ok());
        assert!(matches!(main(&sources(&format!("main.file = {path:?}"))), Err(KeyError::Unreadable(_))));
        assert!(matches!(main(&sources("other.file = \"/k\"")), Err(KeyError::Unknown(_))));
    }

    #[test]
    fn a_program_prints_a_key_or_fails() {
        let command = |script: &str| main(&sources(&format!("main.command = [\"sh\", \"-c\", {script:?}]")));
        assert!(command(&format!("echo {DIGITS}")).is_ok());
        assert!(
            matches!(command(&format!("echo {DIGITS}; exit 3")), Err(KeyError::Failed(status)) if status.code() == Some(3))
        );
        assert!(matches!(command("head -c 9000 /dev/zero"), Err(KeyError::NotAKey(_) | KeyError::Failed(_))));
        assert!(matches!(command("true"), Err(KeyError::NotAKey(_))));
        assert!(main(&sources("main.command = []")).is_err());
        assert!(main(&sources("main.command = [\"/nonexistent/program\"]")).is_err());
    }

    #[test]
    fn a_source_without_a_key_is_not_asked_by_every_session() {
        let directory = tempfile::tempdir().unwrap();
        let asked = directory.path().join("asked");
        let script = format!("echo x >> {}; exit 1", asked.display());
        let keys =
            sources(&format!("old.command = [\"sh\", \"-c\", {script:?}]\nmain.command = [\"echo\", \"{DIGITS}\"]"));
        for _ in 0..3 {
            assert_eq!(keys.clone().available().len(), 1);
        }
        assert_eq!(std::fs::read_to_string(&asked).unwrap(), "x\n");
        assert!(keys.key(&"old".parse().unwrap()).is_err(), "who needs it asks");
        assert_eq!(std::fs::read_to_string(&asked).unwrap(), "x\nx\n");
    }

    #[test]
    fn a_program_that_does_not_end_is_ended() {
        let mut child =
            Command::new("sh").args(["-c", "exec cat"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        assert!(matches!(printed(&mut child, Instant::now()), Err(KeyError::Slow)));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_login_cannot_bring_keys_of_its_own() {
        let sources = sources("main.environment = \"PATH\"\nother.credential = \"../key\"");
        assert!(matches!(main(&sources), Err(KeyError::NotAKey(_))), "the path is no key");
        assert!(plain_name("../key").is_err() && plain_name("key").is_ok());
        let foreign = KeySources { trust: Trust::Login, ..sources };
        assert!(matches!(main(&foreign), Err(KeyError::NotTrusted)));
    }
}
