//! The main process's side: starting the front, and starting it again when it
//! has ended. Running sessions are not touched by that: they lose their SSH
//! channel and live on.

use std::ffi::OsString;
use std::fs::{DirBuilder, File};
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::startup::{self, Orders};

/// Pause before a front that ended is started again, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));
/// A front that ran this long starts with the first pause again.
const STABLE: Duration = Duration::from_secs(60);
/// Time a front gets to end when it is told to.
const END_TIME: Duration = Duration::from_secs(3);
/// What a front sees of the environment.
const PASSED_ON: [&str; 3] = ["RUST_LOG", "RUST_BACKTRACE", "LIMOSA_LOG"];
/// User ids that no account, container or service is given, by the conventions
/// of Linux distributions.
const NOBODYS_IDS: (u32, u32) = (1_879_048_192, 2_147_352_575);

/// The program that is a front process, and the arguments that make it one.
#[derive(Clone, Debug)]
pub struct FrontProgram {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

impl FrontProgram {
    /// This very program, also when its file has been replaced or stands where
    /// the front's user cannot reach it.
    #[must_use]
    pub fn this_program(arguments: &[&str]) -> Self {
        let program = PathBuf::from("/proc/self/exe");
        let fallback = || std::env::current_exe().unwrap_or_else(|_| "limosad".into());
        let program = if program.exists() { program } else { fallback() };
        Self { program, arguments: arguments.iter().map(OsString::from).collect() }
    }
}

/// Everything a front is started with.
#[derive(Debug)]
pub(crate) struct FrontPlan {
    pub(crate) program: FrontProgram,
    pub(crate) orders: Orders,
    pub(crate) listener: TcpListener,
    /// User to run as; as this one, if none.
    pub(crate) user: Option<u32>,
}

/// The user a front runs as: `configured`, or one that nobody is. `None` where
/// this process cannot change users anyway.
pub(crate) fn front_user(configured: Option<u32>) -> Option<u32> {
    let drawn = || {
        let (first, last) = NOBODYS_IDS;
        first + u32::from_be_bytes(limosa_seal::random()) % (last - first)
    };
    rustix::process::geteuid().is_root().then(|| configured.unwrap_or_else(drawn))
}

/// A Unix socket in a directory that only the front's user can enter; removed
/// when dropped.
#[derive(Debug)]
pub(crate) struct PrivateSocket {
    directory: PathBuf,
}

impl PrivateSocket {
    /// Makes directory and socket for `user`.
    pub(crate) fn bind(user: Option<u32>) -> io::Result<(Self, UnixListener)> {
        let name = format!("limosad-{}", limosa_seal::identity::hex(&limosa_seal::random::<8>()));
        let directory = runtime_directory().join(name);
        DirBuilder::new().mode(0o700).create(&directory)?;
        let socket = Self { directory };
        let listener = UnixListener::bind(socket.path())?;
        if let Some(user) = user {
            std::os::unix::fs::chown(socket.path(), Some(user), Some(user))?;
            std::os::unix::fs::chown(&socket.directory, Some(user), Some(user))?;
        }
        Ok((socket, listener))
    }

    /// The socket.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.join("main")
    }
}

impl Drop for PrivateSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.path());
        let _ = std::fs::remove_dir(&self.directory);
    }
}

/// Where sockets are made: paths there are short enough for one.
fn runtime_directory() -> PathBuf {
    let of_user = || std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_dir());
    let run = Path::new("/run");
    if rustix::process::geteuid().is_root() && run.is_dir() {
        return run.to_owned();
    }
    of_user().unwrap_or_else(std::env::temp_dir)
}

/// A front that is kept running.
#[derive(Debug)]
pub(crate) struct FrontKeeper {
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

/// A front process and our end of the socket at its standard input, which it
/// watches.
struct Front {
    child: Child,
    control: UnixStream,
}

impl FrontKeeper {
    /// Starts a front, and another whenever one ends.
    pub(crate) fn start(plan: FrontPlan) -> io::Result<Self> {
        let first = Front::start(&plan)?;
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(keep(plan, first, stopped));
        Ok(Self { stop, task })
    }

    /// Ends the front; connections there are closed in order.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        let _ = self.task.await;
    }
}

async fn keep(plan: FrontPlan, first: Front, mut stopped: watch::Receiver<bool>) {
    let (mut front, mut pause) = (Some(first), PAUSE.0);
    loop {
        let began = Instant::now();
        if let Some(mut running) = front.take() {
            tokio::select! {
                status = running.child.wait() => tell_end(status),
                () = stop_wanted(&mut stopped) => return running.end().await,
            }
        }
        pause = if began.elapsed() >= STABLE { PAUSE.0 } else { pause };
        tokio::select! {
            () = sleep(pause) => {}
            () = stop_wanted(&mut stopped) => return,
        }
        pause = (pause * 2).min(PAUSE.1);
        front = Front::start(&plan).inspect_err(|error| tracing::error!(%error, "no SSH front can be started")).ok();
    }
}

async fn stop_wanted(stopped: &mut watch::Receiver<bool>) {
    // If the keeper is gone, nobody wants a front either.
    let _ = stopped.wait_for(|stop| *stop).await;
}

fn tell_end(status: io::Result<ExitStatus>) {
    match status {
        Ok(status) => tracing::error!(%status, "the SSH front ended and is started again; running sessions go on"),
        Err(error) => tracing::error!(%error, "the SSH front cannot be waited for"),
    }
}

impl Front {
    fn start(plan: &FrontPlan) -> io::Result<Self> {
        let (control, theirs) = UnixStream::pair()?;
        let key = File::open(&plan.orders.host_key)?;
        startup::send(&control, &plan.orders, &plan.listener, &key)?;
        let mut command = Command::new(&plan.program.program);
        command
            .args(&plan.program.arguments)
            .arg0("limosad")
            .env_clear()
            .envs(PASSED_ON.iter().filter_map(|name| Some((*name, std::env::var_os(name)?))))
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .kill_on_drop(true);
        if let Some(user) = plan.user {
            command.uid(user).gid(user);
        }
        let child = command.spawn()?;
        tracing::debug!(pid = child.id(), "SSH front started");
        Ok(Self { child, control })
    }

    /// Lets the front end in order, or ends it.
    async fn end(self) {
        let Self { mut child, control } = self;
        drop(control);
        if timeout(END_TIME, child.wait()).await.is_err() {
            let _ = child.kill().await;
        }
    }
}
