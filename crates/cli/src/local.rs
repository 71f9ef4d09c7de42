//! Local paths as the client's store knows them: relative to the root of the
//! file system.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use limosa_storage::{PathError, StorePath};
use limosa_transfer::sender::Source;
use thiserror::Error;

/// Why a local path cannot be used.
#[derive(Debug, Error)]
pub enum LocalError {
    /// It, or where it starts, cannot be looked at.
    #[error("{}: {source}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no path that a store can hold.
    #[error("{}: {source}", path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// What is wrong.
        source: PathError,
    },
}

/// A source as typed: with a slash or a dot at its end it stands for its
/// content.
///
/// # Errors
/// If it cannot be made absolute.
pub fn source(typed: &Path) -> Result<Source, LocalError> {
    let path = store_path(typed)?;
    Ok(if names_content(typed.as_os_str()) { Source::contents(path) } else { Source::itself(path) })
}

/// Whether a source stands for what it holds: `dir/`, `.`, `..`.
fn names_content(typed: &OsStr) -> bool {
    let bytes = typed.as_bytes();
    let last = bytes.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    last.is_empty() || last == b"." || last == b".."
}

/// Whether a destination as typed must be a directory: `dir/`, `.`, `..`.
#[must_use]
pub fn names_directory(typed: &Path) -> bool {
    names_content(typed.as_os_str())
}

/// A local path as the store rooted at `/` knows it. Components `..` are
/// resolved by the file system, since what they mean depends on links.
///
/// # Errors
/// If it cannot be made absolute.
pub fn store_path(typed: &Path) -> Result<StorePath, LocalError> {
    let absolute = absolute(typed).map_err(|source| LocalError::Io { path: typed.to_owned(), source })?;
    StorePath::from_typed(&absolute).map_err(|source| LocalError::Path { path: typed.to_owned(), source })
}

fn absolute(typed: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(typed)?;
    let components: Vec<_> = absolute.components().collect();
    let Some(last_up) = components.iter().rposition(|component| *component == Component::ParentDir) else {
        return Ok(absolute);
    };
    let (through, below) = components.split_at(last_up + 1);
    let mut resolved = through.iter().collect::<PathBuf>().canonicalize()?;
    resolved.extend(below);
    Ok(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_for_its_content() {
        for (typed, content) in [("a", false), ("a/", true), ("a/.", true), (".", true), ("..", true), ("a/..b", false)]
        {
            assert_eq!(names_content(OsStr::new(typed)), content, "{typed}");
        }
    }

    #[test]
    fn parents_are_resolved_by_the_file_system() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("real/inner")).unwrap();
        std::os::unix::fs::symlink("real/inner", folder.path().join("link")).unwrap();
        let path = store_path(&folder.path().join("link/../file")).unwrap();
        let expected = folder.path().canonicalize().unwrap().join("real/file");
        assert_eq!(path.as_os_path(), expected.strip_prefix("/").unwrap());
    }
}
