//! The suite, over the disk and in memory, sealing or not.

use std::sync::Arc;

use limosa_seal::AlgorithmSet;
use limosa_storage::conformance::check_all;
use limosa_storage::{Confinement, LocalStore, MasterKeys, MemoryStore, Store};

use super::stores::{master, over, sealing};

fn in_memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new())
}

fn opening() -> MasterKeys {
    MasterKeys::opening(AlgorithmSet::Ordinary, vec![master("main", 7)])
}

fn pass_on_disk(keys: MasterKeys) {
    let directory = tempfile::tempdir().unwrap();
    let inner: Arc<dyn Store> = Arc::new(LocalStore::open(directory.path(), Confinement::Inside).unwrap());
    check_all(&over(&inner, keys));
}

#[test]
fn a_store_in_memory_conforms_when_it_seals() {
    check_all(&over(&in_memory(), sealing()));
}

#[test]
fn a_store_in_memory_conforms_when_it_only_opens() {
    check_all(&over(&in_memory(), opening()));
}

#[test]
fn a_disk_conforms_when_it_seals() {
    pass_on_disk(sealing());
}

#[test]
fn a_disk_conforms_when_it_only_opens() {
    pass_on_disk(opening());
}
