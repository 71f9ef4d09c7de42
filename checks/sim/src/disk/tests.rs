use limosa_storage::{
    Attributes, Durability, ErrorKind, FollowLinks, Operation, Overwrite, Publish, Staged, Store, StorePath, Timestamp,
    conformance, read_whole,
};
use limosa_transport::Time;

use super::*;
use crate::random::Seed;

fn path(text: &str) -> StorePath {
    StorePath::parse(text.as_bytes()).unwrap()
}

fn publish(disk: &Disk, from: &str, to: &str, durability: Durability) {
    let file = disk.reopen(&path(from)).unwrap();
    let how = Publish { overwrite: Overwrite::Replace, durability };
    disk.publish(Staged::File { path: &path(from), file: &*file }, &path(to), how).unwrap();
}

fn read(disk: &Disk, name: &str) -> Option<Vec<u8>> {
    match read_whole(disk, &path(name), 1 << 30) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NotFound);
            None
        }
    }
}

/// What is seen after crashes of many seeds of the disk that `make` leaves.
fn after_crashes<T: Ord>(make: impl Fn() -> Disk, see: impl Fn(&Disk) -> T) -> Vec<T> {
    let mut seen: Vec<T> = (0..200).map(|seed| see(&make().lose_power(Seed(seed)))).collect();
    seen.sort();
    seen.dedup();
    seen
}

#[test]
fn conforms() {
    conformance::check_all(&Disk::new());
}

#[test]
fn what_is_synced_survives_and_nothing_else_is_sure() {
    let make = || {
        let disk = Disk::new();
        let file = disk.create(&path("f")).unwrap();
        file.write_at(0, &[1; 10_000]).unwrap();
        file.sync_data().unwrap();
        disk.sync_directory(&StorePath::root()).unwrap();
        file.write_at(4096, &[2; 4096]).unwrap();
        file.write_at(10_000, &[3; 5000]).unwrap();
        disk
    };
    let seen = after_crashes(make, |disk| read(disk, "f").unwrap());
    assert!(seen.iter().all(|bytes| bytes[..4096] == [1; 4096] && bytes[8192..10_000] == [1; 1808]));
    assert!(seen.iter().all(|bytes| bytes.len() == 10_000 || bytes.len() == 15_000));
    assert!(seen.iter().any(|bytes| bytes[4096..8192] == [1; 4096]));
    assert!(seen.iter().any(|bytes| bytes[4096..8192] == [2; 4096]));
    let mixed = |bytes: &Vec<u8>| bytes[4096..8192].contains(&1) && bytes[4096..8192].contains(&2);
    assert!(seen.iter().any(mixed), "pages tear");
    let empty = |bytes: &Vec<u8>| bytes.len() == 15_000 && bytes[12_288..].iter().all(|&b| b == 0);
    assert!(seen.iter().any(empty), "a length may survive its bytes");
}

#[test]
fn names_come_and_go_by_themselves_until_their_directory_is_synced() {
    let make = |sync: bool| {
        move || {
            let disk = Disk::new();
            for name in ["a", "b", "c"] {
                disk.create(&path(name)).unwrap().sync_all().unwrap();
            }
            if sync {
                disk.sync_directory(&StorePath::root()).unwrap();
            }
            disk
        }
    };
    let names = |disk: &Disk| disk.list(&StorePath::root(), None, 9).unwrap().entries.len();
    let which = |disk: &Disk| ["a", "b", "c"].map(|name| read(disk, name).is_some());
    assert_eq!(after_crashes(make(false), which).len(), 8, "any of them may be lost");
    assert_eq!(after_crashes(make(true), names), [3]);
}

#[test]
fn an_unsynced_rename_happens_or_not() {
    let make = || {
        let disk = Disk::new();
        for (name, byte) in [("old", 1), ("new", 2)] {
            let file = disk.create(&path(name)).unwrap();
            file.write_at(0, &[byte; 5000]).unwrap();
            file.sync_all().unwrap();
        }
        disk.make_directory(&path("d")).unwrap();
        publish(&disk, "old", "d/f", Durability::Strict);
        disk.settle();
        publish(&disk, "new", "d/f", Durability::File);
        disk
    };
    let seen = after_crashes(make, |disk| (read(disk, "new"), read(disk, "d/f")));
    assert_eq!(seen, [(None, Some(vec![2; 5000])), (Some(vec![2; 5000]), Some(vec![1; 5000]))]);
}

#[test]
fn a_file_moved_twice_never_has_two_names() {
    let make = || {
        let disk = Disk::new();
        disk.create(&path("a")).unwrap().write_at(0, b"x").unwrap();
        disk.settle();
        publish(&disk, "a", "b", Durability::File);
        publish(&disk, "b", "c", Durability::File);
        disk
    };
    let seen = after_crashes(make, |disk| ["a", "b", "c"].map(|name| read(disk, name).is_some()));
    assert_eq!(seen, [[false, false, true], [false, true, false], [true, false, false]]);
}

