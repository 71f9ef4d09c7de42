//! Memory stays within its bounds, whatever is thrown at the engine.

use limosa_storage::Store;
use limosa_storage::memory::MemoryStore;
use limosa_transfer::receiver::{Limits, Receiver, perform};
use limosa_transport::{Delivery, Time};
use limosa_wire::layout::{Attributes, Entry, EntryKind, Extent, LayoutRecord, Outcome};
use limosa_wire::setup::Overwrite;
use limosa_wire::verdict::VerdictRecord;
use limosa_wire::{EntryId, Offset};

use crate::drive::{Drive, Ended, options, path, read};
use crate::source::{Node, Random, Source, algorithm, digest};

fn encode(records: &[LayoutRecord]) -> Vec<u8> {
    let mut bytes = Vec::new();
    records.iter().for_each(|record| record.encode(&mut bytes));
    bytes
}

#[test]
fn a_disk_that_stands_still_sheds_and_nothing_else() {
    let store = MemoryStore::new();
    let limits = Limits { queue: 8 << 20, ..Limits::default() };
    let mut receiver = Receiver::new(options(&store, "in", 1).with_limits(limits)).unwrap();
    let size = 40 << 20;
    let kind = EntryKind::File { size: Some(size), chunk_log2: 20, identity: [1; 16] };
    let entry = Entry { id: EntryId(0), kind, path: b"f".to_vec(), attributes: Attributes::default() };
    let extent = Extent { entry: EntryId(0), file_offset: 0, length: size, base: Offset(0) };
    receiver.layout(Time::ZERO, &encode(&[LayoutRecord::Entry(entry), LayoutRecord::Extent(extent)])).unwrap();
    let mut kept = 0;
    for at in (0..size).step_by(8192) {
        if receiver.deliver(Offset(at), &[7; 8192]) == Delivery::Kept {
            kept += 8192;
        }
        assert!(receiver.memory_used() <= 8 << 20);
    }
    assert_eq!(kept, 8 << 20, "the memory is used");
    let mut open = None;
    while let Some(operation) = receiver.next_operation() {
        assert!(open.is_none(), "nothing can be written before the file is open");
        open = Some(operation);
    }
    let open = open.unwrap();
    receiver.completed(Time::ZERO, open.ticket, perform(&store, open.work));
    assert_eq!(receiver.queue().queued, 8 << 20, "complete blocks go to the disk");
    while let Some(operation) = receiver.next_operation() {
        receiver.completed(Time::ZERO, operation.ticket, perform(&store, operation.work));
    }
    assert_eq!(receiver.queue().queued, 0);
    assert_eq!(receiver.queue().drained, 8 << 20);
}

#[test]
fn blocks_with_gaps_leave_memory_and_are_read_back() {
    let store = MemoryStore::new();
    let limits = Limits { queue: 4 << 20, ..Limits::default() };
    let content = Random(3).bytes(12 << 20);
    let nodes = vec![Node::file("f", content.clone())];
    let mut drive = Drive::new(&store, options(&store, "in", 2).with_limits(limits), Source::new(nodes, true), 5);
    // Every seventh datagram is lost at first: each block has gaps.
    let packets = std::mem::take(&mut drive.source.packets);
    let (late, early): (Vec<_>, Vec<_>) = packets.into_iter().enumerate().partition(|(index, _)| index % 7 == 0);
    drive.source.packets = early.into_iter().chain(late).map(|(_, packet)| packet).collect();
    assert_eq!(drive.run(), Ended::Finished);
    assert_eq!(drive.failures(), []);
    assert!(drive.peak_memory <= 4 << 20);
    assert!(read(&store, "in/f") == content);
}

