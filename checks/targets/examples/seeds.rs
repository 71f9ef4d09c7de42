//! Writes one well-formed message of each kind into the fuzzers' corpus, for
//! them to start from: `cargo run -p limosa-targets --example seeds`.

use std::fs;
use std::path::PathBuf;

use limosa_wire::codec::Sink;
use limosa_wire::control::{ControlRecord, Summary};
use limosa_wire::datagram::Header;
use limosa_wire::frame::{self, Report, SliceBuilder, StreamId};
use limosa_wire::front::Front;
use limosa_wire::layout::{Attributes, Entry, EntryKind, Extent, LayoutRecord, Outcome};
use limosa_wire::setup::{
    Answer, ContentDigest, ContentProtection, Direction, Durability, Ended, Hello, Overwrite, RatePolicy, Refusal,
    Request, ResumeLevel, SetupMessage, Suite, Symlinks, UdpEndpoint,
};
use limosa_wire::verdict::VerdictRecord;
use limosa_wire::{Code, EntryId, Offset, PacketNumber, PeerTime, Rate, SessionId};

fn main() {
    write("datagram", 0, &datagram());
    openings().iter().enumerate().for_each(|(index, bytes)| write("opening", index, bytes));
    frames().iter().enumerate().for_each(|(index, bytes)| write("frames", index, bytes));
    layout()
        .iter()
        .enumerate()
        .for_each(|(index, record)| write("layout", index, &encoded(|sink| record.encode(sink))));
    verdicts()
        .iter()
        .enumerate()
        .for_each(|(index, record)| write("verdict", index, &encoded(|sink| record.encode(sink))));
    controls()
        .iter()
        .enumerate()
        .for_each(|(index, record)| write("control", index, &encoded(|sink| record.encode(sink))));
    setups().iter().enumerate().for_each(|(index, message)| write("setup", index, &message.encode()));
    write("store_path", 0, b"a/b c/\xff.txt");
    write("known_hosts", 0, b"host.example,[10.0.0.1]:2222,*.x,!y.x ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAA c\n@revoked * ssh-rsa AAAA\n|1|a=|b= ssh-ed25519 AAAA\n");
    write("ssh_target", 0, b"ada@[2001:db8::1]");
    envelopes();
}

/// The headers of the published vectors, their slot tables, and contents of
/// one segment and of several.
fn envelopes() {
    let vectors = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/envelope-vectors.txt");
    let vectors = fs::read_to_string(vectors).expect("the vectors can be read");
    let files = vectors.lines().filter_map(|line| line.strip_prefix("file = "));
    for (index, file) in files.enumerate() {
        let header: Vec<u8> = (0..1024)
            .map(|at| u8::from_str_radix(&file[2 * at..][..2], 16).expect("the vectors are hexadecimal"))
            .collect();
        write("envelope_header", 2 * index, &header);
        write("envelope_header", 2 * index + 1, &header[64..64 + 480 - 64]);
    }
    write("envelope_segments", 0, b"\0\x20\0\x01content");
    write("envelope_segments", 1, &[7; 1000]);
}

fn write(target: &str, index: usize, bytes: &[u8]) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    fs::create_dir_all(&folder).expect("the corpus folder can be made");
    fs::write(folder.join(format!("seed-{index}")), bytes).expect("the corpus can be written");
}

fn encoded(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut sink = Vec::new();
    write(&mut sink);
    sink
}

fn number(value: u64) -> PacketNumber {
    PacketNumber::new(value).expect("a small number")
}

fn datagram() -> Vec<u8> {
    let mut bytes = Header { session: SessionId(0xfeed), number: number(77), stamp: true }.encode().to_vec();
    bytes.extend([0; 40]);
    bytes
}

/// A datagram under each suite, and a place in it.
fn openings() -> Vec<Vec<u8>> {
    let suites = 0..u8::try_from(Suite::ALL.len()).expect("a suite has a number of one byte");
    suites.map(|suite| [&[suite, 1, suite][..], &datagram()].concat()).collect()
}

fn frames() -> Vec<Vec<u8>> {
    let report =
        Report { largest: number(500), sent_at: PeerTime(9_000), largest_at: PeerTime(8_990), ..Report::default() };
    let mut slice = SliceBuilder::default();
    slice.clear();
    assert!(slice.push(10, true, 100) && slice.push(2, false, 100) && slice.push(7, true, 100));
    vec![
        encoded(|sink| {
            frame::put_data_to_end(sink, Offset(1 << 33));
            sink.put(b"some bytes");
        }),
        encoded(|sink| {
            frame::put_data(sink, Offset(0), 3);
            sink.put(b"abc");
            frame::put_stream(sink, StreamId::Control, 70, 2);
            sink.put(b"xy");
        }),
        encoded(|sink| {
            frame::put_report(sink, &report, &[(number(499), PeerTime(8_980))]);
            slice.put(sink, number(480), number(500));
            frame::put_shed(sink, &[(Offset(5), 10)]);
        }),
        encoded(|sink| {
            frame::put_floor(sink, number(3), 5_000);
            frame::put_probe(sink);
            frame::put_path_challenge(sink, &[1; 16]);
            frame::put_path_response(sink, &[2; 16]);
            frame::put_close(sink, Code::CANCELLED.number(), "enough");
            sink.put(&[0; 9]);
        }),
    ]
}

