//! What fails fails alone, under its number, and leaves nothing behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use limosa_storage::{ErrorKind, FollowLinks, Operation, Store};
use limosa_wire::layout::{Attributes, Entry, EntryKind, Extent, LayoutRecord, Outcome};
use limosa_wire::setup::{Durability, Overwrite};
use limosa_wire::verdict::VerdictRecord;
use limosa_wire::{Code, EntryId, Offset};

use limosa_transfer::receiver::{Admission, Limits, Receiver};
use limosa_transport::{Delivery, Time};

use crate::disk::Disk;
use crate::drive::{Drive, Ended, exists, names, options, path, read, small_limits};
use crate::source::{Node, Random, Source, What, digest};

fn nodes() -> Vec<Node> {
    let mut random = Random(4);
    vec![
        Node::directory("t"),
        Node::file("t/a", random.bytes(100)),
        Node::file("t/b", random.bytes(3 << 20)),
        Node::file("t/c", random.bytes((16 << 20) + 1)),
        Node::new("t/l", What::Link(b"a".to_vec())),
        Node::file("t/z", random.bytes(100)),
    ]
}

fn drive_on(disk: &Disk, nodes: Vec<Node>) -> Drive<'_> {
    let options = options(disk, "in", 1).with_limits(small_limits());
    let mut drive = Drive::new(disk, options, Source::new(nodes, true).with_packets_of(8000), 1);
    drive.window = 20;
    drive
}

fn run_on(disk: &Disk, nodes: Vec<Node>) -> Vec<(u64, Code)> {
    let mut drive = drive_on(disk, nodes);
    assert_eq!(drive.run(), Ended::Finished);
    let mut failures = drive.failures();
    failures.sort_unstable();
    let complete = VerdictRecord::Complete { settled: 6 - failures.len() as u64, failed: failures.len() as u64 };
    assert_eq!(drive.source.verdicts.last(), Some(&complete));
    failures
}

/// Makes `operation` fail on everything whose path holds one of `parts`.
fn failing(operation: Operation, kind: ErrorKind, parts: &'static [&'static str]) -> Disk {
    let disk = Disk::new();
    disk.fail(move |tried, path| {
        let text = path.to_string();
        (tried == operation && parts.iter().any(|part| text.contains(part))).then_some(kind)
    });
    disk
}

#[test]
fn each_failure_has_its_number_and_the_others_go_on() {
    let kinds = [
        (ErrorKind::PermissionDenied, Code::PERMISSION_DENIED),
        (ErrorKind::ReadOnly, Code::READ_ONLY),
        (ErrorKind::TooLong, Code::NAME_TOO_LONG),
        (ErrorKind::Io, Code::WRITE_FAILED),
        (ErrorKind::Escapes, Code::OUTSIDE_ROOT),
        (ErrorKind::TooManyOpen, Code::RESOURCES),
        (ErrorKind::KeyMissing, Code::AT_REST_KEY),
        (ErrorKind::Damaged, Code::ENVELOPE_DAMAGED),
    ];
    for (kind, code) in kinds {
        for name in ["t/a", "t/b", "t/c", "t/l"] {
            let parts: &'static [&'static str] = Box::leak(Box::new([name]));
            let disk = failing(Operation::Publish, kind, parts);
            let failures = run_on(&disk, nodes());
            assert_eq!(failures.len(), 1, "{kind:?} {name}");
            assert_eq!(failures[0].1, code, "{kind:?} {name}");
            assert!(!exists(&disk, &format!("in/{name}")));
            let left = names(&disk, &path("in/t"));
            let partials = left.iter().filter(|name| name.starts_with(".limosa-")).count();
            let is_continued = name == "t/c" && kind != ErrorKind::Damaged;
            assert_eq!(partials, if is_continued { 2 } else { 0 }, "only what can be continued stays: {left:?}");
        }
    }
}

