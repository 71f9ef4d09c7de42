//! The users of the embedded server: their keys, the hash of a password if
//! one may be used, and settings of their own, in `users.toml`.
//!
//! Changes take a lock and replace the file; a running server sees them at the
//! next login.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use limosa_policy::{SettingsLayer, UserName, UserRecord};
use limosa_seal::SecretBytes;
use limosa_seal::password::PasswordScheme;
use serde::{Deserialize, Serialize};

use crate::authorized_key::AuthorizedKey;
use crate::error::NodeError;
use crate::state::{StateDirectory, replace_file};

/// A user as stored.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct StoredUser {
    /// Whether the user is shut out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub locked: bool,
    /// Hash of the password, in the PHC format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Lines of authorized keys.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// Settings of this user's own.
    pub settings: SettingsLayer,
}

impl StoredUser {
    /// Sets one of the user's settings, or takes it out.
    ///
    /// # Errors
    /// If there is no such setting, or `value` is none for it.
    pub fn set(&mut self, key: &str, value: Option<toml::Value>) -> Result<(), NodeError> {
        let given = |problem: String| NodeError::Given(format!("{key}: {problem}"));
        let mut settings = toml::Table::try_from(&self.settings).map_err(|error| given(error.to_string()))?;
        match value {
            Some(value) => drop(settings.insert(key.to_owned(), value)),
            None => drop(settings.remove(key)),
        }
        self.settings = settings.try_into().map_err(|error: toml::de::Error| given(error.message().to_owned()))?;
        Ok(())
    }
}

type Users = BTreeMap<UserName, StoredUser>;

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct UsersFile {
    users: Users,
}

/// The users of a state directory; clones share what was read.
#[derive(Clone, Debug)]
pub struct UserStore {
    state: StateDirectory,
    read: Arc<Mutex<Option<Read>>>,
}

/// What was read, and of which version of the file.
type Read = (Stamp, Arc<Users>);

/// Tells one version of the file from another: it is only ever replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        Self { inode: metadata.ino(), length: metadata.len(), changed }
    }
}

impl UserStore {
    /// The users in `state`.
    #[must_use]
    pub fn new(state: StateDirectory) -> Self {
        Self { state, read: Arc::default() }
    }

    /// Everybody, by name.
    ///
    /// # Errors
    /// If the file cannot be read or is not valid.
    pub fn all(&self) -> Result<Arc<BTreeMap<UserName, StoredUser>>, NodeError> {
        let path = self.state.users();
        let metadata = match path.metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Arc::default()),
            Err(error) => return Err(NodeError::state("look at", &path)(error)),
        };
        let stamp = Stamp::from(&metadata);
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, users)) = read.as_ref()
            && *known == stamp
        {
            return Ok(Arc::clone(users));
        }
        let users = Arc::new(read_users(&path)?);
        *read = Some((stamp, Arc::clone(&users)));
        Ok(users)
    }

    /// The record of `name`, if there is one.
    ///
    /// # Errors
    /// If the file cannot be read or is not valid.
    pub fn record(&self, name: &UserName) -> Result<Option<UserRecord>, NodeError> {
        self.all()?.get(name).map(|user| self.to_record(name, user)).transpose()
    }

    fn to_record(&self, name: &UserName, user: &StoredUser) -> Result<UserRecord, NodeError> {
        Ok(UserRecord {
            name: name.clone(),
            keys: self.keys_of(user)?.into_iter().map(|key| key.key).collect(),
            password: user.password.clone(),
            locked: user.locked,
            settings: user.settings.clone(),
        })
    }

    /// The keys of `user`.
    ///
    /// # Errors
    /// If one of them is not valid.
    pub fn keys_of(&self, user: &StoredUser) -> Result<Vec<AuthorizedKey>, NodeError> {
        let keys = user.keys.iter().map(|line| line.parse());
        let invalid = |error: crate::authorized_key::InvalidKey| NodeError::Users {
            path: self.state.users(),
            problem: error.to_string(),
        };
        keys.collect::<Result<_, _>>().map_err(invalid)
    }

    /// Adds a user.
    ///
    /// # Errors
    /// [`NodeError::UserExists`], and if the file cannot be replaced.
    pub fn add(&self, name: &UserName, user: StoredUser) -> Result<(), NodeError> {
        self.change(|users| match users.insert(name.clone(), user) {
            Some(_) => Err(NodeError::UserExists(name.to_string())),
            None => Ok(()),
        })
    }

    /// Removes a user. Files stay; sessions that run go on.
    ///
    /// # Errors
    /// [`NodeError::NoSuchUser`], and if the file cannot be replaced.
    pub fn remove(&self, name: &UserName) -> Result<(), NodeError> {
        self.change(|users| users.remove(name).map(drop).ok_or_else(|| NodeError::NoSuchUser(name.to_string())))
    }

    /// Changes a user.
    ///
    /// # Errors
    /// [`NodeError::NoSuchUser`], what `edit` says, and if the file cannot be
    /// replaced.
    pub fn edit<T>(
        &self,
        name: &UserName,
        edit: impl FnOnce(&mut StoredUser) -> Result<T, NodeError>,
    ) -> Result<T, NodeError> {
        self.change(|users| edit(users.get_mut(name).ok_or_else(|| NodeError::NoSuchUser(name.to_string()))?))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Users) -> Result<T, NodeError>) -> Result<T, NodeError> {
        let _lock = self.state.lock_users()?;
        let path = self.state.users();
        let mut users = Users::clone(&*self.all()?);
        let result = change(&mut users)?;
        let text = toml::to_string_pretty(&UsersFile { users })
            .map_err(|error| NodeError::Users { path: path.clone(), problem: error.to_string() })?;
        replace_file(&path, text.as_bytes()).map_err(NodeError::state("write", &path))?;
        Ok(result)
    }
}

