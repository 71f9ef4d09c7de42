//! Trees to be sent.

use limosa_storage::{FollowLinks, MemoryStore, Store, StorePath};

use crate::line::Dice;

pub(crate) fn path(text: &str) -> StorePath {
    StorePath::parse(text.as_bytes()).expect("a path")
}

pub(crate) fn directory(store: &MemoryStore, name: &str) {
    store.make_directory(&path(name)).expect("made");
}

pub(crate) fn file(store: &MemoryStore, name: &str, content: &[u8]) {
    store.create(&path(name)).and_then(|handle| handle.write_at(0, content)).expect("written");
}

pub(crate) fn link(store: &MemoryStore, name: &str, target: &[u8]) {
    store.make_link(&path(name), target).expect("made");
}

/// Bytes that look random.
pub(crate) fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut dice = Dice(seed);
    let mut bytes: Vec<u8> = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        dice.roll(1);
        bytes.extend((dice.0 ^ dice.0 >> 29).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A file of `size` bytes, with a hole in its middle or not.
pub(crate) fn sparse(store: &MemoryStore, name: &str, seed: u64, size: u64, hole: bool) {
    let handle = store.create(&path(name)).expect("created");
    handle.truncate(size).expect("lengthened");
    let content = bytes(seed, size as usize);
    let parts = if hole { [0..size / 5, size / 5 * 4..size] } else { [0..size, size..size] };
    for part in parts {
        handle.write_at(part.start, &content[part.start as usize..part.end as usize]).expect("written");
    }
}

/// A name for the file `index`, below as many directories as `parent` says.
pub(crate) fn place(store: &MemoryStore, parent: u8, index: usize) -> String {
    let mut name = "t".to_owned();
    for level in 0..parent {
        name = format!("{name}/d{level}");
        if store.metadata(&path(&name), FollowLinks::No).is_err() {
            directory(store, &name);
        }
    }
    format!("{name}/f{index}")
}

/// Everything in a file.
pub(crate) fn content(store: &MemoryStore, name: &str) -> Vec<u8> {
    let handle = store.open(&path(name), FollowLinks::Yes).expect("opened");
    let size = handle.metadata().expect("metadata").size;
    let mut bytes = vec![0; size as usize];
    assert_eq!(handle.read_at(0, &mut bytes).expect("read"), bytes.len());
    bytes
}
