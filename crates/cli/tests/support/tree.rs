//! Trees of files: made from a seed, with what makes trees difficult, and
//! compared by content, kind, mode, time, link target and holes.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, FileTimes, Metadata, Permissions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use super::random::Random;

/// Names that programs stumble over.
pub const ODD_NAMES: &[&[u8]] = &[
    b"with space",
    b" leading and trailing ",
    b"new\nline",
    b"tab\tand\x07bell",
    b"caf\xe9 latin",
    b"\xff\xfe\x80",
    b"-rf",
    b"--help",
    b"*?[a-z]",
    b"quote'\"`$HOME\\",
    b"a:b",
    b"~",
    b"...",
    b".hidden",
    b"%s%n",
    "größe-π-🦀".as_bytes(),
    "e\u{301}".as_bytes(),
    ".limosa-notes".as_bytes(),
];

/// What a tree is to hold.
#[derive(Clone, Copy, Debug)]
pub struct Recipe {
    /// Small files, up to 4 KiB mostly.
    pub small: usize,
    /// Files up to 4 MiB.
    pub medium: usize,
    /// A file of 200 MB, of which a part is data.
    pub sparse: bool,
    /// Seed of names, sizes and content.
    pub seed: u64,
}

/// Makes a tree in `root`, which must not be there. Times are set last, so
/// that a directory's stays.
pub fn make(root: &Path, recipe: Recipe) {
    let mut random = Random::new(recipe.seed);
    fs::create_dir_all(root).unwrap();
    make_small(root, recipe.small, &mut random);
    for number in 0..recipe.medium {
        let length = 16_384 + random.below(4 << 20);
        fs::write(root.join(format!("medium-{number}")), random.bytes(usize_of(length))).unwrap();
    }
    if recipe.sparse {
        make_sparse(&root.join("sparse"), &mut random);
    }
    make_odd(&root.join("odd"), &mut random);
    make_links(&root.join("links"));
    make_empty(&root.join("empty"));
    set_attributes(root, &mut random);
}

fn usize_of(number: u64) -> usize {
    usize::try_from(number).unwrap()
}

fn make_small(root: &Path, count: usize, random: &mut Random) {
    for number in 0..count {
        let directory = root.join(format!("d{:02}/e{}", number % 37, number % 5));
        if number < 37 * 5 {
            fs::create_dir_all(&directory).unwrap();
        }
        let length = match random.below(20) {
            0 => 0,
            1 => 1 + random.below(64 << 10),
            _ => 1 + random.below(4 << 10),
        };
        fs::write(directory.join(format!("f{number}")), random.bytes(usize_of(length))).unwrap();
    }
}

/// Data at the start, in the middle at an odd place, and at the very end.
fn make_sparse(path: &Path, random: &mut Random) {
    const LENGTH: u64 = 200_000_000;
    let file = File::create(path).unwrap();
    file.set_len(LENGTH).unwrap();
    for (offset, length) in [(0, 10 << 20), (77_777_777, 24 << 20), (150_000_000, 1), (LENGTH - 5_000_001, 5_000_001)] {
        file.write_all_at(&random.bytes(length), offset).unwrap();
    }
}

fn make_odd(root: &Path, random: &mut Random) {
    fs::create_dir(root).unwrap();
    for name in ODD_NAMES {
        fs::write(root.join(OsStr::from_bytes(name)), random.bytes(100)).unwrap();
        let directory = root.join(OsStr::from_bytes(&[b"d ", *name].concat()));
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join(OsStr::from_bytes(name)), random.bytes(10)).unwrap();
    }
    fs::write(root.join("n".repeat(255)), b"the longest name").unwrap();
    let deep = (0..12).fold(root.to_owned(), |path, _| path.join("deep".repeat(50)));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("bottom"), b"far down").unwrap();
}

fn make_links(root: &Path) {
    fs::create_dir(root).unwrap();
    fs::write(root.join("file"), b"pointed at").unwrap();
    fs::create_dir(root.join("directory")).unwrap();
    for (name, target) in [
        ("relative", "file"),
        ("upwards", "../links/directory/../file"),
        ("to-directory", "directory"),
        ("absolute", "/etc/hostname"),
        ("dangling", "no/such/file"),
        ("dangling-absolute", "/no/such/file"),
        ("itself", "itself"),
        ("slash", "directory/"),
    ] {
        symlink(target, root.join(name)).unwrap();
    }
    symlink(OsStr::from_bytes(b"caf\xe9\n-rf"), root.join("odd")).unwrap();
    symlink("t".repeat(4000), root.join("long")).unwrap();
}

