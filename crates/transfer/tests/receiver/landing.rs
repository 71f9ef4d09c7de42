//! Where sources land: each row of the table a test.

use limosa_storage::Store;
use limosa_storage::memory::MemoryStore;
use limosa_transfer::receiver::landing::Landing;
use limosa_transfer::receiver::{Destination, Survey};

use crate::drive::{Drive, Ended, exists, options, path, read};
use crate::source::{Node, Source};

/// Sends `nodes`, given as `sources` sources, and expects them at `found`.
fn lands(store: &dyn Store, destination: &str, sources: u32, nodes: Vec<Node>, found: &[&str]) {
    let options = options(store, destination, sources);
    let fresh = Survey::of(store, Destination::parse(destination.as_bytes()).unwrap()).unwrap().fresh();
    let mut drive = Drive::new(store, options, Source::new(nodes, fresh), 1);
    assert_eq!(drive.run(), Ended::Finished);
    assert_eq!(drive.failures(), []);
    for name in found {
        assert_eq!(read(store, name), b"x", "{name}");
    }
}

fn one() -> Vec<Node> {
    vec![Node::file("f1", b"x".to_vec())]
}

fn directory() -> Vec<Node> {
    vec![
        Node::directory("d3"),
        Node::file("d3/f1", b"x".to_vec()),
        Node::directory("d3/d4"),
        Node::file("d3/d4/f2", b"x".to_vec()),
    ]
}

#[test]
fn one_file_onto_a_missing_name_becomes_that_name() {
    lands(&MemoryStore::new(), "d/f", 1, one(), &["d/f"]);
    let store = MemoryStore::new();
    store.make_directory(&path("d")).unwrap();
    lands(&store, "d/f", 1, one(), &["d/f"]);
}

#[test]
fn one_file_onto_a_directory_goes_inside() {
    let store = MemoryStore::new();
    store.make_directory(&path("d")).unwrap();
    store.make_directory(&path("d/f")).unwrap();
    lands(&store, "d/f", 1, one(), &["d/f/f1"]);
    lands(&store, "", 1, one(), &["f1"]);
    lands(&store, ".", 1, one(), &["f1"]);
}

#[test]
fn one_file_onto_a_file_takes_its_place() {
    let store = MemoryStore::new();
    store.create(&path("f")).unwrap().write_at(0, b"old and longer").unwrap();
    lands(&store, "f", 1, one(), &["f"]);
}

#[test]
fn a_slash_at_the_end_means_a_directory() {
    lands(&MemoryStore::new(), "d/f/", 1, one(), &["d/f/f1"]);
}

#[test]
fn several_files_go_into_the_directory() {
    let two = vec![Node::file("f1", b"x".to_vec()), Node::file("f2", b"x".to_vec())];
    lands(&MemoryStore::new(), "a/d", 2, two.clone(), &["a/d/f1", "a/d/f2"]);
    let store = MemoryStore::new();
    store.make_directory(&path("d")).unwrap();
    lands(&store, "d", 2, two, &["d/f1", "d/f2"]);
}

#[test]
fn a_directory_goes_into_the_directory() {
    lands(&MemoryStore::new(), "d", 1, directory(), &["d/d3/f1", "d/d3/d4/f2"]);
}

#[test]
fn the_content_of_a_directory_merges() {
    let store = MemoryStore::new();
    store.make_directory(&path("d")).unwrap();
    store.create(&path("d/kept")).unwrap().write_at(0, b"x").unwrap();
    let content = vec![Node::directory("").with_mode(0o750), Node::file("f1", b"x".to_vec())];
    lands(&store, "d", 1, content, &["d/f1", "d/kept"]);
    assert_eq!(store.metadata(&path("d"), limosa_storage::FollowLinks::No).unwrap().mode, 0o750);
    lands(&MemoryStore::new(), "new", 2, one(), &["new/f1"]);
}

#[test]
fn paths_below_a_base_make_their_directories() {
    let based = vec![Node::file("d2/f2", b"x".to_vec()), Node::file("d3/f3", b"x".to_vec())];
    lands(&MemoryStore::new(), "d", 1, based, &["d/d2/f2", "d/d3/f3"]);
}

#[test]
fn a_directory_onto_a_file_fails_and_leaves_it() {
    let store = MemoryStore::new();
    store.create(&path("d")).unwrap().write_at(0, b"x").unwrap();
    let mut drive = Drive::new(&store, options(&store, "d", 1), Source::new(directory(), false), 1);
    assert_eq!(drive.run(), Ended::Finished);
    assert_eq!(drive.failures().len(), 4);
    assert_eq!(read(&store, "d"), b"x");
}

#[test]
fn only_what_is_empty_is_fresh() {
    let store = MemoryStore::new();
    let survey = |typed: &str| Survey::of(&store, Destination::parse(typed.as_bytes()).unwrap()).unwrap();
    assert!(survey("new").fresh() && survey("new/").fresh() && survey("new/deeper").fresh() && survey("").fresh());
    store.make_directory(&path("d")).unwrap();
    assert!(survey("d").fresh() && survey("d/f").fresh());
    store.create(&path("d/.limosa-0123456789abcdef.partial")).unwrap();
    assert!(!survey("d").fresh(), "partial files of earlier sessions count");
    assert!(!survey("d/f").fresh(), "the partial file may be that of f");
    assert!(survey("d/f/").fresh());
    store.create(&path("file")).unwrap();
    assert!(!survey("file").fresh());
    store.make_link(&path("dangling"), b"nowhere").unwrap();
    assert!(!survey("dangling").fresh());
    assert_eq!(survey("file").landing(1, true), Landing::As(path("file")));
    assert!(Destination::parse(b"a/../b").is_err());
    assert!(!exists(&store, "new"));
}
