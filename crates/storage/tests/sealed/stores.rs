//! What the tests seal, with what, and where.

use std::sync::Arc;

use limosa_seal::envelope::MasterKey;
use limosa_seal::{AlgorithmSet, Secret};
use limosa_storage::{
    FollowLinks, MasterKeys, MemoryStore, ReadFile, Result, SealedStore, Store, StorePath, WriteFile, read_whole,
};

/// Content of a segment.
pub const SEGMENT: usize = 64 * 1024;
/// Where the first segment is stored.
pub const HEADER: usize = 4096;

pub fn path(text: &str) -> StorePath {
    StorePath::parse(text.as_bytes()).unwrap()
}

pub fn master(name: &str, byte: u8) -> MasterKey {
    MasterKey::new(name.parse().unwrap(), Secret::take(&mut [byte; 32]))
}

pub fn sealing() -> MasterKeys {
    MasterKeys::opening(AlgorithmSet::Ordinary, Vec::new()).sealing_for(master("main", 7))
}

pub fn over(inner: &Arc<dyn Store>, keys: MasterKeys) -> SealedStore {
    SealedStore::new(inner.clone(), keys)
}

/// An empty store in memory, and the sealing one over it.
pub fn in_memory() -> (Arc<dyn Store>, SealedStore) {
    let inner: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let sealed = over(&inner, sealing());
    (inner, sealed)
}

/// Bytes that no two segments share, and that no cipher makes by accident.
pub fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8 ^ (at / SEGMENT) as u8).collect()
}

pub fn write(store: &dyn Store, name: &str, content: &[u8]) -> Arc<dyn WriteFile> {
    let file = store.create(&path(name)).unwrap();
    file.write_at(0, content).unwrap();
    file
}

pub fn whole(store: &dyn Store, name: &str) -> Result<Vec<u8>> {
    read_whole(store, &path(name), 1 << 30)
}

pub fn size(store: &dyn Store, name: &str) -> u64 {
    store.metadata(&path(name), FollowLinks::No).unwrap().size
}

pub fn content_of(file: &dyn ReadFile) -> Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(file.metadata()?.size).unwrap()];
    let read = file.read_at(0, &mut bytes)?;
    assert_eq!(read, bytes.len());
    Ok(bytes)
}