fn layout() -> Vec<LayoutRecord> {
    let file = |size| EntryKind::File { size, chunk_log2: 20, identity: [3; 16] };
    let attributes = Attributes { mode: Some(0o644), modified: Some((1_700_000_000, 5)) };
    let entry = |id, kind, path: &[u8]| Entry { id: EntryId(id), kind, path: path.to_vec(), attributes };
    vec![
        LayoutRecord::Entry(entry(0, EntryKind::Directory, b"d")),
        LayoutRecord::Entry(entry(1, EntryKind::Symlink { target: b"../x".to_vec() }, b"d/l")),
        LayoutRecord::Entry(entry(2, file(Some(1 << 30)), b"d/big")),
        LayoutRecord::Extent(Extent { entry: EntryId(2), file_offset: 0, length: 1 << 20, base: Offset(0) }),
        LayoutRecord::Digests { entry: EntryId(2), first_chunk: 0, digests: vec![[9; 32]; 2] },
        LayoutRecord::End {
            entry: EntryId(2),
            final_size: 1 << 30,
            outcome: Outcome::Complete { root: Some([1; 32]) },
        },
        LayoutRecord::Whole { entry: entry(3, file(Some(5)), b"d/small"), base: Offset(1 << 20), digest: [4; 32] },
        LayoutRecord::Void { base: Offset(7), length: 9 },
        LayoutRecord::EndOfLayout { entries: 4, bytes: 1 << 30, digest: [8; 32] },
    ]
}

fn verdicts() -> Vec<VerdictRecord> {
    let entry = EntryId(2);
    vec![
        VerdictRecord::Take { first: entry, count: 7 },
        VerdictRecord::Skip { first: entry, count: 1 },
        VerdictRecord::Resume { entry, missing: vec![(0, 4), (9, 1)], front: None },
        VerdictRecord::Resume {
            entry,
            missing: vec![(1, 4)],
            front: Front::of(&[&[9; 70], &[0; 900][..], &[8; 64]].concat()),
        },
        VerdictRecord::Refuse { entry, code: Code::BAD_NAME, detail: "..".into() },
        VerdictRecord::Again { entry, file_offset: 0, length: 1 << 20 },
        VerdictRecord::Settled { first: entry, count: 3 },
        VerdictRecord::Failed { entry, code: Code::NO_SPACE, detail: "disk".into() },
        VerdictRecord::Complete { settled: 4, failed: 1 },
    ]
}

fn controls() -> Vec<ControlRecord> {
    vec![
        ControlRecord::SetRate(Rate::from_bits_per_second(1_000_000)),
        ControlRecord::SetPolicy(RatePolicy::Fixed),
        ControlRecord::Pause,
        ControlRecord::Resume,
        ControlRecord::Cancel(Code::CANCELLED),
        ControlRecord::Progress { bytes: 5, entries: 2 },
        ControlRecord::Summary(Summary { settled: 4, bytes: 9, ..Summary::default() }),
    ]
}

fn setups() -> Vec<SetupMessage> {
    let request = Request {
        direction: Direction::Download,
        transfer: [1; 16],
        random: [2; 32],
        suites: Suite::ALL.to_vec(),
        digests: ContentDigest::ALL.to_vec(),
        policy: RatePolicy::Fair,
        rate: Some(Rate::from_bits_per_second(1 << 30)),
        resume: ResumeLevel::Attributes,
        durability: Durability::File,
        symlinks: Symlinks::Copy,
        overwrite: Overwrite::Different,
        keep_mode: true,
        keep_times: false,
        fresh: true,
        protection: ContentProtection::SealedStrongly,
        source_count: 2,
        paths: vec![b"a".to_vec(), b"b/".to_vec()],
    };
    let answer = Answer {
        version: 1,
        session: SessionId(5),
        udp: vec![
            UdpEndpoint { address: Some([127, 0, 0, 1].into()), port: 33001 },
            UdpEndpoint { address: None, port: 1 },
        ],
        suite: Suite::Aes256Gcm,
        digest: ContentDigest::Blake3,
        random: [6; 32],
        policy: RatePolicy::Fair,
        rate_cap: Rate::UNLIMITED,
        fresh: false,
        orphan_credit: 8 << 20,
        timeout_seconds: 60,
    };
    vec![
        SetupMessage::Hello(Hello { versions: (1, 3), software: "limosa 0.1".into(), capabilities: 0 }),
        SetupMessage::Request(Box::new(request)),
        SetupMessage::Answer(Box::new(answer)),
        SetupMessage::Refusal(Refusal { code: Code::NOT_ALLOWED, detail: "no".into() }),
        SetupMessage::UdpSeen { datagrams: 9, authentic: 8 },
        SetupMessage::Ended(Ended { code: Code::OK, detail: String::new(), summary: Summary::default() }),
    ]
}
