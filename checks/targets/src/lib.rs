//! What the fuzzers run: one function per decoder of foreign bytes.
//!
//! Each takes any bytes, must not panic, and checks what its decoder promises
//! (what decodes encodes back to the same bytes, what is parsed holds its
//! invariants). The fuzzers under `checks/fuzz` call them with what they
//! invent; the test of this crate calls them with every file of the corpus.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};

use limosa_seal::datagram::{DatagramOpener, DatagramSealer, EPOCHS_AHEAD};
use limosa_seal::envelope::{
    self, Envelope, Keyring, Layout, MasterKey, OpeningReader, Sealed, SealingWriter, SlotFor, SlotTable,
};
use limosa_seal::schedule::{EPOCH_BITS, KeyMaterial, Role, Transcript};
use limosa_seal::{AlgorithmSet, Secret};
use limosa_storage::StorePath;
use limosa_transfer::journal::{JournalHeader, Replay};
use limosa_wire::control::ControlRecord;
use limosa_wire::datagram::{HEADER_LEN, Header, TAG_LEN};
use limosa_wire::frame::{Frame, Frames};
use limosa_wire::layout::{Digest, LayoutRecord};
use limosa_wire::setup::{ContentDigest, SetupMessage, Suite};
use limosa_wire::verdict::VerdictRecord;
use limosa_wire::{PacketNumber, SessionId};

/// A target: what it is called and what it runs.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("datagram", datagram),
    ("opening", opening),
    ("frames", frames),
    ("layout", layout),
    ("verdict", verdict),
    ("control", control),
    ("setup", setup),
    ("store_path", store_path),
    ("known_hosts", known_hosts),
    ("ssh_target", ssh_target),
    ("journal", journal),
    ("lending", lending),
    ("front", front),
    ("envelope_header", envelope_header),
    ("envelope_segments", envelope_segments),
];

/// The outside of a datagram.
pub fn datagram(bytes: &[u8]) {
    if let Ok((header, rest)) = Header::decode(bytes) {
        let again = header.encode();
        assert_eq!(&bytes[..again.len()], again);
        assert_eq!(again.len() + rest.len(), bytes.len());
    }
}

/// The protection of a datagram, under the suite that the first byte names: the
/// rest is no datagram of this session; made into one it opens; and changed at
/// the place that the next two bytes name it opens no more.
pub fn opening(bytes: &[u8]) {
    const EPOCHS_HELD: u64 = EPOCHS_AHEAD as u64 + 1;
    let [suite, high, low, rest @ ..] = bytes else { return };
    let suite = Suite::ALL[usize::from(*suite) % Suite::ALL.len()];
    let [(mut sealer, _), (_, mut opener)] = [Role::Client, Role::Server].map(|role| keys(suite, role));
    if let Ok((header, body)) = Header::decode(rest) {
        let opened = opener.open(header.number, &rest[..HEADER_LEN], &mut body.to_vec()).is_ok();
        assert!(!opened, "nobody made this datagram: {suite}");
    }

    // An opener that has seen nothing holds the first epochs.
    let number = rest.first_chunk().map_or(0, |n| u64::from(u32::from_be_bytes(*n))) % (EPOCHS_HELD << EPOCH_BITS);
    let number = PacketNumber::new(number).expect("far below the last one");
    let header = Header { session: SessionId(9), number, stamp: false }.encode();
    let mut body = [rest, &[0; TAG_LEN]].concat();
    sealer.seal(number, &header, &mut body).expect("it is the first, and has room");
    let at = usize::from(u16::from_be_bytes([*high, *low])) % (body.len() * 8);
    let mut changed = body.clone();
    changed[at / 8] ^= 1 << (at % 8);
    assert!(opener.open(number, &header, &mut changed).is_err(), "bit {at}: {suite}");
    assert!(opener.open(number, &header, &mut body).is_ok_and(|frames| frames == rest), "does not open: {suite}");
}

/// Keys of no value.
fn keys(suite: Suite, role: Role) -> (DatagramSealer, DatagramOpener) {
    KeyMaterial {
        server_random: &Secret::fill(|bytes| bytes.fill(1)),
        client_random: &Secret::fill(|bytes| bytes.fill(2)),
        suite: AlgorithmSet::Ordinary.suite(suite).expect("the ordinary set holds every suite"),
        session: SessionId(9),
        transcript: Transcript::start().client_hello(b"1").request(b"2").server_hello(b"3").answer(b"4"),
    }
    .keys(role)
}

