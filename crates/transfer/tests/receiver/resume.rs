//! Sessions that end before their time, and those that continue.

use std::sync::Arc;
use std::time::Duration;

use limosa_storage::Store;
use limosa_wire::Code;
use limosa_wire::setup::{Durability, Overwrite, ResumeLevel};
use limosa_wire::verdict::VerdictRecord;

use crate::disk::Disk;
use crate::drive::{Drive, Ended, exists, names, options, path, read, small_limits};
use crate::source::{Node, Random, Source};

/// Just large enough for a journal.
const LARGE: usize = (16 << 20) + 4000;

fn files(seed: u64) -> Vec<Node> {
    let mut random = Random(seed);
    vec![
        Node::directory("t").with_mode(0o755),
        Node::file("t/large", random.bytes(LARGE + 7)).with_time(77, 7),
        Node::file("t/mid", random.bytes((2 << 20) + 1)).with_time(78, 0),
        Node::file("t/small", random.bytes(5000)).with_time(79, 0),
    ]
}

fn check(store: &dyn Store, nodes: &[Node]) {
    for node in nodes {
        if let crate::source::What::File { content, .. } = &node.what {
            let name = String::from_utf8(node.path.clone()).unwrap();
            assert!(read(store, &format!("in/{name}")) == *content, "{name} differs");
        }
    }
}

/// What stands under its final name is whole, always.
fn check_published(store: &dyn Store, nodes: &[Node]) {
    for node in nodes {
        if let crate::source::What::File { content, .. } = &node.what {
            let name = format!("in/{}", String::from_utf8(node.path.clone()).unwrap());
            if exists(store, &name) {
                assert!(read(store, &name) == *content, "{name} is published and wrong");
            }
        }
    }
}

fn session<'a>(store: &'a Disk, nodes: &[Node], seed: u64) -> Drive<'a> {
    let options = options(store, "in", 1).with_limits(small_limits());
    let fresh =
        limosa_transfer::receiver::Survey::of(store, limosa_transfer::receiver::Destination::parse(b"in").unwrap());
    let source = Source::new(nodes.to_vec(), fresh.unwrap().fresh()).with_packets_of(8000);
    let mut drive = Drive::new(store, options, source, seed);
    drive.window = 50;
    drive
}

#[test]
fn a_killed_session_is_continued() {
    for seed in 0..8 {
        let disk = Disk::new();
        let nodes = files(seed);
        let mut random = Random(seed ^ 0xdead);
        let mut first = session(&disk, &nodes, seed);
        first.operations = random.below(60);
        first.run();
        let held = first.source.sent;
        drop(first);
        check_published(&disk, &nodes);
        let mut second = session(&disk, &nodes, seed + 1);
        assert_eq!(second.run(), Ended::Finished);
        assert_eq!(second.failures(), [], "seed {seed}");
        check(&disk, &nodes);
        assert!(second.source.sent <= held.max((LARGE + (3 << 20)) as u64));
    }
}

#[test]
fn a_crashed_machine_loses_no_byte_and_keeps_no_wrong_one() {
    for seed in 0..6 {
        let nodes = files(seed);
        let mut disk = Disk::new();
        let mut random = Random(seed ^ 0xc0de);
        for attempt in 0..4 {
            let mut drive = session(&disk, &nodes, seed + attempt);
            drive.operations = random.below(90);
            if drive.run() == Ended::Finished {
                assert_eq!(drive.failures(), [], "seed {seed}");
            }
            drop(drive);
            disk = disk.crash(&mut random);
            check_published(&disk, &nodes);
        }
        let mut last = session(&disk, &nodes, seed + 9);
        assert_eq!(last.run(), Ended::Finished);
        assert_eq!(last.failures(), [], "seed {seed}");
        check(&disk, &nodes);
    }
}

#[test]
fn what_was_settled_survives_a_crash_after_completion() {
    for durability in [Durability::File, Durability::Strict] {
        let nodes = files(1);
        let disk = Disk::new();
        let options = options(&disk, "in", 1).with_limits(small_limits()).with_durability(durability);
        let mut drive = Drive::new(&disk, options, Source::new(nodes.clone(), true).with_packets_of(8000), 3);
        assert_eq!(drive.run(), Ended::Finished);
        for seed in 0..4 {
            check(&disk.crash(&mut Random(seed)), &nodes);
        }
    }
}

