//! The client's two halves, put together as the command line does.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use limosa_seal::AlgorithmSet;
use limosa_session::{ClientJob, ClientPlan, Outcome, Running, StartError, connect};
use limosa_ssh::client::{HostKeyPolicy, RemoteMemory};
use limosa_ssh::{Connected, Request as SshRequest, Secret, SshError, Target, Way};
use limosa_storage::{Confinement, LocalStore, StorePath};
use limosa_transfer::receiver::Destination;
use limosa_transfer::sender::{Nature, Source};
use limosa_wire::Rate;
use limosa_wire::setup::{
    ContentDigest, ContentProtection, Direction, Durability, Overwrite, RatePolicy, Request, ResumeLevel, Suite,
    Symlinks,
};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::in_time;
use crate::server::Lab;

/// An SSH request with nothing of this machine's user in it.
pub fn ssh(lab: &Lab, user: &str, address: SocketAddr) -> SshRequest {
    let config = lab.path("empty");
    std::fs::write(&config, "").unwrap();
    let target: Target = format!("{user}@{}", address.ip()).parse().unwrap();
    SshRequest::to(target.with_port(address.port()))
        .config_file(config)
        .known_hosts(lab.path("known_hosts"))
        .host_keys(HostKeyPolicy::AcceptNew)
        .memory(RemoteMemory::in_file(lab.path("remotes")))
        .way(Way::Builtin)
}

/// Logs in with a key.
pub async fn log_in(lab: &Lab, user: &str, key: &Path, address: SocketAddr) -> Result<Connected, SshError> {
    in_time(limosa_ssh::connect(ssh(lab, user, address).identity(key.to_owned()))).await
}

/// Logs in with a password.
pub async fn log_in_with(lab: &Lab, user: &str, password: &str, address: SocketAddr) -> Result<Connected, SshError> {
    let request = ssh(lab, user, address).password(Some(Secret::new(password.to_owned())));
    in_time(limosa_ssh::connect(request)).await
}

/// What is asked for; refined by the test.
pub fn request(direction: Direction, path: &str) -> Request {
    Request {
        direction,
        // Each its own: sessions for one transfer take over from each other.
        transfer: limosa_seal::random(),
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
        paths: vec![path.as_bytes().to_vec()],
    }
}

/// At most this rate, so that a transfer lasts.
pub fn slowly(mut request: Request, bits_per_second: u64) -> Request {
    request.rate = Some(Rate::from_bits_per_second(bits_per_second));
    request
}

/// Sends `name` of the directory `from`, as `request` says.
pub async fn send(connected: Connected, from: &Path, name: &str, request: Request) -> Result<Running, StartError> {
    let source = Source::itself(StorePath::parse(name.as_bytes()).unwrap());
    start(connected, from, request, ClientJob::Upload(vec![source])).await
}

/// Fetches what `request` says into the directory `to`.
pub async fn fetch(connected: Connected, to: &Path, request: Request) -> Result<Running, StartError> {
    std::fs::create_dir_all(to).unwrap();
    start(connected, to, request, ClientJob::Download(Destination::parse(b"./").unwrap())).await
}

async fn start(connected: Connected, root: &Path, request: Request, job: ClientJob) -> Result<Running, StartError> {
    let (reached, rtt) = (connected.peer_addr.map(|address| address.ip()), connected.rtt);
    start_over(connected.channel, reached, rtt, root, (request, job)).await
}

/// Starts over any stream to a session program.
pub async fn start_over<S>(
    stream: S,
    reached: Option<IpAddr>,
    rtt: Option<Duration>,
    root: &Path,
    (request, job): (Request, ClientJob),
) -> Result<Running, StartError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let plan = ClientPlan {
        request,
        job,
        store: Arc::new(LocalStore::open(root, Confinement::Inside).unwrap()),
        nature: Nature::Stored,
        algorithms: AlgorithmSet::Ordinary,
        user: b"client".to_vec(),
        reached,
        rtt,
        udp_port: None,
        udp_host: None,
        umask: 0o022,
    };
    let mut running = in_time(connect(stream, plan)).await?;
    running.events.close();
    Ok(running)
}

/// Waits for the end.
pub async fn outcome(mut running: Running) -> Outcome {
    in_time(running.outcome()).await
}

/// Waits until bulk flows.
pub async fn flows(running: &mut Running) {
    let moved = |snapshot: &Option<limosa_session::Snapshot>| {
        let counts = snapshot.as_ref().map(|snapshot| &snapshot.connection);
        counts.is_some_and(|counts| counts.sent.datagrams + counts.received.datagrams > 100)
    };
    in_time(running.snapshots.wait_for(moved)).await.unwrap();
}
