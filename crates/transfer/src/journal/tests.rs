//! A journal is believed exactly as far as it is whole.

use proptest::prelude::*;

use super::*;

fn header() -> JournalHeader {
    JournalHeader { digest: ContentDigest::Blake3, chunk_log2: 20, identity: [7; 16], size: 400 << 20 }
}

fn digest(chunk: u32) -> Digest {
    let mut digest = [0x5a; 32];
    digest[..4].copy_from_slice(&chunk.to_be_bytes());
    digest
}

fn journal(runs: &[(u32, u32)]) -> (Vec<u8>, BTreeMap<u32, Digest>) {
    let (mut bytes, mut chain) = header().start();
    let mut held = BTreeMap::new();
    for &(first, count) in runs {
        let chunks: Vec<_> = (first..first + count).map(|chunk| (chunk, digest(chunk))).collect();
        chain.append(&chunks, &mut bytes);
        held.extend(chunks);
    }
    (bytes, held)
}

fn runs() -> impl Strategy<Value = Vec<(u32, u32)>> {
    proptest::collection::vec((0u32..380, 1u32..20), 0..12)
}

proptest! {
    #[test]
    fn what_is_written_is_read(runs in runs()) {
        let (bytes, held) = journal(&runs);
        let replay = Replay::of(&bytes, &header()).unwrap();
        prop_assert_eq!(replay.length, bytes.len() as u64);
        let (compact, _) = replay.compacted(&header());
        prop_assert!(compact.len() <= bytes.len());
        prop_assert_eq!(&Replay::of(&compact, &header()).unwrap().held, &held);
        prop_assert_eq!(replay.held, held);
    }

    #[test]
    fn damage_never_adds_or_alters_a_chunk(runs in runs(), at: prop::sample::Index, flip in 1u8.., cut: prop::sample::Index) {
        let (bytes, held) = journal(&runs);
        let mut flipped = bytes.clone();
        *at.get_mut(&mut flipped) ^= flip;
        for damaged in [&flipped[..], &bytes[..cut.index(bytes.len())]] {
            let Some(replay) = Replay::of(damaged, &header()) else { continue };
            prop_assert!(replay.held.iter().all(|(chunk, digest)| held.get(chunk) == Some(digest)));
            prop_assert!(replay.length <= damaged.len() as u64);
        }
    }

    #[test]
    fn records_of_another_journal_do_not_count(runs in runs(), other in runs()) {
        let (bytes, held) = journal(&runs);
        let mut foreign = header();
        foreign.identity = [8; 16];
        let (mut tail, mut chain) = foreign.start();
        let start = tail.len();
        for (first, count) in other {
            chain.append(&(first..first + count).map(|chunk| (chunk, [9; 32])).collect::<Vec<_>>(), &mut tail);
        }
        let spliced = [&bytes, &tail[start..]].concat();
        prop_assert_eq!(Replay::of(&spliced, &header()).unwrap().held, held);
        prop_assert_eq!(Replay::of(&tail, &header()), None);
    }

    #[test]
    fn noise_is_no_journal(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert_eq!(Replay::of(&bytes, &header()), None);
    }
}

#[test]
fn chunks_beyond_the_file_end_the_reading() {
    let (bytes, _) = journal(&[(0, 2), (399, 2)]);
    assert_eq!(Replay::of(&bytes, &header()).unwrap().held.len(), 2);
}

#[test]
fn the_longest_journal_may_be_read() {
    let header = JournalHeader { size: MAX_CHUNKS << 20, ..header() };
    let (mut bytes, mut chain) = header.start();
    for chunk in 0..u32::try_from(MAX_CHUNKS).unwrap() {
        chain.append(&[(chunk, digest(chunk))], &mut bytes);
    }
    assert!(bytes.len() as u64 <= MAX_JOURNAL);
    let replay = Replay::of(&bytes, &header).unwrap();
    assert_eq!(replay.held.len() as u64, MAX_CHUNKS);
    assert!(!replay.is_worth_compacting(), "one record a chunk is how slow lines write");
}
