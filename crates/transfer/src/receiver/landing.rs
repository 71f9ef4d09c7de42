//! Where sources land at the destination.
//!
//! | sources | destination | stands there | they land as |
//! |---|---|---|---|
//! | one file | `d/f` | nothing | `d/f`; `d` is made if missing |
//! | one file | `d/f` | a directory | `d/f/` and its own name |
//! | one file | `d/f` | a file | `d/f`, by the overwrite rule |
//! | one file | `d/` | anything | `d/` and its own name; `d` is made if missing |
//! | several, or a directory | `d` | anything | `d/` and their own names; `d` is made if missing |
//! | content of a directory (`src/`) | `d` | anything | merged into `d`; `d` is made if missing |
//!
//! "One file" is one source whose first entry is no directory and has no `/` in
//! its path. The content of a directory that holds a single file looks the
//! same; so whoever asks for content counts it as more than one source, or
//! announces the directory itself with an empty path first.

use limosa_storage::{ErrorKind, FollowLinks, PathError, Result, Store, StorePath};

use super::naming::PARTIAL_PREFIX;

/// Entries looked through for partial files before a directory counts as used.
const SURVEY_LIMIT: usize = 1024;

/// A destination as a user typed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    path: StorePath,
    directory: bool,
}

impl Destination {
    /// Reads a destination as typed, relative to the root of its store: a
    /// slash at the end, `.` or nothing at all mean a directory.
    ///
    /// # Errors
    /// If it is no path inside a store.
    pub fn parse(typed: &[u8]) -> std::result::Result<Self, PathError> {
        use std::os::unix::ffi::OsStrExt;
        let path = StorePath::from_typed(std::path::Path::new(std::ffi::OsStr::from_bytes(typed)))?;
        let directory = path.is_root() || typed.ends_with(b"/") || typed.ends_with(b"/.");
        Ok(Self { path, directory })
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &StorePath {
        &self.path
    }
}

/// What stands at a destination before a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing.
    Missing,
    /// A directory.
    Directory,
    /// Something else.
    Other,
}

/// A destination that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    destination: Destination,
    standing: Standing,
    fresh: bool,
}

impl Survey {
    /// Looks at a destination. Blocks: for a thread that may.
    ///
    /// # Errors
    /// What the store reports; a destination that is missing is no error.
    pub fn of(store: &dyn Store, destination: Destination) -> Result<Self> {
        let standing = standing(store, &destination.path)?;
        let fresh = match standing {
            Standing::Directory => is_empty(store, &destination.path)?,
            Standing::Missing if destination.directory => true,
            Standing::Missing => destination.path.parent().is_none_or(|parent| !may_hold_partials(store, &parent)),
            Standing::Other => false,
        };
        Ok(Self { destination, standing, fresh })
    }

    /// Whether nothing stands at the destination, partial files of earlier
    /// sessions included, so that no entry needs a verdict.
    #[must_use]
    pub fn fresh(&self) -> bool {
        self.fresh
    }

    /// What stands there.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// The directories above the destination, innermost first.
    pub(super) fn above(&self) -> impl Iterator<Item = StorePath> + use<> {
        std::iter::successors(self.destination.path.parent(), StorePath::parent)
    }

    /// Where entries land; `lone_file` says that the one source is no
    /// directory.
    #[must_use]
    pub fn landing(&self, sources: u32, lone_file: bool) -> Landing {
        let path = self.destination.path.clone();
        let named = sources <= 1 && lone_file && !self.destination.directory && self.standing != Standing::Directory;
        if named { Landing::As(path) } else { Landing::Into(path) }
    }
}

/// Where entries land.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Landing {
    /// Below this directory, under their own paths.
    Into(StorePath),
    /// The only one under exactly this name.
    As(StorePath),
}

impl Landing {
    /// The destination of an entry.
    ///
    /// # Errors
    /// If the path as a whole is too long.
    pub fn place(&self, path: &StorePath) -> std::result::Result<StorePath, PathError> {
        match self {
            Self::Into(directory) => directory.join_path(path),
            Self::As(name) => Ok(name.clone()),
        }
    }
}

fn standing(store: &dyn Store, path: &StorePath) -> Result<Standing> {
    match store.metadata(path, FollowLinks::Yes) {
        Ok(found) if found.is_directory() => Ok(Standing::Directory),
        Ok(_) => Ok(Standing::Other),
        // A link that points nowhere is something that stands there.
        Err(error) if error.kind() == ErrorKind::NotFound => match store.metadata(path, FollowLinks::No) {
            Ok(_) => Ok(Standing::Other),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Standing::Missing),
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    }
}

fn is_empty(store: &dyn Store, directory: &StorePath) -> Result<bool> {
    let mut from = None;
    loop {
        let page = store.list(directory, from.as_ref(), 1)?;
        match (page.entries.is_empty(), page.next) {
            (false, _) => return Ok(false),
            (true, None) => return Ok(true),
            (true, next) => from = next,
        }
    }
}

/// Whether partial files may lie in `directory`. One that cannot be read, or
/// is too large to look through, may hold some.
fn may_hold_partials(store: &dyn Store, directory: &StorePath) -> bool {
    match store.list(directory, None, SURVEY_LIMIT) {
        Ok(page) => {
            page.next.is_some() || page.entries.iter().any(|entry| entry.name.as_bytes().starts_with(PARTIAL_PREFIX))
        }
        Err(error) => error.kind() != ErrorKind::NotFound,
    }
}
