//! The sending engine against the store in memory and a model of the other end.

mod line;
mod peer;
mod sealed;
mod trees;

use limosa_ranges::RangeSet;
use limosa_storage::{Attributes, FollowLinks, MemoryStore, Store, StorePath, Timestamp};
use limosa_transfer::Event;
use limosa_transfer::content::BLOCK;
use limosa_transfer::sender::{Destination, Limits, Sender, SenderConfig, Source, SourceWork};
use limosa_wire::Code;
use limosa_wire::layout::EntryKind;
use limosa_wire::setup::Symlinks;
use proptest::prelude::*;

use line::Line;
use peer::{Decision, Fate, Peer, algorithm};
use trees::{bytes, directory, file, link, path};

fn config(sources: &[&str]) -> SenderConfig {
    let source = |text: &&str| match text.strip_suffix('/') {
        Some(text) => Source::contents(path(text)),
        None => Source::itself(path(text)),
    };
    SenderConfig::new(sources.iter().map(source).collect(), algorithm())
}

fn taking(fresh: bool) -> Peer {
    Peer::new(fresh, |_| Decision::Take)
}

fn small_tree() -> MemoryStore {
    let store = MemoryStore::new();
    directory(&store, "top");
    directory(&store, "top/a");
    directory(&store, "top/a/deep");
    directory(&store, "top/empty");
    file(&store, "top/a/one", &bytes(1, 5000));
    file(&store, "top/a/deep/two", &bytes(2, BLOCK as usize));
    file(&store, "top/none", b"");
    file(&store, "top/large", &bytes(3, 3 * BLOCK as usize + 77));
    file(&store, "top/exact", &bytes(4, 2 * BLOCK as usize));
    store
}

fn check_tree(line: &Line<'_>, store: &MemoryStore, prefix: &str, names: &[&str]) {
    for name in names {
        let there = line.peer.settled(name.as_bytes()).expect(name);
        assert!(there.content == trees::content(store, &format!("{prefix}{name}")), "{name} differs");
    }
}

const FILES: [&str; 5] = ["top/a/one", "top/a/deep/two", "top/none", "top/large", "top/exact"];

#[test]
fn a_tree_arrives_whole_in_a_fresh_destination() {
    let store = small_tree();
    for seed in 0..20 {
        let line = Line::new(Sender::new(config(&["top"])), taking(true), &store, seed).losing(10).run();
        check_tree(&line, &store, "", &FILES);
        assert_eq!(line.peer.entries.len(), 9);
        let summary = line.sender.summary();
        assert_eq!((summary.settled, summary.failed), (9, 0));
        assert_eq!(summary.bytes, line.peer.announced_bytes);
        assert!(summary.carried >= summary.bytes);
        assert!(line.peer.is_settled_space());
        let after = line.sender.footprint();
        assert_eq!((after.memory, after.blocks, after.segments, after.readings), (0, 0, 0, 0), "{after:?}");
    }
}

#[test]
fn data_waits_for_its_verdict_elsewhere() {
    let store = small_tree();
    for destination in [Destination::Compared, Destination::ComparedByAttributes] {
        for seed in 0..20 {
            let config = SenderConfig { destination, ..config(&["top"]) };
            let line = Line::new(Sender::new(config), taking(false), &store, seed).losing(7).run();
            check_tree(&line, &store, "", &FILES);
            assert!(line.peer.is_settled_space());
        }
    }
}

#[test]
fn nothing_is_read_of_what_is_skipped_by_attributes() {
    let store = small_tree();
    let config = SenderConfig { destination: Destination::ComparedByAttributes, ..config(&["top"]) };
    let peer = Peer::new(false, |_| Decision::Skip);
    let line = Line::new(Sender::new(config), peer, &store, 1).run();
    assert_eq!(line.sender.progress().bytes_processed, 0);
    assert_eq!(line.sender.summary().skipped, 5);
    assert_eq!(line.sender.summary().carried, 0);
}

