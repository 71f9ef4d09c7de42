//! Transfers of files that a user encrypts: sealed as they are sent, or opened
//! as they are fetched. What the machines read and write, and what the files of
//! the destination hold.

use std::io::{Cursor, Read};
use std::sync::{Arc, LazyLock};

use limosa_seal::envelope::{FileKeySeed, Header, Identity, Keyring, OpeningReader, Sealed, StretchedPassphrase};
use limosa_seal::{AlgorithmSet, Secret, SecretBytes, Stretch};
use limosa_storage::protecting::{Misfit, ProtectingStore, ProtectionKeys, Suffix, UnprotectingStore};
use limosa_storage::{Attributes, FollowLinks, Metadata, Store, StorePath, read_whole};
use limosa_transfer::sender::Continuing;
use limosa_wire::setup::{Durability, Suite};

use super::algorithm;
use super::tree::{Content, Item, Tree};
use crate::disk::Disk;

const SET: AlgorithmSet = AlgorithmSet::Ordinary;
const WORD: &str = "word";

fn suffix() -> Suffix {
    // Short, since some names are nearly as long as names may be.
    Suffix::new(b"~").expect("a suffix")
}

/// The key of a recipient, and what was made of it.
static IDENTITY: LazyLock<String> = LazyLock::new(|| Identity::generate().to_pem().to_string());

fn identity() -> Identity {
    Identity::from_pem(IDENTITY.as_bytes()).expect("it was written as it is read")
}

/// What a sender keeps who cannot open what it sends.
fn kept_seed() -> FileKeySeed {
    FileKeySeed::kept(Secret::take(&mut [9; 32]))
}

fn keyring() -> Keyring {
    Keyring::new(SET).with_passphrase(SecretBytes::from(WORD.to_owned())).with_identity(identity())
}

/// For whom files are sealed as they are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealedFor {
    /// Who knows a passphrase, as the sender does.
    Passphrase,
    /// Who has a private key, which the sender has not: it has kept a seed.
    Recipient,
}

impl SealedFor {
    /// By what a sender goes on.
    pub(super) fn continuing(self) -> Continuing {
        match self {
            Self::Passphrase => Continuing::ByFront,
            Self::Recipient => Continuing::ByFrontHere(kept_seed().name()),
        }
    }
}

/// What the user's encryption has to do with a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Nothing.
    None,
    /// Files are sealed as they are sent.
    Sealing(SealedFor),
    /// Most files are sealed at the source, and opened as they are fetched.
    Opening,
}

impl Protection {
    /// What the sender reads of its disk.
    pub(super) fn reads(self, disk: &Disk) -> Arc<dyn Store> {
        match self {
            Self::Sealing(whom) => protecting(disk, whom),
            Self::None | Self::Opening => Arc::new(disk.clone()),
        }
    }

    /// Through what the receiver writes.
    pub(super) fn writes(self, store: Arc<dyn Store>, durability: Durability) -> Arc<dyn Store> {
        match self {
            Self::None | Self::Sealing(_) => store,
            Self::Opening => {
                let durability = match durability {
                    Durability::None => limosa_storage::Durability::None,
                    Durability::File => limosa_storage::Durability::File,
                    Durability::Strict => limosa_storage::Durability::Strict,
                };
                Arc::new(UnprotectingStore::new(store, keyring(), suffix(), Misfit::Discard, durability))
            }
        }
    }
}

/// Of so many files one was never encrypted.
const CLEAR: usize = 4;

/// Seals the files below `root`, as somebody did before they are fetched, but
/// leaves some as they are.
pub(super) fn seal_most(disk: &Disk, root: &StorePath) -> limosa_storage::Result<()> {
    let sealing = protecting(disk, SealedFor::Passphrase);
    let keep = |path: &StorePath, found: &Metadata| {
        disk.set_attributes(path, &Attributes::default().with_mode(found.mode).with_modified(found.modified))
    };
    let mut files = 0;
    let mut ahead = vec![root.clone()];
    while let Some(directory) = ahead.pop() {
        let found = disk.metadata(&directory, FollowLinks::No)?;
        for entry in disk.list(&directory, None, usize::MAX)?.entries {
            let path = directory.join(&entry.name).expect("paths of a test are short");
            let inside = disk.metadata(&path, FollowLinks::No)?;
            if inside.is_directory() {
                ahead.push(path);
                continue;
            }
            files += usize::from(inside.is_file());
            if inside.is_file() && !files.is_multiple_of(CLEAR) {
                let shown = sealing.shown(&path);
                let sealed = read_whole(&*sealing, &shown, u64::MAX)?;
                disk.remove(&path)?;
                disk.create(&shown)?.write_at(0, &sealed)?;
                keep(&shown, &inside)?;
            }
        }
        keep(&directory, &found)?;
    }
    Ok(())
}

/// What is on `disk`, sealed for a session of its own.
fn protecting(disk: &Disk, whom: SealedFor) -> Arc<ProtectingStore> {
    let suite = SET.envelope_suite(Suite::Aes256Gcm).expect("it is allowed");
    let keys = match whom {
        SealedFor::Passphrase => {
            let cheap = Stretch::Argon2id { memory_kib: 8, passes: 1, lanes: 1 };
            let scheme = SET.passphrase(cheap).expect("it is allowed");
            let word = SecretBytes::from(WORD.to_owned());
            let word = StretchedPassphrase::new(scheme, &word).expect("a passphrase");
            let earlier = Keyring::new(SET).with_passphrase(SecretBytes::from(WORD.to_owned()));
            ProtectionKeys::new(Some(word), Vec::new(), suite, SET, earlier)
        }
        SealedFor::Recipient => {
            let recipients = vec![identity().recipient().clone()];
            let keys = ProtectionKeys::new(None, recipients, suite, SET, Keyring::new(SET));
            keys.map(|keys| keys.with_seed(kept_seed()))
        }
    };
    let keys = Arc::new(keys.expect("one slot has room"));
    Arc::new(ProtectingStore::new(Arc::new(disk.clone()), keys, suffix(), FollowLinks::No))
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
