//! Trees arrive whole, whatever the order of their bytes.

use limosa_storage::memory::MemoryStore;
use limosa_storage::{FollowLinks, Store, Timestamp};
use limosa_wire::setup::Durability;
use limosa_wire::verdict::VerdictRecord;

use crate::drive::{Drive, Ended, exists, names, options, path, read, small_limits};
use crate::source::{Node, Random, Source, What};

fn tree(random: &mut Random) -> Vec<Node> {
    vec![
        Node::directory("t").with_mode(0o500).with_time(1000, 5),
        Node::file("t/empty", vec![]).with_mode(0o640).with_time(-5, 7),
        Node::file("t/small", random.bytes(3000)),
        Node::directory("t/d").with_mode(0o755).with_time(2000, 0),
        Node::file("t/d/mid", random.bytes(1 << 20)),
        Node::file("t/d/big", random.bytes((3 << 20) + 12_345)).with_mode(0o600).with_time(3000, 1),
        Node::new("t/d/link", What::Link(b"../small".to_vec())),
        Node::sparse("t/holes", 5 << 20, &[(100, random.bytes(5000)), ((4 << 20) - 10, random.bytes(2000))]),
        Node::sparse("t/hole", (2 << 20) + 77, &[]),
        Node::file("t/stdin", random.bytes((2 << 20) + 5)).of_unknown_size(),
        Node::file("t/nothing", vec![]).of_unknown_size(),
        Node::sparse("t/short", 70_000, &[(5, random.bytes(10)), (60_000, random.bytes(10))]),
        Node::directory("t/void"),
        Node::file("t/last", random.bytes(1)),
    ]
}

fn check_tree(store: &dyn Store, nodes: &[Node], at: &str) {
    for node in nodes {
        let name = format!("{at}{}", String::from_utf8_lossy(&node.path));
        match &node.what {
            What::File { content, .. } => assert!(read(store, &name) == *content, "{name}"),
            What::Link(target) => assert_eq!(&store.read_link(&path(&name)).unwrap(), target),
            _ => assert!(exists(store, &name), "{name}"),
        }
        let found = store.metadata(&path(&name), FollowLinks::No).unwrap();
        if let Some((seconds, nanos)) = node.attributes.modified {
            assert_eq!(found.modified, Timestamp::new(seconds, nanos), "{name}");
        }
        if let (Some(mode), false) = (node.attributes.mode, matches!(node.what, What::Link(_))) {
            assert_eq!(found.mode, u32::from(mode), "{name}");
        }
    }
}

fn no_partials(store: &dyn Store, at: &str) {
    let left: Vec<_> = names(store, &path(at)).into_iter().filter(|name| name.starts_with(".limosa-")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_tree_arrives_into_a_fresh_destination() {
    for seed in 0..12 {
        let store = MemoryStore::new();
        let nodes = tree(&mut Random(seed));
        let options = options(&store, "in", 1).with_limits(small_limits());
        let mut drive = Drive::new(&store, options, Source::new(nodes.clone(), true), seed);
        drive.window = 1 + (seed as usize * 97) % 3000;
        drive.duplicates = 5;
        drive.eager = seed % 2 == 0;
        assert_eq!(drive.run(), Ended::Finished);
        assert_eq!(drive.failures(), [], "seed {seed}");
        check_tree(&store, &nodes, "in/");
        no_partials(&store, "in/t");
        no_partials(&store, "in/t/d");
        assert!(drive.peak_memory <= (6 << 20) + (64 << 10), "{}", drive.peak_memory);
        let complete = VerdictRecord::Complete { settled: nodes.len() as u64, failed: 0 };
        assert_eq!(drive.source.verdicts.last(), Some(&complete));
    }
}

#[test]
fn a_tree_arrives_over_one_that_is_there() {
    for seed in 0..4 {
        let store = MemoryStore::new();
        store.make_directory(&path("in")).unwrap();
        store.make_directory(&path("in/t")).unwrap();
        store.create(&path("in/t/small")).unwrap().write_at(0, b"old").unwrap();
        let nodes = tree(&mut Random(seed));
        let options = options(&store, "in", 1).with_limits(small_limits());
        let mut drive = Drive::new(&store, options, Source::new(nodes.clone(), false), seed);
        drive.window = 500;
        assert_eq!(drive.run(), Ended::Finished);
        assert_eq!(drive.failures(), [], "seed {seed}");
        check_tree(&store, &nodes, "in/");
        no_partials(&store, "in/t");
    }
}

#[test]
fn small_entries_share_operations() {
    for durability in [Durability::None, Durability::File, Durability::Strict] {
        let store = MemoryStore::new();
        let random = &mut Random(7);
        let mut nodes = vec![Node::directory("t")];
        for directory in 0..40 {
            nodes.push(Node::directory(&format!("t/{directory}")).with_mode(0o755));
            nodes.extend((0..20).map(|file| Node::file(&format!("t/{directory}/{file}"), random.bytes(300))));
        }
        let options = options(&store, "in", 1).with_durability(durability);
        let mut drive = Drive::new(&store, options, Source::new(nodes.clone(), true), 7);
        assert_eq!(drive.run(), Ended::Finished);
        check_tree(&store, &nodes, "in/");
        let operations = usize::MAX - drive.operations;
        assert!(operations < nodes.len() / 4, "{operations} operations for {} entries", nodes.len());
    }
}
