//! What a login that is forced to a session may ask for.
//!
//! Under `ForceCommand` OpenSSH runs the session program whatever the client
//! asked, and leaves the client's wish in `SSH_ORIGINAL_COMMAND`: the command,
//! nothing for a shell, or for a subsystem what its `Subsystem` line runs.
//! Exactly one wish is granted; nothing of the text ever reaches a shell.

use crate::{SESSION_COMMAND, SUBSYSTEM};

/// What the subsystem's line of `sshd_config` runs, options aside.
const SERVER_COMMAND: &str = "limosad session";

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

/// Whether `command` is the session command, of the client's program or with
/// options of the server's, the program perhaps with a path.
fn is_session_command(command: &str) -> bool {
    names_program(command, SESSION_COMMAND) || is_server_command(command)
}

fn names_program(command: &str, program: &str) -> bool {
    let Some(directory) = command.strip_suffix(program) else { return false };
    directory.is_empty() || directory.ends_with('/') && directory.chars().all(plain)
}

/// The options are those of the administrator's line; they are not read, only
/// kept to what no shell would take for more than words.
fn is_server_command(command: &str) -> bool {
    let Some(at) = command.find(SERVER_COMMAND) else { return false };
    let (program, options) = command.split_at(at + SERVER_COMMAND.len());
    let words = |c: char| plain(c) || "= ".contains(c);
    names_program(program, SERVER_COMMAND)
        && (options.is_empty() || options.starts_with(" -"))
        && options.chars().all(words)
}

fn plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "/._-~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_wish_is_granted() {
        for wish in [
            "limosa",
            "limosa session",
            " limosa session ",
            "/usr/bin/limosa session",
            "~/bin/limosa session",
            "limosad session",
            "/usr/bin/limosad session",
            "/usr/bin/limosad session --config /etc/limosa/limosad.toml",
            "/usr/bin/limosad session --config=/etc/limosa/limosad.toml",
        ] {
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
            "limosad serve",
            "limosad session extra",
            "limosad session --config $(id)",
            "limosad session -c a;id",
            "limosad sessions",
            "xlimosad session",
            "id limosad session",
        ] {
            let refused = RemoteRequest::from_original_command(Some(wish));
            assert!(matches!(refused, Err(Refused::Command(_))), "{wish}");
        }
    }

    proptest! {
        #[test]
        fn no_shell_metacharacter_passes(wish in "[ -~]{0,12}(limosad? session)?[ -~]{0,6}") {
            if RemoteRequest::from_original_command(Some(&wish)).is_ok() {
                prop_assert!(!wish.contains([';', '&', '|', '$', '`', '(', '<', '>', '\n', '"', '\'']));
            }
        }
    }
}