#[test]
fn every_operation_may_fail_once_and_nothing_wrong_is_published() {
    let total = {
        let disk = Disk::new();
        let mut drive = drive_on(&disk, nodes());
        let counter = Arc::new(AtomicUsize::new(0));
        let count = counter.clone();
        disk.fail(move |_, _| {
            count.fetch_add(1, Ordering::Relaxed);
            None
        });
        assert_eq!(drive.run(), Ended::Finished);
        counter.load(Ordering::Relaxed)
    };
    for target in (0..total).step_by(5) {
        let disk = Disk::new();
        let mut drive = drive_on(&disk, nodes());
        let mut seen = 0;
        disk.fail(move |_, _| {
            seen += 1;
            (seen == target + 1).then_some(ErrorKind::Io)
        });
        assert_eq!(drive.run(), Ended::Finished);
        disk.heal();
        for node in nodes() {
            let name = format!("in/{}", String::from_utf8(node.path).unwrap());
            if let (What::File { content, .. }, true) = (&node.what, exists(&disk, &name)) {
                assert!(read(&disk, &name) == *content, "{name} after failure {target}");
            }
        }
    }
}

#[test]
fn a_full_disk_stops_taking_and_keeps_what_can_be_continued() {
    let disk = failing(Operation::Write, ErrorKind::NoSpace, &["t/.limosa-"]);
    let failures = run_on(&disk, nodes());
    assert!(failures.iter().all(|(_, code)| *code == Code::NO_SPACE), "{failures:?}");
    assert_eq!(failures.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 2, 3, 5]);
    assert!(exists(&disk, "in/t/l"), "a link fits");
}

#[test]
fn a_read_only_destination_fails_each_entry() {
    let disk = failing(Operation::MakeDirectory, ErrorKind::ReadOnly, &["in"]);
    let failures = run_on(&disk, nodes());
    assert_eq!(failures, (0..6).map(|id| (id, Code::READ_ONLY)).collect::<Vec<_>>());
}

#[test]
fn wrong_chunks_are_asked_for_again_at_most_three_times() {
    for (times, fails) in [(1, false), (3, false), (4, true)] {
        for entry in [1, 2, 3] {
            let disk = Disk::new();
            let mut source = Source::new(nodes(), true).with_packets_of(8000);
            source.spoil.insert((entry, 0), times);
            let options = options(&disk, "in", 1).with_limits(small_limits());
            let mut drive = Drive::new(&disk, options, source, 2);
            drive.window = 30;
            assert_eq!(drive.run(), Ended::Finished);
            let failures = drive.failures();
            assert_eq!(failures, if fails { vec![(entry, Code::CONTENT_MISMATCH)] } else { vec![] });
            let again = drive.count(|record| matches!(record, VerdictRecord::Again { .. }));
            assert_eq!(again, times.min(3) as usize);
            let name = format!("in/t/{}", ["", "a", "b", "c"][entry as usize]);
            assert_eq!(exists(&disk, &name), !fails);
        }
    }
}

#[test]
fn what_the_sender_could_not_read_fails_with_its_code() {
    let disk = Disk::new();
    let mut all = nodes();
    all[5] = Node::new("t/z", What::Broken(Code::SOURCE_VANISHED));
    assert_eq!(run_on(&disk, all), [(5, Code::SOURCE_VANISHED)]);
    assert!(!exists(&disk, "in/t/z"));
}

#[test]
fn foreign_paths_are_refused_by_kind() {
    let disk = Disk::new();
    let long = "n".repeat(256);
    let bad = [
        ("../x", Code::OUTSIDE_ROOT),
        ("/etc/passwd", Code::OUTSIDE_ROOT),
        ("a/./b", Code::OUTSIDE_ROOT),
        ("a//b", Code::BAD_NAME),
        ("a\0b", Code::BAD_NAME),
        ("", Code::BAD_NAME),
        (".limosa-0123456789abcdef.journal", Code::BAD_NAME),
        (long.as_str(), Code::NAME_TOO_LONG),
    ];
    let mut all: Vec<Node> = bad.iter().map(|(name, _)| Node::file(name, b"x".to_vec())).collect();
    all.push(Node::file("good", b"x".to_vec()));
    let mut drive = Drive::new(&disk, options(&disk, "in", 9), Source::new(all, true), 1);
    assert_eq!(drive.run(), Ended::Finished);
    let expected: Vec<_> = bad.iter().enumerate().map(|(id, (_, code))| (id as u64, *code)).collect();
    assert_eq!(drive.failures(), expected);
    assert_eq!(names(&disk, &path("in")), ["good"]);
}

