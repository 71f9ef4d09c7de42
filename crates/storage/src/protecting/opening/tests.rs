//! Sealed files written in every order, and what is read and published of them.

use limosa_seal::envelope::{HEAD, Layout, SealingWriter, SlotFor, StretchedPassphrase};
use limosa_seal::{SecretBytes, Stretch};
use limosa_wire::setup::Suite;
use proptest::prelude::*;

use super::*;
use crate::contract::{Overwrite, read_whole};
use crate::memory::MemoryStore;

const SET: AlgorithmSet = AlgorithmSet::Ordinary;
const HOW: Publish = Publish { overwrite: Overwrite::Replace, durability: Durability::File };
/// Segments of a sealed chunk.
const STORED: usize = 64 * 1024;

fn path(text: &str) -> StorePath {
    StorePath::parse(text.as_bytes()).unwrap()
}

fn staged() -> StorePath {
    path(".limosa-1.partial")
}

fn store(files: &Arc<MemoryStore>, word: &str, misfit: Misfit) -> UnprotectingStore {
    let keys = Keyring::new(SET).with_passphrase(SecretBytes::from(word.to_owned()));
    UnprotectingStore::new(files.clone(), keys, Suffix::new(b".env").unwrap(), misfit, Durability::File)
}

fn content(length: usize) -> Vec<u8> {
    // A stretch of zeros that covers whole segments, for holes.
    (0..length).map(|at| if (200_000..400_000).contains(&at) { 0 } else { (at * 31 % 251) as u8 }).collect()
}

/// `bytes` sealed for "word" in this layout, zeros as holes.
fn sealed(bytes: &[u8], layout: Layout) -> Vec<u8> {
    let scheme = SET.passphrase(Stretch::Argon2id { memory_kib: 64, passes: 1, lanes: 1 }).unwrap();
    let passphrase = StretchedPassphrase::new(scheme, &"word".to_owned().into()).unwrap();
    let mut envelope = Envelope::create(SET.envelope_suite(Suite::Aes256Gcm).unwrap(), layout, [0; 16], SET);
    envelope.add(SlotFor::Passphrase(&passphrase)).unwrap();
    let mut writer = SealingWriter::new(&envelope, std::io::Cursor::new(Vec::new())).unwrap();
    let zeros = 200_000.min(bytes.len())..400_000.min(bytes.len());
    std::io::Write::write_all(&mut writer, &bytes[..zeros.start]).unwrap();
    writer.skip(zeros.len() as u64).unwrap();
    std::io::Write::write_all(&mut writer, &bytes[zeros.end..]).unwrap();
    let (written, Sealed(length)) = writer.finish().unwrap();
    let mut written = written.into_inner();
    written.resize(length as usize, 0);
    written
}

fn shown(files: &MemoryStore) -> Vec<String> {
    let page = files.list(&StorePath::root(), None, 100).unwrap();
    let mut names: Vec<_> = page.entries.iter().map(|entry| entry.name.to_string()).collect();
    names.sort();
    names
}

fn begin(store: &dyn Store, length: usize) -> Arc<dyn WriteFile> {
    let file = store.create(&staged()).unwrap();
    file.expect_length(length as u64);
    file
}

fn publish(store: &dyn Store, file: &dyn WriteFile) -> Result<()> {
    store.publish(Staged::File { path: &staged(), file }, &path("f.env"), HOW)
}

