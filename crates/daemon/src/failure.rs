//! How a command that failed says so: what happened, what to do, a numbered
//! code, and the exit status that goes with it.

use std::io::Write;
use std::process::ExitCode;

use limosa_node::NodeError;
use limosa_node::config::ConfigError;
use limosa_wire::Code;

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Code,
    /// Nothing if it was told where it happened.
    text: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: Some(text.into()) }
    }

    /// A failure that whom it concerns knows of.
    pub(crate) fn told(code: Code) -> Self {
        Self { code, text: None }
    }

    /// Says it on standard error. That may be closed; then nobody listens.
    pub(crate) fn tell(&self) -> ExitCode {
        if let Some(text) = &self.text {
            let _ = writeln!(std::io::stderr(), "limosad: {text} (code {})", self.code.number());
        }
        ExitCode::from(self.code.exit_status())
    }
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        NodeError::from(error).into()
    }
}
