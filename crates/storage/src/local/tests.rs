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
