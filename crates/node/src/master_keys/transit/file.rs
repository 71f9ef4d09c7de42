//! A description on the disk. Under its name there is the whole file or none.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::state::replace_shared_file;

/// Writes a file that is not there yet, which everybody may read.
pub(super) fn create(path: &Path, text: &[u8]) -> io::Result<()> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(text)?;
    // Whatever the umask: it holds no secret, and sessions behind OpenSSH read
    // it as their logins.
    file.as_file().set_permissions(Permissions::from_mode(0o644))?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    File::open(directory)?.sync_all()
}

/// Replaces the file at the end of the links at `path`; mode and owner stay.
pub(super) fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    replace_shared_file(&path.canonicalize()?, text)
}
