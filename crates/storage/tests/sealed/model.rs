//! Any sequence of operations gives what a plain store gives, and the store
//! below sees nothing of the content.

use std::sync::Arc;

use limosa_storage::{FollowLinks, MemoryStore, Store, WriteFile};
use proptest::prelude::*;

use super::stores::{HEADER, SEGMENT, content, content_of, in_memory, over, path, sealing, size, whole, write};

/// An operation on the one file.
#[derive(Clone, Debug)]
enum Step {
    Write(usize, usize),
    Truncate(usize),
    Read(usize, usize),
    Look,
    NextData(usize),
    SyncData,
    SyncAll,
    /// Let go of it, and open it again by another store.
    Reopen,
    Expect(usize),
}

fn offset() -> impl Strategy<Value = usize> {
    let edge = (0..6_usize, 0..3_usize).prop_map(|(segment, by)| (segment * SEGMENT + by).saturating_sub(1));
    prop_oneof![edge, 0..6 * SEGMENT]
}

fn length() -> impl Strategy<Value = usize> {
    prop_oneof![1..40_usize, Just(SEGMENT), Just(2 * SEGMENT), 1..3 * SEGMENT]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (offset(), length()).prop_map(|(at, length)| Step::Write(at, length)),
        3 => (0..6_usize, 1..3_usize).prop_map(|(at, count)| Step::Write(at * SEGMENT, count * SEGMENT)),
        2 => offset().prop_map(Step::Truncate),
        2 => (offset(), length()).prop_map(|(at, length)| Step::Read(at, length)),
        1 => Just(Step::Look),
        1 => offset().prop_map(Step::NextData),
        1 => Just(Step::SyncData),
        1 => Just(Step::SyncAll),
        2 => Just(Step::Reopen),
        1 => offset().prop_map(Step::Expect),
    ]
}

/// The content that a plain file would have.
fn apply(model: &mut Vec<u8>, file: &dyn WriteFile, step: &Step, salt: u8) -> Result<(), TestCaseError> {
    match *step {
        Step::Write(at, length) => {
            let bytes: Vec<u8> = content(length).iter().map(|byte| byte.wrapping_add(salt)).collect();
            file.write_at(at as u64, &bytes).unwrap();
            model.resize(model.len().max(at + length), 0);
            model[at..][..length].copy_from_slice(&bytes);
        }
        Step::Truncate(length) => {
            file.truncate(length as u64).unwrap();
            model.resize(length, 0);
        }
        Step::Read(at, length) => {
            let mut bytes = vec![0; length];
            let read = file.read_at(at as u64, &mut bytes).unwrap();
            let from = model.len().min(at);
            prop_assert!(bytes[..read] == model[from..model.len().min(at + length)], "read {at} {length}");
        }
        Step::Look => prop_assert_eq!(file.metadata().unwrap().size, model.len() as u64),
        Step::NextData(at) => {
            let run = file.next_data(at as u64).unwrap();
            let found = run.clone().map_or(model.len(), |run| usize::try_from(run.start).unwrap());
            prop_assert!(found >= at.min(model.len()));
            prop_assert!(model[at.min(found)..found].iter().all(|byte| *byte == 0), "{run:?} skips data");
        }
        Step::SyncData => file.sync_data().unwrap(),
        Step::SyncAll => file.sync_all().unwrap(),
        Step::Expect(length) => file.expect_length(length as u64),
        Step::Reopen => {}
    }
    Ok(())
}

