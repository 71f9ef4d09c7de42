//! Slots: who can open a file, and how that changes.

use super::*;
use crate::password::PasswordError;

fn with_slots(slots: &[SlotFor<'_>]) -> Envelope {
    let suite = SET.envelope_suite(Suite::Aes256Gcm).unwrap();
    let mut envelope = Envelope::create(suite, Layout::PLAIN_ALIGNED, [0; 16], SET);
    slots.iter().for_each(|slot| envelope.add(*slot).unwrap());
    envelope
}

fn header(envelope: &Envelope) -> Header {
    Header::decode(&envelope.header().unwrap(), SET).unwrap()
}

#[test]
fn each_key_opens_its_slot_and_no_other_does() {
    let identity = Identity::generate();
    let stretched = StretchedPassphrase::new(cheap(), &passphrase("one")).unwrap();
    let rounds = scheme(Stretch::Pbkdf2 { rounds: 1000 });
    let other = StretchedPassphrase::new(rounds, &passphrase("two")).unwrap();
    let file = header(&with_slots(&[
        SlotFor::Passphrase(&stretched),
        SlotFor::Recipient(identity.recipient()),
        SlotFor::Passphrase(&other),
        SlotFor::Master(&master()),
    ]));
    let mut fitting = [
        Keyring::new(SET).with_passphrase(passphrase("one")),
        Keyring::new(SET).with_passphrase(passphrase("two")),
        Keyring::new(SET).with_passphrase(passphrase("none")).with_passphrase(passphrase("two")),
        Keyring::new(SET).with_identity(identity),
        masters(),
    ];
    for keyring in &mut fitting {
        assert_eq!(keyring.open(&file).unwrap().slots(), file.table().slots);
    }
    let wrong = |mut keyring: Keyring| keyring.open(&file).unwrap_err();
    assert_eq!(wrong(Keyring::new(SET)), EnvelopeError::NoSlot);
    assert_eq!(wrong(Keyring::new(SET).with_passphrase(passphrase("three"))), EnvelopeError::WrongPassphrase);
    assert_eq!(wrong(Keyring::new(SET).with_passphrase(passphrase(""))), PasswordError::Empty.into());
    assert_eq!(wrong(Keyring::new(SET).with_identity(Identity::generate())), EnvelopeError::NoSlot);
    let namesake = MasterKey::new("master-1".parse().unwrap(), Secret::take(&mut [8; 32]));
    assert_eq!(wrong(Keyring::new(SET).with_master(namesake)), EnvelopeError::SlotNotAuthentic);
}

#[test]
fn the_approved_set_takes_no_argon2() {
    let stretched = StretchedPassphrase::new(cheap(), &passphrase("one")).unwrap();
    let file = header(&with_slots(&[SlotFor::Passphrase(&stretched)]));
    let mut approved = Keyring::new(AlgorithmSet::Approved).with_passphrase(passphrase("one"));
    assert!(matches!(approved.open(&file), Err(EnvelopeError::NotAllowed(_))));
}

#[test]
fn one_stretching_serves_many_files() {
    let stretched = StretchedPassphrase::new(cheap(), &passphrase("one")).unwrap();
    let mut keyring = Keyring::new(SET).with_passphrase(passphrase("one"));
    for _ in 0..100 {
        let file = header(&with_slots(&[SlotFor::Passphrase(&stretched)]));
        keyring.open(&file).unwrap();
    }
    let (one, other) = (
        header(&with_slots(&[SlotFor::Passphrase(&stretched)])),
        header(&with_slots(&[SlotFor::Passphrase(&stretched)])),
    );
    assert_ne!(one.table(), other.table(), "check and wrapping depend on the file");
}

/// Applies the first `count` updates, the last of them torn after `bytes`.
fn apply(file: &mut [u8], updates: &[HeaderUpdate], bytes: usize) {
    let mut left = bytes;
    for update in updates {
        let now = update.bytes.len().min(left);
        let from = usize::try_from(update.offset).unwrap();
        file[from..from + now].copy_from_slice(&update.bytes[..now]);
        left -= now;
    }
}

#[test]
fn rewrapping_changes_who_can_open_and_not_the_content() {
    let old = StretchedPassphrase::new(cheap(), &passphrase("old")).unwrap();
    let new = StretchedPassphrase::new(cheap(), &passphrase("new")).unwrap();
    let mut file = seal(&with_slots(&[SlotFor::Passphrase(&old)]), b"content");
    let before = file.clone();
    let opens = |file: &[u8], text: &str| open(file, &mut Keyring::new(SET).with_passphrase(passphrase(text)));

    let read = Header::decode(&file, SET).unwrap();
    let mut envelope = Keyring::new(SET).with_passphrase(passphrase("old")).open(&read).unwrap();
    let gone = envelope.slots().to_vec();
    envelope.add(SlotFor::Passphrase(&new)).unwrap();
    assert_eq!(envelope.retain(|slot| !gone.contains(slot)), Ok(1));
    let updates = envelope.updates().unwrap();
    apply(&mut file, &updates, usize::MAX);

    assert_eq!(file[4096..], before[4096..]);
    assert_eq!(opens(&file, "new").unwrap(), b"content");
    assert!(matches!(opens(&file, "old"), Err(StreamError::Envelope(EnvelopeError::WrongPassphrase))));
    assert_eq!(Header::decode(&file, SET).unwrap().table().generation, 2);
    assert_eq!(Header::decode(&file, SET).unwrap().copies(), Copies::Both);
}

#[test]
fn a_crash_while_rewrapping_leaves_one_good_table() {
    let stretched = StretchedPassphrase::new(cheap(), &passphrase("new")).unwrap();
    let file = seal(&envelope(Suite::Aes256Gcm, small()), b"content");
    let mut opened = masters().open(&Header::decode(&file, SET).unwrap()).unwrap();
    opened.add(SlotFor::Passphrase(&stretched)).unwrap();
    let updates = opened.updates().unwrap();
    let length: usize = updates.iter().map(|update| update.bytes.len()).sum();
    for torn in 0..=length {
        let mut file = file.clone();
        apply(&mut file, &updates, torn);
        assert_eq!(open(&file, &mut masters()).unwrap(), b"content", "torn after {torn}");
        // And the next change begins with the copy that is not relied upon.
        let header = Header::decode(&file, SET).unwrap();
        let again = masters().open(&header).unwrap().updates().unwrap();
        let first = if again[0].offset == 64 { Copies::OnlySecond } else { Copies::OnlyFirst };
        assert!(header.copies() == first || header.copies() == Copies::Both && first == Copies::OnlyFirst);
    }
}

#[test]
fn slots_have_bounds() {
    let mut envelope = envelope(Suite::Aes256Gcm, Layout::PLAIN_ALIGNED);
    let stretched = StretchedPassphrase::new(cheap(), &passphrase("one")).unwrap();
    for _ in 0..MAX_PASSPHRASE_SLOTS {
        envelope.add(SlotFor::Passphrase(&stretched)).unwrap();
    }
    assert_eq!(envelope.add(SlotFor::Passphrase(&stretched)), Err(EnvelopeError::NoRoom));
    let recipients = (0..20).take_while(|_| envelope.add(SlotFor::Recipient(Identity::generate().recipient())).is_ok());
    assert_eq!(recipients.count(), 6, "what the smallest usual header holds");
    assert_eq!(header(&envelope).table().slots.len(), 1 + MAX_PASSPHRASE_SLOTS + 6);
    assert_eq!(envelope.retain(|_| false), Err(EnvelopeError::LastSlot));
    let none = Envelope::create(envelope.preamble().suite, Layout::PLAIN_ALIGNED, [0; 16], SET);
    assert_eq!(none.header(), Err(EnvelopeError::LastSlot));
}

#[test]
fn long_lists_of_recipients_get_long_headers() {
    let header = |slots| Envelope::layout_for(Layout::PLAIN_ALIGNED, slots).map(Layout::header);
    assert_eq!([header(1), header(9), header(10), header(200)], [Some(4096), Some(4096), Some(8192), Some(65536)]);
    assert_eq!(header(MAX_SLOTS), None);
}

#[test]
fn slots_of_kinds_to_come_are_kept() {
    let mut envelope = envelope(Suite::Aes256Gcm, small());
    let mut reader = limosa_wire::codec::Reader::new("test", &[200, 0, 0, 3, 1, 2, 3]);
    let unknown = Slot::decode(&mut reader).unwrap();
    assert_eq!(unknown.unknown(), Some(200));
    envelope.push_for_test(unknown.clone());
    let read = header(&envelope);
    let mut opened = masters().open(&read).unwrap();
    let stretched = StretchedPassphrase::new(cheap(), &passphrase("new")).unwrap();
    opened.add(SlotFor::Passphrase(&stretched)).unwrap();
    opened.updates().unwrap();
    assert_eq!(opened.slots()[1], unknown);
}

#[test]
fn no_secret_is_printed() {
    let stretched = StretchedPassphrase::new(cheap(), &passphrase("hunter2")).unwrap();
    let keyring = masters().with_passphrase(passphrase("hunter2")).with_identity(Identity::generate());
    let envelope = with_slots(&[SlotFor::Passphrase(&stretched)]);
    let printed = format!("{keyring:?} {envelope:?} {stretched:?} {:?} {:?}", envelope.sealer(), envelope.opener());
    assert!(!printed.contains("hunter2") && !printed.contains("[7, 7"), "{printed}");
}