#[test]
fn skipped_and_refused_files_that_were_read_are_withdrawn() {
    let store = small_tree();
    for fresh in [false, true] {
        let peer = Peer::new(fresh, |entry| match entry.path.as_slice() {
            b"top/a/one" | b"top/large" => Decision::Skip,
            b"top/a/deep/two" => Decision::Refuse(Code::NO_SPACE),
            _ => Decision::Take,
        });
        let destination = if fresh { Destination::Fresh } else { Destination::Compared };
        let config = SenderConfig { destination, ..config(&["top"]) };
        let line = Line::new(Sender::new(config), peer, &store, 3).run();
        check_tree(&line, &store, "", &["top/none", "top/exact"]);
        assert_eq!(line.peer.fate(b"top/a/deep/two"), Some(Fate::Failed(Code::NO_SPACE)));
        assert_eq!((line.sender.summary().failed, line.sender.summary().skipped), (1, 2));
        if !fresh {
            assert_eq!(line.sender.summary().carried, 2 * BLOCK, "only what was taken");
            assert!(line.peer.is_settled_space());
        }
        assert_eq!(line.sender.footprint().memory, 0);
    }
}

#[test]
fn only_missing_chunks_are_sent_of_a_resumed_file() {
    let store = small_tree();
    let peer = Peer::new(false, |entry| match entry.path.as_slice() {
        b"top/large" => Decision::Resume(vec![(0, 1), (3, 1)]),
        b"top/exact" => Decision::Resume(Vec::new()),
        _ => Decision::Skip,
    });
    let config = SenderConfig { destination: Destination::ComparedByAttributes, ..config(&["top"]) };
    let mut line = Line::new(Sender::new(config), peer, &store, 5);
    // What the destination holds already is as good as what it gets.
    line.peer.prefill(b"top/large", trees::content(&store, "top/large"));
    line.peer.prefill(b"top/exact", trees::content(&store, "top/exact"));
    let line = line.run();
    check_tree(&line, &store, "", &["top/large", "top/exact"]);
    assert_eq!(line.sender.summary().carried, BLOCK + 77);
    assert_eq!(line.sender.summary().resumed, 4 * BLOCK);
}

#[test]
fn wrong_chunks_are_sent_again() {
    let store = small_tree();
    for seed in 0..10 {
        let peer = taking(true).doubting(|entry| match entry.path.as_slice() {
            b"top/large" => vec![3, 0, 3],
            b"top/a/one" => vec![0, 0],
            _ => Vec::new(),
        });
        let line = Line::new(Sender::new(config(&["top"])), peer, &store, seed).losing(9).run();
        check_tree(&line, &store, "", &FILES);
        assert!(line.peer.is_settled_space());
        assert_eq!(line.sender.footprint().memory, 0);
    }
}

#[test]
fn blocks_are_dropped_and_read_again_where_memory_is_less_than_the_line_holds() {
    let store = MemoryStore::new();
    let size = 24 * BLOCK as usize + 5;
    file(&store, "large", &bytes(9, size));
    let limits = Limits { memory: 4 * BLOCK, ..Limits::default() };
    for seed in 0..4 {
        let config = SenderConfig { limits, ..config(&["large"]) };
        let line = Line::new(Sender::new(config), taking(true), &store, seed).losing(3).holding(400, 60_000).run();
        check_tree(&line, &store, "", &["large"]);
        let processed = line.sender.progress().bytes_processed;
        assert_eq!(processed, size as u64, "what is read again is not counted");
        // Blocks that were lost come back beyond the budget, one by one.
        assert!(line.peak.memory_peak <= 6 * BLOCK + 65_536, "{:?}", line.peak);
    }
}