/// The inside of a datagram.
pub fn frames(bytes: &[u8]) {
    for frame in Frames::new(bytes).flatten() {
        match frame {
            Frame::Report(report) => {
                for (number, at) in report.stamps {
                    assert!(number <= report.largest && at <= report.sent_at);
                }
            }
            Frame::Slice(slice) => {
                let mut next = slice.first.get();
                for run in slice.runs {
                    assert_eq!(run.first.get(), next, "runs are contiguous");
                    next += run.count;
                }
                assert!(next <= slice.as_of.get() + 1);
            }
            Frame::Shed(shed) => {
                assert!(shed.into_iter().all(|(offset, length)| offset.0.checked_add(length).is_some()));
            }
            Frame::Data { offset, bytes } => assert!(offset.0.checked_add(bytes.len() as u64).is_some()),
            _ => {}
        }
    }
}

/// Decodes record after record; each must encode to the bytes it came from.
fn records<R>(mut bytes: &[u8], decode: impl Fn(&[u8]) -> Option<(R, usize)>, encode: impl Fn(&R, &mut Vec<u8>)) {
    while let Some((record, used)) = decode(bytes) {
        let mut again = Vec::new();
        encode(&record, &mut again);
        assert_eq!(again, &bytes[..used]);
        bytes = &bytes[used..];
    }
}

/// The layout stream.
pub fn layout(bytes: &[u8]) {
    records(bytes, |bytes| LayoutRecord::decode(bytes).ok().flatten(), LayoutRecord::encode);
}

/// The verdict stream.
pub fn verdict(bytes: &[u8]) {
    records(bytes, |bytes| VerdictRecord::decode(bytes).ok().flatten(), VerdictRecord::encode);
}

/// The control stream.
pub fn control(bytes: &[u8]) {
    records(bytes, |bytes| ControlRecord::decode(bytes).ok().flatten(), ControlRecord::encode);
}

/// A message of session set-up. Offers that are not known are left out, so it
/// is the second decoding that must agree with the first.
pub fn setup(bytes: &[u8]) {
    if let Ok(message) = SetupMessage::decode(bytes) {
        assert_eq!(SetupMessage::decode(&message.encode()), Ok(message));
    }
}

/// A path below a store's root.
pub fn store_path(bytes: &[u8]) {
    if let Ok(path) = StorePath::parse(bytes) {
        for name in path.components() {
            assert!(!name.is_empty() && name != b"." && name != b"..");
            assert!(!name.contains(&b'/') && !name.contains(&0));
        }
    }
}

/// A known-hosts file.
pub fn known_hosts(bytes: &[u8]) {
    let _ = limosa_ssh::known_hosts::parse(bytes);
}

/// `[user@]host` as typed.
pub fn ssh_target(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(target) = text.parse::<limosa_ssh::Target>() {
        assert_eq!(target.to_string().parse(), Ok(target));
    }
}

/// The journal beside a partial file: any bytes behind a good header, and one
/// that was written well and then damaged at one place or cut short. What is
/// read must have been written.
pub fn journal(bytes: &[u8]) {
    const LOG2: u8 = 20;
    let header = JournalHeader { digest: ContentDigest::Blake3, chunk_log2: LOG2, identity: [7; 16], size: 1 << 30 };
    let (mut written, mut chain) = header.start();
    replay_of(&[&written, bytes].concat(), &header);

    let (places, records) = bytes.split_at(bytes.len().min(4));
    let chunks: BTreeMap<u32, Digest> =
        records.chunks_exact(3).map(|c| ((u32::from(c[0]) << 8 | u32::from(c[1])) % 1024, [c[2]; 32])).collect();
    for part in chunks.clone().into_iter().collect::<Vec<_>>().chunks(5) {
        chain.append(part, &mut written);
    }
    let place = |index: usize| places.iter().skip(index).take(2).fold(0, |at, byte| at << 8 | usize::from(*byte));
    let (at, flipped) = (place(0) % written.len(), place(2));
    written[at] ^= u8::try_from(flipped & 0xff).unwrap_or(0);
    written.truncate(written.len().saturating_sub(flipped >> 8));
    if let Some(replay) = replay_of(&written, &header) {
        assert!(replay.held.iter().all(|(chunk, digest)| chunks.get(chunk) == Some(digest)), "invented a chunk");
    }
}

