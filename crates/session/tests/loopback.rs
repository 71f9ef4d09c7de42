//! Whole sessions on loopback: an in-memory stream in place of SSH, real UDP,
//! real files.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use limosa_seal::AlgorithmSet;
use limosa_seal::negotiation::{CipherWish, ModeChange, SuitePolicy};
use limosa_session::setup::accept;
use limosa_session::{ClientJob, ClientPlan, Order, Outcome, Running, ServerPorts, SharedUdp, Terms, connect, serve};
use limosa_storage::local::{Confinement, LocalStore};
use limosa_storage::{Store, StorePath};
use limosa_transfer::receiver::Destination;
use limosa_transfer::sender::{Nature, Source};
use limosa_wire::setup::{
    ContentDigest, ContentProtection, Direction, Durability, Overwrite, RatePolicy, Request, ResumeLevel, Suite,
    Symlinks,
};
use limosa_wire::{Code, Rate};
use tokio::net::UdpSocket;

/// The longest any of these may take on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

fn request(direction: Direction, paths: &[&str]) -> Request {
    Request {
        direction,
        transfer: [7; 16],
        random: [0; 32],
        suites: Suite::ALL.to_vec(),
        digests: ContentDigest::ALL.to_vec(),
        policy: RatePolicy::Fair,
        rate: None,
        resume: ResumeLevel::Attributes,
        durability: Durability::None,
        symlinks: Symlinks::Copy,
        overwrite: Overwrite::Different,
        keep_mode: true,
        keep_times: true,
        fresh: false,
        protection: ContentProtection::None,
        source_count: 1,
        paths: paths.iter().map(|path| path.as_bytes().to_vec()).collect(),
    }
}

fn store(root: &Path) -> Arc<dyn Store> {
    Arc::new(LocalStore::open(root, Confinement::Inside).unwrap())
}

/// Accepts one suite.
fn only(suite: Suite) -> SuitePolicy {
    SuitePolicy { suites: vec![suite], change: ModeChange::Strict }
}

fn terms(root: &Path) -> Terms {
    Terms {
        store: store(root),
        home: StorePath::root(),
        algorithms: AlgorithmSet::Ordinary,
        suites: only(Suite::Aes128Gcm),
        rate_cap: Rate::UNLIMITED,
        policies: RatePolicy::ALL.to_vec(),
        durability_floor: Durability::None,
        content: ContentProtection::None,
        timeout: Duration::from_secs(20),
        user: b"ada".to_vec(),
        reached: Some(Ipv4Addr::LOCALHOST.into()),
        public_address: None,
        umask: 0o022,
    }
}

fn plan(root: &Path, request: Request, job: ClientJob) -> ClientPlan {
    ClientPlan {
        request,
        job,
        store: store(root),
        nature: Nature::Stored,
        algorithms: AlgorithmSet::Ordinary,
        user: b"ada".to_vec(),
        reached: Some(IpAddr::from(Ipv4Addr::LOCALHOST)),
        rtt: None,
        udp_port: None,
        udp_host: None,
        umask: 0o022,
    }
}

const PORTS: ServerPorts = ServerPorts::Range { first: 36_100, last: 36_300 };

/// Runs both ends; `steer` may give orders to the client's.
async fn run(plan: ClientPlan, terms: Terms, steer: impl FnOnce(&Running)) -> (Outcome, Outcome) {
    run_both(plan, terms, PORTS, steer, |_| {}).await
}

/// The same; `command` may give orders to the server's.
async fn run_both(
    plan: ClientPlan,
    terms: Terms,
    ports: ServerPorts,
    steer: impl FnOnce(&Running),
    command: impl FnOnce(&Running) + Send + 'static,
) -> (Outcome, Outcome) {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let server = tokio::spawn(async move {
        let incoming = accept(theirs).await.unwrap();
        let mut running = serve(incoming, terms, &ports).await.unwrap();
        running.events.close();
        command(&running);
        running.outcome().await
    });
    let mut client = connect(ours, plan).await.unwrap();
    client.events.close();
    steer(&client);
    let outcomes = async { (client.outcome().await, server.await.unwrap()) };
    tokio::time::timeout(DEADLINE, outcomes).await.expect("the session ends in time")
}

