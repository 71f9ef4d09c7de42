//! Every frame returns as it was written, and no bytes make a reader panic.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::codec::Cursor;

fn numbers() -> impl Strategy<Value = PacketNumber> {
    (0..=PacketNumber::MAX.get()).prop_map(|value| PacketNumber::new(value).unwrap())
}

fn only_frame(bytes: &[u8]) -> Frame<'_> {
    let mut frames = Frames::new(bytes);
    let frame = frames.next().unwrap().unwrap();
    assert!(frames.next().is_none(), "one frame was written");
    frame
}

proptest! {
    #[test]
    fn data_returns(offset in 0..u64::MAX - 2000, bytes in vec(any::<u8>(), 1..1500)) {
        let mut to_end = Vec::new();
        put_data_to_end(&mut to_end, Offset(offset));
        prop_assert_eq!(to_end.len(), DATA_HEADER);
        to_end.extend(&bytes);
        prop_assert_eq!(only_frame(&to_end), Frame::Data { offset: Offset(offset), bytes: &bytes });

        let mut sized = Vec::new();
        put_data(&mut sized, Offset(offset), bytes.len());
        prop_assert_eq!(sized.len(), data_header_len(bytes.len()));
        sized.extend(&bytes);
        prop_assert_eq!(only_frame(&sized), Frame::Data { offset: Offset(offset), bytes: &bytes });
    }

    #[test]
    fn stream_bytes_return(offset in 0..u64::MAX / 2, index in 0usize..3, bytes in vec(any::<u8>(), 1..1500)) {
        let mut sink = Vec::new();
        put_stream(&mut sink, StreamId::ALL[index], offset, bytes.len());
        prop_assert_eq!(sink.len(), stream_header_len(offset, bytes.len()));
        sink.extend(&bytes);
        prop_assert_eq!(only_frame(&sink), Frame::Stream { stream: StreamId::ALL[index], offset, bytes: &bytes });
    }

    #[test]
    fn reports_return(
        largest in numbers(),
        sent_at in 0u64..1 << 60,
        held in 0u64..1 << 50,
        fields: [u64; 8],
        stamps in vec((0u64..1 << 40, 0u64..1 << 40), 0..MAX_STAMPS + 3),
    ) {
        let [delivered_packets, delivered_bytes, congestion_marks, local_drops, interval_us, queued, queue_capacity, drained] = fields;
        let report = Report {
            largest,
            largest_at: PeerTime(sent_at.saturating_sub(held)),
            sent_at: PeerTime(sent_at),
            delivered_packets, delivered_bytes, congestion_marks, local_drops, interval_us, queued, queue_capacity, drained,
            stamps: Stamps::default(),
        };
        let stamps: Vec<_> = stamps
            .into_iter()
            .map(|(back, ago)| {
                (PacketNumber::new(largest.get().saturating_sub(back)).unwrap(), PeerTime(sent_at.saturating_sub(ago)))
            })
            .collect();
        let mut sink = Vec::new();
        put_report(&mut sink, &report, &stamps);
        prop_assert!(sink.len() <= MAX_REPORT_BASE + 2 * crate::codec::MAX_VARINT * stamps.len());
        let Frame::Report(again) = only_frame(&sink) else { panic!("a report was written") };
        prop_assert_eq!(Report { stamps: Stamps::default(), ..again }, report);
        prop_assert_eq!(again.stamps.collect::<Vec<_>>(), &stamps[..stamps.len().min(MAX_STAMPS)]);
    }

    #[test]
    fn slices_return(first in 0u64..1 << 47, runs in vec(1u64..10_000, 1..400), empty_start: bool, beyond in 0u64..1000) {
        let first = PacketNumber::new(first).unwrap();
        let mut builder = SliceBuilder::default();
        builder.clear();
        let mut expected = Vec::new();
        let mut arrived = true;
        if empty_start {
            prop_assert!(builder.push(0, true, usize::MAX));
            arrived = false;
        }
        let mut next = first.get();
        for count in runs {
            prop_assert!(builder.push(count, arrived, usize::MAX));
            expected.push(Run { first: PacketNumber::new(next).unwrap(), count, arrived });
            next += count;
            arrived = !arrived;
        }
        let as_of = PacketNumber::new(next - 1 + beyond).unwrap();
        let mut sink = Vec::new();
        builder.put(&mut sink, first, as_of);
        prop_assert!(sink.len() <= builder.max_len());
        let Frame::Slice(slice) = only_frame(&sink) else { panic!("a slice was written") };
        prop_assert_eq!((slice.first, slice.as_of), (first, as_of));
        prop_assert_eq!(slice.runs.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_slice_stays_within_its_room(runs in vec(1u64..1 << 20, 1..400), room in 24usize..300) {
        let mut builder = SliceBuilder::default();
        builder.clear();
        for (index, count) in runs.into_iter().enumerate() {
            if !builder.push(count, index % 2 == 0, room) {
                break;
            }
        }
        let mut sink = Vec::new();
        builder.put(&mut sink, PacketNumber::MAX, PacketNumber::MAX);
        prop_assert!(sink.len() <= room);
    }

    #[test]
    fn the_short_frames_return(lowest in numbers(), interval_us: u64, token: [u8; 16], code: u16, reason in ".{0,300}") {
        let mut sink = Vec::new();
        put_floor(&mut sink, lowest, interval_us);
        prop_assert!(sink.len() <= MAX_FLOOR);
        put_probe(&mut sink);
        put_path_challenge(&mut sink, &token);
        put_path_response(&mut sink, &token);
        put_close(&mut sink, code, &reason);
        sink.put(&[0, 0, 0]);
        let frames: Vec<_> = Frames::new(&sink).collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(&frames[..4], &[
            Frame::Floor { lowest, interval_us },
            Frame::Probe,
            Frame::PathChallenge(token),
            Frame::PathResponse(token),
        ]);
        let Frame::Close { code: again, reason: cut } = frames[4] else { panic!("a close was written") };
        prop_assert_eq!(again, code);
        prop_assert!(reason.starts_with(cut) && (cut.len() == reason.len() || cut.len() > MAX_REASON - 4));
    }

    #[test]
    fn shed_ranges_return(ranges in vec((0u64..1 << 62, 1u64..1 << 40), 0..MAX_SHED)) {
        let ranges: Vec<_> = ranges.into_iter().map(|(offset, length)| (Offset(offset), length)).collect();
        let mut sink = Vec::new();
        put_shed(&mut sink, &ranges);
        prop_assert!(sink.len() <= shed_len(&ranges));
        let Frame::Shed(shed) = only_frame(&sink) else { panic!("a shed was written") };
        prop_assert_eq!(shed.collect::<Vec<_>>(), ranges);
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in vec(any::<u8>(), 0..200)) {
        for frame in Frames::new(&bytes).flatten() {
            match frame {
                Frame::Report(report) => drop(report.stamps.count()),
                Frame::Slice(slice) => drop(slice.runs.count()),
                Frame::Shed(shed) => drop(shed.count()),
                _ => {}
            }
        }
    }
}

#[test]
fn a_slice_beyond_what_it_was_made_of_is_refused() {
    let mut builder = SliceBuilder::default();
    builder.clear();
    assert!(builder.push(10, true, 100));
    let mut sink = Vec::new();
    builder.put(&mut sink, PacketNumber::default(), PacketNumber::new(8).unwrap());
    assert!(Frames::new(&sink).next().unwrap().is_err());
}

#[test]
fn empty_data_and_ranges_past_the_end_are_refused() {
    let mut empty = Vec::new();
    put_data_to_end(&mut empty, Offset(0));
    assert!(Frames::new(&empty).next().unwrap().is_err());
    let mut beyond = Vec::new();
    put_data(&mut beyond, Offset(u64::MAX), 1);
    beyond.push(0);
    assert!(Frames::new(&beyond).next().unwrap().is_err());
}

#[test]
fn frames_are_built_in_place() {
    let mut buffer = [0; 64];
    let mut cursor = Cursor::new(&mut buffer);
    put_data_to_end(&mut cursor, Offset(7));
    cursor.free()[..3].copy_from_slice(b"abc");
    cursor.advance(3);
    let used = cursor.used();
    assert_eq!(only_frame(&buffer[..used]), Frame::Data { offset: Offset(7), bytes: b"abc" });
}
