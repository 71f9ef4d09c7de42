//! What a login that is forced to a session may ask for.
//!
//! Under `ForceCommand` OpenSSH runs the session program whatever the client
//! asked, and leaves the client's wish in `SSH_ORIGINAL_COMMAND`: the name of
//! the subsystem, the command, or nothing for a shell. Exactly one wish is
//! granted; nothing of the text ever reaches a shell.

use crate::{SESSION_COMMAND, SUBSYSTEM};

/// A wish that is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteRequest {
    /// Run one session over standard input and output.
    Session,
}

/// A wish that is refused; the text is for the client to read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A shell was asked for.
    #[error("this login starts transfers only, no shell; use `limosa send` or `limosa get`")]
    Shell,
    /// Something else than a session was asked for.
    #[error("this login starts transfers only, not {0:?}; use `limosa send` or `limosa get`")]
    Command(String),
}

/// Longest part of a refused command that is repeated to the client, in
/// characters.
const SHOWN: usize = 80;

impl RemoteRequest {
    /// The request in `wish`, the value of `SSH_ORIGINAL_COMMAND`.
    ///
    /// # Errors
    /// If it is anything but the subsystem or the session command.
    pub fn from_original_command(wish: Option<&str>) -> Result<Self, Refused> {
        let wish = wish.ok_or(Refused::Shell)?.trim_matches(' ');
        match wish {
            "" => Err(Refused::Shell),
            SUBSYSTEM => Ok(Self::Session),
            command if is_session_command(command) => Ok(Self::Session),
            other => Err(Refused::Command(other.chars().take(SHOWN).collect())),
        }
    }
}

/// Whether `command` is the session command, the program perhaps with the
/// path at which the client's user expects it.
fn is_session_command(command: &str) -> bool {
    if command == SESSION_COMMAND {
        return true;
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-~".contains(c);
    command
        .strip_suffix(SESSION_COMMAND)
        .is_some_and(|directory| directory.ends_with('/') && directory.chars().all(plain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_wish_is_granted() {
        for wish in ["limosa", "limosa session", " limosa session ", "/usr/bin/limosa session", "~/bin/limosa session"]
        {
            assert_eq!(RemoteRequest::from_original_command(Some(wish)), Ok(RemoteRequest::Session), "{wish}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        assert_eq!(RemoteRequest::from_original_command(None), Err(Refused::Shell));
        assert_eq!(RemoteRequest::from_original_command(Some("")), Err(Refused::Shell));
        for wish in [
            "sftp",
            "limosa session; id",
            "limosa  session",
            "limosa session --x",
            "$(id)/limosa session",
            "id;/limosa session",
            "a\n/limosa session",
            "rsync --server",
            "xlimosa session",
            "limosa\tsession",
        ] {
            let refused = RemoteRequest::from_original_command(Some(wish));
            assert!(matches!(refused, Err(Refused::Command(_))), "{wish}");
        }
    }

    proptest! {
        #[test]
        fn no_shell_metacharacter_passes(wish in "[ -~]{0,12}(limosa session)?[ -~]{0,6}") {
            if RemoteRequest::from_original_command(Some(&wish)).is_ok() {
                prop_assert!(!wish.contains([';', '&', '|', '$', '`', '(', '<', '>', '\n', '"', '\'']));
            }
        }
    }
}
