//! What is in a file: bytes, length, holes.

use std::ops::Range;

use super::{Place, assert_fails, content_of};
use crate::contract::{FollowLinks, WriteFile, read_whole};
use crate::error::ErrorKind;

const MIB: u64 = 1024 * 1024;

pub(super) fn writes_are_read_back(place: &Place<'_>) {
    let file = place.create("f");
    file.write_at(3, b"defg").expect("bytes are written");
    file.write_at(0, b"abc").expect("bytes are written");
    file.write_at(5, b"FG").expect("bytes are overwritten");
    file.write_at(2, b"").expect("nothing is written");
    assert_eq!(content_of(&*file), b"abcdeFG", "through the handle that wrote");
    assert_eq!(place.read("f"), b"abcdeFG", "through the name");
    file.sync_data().expect("data is synced");
    file.sync_all().expect("all is synced");
}

pub(super) fn reads_stop_at_the_end(place: &Place<'_>) {
    let file = place.write("f", b"0123456789");
    let mut buffer = [b'x'; 8];
    assert_eq!(file.read_at(4, &mut buffer).expect("it reads"), 6);
    assert_eq!(&buffer, b"456789xx", "what was not read is left alone");
    for offset in [10, 11, MIB, u64::MAX] {
        assert_eq!(file.read_at(offset, &mut buffer).expect("it reads"), 0, "at {offset}");
    }
    assert_eq!(file.read_at(0, &mut []).expect("it reads nothing"), 0);
}

pub(super) fn gaps_read_as_zeros(place: &Place<'_>) {
    let file = place.create("f");
    file.write_at(10_000, b"end").expect("it writes beyond the end");
    let content = content_of(&*file);
    assert_eq!(content.len(), 10_003);
    assert!(content[..10_000].iter().all(|&b| b == 0) && content.ends_with(b"end"));
}

pub(super) fn truncation_cuts_and_lengthens(place: &Place<'_>) {
    let file = place.write("f", &[b'a'; 5000]);
    file.truncate(4500).expect("it cuts");
    file.truncate(6000).expect("it lengthens");
    let content = content_of(&*file);
    assert_eq!(content.len(), 6000);
    assert!(content[..4500].iter().all(|&b| b == b'a'));
    assert!(content[4500..].iter().all(|&b| b == 0), "what was cut off does not come back");
    file.truncate(0).expect("it empties");
    assert_eq!(content_of(&*file), b"");
}

pub(super) fn data_runs_cover_all_data(place: &Place<'_>) {
    let file = place.create("f");
    let written = [0..10, MIB..MIB + 5000, 8 * MIB..8 * MIB + 1];
    for range in &written {
        let length = usize::try_from(range.end - range.start).expect("a short range");
        file.write_at(range.start, &vec![b'd'; length]).expect("it writes");
    }
    let size = 16 * MIB;
    file.truncate(size).expect("it lengthens");
    file.sync_all().expect("it syncs");
    let runs = data_runs(&*file, size);
    for range in &written {
        let covered = runs.iter().any(|run| run.start <= range.start && range.end <= run.end);
        assert!(covered, "{range:?} is data, and not in {runs:?}");
    }
    let data: u64 = runs.iter().map(|run| run.end - run.start).sum();
    if place.store.capabilities().sparse {
        assert!(data < 2 * MIB, "holes of a sparse file are found: {runs:?}");
    }
    let within = file.next_data(MIB + 7).expect("it finds data").expect("there is data");
    assert_eq!(within.start, MIB + 7, "a run starts where it was asked for, not before");
    assert_eq!(file.next_data(size).expect("it looks"), None);
    assert_eq!(file.next_data(u64::MAX).expect("it looks"), None);
}

/// All runs of data, checked for their promises.
fn data_runs(file: &dyn WriteFile, size: u64) -> Vec<Range<u64>> {
    let (mut runs, mut at) = (Vec::new(), 0);
    while let Some(run) = file.next_data(at).expect("it finds data") {
        assert!(at <= run.start && run.start < run.end && run.end <= size, "{run:?} from {at}");
        at = run.end;
        runs.push(run);
    }
    runs
}