#[test]
fn holes_are_neither_read_nor_sent() {
    let store = MemoryStore::new();
    let size = 40 * BLOCK;
    let handle = store.create(&path("sparse")).expect("created");
    handle.truncate(size).expect("lengthened");
    handle.write_at(5 * BLOCK + 100, &bytes(1, 300)).expect("written");
    handle.write_at(20 * BLOCK - 10, &bytes(2, 20)).expect("written");
    file(&store, "hole", b"");
    store.reopen(&path("hole")).and_then(|handle| handle.truncate(3 * BLOCK + 1)).expect("lengthened");
    let line = Line::new(Sender::new(config(&["sparse", "hole"])), taking(true), &store, 1).run();
    check_tree(&line, &store, "", &["sparse", "hole"]);
    assert!(line.sender.summary().carried < BLOCK, "{:?}", line.sender.summary());
    assert!(line.sender.progress().bytes_processed <= 4 * BLOCK, "{:?}", line.sender.progress());
}

#[test]
fn orphan_credit_holds_data_back() {
    let store = small_tree();
    for credit in [0, 1, 100_000, 2 * BLOCK] {
        let config = SenderConfig { orphan_credit: credit, ..config(&["top"]) };
        let line = Line::new(Sender::new(config), taking(true), &store, credit).checking_credit(credit).run();
        check_tree(&line, &store, "", &FILES);
    }
}

#[test]
fn a_file_that_changes_once_is_taken_again() {
    for (change, expected) in
        [(Change::Grow, 4 * BLOCK as usize), (Change::Shrink, 2 * BLOCK as usize), (Change::Touch, 3 * BLOCK as usize)]
    {
        let (line, store) = changing(change, 1);
        assert_eq!(line.fate, Some(Fate::Settled), "{change:?}");
        assert_eq!(trees::content(&store, "dir/file").len(), expected);
        assert_eq!(line.retaken, 1);
        assert_eq!((line.settled, line.failed), (3, 0));
    }
}

#[test]
fn a_file_that_keeps_changing_fails_and_others_go_on() {
    let (line, _) = changing(Change::Grow, usize::MAX);
    assert_eq!(line.fate, Some(Fate::Failed(Code::SOURCE_CHANGED)));
    assert_eq!(line.retaken, 2);
    assert_eq!((line.settled, line.failed), (2, 1));
}

#[test]
fn a_file_that_vanishes_is_reported_as_such() {
    let (line, _) = changing(Change::Remove, 1);
    assert_eq!(line.fate, Some(Fate::Failed(Code::SOURCE_VANISHED)));
    assert_eq!((line.settled, line.failed), (2, 1));
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    Grow,
    Shrink,
    Touch,
    Remove,
}

struct Changed {
    fate: Option<Fate>,
    retaken: usize,
    settled: u64,
    failed: u64,
}

/// Sends a file that is changed while it is read, `times` times.
fn changing(change: Change, mut times: usize) -> (Changed, std::sync::Arc<MemoryStore>) {
    let store = std::sync::Arc::new(MemoryStore::new());
    directory(&store, "dir");
    file(&store, "dir/file", &bytes(1, 3 * BLOCK as usize));
    file(&store, "dir/other", &bytes(2, 100));
    let meddled = store.clone();
    let sender = Sender::new(config(&["dir"]));
    let line = Line::new(sender, taking(true), &*store, 11).meddling(move |work| {
        let now = match change {
            Change::Remove => matches!(work, SourceWork::Open { .. }),
            _ => matches!(work, SourceWork::Read { offset, .. } if *offset >= BLOCK),
        };
        if times > 0 && now {
            times -= 1;
            meddle(&meddled, change);
        }
    });
    let line = line.run();
    if line.peer.fate(b"dir/file") == Some(Fate::Settled) {
        check_tree(&line, &store, "", &["dir/file", "dir/other"]);
    }
    assert!(line.peer.is_settled_space());
    assert_eq!(line.sender.footprint().memory, 0);
    let retaken = line.events.iter().filter(|event| matches!(event, Event::Retaken { .. })).count();
    let summary = line.sender.summary();
    let changed =
        Changed { fate: line.peer.fate(b"dir/file"), retaken, settled: summary.settled, failed: summary.failed };
    (changed, store)
}

