//! `limosa send` and `limosa get`: from what was typed to an exit status.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use limosa_seal::identity::transfer_id;
use limosa_seal::negotiation::CipherWish;
use limosa_session::{ClientJob, ClientPlan, Order, Outcome, Running, connect};
use limosa_ssh::Target;
use limosa_storage::Store;
use limosa_storage::local::{Confinement, LocalStore};
use limosa_transfer::receiver::Destination;
use limosa_transfer::sender::{Source, SourceExtent};
use limosa_wire::Code;
use limosa_wire::setup::{ContentDigest, ContentProtection, Direction, RatePolicy, Request};

use crate::arguments::{GetArguments, SendArguments, TransferArguments};
use crate::crypt::Crypt;
use crate::failure::CommandFailure;
use crate::local;
use crate::location::{Location, Remote};
use crate::reach::{reach, resolve_udp, told};
use crate::report::Reporter;
use crate::signals::Interrupts;

/// A transfer as typed, understood.
#[derive(Debug)]
pub struct TransferPlan {
    target: Target,
    request: Request,
    job: ClientJob,
    files: Files,
    crypt: Crypt,
}

/// The client's own files that a transfer may touch.
#[derive(Debug)]
enum Files {
    /// All that the user may read, links followed as for any other program.
    Sources,
    /// What is below this directory. What the other end sends is written there
    /// and nowhere else: no link below it is followed, whoever made it.
    Below(PathBuf),
}

impl Files {
    fn open(&self) -> Result<Arc<dyn Store>, CommandFailure> {
        let store = match self {
            Self::Sources => LocalStore::open(Path::new("/"), Confinement::Anywhere),
            Self::Below(root) => LocalStore::open(root, Confinement::NoLinks),
        };
        Ok(Arc::new(store.map_err(|error| CommandFailure::new(Code::RESOURCES, error))?))
    }
}

/// `limosa send`.
///
/// # Errors
/// What is wrong with what was typed.
pub fn plan_send(arguments: &SendArguments) -> Result<TransferPlan, CommandFailure> {
    let (last, sources) = arguments.paths.split_last().ok_or_else(|| CommandFailure::usage("no destination"))?;
    let Location::Remote(Remote { target, path }) = location(last)? else {
        return Err(CommandFailure::usage(format!(
            "the last argument must be [user@]host:path, not `{}`",
            Path::new(last).display()
        )));
    };
    let sources = sources.iter().map(|source| local_source(source)).collect::<Result<Vec<_>, _>>()?;
    let mut request = request(Direction::Upload, &arguments.transfer)?;
    request.source_count = count(sources.iter().map(|source| source.extent));
    request.paths = vec![path];
    let typed: Vec<&[u8]> = sources.iter().map(|source| source.path.as_bytes()).collect();
    request.transfer = identity(Direction::Upload, &target, &request.paths[0], &typed);
    let algorithms = arguments.transfer.reach.fips.algorithms()?;
    let crypt = Crypt::of_send(&arguments.crypt, &request.transfer, request.resume, algorithms)?;
    request.protection = crypt.protection();
    Ok(TransferPlan { target, request, job: ClientJob::Upload(sources), files: Files::Sources, crypt })
}

/// `limosa get`.
///
/// # Errors
/// What is wrong with what was typed.
pub fn plan_get(arguments: &GetArguments) -> Result<TransferPlan, CommandFailure> {
    let (last, sources) = arguments.paths.split_last().ok_or_else(|| CommandFailure::usage("no destination"))?;
    let Location::Local(place) = location(last)? else {
        return Err(CommandFailure::usage("the last argument must be a place on this machine"));
    };
    let (target, paths) = remote_sources(sources)?;
    let mut request = request(Direction::Download, &arguments.transfer)?;
    request.source_count = count(paths.iter().map(|path| extent(path)));
    let (root, destination) = local_destination(&place)?;
    let typed: Vec<&[u8]> = paths.iter().map(Vec::as_slice).collect();
    let whole = root.join(destination.path().as_os_path());
    request.transfer = identity(Direction::Download, &target, whole.as_os_str().as_bytes(), &typed);
    request.paths = paths;
    let crypt = Crypt::of_get(&arguments.crypt, arguments.transfer.reach.fips.algorithms()?)?;
    Ok(TransferPlan { target, request, job: ClientJob::Download(destination), files: Files::Below(root), crypt })
}