/// How a test writes a stretch of the sealed file.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A run of whole segments.
    Segments(usize, usize),
    /// Any bytes.
    Bytes(usize, usize),
    /// What was written is to survive.
    Sync,
    /// The session ends, and another goes on.
    Restart,
    /// What was written so far is read back.
    Read(usize, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..20_usize, 1..5_usize).prop_map(|(first, count)| Step::Segments(first, count)),
        4 => (0..1_300_000_usize, 1..90_000_usize).prop_map(|(at, length)| Step::Bytes(at, length)),
        1 => Just(Step::Sync),
        1 => Just(Step::Restart),
        2 => (0..1_300_000_usize, 1..200_000_usize).prop_map(|(at, length)| Step::Read(at, length)),
    ];
    prop::collection::vec(step, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn a_file_that_comes_in_any_order_reads_as_it_came_and_lands_opened(
        length in prop_oneof![Just(0_usize), Just(1), Just(STORED - HEAD), 0..1_200_000_usize],
        first in any::<bool>(),
        steps in steps(),
    ) {
        let plain = content(length);
        let sealed = sealed(&plain, Layout::SEALED_ALIGNED);
        let files = Arc::new(MemoryStore::new());
        let mut landing = store(&files, "word", Misfit::Keep);
        let mut file = begin(&landing, sealed.len());
        let mut covered = vec![false; sealed.len()];
        if first {
            let start = STORED.min(sealed.len());
            file.write_at(0, &sealed[..start]).unwrap();
            covered[..start].fill(true);
        }
        for step in steps {
            let range = match step {
                Step::Segments(first, count) => first * STORED..(first + count) * STORED,
                Step::Bytes(at, length) | Step::Read(at, length) => at..at + length,
                Step::Sync | Step::Restart => 0..0,
            };
            let range = range.start.min(sealed.len())..range.end.min(sealed.len());
            match step {
                Step::Segments(..) | Step::Bytes(..) if !range.is_empty() => {
                    file.write_at(range.start as u64, &sealed[range.clone()]).unwrap();
                    covered[range].fill(true);
                }
                Step::Segments(..) | Step::Bytes(..) => {}
                Step::Sync => file.sync_data().unwrap(),
                Step::Restart => {
                    file.sync_data().unwrap();
                    drop(file);
                    landing = store(&files, "word", Misfit::Keep);
                    file = landing.reopen(&staged()).unwrap();
                    // Parts of segments do not outlive a session.
                    for segment in covered.chunks_mut(STORED) {
                        let is_whole = segment.iter().all(|covered| *covered);
                        segment.fill(is_whole);
                    }
                }
                Step::Read(..) => {
                    let mut bytes = vec![0; range.len()];
                    let read = file.read_at(range.start as u64, &mut bytes).unwrap();
                    for (at, byte) in bytes[..read].iter().enumerate() {
                        let at = range.start + at;
                        prop_assert!(!covered[at] || *byte == sealed[at], "byte {at}");
                    }
                    let known = covered[range].iter().rposition(|covered| *covered).map_or(0, |last| last + 1);
                    prop_assert!(known <= read);
                }
            }
        }
        for (number, segment) in covered.chunks(STORED).enumerate() {
            if !segment.iter().all(|covered| *covered) {
                let range = number * STORED..number * STORED + segment.len();
                file.write_at(range.start as u64, &sealed[range]).unwrap();
            }
        }
        prop_assert_eq!(file.metadata().unwrap().size, sealed.len() as u64);
        publish(&landing, &*file).unwrap();
        prop_assert_eq!(read_whole(&*files, &path("f"), u64::MAX).unwrap(), plain);
        prop_assert_eq!(shown(&files), ["f"]);
    }
}

/// What stands under hidden names after the first chunk was synced.
fn after_one_chunk(files: &Arc<MemoryStore>, sealed: &[u8]) -> (UnprotectingStore, Arc<dyn WriteFile>) {
    let landing = store(files, "word", Misfit::Keep);
    let file = begin(&landing, sealed.len());
    file.write_at(0, &sealed[..16 * STORED]).unwrap();
    file.sync_data().unwrap();
    (landing, file)
}

#[test]
fn content_is_stored_in_its_place_as_it_arrives() {
    let plain = content(1_500_000);
    let sealed = sealed(&plain, Layout::SEALED_ALIGNED);
    let files = Arc::new(MemoryStore::new());
    let (_, file) = after_one_chunk(&files, &sealed);
    assert_eq!(shown(&files), [".limosa-1.partial.heads", ".limosa-1.partial.opening"]);
    let stored = read_whole(&*files, &path(".limosa-1.partial.opening"), u64::MAX).unwrap();
    let opened = 15 * (STORED - HEAD);
    assert_eq!(stored[..opened], plain[..opened]);
    let holes = files.open(&path(".limosa-1.partial.opening"), FollowLinks::No).unwrap().next_data(262_144).unwrap();
    assert!(holes.is_some_and(|data| data.start >= 327_680), "zeros that were stored as holes are holes");
    drop(file);
}

