use limosa_wire::SessionId;
use limosa_wire::datagram::{HEADER_LEN, Header};
use limosa_wire::setup::{Suite, SuiteMode};
use proptest::prelude::*;

use super::epoch_key::GcmKey;
use super::*;
use crate::allow::Construction;
use crate::identity::hex;
use crate::schedule::{EPOCH_BITS, KeyMaterial, Role, Transcript};
use crate::{AlgorithmSet, Secret};

fn pair(suite: Suite) -> (DatagramSealer, DatagramOpener) {
    let (server, client) = (Secret::fill(|bytes| bytes.fill(1)), Secret::fill(|bytes| bytes.fill(2)));
    let material = KeyMaterial {
        server_random: &server,
        client_random: &client,
        suite: AlgorithmSet::Ordinary.suite(suite).unwrap(),
        session: SessionId(9),
        transcript: Transcript::start().client_hello(b"a").request(b"b").server_hello(b"c").answer(b"d"),
    };
    (material.keys(Role::Client).0, material.keys(Role::Server).1)
}

fn number(value: u64) -> PacketNumber {
    PacketNumber::new(value).unwrap()
}

const fn in_epoch(epoch: u64) -> u64 {
    epoch << EPOCH_BITS
}

fn header(at: u64) -> [u8; HEADER_LEN] {
    Header { session: SessionId(9), number: number(at), stamp: false }.encode()
}

fn sealed(sealer: &mut DatagramSealer, at: u64, frames: &[u8]) -> Vec<u8> {
    let mut body = [frames, &[0; TAG_LEN]].concat();
    sealer.seal(number(at), &header(at), &mut body).unwrap();
    body
}

fn opens(opener: &mut DatagramOpener, at: u64, body: &[u8]) -> Result<Vec<u8>, OpenError> {
    opener.open(number(at), &header(at), &mut body.to_vec()).map(|frames| frames.to_vec())
}

pub(super) fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// The GCM specification's test cases 4, 10 and 16 (McGrew and Viega): key,
/// suite, ciphertext, tag; IV, plaintext and associated data are common.
const GCM: [(Suite, &str, &str, &str); 3] = [
    (
        Suite::Aes128Gcm,
        "feffe9928665731c6d6a8f9467308308",
        "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091",
        "5bc94fbc3221a5db94fae95ae7121a47",
    ),
    (
        Suite::Aes192Gcm,
        "feffe9928665731c6d6a8f9467308308feffe9928665731c",
        "3980ca0b3c00e841eb06fac4872a2757859e1ceaa6efd984628593b40ca1e19c7d773d00c144c525ac619d18c84a3f4718e2448b2fe324d9ccda2710",
        "2519498e80f1478f37ba55bd6d27618c",
    ),
    (
        Suite::Aes256Gcm,
        "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
        "76fc6ece0f4e1768cddf8853bb2d551b",
    ),
];
const GCM_IV: &str = "cafebabefacedbaddecaf888";
const GCM_PLAIN: &str = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39";
const GCM_AAD: &str = "feedfacedeadbeeffeedfacedeadbeefabaddad2";

#[test]
fn the_ciphers_match_the_specification() {
    for (suite, key, cipher, tag) in GCM {
        let suite = AlgorithmSet::Ordinary.suite(suite).unwrap();
        // The number is xored into the IV: undo that to reach the given nonce.
        let at = number(0x0102_0304_0506);
        let mut iv: [u8; 12] = unhex(GCM_IV).try_into().unwrap();
        iv[6..].iter_mut().zip([1, 2, 3, 4, 5, 6]).for_each(|(byte, part)| *byte ^= part);
        let Construction::Aead(algorithm) = suite.construction() else { panic!("{suite:?} is GCM") };
        let key = GcmKey::new(algorithm, &unhex(key), Secret::take(&mut iv));
        let (mut body, mut made) = (unhex(GCM_PLAIN), [0; TAG_LEN]);
        key.seal(at, &unhex(GCM_AAD), &mut body, &mut made);
        assert_eq!((hex(&body).as_str(), hex(&made).as_str()), (cipher, tag), "{suite:?}");
    }
}

