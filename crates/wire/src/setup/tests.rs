//! Every message returns as it was written, and no bytes make a reader panic.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;

fn requests() -> impl Strategy<Value = Request> {
    let names = (select(Direction::ALL), any::<[u8; 16]>(), any::<[u8; 32]>());
    let offers = (subsequence(Suite::ALL, 0..=Suite::ALL.len()), subsequence(ContentDigest::ALL, 0..=2));
    let rates = (select(RatePolicy::ALL), option::of(1u64..u64::MAX));
    let levels = (select(ResumeLevel::ALL), select(Durability::ALL), select(Symlinks::ALL), select(Overwrite::ALL));
    let protections =
        select(&[ContentProtection::None, ContentProtection::Sealed, ContentProtection::SealedStrongly][..]);
    let flags = (any::<[bool; 3]>(), protections);
    let paths = (any::<u32>(), vec(vec(any::<u8>(), 0..100), 1..10));
    (names, offers, rates, levels, flags, paths).prop_map(|(names, offers, rates, levels, flags, paths)| Request {
        direction: names.0,
        transfer: names.1,
        random: names.2,
        suites: offers.0,
        digests: offers.1,
        policy: rates.0,
        rate: rates.1.map(Rate::from_bits_per_second),
        resume: levels.0,
        durability: levels.1,
        symlinks: levels.2,
        overwrite: levels.3,
        keep_mode: flags.0[0],
        keep_times: flags.0[1],
        fresh: flags.0[2],
        protection: flags.1,
        source_count: paths.0,
        paths: paths.1,
    })
}

fn endpoints() -> impl Strategy<Value = UdpEndpoint> {
    (option::of(any::<IpAddr>()), 1u16..).prop_map(|(address, port)| UdpEndpoint { address, port })
}

fn answers() -> impl Strategy<Value = Answer> {
    let names = (any::<u16>(), any::<u32>(), vec(endpoints(), 1..16), any::<[u8; 32]>());
    let choices = (select(Suite::ALL), select(ContentDigest::ALL), select(RatePolicy::ALL));
    (names, choices, any::<(u64, bool, u64, u32)>()).prop_map(|(names, choices, numbers)| Answer {
        version: names.0,
        session: SessionId(names.1),
        udp: names.2,
        random: names.3,
        suite: choices.0,
        digest: choices.1,
        policy: choices.2,
        rate_cap: Rate::from_bits_per_second(numbers.0),
        fresh: numbers.1,
        orphan_credit: numbers.2,
        timeout_seconds: numbers.3,
    })
}

fn messages() -> impl Strategy<Value = SetupMessage> {
    prop_oneof![
        (1u16..9, 0u16..9, ".{0,30}", any::<u64>()).prop_map(|(low, more, software, capabilities)| {
            SetupMessage::Hello(Hello { versions: (low, low + more), software, capabilities })
        }),
        requests().prop_map(|request| SetupMessage::Request(Box::new(request))),
        answers().prop_map(|answer| SetupMessage::Answer(Box::new(answer))),
        (any::<u16>(), ".{0,60}")
            .prop_map(|(code, detail)| { SetupMessage::Refusal(Refusal { code: Code::from_number(code), detail }) }),
        any::<(u64, u64)>().prop_map(|(datagrams, authentic)| SetupMessage::UdpSeen { datagrams, authentic }),
        (any::<u16>(), ".{0,60}", any::<[u64; 6]>()).prop_map(|(code, detail, fields)| {
            SetupMessage::Ended(Ended { code: Code::from_number(code), detail, summary: Summary::from_fields(fields) })
        }),
    ]
}

proptest! {
    #[test]
    fn messages_return(message in messages()) {
        let bytes = message.encode();
        let header = *bytes.first_chunk().unwrap();
        prop_assert_eq!(SetupMessage::body_length(header), Ok(bytes.len() - SETUP_HEADER));
        prop_assert_eq!(SetupMessage::decode(&bytes), Ok(message));
    }

    #[test]
    fn no_bytes_make_a_reader_panic(kind in 0u8..8, body in vec(any::<u8>(), 0..300)) {
        let mut bytes = vec![kind, 0, 0];
        bytes.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        bytes.extend(body);
        let _ = SetupMessage::decode(&bytes);
    }
}

#[test]
fn choices_of_later_versions_are_left_out() {
    let bytes = [3, Suite::Aes256Gcm.number(), 0x77, Suite::Aes128Gcm.number()];
    let mut reader = Reader::new("test", &bytes);
    let suites = read_choices(&mut reader, Suite::from_number).unwrap();
    assert_eq!(suites, [Suite::Aes256Gcm, Suite::Aes128Gcm]);
}

#[test]
fn a_login_banner_is_no_message() {
    assert!(SetupMessage::body_length(*b"Welco").is_err());
}