fn replay_of(bytes: &[u8], header: &JournalHeader) -> Option<Replay> {
    let replay = Replay::of(bytes, header)?;
    assert!(replay.length <= bytes.len() as u64);
    assert!(replay.held.keys().all(|chunk| u64::from(*chunk) < header.chunks()));
    let (compacted, _) = replay.compacted(header);
    let again = Replay::of(&compacted, header);
    assert_eq!(again.map(|again| again.held).as_ref(), Some(&replay.held));
    Some(replay)
}

/// Messages between the owner of a port and a session that borrows it.
pub fn lending(bytes: &[u8]) {
    if let Some(once) = limosa_datapath::lending::recoded(bytes) {
        assert_eq!(limosa_datapath::lending::recoded(&once).as_deref(), Some(&*once));
    }
}

/// Messages between the process that faces SSH clients and the main one.
pub fn front(bytes: &[u8]) {
    if let Some(once) = limosa_ssh::front::recoded(bytes) {
        assert_eq!(limosa_ssh::front::recoded(&once).as_deref(), Some(&*once));
    }
}

/// The header of a file encrypted at rest: as it is, and its slot table
/// without the digest that guards it, which a fuzzer does not find.
pub fn envelope_header(bytes: &[u8]) {
    if let Ok(header) = envelope::Header::decode(bytes, AlgorithmSet::Ordinary) {
        assert_eq!(bytes[..64], header.preamble().encode());
        assert!(header.preamble().layout.header() <= bytes.len());
    }
    if let Ok(table) = SlotTable::decode(bytes) {
        let mut again = Vec::new();
        table.encode(&mut again);
        assert_eq!(again, &bytes[..again.len()]);
        assert!(bytes[again.len()..].iter().all(|byte| *byte == 0));
    }
}

/// The segments of a file encrypted at rest: any bytes in their place, and
/// good ones that were damaged at one place or cut short. What is read must
/// have been sealed.
pub fn envelope_segments(bytes: &[u8]) {
    let (places, content) = bytes.split_at(bytes.len().min(4));
    let layout = Layout::new(1024, 256).expect("sizes within their bounds");
    let master = MasterKey::new("fuzz".parse().expect("a name"), Secret::random());
    let suite = AlgorithmSet::Ordinary.envelope_suite(Suite::Aes128Gcm).expect("the set holds it");
    let mut envelope = Envelope::create(suite, layout, [0; 16], AlgorithmSet::Ordinary);
    envelope.add(SlotFor::Master(&master)).expect("one slot fits");

    let mut writer = SealingWriter::new(&envelope, Cursor::new(Vec::new())).expect("memory is written to");
    writer.write_all(content).expect("memory is written to");
    let (file, _) = writer.finish().expect("memory is written to");
    let good = file.into_inner();
    let mut keyring = Keyring::new(AlgorithmSet::Ordinary).with_master(master);
    let read = |file: &[u8], keyring: &mut Keyring| {
        let envelope = keyring.open(&envelope::Header::decode(file, AlgorithmSet::Ordinary).ok()?).ok()?;
        let mut reader = OpeningReader::new(&envelope, Cursor::new(file), Sealed(file.len() as u64)).ok()?;
        let mut content = Vec::new();
        reader.read_to_end(&mut content).ok()?;
        Some(content)
    };
    assert_eq!(read(&good, &mut keyring).as_deref(), Some(content));
    assert_eq!(read(&[&good[..1024], bytes].concat(), &mut keyring), None, "nobody has the key");

    let place = |index: usize| places.iter().skip(index).take(2).fold(0, |at, byte| at << 8 | usize::from(*byte));
    let (at, flipped) = (1024 + place(0) % (good.len() - 1024), u8::try_from(place(2) & 0xff).unwrap_or(0));
    let mut damaged = good.clone();
    damaged[at] ^= flipped;
    assert_eq!(read(&damaged, &mut keyring).is_some(), flipped == 0, "one byte is another one");
    assert_eq!(read(&good[..at], &mut keyring), None, "the file is cut");
}