#[test]
fn what_appears_meanwhile_is_not_overwritten_if_so_asked() {
    let disk = Disk::new();
    let options = options(&disk, "in", 1).with_overwrite(Overwrite::Never);
    let mut drive = Drive::new(&disk, options, Source::new(nodes(), true).with_packets_of(8000), 1);
    disk.make_directory(&path("in")).unwrap();
    disk.make_directory(&path("in/t")).unwrap();
    for name in ["a", "b", "l"] {
        disk.create(&path(&format!("in/t/{name}"))).unwrap().write_at(0, b"mine").unwrap();
    }
    assert_eq!(drive.run(), Ended::Finished);
    let mut failures = drive.failures();
    failures.sort_unstable();
    assert_eq!(failures, [1, 2, 4].map(|id| (id, Code::ALREADY_EXISTS)));
    assert_eq!(read(&disk, "in/t/b"), b"mine");
}

#[test]
fn a_directory_in_the_way_is_never_replaced() {
    let disk = Disk::new();
    for name in ["in", "in/t", "in/t/a", "in/t/b", "in/t/l"] {
        disk.make_directory(&path(name)).unwrap();
    }
    let mut drive = Drive::new(&disk, options(&disk, "in", 1), Source::new(nodes(), false).with_packets_of(8000), 1);
    assert_eq!(drive.run(), Ended::Finished);
    let mut failures = drive.failures();
    failures.sort_unstable();
    assert_eq!(failures, [1, 2, 4].map(|id| (id, Code::IS_A_DIRECTORY)));
}

#[test]
fn a_path_beside_which_no_partial_file_can_lie_is_refused() {
    let disk = Disk::new();
    let long = [vec!["d".repeat(200); 20].join("/"), "d".repeat(45), "f".to_owned()].join("/");
    let nodes = vec![Node::file(&long, Random(1).bytes(3 << 20)), Node::file("g", vec![1; 10])];
    let mut drive = Drive::new(&disk, options(&disk, "in", 2), Source::new(nodes, true), 1);
    assert_eq!(drive.run(), Ended::Finished);
    assert_eq!(drive.failures(), [(0, Code::NAME_TOO_LONG)]);
}

#[test]
fn removals_remove_and_do_not_mind_what_is_gone() {
    let disk = Disk::new();
    disk.make_directory(&path("in")).unwrap();
    disk.make_directory(&path("in/d")).unwrap();
    disk.create(&path("in/f")).unwrap();
    let all = ["d", "f", "gone"].map(|name| Node::new(name, What::Removal)).to_vec();
    let options = options(&disk, "in", 3).with_admission(Admission::default().with_removals());
    let mut drive = Drive::new(&disk, options, Source::new(all, false), 1);
    assert_eq!(drive.run(), Ended::Finished);
    assert_eq!(drive.failures(), []);
    assert!(names(&disk, &path("in")).is_empty());
}

#[test]
fn links_are_replaced_but_never_followed() {
    let disk = Disk::new();
    for name in ["in", "in/t", "elsewhere"] {
        disk.make_directory(&path(name)).unwrap();
    }
    disk.create(&path("elsewhere/a")).unwrap().write_at(0, b"mine").unwrap();
    disk.make_link(&path("in/t/a"), b"../../elsewhere/a").unwrap();
    disk.make_link(&path("in/t/l"), b"other").unwrap();
    let mut drive = Drive::new(&disk, options(&disk, "in", 1), Source::new(nodes(), false).with_packets_of(8000), 1);
    assert_eq!(drive.run(), Ended::Finished);
    assert_eq!(drive.failures(), []);
    assert_eq!(read(&disk, "elsewhere/a"), b"mine");
    assert!(disk.metadata(&path("in/t/a"), FollowLinks::No).unwrap().is_file());
    assert_eq!(disk.read_link(&path("in/t/l")).unwrap(), b"a");
}

// Hostile layouts.

fn receiver(disk: &Disk) -> Receiver {
    Receiver::new(options(disk, "in", 1)).unwrap()
}

fn told(receiver: &mut Receiver, records: &[LayoutRecord]) -> Result<(), Code> {
    let mut bytes = Vec::new();
    records.iter().for_each(|record| record.encode(&mut bytes));
    receiver.layout(Time::ZERO, &bytes).map_err(|error| error.code())
}