/// The examples of `docs/PROTOCOL.md`, computed apart from this code: suite,
/// what stands behind the header of datagram 258 of session `1a2b3c4d`.
const EXAMPLES: [(Suite, &str); 5] = [
    (Suite::Aes128Gcm, "4a61e6647cd7 0e861e77b4ce59264e41a4f3cea0f83b"),
    (Suite::Aes128Cfb, "8e81c903d3f3 7c233506ce8bfb68f53fbe504b950b22"),
    (Suite::Aes192Cfb, "c8fc70678cdc 7fc748e2c94431d03a9d2cab70840f36"),
    (Suite::Aes256Cfb, "ee3ada34ecba 16d16b2f4c83f759d1bc68063eef8896"),
    (Suite::Unencrypted, "06c801882707 cd65c84a945af0a1d71e81135d0a988d"),
];

#[test]
fn the_examples_of_the_document_come_out() {
    let server = Secret::fill(|bytes| bytes.iter_mut().zip(0..).for_each(|(byte, value)| *byte = value));
    let client = Secret::fill(|bytes| bytes.iter_mut().zip(32..).for_each(|(byte, value)| *byte = value));
    let document = include_str!("../../../../docs/PROTOCOL.md").replace([' ', '\n'], "");
    for (suite, expected) in EXAMPLES {
        let material = KeyMaterial {
            server_random: &server,
            client_random: &client,
            suite: AlgorithmSet::Ordinary.suite(suite).unwrap(),
            session: SessionId(0x1a2b_3c4d),
            transcript: Transcript::start()
                .client_hello(b"hello")
                .request(b"request")
                .server_hello(b"welcome")
                .answer(b"answer"),
        };
        let header = Header { session: SessionId(0x1a2b_3c4d), number: number(258), stamp: true }.encode();
        let mut body = [&unhex("06c801882707"), &[0; TAG_LEN][..]].concat();
        material.keys(Role::Client).0.seal(number(258), &header, &mut body).unwrap();
        let expected = expected.replace(' ', "");
        assert_eq!(hex(&body), expected, "{suite}");
        assert!(document.contains(&(hex(&header) + &expected)), "{suite} is not in the document");
        let frames = material.keys(Role::Server).1.open(number(258), &header, &mut body).unwrap().to_vec();
        assert_eq!(hex(&frames), "06c801882707", "{suite}");
    }
}

#[test]
fn both_ends_agree_under_every_suite() {
    for suite in Suite::ALL {
        let (mut sealer, mut opener) = pair(*suite);
        let body = sealed(&mut sealer, 0, b"frames");
        let shown = body.windows(6).any(|window| window == b"frames");
        assert_eq!(shown, suite.mode() == SuiteMode::Unencrypted, "{suite}");
        assert_eq!(opens(&mut opener, 0, &body), Ok(b"frames".to_vec()), "{suite}");
        assert!(opens(&mut pair(*suite).1, 1, &body).is_err(), "{suite}: the number is part of it");
    }
}

#[test]
fn a_datagram_of_one_suite_is_none_of_another() {
    for made in Suite::ALL {
        let body = sealed(&mut pair(*made).0, 0, b"frames");
        for read in Suite::ALL.iter().filter(|read| *read != made) {
            assert_eq!(opens(&mut pair(*read).1, 0, &body), Err(OpenError::NotAuthentic), "{made} as {read}");
        }
    }
}

/// What is not authentic leaves as it came, under suites that look at the tag
/// first.
#[test]
fn nothing_is_decrypted_before_the_tag_is_right() {
    for suite in [Suite::Aes128Cfb, Suite::Aes192Cfb, Suite::Aes256Cfb, Suite::Unencrypted] {
        let (mut sealer, mut opener) = pair(suite);
        let mut body = sealed(&mut sealer, 3, b"frames of a datagram");
        *body.last_mut().unwrap() ^= 1;
        let came = body.clone();
        assert_eq!(opener.open(number(3), &header(3), &mut body), Err(OpenError::NotAuthentic), "{suite}");
        assert_eq!(body, came, "{suite}");
    }
}

#[test]
fn equal_frames_look_different_in_every_datagram() {
    for suite in Suite::ALL.iter().filter(|suite| suite.mode() != SuiteMode::Unencrypted) {
        let (mut sealer, _) = pair(*suite);
        let made: std::collections::BTreeSet<_> =
            (0..64).chain([in_epoch(1)]).map(|at| sealed(&mut sealer, at, &[0; 16])[..16].to_vec()).collect();
        assert_eq!(made.len(), 65, "{suite}");
    }
}

#[test]
fn a_number_is_sealed_once() {
    let (mut sealer, _) = pair(Suite::Aes128Gcm);
    let mut body = [0; 20];
    assert_eq!(sealer.seal(number(5), b"", &mut body), Ok(()));
    for used in [0, 4, 5] {
        assert_eq!(sealer.seal(number(used), b"", &mut body), Err(SealError::NumberReused(number(used))));
    }
    assert_eq!(sealer.seal(number(6), b"", &mut [0; 15]), Err(SealError::NoRoom));
    assert_eq!(sealer.seal(number(6), b"", &mut body), Ok(()));
}

