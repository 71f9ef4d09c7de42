use limosa_wire::SessionId;
use limosa_wire::setup::Suite;
use proptest::prelude::*;

use super::*;
use crate::AlgorithmSet;
use crate::identity::hex;
use crate::schedule::{EPOCH_BITS, KeyMaterial, Role, Transcript};

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

fn sealed(sealer: &mut DatagramSealer, at: u64, frames: &[u8]) -> Vec<u8> {
    let mut body = [frames, &[0; TAG_LEN]].concat();
    sealer.seal(number(at), b"header", &mut body).unwrap();
    body
}

fn opens(opener: &mut DatagramOpener, at: u64, body: &[u8]) -> Result<Vec<u8>, OpenError> {
    opener.open(number(at), b"header", &mut body.to_vec()).map(|frames| frames.to_vec())
}

fn unhex(text: &str) -> Vec<u8> {
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
        let key = EpochKey::new(suite, &unhex(key), Secret::take(&mut iv));
        let mut body = unhex(GCM_PLAIN);
        let aad = unhex(GCM_AAD);
        let made = key.key.seal_in_place_separate_tag(key.nonce(at), Aad::from(&aad), &mut body).unwrap();
        assert_eq!((hex(&body).as_str(), hex(made.as_ref()).as_str()), (cipher, tag), "{suite:?}");
    }
}

#[test]
fn both_ends_agree_under_every_suite() {
    for suite in Suite::ALL {
        let (mut sealer, mut opener) = pair(*suite);
        let body = sealed(&mut sealer, 0, b"frames");
        assert!(!body.windows(6).any(|window| window == b"frames"));
        assert_eq!(opens(&mut opener, 0, &body), Ok(b"frames".to_vec()));
        assert!(opens(&mut pair(*suite).1, 1, &body).is_err(), "the number is part of it");
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
    let (mut sealer, mut opener) = pair(Suite::Aes256Gcm);
    let body = sealed(&mut sealer, 7, b"some frames of a datagram");
    for bit in 0..body.len() * 8 {
        let mut flipped = body.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(opens(&mut opener, 7, &flipped), Err(OpenError::NotAuthentic), "bit {bit}");
    }
    for bit in 0..6 * 8 {
        let mut header = *b"header";
        header[bit / 8] ^= 1 << (bit % 8);
        assert!(opener.open(number(7), &header, &mut body.clone()).is_err(), "header bit {bit}");
    }
    assert!(opens(&mut opener, 7, &body).is_ok());
}

#[test]
fn protection_moves_between_threads() {
    fn movable<T: Send>() {}
    movable::<DatagramSealer>();
    movable::<DatagramOpener>();
}

proptest! {
    #[test]
    fn what_is_sealed_opens_and_stumps_do_not(frames in prop::collection::vec(any::<u8>(), 0..3000), at in 0u64..1 << 23) {
        let (mut sealer, mut opener) = pair(Suite::Aes128Gcm);
        let body = sealed(&mut sealer, at, &frames);
        for len in [0, 1, 15, body.len() - 1] {
            prop_assert!(opens(&mut opener, at, &body[..len.min(body.len() - 1)]).is_err());
        }
        prop_assert_eq!(opens(&mut opener, at, &body), Ok(frames));
    }
}
