//! Comparing two trees: every byte, mode, time and link.

use std::fs::{self, File, Metadata};
use std::io::{BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Context;

/// What a comparison found.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    /// Files compared.
    pub(super) files: u64,
    /// Bytes of them.
    pub(super) bytes: u64,
    /// What differs, one line each.
    pub(super) differences: Vec<String>,
}

/// Compares two files or trees.
pub(super) fn trees(left: &Path, right: &Path) -> anyhow::Result<Comparison> {
    let mut comparison = Comparison::default();
    compare(left, right, &mut comparison)?;
    Ok(comparison)
}

fn compare(left: &Path, right: &Path, found: &mut Comparison) -> anyhow::Result<()> {
    let a = fs::symlink_metadata(left).with_context(|| left.display().to_string())?;
    let Ok(b) = fs::symlink_metadata(right) else {
        found.differences.push(format!("{} is missing", right.display()));
        return Ok(());
    };
    if a.file_type() != b.file_type() {
        found.differences.push(format!("{} is of another kind", right.display()));
    } else if a.is_symlink() {
        if fs::read_link(left)? != fs::read_link(right)? {
            found.differences.push(format!("{} points elsewhere", right.display()));
        }
    } else {
        attributes(right, &a, &b, found);
        if a.is_dir() { directories(left, right, found)? } else { files(left, right, &a, &b, found)? }
    }
    Ok(())
}

fn attributes(path: &Path, a: &Metadata, b: &Metadata, found: &mut Comparison) {
    if a.mode() & 0o777 != b.mode() & 0o777 {
        found.differences.push(format!("{} has another mode", path.display()));
    }
    if (a.mtime(), a.mtime_nsec()) != (b.mtime(), b.mtime_nsec()) {
        found.differences.push(format!("{} has another time", path.display()));
    }
}

fn directories(left: &Path, right: &Path, found: &mut Comparison) -> anyhow::Result<()> {
    let names = |path: &Path| -> anyhow::Result<Vec<_>> {
        let entries = fs::read_dir(path)?.map(|entry| Ok(entry?.file_name())).collect::<std::io::Result<Vec<_>>>();
        let mut names = entries.with_context(|| path.display().to_string())?;
        names.sort();
        Ok(names)
    };
    let (ours, theirs) = (names(left)?, names(right)?);
    if ours != theirs {
        found.differences.push(format!("{} lists other names", right.display()));
    }
    ours.iter().try_for_each(|name| compare(&left.join(name), &right.join(name), found))
}

fn files(left: &Path, right: &Path, a: &Metadata, b: &Metadata, found: &mut Comparison) -> anyhow::Result<()> {
    found.files += 1;
    found.bytes += a.len();
    if a.is_file() && (a.len() != b.len() || !same_bytes(left, right)?) {
        found.differences.push(format!("{} has other bytes", right.display()));
    }
    Ok(())
}

fn same_bytes(left: &Path, right: &Path) -> anyhow::Result<bool> {
    const BLOCK: usize = 1 << 20;
    let (mut a, mut b) = (BufReader::new(File::open(left)?), BufReader::new(File::open(right)?));
    let (mut ours, mut theirs) = (vec![0; BLOCK], vec![0; BLOCK]);
    loop {
        let read = a.read(&mut ours)?;
        if read == 0 {
            return Ok(b.read(&mut theirs)? == 0);
        }
        if b.read_exact(&mut theirs[..read]).is_err() || ours[..read] != theirs[..read] {
            return Ok(false);
        }
    }
}
