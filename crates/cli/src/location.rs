//! Sources and destinations as typed: local paths and `[user@]host:path`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use limosa_ssh::{InvalidTarget, Target};
use thiserror::Error;

/// A place on this machine or another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A path on this machine.
    Local(PathBuf),
    /// A path on another.
    Remote(Remote),
}

/// A path on another machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Whom to reach.
    pub target: Target,
    /// The path as typed; empty for the account's own directory.
    pub path: Vec<u8>,
}

/// Why text is no location.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidLocation {
    /// Nothing at all.
    #[error("an empty path")]
    Empty,
    /// A bracket without its partner.
    #[error("`{0}`: the address in brackets is not closed by `]:`")]
    Bracket(String),
    /// No usable host before the colon.
    #[error("`{0}`: {1}; put ./ in front if it is a local name")]
    Target(String, InvalidTarget),
}

impl Location {
    /// Reads a location: remote if a colon stands before the first slash, else
    /// local. `[v6]:path` and `user@[v6]:path` put an address in brackets;
    /// `./a:b` and `/a:b` are local.
    ///
    /// # Errors
    /// If a remote location has no usable host.
    pub fn parse(text: &OsStr) -> Result<Self, InvalidLocation> {
        let bytes = text.as_bytes();
        if bytes.is_empty() {
            return Err(InvalidLocation::Empty);
        }
        let shown = || text.to_string_lossy().into_owned();
        let at = bracket_start(bytes);
        let colon = match at {
            Some(open) => {
                let close = bytes[open..].windows(2).position(|pair| pair == b"]:");
                open + close.ok_or_else(|| InvalidLocation::Bracket(shown()))? + 1
            }
            None => match bytes.iter().position(|byte| matches!(byte, b':' | b'/')) {
                Some(place) if bytes[place] == b':' => place,
                _ => return Ok(Self::Local(PathBuf::from(text))),
            },
        };
        let (login, path) = (&bytes[..colon], &bytes[colon + 1..]);
        let target = String::from_utf8_lossy(login).parse();
        let target = target.map_err(|error| InvalidLocation::Target(shown(), error))?;
        Ok(Self::Remote(Remote { target, path: path.to_vec() }))
    }
}

/// Where a bracketed address starts: at the front or behind `user@`, and
/// before any slash.
fn bracket_start(bytes: &[u8]) -> Option<usize> {
    let open = bytes.iter().position(|byte| *byte == b'[')?;
    let before = &bytes[..open];
    let behind_user = before.ends_with(b"@") && before.len() > 1 && !before.contains(&b'/') && !before.contains(&b':');
    (open == 0 && bytes.windows(2).any(|pair| pair == b"]:") || behind_user).then_some(open)
}

impl Remote {
    /// `[user@]host:path`, as it would be typed.
    #[must_use]
    pub fn typed(&self) -> OsString {
        let mut typed = self.target.to_string().into_bytes();
        typed.push(b':');
        typed.extend(&self.path);
        OsString::from_vec(typed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(user: Option<&str>, host: &str, path: &str) -> Location {
        let target: Target = host.parse().unwrap();
        let target = user.map_or(Ok(target.clone()), |user| target.with_user(user)).unwrap();
        Location::Remote(Remote { target, path: path.into() })
    }

    #[test]
    fn what_is_local_and_what_is_remote() {
        let local = |path: &str| Location::Local(PathBuf::from(path));
        for (text, expected) in [
            ("file", local("file")),
            ("./a:b", local("./a:b")),
            ("/tmp/a:b", local("/tmp/a:b")),
            ("dir/a:b", local("dir/a:b")),
            ("[odd name]", local("[odd name]")),
            ("host:", remote(None, "host", "")),
            ("host:path", remote(None, "host", "path")),
            ("ada@host:/a:b", remote(Some("ada"), "host", "/a:b")),
            ("ada@corp@host:x", remote(Some("ada@corp"), "host", "x")),
            ("[::1]:path", remote(None, "::1", "path")),
            ("ada@[fe80::1%eth0]:/x", remote(Some("ada"), "fe80::1%eth0", "/x")),
        ] {
            assert_eq!(Location::parse(OsStr::new(text)), Ok(expected), "{text}");
        }
    }

    #[test]
    fn names_that_would_be_options_are_refused() {
        for text in ["-oProxyCommand=x:path", "ada@-x:path", "@host:x", "a b:c", ":x", "", "ada@[::1:x"] {
            assert!(Location::parse(OsStr::new(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn names_that_are_not_utf8_stay_as_they_are() {
        let text = OsStr::from_bytes(b"host:caf\xe9");
        let Ok(Location::Remote(remote)) = Location::parse(text) else { panic!("a remote location") };
        assert_eq!(remote.path, b"caf\xe9");
        assert_eq!(remote.typed().as_bytes(), text.as_bytes());
    }
}
