use proptest::prelude::*;

use super::*;
use crate::AlgorithmSet;

const BOTH: [ContentDigest; 2] = [ContentDigest::Blake3, ContentDigest::Sha256];
const MIB: usize = 1 << 20;

fn algorithm(digest: ContentDigest) -> ContentAlgorithm {
    AlgorithmSet::Ordinary.content(digest).unwrap()
}

fn chunk(digest: ContentDigest, bytes: &[u8]) -> Digest {
    let mut hasher = algorithm(digest).hasher();
    hasher.update(bytes);
    hasher.finish()
}

fn sample(len: usize) -> Vec<u8> {
    (0..len).map(|at| ((at * 31) ^ (at >> 8) ^ (at >> 17)) as u8).collect()
}

/// The module's definition, word by word.
fn by_definition(digest: ContentDigest, bytes: &[u8]) -> Digest {
    fn tree(digest: ContentDigest, leaves: &[Digest]) -> Digest {
        if let [only] = leaves {
            return *only;
        }
        let k = 1 << (leaves.len() - 1).ilog2();
        algorithm(digest).node(&tree(digest, &leaves[..k]), &tree(digest, &leaves[k..]))
    }
    let leaf = |granule: &[u8]| match digest {
        ContentDigest::Blake3 => *blake3::hash(granule).as_bytes(),
        ContentDigest::Sha256 => sha256(&[&[0], granule]),
    };
    let mut leaves: Vec<_> = bytes.chunks(MIB).map(leaf).collect();
    if leaves.is_empty() {
        leaves.push(leaf(&[]));
    }
    tree(digest, &leaves)
}

#[test]
fn small_chunks_are_plain_hashes_in_their_domain() {
    assert_eq!(
        crate::identity::hex(&chunk(ContentDigest::Blake3, b"")),
        "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    );
    assert_eq!(
        crate::identity::hex(&chunk(ContentDigest::Sha256, b"")),
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    );
}

#[test]
fn the_hasher_follows_the_definition() {
    for len in [0, 1, MIB - 1, MIB, MIB + 1, 2 * MIB, 3 * MIB, 5 * MIB + 77, 7 * MIB] {
        let bytes = sample(len);
        for digest in BOTH {
            assert_eq!(chunk(digest, &bytes), by_definition(digest, &bytes), "{digest:?} {len}");
        }
    }
}

#[test]
fn the_root_does_not_depend_on_the_size_of_chunks() {
    let bytes = sample(7 * MIB + 5);
    for digest in BOTH {
        let roots: Vec<_> = [1, 2, 4, 8]
            .iter()
            .map(|size| {
                let mut tree = algorithm(digest).tree();
                bytes.chunks(size * MIB).for_each(|part| tree.push(chunk(digest, part)));
                tree.root(bytes.len() as u64)
            })
            .collect();
        assert!(roots.windows(2).all(|pair| pair[0] == pair[1]));
    }
}

#[test]
fn the_root_binds_length_order_and_domain() {
    let algorithm = algorithm(ContentDigest::Sha256);
    let (one, two) = (chunk(ContentDigest::Sha256, b"one"), chunk(ContentDigest::Sha256, b"two"));
    let root = |digests: &[Digest], length| {
        let mut tree = algorithm.tree();
        digests.iter().for_each(|digest| tree.push(*digest));
        tree.root(length)
    };
    let all = [root(&[one, two], 6), root(&[two, one], 6), root(&[one, two], 7), root(&[one], 3), one];
    for (at, digest) in all.iter().enumerate() {
        assert!(!all[..at].contains(digest), "{at}");
    }
    assert_eq!(root(&[], 0), root(&[chunk(ContentDigest::Sha256, b"")], 0));
}

#[test]
fn zeros_of_every_size_are_known() {
    for digest in BOTH {
        for log2 in 20..23 {
            assert_eq!(algorithm(digest).zeros(log2), chunk(digest, &vec![0; 1 << log2]), "{digest:?} {log2}");
        }
        let mut hole = algorithm(digest).hasher();
        hole.update_zeros(1 << 48);
        assert_eq!(hole.finish(), algorithm(digest).zeros(48));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn portions_and_holes_do_not_matter(cuts in prop::collection::vec((any::<bool>(), 0usize..3 * MIB), 1..6)) {
        for digest in BOTH {
            let mut hasher = algorithm(digest).hasher();
            let mut bytes = Vec::new();
            for (hole, len) in &cuts {
                if *hole {
                    hasher.update_zeros(*len as u64);
                    bytes.resize(bytes.len() + len, 0);
                } else {
                    hasher.update(&sample(*len));
                    bytes.extend(sample(*len));
                }
            }
            prop_assert_eq!(hasher.len(), bytes.len() as u64);
            prop_assert_eq!(hasher.finish(), by_definition(digest, &bytes));
        }
    }
}
