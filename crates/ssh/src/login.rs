//! The login that this process runs as, as the system's user database has it.

use std::io;
use std::path::PathBuf;
use std::process::Command;

/// Name and home directory of a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemLogin {
    /// The name.
    pub name: String,
    /// The home directory.
    pub home: PathBuf,
}

impl SystemLogin {
    /// The login that this process runs as. What the environment says of it is
    /// not asked, since a login may set that itself.
    ///
    /// # Errors
    /// If the user database does not know it.
    pub fn current() -> io::Result<Self> {
        let id = rustix::process::getuid().as_raw();
        let local = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let line = local.lines().find(|line| user_id(line) == Some(id)).map(str::to_owned);
        let line = line.or_else(|| ask_database(id));
        let unknown = || io::Error::new(io::ErrorKind::NotFound, format!("user {id} is not in the user database"));
        line.as_deref().and_then(Self::of_line).ok_or_else(unknown)
    }

    fn of_line(line: &str) -> Option<Self> {
        Some(Self { name: line.split(':').next()?.to_owned(), home: line.split(':').nth(5)?.into() })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_user_database_is_understood() {
        let line = "ada:x:1001:1001:Ada,,,:/home/ada:/bin/bash";
        assert_eq!(user_id(line), Some(1001));
        assert_eq!(SystemLogin::of_line(line), Some(SystemLogin { name: "ada".into(), home: "/home/ada".into() }));
        assert_eq!((user_id(""), SystemLogin::of_line("ada")), (None, None));
    }
}
