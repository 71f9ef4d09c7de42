//! Every wish of a user against every policy of a server.

use super::*;

const FLOORS: [u16; 3] = [128, 192, 256];
const MODES: [SuiteMode; 3] = [SuiteMode::Gcm, SuiteMode::Cfb, SuiteMode::Unencrypted];

/// Wishes as the command line has them: three lengths of key, seven suites.
fn wishes() -> Vec<CipherWish> {
    let lengths = FLOORS.map(CipherWish::KeyBits);
    lengths.into_iter().chain(Suite::ALL.iter().map(|suite| CipherWish::Suite(*suite))).collect()
}

/// A policy: these modes, keys of at least so many bits where there are keys.
fn policy(modes: &[SuiteMode], floor: u16, change: ModeChange) -> SuitePolicy {
    let permits = |suite: &&Suite| {
        modes.contains(&suite.mode()) && (suite.mode() == SuiteMode::Unencrypted || suite.key_bits() >= floor)
    };
    SuitePolicy { suites: Suite::ALL.iter().filter(permits).copied().collect(), change }
}

/// Every policy there is.
fn policies() -> Vec<(Vec<SuiteMode>, u16, ModeChange)> {
    let mut all = Vec::new();
    for subset in 0..8_usize {
        let modes: Vec<_> = (0..3).filter(|bit| subset >> bit & 1 == 1).map(|bit| MODES[bit]).collect();
        for floor in FLOORS {
            for change in [ModeChange::Strict, ModeChange::Offered] {
                all.push((modes.clone(), floor, change));
            }
        }
    }
    all
}

/// What a wish means, written the other way round: for each mode that may come
/// out, in order, the length of key.
fn expected(wish: CipherWish, modes: &[SuiteMode], floor: u16, change: ModeChange) -> Option<(SuiteMode, u16)> {
    let strict = change == ModeChange::Strict;
    let (acceptable, bits) = match wish {
        CipherWish::KeyBits(bits) if strict => (vec![SuiteMode::Gcm], bits),
        CipherWish::KeyBits(bits) => (vec![SuiteMode::Gcm, SuiteMode::Cfb], bits),
        CipherWish::Suite(Suite::Unencrypted) if !strict => (vec![SuiteMode::Unencrypted, SuiteMode::Gcm], 0),
        CipherWish::Suite(suite) => (vec![suite.mode()], suite.key_bits()),
    };
    let mode = acceptable.into_iter().find(|mode| modes.contains(mode))?;
    // The longer of what either side asks for.
    Some((mode, if mode == SuiteMode::Unencrypted { 0 } else { bits.max(floor) }))
}

#[test]
fn the_longer_key_wins_and_the_mode_stays_over_all_pairs() {
    let mut agreed = 0;
    for (modes, floor, change) in policies() {
        for wish in wishes() {
            let policy = policy(&modes, floor, change);
            let got = negotiate(AlgorithmSet::Ordinary, &policy, &wish.offers());
            let found = got.as_ref().ok().map(|found| (found.suite().mode(), found.suite().key_bits()));
            assert_eq!(found, expected(wish, &modes, floor, change), "{wish:?} {policy:?}");
            agreed += usize::from(got.is_ok());
            if let Err(refused) = got {
                assert_eq!(refused, reason(wish, &policy), "{wish:?} {policy:?}");
            }
        }
    }
    // 90 by length of key, 72 each by GCM and CFB, 30 for none.
    assert_eq!(agreed, 264, "of 480 pairs");
}

/// Why a pair that finds nothing finds nothing.
fn reason(wish: CipherWish, policy: &SuitePolicy) -> SuiteRefusal {
    match wish {
        CipherWish::Suite(Suite::Unencrypted) => SuiteRefusal::EncryptionRequired,
        _ if policy.suites == [Suite::Unencrypted] => SuiteRefusal::StrongerThanAllowed,
        _ => SuiteRefusal::NothingCommon { offered: wish.offers(), allowed: policy.suites.clone() },
    }
}