fn location(typed: &OsStr) -> Result<Location, CommandFailure> {
    Location::parse(typed).map_err(|error| CommandFailure::new(Code::BAD_TARGET, error))
}

fn local_source(typed: &OsStr) -> Result<Source, CommandFailure> {
    match location(typed)? {
        Location::Local(path) => local::source(&path).map_err(|error| CommandFailure::new(Code::NOT_FOUND, error)),
        Location::Remote(remote) => Err(CommandFailure::usage(format!(
            "`{}` is on another host; only the destination may be (put ./ in front of a local name that holds a colon)",
            remote.typed().display()
        ))),
    }
}

/// The directory a download may not leave, and its destination below; a slash
/// at the end is kept.
fn local_destination(typed: &Path) -> Result<(PathBuf, Destination), CommandFailure> {
    let place = local::place(typed).map_err(|error| CommandFailure::new(Code::DIRECTORY_NOT_FOUND, error))?;
    let mut bytes = place.below.into_os_string().into_vec();
    if local::names_directory(typed) && !bytes.is_empty() {
        bytes.push(b'/');
    }
    let destination = Destination::parse(&bytes).map_err(|error| CommandFailure::new(Code::BAD_NAME, error))?;
    Ok((place.root, destination))
}

/// The sources of a download, which must be on one host.
fn remote_sources(typed: &[std::ffi::OsString]) -> Result<(Target, Vec<Vec<u8>>), CommandFailure> {
    let mut common: Option<Target> = None;
    let mut paths = Vec::new();
    for source in typed {
        let Location::Remote(Remote { target, path }) = location(source)? else {
            let shown = Path::new(source).display();
            return Err(CommandFailure::usage(format!("`{shown}` is not [user@]host:path")));
        };
        match &common {
            Some(first) if *first != target => {
                return Err(CommandFailure::usage(format!(
                    "all sources must be on one host, not {first} and {target}"
                )));
            }
            _ => common = Some(target),
        }
        paths.push(path);
    }
    common.map(|target| (target, paths)).ok_or_else(|| CommandFailure::usage("no sources"))
}

/// Whether a source as typed stands for its content.
fn extent(typed: &[u8]) -> SourceExtent {
    let last = typed.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    if last.is_empty() || last == b"." { SourceExtent::Contents } else { SourceExtent::Itself }
}

/// The number of sources as a receiver counts them: the content of a directory
/// is several things.
fn count(extents: impl Iterator<Item = SourceExtent>) -> u32 {
    extents.fold(0_u32, |count, extent| {
        count.saturating_add(match extent {
            SourceExtent::Itself => 1,
            SourceExtent::Contents => 2,
        })
    })
}

fn request(direction: Direction, arguments: &TransferArguments) -> Result<Request, CommandFailure> {
    let policy = RatePolicy::from(arguments.policy);
    if policy == RatePolicy::Fixed && arguments.rate.is_none() {
        return Err(CommandFailure::new(Code::FIXED_NEEDS_RATE, ""));
    }
    Ok(Request {
        direction,
        transfer: [0; 16],
        random: [0; 32],
        suites: CipherWish::from(arguments.cipher).offers(),
        digests: ContentDigest::ALL.to_vec(),
        policy,
        rate: arguments.rate,
        resume: arguments.resume.into(),
        durability: arguments.durability.into(),
        symlinks: arguments.links.into(),
        overwrite: arguments.overwrite.into(),
        keep_mode: true,
        keep_times: true,
        fresh: false,
        protection: ContentProtection::None,
        source_count: 1,
        paths: Vec::new(),
    })
}

/// Names the transfer: the same command of the same user of the same machine
/// names the same one, and nobody else's does.
fn identity(direction: Direction, target: &Target, destination: &[u8], sources: &[&[u8]]) -> [u8; 16] {
    let host = target.to_string();
    let user = rustix::process::getuid().as_raw().to_be_bytes();
    let machine = machine();
    let mut parts: Vec<&[u8]> = vec![if direction == Direction::Upload { b"up" } else { b"down" }];
    parts.extend([machine.as_slice(), &user, host.as_bytes(), destination]);
    parts.extend(sources);
    transfer_id(&parts)
}