fn make_empty(root: &Path) {
    fs::create_dir_all(root.join("a/b/c")).unwrap();
    fs::create_dir(root.join("d")).unwrap();
    fs::write(root.join("nothing in it"), b"").unwrap();
}

/// Gives everything a mode and a time, from the leaves to the root.
fn set_attributes(path: &Path, random: &mut Random) {
    let found = fs::symlink_metadata(path).unwrap();
    if found.is_dir() {
        for child in children(path) {
            set_attributes(&child, random);
        }
        fs::set_permissions(path, Permissions::from_mode(pick(random, &[0o755, 0o700, 0o750, 0o711, 0o500]))).unwrap();
    } else if found.is_file() {
        fs::set_permissions(path, Permissions::from_mode(pick(random, &[0o644, 0o600, 0o400, 0o755, 0o444, 0o640])))
            .unwrap();
    }
    set_time(path, random);
}

/// Sorted, so that the same seed gives the same tree.
fn children(directory: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

fn pick(random: &mut Random, choices: &[u32]) -> u32 {
    choices[usize_of(random.below(choices.len() as u64))]
}

/// From 1938 to 2033, to the nanosecond.
fn set_time(path: &Path, random: &mut Random) {
    let seconds = i64::try_from(random.below(3_000_000_000)).unwrap() - 1_000_000_000;
    let time = Timespec { tv_sec: seconds, tv_nsec: i64::try_from(random.below(1_000_000_000)).unwrap() };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// Writes a file whose time of modification is `age` ago.
pub fn write_aged(path: &Path, content: &[u8], age: Duration) {
    let mut file = File::create(path).unwrap();
    file.write_all(content).unwrap();
    file.set_times(FileTimes::new().set_modified(SystemTime::now() - age)).unwrap();
}

/// Copies the files of a flat directory.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in children(from) {
        fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
    }
}

/// What two trees must have in common, besides the content of files.
#[derive(Debug, PartialEq, Eq)]
struct Attributes {
    kind: &'static str,
    mode: u32,
    modified: (i64, i64),
    length: Option<u64>,
    target: Option<PathBuf>,
}

impl Attributes {
    fn of(path: &Path, found: &Metadata) -> Self {
        let kind = match () {
            () if found.is_dir() => "directory",
            () if found.is_symlink() => "link",
            () => "file",
        };
        Self {
            kind,
            mode: found.mode(),
            modified: (found.mtime(), found.mtime_nsec()),
            length: found.is_file().then_some(found.len()),
            target: fs::read_link(path).ok(),
        }
    }
}

/// Checks that two trees are equal in everything that is sent.
pub fn assert_equal(expected: &Path, found: &Path) {
    let (left, right) = (attributes(expected), attributes(found));
    let missing: Vec<_> = left.keys().filter(|path| !right.contains_key(*path)).take(5).collect();
    let more: Vec<_> = right.keys().filter(|path| !left.contains_key(*path)).take(5).collect();
    assert!(missing.is_empty() && more.is_empty(), "missing {missing:?}, more {more:?}");
    for (path, attributes) in &left {
        assert_eq!(attributes, &right[path], "{}", path.display());
    }
    assert_same_content(expected, found);
}

/// Checks by `diff` that two trees hold the same names and content.
pub fn assert_same_content(expected: &Path, found: &Path) {
    let diff = Command::new("diff").args(["-r", "--no-dereference"]).arg(expected).arg(found).output().unwrap();
    let said = String::from_utf8_lossy(&diff.stdout);
    assert!(diff.status.success(), "{}{}", said.chars().take(2000).collect::<String>(), said.len());
}

/// The number of entries of a tree, its root included.
pub fn count(root: &Path) -> usize {
    attributes(root).len()
}

fn attributes(root: &Path) -> BTreeMap<PathBuf, Attributes> {
    let mut all = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        let found = fs::symlink_metadata(&path).unwrap();
        if found.is_dir() {
            open.extend(children(&path));
        }
        all.insert(path.strip_prefix(root).unwrap().to_owned(), Attributes::of(&path, &found));
    }
    all
}

/// Bytes that a file occupies on its disk.
pub fn occupied(path: &Path) -> u64 {
    fs::metadata(path).unwrap().blocks() * 512
}

/// Names in a flat directory that only files under way have. None are in one
/// that is not there.
pub fn leftovers(directory: &Path) -> Vec<PathBuf> {
    let under_way = |name: &PathBuf| {
        let name = name.as_os_str().as_bytes();
        name.starts_with(b".limosa-") && (name.ends_with(b".partial") || name.ends_with(b".journal"))
    };
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| PathBuf::from(entry.file_name())).filter(under_way).collect()
}