fn file(id: u64, size: Option<u64>) -> LayoutRecord {
    let kind = EntryKind::File { size, chunk_log2: 20, identity: [0; 16] };
    LayoutRecord::Entry(Entry {
        id: EntryId(id),
        kind,
        path: format!("f{id}").into(),
        attributes: Attributes::default(),
    })
}

fn extent(entry: u64, file_offset: u64, length: u64, base: u64) -> LayoutRecord {
    LayoutRecord::Extent(Extent { entry: EntryId(entry), file_offset, length, base: Offset(base) })
}

#[test]
fn layouts_that_break_a_rule_end_the_session() {
    let end = |entry, final_size| LayoutRecord::End {
        entry: EntryId(entry),
        final_size,
        outcome: Outcome::Complete { root: None },
    };
    let digests =
        |entry, first_chunk| LayoutRecord::Digests { entry: EntryId(entry), first_chunk, digests: vec![[0; 32]] };
    let directory = LayoutRecord::Entry(Entry {
        id: EntryId(0),
        kind: EntryKind::Directory,
        path: b"d".to_vec(),
        attributes: Attributes::default(),
    });
    let over = |entries| LayoutRecord::EndOfLayout { entries, bytes: 0, digest: digest(b"") };
    let broken: &[(&[LayoutRecord], Code)] = &[
        (&[file(1, Some(5))], Code::PROTOCOL),
        (&[file(0, Some(5)), file(0, Some(5))], Code::PROTOCOL),
        (&[extent(0, 0, 1, 0)], Code::PROTOCOL),
        (&[file(0, Some(5)), extent(0, 4, 2, 0)], Code::PROTOCOL),
        (&[file(0, Some(5 << 20)), extent(0, 4 << 20, (1 << 20) + 1, 0)], Code::PROTOCOL),
        (&[file(0, None), extent(0, 1 << 36, 1, 0)], Code::PROTOCOL),
        (&[file(0, Some(50)), extent(0, 0, 10, 5), extent(0, 10, 10, 14)], Code::PROTOCOL),
        (&[directory, extent(0, 0, 1, 0)], Code::PROTOCOL),
        (&[file(0, Some(5)), digests(0, 1)], Code::PROTOCOL),
        (&[file(0, Some(2 << 20)), digests(0, 2)], Code::PROTOCOL),
        (&[file(0, Some(5)), end(0, 6)], Code::PROTOCOL),
        (&[file(0, None), extent(0, 0, 10, 0), end(0, 9)], Code::PROTOCOL),
        (&[file(0, None), extent(0, 0, 10, 0), end(0, 10), extent(0, 4 << 20, 10, 10)], Code::PROTOCOL),
        (&[over(1)], Code::LAYOUT_MISMATCH),
        (&[file(0, Some(0)), over(1)], Code::LAYOUT_MISMATCH),
        (&[over(0), over(0)], Code::PROTOCOL),
        (&[over(0), file(0, Some(1))], Code::PROTOCOL),
    ];
    for (records, code) in broken {
        let disk = Disk::new();
        assert_eq!(told(&mut receiver(&disk), records), Err(*code), "{records:?}");
    }
    let disk = Disk::new();
    assert!(receiver(&disk).layout(Time::ZERO, &[0xff, 1, 0]).is_err());
}

#[test]
fn a_changed_file_that_never_comes_again_counts_as_failed() {
    let disk = Disk::new();
    let mut receiver = receiver(&disk);
    let announced = [file(0, Some(5))];
    let retaken = LayoutRecord::End { entry: EntryId(0), final_size: 5, outcome: Outcome::Retaken };
    let records = [announced.as_slice(), &[retaken]].concat();
    let mut bytes = Vec::new();
    records.iter().for_each(|record| record.encode(&mut bytes));
    told(&mut receiver, &records).unwrap();
    assert_eq!(receiver.summary().failed, 0);
    told(&mut receiver, &[LayoutRecord::EndOfLayout { entries: 1, bytes: 5, digest: digest(&bytes) }]).unwrap();
    assert_eq!(receiver.summary().failed, 1);
}

#[test]
fn more_entries_than_allowed_end_the_session() {
    let disk = Disk::new();
    let limits = Limits { entries: 10, ..Limits::default() };
    let mut receiver = Receiver::new(options(&disk, "in", 1).with_limits(limits)).unwrap();
    let records: Vec<_> = (0..11).map(|id| file(id, None)).collect();
    assert_eq!(told(&mut receiver, &records), Err(Code::RESOURCES));
}