/// Whether any 16 bytes of the content stand in what is stored.
fn shows(stored: &[u8], content: &[u8]) -> bool {
    let pieces = content.chunks_exact(16).filter(|piece| piece.iter().all(|byte| *byte != 0));
    let known: std::collections::HashSet<&[u8]> = pieces.collect();
    stored.windows(16).any(|window| known.contains(window))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn a_sealed_file_is_as_a_plain_one(steps in prop::collection::vec(step(), 1..24)) {
        let inner: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let mut store = over(&inner, sealing());
        let mut file = store.create(&path("f")).unwrap();
        let mut model = Vec::new();
        for (salt, step) in (1..).zip(&steps) {
            if matches!(step, Step::Reopen) {
                drop(file);
                store = over(&inner, sealing());
                file = store.reopen(&path("f")).unwrap();
            }
            apply(&mut model, &*file, step, salt)?;
            prop_assert!(model == content_of(&*file).unwrap() || !matches!(step, Step::Look | Step::Reopen));
        }
        file.sync_all().unwrap();
        prop_assert_eq!(size(&store, "f"), model.len() as u64);
        drop(file);
        let other = over(&inner, sealing());
        prop_assert!(whole(&other, "f").unwrap() == model);
        prop_assert_eq!(size(&other, "f"), model.len() as u64);
        prop_assert!(!shows(&whole(&*inner, "f").unwrap(), &model), "the store below sees content");
    }

    #[test]
    fn the_order_of_writes_makes_no_difference(
        order in Just((0..24_usize).collect::<Vec<_>>()).prop_shuffle(),
        part in prop_oneof![Just(SEGMENT), Just(SEGMENT / 2), Just(SEGMENT + 17), Just(3000_usize)],
        known in any::<bool>(),
    ) {
        let (inner, store) = in_memory();
        let content = content(24 * part);
        let file = store.create(&path("f")).unwrap();
        if known {
            file.expect_length(content.len() as u64);
        }
        for at in order {
            file.write_at((at * part) as u64, &content[at * part..][..part]).unwrap();
        }
        file.sync_data().unwrap();
        drop(file);
        prop_assert!(whole(&over(&inner, sealing()), "f").unwrap() == content);
    }
}

#[test]
fn many_threads_write_one_file() {
    const THREADS: usize = 4;
    let (inner, store) = in_memory();
    let content = content(40 * SEGMENT + 100);
    let file = store.create(&path("f")).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (file, content) = (&file, &content);
            // Parts that begin and end within segments, so that threads meet.
            scope.spawn(move || {
                for (at, part) in content.chunks(SEGMENT / 3 + 1).enumerate().skip(thread).step_by(THREADS) {
                    file.write_at((at * (SEGMENT / 3 + 1)) as u64, part).unwrap();
                }
            });
        }
        let file = &file;
        scope.spawn(move || (0..20).for_each(|_| file.sync_data().unwrap()));
    });
    drop(file);
    assert!(whole(&over(&inner, sealing()), "f").unwrap() == content);
}

#[test]
fn holes_stay_holes() {
    const SIZE: u64 = 64 << 20;
    let (inner, store) = in_memory();
    let file = write(&store, "f", b"start");
    file.write_at(SIZE / 2, b"middle").unwrap();
    file.truncate(SIZE).unwrap();
    file.sync_all().unwrap();
    assert!(file.metadata().unwrap().allocated < SIZE / 10);
    drop(file);
    let reader = over(&inner, sealing()).open(&path("f"), FollowLinks::No).unwrap();
    let segment = SEGMENT as u64;
    assert_eq!(reader.next_data(0).unwrap(), Some(0..segment));
    assert_eq!(reader.next_data(segment).unwrap(), Some(SIZE / 2..SIZE / 2 + segment));
    assert_eq!(reader.next_data(SIZE / 2 + segment).unwrap(), None);
}

#[test]
fn a_whole_file_is_one_envelope_and_needs_no_more_room_than_that() {
    let (inner, store) = in_memory();
    for length in [0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 5 * SEGMENT] {
        drop(write(&store, "f", &content(length)));
        let segments = length.div_ceil(SEGMENT).max(1);
        assert_eq!(whole(&*inner, "f").unwrap().len(), HEADER + length + 32 * segments);
        assert_eq!((size(&store, "f"), whole(&store, "f").unwrap()), (length as u64, content(length)));
    }
}

#[test]
fn what_was_synced_is_not_written_over_while_the_rest_is_awaited() {
    let (inner, store) = in_memory();
    let content = content(8 * SEGMENT);
    let file = store.create(&path("f")).unwrap();
    file.expect_length(content.len() as u64);
    file.write_at(0, &content[..4 * SEGMENT]).unwrap();
    file.sync_data().unwrap();
    let before = whole(&*inner, "f").unwrap();
    file.write_at(4 * SEGMENT as u64, &content[4 * SEGMENT..]).unwrap();
    file.sync_all().unwrap();
    assert!(whole(&*inner, "f").unwrap()[..before.len()] == before);
    assert!(content_of(&*file).unwrap() == content);
}