fn meddle(store: &MemoryStore, change: Change) {
    let at = path("dir/file");
    if change == Change::Remove {
        return store.remove(&at).expect("removed");
    }
    let handle = store.reopen(&at).expect("opened");
    let size = handle.metadata().expect("metadata").size;
    match change {
        Change::Grow => handle.write_at(size, &bytes(7, BLOCK as usize)).expect("written"),
        Change::Shrink => handle.truncate(2 * BLOCK).expect("cut"),
        Change::Touch => handle.write_at(0, b"other").expect("written"),
        Change::Remove => {}
    }
}

#[test]
fn sources_are_named_as_the_user_meant() {
    let store = small_tree();
    for (sources, expected) in [
        (&["top/a"][..], &["a", "a/deep", "a/deep/two", "a/one"][..]),
        (&["top/a/"], &["deep", "deep/two", "one"]),
        (&["top/a/one", "top/none"], &["one", "none"]),
        (&["top/a/deep", "top/a/"], &["deep", "deep/two", "deep", "one"]),
    ] {
        let line = Line::new(Sender::new(config(sources)), taking(true), &store, 1).run();
        let mut names: Vec<_> =
            line.peer.entries.iter().map(|e| String::from_utf8_lossy(&e.entry.path).into_owned()).collect();
        let mut expected: Vec<_> = expected.iter().map(ToString::to_string).collect();
        names.sort();
        expected.sort();
        assert_eq!(names, expected, "{sources:?}");
    }
}

#[test]
fn what_cannot_be_sent_fails_alone() {
    let store = small_tree();
    directory(&store, "other");
    file(&store, "other/none", b"x");
    let sources = ["top/none", "missing", "other/none", "top/large/", "top/a"];
    let line = Line::new(Sender::new(config(&sources)), taking(true), &store, 1).run();
    let failed: Vec<_> = line
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Failed { path, failure, .. } => Some((path.to_string(), failure.code)),
            _ => None,
        })
        .collect();
    assert_eq!(
        failed,
        [
            ("missing".to_owned(), Code::NOT_FOUND),
            ("none".to_owned(), Code::ALREADY_EXISTS),
            ("large".to_owned(), Code::NOT_A_DIRECTORY),
        ]
    );
    assert!(line.peer.settled(b"a/one").is_some());
    assert_eq!(line.sender.summary().failed, 3);
}

#[test]
fn links_are_copied_followed_or_left_out() {
    let store = MemoryStore::new();
    directory(&store, "d");
    directory(&store, "d/sub");
    file(&store, "d/sub/f", b"content");
    link(&store, "d/to-file", b"sub/f");
    link(&store, "d/to-dir", b"sub");
    link(&store, "d/sub/up", b"..");
    link(&store, "d/dangling", b"nowhere");
    let run = |symlinks| {
        let config = SenderConfig { symlinks, ..config(&["d"]) };
        Line::new(Sender::new(config), taking(true), &store, 1).run()
    };
    let copied = run(Symlinks::Copy);
    assert_eq!(copied.sender.summary().settled, 7);
    let target = copied.peer.settled(b"d/to-dir").map(|there| there.entry.kind.clone());
    assert_eq!(target, Some(EntryKind::Symlink { target: b"sub".to_vec() }));
    let skipped = run(Symlinks::Skip);
    assert_eq!(skipped.peer.entries.len(), 3);
    let left_out = |event: &&Event| matches!(event, Event::LeftOut { .. });
    assert_eq!(skipped.events.iter().filter(left_out).count(), 4);
    let followed = run(Symlinks::Follow);
    assert_eq!(followed.peer.settled(b"d/to-file").map(|there| there.content.clone()), Some(b"content".to_vec()));
    assert_eq!(followed.peer.settled(b"d/to-dir/f").map(|there| there.content.clone()), Some(b"content".to_vec()));
    assert_eq!(followed.peer.fate(b"d/sub/up"), Some(Fate::Failed(Code::LINK_LOOP)));
    assert_eq!(followed.peer.fate(b"d/dangling"), Some(Fate::Failed(Code::NOT_FOUND)));
}