#[test]
fn the_last_number_ends_a_direction() {
    let (mut sealer, _) = pair(Suite::Aes128Gcm);
    // The chain has no short cut; walking 2^26 epochs would take minutes.
    sealer.lowest = PacketNumber::MAX.next();
    assert!(sealer.seal(PacketNumber::MAX, b"", &mut [0; 20]).is_err());
}

#[test]
fn epochs_change_keys_and_are_held_around_the_newest() {
    let (mut sealer, mut opener) = pair(Suite::Aes128Gcm);
    let bodies: Vec<_> = (0..=18).map(|epoch| sealed(&mut sealer, in_epoch(epoch), b"frames")).collect();
    let open = |opener: &mut DatagramOpener, epoch: usize| opens(opener, in_epoch(epoch as u64), &bodies[epoch]);
    assert_eq!(open(&mut opener, 9), Err(OpenError::OutsideEpochs));
    assert!(open(&mut opener, 8).is_ok());
    assert_eq!(open(&mut opener, 6), Err(OpenError::OutsideEpochs));
    assert!(open(&mut opener, 7).is_ok());
    assert_eq!(open(&mut opener, 17), Err(OpenError::OutsideEpochs));
    assert!(open(&mut opener, 16).is_ok());
    assert_eq!(open(&mut opener, 8), Err(OpenError::OutsideEpochs));
    assert!(open(&mut opener, 18).is_ok());
    assert_eq!(opener.keys.len(), 10);
}

#[test]
fn forged_numbers_do_not_move_the_epochs() {
    let (mut sealer, mut opener) = pair(Suite::Aes128Gcm);
    for epoch in 1..=20 {
        assert!(opens(&mut opener, in_epoch(epoch), &[0; 64]).is_err());
    }
    assert_eq!(opener.current, Epoch(0));
    assert!(opens(&mut opener, 3, &sealed(&mut sealer, 3, b"x")).is_ok());
}

#[test]
fn one_flipped_bit_anywhere_is_found() {
    for suite in Suite::ALL {
        let (mut sealer, mut opener) = pair(*suite);
        let body = sealed(&mut sealer, 7, b"some frames of a datagram");
        for bit in 0..body.len() * 8 {
            let mut flipped = body.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(opens(&mut opener, 7, &flipped), Err(OpenError::NotAuthentic), "{suite}: bit {bit}");
        }
        for bit in 0..HEADER_LEN * 8 {
            let mut header = header(7);
            header[bit / 8] ^= 1 << (bit % 8);
            assert!(opener.open(number(7), &header, &mut body.clone()).is_err(), "{suite}: header bit {bit}");
        }
        assert!(opens(&mut opener, 7, &body).is_ok(), "{suite}");
    }
}

#[test]
fn protection_moves_between_threads() {
    fn movable<T: Send>() {}
    movable::<DatagramSealer>();
    movable::<DatagramOpener>();
}

proptest! {
    #[test]
    fn what_is_sealed_opens_and_stumps_do_not(
        suite in prop::sample::select(Suite::ALL),
        frames in prop::collection::vec(any::<u8>(), 0..3000),
        at in 0u64..1 << 23,
    ) {
        let (mut sealer, mut opener) = pair(suite);
        let body = sealed(&mut sealer, at, &frames);
        for len in [0, 1, 15, body.len() - 1] {
            prop_assert!(opens(&mut opener, at, &body[..len.min(body.len() - 1)]).is_err());
        }
        prop_assert_eq!(opens(&mut opener, at, &body), Ok(frames));
    }

    #[test]
    fn what_was_changed_or_moved_does_not_open(
        suite in prop::sample::select(Suite::ALL),
        frames in prop::collection::vec(any::<u8>(), 1..200),
        at in 0u64..1 << 23,
        change in (any::<prop::sample::Index>(), 1u8..),
        elsewhere in 0u64..1 << 23,
    ) {
        let (mut sealer, mut opener) = pair(suite);
        let body = sealed(&mut sealer, at, &frames);
        let mut changed = body.clone();
        *change.0.get_mut(&mut changed) ^= change.1;
        prop_assert_eq!(opens(&mut opener, at, &changed), Err(OpenError::NotAuthentic));
        prop_assert_eq!(opens(&mut opener, elsewhere, &body).is_ok(), elsewhere == at);
    }
}
