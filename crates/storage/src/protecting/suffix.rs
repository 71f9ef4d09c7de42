//! What the names of encrypted files end in.

use crate::path::{Name, PathError, StorePath};

/// What the names of encrypted files end in, such as `.aspera-env`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suffix(Vec<u8>);

impl Suffix {
    /// A suffix of these bytes.
    ///
    /// # Errors
    /// If there are none, or they could not be in a name.
    pub fn new(bytes: &[u8]) -> Result<Self, PathError> {
        Name::parse(&[b"x", bytes].concat())?;
        if bytes.is_empty() { Err(PathError::EmptyComponent) } else { Ok(Self(bytes.to_vec())) }
    }

    /// The name of the encrypted file.
    ///
    /// # Errors
    /// If it is too long.
    pub fn added_to(&self, name: &Name) -> Result<Name, PathError> {
        Name::parse(&[name.as_bytes(), &self.0].concat())
    }

    /// The path of the encrypted file.
    ///
    /// # Errors
    /// If it is too long, or that of the root, which is no file's.
    pub fn added_to_path(&self, path: &StorePath) -> Result<StorePath, PathError> {
        let (parent, name) = path.split().ok_or(PathError::EmptyComponent)?;
        parent.join(&self.added_to(&name)?)
    }

    /// The name of the file that was encrypted; `None` for a name that does not
    /// end in this, or has nothing in front of it.
    #[must_use]
    pub fn taken_off(&self, name: &Name) -> Option<Name> {
        Name::parse(name.as_bytes().strip_suffix(self.0.as_slice())?).ok()
    }

    /// The path of the file that was encrypted, likewise.
    #[must_use]
    pub fn taken_off_path(&self, path: &StorePath) -> Option<StorePath> {
        let (parent, name) = path.split()?;
        parent.join(&self.taken_off(&name)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_gain_it_and_lose_it() {
        let suffix = Suffix::new(b".env").unwrap();
        let path = |text: &str| StorePath::parse(text.as_bytes()).unwrap();
        assert_eq!(suffix.added_to_path(&path("d/f")).unwrap(), path("d/f.env"));
        assert_eq!(suffix.taken_off_path(&path("d/f.env")), Some(path("d/f")));
        for without in ["d/f", "d/.env", "d.env/f", ""] {
            assert_eq!(suffix.taken_off_path(&path_or_root(without)), None, "{without}");
        }
        assert!(suffix.added_to_path(&path(&"n".repeat(252))).is_err());
        assert!(Suffix::new(b"").is_err() && Suffix::new(b"a/b").is_err());
    }

    fn path_or_root(text: &str) -> StorePath {
        if text.is_empty() { StorePath::root() } else { StorePath::parse(text.as_bytes()).unwrap() }
    }
}
