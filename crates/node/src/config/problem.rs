//! What is wrong with a configuration, where, and what was probably meant.

use std::fmt;
use std::path::PathBuf;

use limosa_policy::settings::suggestion;

/// Where a setting is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a file, at a line.
    File(PathBuf, Option<usize>),
    /// In a variable of the environment.
    Variable(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, Some(line)) => write!(f, "{}:{line}", path.display()),
            Self::File(path, None) => path.display().fmt(f),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

/// A configuration that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct ConfigError {
    /// Where.
    pub place: Place,
    /// What is wrong, and what was probably meant.
    pub problem: String,
}

impl ConfigError {
    /// The file cannot be read.
    pub(crate) fn unreadable(path: PathBuf, error: &std::io::Error) -> Self {
        Self { place: Place::File(path, None), problem: format!("cannot be read: {error}") }
    }

    /// The file cannot be changed as asked.
    pub(crate) fn of_file(path: &std::path::Path, problem: String) -> Self {
        Self { place: Place::File(path.to_owned(), None), problem }
    }

    /// `error` came up in `text`, the content of the file `path`.
    pub(crate) fn in_file(path: PathBuf, text: &str, error: &toml::de::Error) -> Self {
        let line = error.span().map(|span| line_of(text, span.start));
        Self { place: Place::File(path, line), problem: explain(error.message()) }
    }

    /// The value of a variable of the environment is not understood.
    pub(crate) fn in_variable(name: String, error: &toml::de::Error) -> Self {
        Self { place: Place::Variable(name), problem: explain(error.message()) }
    }
}

/// The line, counted from 1, in which the byte at `offset` stands.
fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

/// The decoder's words; where they are that a key is unknown and which would
/// be known, the nearest of those is suggested instead of listing all.
pub(super) fn explain(message: &str) -> String {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let Some((unknown, known)) = quoted.split_first().filter(|_| message.starts_with("unknown field")) else {
        return message.trim_end().to_owned();
    };
    match suggestion(unknown, known.iter().copied()) {
        Some(meant) => format!("unknown key `{unknown}`; did you mean `{meant}`?"),
        None => format!("unknown key `{unknown}`; known here: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_is_found_and_named_with_its_line() {
        let text = "[ssh]\nenabled = true\nlissten = 1\n";
        let error = toml::from_str::<crate::config::ConfigLayer>(text).unwrap_err();
        let error = ConfigError::in_file("limosad.toml".into(), text, &error);
        assert_eq!(error.to_string(), "limosad.toml:3: unknown key `lissten`; did you mean `listen`?");
    }

    #[test]
    fn what_resembles_nothing_is_told_what_there_is() {
        let text = "xyzzy = 1";
        let error = toml::from_str::<crate::config::ConfigLayer>(text).unwrap_err();
        let error = ConfigError::in_file("f".into(), text, &error).to_string();
        assert!(error.starts_with("f:1: unknown key `xyzzy`; known here: ssh, udp"), "{error}");
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_explained() {
        let text = "[ssh]\nlisten = \"nowhere\"";
        let error = toml::from_str::<crate::config::ConfigLayer>(text).unwrap_err();
        let error = ConfigError::in_file("f".into(), text, &error).to_string();
        assert!(error.starts_with("f:2:") && error.contains("neither a port"), "{error}");
    }
}
