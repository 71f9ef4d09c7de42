//! Trees to transfer, and their comparison.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// A tree with what tends to break: empty, small, larger, odd names, a link.
pub fn make(root: &Path) {
    fs::create_dir_all(root.join("deep/er")).unwrap();
    fs::write(root.join("empty"), b"").unwrap();
    fs::write(root.join("deep/small\nname"), b"a few bytes").unwrap();
    fs::write(root.join("deep/er/larger"), bytes(3_000_000)).unwrap();
    fs::set_permissions(root.join("empty"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("empty", root.join("deep/link")).unwrap();
    for index in 0..50 {
        fs::write(root.join(format!("deep/er/{index}")), bytes(index * 37)).unwrap();
    }
}

/// So many bytes that do not repeat soon.
pub fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// What a tree holds: content or target of a link, permissions and time by
/// path.
fn read(root: &Path) -> BTreeMap<PathBuf, (Vec<u8>, u32, i64)> {
    let (mut all, mut open) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let content = if metadata.is_dir() {
                open.push(path.clone());
                Vec::new()
            } else if metadata.is_symlink() {
                fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
            } else {
                fs::read(&path).unwrap()
            };
            let mtime = if metadata.is_symlink() { 0 } else { metadata.mtime() };
            all.insert(path.strip_prefix(root).unwrap().to_owned(), (content, metadata.mode() & 0o7777, mtime));
        }
    }
    all
}

/// Fails unless both trees are equal in names, content, permissions and times.
pub fn assert_equal(left: &Path, right: &Path) {
    let (left, right) = (read(left), read(right));
    assert!(!left.is_empty());
    assert!(left.keys().eq(right.keys()), "{:?} {:?}", left.keys(), right.keys());
    for (path, entry) in &left {
        assert!(right[path] == *entry, "{} differs", path.display());
    }
}