#[test]
fn attributes_and_odd_names_are_announced_as_they_are() {
    let store = MemoryStore::new();
    let odd = StorePath::parse(b"\xff\xfe\n b").expect("a path");
    store.create(&odd).expect("created");
    let attributes = Attributes::default().with_mode(0o640).with_modified(Timestamp::new(-5, 17));
    store.set_attributes(&odd, &attributes).expect("set");
    let config = SenderConfig::new(vec![Source::itself(odd)], algorithm());
    let line = Line::new(Sender::new(config), taking(true), &store, 1).run();
    let there = line.peer.settled(b"\xff\xfe\n b").expect("settled");
    assert_eq!(there.entry.attributes.mode, Some(0o640));
    assert_eq!(there.entry.attributes.modified, Some((-5, 17)));
}

#[test]
fn a_pause_stops_data_and_a_cancel_everything() {
    let store = small_tree();
    let mut sender = Sender::new(config(&["top"]));
    sender.pause();
    assert!(sender.poll_operation().is_none() && sender.poll_offer().is_none());
    sender.resume();
    assert!(sender.poll_operation().is_some());
    sender.cancel();
    assert!(sender.poll_operation().is_none() && sender.poll_offer().is_none());
    assert!(store.metadata(&path("top"), FollowLinks::No).is_ok());
}

#[test]
fn impossible_verdicts_end_the_session() {
    use limosa_wire::EntryId;
    use limosa_wire::verdict::VerdictRecord as V;
    let records = [
        V::Take { first: EntryId(0), count: 1 },
        V::Settled { first: EntryId(u64::MAX), count: 1 },
        V::Again { entry: EntryId(0), file_offset: 0, length: 1 },
        V::Complete { settled: 0, failed: 0 },
    ];
    for record in records {
        let mut sender = Sender::new(config(&["top"]));
        let mut encoded = Vec::new();
        record.encode(&mut encoded);
        let error = sender.on_verdicts(&encoded).expect_err("refused");
        assert_eq!(error.code(), Code::PROTOCOL, "{record:?}");
    }
}

