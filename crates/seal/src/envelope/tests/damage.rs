//! Whatever is changed in a file, by accident or on purpose, is noticed.

use super::*;

/// The header is whole and says the same twice, and the content opens.
fn unharmed(file: &[u8]) -> bool {
    Header::decode(file, SET).is_ok_and(|header| header.copies() == Copies::Both) && open(file, &mut masters()).is_ok()
}

/// Five segments, one of them zeros.
fn file(envelope: &Envelope) -> Vec<u8> {
    seal_pieces(envelope, &[Piece::Bytes(vec![8; 512]), Piece::Skip(256), Piece::Bytes(vec![9; 300])])
}

fn segments(file: &[u8]) -> Vec<Vec<u8>> {
    file[1024..].chunks(256 + HEAD).map(<[u8]>::to_vec).collect()
}

fn joined(file: &[u8], segments: &[Vec<u8>]) -> Vec<u8> {
    [file[..1024].to_vec(), segments.concat()].concat()
}

#[test]
fn every_flipped_bit_is_noticed() {
    let file = file(&envelope(Suite::Aes256Gcm, small()));
    assert!(unharmed(&file));
    for at in 0..file.len() {
        let mut damaged = file.clone();
        damaged[at] ^= 1 << (at % 8);
        assert!(!unharmed(&damaged), "byte {at}");
    }
}

proptest! {
    #[test]
    fn other_bytes_anywhere_are_noticed(
        at: prop::sample::Index,
        bytes in prop::collection::vec(any::<u8>(), 1..64),
    ) {
        let file = file(&envelope(Suite::Aes128Gcm, small()));
        let mut damaged = file.clone();
        let at = at.index(file.len());
        for (place, byte) in damaged[at..].iter_mut().zip(&bytes) {
            *place = *byte;
        }
        prop_assert_eq!(unharmed(&damaged), damaged == file);
    }

    #[test]
    fn other_lengths_are_noticed(length in 0..3000usize) {
        let file = file(&envelope(Suite::Aes128Gcm, small()));
        let mut cut = file.clone();
        cut.resize(length, 0);
        prop_assert_eq!(unharmed(&cut), length == file.len());
    }

    #[test]
    fn other_orders_of_segments_are_noticed(order in prop::collection::vec(0..5usize, 0..7)) {
        let file = file(&envelope(Suite::Aes256Gcm, small()));
        let segments = segments(&file);
        let mixed: Vec<_> = order.iter().map(|number| segments[*number].clone()).collect();
        prop_assert_eq!(unharmed(&joined(&file, &mixed)), order == [0, 1, 2, 3, 4]);
    }
}

#[test]
fn segments_of_other_files_are_noticed() {
    let (one, other) = (file(&envelope(Suite::Aes256Gcm, small())), file(&envelope(Suite::Aes256Gcm, small())));
    for number in 0..5 {
        let mut mixed = segments(&one);
        mixed[number] = segments(&other)[number].clone();
        assert!(!unharmed(&joined(&one, &mixed)), "segment {number}");
    }
    assert!(!unharmed(&joined(&one, &segments(&other))), "all segments");
}

/// Somebody who can compute digests, but has no key.
fn with_digests(mut file: Vec<u8>) -> Vec<u8> {
    use aws_lc_rs::digest::{SHA256, digest};
    let copy = (1024 - 64) / 2;
    for start in [64, 64 + copy] {
        let body = [&file[..64], &file[start..start + copy - 32]].concat();
        file[start + copy - 32..start + copy].copy_from_slice(digest(&SHA256, &body).as_ref());
    }
    file
}

#[test]
fn a_header_changed_on_purpose_is_noticed() {
    let file = file(&envelope(Suite::Aes256Gcm, small()));
    assert_eq!(with_digests(file.clone()), file);
    for at in (0..64 + 448).chain(64 + 480..992) {
        let mut changed = file.clone();
        changed[at] ^= 1;
        assert!(!unharmed(&with_digests(changed)), "byte {at}");
    }
    // The same change in both copies.
    for at in 64..64 + 448 {
        let mut changed = file.clone();
        changed[at] ^= 1;
        changed[at + 480] ^= 1;
        assert!(!unharmed(&with_digests(changed)), "byte {at}");
    }
}

#[test]
fn a_slot_of_another_file_does_not_fit() {
    let (one, other) = (file(&envelope(Suite::Aes256Gcm, small())), file(&envelope(Suite::Aes256Gcm, small())));
    let mut mixed = one.clone();
    mixed[64..1024].copy_from_slice(&other[64..1024]);
    let header = Header::decode(&with_digests(mixed), SET).unwrap();
    assert_eq!(masters().open(&header).unwrap_err(), EnvelopeError::SlotNotAuthentic);
}

#[test]
fn one_damaged_copy_is_survived_and_told() {
    let file = file(&envelope(Suite::Aes256Gcm, small()));
    for (at, left) in [(100, Copies::OnlySecond), (600, Copies::OnlyFirst)] {
        let mut damaged = file.clone();
        damaged[at] ^= 4;
        assert_eq!(Header::decode(&damaged, SET).unwrap().copies(), left);
        assert!(open(&damaged, &mut masters()).is_ok());
    }
    let mut damaged = file;
    (damaged[100], damaged[600]) = (!damaged[100], !damaged[600]);
    assert_eq!(Header::decode(&damaged, SET), Err(EnvelopeError::HeaderDamaged));
}

#[test]
fn what_is_no_envelope_says_so() {
    let file = file(&envelope(Suite::Aes256Gcm, small()));
    assert_eq!(Header::length(&file[..16]), Ok(1024));
    assert_eq!(Header::length(b"plain text, surely"), Err(EnvelopeError::NotAnEnvelope));
    assert_eq!(Header::decode(b"", SET), Err(EnvelopeError::NotAnEnvelope));
    assert_eq!(Header::decode(&file[..1023], SET), Err(EnvelopeError::Truncated));
    let mut newer = file;
    newer[8] = 2;
    assert_eq!(Header::decode(&newer, SET), Err(EnvelopeError::Version(2)));
    assert_eq!(Header::length(&newer), Err(EnvelopeError::Version(2)));
}
