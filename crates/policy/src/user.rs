//! Who there is, and the proof that somebody is one of them.

use limosa_seal::SecretBytes;
use limosa_seal::password::PasswordScheme;

use crate::{SettingsLayer, UserName};

/// A public key as SSH knows it: the type's name and the key's bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PublicKey {
    /// `ssh-ed25519`, `ecdsa-sha2-nistp256`, …
    pub kind: String,
    /// The encoded key, as in the second field of an authorized-keys line.
    pub blob: Vec<u8>,
}

/// What the server holds of a user.
#[derive(Clone, Debug)]
pub struct UserRecord {
    /// Name at login.
    pub name: UserName,
    /// Keys that may log in.
    pub keys: Vec<PublicKey>,
    /// Hash of the password as made by [`PasswordScheme::hash`], if one may be
    /// used.
    pub password: Option<String>,
    /// Whether the user is shut out.
    pub locked: bool,
    /// Settings of this user's own.
    pub settings: SettingsLayer,
}

/// How somebody proved who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// By a key listed for the user.
    PublicKey,
    /// By the user's password.
    Password,
    /// By a login that the operating system vouches for.
    System,
}

/// Somebody who was authenticated. Only this module makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    user: UserName,
    method: Method,
}

impl Identity {
    /// The user.
    #[must_use]
    pub fn user(&self) -> &UserName {
        &self.user
    }

    /// How it was proved.
    #[must_use]
    pub fn method(&self) -> Method {
        self.method
    }

    /// A login of the operating system: `user` owns the process at the other
    /// end of a socket whose credentials the kernel has told.
    #[must_use]
    pub fn of_system_login(user: UserName) -> Self {
        Self { user, method: Method::System }
    }
}

/// Whether `key` may log in as `record`. That its holder signed the exchange
/// is for the SSH server to check.
#[must_use]
pub fn by_key(record: &UserRecord, key: &PublicKey) -> Option<Identity> {
    let listed = !record.locked && record.keys.contains(key);
    listed.then(|| Identity { user: record.name.clone(), method: Method::PublicKey })
}

/// Whether `given` is the password of `record`. Takes as long for a user who
/// does not exist (`None`) as for one who does, so that names cannot be tried
/// out.
#[must_use]
pub fn by_password(scheme: PasswordScheme, record: Option<&UserRecord>, given: &SecretBytes) -> Option<Identity> {
    let usable = record.filter(|record| !record.locked);
    let Some((record, hash)) = usable.and_then(|record| Some((record, record.password.as_ref()?))) else {
        // The price of a verification, paid for nothing.
        drop(scheme.hash(given));
        return None;
    };
    let right = scheme.verify(given, hash).unwrap_or(false);
    right.then(|| Identity { user: record.name.clone(), method: Method::Password })
}

#[cfg(test)]
mod tests {
    use limosa_seal::AlgorithmSet;

    use super::*;

    fn ada(password: Option<&str>) -> UserRecord {
        let scheme = AlgorithmSet::Ordinary.password();
        UserRecord {
            name: "ada".parse().unwrap(),
            keys: vec![PublicKey { kind: "ssh-ed25519".into(), blob: vec![1, 2, 3] }],
            password: password.map(|text| scheme.hash(&SecretBytes::from(text.as_bytes().to_vec())).unwrap()),
            locked: false,
            settings: SettingsLayer::default(),
        }
    }

    #[test]
    fn only_listed_keys_of_users_who_are_not_locked_log_in() {
        let mut record = ada(None);
        let key = record.keys[0].clone();
        let other = PublicKey { blob: vec![9], ..key.clone() };
        assert_eq!(by_key(&record, &key).map(|who| who.method()), Some(Method::PublicKey));
        assert_eq!(by_key(&record, &other), None);
        record.locked = true;
        assert_eq!(by_key(&record, &key), None);
    }

    #[test]
    fn only_the_right_password_of_a_user_who_has_one_logs_in() {
        let scheme = AlgorithmSet::Ordinary.password();
        let secret = |text: &str| SecretBytes::from(text.as_bytes().to_vec());
        let record = ada(Some("correct horse"));
        assert!(by_password(scheme, Some(&record), &secret("correct horse")).is_some());
        assert!(by_password(scheme, Some(&record), &secret("battery staple")).is_none());
        assert!(by_password(scheme, Some(&ada(None)), &secret("")).is_none());
        assert!(by_password(scheme, None, &secret("correct horse")).is_none());
        let locked = UserRecord { locked: true, ..record };
        assert!(by_password(scheme, Some(&locked), &secret("correct horse")).is_none());
    }
}
