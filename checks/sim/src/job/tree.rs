//! Trees of files: random ones to send, and what is found of them later.

use std::collections::BTreeMap;

use limosa_storage::{Attributes, FollowLinks, Kind, Name, ReadFile, Result, Store, StorePath, Timestamp, WriteFile};
use limosa_transfer::receiver::naming::PARTIAL_PREFIX;
use limosa_wire::layout::Digest;

use super::algorithm;
use crate::random::Random;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// Bytes written or read at a time.
const PORTION: usize = 256 << 10;

/// What stands under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A directory.
    Directory,
    /// A link, and what it holds.
    Link(Vec<u8>),
    /// A file: its length, and a digest of it.
    File(u64, Digest),
}

/// What stands under a name, with its attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What it is.
    pub content: Content,
    /// Its permission bits.
    pub mode: u32,
    /// Its last change.
    pub modified: Timestamp,
}

impl Item {
    /// The same but for bits that mean something else to another user, and
    /// for what a link's mode may be.
    #[must_use]
    pub fn as_sent(&self) -> Self {
        let mode = if matches!(self.content, Content::Link(_)) { 0 } else { self.mode & 0o777 };
        Self { mode, ..self.clone() }
    }
}

/// A tree as it was found, by paths relative to its root.
pub type Tree = BTreeMap<StorePath, Item>;

/// Everything below `root`; nothing if that is missing. Files under way are
/// left out, and counted.
///
/// # Errors
/// What the store reports.
pub fn survey(store: &dyn Store, root: &StorePath) -> Result<(Tree, usize)> {
    let mut tree = Tree::new();
    let mut under_way = 0;
    let mut ahead = vec![StorePath::root()];
    while let Some(directory) = ahead.pop() {
        let place = root.join_path(&directory).expect("paths of a test are short");
        let page = match store.list(&place, None, usize::MAX) {
            Err(error) if directory.is_root() && error.kind() == limosa_storage::ErrorKind::NotFound => break,
            page => page?,
        };
        for entry in page.entries {
            if entry.name.as_bytes().starts_with(PARTIAL_PREFIX) && entry.name.as_bytes().len() > 24 {
                under_way += 1;
                continue;
            }
            let path = directory.join(&entry.name).expect("paths of a test are short");
            let item = look(store, &root.join_path(&path).expect("paths of a test are short"))?;
            if item.content == Content::Directory {
                ahead.push(path.clone());
            }
            tree.insert(path, item);
        }
    }
    Ok((tree, under_way))
}

fn look(store: &dyn Store, path: &StorePath) -> Result<Item> {
    let found = store.metadata(path, FollowLinks::No)?;
    let content = match found.kind {
        Kind::Directory => Content::Directory,
        Kind::Symlink => Content::Link(store.read_link(path)?),
        _ => Content::File(found.size, digest(&*store.open(path, FollowLinks::No)?)?),
    };
    Ok(Item { content, mode: found.mode, modified: found.modified })
}

fn digest(file: &dyn ReadFile) -> Result<Digest> {
    let mut hasher = algorithm().hasher();
    let mut buffer = vec![0; PORTION];
    let mut at = 0;
    loop {
        match file.read_at(at, &mut buffer)? {
            0 => return Ok(hasher.finish()),
            read => hasher.update(&buffer[..read]),
        }
        at += buffer.len() as u64;
    }
}

/// Bytes of all files.
#[must_use]
pub fn bytes(tree: &Tree) -> u64 {
    let sizes = tree.values().map(|item| if let Content::File(size, _) = item.content { size } else { 0 });
    sizes.sum()
}

/// Makes a file of random bytes.
///
/// # Errors
/// What the store reports.
pub fn plant_file(store: &dyn Store, path: &StorePath, size: u64, random: &mut Random) -> Result<()> {
    let file = store.create(path)?;
    plant_bytes(&*file, 0, size, random)
}

fn plant_bytes(file: &dyn WriteFile, from: u64, length: u64, random: &mut Random) -> Result<()> {
    let mut buffer = vec![0; PORTION.min(length as usize)];
    let mut at = 0;
    while at < length {
        let part = (length - at).min(PORTION as u64) as usize;
        for word in buffer[..part].chunks_mut(8) {
            word.copy_from_slice(&random.next_u64().to_le_bytes()[..word.len()]);
        }
        file.write_at(from + at, &buffer[..part])?;
        at += part as u64;
    }
    Ok(())
}

