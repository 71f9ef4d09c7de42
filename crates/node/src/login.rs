//! The login that this process runs as: name and home directory, as the
//! system's user database has them. What the environment says of it is not
//! asked, since a login may set that itself.

use std::io;
use std::path::PathBuf;

use limosa_policy::{Identity, UserName};
use limosa_ssh::login::SystemLogin;

/// Who this process runs as.
#[derive(Clone, Debug)]
pub struct Login {
    /// Proof of who it is: the kernel says that the process is theirs.
    pub identity: Identity,
    /// The home directory.
    pub home: PathBuf,
}

impl Login {
    /// The login that this process runs as.
    ///
    /// # Errors
    /// If the user database does not know it, or its name cannot be used here.
    pub fn current() -> io::Result<Self> {
        let SystemLogin { name, home } = SystemLogin::current()?;
        let name: UserName = name.parse().map_err(|error| io::Error::other(format!("login name `{name}`: {error}")))?;
        Ok(Self { identity: Identity::of_system_login(name), home })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_belongs_to_somebody() {
        let login = Login::current().unwrap();
        assert!(login.home.is_absolute() && !login.identity.user().as_str().is_empty());
    }
}