/// One file of a random tree: size and whether it has a hole.
fn tree() -> impl Strategy<Value = Vec<(u8, u32, bool)>> {
    let size = prop_oneof![
        3 => 0u32..5000,
        2 => (BLOCK as u32 - 2)..(BLOCK as u32 + 3),
        2 => 0u32..6 * BLOCK as u32,
    ];
    proptest::collection::vec((0u8..6, size, any::<bool>()), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_tree_with_any_verdicts_over_any_line(
        files in tree(),
        seed: u64,
        loss in prop_oneof![Just(0u64), 2u64..7],
        destination in 0usize..3,
        memory in 4u64..10,
        credit in prop_oneof![Just(0), 1u64..3_000_000],
        verdicts: u64,
    ) {
        let store = MemoryStore::new();
        directory(&store, "t");
        for (index, (parent, size, hole)) in files.iter().enumerate() {
            let name = trees::place(&store, *parent, index);
            trees::sparse(&store, &name, index as u64, u64::from(*size), *hole);
        }
        let destination = [Destination::Fresh, Destination::Compared, Destination::ComparedByAttributes][destination];
        let fresh = destination == Destination::Fresh;
        let limits = Limits { memory: memory * BLOCK, page: 3, operations: 4, ..Limits::default() };
        let config = SenderConfig { destination, limits, orphan_credit: credit, ..config(&["t"]) };
        let mut dice = line::Dice(verdicts);
        let peer = Peer::new(fresh, move |_| match dice.roll(8) {
            0 => Decision::Skip,
            1 => Decision::Refuse(Code::NO_SPACE),
            _ => Decision::Take,
        });
        let mut doubts = line::Dice(verdicts ^ 99);
        let peer = peer.doubting(move |entry| match entry.kind {
            EntryKind::File { size: Some(size), .. } if size > 0 && doubts.roll(5) == 0 => {
                vec![doubts.roll(size.div_ceil(BLOCK))]
            }
            _ => Vec::new(),
        });
        let line = Line::new(Sender::new(config), peer, &store, seed).losing(loss).checking_credit(credit).run();
        let mut settled = RangeSet::new();
        for (index, there) in line.peer.entries.iter().enumerate() {
            if there.fate == Fate::Settled && matches!(there.entry.kind, EntryKind::File { .. }) {
                let name = String::from_utf8_lossy(&there.entry.path).into_owned();
                prop_assert!(there.content == trees::content(&store, &name), "{} differs", name);
                settled.insert(index as u64..index as u64 + 1);
            }
        }
        let after = line.sender.footprint();
        prop_assert_eq!((after.blocks, after.readings, after.entries), (0, 0, 0));
        prop_assert_eq!(after.memory, 0);
        prop_assert!(line.peer.is_settled_space());
        prop_assert!(line.peak.operations <= 5 + after.blocks);
    }
}

/// One entry of a random tree: which directory above it holds it, and what it
/// is.
fn entries() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    proptest::collection::vec((any::<prop::sample::Index>(), 0u8..8), 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// The model asserts that no directory is gone back to, whatever order
    /// operations end in.
    #[test]
    fn any_tree_is_announced_depth_first(
        entries in entries(),
        page in 1usize..12,
        operations in 2usize..8,
        follow: bool,
        seed: u64,
    ) {
        let store = MemoryStore::new();
        directory(&store, "t");
        let mut directories = vec!["t".to_owned()];
        for (number, (parent, kind)) in entries.iter().enumerate() {
            let name = format!("{}/{number}", parent.get(&directories));
            match kind {
                0..=3 => {
                    directory(&store, &name);
                    directories.push(name);
                }
                4 => link(&store, &name, b"nowhere"),
                5 => link(&store, &name, directories.last().expect("t is one").as_bytes()),
                _ => file(&store, &name, name.as_bytes()),
            }
        }
        let limits = Limits { page, operations, ..Limits::default() };
        let symlinks = if follow { Symlinks::Follow } else { Symlinks::Copy };
        let config = SenderConfig { limits, symlinks, ..config(&["t"]) };
        let line = Line::new(Sender::new(config), taking(true), &store, seed).run();
        if !follow {
            prop_assert_eq!(line.sender.summary().settled as usize, 1 + entries.len());
        }
    }
}

/// What the engine holds follows the depth of a tree and its limits, not the
/// number of its entries.
#[test]
fn a_hundred_thousand_entries_fit_in_little_memory() {
    const WIDE: usize = 60_000;
    const DIRECTORIES: usize = 20_000;
    let store = MemoryStore::new();
    directory(&store, "t");
    directory(&store, "t/wide");
    for index in 0..WIDE {
        drop(store.create(&path(&format!("t/wide/{index}"))).expect("created"));
    }
    for index in 0..DIRECTORIES {
        directory(&store, &format!("t/{index}"));
        file(&store, &format!("t/{index}/f"), &index.to_le_bytes());
    }
    let limits = Limits { entries: 2000, page: 64, memory: 16 << 20, ..Limits::default() };
    let config = SenderConfig { limits, ..config(&["t"]) };
    let line = Line::new(Sender::new(config), taking(true), &store, 1).holding(64, 60_000).run();
    assert_eq!(line.sender.summary().settled as usize, 2 + WIDE + 2 * DIRECTORIES);
    let peak = line.peak;
    assert!(peak.entries <= 2000 && peak.segments <= 2000 && peak.blocks <= 2000, "{peak:?}");
    assert!(peak.directory_entries <= 8 * 64, "{peak:?}");
    assert!(peak.operations <= 33 && peak.memory_peak <= (16 << 20) + 1_000_000, "{peak:?}");
    assert!(peak.layout <= 512 << 10, "{peak:?}");
}

/// A way to a file thread and back costs more than reading a small file.
#[test]
fn small_files_and_directories_share_operations() {
    const DIRECTORIES: usize = 20;
    const FILES: usize = 50;
    let store = MemoryStore::new();
    directory(&store, "t");
    for number in 0..DIRECTORIES {
        directory(&store, &format!("t/{number}"));
        for index in 0..FILES {
            file(&store, &format!("t/{number}/{index}"), &bytes(index as u64, index * 100));
        }
    }
    let operations = std::rc::Rc::new(std::cell::Cell::new(0));
    let count = operations.clone();
    let line = Line::new(Sender::new(config(&["t"])), taking(true), &store, 3);
    let line = line.meddling(move |_| count.set(count.get() + 1)).run();
    assert_eq!(line.sender.summary().settled as usize, 1 + DIRECTORIES * (1 + FILES));
    assert!(operations.get() < 60, "{} operations", operations.get());
}

/// More small directories than a page holds, and than are entered by the
/// operation that lists it. One that is gone by its turn is told as such.
#[test]
fn small_directories_are_entered_many_at_a_time() {
    const DIRECTORIES: usize = 5000;
    let store = std::sync::Arc::new(MemoryStore::new());
    directory(&store, "t");
    for number in 0..DIRECTORIES {
        directory(&store, &format!("t/{number}"));
        file(&store, &format!("t/{number}/file"), &bytes(number as u64, 10));
    }
    let operations = std::rc::Rc::new(std::cell::Cell::new(0));
    let (count, meddled) = (operations.clone(), store.clone());
    let mut gone = None;
    let line = Line::new(Sender::new(config(&["t"])), taking(true), &*store, 3).meddling(move |work| {
        let walks = matches!(work, SourceWork::EnterDirectory { .. } | SourceWork::List { .. });
        count.set(count.get() + usize::from(walks || matches!(work, SourceWork::EnterAhead { .. })));
        if let (SourceWork::EnterAhead { names, .. }, None) = (work, &gone) {
            let name = gone.insert(names.last().expect("something to enter").to_string());
            meddled.remove(&path(&format!("t/{name}/file"))).expect("removed");
            meddled.remove_directory(&path(&format!("t/{name}"))).expect("removed");
        }
    });
    let line = line.run();
    let summary = line.sender.summary();
    assert_eq!((summary.settled as usize, summary.failed), (1 + 2 * (DIRECTORIES - 1), 1));
    let vanished =
        |event: &&Event| matches!(event, Event::Failed { failure, .. } if failure.code == Code::SOURCE_VANISHED);
    assert_eq!(line.events.iter().filter(vanished).count(), 1);
    assert!(operations.get() < 40, "{} operations", operations.get());
}

/// Files of which few have room in one operation: what had none is read by a
/// later one.
#[test]
fn files_that_find_no_room_are_read_later() {
    let store = MemoryStore::new();
    directory(&store, "t");
    for index in 0..200 {
        file(&store, &format!("t/{index}"), &bytes(index as u64, if index % 3 == 0 { 700_000 } else { 100 }));
    }
    let line = Line::new(Sender::new(config(&["t"])), taking(true), &store, 5).losing(20).run();
    let names: Vec<String> = (0..200).map(|index| format!("t/{index}")).collect();
    check_tree(&line, &store, "", &names.iter().map(String::as_str).collect::<Vec<_>>());
}

/// Memory holds a fraction of them: what is announced next has to be read
/// before what comes later, whichever operation left it over.
#[test]
fn files_that_fill_memory_many_times_are_read_in_order() {
    const FILES: usize = 400;
    let store = MemoryStore::new();
    directory(&store, "t");
    for index in 0..FILES {
        file(&store, &format!("t/{index}"), &bytes(index as u64, 100_000));
    }
    for (destination, fresh) in [(Destination::Fresh, true), (Destination::Compared, false)] {
        for memory in [4 * BLOCK, 8 * BLOCK] {
            let limits = Limits { memory, ..Limits::default() };
            let config = SenderConfig { limits, destination, ..config(&["t"]) };
            let line = Line::new(Sender::new(config), taking(fresh), &store, memory).run();
            assert_eq!(line.sender.summary().settled as usize, 1 + FILES);
        }
    }
}
