//! Names and paths inside a store.
//!
//! Paths arrive from a peer, from a command line and from directories that
//! others write to. They are parsed once, here; whoever holds a [`StorePath`]
//! or a [`Name`] need not look again.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use thiserror::Error;

mod printable;

/// Longest name of a single component, in bytes.
pub const MAX_NAME: usize = 255;
/// Longest path, separators included, in bytes.
pub const MAX_PATH: usize = 4096;

/// Why bytes are not a path or a name of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PathError {
    /// The path starts with a slash; paths of a store are relative to its root.
    #[error("the path is absolute")]
    Absolute,
    /// A component is empty: two slashes in a row, or one at the end.
    #[error("the path has an empty component")]
    EmptyComponent,
    /// A component is `.` or `..`.
    #[error("the path has a component \".\" or \"..\"")]
    DotComponent,
    /// A byte is NUL, which no file name can hold.
    #[error("the path holds a NUL byte")]
    Nul,
    /// A name holds a slash.
    #[error("the name holds a slash")]
    Slash,
    /// A component is longer than [`MAX_NAME`] bytes.
    #[error("a component of the path is longer than {MAX_NAME} bytes")]
    NameTooLong,
    /// The path is longer than [`MAX_PATH`] bytes.
    #[error("the path is longer than {MAX_PATH} bytes")]
    PathTooLong,
    /// The printable form holds an escape that means no byte.
    #[error("the printable form of the path holds an unknown escape")]
    Escape,
}

/// One component of a path: the name of an entry in its directory.
///
/// Invariants: 1 to [`MAX_NAME`] bytes, neither `.` nor `..`, no NUL, no
/// slash. The bytes need not be UTF-8.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<[u8]>);

impl Name {
    /// Checks `bytes` against the invariants of a name.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn parse(bytes: &[u8]) -> Result<Self, PathError> {
        if bytes.contains(&b'/') {
            return Err(PathError::Slash);
        }
        check_component(bytes)?;
        Ok(Self(bytes.into()))
    }

    /// The bytes of the name.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A path relative to the root of a store.
///
/// Invariants: no leading slash; every component holds the invariants of a
/// [`Name`]; at most [`MAX_PATH`] bytes. The empty path is the root itself.
/// The bytes need not be UTF-8. Cloning is cheap.
///
/// `Display` gives the [printable form](Self::printable).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StorePath(Arc<[u8]>);

impl StorePath {
    /// The root of the store: the empty path.
    #[must_use]
    pub fn root() -> Self {
        Self(Arc::from(&[][..]))
    }

