//! Secrets, and how a person is asked for them.
//!
//! This crate never touches a terminal: the program that owns one hands in a
//! [`Prompt`], and one without hands in [`NoPrompt`].

use std::fmt;
use zeroize::Zeroizing;

/// A password or passphrase: wiped when dropped, never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes `text` over; the caller's own copies are the caller's to wipe.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The password of the environment: `LIMOSA_PASS`, else `ASPERA_SCP_PASS`.
    #[must_use]
    pub fn from_environment() -> Option<Self> {
        ["LIMOSA_PASS", "ASPERA_SCP_PASS"]
            .iter()
            .find_map(|name| std::env::var(name).ok())
            .filter(|text| !text.is_empty())
            .map(Self::new)
    }

    /// The text itself, for the one place that must have it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Asks the person at the terminal. Calls may block for as long as a person
/// thinks; they are made off the async threads.
pub trait Prompt: Send + Sync {
    /// Asks for a secret, not echoed; `None` if the person declines.
    fn secret(&self, question: &str) -> Option<Secret>;

    /// Asks a yes-or-no question.
    fn confirm(&self, question: &str) -> bool;

    /// Shows a text that needs no answer, such as a server's banner.
    fn notice(&self, text: &str);

    /// Whether there is anybody to ask. Without, nothing is ever asked, and
    /// the machine's own `ssh` runs in its batch mode.
    fn is_interactive(&self) -> bool {
        true
    }
}

/// Nobody to ask: every question is declined.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPrompt;

impl Prompt for NoPrompt {
    fn secret(&self, _question: &str) -> Option<Secret> {
        None
    }

    fn confirm(&self, _question: &str) -> bool {
        false
    }

    fn notice(&self, text: &str) {
        tracing::info!(text, "notice of the server");
    }

    fn is_interactive(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::new("hunter2".into());
        assert!(!format!("{secret:?} {:?}", Some(&secret)).contains("hunter2"));
    }
}
