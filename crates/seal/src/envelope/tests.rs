//! Whole envelopes in memory: what goes in comes out, and nothing else does.

mod damage;
mod slots;
mod vectors;

use std::io::{Cursor, Read, Seek, SeekFrom, Write};

use limosa_wire::setup::Suite;
use proptest::prelude::*;

use super::*;
use crate::{AlgorithmSet, PassphraseScheme, Secret, SecretBytes, Stretch};

const SET: AlgorithmSet = AlgorithmSet::Ordinary;

/// Small sizes, so that small contents have many segments.
fn small() -> Layout {
    Layout::new(1024, 256).unwrap()
}

fn master() -> MasterKey {
    MasterKey::new("master-1".parse().unwrap(), Secret::take(&mut [7; 32]))
}

fn masters() -> Keyring {
    Keyring::new(SET).with_master(master())
}

fn passphrase(text: &str) -> SecretBytes {
    SecretBytes::from(text.to_owned())
}

fn scheme(stretch: Stretch) -> PassphraseScheme {
    SET.passphrase(stretch).unwrap()
}

fn cheap() -> PassphraseScheme {
    scheme(Stretch::Argon2id { memory_kib: 64, passes: 1, lanes: 1 })
}

fn envelope(suite: Suite, layout: Layout) -> Envelope {
    let mut envelope = Envelope::create(SET.envelope_suite(suite).unwrap(), layout, [3; 16], SET);
    envelope.add(SlotFor::Master(&master())).unwrap();
    envelope
}

/// A piece of content: bytes, or a run of zeros to skip.
#[derive(Clone, Debug)]
enum Piece {
    Bytes(Vec<u8>),
    Skip(u16),
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..700).prop_map(Piece::Bytes),
        (0..1500u16).prop_map(Piece::Skip)
    ];
    prop::collection::vec(piece, 0..6)
}

fn content_of(pieces: &[Piece]) -> Vec<u8> {
    let bytes = pieces.iter().flat_map(|piece| match piece {
        Piece::Bytes(bytes) => bytes.clone(),
        Piece::Skip(count) => vec![0; usize::from(*count)],
    });
    bytes.collect()
}

fn seal_pieces(envelope: &Envelope, pieces: &[Piece]) -> Vec<u8> {
    let mut writer = SealingWriter::new(envelope, Cursor::new(Vec::new())).unwrap();
    for piece in pieces {
        match piece {
            Piece::Bytes(bytes) => writer.write_all(bytes).unwrap(),
            Piece::Skip(count) => writer.skip(u64::from(*count)).unwrap(),
        }
    }
    let (out, length) = writer.finish().unwrap();
    let mut file = out.into_inner();
    file.resize(usize::try_from(length.0).unwrap(), 0);
    file
}

fn seal(envelope: &Envelope, content: &[u8]) -> Vec<u8> {
    seal_pieces(envelope, &[Piece::Bytes(content.to_vec())])
}

fn open(file: &[u8], keyring: &mut Keyring) -> Result<Vec<u8>, StreamError> {
    let envelope = keyring.open(&Header::decode(file, SET)?)?;
    let mut content = Vec::new();
    let mut reader = OpeningReader::new(&envelope, Cursor::new(file), Sealed(file.len() as u64))?;
    reader.read_to_end(&mut content)?;
    Ok(content)
}

proptest! {
    #[test]
    fn content_returns(pieces in pieces(), bits in prop::sample::select(vec![Suite::Aes128Gcm, Suite::Aes256Gcm])) {
        let file = seal_pieces(&envelope(bits, small()), &pieces);
        let content = content_of(&pieces);
        prop_assert_eq!(small().sealed_len(Plain(content.len() as u64)), Some(Sealed(file.len() as u64)));
        prop_assert_eq!(open(&file, &mut masters()).unwrap(), content);
    }

    #[test]
    fn ranges_read_back_equal(pieces in pieces(), ranges in prop::collection::vec((0..4000u64, 0..900usize), 1..8)) {
        let envelope = envelope(Suite::Aes256Gcm, small());
        let (file, content) = (seal_pieces(&envelope, &pieces), content_of(&pieces));
        let mut reader = OpeningReader::new(&envelope, Cursor::new(&file), Sealed(file.len() as u64)).unwrap();
        for (from, length) in ranges {
            let mut part = Vec::new();
            reader.seek(SeekFrom::Start(from)).unwrap();
            (&mut reader).take(length as u64).read_to_end(&mut part).unwrap();
            let from = content.len().min(usize::try_from(from).unwrap());
            prop_assert_eq!(part.as_slice(), &content[from..content.len().min(from + length)]);
        }
    }

    #[test]
    fn what_was_stored_is_made_of_content_and_heads(
        pieces in pieces(),
        bits in prop::sample::select(vec![Suite::Aes128Gcm, Suite::Aes256Gcm]),
    ) {
        let envelope = envelope(bits, small());
        let stored = seal_pieces(&envelope, &pieces);
        let mut opener = envelope.opener();
        for (number, segment) in stored[small().header()..].chunks(small().segment() + HEAD).enumerate() {
            let number = SegmentNumber(number as u64);
            let (head, body) = segment.split_first_chunk().unwrap();
            let mut content = body.to_vec();
            opener.open_body(number, head, &mut content).unwrap();
            opener.restore(number, head, &mut content);
            prop_assert_eq!(&content[..], body);
        }
    }

    #[test]
    fn segments_are_sealed_in_any_order_and_again(
        content in prop::collection::vec(any::<u8>(), 1..2000),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
    ) {
        let envelope = envelope(Suite::Aes128Gcm, small());
        let mut file = seal(&envelope, &content);
        let before = file.clone();
        let whole = Plain(content.len() as u64);
        let mut sealer = envelope.sealer();
        for index in order {
            let number = SegmentNumber(index.index(usize::try_from(small().segments(whole)).unwrap()) as u64);
            let extent = small().extent(number, whole).unwrap();
            let stored = usize::try_from(extent.sealed.0).unwrap()..;
            let segment = &mut file[stored][..extent.stored()];
            let from = usize::try_from(extent.plain.0).unwrap();
            segment[HEAD..].copy_from_slice(&content[from..][..extent.length as usize]);
            let end = if extent.is_last { End::Final } else { End::More };
            sealer.seal(number, end, segment).unwrap();
            let nonce = usize::try_from(extent.sealed.0).unwrap() + 4..;
            prop_assert_ne!(&file[nonce.clone()][..12], &before[nonce][..12], "a nonce was used again");
        }
        prop_assert_eq!(open(&file, &mut masters()).unwrap(), content);
    }
}

