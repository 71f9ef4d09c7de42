//! User names, parsed once.

use std::fmt;

/// The name of a user: 1 to 64 of `a-z A-Z 0-9 . _ - @`, not starting with a
/// dot, a dash or an at sign, so that it can stand in a path, a command line
/// and a log without quoting.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserName(String);

/// Why text is not a user name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a user name: use 1 to 64 letters, digits and any of . _ - @, starting with a letter, digit or _")]
pub struct InvalidUserName;

impl UserName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for UserName {
    type Error = InvalidUserName;

    fn try_from(text: String) -> Result<Self, InvalidUserName> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte);
        let starts_well = text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric() || first == b'_');
        if starts_well && text.len() <= 64 && text.bytes().all(allowed) { Ok(Self(text)) } else { Err(InvalidUserName) }
    }
}

impl std::str::FromStr for UserName {
    type Err = InvalidUserName;

    fn from_str(text: &str) -> Result<Self, InvalidUserName> {
        text.to_owned().try_into()
    }
}

impl From<UserName> for String {
    fn from(name: UserName) -> Self {
        name.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_be_mistaken_are_refused() {
        for good in ["ada", "_svc", "a.b-c@example.org", "9lives"] {
            assert!(good.parse::<UserName>().is_ok(), "{good}");
        }
        for bad in ["", "-l", ".ssh", "@x", "a b", "a/b", "ä", "a\n", &"x".repeat(65)] {
            assert!(bad.parse::<UserName>().is_err(), "{bad:?}");
        }
    }
}
