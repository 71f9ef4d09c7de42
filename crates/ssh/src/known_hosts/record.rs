//! Adding a newly accepted key to a `known_hosts` file.

use super::{HostKey, HostName, KnownHostsError};
use rustix::fs::{FlockOperation, flock};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// The line that records `key` for `host`, with its line end.
#[must_use]
pub fn render(host: &HostName, key: &HostKey) -> String {
    format!("{host} {} {}\n", key.key_type(), key.base64())
}

/// Appends `key` for `host` to `file`, whole or not at all: under a lock, in
/// one write, after a line end if the last line has none. The file and its
/// directory are made, for the owner alone, where they are missing.
///
/// # Errors
/// If the file cannot be made or written.
pub fn append(file: &Path, host: &HostName, key: &HostKey) -> Result<(), KnownHostsError> {
    try_append(file, &render(host, key)).map_err(|source| KnownHostsError { file: file.to_owned(), source })
}

fn try_append(file: &Path, line: &str) -> io::Result<()> {
    if let Some(directory) = file.parent().filter(|path| !path.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let mut opened = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(file)?;
    flock(&opened, FlockOperation::LockExclusive)?;
    let text = if ends_with_line_end(&mut opened)? { line.to_owned() } else { format!("\n{line}") };
    opened.write_all(text.as_bytes())?;
    opened.sync_all()
}

fn ends_with_line_end(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}
