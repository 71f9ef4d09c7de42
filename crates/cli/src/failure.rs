//! What ends a command before there is a session.

use std::fmt;

use limosa_session::StartError;
use limosa_session::setup::SetupError;
use limosa_ssh::SshError;
use limosa_wire::Code;

use crate::reach;

/// A numbered code and what is to be said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandFailure {
    /// The code.
    pub code: Code,
    /// More about it.
    pub detail: String,
}

impl CommandFailure {
    /// A failure with this code.
    pub fn new(code: Code, detail: impl fmt::Display) -> Self {
        Self { code, detail: detail.to_string() }
    }

    /// A failure of the command as typed.
    pub fn usage(detail: impl fmt::Display) -> Self {
        Self::new(Code::USAGE, detail)
    }
}

impl From<SshError> for CommandFailure {
    fn from(error: SshError) -> Self {
        Self::new(reach::code_of(&error), error)
    }
}

impl From<StartError> for CommandFailure {
    fn from(error: StartError) -> Self {
        if let StartError::Setup(SetupError::Channel(broken)) = &error
            && let Some(cause) = reach::behind(broken)
        {
            return Self::new(reach::code_of(cause), cause);
        }
        Self::new(error.code(), error)
    }
}