#[test]
fn nothing_held_is_sent_or_read_again_at_level_1() {
    let nodes = files(5);
    let disk = Disk::new();
    let mut first = session(&disk, &nodes, 1);
    // Until the large file is nearly there, and two seconds longer.
    first.source.packets.truncate((15 << 20) / 8000);
    run_dry(&mut first);
    first.receiver.cancel(first.now, Code::CANCELLED);
    first.drain();
    assert_eq!(names(&disk, &path("in/t")).len(), 2, "partial and journal");
    drop(first);
    let mut second = session(&disk, &nodes, 2);
    let reads = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = reads.clone();
    disk.fail(move |operation, _| {
        if operation == limosa_storage::Operation::Read {
            counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        None
    });
    second.window = 1;
    assert_eq!(second.run(), Ended::Finished);
    let resumed = second.count(|record| matches!(record, VerdictRecord::Resume { .. }));
    assert_eq!(resumed, 1);
    assert!(second.receiver.summary().resumed >= 13 << 20, "{:?}", second.receiver.summary());
    let large = LARGE as u64 + 7 - second.receiver.summary().resumed;
    assert_eq!(second.source.sent, large + (2 << 20) + 1 + 5000, "only what is missing");
    assert_eq!(reads.load(std::sync::atomic::Ordering::Relaxed), 0, "nothing is read back");
    check(&disk, &nodes);
}

/// Goes on until the data is used up and everything is on disk and journalled.
fn run_dry(drive: &mut Drive<'_>) {
    drive.stop_when_dry = true;
    assert_eq!(drive.run(), Ended::Stopped);
}

#[test]
fn level_0_starts_over() {
    let nodes = files(6);
    let disk = Disk::new();
    let mut first = session(&disk, &nodes, 1);
    first.source.packets.truncate(1500);
    run_dry(&mut first);
    first.receiver.cancel(first.now, Code::CANCELLED);
    first.drain();
    drop(first);
    let options = options(&disk, "in", 1).with_resume(ResumeLevel::None);
    let mut second = Drive::new(&disk, options, Source::new(nodes.clone(), false).with_packets_of(8000), 2);
    assert_eq!(second.run(), Ended::Finished);
    assert_eq!(second.count(|record| matches!(record, VerdictRecord::Resume { .. } | VerdictRecord::Skip { .. })), 0);
    assert_eq!(second.receiver.summary().resumed, 0);
    check(&disk, &nodes);
}

#[test]
fn what_is_there_is_skipped() {
    let nodes = files(7);
    let disk = Disk::new();
    assert_eq!(session(&disk, &nodes, 1).run(), Ended::Finished);
    let mut second = session(&disk, &nodes, 2);
    assert_eq!(second.run(), Ended::Finished);
    assert_eq!(second.receiver.summary().skipped, 3);
    assert_eq!(second.source.sent, 0);
    let never = options(&disk, "in", 1).with_overwrite(Overwrite::Never);
    let mut third = Drive::new(&disk, never, Source::new(nodes.clone(), false), 3);
    third.run();
    let mut failures = third.failures();
    failures.sort_unstable();
    assert_eq!(failures, [(1, Code::ALREADY_EXISTS), (2, Code::ALREADY_EXISTS), (3, Code::ALREADY_EXISTS)]);
}

#[test]
fn a_damaged_journal_costs_time_and_never_a_byte() {
    for seed in 0..6 {
        let nodes = files(seed);
        let disk = Disk::new();
        let mut first = session(&disk, &nodes, seed);
        first.source.packets.truncate(1900);
        run_dry(&mut first);
        first.receiver.cancel(first.now, Code::CANCELLED);
        first.drain();
        drop(first);
        damage(&disk, &mut Random(seed));
        let mut second = session(&disk, &nodes, seed + 1);
        assert_eq!(second.run(), Ended::Finished);
        assert_eq!(second.failures(), []);
        check(&disk, &nodes);
    }
}

/// Flips a bit of the journal, cuts it, or cuts the partial file.
fn damage(disk: &Disk, random: &mut Random) {
    let in_t = names(disk, &path("in/t"));
    let of = |suffix: &str| path(&format!("in/t/{}", in_t.iter().find(|name| name.ends_with(suffix)).unwrap()));
    let journal = disk.reopen(&of(".journal")).unwrap();
    let size = journal.metadata().unwrap().size;
    match random.below(3) {
        0 => journal.truncate(random.next() % size).unwrap(),
        1 => {
            let (at, mut byte) = (random.next() % size, [0]);
            journal.read_at(at, &mut byte).unwrap();
            journal.write_at(at, &[byte[0] ^ (1 << random.below(8))]).unwrap();
        }
        _ => {
            let partial = disk.reopen(&of(".partial")).unwrap();
            partial.truncate(random.next() % partial.metadata().unwrap().size).unwrap();
        }
    }
}

#[test]
fn another_session_on_the_same_file_is_waited_for_and_then_refused() {
    let nodes = files(8);
    let disk = Disk::new();
    let mut first = session(&disk, &nodes, 1);
    first.source.packets.truncate(1500);
    run_dry(&mut first);
    let mut second = session(&disk, &nodes, 2);
    assert_eq!(second.run(), Ended::Finished);
    assert_eq!(second.failures(), [(1, Code::IN_USE)]);
    assert!(second.now.since(limosa_transport::Time::ZERO) >= Duration::from_secs(10), "patience");
    // Once the first is gone, its file is taken over.
    first.receiver.cancel(first.now, Code::TAKEN_OVER);
    first.drain();
    drop(first);
    let mut third = session(&disk, &nodes, 3);
    assert_eq!(third.run(), Ended::Finished);
    assert!(third.receiver.summary().resumed > 0);
    check(&disk, &nodes);
}

#[test]
fn levels_that_compare_content_are_refused_for_now() {
    let disk = Disk::new();
    let options = options(&disk, "in", 1).with_resume(ResumeLevel::Full);
    let error = limosa_transfer::receiver::Receiver::new(options).unwrap_err();
    assert_eq!(error.to_string(), "resume level 3 is not available yet");
}

/// Leaves 15 MiB of `t/large` and its journal behind.
fn leave_a_part(disk: &Disk, nodes: &[Node]) {
    let mut first = session(disk, nodes, 1);
    first.source.packets.truncate((15 << 20) / 8000);
    run_dry(&mut first);
    first.receiver.cancel(first.now, Code::CANCELLED);
    first.drain();
}

#[test]
fn what_was_held_and_has_changed_since_is_fetched_again() {
    let nodes = files(9);
    let disk = Disk::new();
    leave_a_part(&disk, &nodes);
    let mut changed = nodes.clone();
    let crate::source::What::File { content, .. } = &mut changed[1].what else { panic!() };
    let before = content.clone();
    content[(3 << 20) + 5] ^= 1;
    let source = Source::new(changed.clone(), false).with_packets_of(8000).with_changed(1, &before);
    let mut second = Drive::new(&disk, options(&disk, "in", 1), source, 2);
    assert_eq!(second.run(), Ended::Finished);
    assert_eq!(second.failures(), []);
    assert!(second.receiver.summary().resumed >= 13 << 20, "the rest is kept");
    check(&disk, &changed);
}

#[test]
fn a_part_whose_mode_forbids_writing_is_continued() {
    let nodes = files(10);
    let disk = Disk::new();
    leave_a_part(&disk, &nodes);
    let mut readable = false;
    disk.fail(move |operation, path| {
        let partial = path.to_string().ends_with(".partial");
        readable |= partial && operation == limosa_storage::Operation::SetAttributes;
        (partial && operation == limosa_storage::Operation::Create && !readable)
            .then_some(limosa_storage::ErrorKind::PermissionDenied)
    });
    // Nothing but the large file: those beside it have partial files as well.
    let mut second = session(&disk, &nodes[..2], 2);
    assert_eq!(second.run(), Ended::Finished);
    assert_eq!(second.failures(), []);
    assert!(second.receiver.summary().resumed >= 13 << 20);
    check(&disk, &nodes[..2]);
}
