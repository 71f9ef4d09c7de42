//! Changes to `limosad.toml` in place: one key at a time, all else left as it
//! was written, comments and order included.
//!
//! What was read and what would be written must both be valid; else nothing is
//! written. The file is replaced whole and keeps its mode and owner; whoever
//! else changes it by these means waits.

use std::fs::{DirBuilder, File};
use std::io::ErrorKind;
use std::ops::Range;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use toml_edit::{Document, DocumentMut, Item, Table, TableLike};

use super::key::Key;
use super::{ConfigError, parse};
use crate::error::NodeError;
use crate::state::replace_shared_file;

/// Sets `key` to `value` in the file at `path`, which is made if there is none.
///
/// # Errors
/// [`NodeError::Configuration`] if the file is not valid as it is or would not
/// be; [`NodeError::State`] if it cannot be read or replaced.
pub fn set(path: &Path, key: &Key, value: &toml::Value) -> Result<(), NodeError> {
    let path = real(path);
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        let made = DirBuilder::new().recursive(true).mode(0o755).create(directory);
        made.map_err(NodeError::state("make", directory))?;
    }
    change(&path, |text| with(&path, text, key, value))
}

/// Takes `key` out of the file at `path`; says whether it was there.
///
/// # Errors
/// As [`set`].
pub fn unset(path: &Path, key: &Key) -> Result<bool, NodeError> {
    let path = real(path);
    if !path.exists() {
        return Ok(false);
    }
    let mut was_set = false;
    change(&path, |text| {
        let without = without(&path, text, key)?;
        was_set = without.is_some();
        Ok(without.unwrap_or_else(|| text.to_owned()))
    })?;
    Ok(was_set)
}

/// The file itself where `path` is a link to it: links are not replaced.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn change(path: &Path, change: impl FnOnce(&str) -> Result<String, ConfigError>) -> Result<(), NodeError> {
    let _lock = lock(path)?;
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(NodeError::state("read", path)(error)),
    };
    parse(path, &text)?;
    let changed = change(&text)?;
    parse(path, &changed)?;
    if changed == text {
        return Ok(());
    }
    replace_shared_file(path, changed.as_bytes()).map_err(NodeError::state("write", path))
}

/// The lock is on the directory: the file is another one after each change.
fn lock(path: &Path) -> Result<File, NodeError> {
    let directory = match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    };
    let file = File::open(directory).map_err(NodeError::state("open", directory))?;
    flock(&file, FlockOperation::LockExclusive).map_err(|error| NodeError::state("lock", directory)(error.into()))?;
    Ok(file)
}

/// `text` with `key` set to `value`.
fn with(path: &Path, text: &str, key: &Key, value: &toml::Value) -> Result<String, ConfigError> {
    let refuse = |problem: String| ConfigError::of_file(path, problem);
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| refuse(error.to_string()))?;
    let value: toml_edit::Value =
        value.to_string().parse().map_err(|error: toml_edit::TomlError| refuse(error.to_string()))?;
    let mut table: &mut dyn TableLike = document.as_table_mut();
    let mut is_first = text.trim().is_empty();
    for (depth, name) in key.tables().iter().enumerate() {
        let is_innermost = depth + 1 == key.tables().len();
        let next = table.entry(name).or_insert_with(|| Item::Table(new_table(is_innermost, is_first)));
        table = next.as_table_like_mut().ok_or_else(|| refuse(format!("`{name}` is not a table")))?;
        is_first = false;
    }
    put(table, key.name(), value);
    Ok(document.to_string())
}

/// A table that has its header only if something is set in it, and an empty
/// line in front unless it begins the file.
fn new_table(is_innermost: bool, is_first: bool) -> Table {
    let mut table = Table::new();
    table.set_implicit(!is_innermost);
    if !is_first || !is_innermost {
        table.decor_mut().set_prefix("\n");
    }
    table
}

/// Sets a key; what stands around the value, such as a comment, stays.
fn put(table: &mut dyn TableLike, name: &str, mut value: toml_edit::Value) {
    match table.get_mut(name).and_then(Item::as_value_mut) {
        Some(old) => {
            *value.decor_mut() = old.decor().clone();
            *old = value;
        }
        None => drop(table.insert(name, Item::Value(value))),
    }
}

