//! Every verdict returns as it was written, and no bytes make a reader panic.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;

fn spans() -> impl Strategy<Value = (EntryId, u64)> {
    (0u64..1 << 62, 1u64..1 << 62).prop_map(|(first, count)| (EntryId(first), count))
}

fn failures() -> impl Strategy<Value = (EntryId, Code, String)> {
    (any::<u64>(), any::<u16>(), ".{0,60}")
        .prop_map(|(entry, code, detail)| (EntryId(entry), Code::from_number(code), detail))
}

fn missing() -> impl Strategy<Value = Vec<(u64, u64)>> {
    vec((0u64..30, 1u64..30), 0..200).prop_map(|steps| {
        let mut end = 0;
        steps
            .into_iter()
            .map(|(gap, count)| {
                let first = end + gap;
                end = first + count;
                (first, count)
            })
            .collect()
    })
}

fn fronts() -> impl Strategy<Value = Option<Front>> {
    let pieces = vec((0..2000_usize, vec(1..=u8::MAX, 0..200)), 0..20);
    option::of(pieces.prop_map(|pieces| {
        let bytes = pieces.iter().flat_map(|(zeros, piece)| [&vec![0; *zeros][..], piece].concat());
        Front::of(&bytes.collect::<Vec<u8>>()).unwrap()
    }))
}

fn records() -> impl Strategy<Value = VerdictRecord> {
    prop_oneof![
        spans().prop_map(|(first, count)| VerdictRecord::Take { first, count }),
        spans().prop_map(|(first, count)| VerdictRecord::Skip { first, count }),
        spans().prop_map(|(first, count)| VerdictRecord::Settled { first, count }),
        (any::<u64>(), missing(), fronts()).prop_map(|(entry, missing, front)| VerdictRecord::Resume {
            entry: EntryId(entry),
            missing,
            front
        }),
        failures().prop_map(|(entry, code, detail)| VerdictRecord::Refuse { entry, code, detail }),
        failures().prop_map(|(entry, code, detail)| VerdictRecord::Failed { entry, code, detail }),
        (any::<u64>(), 0u64..1 << 62, 1u64..1 << 62).prop_map(|(entry, file_offset, length)| VerdictRecord::Again {
            entry: EntryId(entry),
            file_offset,
            length
        }),
        any::<(u64, u64)>().prop_map(|(settled, failed)| VerdictRecord::Complete { settled, failed }),
    ]
}

proptest! {
    #[test]
    fn verdicts_return(record in records()) {
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        let (again, used) = VerdictRecord::decode(&bytes).unwrap().unwrap();
        prop_assert_eq!(used, bytes.len());
        prop_assert_eq!(again, record);
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = VerdictRecord::decode(&bytes);
    }
}

#[test]
fn overlapping_stretches_are_refused() {
    let mut bytes = Vec::new();
    VerdictRecord::Resume { entry: EntryId(1), missing: vec![(0, 5), (4, 2)], front: None }.encode(&mut bytes);
    assert!(VerdictRecord::decode(&bytes).is_err());
}