#[test]
fn what_fills_blocks_that_left_memory_is_bounded_as_well() {
    let store = MemoryStore::new();
    let queue = 4 << 20;
    let limits = Limits { queue, ..Limits::default() };
    let mut receiver = Receiver::new(options(&store, "in", 1).with_limits(limits)).unwrap();
    let size = 40 << 20;
    let kind = EntryKind::File { size: Some(size), chunk_log2: 20, identity: [1; 16] };
    let entry = Entry { id: EntryId(0), kind, path: b"f".to_vec(), attributes: Attributes::default() };
    let extent = Extent { entry: EntryId(0), file_offset: 0, length: size, base: Offset(0) };
    receiver.layout(Time::ZERO, &encode(&[LayoutRecord::Entry(entry), LayoutRecord::Extent(extent)])).unwrap();
    let execute = |receiver: &mut Receiver| {
        while let Some(operation) = receiver.next_operation() {
            receiver.completed(Time::ZERO, operation.ticket, perform(&store, operation.work));
        }
    };
    // The first byte of each block: they leave memory in favour of the next.
    for at in (0..size).step_by(1 << 20) {
        receiver.deliver(Offset(at), &[7]);
        execute(&mut receiver);
        assert!(receiver.memory_used() <= queue);
    }
    // Now the disk stands still.
    for at in (0..size).step_by(1 << 20).flat_map(|block| (1..65).map(move |part| block + part * 8192)) {
        receiver.deliver(Offset(at), &[7; 8192]);
        assert!(receiver.memory_used() <= queue, "{} bytes of {queue}", receiver.memory_used());
    }
}

#[test]
fn a_chunk_of_many_blocks_is_proven_without_being_read() {
    let store = MemoryStore::new();
    let mut receiver = Receiver::new(options(&store, "in", 2)).unwrap();
    let content = Random(3).bytes((5 << 20) + 99);
    let size = content.len() as u64;
    let kind = EntryKind::File { size: Some(size), chunk_log2: 22, identity: [1; 16] };
    let entry = Entry { id: EntryId(0), kind, path: b"f".to_vec(), attributes: Attributes::default() };
    let digests: Vec<_> = content.chunks(4 << 20).map(digest).collect();
    let mut tree = algorithm().tree();
    digests.iter().for_each(|digest| tree.push(*digest));
    let records = [
        LayoutRecord::Entry(entry),
        LayoutRecord::Extent(Extent { entry: EntryId(0), file_offset: 0, length: size, base: Offset(0) }),
        LayoutRecord::Digests { entry: EntryId(0), first_chunk: 0, digests },
        LayoutRecord::End {
            entry: EntryId(0),
            final_size: size,
            outcome: Outcome::Complete { root: Some(tree.root(size)) },
        },
    ];
    receiver.layout(Time::ZERO, &encode(&records)).unwrap();
    for (index, part) in content.chunks(60_000).enumerate().collect::<Vec<_>>().into_iter().rev() {
        assert_eq!(receiver.deliver(Offset(index as u64 * 60_000), part), Delivery::Kept);
    }
    while let Some(operation) = receiver.next_operation() {
        receiver.completed(Time::ZERO, operation.ticket, perform(&store, operation.work));
    }
    let verdicts = receiver.verdicts();
    assert_eq!(verdicts, [VerdictRecord::Settled { first: EntryId(0), count: 1 }]);
    assert!(read(&store, "in/f") == content);
}