/// A few of them by name, as an administrator reads them.
#[test]
fn pairs_that_the_guide_speaks_of() {
    use SuiteMode::{Cfb, Gcm, Unencrypted};
    let strict = ModeChange::Strict;
    let all: &[_] = &[Gcm, Cfb, Unencrypted];
    for (wish, modes, floor, change, outcome) in [
        (CipherWish::KeyBits(128), &[Gcm, Cfb][..], 128, strict, Ok("aes-128-gcm")),
        (CipherWish::KeyBits(128), &[Gcm, Cfb], 256, strict, Ok("aes-256-gcm")),
        (CipherWish::KeyBits(256), &[Gcm, Cfb], 128, strict, Ok("aes-256-gcm")),
        (CipherWish::KeyBits(192), &[Cfb], 128, strict, Err("server allows aes-128-cfb, aes-192-cfb, aes-256-cfb")),
        (CipherWish::KeyBits(192), &[Cfb], 128, ModeChange::Offered, Ok("aes-192-cfb")),
        (CipherWish::Suite(Suite::Aes128Cfb), &[Gcm, Cfb], 192, strict, Ok("aes-192-cfb")),
        (CipherWish::Suite(Suite::Aes128Cfb), &[Gcm], 128, ModeChange::Offered, Err("client offers aes-128-cfb,")),
        (CipherWish::Suite(Suite::Aes128Gcm), &[Cfb], 128, ModeChange::Offered, Err("client offers aes-128-gcm,")),
        (CipherWish::Suite(Suite::Unencrypted), all, 256, strict, Ok("none")),
        (CipherWish::Suite(Suite::Unencrypted), &[Gcm, Cfb], 192, strict, Err("server requires it")),
        (CipherWish::Suite(Suite::Unencrypted), &[Gcm, Cfb], 192, ModeChange::Offered, Ok("aes-192-gcm")),
        (
            CipherWish::KeyBits(128),
            &[Unencrypted],
            128,
            ModeChange::Offered,
            Err("stronger encryption than server allows"),
        ),
        (CipherWish::KeyBits(128), all, 128, ModeChange::Offered, Ok("aes-128-gcm")),
    ] {
        let got = negotiate(AlgorithmSet::Ordinary, &policy(modes, floor, change), &wish.offers());
        match (got, outcome) {
            (Ok(suite), Ok(name)) => assert_eq!(suite.suite().name(), name, "{wish:?}"),
            (Err(refused), Err(text)) => assert!(refused.to_string().contains(text), "{wish:?}: {refused}"),
            (got, _) => panic!("{wish:?} with {modes:?} {floor} {change:?} gives {got:?}, not {outcome:?}"),
        }
    }
}

/// Whatever a client lists, in whatever order, and whatever the server permits.
#[test]
fn encryption_never_falls_away_and_nothing_unoffered_comes_out() {
    for first in Suite::ALL {
        for second in Suite::ALL {
            for (modes, floor, change) in policies() {
                let policy = policy(&modes, floor, change);
                let Ok(suite) = negotiate(AlgorithmSet::Ordinary, &policy, &[*first, *second]) else { continue };
                let suite = suite.suite();
                assert!(policy.suites.contains(&suite) && (suite == *first || suite == *second));
                assert!(suite.mode() != SuiteMode::Unencrypted || *first == Suite::Unencrypted);
                assert!(change == ModeChange::Offered || suite.mode() == first.mode());
            }
        }
    }
}

#[test]
fn the_approved_set_takes_no_unencrypted_session() {
    let everything = policy(&MODES, 128, ModeChange::Offered);
    let negotiate = |offers: &[Suite]| negotiate(AlgorithmSet::Approved, &everything, offers);
    let refused = negotiate(&[Suite::Unencrypted]).unwrap_err();
    assert_eq!(refused, SuiteRefusal::NotApproved { wanted: Suite::Unencrypted, set: AlgorithmSet::Approved });
    assert_eq!(refused.to_string(), "none is not among the approved algorithms, and server takes no other");
    for suite in Suite::ALL.iter().filter(|suite| suite.mode() != SuiteMode::Unencrypted) {
        assert_eq!(negotiate(&[*suite]).map(CipherSuite::suite), Ok(*suite));
    }
}

#[test]
fn who_offers_nothing_gets_nothing() {
    let refused = negotiate(AlgorithmSet::Ordinary, &SuitePolicy::encrypted(), &[]).unwrap_err();
    assert!(refused.to_string().starts_with("client offers nothing, server allows aes-128-gcm"), "{refused}");
}
