//! Every record returns as it was written, and no bytes make a reader panic.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;

fn kinds() -> impl Strategy<Value = EntryKind> {
    prop_oneof![
        (option::of(0u64..1 << 35), MIN_CHUNK_LOG2..=MAX_CHUNK_LOG2, any::<SourceIdentity>())
            .prop_map(|(size, chunk_log2, identity)| EntryKind::File { size, chunk_log2, identity }),
        Just(EntryKind::Directory),
        vec(any::<u8>(), 0..300).prop_map(|target| EntryKind::Symlink { target }),
        Just(EntryKind::Removal),
    ]
}

fn entries() -> impl Strategy<Value = Entry> {
    let attributes = (option::of(0u16..=0o7777), option::of((any::<i64>(), 0u32..1_000_000_000)))
        .prop_map(|(mode, modified)| Attributes { mode, modified });
    (any::<u64>(), kinds(), vec(any::<u8>(), 0..300), attributes).prop_map(|(id, kind, path, attributes)| Entry {
        id: EntryId(id),
        kind,
        path,
        attributes,
    })
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        option::of(any::<Digest>()).prop_map(|root| Outcome::Complete { root }),
        any::<u16>().prop_map(|code| Outcome::Failed(Code::from_number(code))),
        Just(Outcome::Retaken),
    ]
}

fn wholes() -> impl Strategy<Value = LayoutRecord> {
    (entries(), 0u64..=1 << MIN_CHUNK_LOG2, 0u64..1 << 60, any::<Digest>()).prop_map(
        |(mut entry, size, base, digest)| {
            entry.kind = EntryKind::File { size: Some(size), chunk_log2: MIN_CHUNK_LOG2, identity: [7; 16] };
            LayoutRecord::Whole { entry, base: Offset(base), digest }
        },
    )
}

fn records() -> impl Strategy<Value = LayoutRecord> {
    let half = 0u64..1 << 62;
    prop_oneof![
        entries().prop_map(LayoutRecord::Entry),
        (any::<u64>(), half.clone(), 1u64..1 << 62, half.clone()).prop_map(|(entry, file_offset, length, base)| {
            LayoutRecord::Extent(Extent { entry: EntryId(entry), file_offset, length, base: Offset(base) })
        }),
        (any::<u64>(), 0..=MAX_CHUNKS, vec(any::<Digest>(), 0..40)).prop_map(|(entry, first_chunk, digests)| {
            LayoutRecord::Digests { entry: EntryId(entry), first_chunk, digests }
        }),
        (any::<u64>(), any::<u64>(), outcomes()).prop_map(|(entry, final_size, outcome)| LayoutRecord::End {
            entry: EntryId(entry),
            final_size,
            outcome
        }),
        wholes(),
        (half, 1u64..1 << 62).prop_map(|(base, length)| LayoutRecord::Void { base: Offset(base), length }),
        (any::<u64>(), any::<u64>(), any::<Digest>()).prop_map(|(entries, bytes, digest)| LayoutRecord::EndOfLayout {
            entries,
            bytes,
            digest
        }),
    ]
}

proptest! {
    #[test]
    fn records_return_one_after_the_other(records in vec(records(), 1..8)) {
        let mut bytes = Vec::new();
        for record in &records {
            record.encode(&mut bytes);
        }
        let mut at = 0;
        for record in records {
            let (again, used) = LayoutRecord::decode(&bytes[at..]).unwrap().unwrap();
            prop_assert_eq!(again, record);
            at += used;
        }
        prop_assert_eq!(at, bytes.len());
    }

    #[test]
    fn a_part_of_a_record_is_not_a_record(record in records(), cut: prop::sample::Index) {
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        bytes.truncate(cut.index(bytes.len()));
        prop_assert_eq!(LayoutRecord::decode(&bytes), Ok(None));
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = LayoutRecord::decode(&bytes);
    }

    #[test]
    fn chunks_are_as_small_as_their_number_allows(size: u64) {
        let log2 = chunk_log2_for(size);
        prop_assert!(size >> log2 < MAX_CHUNKS || log2 == MAX_CHUNK_LOG2);
        prop_assert!(log2 == MIN_CHUNK_LOG2 || size >> (log2 - 1) >= MAX_CHUNKS);
    }
}

#[test]
fn a_whole_file_has_at_most_one_chunk() {
    let kind = EntryKind::File { size: Some((1 << 20) + 1), chunk_log2: 20, identity: [0; 16] };
    let entry = Entry { id: EntryId(0), kind, path: b"f".to_vec(), attributes: Attributes::default() };
    let mut bytes = Vec::new();
    LayoutRecord::Whole { entry, base: Offset(0), digest: [0; 32] }.encode(&mut bytes);
    assert!(LayoutRecord::decode(&bytes).is_err());
}

#[test]
fn an_overlong_record_is_refused_before_it_is_waited_for() {
    let mut bytes = vec![ENTRY];
    bytes.put_varint(MAX_RECORD as u64 + 1);
    assert!(LayoutRecord::decode(&bytes).is_err());
}
