use limosa_wire::setup::Suite;

use super::*;
use crate::AlgorithmSet;

/// RFC 5869, test cases 1 and 3 (SHA-256): input, salt, info, output.
type Case = (Vec<u8>, Vec<u8>, Vec<u8>, &'static str);

fn rfc5869() -> [Case; 2] {
    [
        (
            vec![0x0b; 22],
            (0x00..=0x0c).collect(),
            (0xf0..=0xf9).collect(),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        (
            vec![0x0b; 22],
            vec![],
            vec![],
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        ),
    ]
}

#[test]
fn hkdf_matches_rfc_5869() {
    for (input, salt, info, expected) in rfc5869() {
        let mut out = [0; 42];
        expand(&hkdf::Salt::new(hkdf::HKDF_SHA256, &salt).extract(&input), &[&info], &mut out);
        assert_eq!(crate::identity::hex(&out), expected);
    }
}

fn transcript(answer: &[u8]) -> CompleteTranscript {
    Transcript::start().client_hello(b"hello").request(b"request").server_hello(b"welcome").answer(answer)
}

/// What one side's sealer makes of a fixed datagram, for comparison of keys.
fn fingerprint(suite: Suite, session: u32, answer: &[u8], server: u8, role: Role) -> Vec<u8> {
    let material = KeyMaterial {
        server_random: &Secret::fill(|bytes| bytes.fill(server)),
        client_random: &Secret::fill(|bytes| bytes.fill(2)),
        suite: AlgorithmSet::Ordinary.suite(suite).unwrap(),
        session: SessionId(session),
        transcript: transcript(answer),
    };
    let mut body = vec![0; 48];
    material.keys(role).0.seal(PacketNumber::default(), b"header", &mut body).unwrap();
    body
}

#[test]
fn keys_depend_on_everything_that_was_agreed() {
    let base = || fingerprint(Suite::Aes128Gcm, 1, b"answer", 1, Role::Client);
    let all = [
        base(),
        fingerprint(Suite::Aes256Gcm, 1, b"answer", 1, Role::Client),
        fingerprint(Suite::Aes128Gcm, 2, b"answer", 1, Role::Client),
        fingerprint(Suite::Aes128Gcm, 1, b"answes", 1, Role::Client),
        fingerprint(Suite::Aes128Gcm, 1, b"answer", 3, Role::Client),
        fingerprint(Suite::Aes128Gcm, 1, b"answer", 1, Role::Server),
    ];
    assert_eq!(all[0], base());
    for (at, one) in all.iter().enumerate() {
        assert!(!all[..at].contains(one), "{at}");
    }
}

/// The schedule written out a second time, over HMAC alone.
#[test]
fn the_schedule_is_the_documented_one() {
    use aws_lc_rs::hmac;
    let mac = |key: &[u8], parts: &[&[u8]]| {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), &parts.concat());
        tag.as_ref().to_vec()
    };
    let session = mac(b"limosa 1 session", &[&[1; 32], &[2; 32]]);
    let said = digest::digest(&digest::SHA256, b"hellorequestwelcomeanswer");
    let mut chain = mac(&session, &[b"limosa 1 direction", &[1, 1], &[0, 0, 0, 9], said.as_ref(), &[1]]);
    for number in [0, 1 << EPOCH_BITS, (2 << EPOCH_BITS) + 5] {
        let epoch = mac(b"limosa 1 epoch", &[&chain]);
        let (key, iv) = (mac(&epoch, &[b"key", &[1]]), mac(&epoch, &[b"iv", &[1]]));
        chain = mac(&epoch, &[b"chain", &[1]]);
        let number = PacketNumber::new(number).unwrap();

        let mut ours = vec![7; 48];
        let material = KeyMaterial {
            server_random: &Secret::fill(|bytes| bytes.fill(1)),
            client_random: &Secret::fill(|bytes| bytes.fill(2)),
            suite: AlgorithmSet::Ordinary.suite(Suite::Aes128Gcm).unwrap(),
            session: SessionId(9),
            transcript: transcript(b"answer"),
        };
        material.keys(Role::Client).0.seal(number, b"header", &mut ours).unwrap();

        let mut nonce: [u8; 12] = iv[..12].try_into().unwrap();
        nonce[4..].iter_mut().zip(number.get().to_be_bytes()).for_each(|(byte, part)| *byte ^= part);
        let key = aws_lc_rs::aead::UnboundKey::new(&aws_lc_rs::aead::AES_128_GCM, &key[..16]).unwrap();
        let mut theirs = vec![7; 32];
        aws_lc_rs::aead::LessSafeKey::new(key)
            .seal_in_place_append_tag(
                aws_lc_rs::aead::Nonce::assume_unique_for_key(nonce),
                aws_lc_rs::aead::Aad::from(b"header"),
                &mut theirs,
            )
            .unwrap();
        assert_eq!(ours, theirs);
    }
}
