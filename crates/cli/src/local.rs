//! Local paths as the client's stores know them: sources relative to the root
//! of the file system, a download's destination relative to the directory that
//! the download may not leave.

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

/// Where a download may write, and where below it goes.
#[derive(Debug)]
pub struct Place {
    /// The deepest directory on the way that exists, links resolved: what the
    /// user named is followed, what the other end names is not.
    pub root: PathBuf,
    /// The rest of the way.
    pub below: PathBuf,
}

/// The place of a download's destination as typed.
///
/// # Errors
/// If it cannot be made absolute, or nothing above it can be looked at.
pub fn place(typed: &Path) -> Result<Place, LocalError> {
    resolve_place(typed).map_err(|source| LocalError::Io { path: typed.to_owned(), source })
}

fn resolve_place(typed: &Path) -> io::Result<Place> {
    let absolute = absolute(typed)?;
    let named = absolute.canonicalize().unwrap_or(absolute);
    let existing = named.ancestors().find(|above| above.is_dir()).unwrap_or(Path::new("/"));
    let below = named.strip_prefix(existing).unwrap_or(Path::new(""));
    Ok(Place { root: existing.canonicalize()?, below: below.to_owned() })
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
    fn a_download_may_not_leave_the_deepest_directory_that_exists() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(folder.path().join("real/inner")).unwrap();
        std::fs::write(folder.path().join("real/file"), "").unwrap();
        std::os::unix::fs::symlink("real", folder.path().join("link")).unwrap();
        for (typed, root, below) in [
            ("link", "real", ""),
            ("link/inner/", "real/inner", ""),
            ("link/new", "real", "new"),
            ("link/a/b", "real", "a/b"),
            ("real/file", "real", "file"),
            ("real/inner/../x", "real", "x"),
        ] {
            let place = place(&folder.path().join(typed)).unwrap();
            assert_eq!((place.root, place.below), (real.join(root), PathBuf::from(below)), "{typed}");
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
