//! The suite on the disk, with either resolver.

use super::*;
use crate::conformance;

fn conforms(confinement: Confinement, resolver: Resolver) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = LocalStore::open(directory.path(), confinement).expect("it opens");
    let store = store.with_resolver(resolver);
    assert_eq!(store.resolver(), resolver);
    conformance::check_all(&store);
}

#[test]
fn conforms_confined_by_the_kernel() {
    conforms(Confinement::Inside, Resolver::Kernel);
}

#[test]
fn conforms_confined_by_hand() {
    conforms(Confinement::Inside, Resolver::Walk);
}

#[test]
fn conforms_unconfined() {
    conforms(Confinement::Anywhere, Resolver::Kernel);
}

#[test]
fn nothing_is_published_that_somebody_else_put_in_its_place() {
    use crate::contract::{Durability, Overwrite, Publish, Staged, Store};
    use crate::path::StorePath;

    let directory = tempfile::tempdir().expect("a directory");
    let store = LocalStore::open(directory.path(), Confinement::Inside).expect("it opens");
    let [staged, to] = ["staged", "to"].map(|name| StorePath::parse(name.as_bytes()).expect("a path"));
    let mine = store.create(&staged).expect("it is made");
    let _theirs = store.create(&staged).expect("theirs takes the name");
    let how = Publish { overwrite: Overwrite::Replace, durability: Durability::File };
    let published = store.publish(Staged::File { path: &staged, file: &*mine }, &to, how);
    assert!(published.is_err(), "another's file is published");
    assert!(directory.path().join("staged").exists() && !directory.path().join("to").exists());
}
