//! What can keep a server from running, each with what to do and its numbered
//! code.

use std::io;
use std::path::{Path, PathBuf};

use limosa_wire::Code;

use crate::config::ConfigError;

/// Why the server, or a command about it, cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The configuration is not valid.
    #[error(transparent)]
    Configuration(#[from] ConfigError),
    /// Something in the state directory cannot be used.
    #[error("cannot {action} {}: {source}", path.display())]
    State {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The state directory lets others in.
    #[error("{} has mode {mode:04o}, which lets others in; run `chmod 700 {}`", path.display(), path.display())]
    Exposed {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Another server runs on this state.
    #[error("a server already runs with the state directory {}; stop it, or give another --state", .0.display())]
    AlreadyServed(PathBuf),
    /// The file of users is not valid.
    #[error("{}: {problem}", path.display())]
    Users {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A user who does not exist.
    #[error("there is no user `{0}`; see `limosad user list`")]
    NoSuchUser(String),
    /// A user who exists already.
    #[error("there is a user `{0}` already; see `limosad user passwd` and `limosad user key`")]
    UserExists(String),
    /// What was given for a user is of no use.
    #[error("{0}")]
    Given(String),
    /// FIPS mode is set, and the embedded SSH server is switched on.
    #[error(
        "in FIPS mode OpenSSH faces the network: set `enabled = false` in [ssh], \
         and see `limosad ssh-config --fips`"
    )]
    FrontInFipsMode,
    /// The mode asks for a module that this program does not have.
    #[error(transparent)]
    NotValidated(#[from] limosa_policy::NotValidated),
    /// A port cannot be opened.
    #[error("cannot listen at {what} {at}: {source}; choose another with {flag}, or end what uses it")]
    Listen {
        /// `TCP` or `UDP`.
        what: &'static str,
        /// Where.
        at: String,
        /// The option that sets it.
        flag: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The host key cannot be used.
    #[error(transparent)]
    HostKey(#[from] limosa_ssh::server::HostKeyError),
    /// A part of the server cannot be started.
    #[error("cannot start {what}: {source}")]
    Start {
        /// Which part.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl NodeError {
    /// `action` on `path` failed.
    pub(crate) fn state(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::State { action, path, source }
    }

    /// `what` could not be started.
    pub(crate) fn start(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Start { what, source }
    }

    /// The numbered code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::FrontInFipsMode
            | Self::Configuration(_)
            | Self::Users { .. }
            | Self::Exposed { .. }
            | Self::HostKey(_) => Code::BAD_CONFIGURATION,
            Self::NotValidated(_) => Code::MODULE_NOT_VALIDATED,
            Self::NoSuchUser(_) | Self::UserExists(_) | Self::Given(_) => Code::USAGE,
            Self::State { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => Code::PERMISSION_DENIED,
                io::ErrorKind::StorageFull => Code::NO_SPACE,
                io::ErrorKind::NotFound => Code::NOT_FOUND,
                io::ErrorKind::NotADirectory => Code::NOT_A_DIRECTORY,
                io::ErrorKind::IsADirectory => Code::IS_A_DIRECTORY,
                io::ErrorKind::ReadOnlyFilesystem => Code::READ_ONLY,
                _ => Code::WRITE_FAILED,
            },
            Self::AlreadyServed(_) => Code::IN_USE,
            Self::Listen { what: "UDP", .. } => Code::UDP_BIND,
            Self::Listen { .. } | Self::Start { .. } => Code::RESOURCES,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_the_state_has_the_code_of_files() {
        let code = |kind: io::ErrorKind| NodeError::state("make", Path::new("/state"))(kind.into()).code();
        assert_eq!(code(io::ErrorKind::NotADirectory), Code::NOT_A_DIRECTORY);
        assert_eq!(code(io::ErrorKind::ReadOnlyFilesystem), Code::READ_ONLY);
        assert_eq!(code(io::ErrorKind::PermissionDenied), Code::PERMISSION_DENIED);
        assert_eq!(code(io::ErrorKind::Other), Code::WRITE_FAILED);
    }
}