    /// Checks `bytes` against the invariants of a path. Nothing is repaired:
    /// foreign bytes either are a path or are refused.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn parse(bytes: &[u8]) -> Result<Self, PathError> {
        if bytes.len() > MAX_PATH {
            return Err(PathError::PathTooLong);
        }
        if bytes.first() == Some(&b'/') {
            return Err(PathError::Absolute);
        }
        if !bytes.is_empty() {
            bytes.split(|&b| b == b'/').try_for_each(check_component)?;
        }
        Ok(Self(bytes.into()))
    }

    /// Takes a path as a user types it, for a store rooted where the path
    /// starts: a leading slash, repeated slashes, a slash at the end and
    /// components `.` are dropped.
    ///
    /// # Errors
    /// `..` is refused, since what it means depends on the links before it;
    /// and so is whatever else [`parse`](Self::parse) refuses.
    pub fn from_typed(path: &Path) -> Result<Self, PathError> {
        let bytes = path.as_os_str().as_bytes();
        let kept = bytes.split(|&b| b == b'/');
        let kept: Vec<&[u8]> = kept.filter(|c| !c.is_empty() && *c != b".").collect();
        Self::parse(&kept.join(&b'/'))
    }

    /// Whether this is the root of the store.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this is `directory` or lies below it.
    #[must_use]
    pub fn is_within(&self, directory: &Self) -> bool {
        let rest = self.0.strip_prefix(directory.as_bytes());
        directory.is_root() || rest.is_some_and(|rest| rest.first().is_none_or(|next| *next == b'/'))
    }

    /// The bytes of the path, components separated by single slashes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path as the operating system takes it, relative to the store's root.
    #[must_use]
    pub fn as_os_path(&self) -> &Path {
        Path::new(std::ffi::OsStr::from_bytes(&self.0))
    }

    /// The components from the root downwards; none for the root.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.split(|&b| b == b'/').filter(|c| !c.is_empty())
    }

    /// The directory that holds this entry; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.split().map(|(parent, _)| parent)
    }

    /// The last component; `None` for the root.
    #[must_use]
    pub fn name(&self) -> Option<Name> {
        self.components().next_back().map(|name| Name(name.into()))
    }

    /// Parent and last component; `None` for the root.
    #[must_use]
    pub fn split(&self) -> Option<(Self, Name)> {
        let name = self.name()?;
        let end = self.0.len() - name.0.len();
        let parent = self.0.get(..end.saturating_sub(1)).unwrap_or_default();
        Some((Self(parent.into()), name))
    }

    /// The path of the entry `name` of this directory.
    ///
    /// # Errors
    /// [`PathError::PathTooLong`].
    pub fn join(&self, name: &Name) -> Result<Self, PathError> {
        self.append(&name.0)
    }

    /// The path `below`, taken relative to this directory.
    ///
    /// # Errors
    /// [`PathError::PathTooLong`].
    pub fn join_path(&self, below: &Self) -> Result<Self, PathError> {
        self.append(&below.0)
    }

    /// The part of this path below `ancestor`; `None` if it is not inside.
    /// A path is inside itself.
    #[must_use]
    pub fn below(&self, ancestor: &Self) -> Option<Self> {
        let rest = self.0.strip_prefix(ancestor.as_bytes())?;
        match rest {
            [] => Some(Self::root()),
            _ if ancestor.is_root() => Some(self.clone()),
            [b'/', inside @ ..] => Some(Self(inside.into())),
            _ => None,
        }
    }

    fn append(&self, tail: &[u8]) -> Result<Self, PathError> {
        if self.is_root() {
            return Ok(Self(tail.into()));
        }
        if tail.is_empty() {
            return Ok(self.clone());
        }
        let joined = [&self.0, tail].join(&b'/');
        if joined.len() > MAX_PATH {
            return Err(PathError::PathTooLong);
        }
        Ok(Self(joined.into()))
    }

    /// A form for messages and logs that loses nothing: control characters,
    /// characters that turn or hide text, backslashes and bytes that are not
    /// UTF-8 are escaped; the root is `.`.
    #[must_use]
    pub fn printable(&self) -> String {
        if self.is_root() { ".".into() } else { printable::escape(&self.0) }
    }

    /// The path that has this [printable form](Self::printable).
    ///
    /// # Errors
    /// [`PathError::Escape`], or what [`parse`](Self::parse) refuses.
    pub fn from_printable(text: &str) -> Result<Self, PathError> {
        if text == "." {
            return Ok(Self::root());
        }
        Self::parse(&printable::unescape(text).ok_or(PathError::Escape)?)
    }
}

fn check_component(name: &[u8]) -> Result<(), PathError> {
    match name {
        b"" => Err(PathError::EmptyComponent),
        b"." | b".." => Err(PathError::DotComponent),
        _ if name.contains(&0) => Err(PathError::Nul),
        _ if name.len() > MAX_NAME => Err(PathError::NameTooLong),
        _ => Ok(()),
    }
}

impl From<Name> for StorePath {
    fn from(name: Name) -> Self {
        Self(name.0.into())
    }
}

impl fmt::Display for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.printable())
    }
}

impl fmt::Debug for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StorePath({self})")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable::escape(&self.0))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

#[cfg(test)]
mod tests;