/// `text` without `key`; nothing if it is not set. Of a key on lines of its own
/// those lines go, and comments above it stay: they may be about more.
fn without(path: &Path, text: &str, key: &Key) -> Result<Option<String>, ConfigError> {
    let refuse = |error: toml_edit::TomlError| ConfigError::of_file(path, error.to_string());
    let document = Document::parse(text).map_err(refuse)?;
    let mut table: &dyn TableLike = document.as_table();
    for name in key.tables() {
        let Some(next) = table.get(name).and_then(Item::as_table_like) else { return Ok(None) };
        table = next;
    }
    let Some((written, item)) = table.get_key_value(key.name()) else { return Ok(None) };
    if key.is_all_of_its_table() {
        return Ok(Some(without_table(document.into_mut(), key.tables())));
    }
    if let Some((start, end)) = written.span().zip(item.span()).map(|(key, value)| (key.start, value.end)) {
        let lines = lines_of(text, start..end);
        let alone = text[lines.start..start].trim().is_empty();
        if alone && matches!(text[end..lines.end].trim_start().chars().next(), None | Some('#')) {
            return Ok(Some(format!("{}{}", &text[..lines.start], &text[lines.end..])));
        }
    }
    let mut document = document.into_mut();
    let mut table: &mut dyn TableLike = document.as_table_mut();
    for name in key.tables() {
        let Some(next) = table.get_mut(name).and_then(Item::as_table_like_mut) else { return Ok(None) };
        table = next;
    }
    table.remove(key.name());
    Ok(Some(document.to_string()))
}

/// The document without the table that `names` lead to, from the outside.
fn without_table(mut document: DocumentMut, names: &[String]) -> String {
    if let Some((last, above)) = names.split_last() {
        let top: &mut dyn TableLike = document.as_table_mut();
        let holder = above.iter().try_fold(top, |table, name| table.get_mut(name)?.as_table_like_mut());
        if let Some(holder) = holder {
            holder.remove(last);
        }
    }
    document.to_string()
}

