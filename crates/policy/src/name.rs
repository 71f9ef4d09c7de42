//! Names of users and of groups, parsed once.

use std::fmt;

/// Writes a type of names, so that one kind is not taken for another.
macro_rules! name {
    ($(#[$meta:meta])* $name:ident, $invalid:ident, $what:literal) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        #[doc = concat!("Why text is not the name of a ", $what, ".")]
        #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
        #[error("not a {} name: use 1 to 64 letters, digits and any of . _ - @, starting with a letter, digit or _", $what)]
        pub struct $invalid;

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = $invalid;

            fn try_from(text: String) -> Result<Self, $invalid> {
                if is_name(&text) { Ok(Self(text)) } else { Err($invalid) }
            }
        }

        impl std::str::FromStr for $name {
            type Err = $invalid;

            fn from_str(text: &str) -> Result<Self, $invalid> {
                text.to_owned().try_into()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// The name of a user: 1 to 64 of `a-z A-Z 0-9 . _ - @`, not starting with a
    /// dot, a dash or an at sign, so that it can stand in a path, a command line
    /// and a log without quoting.
    UserName, InvalidUserName, "user"
}

name! {
    /// The name of a group of users, of the same letters as [`UserName`].
    GroupName, InvalidGroupName, "group"
}

fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte);
    let starts_well = text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric() || first == b'_');
    starts_well && text.len() <= 64 && text.bytes().all(allowed)
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