pub(super) fn copies_keep_holes(place: &Place<'_>) {
    let source = place.create("source");
    source.write_at(MIB, b"one").expect("it writes");
    source.write_at(5 * MIB + 17, b"two").expect("it writes");
    source.truncate(6 * MIB).expect("it lengthens");
    let copy = place.create("copy");
    copy.truncate(6 * MIB).expect("it lengthens");
    for run in data_runs(&*source, 6 * MIB) {
        let mut bytes = vec![0; usize::try_from(run.end - run.start).expect("a short run")];
        assert_eq!(source.read_at(run.start, &mut bytes).expect("it reads"), bytes.len());
        copy.write_at(run.start, &bytes).expect("it writes");
    }
    assert!(content_of(&*copy) == content_of(&*source), "the copy has the same bytes");
    if place.store.capabilities().sparse {
        copy.sync_all().expect("it syncs");
        let found = copy.metadata().expect("it is open");
        assert!(found.allocated < MIB, "{} bytes are in use", found.allocated);
    }
}

pub(super) fn a_file_of_holes_has_no_data(place: &Place<'_>) {
    let file = place.create("f");
    assert_eq!(file.next_data(0).expect("it looks"), None, "an empty file has no data");
    file.truncate(4 * MIB).expect("it lengthens");
    let expected = if place.store.capabilities().sparse { None } else { Some(0..4 * MIB) };
    assert_eq!(file.next_data(0).expect("it looks"), expected);
}

pub(super) fn preallocation_changes_nothing_visible(place: &Place<'_>) {
    let file = place.write("f", b"abc");
    file.preallocate(0).expect("nothing is reserved");
    file.preallocate(MIB).expect("space is reserved, or not");
    file.preallocate(1).expect("less is reserved");
    assert_eq!(content_of(&*file), b"abc");
}

pub(super) fn offsets_beyond_any_disk_are_refused(place: &Place<'_>) {
    let file = place.write("f", b"abc");
    assert_fails(file.write_at(u64::MAX, b"x"), ErrorKind::TooLarge);
    assert_fails(file.write_at(u64::MAX - 1, b"xyz"), ErrorKind::TooLarge);
    assert_fails(file.truncate(u64::MAX), ErrorKind::TooLarge);
    assert_fails(file.preallocate(u64::MAX), ErrorKind::TooLarge);
    assert_eq!(content_of(&*file), b"abc");
}

pub(super) fn many_threads_share_a_handle(place: &Place<'_>) {
    const PART: usize = 64 * 1024;
    let file = place.create("f");
    std::thread::scope(|scope| {
        for part in 0..4_u8 {
            let file = &file;
            scope.spawn(move || {
                let bytes = vec![part; PART];
                for at in (0..PART).step_by(4096) {
                    let offset = u64::from(part) * PART as u64 + at as u64;
                    file.write_at(offset, &bytes[at..at + 4096]).expect("it writes");
                }
            });
        }
    });
    let content = content_of(&*file);
    assert_eq!(content.len(), 4 * PART);
    for (part, bytes) in (0..).zip(content.chunks(PART)) {
        assert!(bytes.iter().all(|&b| b == part), "part {part} holds its bytes");
    }
}

pub(super) fn journals_grow_at_their_end(place: &Place<'_>) {
    let path = place.path("journal");
    let journal = place.store.open_append(&path).expect("a journal is made");
    journal.append(b"one").expect("it appends");
    journal.append(b"two").expect("it appends");
    drop(journal);
    let journal = place.store.open_append(&path).expect("it opens again");
    assert_eq!(journal.length().expect("it has a length"), 6);
    journal.append(b"torn").expect("it appends");
    journal.truncate(6).expect("it cuts");
    journal.append(b"three").expect("it appends");
    journal.sync_data().expect("it syncs");
    assert_eq!(read_whole(place.store, &path, 100).expect("it reads"), b"onetwothree");
    let mode = place.store.metadata(&path, FollowLinks::No).expect("it is there").mode;
    assert_eq!(mode, 0o600, "a journal is its owner's");
}

pub(super) fn reading_whole_is_bounded(place: &Place<'_>) {
    place.write("f", b"0123456789");
    let path = place.path("f");
    assert_eq!(read_whole(place.store, &path, 10).expect("it fits"), b"0123456789");
    assert_fails(read_whole(place.store, &path, 9), ErrorKind::TooLarge);
    assert_fails(read_whole(place.store, &place.path("none"), 9), ErrorKind::NotFound);
}