#[test]
fn files_at_the_edges_of_segments_return() {
    for layout in [Layout::PLAIN_ALIGNED, Layout::SEALED_ALIGNED] {
        let segment = layout.segment();
        for length in [0, 1, segment - 1, segment, segment + 1, 2 * segment, 16 * segment + 5] {
            let content: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let file = seal(&envelope(Suite::Aes256Gcm, layout), &content);
            assert_eq!(open(&file, &mut masters()).unwrap(), content, "{length}");
        }
    }
}

#[test]
fn keys_of_segments_change_with_their_group() {
    let envelope = envelope(Suite::Aes256Gcm, small());
    let (mut sealer, mut opener) = (envelope.sealer(), envelope.opener());
    let (last, first) = (SegmentNumber((1 << 20) - 1), SegmentNumber(1 << 20));
    for number in [first, last, first] {
        let mut segment = [9; HEAD + 100];
        sealer.seal(number, End::More, &mut segment).unwrap();
        let opened = opener.open(number, &mut segment).unwrap();
        assert_eq!((opened.plain, opened.form, opened.end), ([9; 100].as_mut_slice(), Form::Data, End::More));
    }
    let mut long = vec![0; HEAD + 257];
    assert_eq!(sealer.seal(first, End::More, &mut long), Err(EnvelopeError::TooLong));
}

#[test]
fn holes_cost_their_heads_alone() {
    let envelope = envelope(Suite::Aes256Gcm, small());
    let file = seal_pieces(&envelope, &[Piece::Skip(1024), Piece::Bytes(vec![5]), Piece::Skip(600)]);
    let mut reader = OpeningReader::new(&envelope, Cursor::new(&file), Sealed(file.len() as u64)).unwrap();
    let forms: Vec<_> = (0..7).map(|number| reader.segment(SegmentNumber(number)).unwrap().form).collect();
    let (data, zeros) = (Form::Data, Form::Zeros);
    assert_eq!(forms, [zeros, zeros, zeros, zeros, data, zeros, zeros]);
    let (mut bytes, mut skipped) = (0, 0);
    let counted: Result<(), StreamError> = reader.copy(
        |data| {
            bytes += data.len();
            Ok(())
        },
        |count| {
            skipped += count;
            Ok(())
        },
    );
    counted.unwrap();
    assert_eq!((bytes, skipped), (256, 1625 - 256));
}

#[test]
fn what_was_not_finished_opens_for_nobody() {
    let envelope = envelope(Suite::Aes256Gcm, small());
    let file = seal(&envelope, &[1; 600]);
    // Without the final segment, and with one that was never written.
    let cut = &file[..1024 + 2 * (256 + HEAD)];
    assert!(matches!(open(cut, &mut masters()), Err(StreamError::Envelope(EnvelopeError::Truncated))));
    let mut hole = file.clone();
    hole[1024..][..256 + HEAD].fill(0);
    let error = open(&hole, &mut masters()).unwrap_err();
    assert_eq!(error.to_string(), "segment 0 is not authentic");
}

#[test]
fn a_kept_seed_resumes_what_was_made_by_it_of_the_same_source_alone() {
    let suite = SET.envelope_suite(Suite::Aes256Gcm).unwrap();
    let made = |seed: &FileKeySeed, source: u8| {
        let mut envelope = Envelope::create_for(seed, &[source; 16], suite, (small(), [3; 16]), SET);
        envelope.add(SlotFor::Recipient(Identity::generate().recipient())).unwrap();
        envelope
    };
    let seed = FileKeySeed::random();
    let kept = FileKeySeed::kept(Secret::take(&mut seed.secret().expose().to_owned()));
    let (first, other) = (made(&seed, 1), FileKeySeed::random());
    let mut bytes = first.header().unwrap();
    let resumed = |seed: &FileKeySeed, source: u8, bytes: &[u8]| {
        Envelope::resume_for(seed, &[source; 16], &Header::decode(bytes, SET).unwrap(), SET)
    };
    let again = resumed(&kept, 1, &bytes).unwrap();
    assert!(again.key().secret().matches(first.key().secret()));
    assert_eq!((kept.name() == seed.name(), other.name() == seed.name()), (true, false));
    for (seed, source) in [(&kept, 2), (&other, 1)] {
        assert!(matches!(resumed(seed, source, &bytes), Err(EnvelopeError::NoSlot)));
        assert!(!made(seed, source).key().secret().matches(first.key().secret()));
    }
    // The header of another file, given the name of the first one.
    let swapped = made(&other, 1).header().unwrap();
    bytes[64..].copy_from_slice(&swapped[64..]);
    let decoded = Header::decode(&bytes, SET);
    let refused = decoded.and_then(|header| Envelope::resume_for(&kept, &[1; 16], &header, SET));
    assert!(refused.is_err());
}