/// Directories of these names in a new one.
fn roots<const N: usize>(names: [&str; N]) -> (tempfile::TempDir, [PathBuf; N]) {
    let folder = tempfile::tempdir().unwrap();
    let roots = names.map(|name| folder.path().join(name));
    roots.iter().for_each(|root| fs::create_dir_all(root).unwrap());
    (folder, roots)
}

/// A tree with what tends to break: empty, small, large, with holes, odd names.
fn make_tree(root: &Path) {
    fs::create_dir_all(root.join("tree/deep/er")).unwrap();
    fs::write(root.join("tree/empty"), b"").unwrap();
    fs::write(root.join("tree/deep/small"), b"a few bytes").unwrap();
    let large: Vec<u8> = (0..40_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    fs::write(root.join("tree/deep/er/large"), large).unwrap();
    std::os::unix::fs::symlink("small", root.join("tree/deep/link")).unwrap();
    for index in 0..200 {
        fs::write(root.join(format!("tree/deep/er/file {index} \u{e4}")), vec![index as u8; index * 37]).unwrap();
    }
}

/// Compares two trees by `diff`, links as links.
fn assert_equal(left: &Path, right: &Path) {
    let output =
        std::process::Command::new("diff").args(["-r", "--no-dereference"]).args([left, right]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_goes_up_and_comes_back() {
    let (_folder, [here, there, back]) = roots(["here", "there", "back"]);
    make_tree(&here);

    let sources = vec![Source::itself(StorePath::parse(b"tree").unwrap())];
    let up = plan(&here, request(Direction::Upload, &["in"]), ClientJob::Upload(sources));
    let (client, server) = run(up, terms(&there), |_| {}).await;
    assert_eq!((client.code, server.code), (Code::OK, Code::OK), "{client:?} {server:?}");
    assert_equal(&here.join("tree"), &there.join("in/tree"));

    let down = ClientJob::Download(Destination::parse(b"out").unwrap());
    let down = plan(&back, request(Direction::Download, &["in/tree"]), down);
    let (client, server) = run(down, terms(&there), |_| {}).await;
    assert_eq!((client.code, server.code), (Code::OK, Code::OK), "{client:?} {server:?}");
    assert_equal(&here.join("tree"), &back.join("out/tree"));
    assert_eq!(client.summary.bytes, server.theirs.unwrap().bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_finds_everything_there() {
    let (_folder, [here, there]) = roots(["here", "there"]);
    make_tree(&here);
    let up = || {
        let sources = vec![Source::itself(StorePath::parse(b"tree").unwrap())];
        plan(&here, request(Direction::Upload, &["in"]), ClientJob::Upload(sources))
    };
    run(up(), terms(&there), |_| {}).await;
    let (client, _) = run(up(), terms(&there), |_| {}).await;
    assert_eq!(client.code, Code::OK, "{client:?}");
    assert_eq!(client.summary.carried, 0, "{client:?}");
    assert!(client.theirs.unwrap().skipped >= 202, "{client:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_source_is_named_by_its_code() {
    let folder = tempfile::tempdir().unwrap();
    let down = ClientJob::Download(Destination::parse(b"out").unwrap());
    let down = plan(folder.path(), request(Direction::Download, &["nowhere"]), down);
    let (client, server) = run(down, terms(folder.path()), |_| {}).await;
    assert_eq!((client.code, server.code), (Code::NOT_FOUND, Code::NOT_FOUND), "{client:?} {server:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_transfer_ends_on_both_sides() {
    let (_folder, [here, there]) = roots(["here", "there"]);
    make_tree(&here);
    let sources = vec![Source::itself(StorePath::parse(b"tree").unwrap())];
    let mut request = request(Direction::Upload, &["in"]);
    request.rate = Some(Rate::from_bits_per_second(20_000_000));
    let up = plan(&here, request, ClientJob::Upload(sources));
    let (client, server) =
        run(up, terms(&there), |running| running.steering().order(Order::Cancel(Code::CANCELLED))).await;
    assert_eq!((client.code, server.code), (Code::CANCELLED, Code::CANCELLED), "{client:?} {server:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fixed_rate_must_be_named() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let root = folder.path().to_owned();
    let server = tokio::spawn(async move { serve(accept(theirs).await.unwrap(), terms(&root), &PORTS).await.err() });
    let mut request = request(Direction::Upload, &["in"]);
    request.policy = RatePolicy::Fixed;
    let client = connect(ours, plan(folder.path(), request, ClientJob::Upload(Vec::new()))).await;
    assert_eq!(client.err().map(|error| error.code()), Some(Code::FIXED_NEEDS_RATE));
    assert_eq!(server.await.unwrap().map(|error| error.code()), Some(Code::FIXED_NEEDS_RATE));
}

/// How a download ends whose client wants a fixed rate meanwhile, where the
/// server permits `policies`.
async fn ordered_to_be_fixed(rate: Option<Rate>, policies: &[RatePolicy]) -> (Code, Code) {
    let (_folder, [there, back]) = roots(["there", "back"]);
    make_tree(&there);
    let down = ClientJob::Download(Destination::parse(b"out").unwrap());
    let request = Request { rate, ..request(Direction::Download, &["tree"]) };
    let terms = Terms { policies: policies.to_vec(), ..terms(&there) };
    let order = Order::SetPolicy(RatePolicy::Fixed);
    let (client, server) = run(plan(&back, request, down), terms, |running| running.steering().order(order)).await;
    (client.code, server.code)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_changes_while_it_runs_if_the_server_permits() {
    let rate = Some(Rate::from_bits_per_second(300_000_000));
    assert_eq!(ordered_to_be_fixed(rate, RatePolicy::ALL).await, (Code::OK, Code::OK));
    let refused = (Code::POLICY_NOT_ALLOWED, Code::POLICY_NOT_ALLOWED);
    assert_eq!(ordered_to_be_fixed(rate, &[RatePolicy::Fair, RatePolicy::High]).await, refused);
    let without_rate = (Code::FIXED_NEEDS_RATE, Code::FIXED_NEEDS_RATE);
    assert_eq!(ordered_to_be_fixed(None, RatePolicy::ALL).await, without_rate);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_may_not_choose_what_it_cannot_do() {
    let (_folder, [here, there]) = roots(["here", "there"]);
    make_tree(&here);
    let sources = || vec![Source::itself(StorePath::parse(b"tree").unwrap())];
    let up = |rate| plan(&here, Request { rate, ..request(Direction::Upload, &["in"]) }, ClientJob::Upload(sources()));
    let fixed = |running: &Running| running.steering().order(Order::SetPolicy(RatePolicy::Fixed));
    let (client, _) = run(up(None), terms(&there), fixed).await;
    assert_eq!(client.code, Code::FIXED_NEEDS_RATE, "{client:?}");
    let (client, _) = run(up(Some(Rate::from_bits_per_second(300_000_000))), terms(&there), fixed).await;
    assert_eq!(client.code, Code::OK, "{client:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_may_slow_a_client_down_but_not_drive_it() {
    for (policy, code) in [(RatePolicy::Low, Code::OK), (RatePolicy::Fixed, Code::POLICY_NOT_ALLOWED)] {
        let (_folder, [here, there]) = roots(["here", "there"]);
        make_tree(&here);
        let rate = Some(Rate::from_bits_per_second(300_000_000));
        let sources = vec![Source::itself(StorePath::parse(b"tree").unwrap())];
        let request = Request { rate, ..request(Direction::Upload, &["in"]) };
        let up = plan(&here, request, ClientJob::Upload(sources));
        let order = move |running: &Running| running.steering().order(Order::SetPolicy(policy));
        let (client, server) = run_both(up, terms(&there), PORTS, |_| {}, order).await;
        assert_eq!((client.code, server.code), (code, code), "{policy:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_only_says_its_files_are_encrypted_brings_none_in() {
    let (_folder, [here, there]) = roots(["here/tree", "there"]);
    let envelope = [&limosa_seal::envelope::MAGIC[..], &[1; 100]].concat();
    let large = vec![7; 3 << 20];
    let larger = [envelope.clone(), large.clone()].concat();
    let files =
        [("empty", &b""[..]), ("small", b"words"), ("large", &large), ("sealed", &envelope), ("larger", &larger)];
    files.iter().for_each(|(name, bytes)| fs::write(here.join(name), bytes).unwrap());
    let sources = vec![Source::contents(StorePath::root())];
    let request = Request { protection: ContentProtection::Sealed, ..request(Direction::Upload, &["in/"]) };
    let up = plan(&here, Request { source_count: 2, ..request }, ClientJob::Upload(sources));
    let terms = Terms { content: ContentProtection::Sealed, ..terms(&there) };
    let (client, _) = run(up, terms, |_| {}).await;
    assert_eq!((client.code, client.summary.failed, client.summary.settled), (Code::SOME_FAILED, 3, 2), "{client:?}");
    let mut names: Vec<_> = fs::read_dir(there.join("in"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["larger", "sealed"], "and nothing under way is left");
}

/// How both ends come out of a set-up that is refused.
async fn refused(wish: CipherWish, client_set: AlgorithmSet, policy: SuitePolicy, set: AlgorithmSet) -> [Code; 2] {
    let (_folder, [here, there]) = roots(["here", "there"]);
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let terms = Terms { suites: policy, algorithms: set, ..terms(&there) };
    let server = tokio::spawn(async move { serve(accept(theirs).await?, terms, &PORTS).await });
    let request = Request { suites: wish.offers(), ..request(Direction::Upload, &["in"]) };
    let plan = plan(&here, request, ClientJob::Upload(Vec::new()));
    let client = connect(ours, ClientPlan { algorithms: client_set, ..plan }).await.err().unwrap();
    [client.code(), server.await.unwrap().err().unwrap().code()]
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_without_a_common_cipher_say_why() {
    let ordinary = AlgorithmSet::Ordinary;
    for (wish, policy, code) in [
        (CipherWish::Suite(Suite::Aes128Cfb), only(Suite::Aes256Gcm), Code::NO_COMMON_SUITE),
        (CipherWish::Suite(Suite::Aes256Gcm), only(Suite::Aes128Gcm), Code::NO_COMMON_SUITE),
        (CipherWish::KeyBits(128), only(Suite::Aes256Cfb), Code::NO_COMMON_SUITE),
        (CipherWish::Suite(Suite::Unencrypted), SuitePolicy::encrypted(), Code::ENCRYPTION_REQUIRED),
        (CipherWish::KeyBits(128), only(Suite::Unencrypted), Code::CIPHER_TOO_STRONG),
    ] {
        assert_eq!(refused(wish, ordinary, policy.clone(), ordinary).await, [code; 2], "{wish:?} {policy:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_held_to_approved_ciphers_takes_no_other() {
    let (ordinary, approved) = (AlgorithmSet::Ordinary, AlgorithmSet::Approved);
    let (wish, policy) = (CipherWish::Suite(Suite::Unencrypted), only(Suite::Unencrypted));
    let codes = refused(wish, ordinary, policy.clone(), approved).await;
    assert_eq!(codes, [Code::PEER_APPROVED_ONLY; 2]);
    // Here nothing is asked: the server sees the connection end.
    let [client, _] = refused(wish, approved, policy, ordinary).await;
    assert_eq!(client, Code::CIPHER_NOT_APPROVED);
}

/// Stands between a client and a server and keeps what passes.
struct Tap {
    address: SocketAddr,
    heard: tokio::task::JoinHandle<()>,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Tap {
    /// In front of this server's port.
    async fn before(server: SocketAddr) -> Self {
        let bound = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0));
        let (outside, inside) = (bound().await.unwrap(), bound().await.unwrap());
        inside.connect(server).await.unwrap();
        let (address, seen) = (outside.local_addr().unwrap(), Arc::default());
        let heard = tokio::spawn(Self::pass(outside, inside, Arc::clone(&seen)));
        Self { address, heard, seen }
    }

    async fn pass(outside: UdpSocket, inside: UdpSocket, seen: Arc<Mutex<Vec<u8>>>) {
        let (mut outward, mut inward) = (vec![0; 1 << 16], vec![0; 1 << 16]);
        let mut client = None;
        loop {
            let datagram = tokio::select! {
                Ok((length, from)) = outside.recv_from(&mut outward) => {
                    client = Some(from);
                    let _ = inside.send(&outward[..length]).await;
                    &outward[..length]
                }
                Ok(length) = inside.recv(&mut inward) => {
                    let client = client.expect("the client speaks first");
                    let _ = outside.send_to(&inward[..length], client).await;
                    &inward[..length]
                }
                else => return,
            };
            seen.lock().unwrap().extend_from_slice(datagram);
        }
    }

    /// Whether this was to be read in any datagram, either way.
    fn showed(&self, what: &[u8]) -> bool {
        self.seen.lock().unwrap().windows(what.len()).any(|window| window == what)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.heard.abort();
    }
}

/// A session of either direction under `suite`, and what could be read of it on
/// the line: the name of the file, its content.
async fn overheard(suite: Suite, direction: Direction) -> (bool, bool) {
    const NAME: &str = "the name that nobody is to know";
    const CONTENT: &[u8] = b"What nobody is to know stands in this file. ";
    let (_folder, [source, target]) = roots(["source", "target"]);
    fs::create_dir(source.join("from")).unwrap();
    fs::write(source.join("from").join(NAME), CONTENT.repeat(3000)).unwrap();

    let shared = SharedUdp::open((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let tap = Tap::before(shared.local_addr()).await;
    let (here, there, job, path) = match direction {
        Direction::Upload => {
            let sources = vec![Source::itself(StorePath::parse(b"from").unwrap())];
            (&source, &target, ClientJob::Upload(sources), "to/")
        }
        Direction::Download => (&target, &source, ClientJob::Download(Destination::parse(b"to/").unwrap()), "from"),
    };
    let request = Request { suites: CipherWish::Suite(suite).offers(), ..request(direction, &[path]) };
    let udp_host = Some((tap.address.ip(), Some(tap.address.port())));
    let plan = ClientPlan { udp_host, ..plan(here, request, job) };
    let terms = Terms { suites: only(suite), ..terms(there) };
    let (client, server) = run_both(plan, terms, ServerPorts::Shared(shared), |_| {}, |_| {}).await;
    assert_eq!((client.code, server.code), (Code::OK, Code::OK), "{suite} {direction:?}: {client:?} {server:?}");
    assert_equal(&source.join("from"), &target.join("to/from"));
    (tap.showed(NAME.as_bytes()), tap.showed(CONTENT))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_suite_carries_files_and_only_none_shows_them() {
    for suite in Suite::ALL {
        for direction in [Direction::Upload, Direction::Download] {
            let readable = *suite == Suite::Unencrypted;
            assert_eq!(overheard(*suite, direction).await, (readable, readable), "{suite} {direction:?}");
        }
    }
}