fn read_users(path: &Path) -> Result<Users, NodeError> {
    let text = std::fs::read_to_string(path).map_err(NodeError::state("read", path))?;
    let file: UsersFile = toml::from_str(&text).map_err(|error| {
        NodeError::Configuration(crate::config::ConfigError::in_file(path.to_owned(), &text, &error))
    })?;
    Ok(file.users)
}

/// The hash to store for `password`.
///
/// # Errors
/// If the password is empty or too long.
pub fn hash_password(scheme: PasswordScheme, password: &SecretBytes) -> Result<String, NodeError> {
    scheme.hash(password).map_err(|error| NodeError::Given(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, UserStore) {
        let outer = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(outer.path().join("s")).unwrap();
        (outer, UserStore::new(state))
    }

    fn name(text: &str) -> UserName {
        text.parse().unwrap()
    }

    #[test]
    fn users_come_and_go() {
        let (_outer, users) = store();
        assert!(users.record(&name("ada")).unwrap().is_none());
        let settings: SettingsLayer = toml::from_str("docroot = \"/srv/ada\"\nwrite = false").unwrap();
        users.add(&name("ada"), StoredUser { settings: settings.clone(), ..StoredUser::default() }).unwrap();
        assert!(matches!(users.add(&name("ada"), StoredUser::default()), Err(NodeError::UserExists(_))));
        assert_eq!(users.record(&name("ada")).unwrap().unwrap().settings, settings);
        users.remove(&name("ada")).unwrap();
        assert!(matches!(users.remove(&name("ada")), Err(NodeError::NoSuchUser(_))));
    }

    #[test]
    fn a_change_by_another_process_is_seen() {
        let (_outer, here) = store();
        here.add(&name("ada"), StoredUser::default()).unwrap();
        let elsewhere = UserStore::new(here.state.clone());
        assert!(!here.record(&name("ada")).unwrap().unwrap().locked);
        let lock = |user: &mut StoredUser| {
            user.locked = true;
            Ok(())
        };
        elsewhere.edit(&name("ada"), lock).unwrap();
        assert!(here.record(&name("ada")).unwrap().unwrap().locked);
    }

    #[test]
    fn single_settings_are_set_and_taken_out() {
        let mut user = StoredUser::default();
        user.set("rate-cap", Some("5m".into())).unwrap();
        user.set("write", Some(false.into())).unwrap();
        assert!(user.set("write", Some("maybe".into())).is_err() && user.set("wirte", Some(true.into())).is_err());
        assert_eq!((user.settings.rate_cap.map(|rate| rate.0), user.settings.write), (Some(5_000_000), Some(false)));
        user.set("write", None).unwrap();
        assert_eq!(user.settings.write, None);
    }

    #[test]
    fn a_failed_edit_changes_nothing() {
        let (_outer, users) = store();
        users.add(&name("ada"), StoredUser::default()).unwrap();
        let edit = users.edit(&name("ada"), |user| {
            user.locked = true;
            Err::<(), _>(NodeError::Given("no".into()))
        });
        assert!(edit.is_err() && !users.record(&name("ada")).unwrap().unwrap().locked);
    }

    #[test]
    fn a_typo_in_the_file_is_told_with_its_line() {
        let (_outer, users) = store();
        std::fs::write(users.state.users(), "[users.ada]\nlokced = true\n").unwrap();
        let error = users.record(&name("ada")).unwrap_err().to_string();
        assert!(error.contains("users.toml:2: unknown key `lokced`; did you mean `locked`?"), "{error}");
    }
}
