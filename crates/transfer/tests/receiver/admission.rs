//! Nothing is written that was not asked for.

use limosa_storage::Store;
use limosa_storage::memory::MemoryStore;
use limosa_transfer::receiver::Admission;
use limosa_wire::Code;
use limosa_wire::setup::{
    ContentDigest, ContentProtection, Direction, Durability, Overwrite, RatePolicy, Request, ResumeLevel, Suite,
    Symlinks,
};

use crate::drive::{Drive, Ended, exists, options, path};
use crate::source::{Node, Source, What};

fn download(paths: &[&str], symlinks: Symlinks) -> Request {
    Request {
        direction: Direction::Download,
        transfer: [0; 16],
        random: [0; 32],
        suites: Suite::ALL.to_vec(),
        digests: ContentDigest::ALL.to_vec(),
        policy: RatePolicy::Fair,
        rate: None,
        resume: ResumeLevel::Attributes,
        durability: Durability::File,
        symlinks,
        overwrite: Overwrite::Different,
        keep_mode: true,
        keep_times: true,
        fresh: false,
        protection: ContentProtection::None,
        source_count: 2,
        paths: paths.iter().map(|path| path.as_bytes().to_vec()).collect(),
    }
}

/// The numbers of the entries that are refused, all as not allowed.
fn refused(store: &dyn Store, admission: Admission, nodes: Vec<Node>) -> Vec<u64> {
    let options = options(store, "in", 2).with_admission(admission);
    let mut drive = Drive::new(store, options, Source::new(nodes, true), 1);
    assert_eq!(drive.run(), Ended::Finished);
    let mut failures = drive.failures();
    failures.sort_unstable();
    assert!(failures.iter().all(|(_, code)| *code == Code::NOT_ALLOWED), "{failures:?}");
    failures.into_iter().map(|(entry, _)| entry).collect()
}

fn answer() -> Vec<Node> {
    vec![
        Node::file("report", b"x".to_vec()),
        Node::file(".bashrc", b"x".to_vec()),
        Node::directory("tree"),
        Node::file("tree/f", b"x".to_vec()),
        Node::new("tree/link", What::Link(b"f".to_vec())),
    ]
}

#[test]
fn a_download_takes_the_sources_that_were_named_and_nothing_else() {
    let store = MemoryStore::new();
    let request = download(&["data/report", "/srv/tree"], Symlinks::Follow);
    assert_eq!(refused(&store, Admission::of(&request), answer()), [1, 4]);
    assert!(exists(&store, "in/report") && exists(&store, "in/tree/f"));
    assert!(!exists(&store, "in/.bashrc") && !exists(&store, "in/tree/link"));
}

#[test]
fn the_content_of_a_directory_may_be_anything() {
    let store = MemoryStore::new();
    let request = download(&["report", "tree/"], Symlinks::Copy);
    assert_eq!(refused(&store, Admission::of(&request), answer()), []);
    assert!(exists(&store, "in/.bashrc") && exists(&store, "in/tree/link"));
}

#[test]
fn nobody_removes_anything_unless_that_is_permitted() {
    let store = MemoryStore::new();
    store.make_directory(&path("in")).unwrap();
    store.create(&path("in/f")).unwrap();
    let nodes = vec![Node::new("f", What::Removal)];
    let request = Request { direction: Direction::Upload, ..download(&["in"], Symlinks::Copy) };
    assert_eq!(refused(&store, Admission::of(&request), nodes.clone()), [0]);
    assert_eq!(refused(&store, Admission::of(&download(&["f"], Symlinks::Copy)), nodes), [0]);
    assert!(exists(&store, "in/f"));
}
