//! Transfers whose files are sealed as they are sent: what the sending machine
//! reads, and what the files of the destination hold.

use std::io::{Cursor, Read};
use std::sync::Arc;

use limosa_seal::envelope::{Header, Keyring, OpeningReader, Sealed, StretchedPassphrase};
use limosa_seal::{AlgorithmSet, SecretBytes, Stretch};
use limosa_storage::protecting::{ProtectingStore, ProtectionKeys, Suffix};
use limosa_storage::{FollowLinks, Store, StorePath, read_whole};
use limosa_wire::setup::Suite;

use super::algorithm;
use super::tree::{Content, Item, Tree};
use crate::disk::Disk;

const SET: AlgorithmSet = AlgorithmSet::Ordinary;
const WORD: &str = "word";

fn suffix() -> Suffix {
    // Short, since some names are nearly as long as names may be.
    Suffix::new(b"~").expect("a suffix")
}

fn keyring() -> Keyring {
    Keyring::new(SET).with_passphrase(SecretBytes::from(WORD.to_owned()))
}

/// What is on `disk`, sealed for a session of its own.
pub(super) fn protecting(disk: &Disk) -> Arc<dyn Store> {
    let scheme = SET.passphrase(Stretch::Argon2id { memory_kib: 8, passes: 1, lanes: 1 }).expect("it is allowed");
    let word = StretchedPassphrase::new(scheme, &SecretBytes::from(WORD.to_owned())).expect("a passphrase");
    let suite = SET.envelope_suite(Suite::Aes256Gcm).expect("it is allowed");
    let keys = ProtectionKeys::new(Some(word), Vec::new(), suite, SET, keyring()).expect("one slot has room");
    Arc::new(ProtectingStore::new(Arc::new(disk.clone()), Arc::new(keys), suffix(), FollowLinks::No))
}

/// The tree as it was before it was sealed.
///
/// # Errors
/// Which file is in clear, or does not open.
pub(super) fn opened(store: &dyn Store, root: &StorePath, tree: &Tree) -> Result<Tree, String> {
    let mut keys = keyring();
    let mut plain = Tree::new();
    for (path, item) in tree {
        let (path, item) = match item.content {
            Content::File(..) => (plain_path(path).ok_or(format!("{path} is in clear"))?, {
                let place = root.join_path(path).map_err(|error| error.to_string())?;
                let content = open(store, &place, &mut keys).map_err(|error| format!("{path}: {error}"))?;
                Item { content, ..item.clone() }
            }),
            _ => (path.clone(), item.clone()),
        };
        plain.insert(path, item);
    }
    Ok(plain)
}

/// The name of a file before it was sealed.
pub(super) fn plain_path(path: &StorePath) -> Option<StorePath> {
    suffix().taken_off_path(path)
}

fn open(store: &dyn Store, path: &StorePath, keys: &mut Keyring) -> Result<Content, Box<dyn std::error::Error>> {
    let bytes = read_whole(store, path, u64::MAX)?;
    let envelope = keys.open(&Header::decode(&bytes, SET)?)?;
    let length = Sealed(bytes.len() as u64);
    let mut content = Vec::new();
    OpeningReader::new(&envelope, Cursor::new(bytes), length)?.read_to_end(&mut content)?;
    let mut hasher = algorithm().hasher();
    hasher.update(&content);
    Ok(Content::File(content.len() as u64, hasher.finish()))
}