#[test]
fn who_does_not_open_envelopes_finds_nothing_to_go_on_with() {
    let sealed = sealed(&content(1_500_000), Layout::SEALED_ALIGNED);
    let files = Arc::new(MemoryStore::new());
    drop(after_one_chunk(&files, &sealed));
    assert_eq!(files.reopen(&staged()).unwrap_err().kind(), ErrorKind::NotFound);
    let landing = store(&files, "word", Misfit::Keep);
    assert_eq!(landing.metadata(&staged(), FollowLinks::No).unwrap().size, sealed.len() as u64);
    landing.remove(&staged()).unwrap();
    assert_eq!(shown(&files), [] as [&str; 0]);
    assert_eq!(landing.remove(&staged()).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn nothing_of_an_earlier_session_is_believed() {
    let plain = content(1_500_000);
    let sealed = sealed(&plain, Layout::SEALED_ALIGNED);
    let heads_begin = 16 + STORED as u64;
    for (name, at) in [(".heads", heads_begin + 3 * HEAD as u64 + 20), (".opening", 300), (".opening", 250_000)] {
        let files = Arc::new(MemoryStore::new());
        drop(after_one_chunk(&files, &sealed));
        let beside = files.reopen(&path(&format!(".limosa-1.partial{name}"))).unwrap();
        let mut byte = [0];
        beside.read_at(at, &mut byte).unwrap();
        beside.write_at(at, &[byte[0] ^ 1]).unwrap();
        let landing = store(&files, "word", Misfit::Keep);
        let file = landing.reopen(&staged()).unwrap();
        file.write_at(16 * STORED as u64, &sealed[16 * STORED..]).unwrap();
        let error = publish(&landing, &*file).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged, "{name} {at}");
        assert!(files.metadata(&path("f"), FollowLinks::No).is_err());
    }
}

#[test]
fn a_segment_that_does_not_open_stays_as_it_came_and_is_not_published() {
    let plain = content(300_000);
    let good = sealed(&plain, Layout::SEALED_ALIGNED);
    let mut bad = good.clone();
    bad[2 * STORED + 700] ^= 1;
    let files = Arc::new(MemoryStore::new());
    let landing = store(&files, "word", Misfit::Keep);
    let file = begin(&landing, bad.len());
    file.write_at(0, &bad).unwrap();
    let mut read = vec![0; bad.len()];
    file.read_at(0, &mut read).unwrap();
    assert_eq!(read, bad);
    assert_eq!(publish(&landing, &*file).unwrap_err().kind(), ErrorKind::Damaged);
    file.write_at(2 * STORED as u64, &good[2 * STORED..3 * STORED]).unwrap();
    publish(&landing, &*file).unwrap();
    assert_eq!(read_whole(&*files, &path("f"), u64::MAX).unwrap(), plain);
}

#[test]
fn what_is_cut_short_or_begins_otherwise_is_not_opened() {
    let sealed = sealed(&content(300_000), Layout::SEALED_ALIGNED);
    // Two segments less, so that the last one there is not the final one.
    let cut = &sealed[..4 * STORED];
    let files = Arc::new(MemoryStore::new());
    let landing = store(&files, "word", Misfit::Keep);
    let file = begin(&landing, cut.len());
    file.write_at(0, cut).unwrap();
    assert_eq!(publish(&landing, &*file).unwrap_err().kind(), ErrorKind::Damaged);
    assert_eq!(file.write_at(20, b"another header").unwrap_err().kind(), ErrorKind::Damaged);
    assert_eq!(file.write_at(cut.len() as u64, b"more").unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(file.truncate(7).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn a_wrong_passphrase_is_told_with_the_first_bytes_or_the_file_kept() {
    let sealed = sealed(&content(300_000), Layout::SEALED_ALIGNED);
    for misfit in [Misfit::Discard, Misfit::Keep] {
        let files = Arc::new(MemoryStore::new());
        let landing = store(&files, "other", misfit);
        let file = begin(&landing, sealed.len());
        file.write_at(STORED as u64, &sealed[STORED..]).unwrap();
        let first = file.write_at(0, &sealed[..STORED]).map_err(|error| error.kind());
        if misfit == Misfit::Discard {
            assert_eq!(first, Err(ErrorKind::WrongPassphrase));
            continue;
        }
        assert_eq!(first, Ok(()));
        assert_eq!(publish(&landing, &*file).unwrap_err().kind(), ErrorKind::WrongPassphrase);
        assert_eq!(read_whole(&*files, &path("f.env"), u64::MAX).unwrap(), sealed);
    }
}

#[test]
fn what_cannot_be_opened_on_the_way_is_opened_in_the_end() {
    let plain = content(3_000_000);
    for (layout, length_is_known, synced_first) in [
        (Layout::PLAIN_ALIGNED, true, false),
        (Layout::SEALED_ALIGNED, false, false),
        (Layout::SEALED_ALIGNED, true, true),
    ] {
        let sealed = sealed(&plain, layout);
        let files = Arc::new(MemoryStore::new());
        let landing = store(&files, "word", Misfit::Keep);
        let file = landing.create(&staged()).unwrap();
        if length_is_known {
            file.expect_length(sealed.len() as u64);
        }
        file.write_at(1 << 20, &sealed[1 << 20..]).unwrap();
        if synced_first {
            file.sync_data().unwrap();
        }
        file.write_at(0, &sealed[..1 << 20]).unwrap();
        assert_eq!(read_whole(&*files, &staged(), u64::MAX).unwrap(), sealed, "as it came");
        publish(&landing, &*file).unwrap();
        assert_eq!(read_whole(&*files, &path("f"), u64::MAX).unwrap(), plain);
        assert_eq!(shown(&files), ["f"]);
    }
}

#[test]
fn a_name_without_room_for_others_beside_it_is_like_any_other() {
    let files = Arc::new(MemoryStore::new());
    let landing = store(&files, "word", Misfit::Keep);
    let long = path(&format!(".limosa-{}", "n".repeat(245)));
    assert_eq!(landing.metadata(&long, FollowLinks::No).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(landing.remove(&long).unwrap_err().kind(), ErrorKind::NotFound);
    landing.create(&long).unwrap().write_at(0, b"words").unwrap();
    assert_eq!(landing.metadata(&long, FollowLinks::No).unwrap().size, 5);
}

#[test]
fn files_that_are_only_called_so_are_left_alone() {
    let files = Arc::new(MemoryStore::new());
    for name in ["x.heads", "x.opening"] {
        files.create(&path(name)).unwrap();
    }
    let landing = store(&files, "word", Misfit::Keep);
    landing.create(&path("x")).unwrap();
    landing.remove(&path("x")).unwrap();
    assert_eq!(landing.metadata(&path("x"), FollowLinks::No).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(shown(&files), ["x.heads", "x.opening"]);
}

#[test]
fn where_a_file_goes_on_as_it_came_nothing_stays_beside_it() {
    let sealed = sealed(&content(1_500_000), Layout::SEALED_ALIGNED);
    for is_gone_on_with in [true, false] {
        let files = Arc::new(MemoryStore::new());
        drop(after_one_chunk(&files, &sealed));
        files.create(&staged()).unwrap();
        let landing = store(&files, "word", Misfit::Keep);
        if is_gone_on_with {
            drop(landing.reopen(&staged()).unwrap());
            assert_eq!(shown(&files), [".limosa-1.partial"]);
        }
        landing.remove(&staged()).unwrap();
        assert_eq!(shown(&files), [] as [&str; 0]);
    }
}

#[test]
fn what_somebody_else_left_in_the_place_of_zeros_is_not_published() {
    let plain = content(1_500_000);
    let sealed = sealed(&plain, Layout::SEALED_ALIGNED);
    let files = Arc::new(MemoryStore::new());
    let landing = store(&files, "word", Misfit::Keep);
    let file = begin(&landing, sealed.len());
    file.write_at(0, &sealed[..STORED]).unwrap();
    file.sync_data().unwrap();
    drop(file);
    let foreign = files.reopen(&path(".limosa-1.partial.opening")).unwrap();
    foreign.write_at(270_000, b"foreign").unwrap();
    let landing = store(&files, "word", Misfit::Keep);
    let file = landing.reopen(&staged()).unwrap();
    file.write_at(STORED as u64, &sealed[STORED..]).unwrap();
    publish(&landing, &*file).unwrap();
    assert_eq!(read_whole(&*files, &path("f"), u64::MAX).unwrap(), plain);
}

#[test]
fn attributes_are_not_given_to_what_is_not_authentic() {
    let sealed = sealed(&content(1_500_000), Layout::SEALED_ALIGNED);
    let files = Arc::new(MemoryStore::new());
    let (_, file) = after_one_chunk(&files, &sealed);
    let error = file.set_attributes(&Attributes::default().with_mode(0o644)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
}

#[test]
fn no_more_than_some_segments_that_do_not_open_are_put_up_with() {
    let sealed = sealed(&content(300_000), Layout::SEALED_ALIGNED);
    let landing = store(&Arc::new(MemoryStore::new()), "word", Misfit::Keep);
    let file = begin(&landing, sealed.len());
    file.write_at(0, &sealed[..STORED]).unwrap();
    let refused = (0..10_000).find_map(|_| file.write_at(STORED as u64, &[7; STORED]).err());
    assert_eq!(refused.map(|error| error.kind()), Some(ErrorKind::Damaged));
}

/// A file on a disk that takes nothing from some offset on.
#[derive(Debug)]
struct FullFrom(u64, Arc<dyn WriteFile>);

impl ReadFile for FullFrom {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        self.1.read_at(offset, buffer)
    }

    fn metadata(&self) -> Result<Metadata> {
        self.1.metadata()
    }

    fn next_data(&self, offset: u64) -> Result<Option<std::ops::Range<u64>>> {
        self.1.next_data(offset)
    }
}

impl WriteFile for FullFrom {
    fn expect_length(&self, length: u64) {
        self.1.expect_length(length);
    }

    fn preallocate(&self, length: u64) -> Result<()> {
        self.1.preallocate(length)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        if offset + bytes.len() as u64 > self.0 {
            return Err(StorageError::new(ErrorKind::NoSpace, Operation::Write, &staged()));
        }
        self.1.write_at(offset, bytes)
    }

    fn truncate(&self, length: u64) -> Result<()> {
        self.1.truncate(length)
    }

    fn sync_data(&self) -> Result<()> {
        self.1.sync_data()
    }

    fn sync_all(&self) -> Result<()> {
        self.1.sync_all()
    }

    fn set_attributes(&self, attributes: &Attributes) -> Result<()> {
        self.1.set_attributes(attributes)
    }
}

#[test]
fn nothing_counts_of_a_file_if_what_waited_could_not_be_stored() {
    let sealed = sealed(&content(1_500_000), Layout::SEALED_ALIGNED);
    let clear = content(1_500_000);
    for bytes in [sealed, clear] {
        let files = Arc::new(MemoryStore::new());
        let landing = store(&files, "word", Misfit::Keep);
        let file = Arc::new(FullFrom(1 << 20, files.create(&staged()).unwrap()));
        let file = ArrivingFile::begun(&landing.at, file, Names::of(&staged()).unwrap()).unwrap();
        file.expect_length(bytes.len() as u64);
        for (number, segment) in bytes.chunks(STORED).enumerate().skip(1) {
            file.write_at((number * STORED) as u64, segment).unwrap();
        }
        let full = |result: Result<()>| assert_eq!(result.map_err(|error| error.kind()), Err(ErrorKind::NoSpace));
        full(file.write_at(0, &bytes[..STORED]));
        full(file.write_at(0, &bytes[..STORED]));
        full(file.sync_data());
        full(file.read_at(0, &mut [0]).map(drop));
        full(file.set_attributes(&Attributes::default()));
        full(publish(&landing, &*file));
        assert_eq!(landing.at.waiting(), 0, "what waited is gone");
    }
}

#[test]
fn an_envelope_and_the_file_it_is_called_after_do_not_replace_each_other() {
    let sealed = sealed(b"from the envelope", Layout::PLAIN_ALIGNED);
    for envelope_first in [true, false] {
        let files = Arc::new(MemoryStore::new());
        let landing = store(&files, "word", Misfit::Keep);
        let land = |bytes: &[u8], to: &str| {
            let file = begin(&landing, bytes.len());
            file.write_at(0, bytes).unwrap();
            landing.publish(Staged::File { path: &staged(), file: &*file }, &path(to), HOW)
        };
        let two: [(&[u8], &str, &[u8]); 2] =
            [(&sealed, "f.env", b"from the envelope"), (b"in clear", "f", b"in clear")];
        let [first, second] = if envelope_first { two } else { [two[1], two[0]] };
        land(first.0, first.1).unwrap();
        assert_eq!(land(second.0, second.1).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(read_whole(&*files, &path("f"), u64::MAX).unwrap(), first.2);
    }
}

#[test]
fn holes_of_the_sealed_file_need_not_come() {
    let plain = content(1_500_000);
    let sealed = sealed(&plain, Layout::SEALED_ALIGNED);
    let files = Arc::new(MemoryStore::new());
    let landing = store(&files, "word", Misfit::Keep);
    let file = begin(&landing, sealed.len());
    let mut left_out = 0;
    for (number, segment) in sealed.chunks(STORED).enumerate() {
        let is_hole = segment.len() > HEAD && segment[HEAD..].iter().all(|byte| *byte == 0);
        let came = if is_hole { &segment[..HEAD] } else { segment };
        left_out += segment.len() - came.len();
        file.write_at((number * STORED) as u64, came).unwrap();
    }
    assert!(left_out > STORED);
    publish(&landing, &*file).unwrap();
    assert_eq!(read_whole(&*files, &path("f"), u64::MAX).unwrap(), plain);
    let data = files.open(&path("f"), FollowLinks::No).unwrap().next_data(262_144).unwrap();
    assert!(data.is_some_and(|data| data.start >= 327_680));
}
