//! What a run needs around it: a directory that goes when the run does, files,
//! keys.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A directory that goes when this does.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// A directory in memory, named after the kind of run.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn in_memory(name: &str) -> io::Result<Self> {
        Self::below(Path::new("/dev/shm"), name)
    }

    /// A directory below `parent`.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn below(parent: &Path, name: &str) -> io::Result<Self> {
        let path = parent.join(format!("limosa-{name}-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// The path of something in it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Makes a key without passphrase; its path.
    ///
    /// # Errors
    /// If `ssh-keygen` is not there or fails.
    pub fn key(&self, name: &str) -> io::Result<PathBuf> {
        let key = self.path(name);
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key);
        check(keygen.stdin(Stdio::null()))?;
        Ok(key)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs a command that must succeed.
///
/// # Errors
/// If it cannot be run or does not succeed.
pub fn check(command: &mut Command) -> io::Result<()> {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("{command:?}: {status}"))) }
}

/// Writes bytes that do not compress and do not repeat.
///
/// # Errors
/// If the file cannot be written.
pub fn write_noise(path: &Path, length: u64) -> io::Result<()> {
    let mut random = fs::File::open("/dev/urandom")?.take(length);
    let written = io::copy(&mut random, &mut fs::File::create(path)?)?;
    if written == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// A program beside this example's directory: `target/release/NAME`.
///
/// # Errors
/// If this program's own place is unknown.
pub fn beside(name: &str) -> io::Result<PathBuf> {
    let here = std::env::current_exe()?;
    let folder = here.parent().and_then(Path::parent).ok_or(io::ErrorKind::NotFound)?;
    Ok(folder.join(name))
}
