//! What was changed below is noticed, and never taken for content.

use std::sync::Arc;

use limosa_storage::{ErrorKind, Result, SealedStore, Store};
use proptest::prelude::*;

use super::stores::{HEADER, SEGMENT, content, in_memory, over, path, sealing, whole, write};

const STORED: usize = SEGMENT + 32;

/// A sealed file of `length` bytes, as the store below has it.
fn stored(length: usize) -> (Arc<dyn Store>, SealedStore, Vec<u8>) {
    let (inner, store) = in_memory();
    drop(write(&store, "f", &content(length)));
    let bytes = whole(&*inner, "f").unwrap();
    (inner, store, bytes)
}

fn put(inner: &dyn Store, name: &str, bytes: &[u8]) {
    drop(write(inner, name, bytes));
}

#[track_caller]
fn assert_damaged<T>(result: Result<T>) {
    assert_eq!(result.map(drop).unwrap_err().kind(), ErrorKind::Damaged);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn no_changed_bit_gives_other_content(at in 0..HEADER + 2 * STORED + 132, bit in 0..8_u8) {
        let (inner, store, mut bytes) = stored(2 * SEGMENT + 100);
        prop_assert_eq!(bytes.len(), HEADER + 2 * STORED + 132);
        bytes[at] ^= 1 << bit;
        put(&*inner, "f", &bytes);
        match whole(&store, "f") {
            Ok(read) if read == content(2 * SEGMENT + 100) => prop_assert!(at < HEADER, "one copy of the slots is spare"),
            // Not recognized any more: it is what it is.
            Ok(read) => prop_assert!(read == bytes && (at < 8 || (48..64).contains(&at)), "other content, byte {at}"),
            Err(error) => {
                let kinds = [ErrorKind::Damaged, ErrorKind::KeyMissing, ErrorKind::Unsupported];
                prop_assert!(kinds.contains(&error.kind()), "{error}");
            }
        }
    }

    #[test]
    fn no_cut_file_opens(length in HEADER..HEADER + 2 * STORED + 131) {
        let (inner, store, bytes) = stored(2 * SEGMENT + 100);
        put(&*inner, "f", &bytes[..length]);
        assert_damaged(whole(&store, "f"));
        prop_assert!(store.metadata(&path("f"), limosa_storage::FollowLinks::No).is_ok(), "it is listed all the same");
    }
}

#[test]
fn segments_cannot_change_places_or_files() {
    let (inner, store, bytes) = stored(3 * SEGMENT);
    let segment = |number: usize| HEADER + number * STORED..HEADER + (number + 1) * STORED;
    let mut swapped = bytes.clone();
    swapped[segment(0)].copy_from_slice(&bytes[segment(1)]);
    swapped[segment(1)].copy_from_slice(&bytes[segment(0)]);
    put(&*inner, "f", &swapped);
    assert_damaged(whole(&store, "f"));
    drop(write(&store, "g", &content(3 * SEGMENT)));
    let mut other = whole(&*inner, "g").unwrap();
    other[segment(1)].copy_from_slice(&bytes[segment(1)]);
    put(&*inner, "g", &other);
    assert_damaged(whole(&store, "g"));
    // A data segment cannot be passed off as a hole.
    let mut hole = bytes.clone();
    hole[segment(1)][32..].fill(0);
    hole[segment(1)][3] = 2;
    put(&*inner, "f", &hole);
    let file = store.open(&path("f"), limosa_storage::FollowLinks::No).unwrap();
    assert!(file.next_data(SEGMENT as u64).is_err() || whole(&store, "f").is_err());
    assert_damaged(whole(&store, "f"));
}

#[test]
fn what_a_crash_left_is_written_again_and_never_published_broken() {
    let (inner, store, mut bytes) = stored(4 * SEGMENT);
    bytes[HEADER + STORED + 100] ^= 1;
    put(&*inner, "f", &bytes);
    let file = store.reopen(&path("f")).unwrap();
    file.expect_length(6 * SEGMENT as u64);
    // Going on elsewhere does not touch it.
    file.write_at(4 * SEGMENT as u64, &content(2 * SEGMENT)).unwrap();
    file.sync_data().unwrap();
    assert!(file.read_at(SEGMENT as u64, &mut [0; 10]).is_err());
    let pieces = content(SEGMENT);
    file.write_at(SEGMENT as u64 + 5, &pieces[5..]).unwrap();
    file.write_at(SEGMENT as u64, &pieces[..5]).unwrap();
    file.sync_all().unwrap();
    let mut expected = content(4 * SEGMENT);
    expected[SEGMENT..2 * SEGMENT].copy_from_slice(&pieces);
    expected.extend(content(2 * SEGMENT));
    drop(file);
    assert!(whole(&over(&inner, sealing()), "f").unwrap() == expected);
}

#[test]
fn the_lost_end_of_a_file_is_not_taken_for_zeros() {
    let (inner, store, mut bytes) = stored(2 * SEGMENT);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    put(&*inner, "f", &bytes);
    let file = store.reopen(&path("f")).unwrap();
    file.write_at(3 * SEGMENT as u64, b"more").unwrap();
    assert_damaged(file.sync_all());
}