/// The lines that `span` touches, with their ends.
fn lines_of(text: &str, span: Range<usize>) -> Range<usize> {
    let start = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
    let end = text[span.end..].find('\n').map_or(text.len(), |at| span.end + at + 1);
    start..end
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;
    use crate::config::key::Scope;

    const WRITTEN: &str = "# Ours.\n[ssh]\nenabled = false # behind OpenSSH\n\n\
                           # What everybody gets.\n[defaults]\n# The disk is slow.\nrate-cap = \"1g\"  # ask Bob\n\
                           docroot = \"/srv/%u\"\n# the end\n";

    fn node(text: &str) -> Key {
        Key::parse(Scope::Node, text).unwrap()
    }

    fn of(scope: Scope, text: &str) -> Key {
        Key::parse(scope, text).unwrap()
    }

    fn changed(text: &str, key: &Key, value: &str) -> String {
        with(Path::new("f"), text, key, &key.value(value).unwrap()).unwrap()
    }

    fn left(text: &str, key: &Key) -> Option<String> {
        without(Path::new("f"), text, key).unwrap()
    }

    #[test]
    fn a_value_is_replaced_where_it_stands_and_nothing_else() {
        let expected = WRITTEN.replace("\"1g\"", "\"2g\"");
        assert_eq!(changed(WRITTEN, &node("rate-cap"), "2g"), expected);
        assert_eq!(changed(WRITTEN, &node("ssh.enabled"), "true"), WRITTEN.replace("false", "true"));
    }

    #[test]
    fn new_keys_join_their_table_and_new_tables_follow() {
        let text = changed("[defaults]\nread = true\n\n[ssh]\nlisten = 22\n", &node("write"), "false");
        assert_eq!(text, "[defaults]\nread = true\nwrite = false\n\n[ssh]\nlisten = 22\n");
        let staff = || Scope::Group("staff".parse().unwrap());
        let text = changed(&text, &of(staff(), "members"), "ada");
        let text = changed(&text, &of(staff(), "rate-cap"), "5m");
        let text = changed(&text, &of(Scope::User("a.b@c".parse().unwrap()), "write"), "true");
        let expected = "[defaults]\nread = true\nwrite = false\n\n[ssh]\nlisten = 22\n\n\
                        [groups.staff]\nmembers = [\"ada\"]\n\n[groups.staff.settings]\nrate-cap = \"5m\"\n\n\
                        [users.\"a.b@c\"]\nwrite = true\n";
        assert_eq!(text, expected);
        assert_eq!(changed("", &node("write"), "false"), "[defaults]\nwrite = false\n");
    }

    #[test]
    fn tables_written_in_other_ways_are_changed_in_theirs() {
        let ada = || of(Scope::User("ada".parse().unwrap()), "write");
        let text = changed("[users]\nada = { write = true, read = true }\n", &ada(), "false");
        assert_eq!(text, "[users]\nada = { write = false, read = true }\n");
        assert_eq!(left(&text, &ada()).unwrap(), "[users]\nada = { read = true }\n");
        let dotted = "users.ada.write = true\n";
        assert_eq!(changed(dotted, &ada(), "false"), "users.ada.write = false\n");
        assert_eq!(left(dotted, &ada()).unwrap(), "");
    }

    #[test]
    fn what_is_taken_out_leaves_the_comments_above_it() {
        let expected = WRITTEN.replace("rate-cap = \"1g\"  # ask Bob\n", "");
        assert_eq!(left(WRITTEN, &node("rate-cap")), Some(expected));
        assert_eq!(left(WRITTEN, &node("write")), None);
        assert_eq!(left("", &node("ssh.listen")), None);
        let lists = "[defaults]\nlocked = [\n  \"read\", # one\n  \"write\",\n]\nread = true";
        assert_eq!(left(lists, &node("locked")).unwrap(), "[defaults]\nread = true");
    }

    #[test]
    fn a_master_key_goes_with_its_table() {
        let key = node("master-keys.main.file");
        let text =
            "[defaults]\nread = true\n\n[master-keys.main]\nfile = \"/k\"\n\n[master-keys.next]\nfile = \"/n\"\n";
        let expected = "[defaults]\nread = true\n\n[master-keys.next]\nfile = \"/n\"\n";
        assert_eq!(left(text, &key).unwrap(), expected);
        let dotted = "[master-keys]\nmain.file = \"/k\"\nnext = { file = \"/n\" }\n";
        assert_eq!(left(dotted, &key).unwrap(), "[master-keys]\nnext = { file = \"/n\" }\n");
        assert_eq!(left(expected, &key), None);
    }

    #[test]
    fn the_file_keeps_mode_owner_and_the_link_to_it() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("real.toml"), directory.path().join("limosad.toml"));
        std::fs::write(&file, WRITTEN).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o640)).unwrap();
        symlink(&file, &link).unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&file, Some(4242), Some(4343)).unwrap();
        }
        // Held open, for its number to stay its own.
        let replaced = std::fs::File::open(&file).unwrap();
        let before = replaced.metadata().unwrap();
        let key = node("rate-cap");
        set(&link, &key, &key.value("2g").unwrap()).unwrap();
        assert!(unset(&link, &key).unwrap() && !unset(&link, &key).unwrap());
        let after = file.metadata().unwrap();
        let kept = |metadata: &std::fs::Metadata| (metadata.mode(), metadata.uid(), metadata.gid());
        assert_eq!(kept(&before), kept(&after));
        assert_ne!(before.ino(), after.ino(), "replaced whole");
        assert!(link.is_symlink() && std::fs::read_dir(directory.path()).unwrap().count() == 2);
    }

    #[test]
    fn a_file_that_is_wrong_already_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("limosad.toml");
        let wrong = "[ssh]\nlissten = 5\n";
        std::fs::write(&file, wrong).unwrap();
        let key = node("rate-cap");
        let error = set(&file, &key, &key.value("2g").unwrap()).unwrap_err().to_string();
        assert!(error.contains("limosad.toml:2: unknown key `lissten`"), "{error}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), wrong);
    }

    #[test]
    fn a_file_that_is_not_there_is_made_for_everybody_to_read() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("etc/limosad.toml");
        let key = node("rate-cap");
        assert!(!unset(&file, &key).unwrap() && !directory.path().join("etc").exists());
        set(&file, &key, &key.value("2g").unwrap()).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "[defaults]\nrate-cap = \"2g\"\n");
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o644);
    }
}
