//! Every record returns as it was written, and no bytes make a reader panic.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn records() -> impl Strategy<Value = ControlRecord> {
    prop_oneof![
        any::<u64>().prop_map(|bits| ControlRecord::SetRate(Rate::from_bits_per_second(bits))),
        prop::sample::select(RatePolicy::ALL).prop_map(ControlRecord::SetPolicy),
        Just(ControlRecord::Pause),
        Just(ControlRecord::Resume),
        any::<u16>().prop_map(|code| ControlRecord::Cancel(Code::from_number(code))),
        any::<(u64, u64)>().prop_map(|(bytes, entries)| ControlRecord::Progress { bytes, entries }),
        any::<[u64; 6]>().prop_map(|fields| ControlRecord::Summary(Summary::from_fields(fields))),
    ]
}

proptest! {
    #[test]
    fn records_return(record in records()) {
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        let (again, used) = ControlRecord::decode(&bytes).unwrap().unwrap();
        prop_assert_eq!(used, bytes.len());
        prop_assert_eq!(again, record);
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in vec(any::<u8>(), 0..100)) {
        let _ = ControlRecord::decode(&bytes);
    }
}
