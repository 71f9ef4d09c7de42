//! The login that this process runs as: name and home directory, as the
//! system's user database has them. What the environment says of it is not
//! asked, since a login may set that itself.

use std::io;
use std::path::PathBuf;
use std::process::Command;

use limosa_policy::{Identity, UserName};

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
        let id = rustix::process::getuid().as_raw();
        let local = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let line = local.lines().find(|line| user_id(line) == Some(id)).map(str::to_owned);
        let line = line.or_else(|| ask_database(id));
        let unknown = || io::Error::new(io::ErrorKind::NotFound, format!("user {id} is not in the user database"));
        let (name, home) = line.as_deref().and_then(name_and_home).ok_or_else(unknown)?;
        let name: UserName = name.parse().map_err(|error| io::Error::other(format!("login name `{name}`: {error}")))?;
        Ok(Self { identity: Identity::of_system_login(name), home })
    }
}

/// What the databases beyond the local file know: directories, domains.
fn ask_database(id: u32) -> Option<String> {
    let output = Command::new("/usr/bin/getent").arg("passwd").arg(id.to_string()).env_clear().output().ok()?;
    let line = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| line.trim_end().to_owned())
}

fn user_id(line: &str) -> Option<u32> {
    line.split(':').nth(2)?.parse().ok()
}

fn name_and_home(line: &str) -> Option<(&str, PathBuf)> {
    Some((line.split(':').next()?, line.split(':').nth(5)?.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_user_database_is_understood() {
        let line = "ada:x:1001:1001:Ada,,,:/home/ada:/bin/bash";
        assert_eq!(user_id(line), Some(1001));
        assert_eq!(name_and_home(line), Some(("ada", PathBuf::from("/home/ada"))));
        assert_eq!((user_id(""), name_and_home("ada")), (None, None));
    }

    #[test]
    fn this_process_belongs_to_somebody() {
        let login = Login::current().unwrap();
        assert!(login.home.is_absolute() && !login.identity.user().as_str().is_empty());
    }
}