#[test]
fn data_without_a_place_is_shed_beyond_the_credit() {
    let disk = Disk::new();
    let limits = Limits { orphans: 1000, ..Limits::default() };
    let mut receiver = Receiver::new(options(&disk, "in", 1).with_limits(limits)).unwrap();
    assert_eq!(receiver.deliver(Offset(0), &[1; 900]), Delivery::Kept);
    assert_eq!(receiver.deliver(Offset(0), &[1; 900]), Delivery::Duplicate);
    assert_eq!(receiver.deliver(Offset(900), &[1; 200]), Delivery::Shed);
    assert_eq!(receiver.deliver(Offset(u64::MAX - 1), &[1; 200]), Delivery::Duplicate, "no such place");
    told(&mut receiver, &[file(0, Some(1000)), extent(0, 0, 1000, 0)]).unwrap();
    assert_eq!(receiver.deliver(Offset(900), &[1; 200]), Delivery::Kept, "the credit is free again");
}

#[test]
fn data_before_its_verdict_is_shed() {
    let disk = Disk::new();
    let mut receiver = Receiver::new(options(&disk, "in", 1).with_fresh(false)).unwrap();
    told(&mut receiver, &[file(0, Some(10)), extent(0, 0, 10, 0)]).unwrap();
    assert_eq!(receiver.deliver(Offset(0), &[1; 10]), Delivery::Shed);
}

#[test]
fn withdrawn_bytes_never_pass_for_content() {
    let disk = Disk::new();
    let mut receiver = receiver(&disk);
    let whole = Entry {
        id: EntryId(0),
        kind: EntryKind::File { size: Some(10), chunk_log2: 20, identity: [0; 16] },
        path: b"f".to_vec(),
        attributes: Attributes::default(),
    };
    let records = [
        LayoutRecord::Whole { entry: whole, base: Offset(0), digest: digest(&[0; 10]) },
        LayoutRecord::Void { base: Offset(4), length: 6 },
    ];
    told(&mut receiver, &records).unwrap();
    receiver.deliver(Offset(0), &[0; 4]);
    let failed = receiver.verdicts();
    assert!(matches!(failed[..], [VerdictRecord::Failed { code: Code::SOURCE_CHANGED, .. }]), "{failed:?}");
}

/// Runs a tree of which names are to be there for good.
fn run_strictly(disk: &Disk, nodes: Vec<Node>) -> Vec<(u64, Code)> {
    let options = options(disk, "in", 1).with_durability(Durability::Strict);
    let mut drive = Drive::new(disk, options, Source::new(nodes, true), 1);
    assert_eq!(drive.run(), Ended::Finished);
    drive.failures()
}

#[test]
fn a_directory_that_cannot_be_synced_fails_what_is_in_it_alone() {
    let mut random = Random(5);
    let mut nodes = vec![Node::directory("t"), Node::directory("t/a"), Node::directory("t/b")];
    nodes.extend(["t/a/f", "t/b/f", "t/b/g"].map(|name| Node::file(name, random.bytes(100))));
    let disk = Disk::new();
    disk.fail(|tried, path| (tried == Operation::Sync && path.to_string() == "in/t/a").then_some(ErrorKind::Io));
    let failures = run_strictly(&disk, nodes);
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert!(exists(&disk, "in/t/b/f") && exists(&disk, "in/t/b/g"));
}

#[test]
fn a_directory_that_cannot_be_made_fails_alone() {
    let disk = Disk::new();
    disk.make_directory(&path("in")).unwrap();
    disk.make_directory(&path("in/t")).unwrap();
    disk.create(&path("in/t/a")).unwrap();
    let mut nodes = vec![Node::directory("t"), Node::directory("t/a").with_mode(0o755)];
    nodes.push(Node::directory("t/b").with_mode(0o710));
    nodes.push(Node::new("t/l", What::Link(b"b".to_vec())));
    let failures = run_strictly(&disk, nodes);
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert_eq!(disk.metadata(&path("in/t/b"), FollowLinks::No).unwrap().mode & 0o777, 0o710);
    assert!(exists(&disk, "in/t/l"));
}
