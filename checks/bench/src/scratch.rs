//! What a run needs around it: a directory that goes when the run does, files,
//! keys.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::remains::Directory;

/// A directory that goes when this does.
#[derive(Debug)]
pub struct Scratch(Directory);

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
        Ok(Self(Directory::make(path)?))
    }

    /// The path of something in it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Makes a key without passphrase, if it is not there yet; its path.
    ///
    /// # Errors
    /// If `ssh-keygen` is not there or fails.
    pub fn key(&self, name: &str) -> io::Result<PathBuf> {
        let key = self.path(name);
        if key.exists() {
            return Ok(key);
        }
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key);
        check(keygen.stdin(Stdio::null()))?;
        Ok(key)
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

/// Finds a program as a shell would, and where only root's shell looks.
#[must_use]
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|candidate| candidate.is_file())
}

/// Whether two files, or two trees of them, hold the same bytes under the same
/// names.
///
/// # Errors
/// If something cannot be read.
pub fn same(left: &Path, right: &Path) -> io::Result<bool> {
    if !left.is_dir() {
        return Ok(right.is_file() && same_bytes(left, right)?);
    }
    if !right.is_dir() || names(left)? != names(right)? {
        return Ok(false);
    }
    for name in names(left)? {
        if !same(&left.join(&name), &right.join(&name))? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn names(folder: &Path) -> io::Result<BTreeSet<OsString>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect()
}

fn same_bytes(left: &Path, right: &Path) -> io::Result<bool> {
    const BLOCK: usize = 1 << 20;
    let (left, right) = (fs::File::open(left)?, fs::File::open(right)?);
    let length = left.metadata()?.len();
    if length != right.metadata()?.len() {
        return Ok(false);
    }
    let (mut one, mut two) = (vec![0; BLOCK], vec![0; BLOCK]);
    for at in (0..length).step_by(BLOCK) {
        let part = usize::try_from(length - at).unwrap_or(BLOCK).min(BLOCK);
        left.read_exact_at(&mut one[..part], at)?;
        right.read_exact_at(&mut two[..part], at)?;
        if one[..part] != two[..part] {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Bytes that a file, or the files of a tree, take of their file system: less
/// than their lengths where one has holes that are yet to be filled.
#[must_use]
pub fn bytes_taken(path: &Path) -> u64 {
    /// What `stat` calls a block on every file system.
    const BLOCK: u64 = 512;
    let Ok(about) = fs::symlink_metadata(path) else { return 0 };
    if !about.is_dir() {
        return (about.blocks() * BLOCK).min(about.len());
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| bytes_taken(&entry.path())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_are_the_same_if_names_and_bytes_are() {
        let scratch = Scratch::below(&std::env::temp_dir(), "same").unwrap();
        let file = |name: &str, bytes: &[u8]| {
            fs::create_dir_all(scratch.path(name).parent().unwrap()).unwrap();
            fs::write(scratch.path(name), bytes).unwrap();
        };
        for tree in ["one", "two"] {
            file(&format!("{tree}/below/a"), b"bytes");
            file(&format!("{tree}/b"), b"");
        }
        let compare = || same(&scratch.path("one"), &scratch.path("two")).unwrap();
        assert!(compare());
        file("two/below/a", b"bytez");
        assert!(!compare());
        file("two/below/a", b"bytes");
        file("two/more", b"");
        assert!(!compare());
        assert!(!same(&scratch.path("one/b"), &scratch.path("nothing")).unwrap());
    }

    #[test]
    fn what_a_hole_lacks_is_not_taken() {
        let scratch = Scratch::below(&std::env::temp_dir(), "taken").unwrap();
        let file = fs::File::create(scratch.path("file")).unwrap();
        file.set_len(1 << 20).unwrap();
        assert_eq!(bytes_taken(&scratch.path("file")), 0);
        file.write_all_at(&[1; 8192], 0).unwrap();
        assert_eq!(bytes_taken(&scratch.path("")), 8192);
    }
}