/// What tells this machine from others: its id, or its name where it has none.
fn machine() -> Vec<u8> {
    let files = ["/etc/machine-id", "/var/lib/dbus/machine-id", "/proc/sys/kernel/hostname"];
    let mut told = files.iter().filter_map(|file| std::fs::read(file).ok());
    told.find(|id| !id.is_empty()).unwrap_or_default()
}

/// Carries a plan out; the reporter is told how it goes.
pub async fn run(
    plan: Result<TransferPlan, CommandFailure>,
    arguments: &TransferArguments,
    mut reporter: Box<dyn Reporter>,
) -> ExitCode {
    let code = match watch_plan(plan, arguments, &mut *reporter).await {
        Ok(outcome) => outcome.code,
        Err(failure) => {
            reporter.failed(failure.code, &failure.detail);
            failure.code
        }
    };
    ExitCode::from(code.exit_status())
}

/// Carries a plan out to its outcome.
///
/// # Errors
/// What ended it before there was a session; the reporter has not been told.
pub async fn watch_plan(
    plan: Result<TransferPlan, CommandFailure>,
    arguments: &TransferArguments,
    reporter: &mut dyn Reporter,
) -> Result<Outcome, CommandFailure> {
    let mut plan = plan?;
    let unfinished = plan.crypt.take_unfinished();
    let mut running = started(plan, arguments, reporter).await?;
    let outcome = watch(&mut running, reporter).await;
    if let Some(unfinished) = unfinished.filter(|_| outcome.code == Code::OK) {
        unfinished.finished();
    }
    Ok(outcome)
}

async fn started(
    plan: TransferPlan,
    arguments: &TransferArguments,
    reporter: &mut dyn Reporter,
) -> Result<Running, CommandFailure> {
    let TransferPlan { target, request, mut job, files, crypt } = plan;
    let sources = match &mut job {
        ClientJob::Upload(sources) => sources.as_mut_slice(),
        ClientJob::Download(_) => &mut [],
    };
    let (store, nature) = crypt.over(files.open()?, &request, sources);
    let connected = reach(&target, &arguments.reach).await?;
    reporter.connected(&told(&target, &connected));
    let reached = connected.peer_addr.map(|address| address.ip());
    let (reached, udp_host) = resolve_udp(&target, &arguments.reach, reached).await?;
    let plan = ClientPlan {
        request,
        job,
        store,
        algorithms: arguments.reach.fips.algorithms()?,
        nature,
        user: rustix::process::getuid().as_raw().to_be_bytes().to_vec(),
        reached,
        rtt: connected.rtt,
        udp_port: arguments.reach.udp_port,
        udp_host,
        umask: current_umask(),
    };
    Ok(connect(connected.channel, plan).await?)
}

/// The process's umask, which can only be read by setting it.
pub(crate) fn current_umask() -> u32 {
    let mask = rustix::process::umask(rustix::fs::Mode::from_bits_truncate(0o077));
    rustix::process::umask(mask);
    mask.bits()
}

/// Watches a running session, passing on what happens and what the user wants.
pub async fn watch(running: &mut Running, reporter: &mut dyn Reporter) -> Outcome {
    let steering = running.steering();
    if !reporter.wants_entries() {
        running.tell_failures_only();
    }
    let mut interrupts = Interrupts::listen();
    let mut snapshots = running.snapshots.clone();
    let mut listening = true;
    let outcome = loop {
        tokio::select! {
            event = running.events.recv(), if listening => match event {
                Some(event) => reporter.event(&event),
                None => listening = false,
            },
            Ok(()) = snapshots.changed() => {
                if let Some(snapshot) = snapshots.borrow_and_update().as_ref() {
                    reporter.progress(snapshot);
                }
            }
            count = interrupts.next() => match count {
                1 => {
                    reporter.note("stopping; what has arrived is kept (again to abort)");
                    steering.order(Order::Cancel(Code::CANCELLED));
                }
                _ => steering.order(Order::Abort(Code::CANCELLED)),
            },
            () = std::future::ready(()), if !listening => break running.outcome().await,
        }
    };
    reporter.finished(&outcome);
    outcome
}