/// Plants a random tree below `root`, which is made; with `large` one of its
/// files is large enough to have a journal.
///
/// # Errors
/// What the store reports.
pub fn plant(store: &dyn Store, root: &StorePath, large: bool, random: &mut Random) -> Result<()> {
    store.make_directory(root)?;
    let mut directories = vec![root.clone()];
    let most = if random.hits(0.1) { 60 } else { 14 };
    let items = 1 + random.below(most);
    let large_at = random.below(items);
    for number in 0..items {
        let parent = directories[random.below(directories.len() as u64) as usize].clone();
        let path = parent.join(&name(number, random)).expect("paths of a test are short");
        if large && number == large_at {
            plant_file(store, &path, 16 * MIB + random.below(24 * MIB), random)?;
            dress(store, &path, random)?;
        } else if random.hits(0.15) {
            store.make_directory(&path)?;
            directories.push(path);
        } else if random.hits(0.12) {
            store.make_link(&path, TARGETS[random.below(TARGETS.len() as u64) as usize])?;
            dress(store, &path, random)?;
        } else {
            plant_some_file(store, &path, random)?;
            dress(store, &path, random)?;
        }
    }
    // Their times change with what is put into them.
    directories.iter().rev().try_for_each(|directory| dress(store, directory, random))
}

const TARGETS: [&[u8]; 5] = [b"elsewhere", b"../..", b"/etc/passwd", b"\xff\n", b"a/b/../c"];

/// A name that no other number gives; some are odd.
fn name(number: u64, random: &mut Random) -> Name {
    let name = match random.below(12) {
        0 => [b"\xff\xfe\n".as_slice(), number.to_string().as_bytes()].concat(),
        1 => format!("-rf {number}").into_bytes(),
        2 => format!("...{number}").into_bytes(),
        3 => format!("{}{number}", "n".repeat(250)).into_bytes(),
        4 => format!("\u{1b}[2J {number}").into_bytes(),
        5 => format!(".limosa-{number}").into_bytes(),
        6 => format!("名前 {number}").into_bytes(),
        _ => format!("file{number}").into_bytes(),
    };
    Name::parse(&name).expect("odd names are names")
}

fn plant_some_file(store: &dyn Store, path: &StorePath, random: &mut Random) -> Result<()> {
    let size = match random.below(20) {
        0..3 => 0,
        3..13 => random.below(6 * KIB),
        13..18 => random.below(100 * KIB),
        18 => random.below(MIB) + 1,
        _ => [MIB - 1, MIB, MIB + 1, 2 * MIB, 2 * MIB + 7][random.below(5) as usize],
    };
    if size > 8 * KIB && random.hits(0.2) {
        return plant_holes(store, path, size * 3, random);
    }
    plant_file(store, path, size, random)
}

/// A file that is mostly holes.
fn plant_holes(store: &dyn Store, path: &StorePath, size: u64, random: &mut Random) -> Result<()> {
    let file = store.create(path)?;
    for _ in 0..random.below(4) {
        let from = random.below(size);
        plant_bytes(&*file, from, random.below(9 * KIB).min(size - from), random)?;
    }
    file.truncate(size)
}

/// Gives random attributes.
fn dress(store: &dyn Store, path: &StorePath, random: &mut Random) -> Result<()> {
    let seconds = random.below(4_000_000_000).cast_signed() - 1_000_000_000;
    let modified = Timestamp::new(seconds, random.below(1_000_000_000) as u32);
    let mode = random.below(0o10000) as u32;
    store.set_attributes(path, &Attributes::default().with_mode(mode).with_modified(modified))
}

/// Puts into `root` some of what `tree` will bring, in older versions, and
/// some of what it will not.
///
/// # Errors
/// What the store reports.
pub fn plant_older(store: &dyn Store, root: &StorePath, tree: &Tree, random: &mut Random) -> Result<()> {
    for (path, item) in tree {
        let place = root.join_path(path).expect("paths of a test are short");
        let has_parent = place.parent().is_some_and(|parent| store.metadata(&parent, FollowLinks::No).is_ok());
        if !has_parent || !random.hits(0.5) {
            continue;
        }
        match &item.content {
            Content::Directory => store.make_directory(&place)?,
            Content::Link(_) => store.make_link(&place, b"older")?,
            Content::File(size, _) => {
                // Now and then of the same length.
                let size = if random.hits(0.3) { (*size).min(MIB) } else { random.below(9 * KIB) };
                plant_file(store, &place, size, random)?;
                dress(store, &place, random)?;
            }
        }
    }
    let beside = root.join(&Name::parse(b"not of this tree").expect("a name")).expect("a short path");
    plant_file(store, &beside, random.below(9 * KIB), random)
}