#[test]
fn a_published_file_is_whole_with_its_attributes() {
    let when = Timestamp::new(7, 8);
    let make = || {
        let disk = Disk::new();
        let file = disk.create(&path("staged")).unwrap();
        file.write_at(0, &[7; 9000]).unwrap();
        file.set_attributes(&Attributes::default().with_mode(0o644).with_modified(when)).unwrap();
        publish(&disk, "staged", "f", Durability::Strict);
        disk
    };
    let see = |disk: &Disk| {
        let found = disk.metadata(&path("f"), FollowLinks::No).unwrap();
        (read(disk, "f").unwrap(), found.mode, found.modified)
    };
    assert_eq!(after_crashes(make, see), [(vec![7; 9000], 0o644, when)]);
}

#[test]
fn a_kill_forgets_nothing_but_syncs_nothing_either() {
    let disk = Disk::new();
    disk.create(&path("f")).unwrap().write_at(0, b"bytes").unwrap();
    let lock = disk.lock(&path("f")).unwrap();
    let restarted = disk.kill();
    assert!(disk.metadata(&path("f"), FollowLinks::No).is_err(), "the old process is gone");
    assert_eq!(read(&restarted, "f").unwrap(), b"bytes");
    let again = restarted.lock(&path("f")).unwrap();
    drop(lock);
    assert_eq!(restarted.lock(&path("f")).unwrap_err().kind(), ErrorKind::Locked);
    drop(again);
    let lost = (0..100).any(|seed| {
        let disk = Disk::new();
        disk.create(&path("f")).unwrap();
        read(&disk.kill().lose_power(Seed(seed)), "f").is_none()
    });
    assert!(lost, "what a killed process wrote is not on stable storage");
}

#[test]
fn the_same_seed_leaves_the_same_disk() {
    let left = |seed| {
        let disk = Disk::new();
        for i in 0..50_u8 {
            disk.create(&path(&format!("f{i}"))).unwrap().write_at(0, &[i; 6000]).unwrap();
        }
        let disk = disk.lose_power(Seed(seed));
        (0..50).map(|i| read(&disk, &format!("f{i}"))).collect::<Vec<_>>()
    };
    assert_eq!(left(3), left(3));
    assert_ne!(left(3), left(4));
}

#[test]
fn it_stops_where_it_is_told_to() {
    let disk = Disk::new();
    disk.stop_after(2);
    let file = disk.create(&path("f")).unwrap();
    file.write_at(0, b"one").unwrap();
    assert_eq!(file.write_at(3, b"two").unwrap_err().kind(), ErrorKind::Io);
    assert!(disk.is_stopped());
    assert_eq!(read(&disk.kill(), "f").unwrap(), b"one");
}

#[test]
fn faults_strike_where_and_when_they_should() {
    let disk = Disk::new();
    let file = disk.create(&path("f")).unwrap();
    disk.add_fault(Fault::new(Operation::Write, Effect::Fail(ErrorKind::Io)).at(&path("f")).after(1).times(1));
    file.write_at(0, &[0; 8]).unwrap();
    assert_eq!(file.write_at(0, b"x").unwrap_err().kind(), ErrorKind::Io);
    file.write_at(0, &[0; 8]).unwrap();
    disk.add_fault(Fault::new(Operation::Read, Effect::FlipBit).times(1));
    assert_ne!(read(&disk, "f").unwrap(), [0; 8]);
    assert_eq!(read(&disk, "f").unwrap(), [0; 8]);
}

#[test]
fn a_full_disk_takes_no_more_until_something_goes() {
    let disk = Disk::new();
    let file = disk.create(&path("f")).unwrap();
    disk.set_free(8192);
    file.write_at(0, &[1; 8192]).unwrap();
    file.write_at(10, &[2; 100]).unwrap();
    assert_eq!(file.write_at(8192, b"x").unwrap_err().kind(), ErrorKind::NoSpace);
    let other = disk.create(&path("g")).unwrap();
    assert_eq!(other.write_at(0, b"x").unwrap_err().kind(), ErrorKind::NoSpace);
    disk.remove(&path("f")).unwrap();
    other.write_at(0, b"x").unwrap();
}

#[test]
fn operations_take_the_time_they_should() {
    use std::time::Duration;
    let disk = Disk::new();
    let file = disk.create(&path("f")).unwrap();
    let rate = limosa_wire::Rate::from_bits_per_second(8_000_000);
    let speed = Speed { latency: Duration::from_millis(1), sync: Duration::from_millis(5), rate, stall: None };
    disk.set_speed(speed);
    let start = Time::from_micros(1_000_000);
    let (_, end) = disk.timed(start, || file.write_at(0, &[0; 10_000]).unwrap());
    assert_eq!(end.since(start), Duration::from_millis(11), "latency, and a byte per microsecond");
    let (_, end) = disk.timed(start, || file.sync_data().unwrap());
    assert!(end.since(start) > Duration::from_millis(11 + 6 + 10), "one thing at a time, pages at a time");
    disk.set_speed(speed.with_stall(end, Duration::from_secs(10)));
    let (_, stalled) = disk.timed(end, || file.metadata().unwrap());
    assert_eq!(stalled.since(end), Duration::from_millis(10_001));
}