#[test]
fn a_sparse_file_of_20_gb_costs_its_data() {
    let store = MemoryStore::new();
    let size = 20 << 30;
    let log2 = limosa_wire::layout::chunk_log2_for(size);
    let mut receiver = Receiver::new(options(&store, "in", 2)).unwrap();
    let kind = EntryKind::File { size: Some(size), chunk_log2: log2, identity: [1; 16] };
    let entry = Entry { id: EntryId(0), kind, path: b"f".to_vec(), attributes: Attributes::default() };
    let place = 7 << 30;
    let mut chunk = vec![0; 1 << log2];
    chunk[..4096].fill(9);
    let zeros = algorithm().zeros(log2);
    let mut records = vec![
        LayoutRecord::Entry(entry),
        LayoutRecord::Extent(Extent { entry: EntryId(0), file_offset: place, length: 4096, base: Offset(0) }),
    ];
    for first_chunk in (0..size >> log2).step_by(1024) {
        let mut digests = vec![zeros; 1024];
        if (first_chunk..first_chunk + 1024).contains(&(place >> log2)) {
            digests[((place >> log2) - first_chunk) as usize] = digest(&chunk);
        }
        records.push(LayoutRecord::Digests { entry: EntryId(0), first_chunk, digests });
    }
    records.push(LayoutRecord::End { entry: EntryId(0), final_size: size, outcome: Outcome::Complete { root: None } });
    receiver.layout(Time::ZERO, &encode(&records)).unwrap();
    assert_eq!(receiver.deliver(Offset(0), &[9; 4096]), Delivery::Kept);
    assert!(receiver.memory_used() <= 1 << 20);
    let mut reads = 0;
    while let Some(operation) = receiver.next_operation() {
        reads += usize::from(format!("{:?}", operation.work).starts_with("ReadBack"));
        receiver.completed(Time::ZERO, operation.ticket, perform(&store, operation.work));
    }
    assert_eq!(reads, 0, "holes cost no reading");
    assert_eq!(receiver.verdicts(), [VerdictRecord::Settled { first: EntryId(0), count: 1 }]);
    let found = limosa_storage::Store::metadata(&store, &crate::drive::path("in/f"), limosa_storage::FollowLinks::No);
    assert_eq!(found.unwrap().size, size);
}

/// A thousand directories of a hundred empty files each, and a hundred
/// thousand empty directories: what is kept does not grow with what was done.
#[test]
fn many_entries_leave_no_trace() {
    let store = MemoryStore::new();
    let mut receiver = Receiver::new(options(&store, "in", 2)).unwrap();
    let mut id = 0;
    let mut settled = 0;
    let mut peak = 0;
    for index in 0..100_000u64 {
        let (path, kind) = if index % 100 == 0 {
            (format!("d{}", index / 100), EntryKind::Directory)
        } else {
            (format!("d{}/sub{index}", index / 100), EntryKind::Directory)
        };
        let entry = Entry { id: EntryId(id), kind, path: path.into(), attributes: Attributes::default() };
        receiver.layout(Time::ZERO, &encode(&[LayoutRecord::Entry(entry)])).unwrap();
        id += 1;
        while let Some(operation) = receiver.next_operation() {
            receiver.completed(Time::ZERO, operation.ticket, perform(&store, operation.work));
        }
        for record in receiver.verdicts() {
            let VerdictRecord::Settled { count, .. } = record else { panic!("{record:?}") };
            settled += count;
        }
        while receiver.next_event().is_some() {}
        peak = peak.max(receiver.unsettled());
    }
    assert!(peak <= 3, "{peak} entries are kept");
    assert_eq!(settled, id - receiver.unsettled() as u64);
}

#[test]
fn what_came_early_for_a_file_that_is_skipped_leaves_memory() {
    let store = MemoryStore::new();
    store.make_directory(&path("in")).unwrap();
    store.create(&path("in/f")).unwrap();
    for size in [1 << 20, 3 << 20] {
        let options = options(&store, "in", 1).with_overwrite(Overwrite::Never);
        let mut receiver = Receiver::new(options).unwrap();
        receiver.deliver(Offset(0), &[7; 1000]);
        assert_eq!(receiver.memory_used(), 0, "without a place it is counted elsewhere");
        let kind = EntryKind::File { size: Some(size), chunk_log2: 20, identity: [1; 16] };
        let entry = Entry { id: EntryId(0), kind, path: b"f".to_vec(), attributes: Attributes::default() };
        let extent = Extent { entry: EntryId(0), file_offset: 0, length: size, base: Offset(0) };
        receiver.layout(Time::ZERO, &encode(&[LayoutRecord::Entry(entry), LayoutRecord::Extent(extent)])).unwrap();
        assert!(receiver.memory_used() > 0, "it has a place, and nobody knows whether it is wanted");
        while let Some(operation) = receiver.next_operation() {
            receiver.completed(Time::ZERO, operation.ticket, perform(&store, operation.work));
        }
        assert_eq!(receiver.memory_used(), 0);
    }
}
