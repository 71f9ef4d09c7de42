//! Opening a channel to a host's session program.
//!
//! [`connect`] resolves what the user's configuration says of the host, takes
//! one of two ways behind one interface, and hands out a [`Channel`] as soon
//! as the login has succeeded. The session program is asked for at once and
//! its answer is not waited for: the caller's first bytes ride along. The
//! subsystem `limosa` is tried first, then the session command; what worked is
//! remembered per host.
//!
//! With a key that needs no passphrase the built-in way takes 7 round trips
//! from TCP connect until the caller's first bytes leave: TCP, version
//! exchange, key exchange, service request, key offer, signature, channel. The
//! program's first answer is there after the eighth; after the ninth with
//! OpenSSH's server, which lets nothing through before its program runs.

mod auto;
mod builtin;
mod config;
mod courier;
mod dial;
mod flights;
mod hold;
mod line;
mod memory;
mod system;

pub use auto::Choice;
pub use memory::{Remote, RemoteMemory, state_directory};

use crate::channel;
use crate::known_hosts::{HostName, KnownHosts};
use crate::login::SystemLogin;
use crate::sshd_config::Profile;
use crate::{Channel, NoPrompt, Prompt, SESSION_COMMAND, Secret, SshError, Target};
use config::EffectiveConfig;
use courier::{Courier, Remembering};
use line::Line;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The TCP port tried first where neither the user nor the configuration of
/// `ssh` names one; after it, port 22.
pub const DEFAULT_PORT: u16 = 33001;

/// Which SSH client to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Way {
    /// The one built into this program.
    Builtin,
    /// The machine's own `ssh`.
    System,
    /// The built-in one unless a setting in force needs the other.
    #[default]
    Auto,
}

/// What to do with a host key that is not on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum HostKeyPolicy {
    /// Refuse it.
    Strict,
    /// Accept and record it.
    AcceptNew,
    /// Ask, where there is somebody to ask; else refuse it.
    #[default]
    Ask,
}

/// What to connect to and how. Made by [`Request::to`], refined by its
/// methods, carried out by [`connect`].
#[derive(Clone)]
pub struct Request {
    target: Target,
    way: Way,
    identities: Vec<PathBuf>,
    password: Option<Secret>,
    prompt: Arc<dyn Prompt>,
    host_keys: Option<HostKeyPolicy>,
    known_hosts: Option<PathBuf>,
    config_file: Option<PathBuf>,
    program: PathBuf,
    command: String,
    memory: RemoteMemory,
    connect_timeout: Duration,
    only: Option<Profile>,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("target", &self.target)
            .field("way", &self.way)
            .field("identities", &self.identities)
            .finish_non_exhaustive()
    }
}

impl Request {
    /// A request for `target` with nobody to ask, no password, the user's own
    /// configuration, keys and memory, and [`Way::Auto`].
    #[must_use]
    pub fn to(target: Target) -> Self {
        Self {
            target,
            way: Way::Auto,
            identities: Vec::new(),
            password: None,
            prompt: Arc::new(NoPrompt),
            host_keys: None,
            known_hosts: None,
            config_file: None,
            program: PathBuf::from("ssh"),
            command: SESSION_COMMAND.to_owned(),
            memory: RemoteMemory::of_user(),
            connect_timeout: Duration::from_secs(20),
            only: None,
        }
    }

    /// Offers the algorithms of `profile` and no other, whatever the user has
    /// configured. Holds for [`Way::System`] alone: the built-in client has a
    /// list of its own.
    #[must_use]
    pub fn only(mut self, profile: Profile) -> Self {
        self.only = Some(profile);
        self
    }

    /// Takes `way` instead of choosing.
    #[must_use]
    pub fn way(mut self, way: Way) -> Self {
        self.way = way;
        self
    }

    /// Offers the private key in `file`, before all others.
    #[must_use]
    pub fn identity(mut self, file: PathBuf) -> Self {
        self.identities.push(file);
        self
    }

    /// Uses `secret` as the login's password and as the passphrase of
    /// encrypted keys; usually [`Secret::from_environment`].
    #[must_use]
    pub fn password(mut self, secret: Option<Secret>) -> Self {
        self.password = secret;
        self
    }

    /// Asks through `prompt`.
    #[must_use]
    pub fn prompt(mut self, prompt: Arc<dyn Prompt>) -> Self {
        self.prompt = prompt;
        self
    }

    /// Treats unknown host keys by `policy` instead of what `ssh` has
    /// configured (`StrictHostKeyChecking`).
    #[must_use]
    pub fn host_keys(mut self, policy: HostKeyPolicy) -> Self {
        self.host_keys = Some(policy);
        self
    }

    /// Reads and records host keys in `file` alone.
    #[must_use]
    pub fn known_hosts(mut self, file: PathBuf) -> Self {
        self.known_hosts = Some(file);
        self
    }

    /// Reads the OpenSSH client configuration in `file` instead of the user's
    /// and the system's.
    #[must_use]
    pub fn config_file(mut self, file: PathBuf) -> Self {
        self.config_file = Some(file);
        self
    }

    /// Takes `program` for the machine's own `ssh`.
    #[must_use]
    pub fn ssh_program(mut self, program: PathBuf) -> Self {
        self.program = program;
        self
    }

    /// Executes `command` where the server has no `limosa` subsystem. It is
    /// handed to the login's shell as it is.
    #[must_use]
    pub fn session_command(mut self, command: String) -> Self {
        self.command = command;
        self
    }

    /// Remembers in `memory` what worked.
    #[must_use]
    pub fn memory(mut self, memory: RemoteMemory) -> Self {
        self.memory = memory;
        self
    }

    /// Waits at most `within` for a TCP connection at each port tried.
    #[must_use]
    pub fn connect_timeout(mut self, within: Duration) -> Self {
        self.connect_timeout = within;
        self
    }
}

/// An open channel and what was learned on the way.
#[derive(Debug)]
pub struct Connected {
    /// The stream to the session program.
    pub channel: Channel,
    /// The address the TCP connection reached. `None` behind a proxy or a
    /// shared connection of the machine's own `ssh`.
    pub peer_addr: Option<SocketAddr>,
    /// The TCP port in use, where it is known.
    pub port: Option<u16>,
    /// Shortest round trip seen while connecting.
    pub rtt: Option<Duration>,
    /// What the set-up cost.
    pub setup: Setup,
    /// `SHA256:…` of the host key; the machine's own `ssh` does not tell.
    pub host_key: Option<String>,
    /// The way taken, and why.
    pub choice: Choice,
    started: watch::Receiver<Option<Remote>>,
}

/// What a connection's set-up cost, from TCP connect until the channel's first
/// bytes may leave. Time spent waiting for a person is in it.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Time.
    pub time: Duration,
    /// Round trips, counted at the socket; `None` where `ssh` owns it.
    pub round_trips: Option<u32>,
}

impl Connected {
    /// Waits until the session program has answered, and says how it was
    /// started; `None` if it never answers. Something must be reading and
    /// writing the channel meanwhile.
    pub async fn started(&mut self) -> Option<Remote> {
        let started = self.started.wait_for(Option::is_some).await;
        started.ok().and_then(|remote| *remote)
    }
}

/// A login that succeeded, by either way.
struct LoggedIn {
    line: Box<dyn Line>,
    peer_addr: Option<SocketAddr>,
    port: Option<u16>,
    rtt: Option<Duration>,
    setup: Setup,
    host_key: Option<String>,
}

/// Everything that decides a connection: the request, the configuration in
/// force, and the files it names, read once.
struct Plan {
    request: Request,
    config: EffectiveConfig,
    host: String,
    user: String,
    ports: Vec<u16>,
    name: HostName,
    known: KnownHosts,
    known_files: Vec<PathBuf>,
    policy: HostKeyPolicy,
}

/// Connects, logs in and asks for the session program.
///
/// # Errors
/// Everything up to the login: see [`SshError`]. That no session program could
/// be started shows when the channel is read.
pub async fn connect(request: Request) -> Result<Connected, SshError> {
    let plan = Plan::make(request).await?;
    let choice = plan.choice();
    tracing::debug!(%choice, host = plan.host, ports = ?plan.ports, "connecting");
    let logged_in = match choice {
        Choice::Builtin => builtin::log_in(&plan).await?,
        Choice::System(_) => system::log_in(&plan).await?,
    };
    Ok(plan.open(logged_in, choice))
}

impl Plan {
    async fn make(request: Request) -> Result<Self, SshError> {
        let config = effective_config(&request).await?;
        let host = config.get("hostname").unwrap_or(request.target.host()).to_owned();
        // What the configuration says goes the way of what the user says.
        let host = host
            .parse::<Target>()
            .map_err(|error| SshError::Configuration(format!("HostName: {error}")))?
            .host()
            .to_owned();
        let user = request.target.user().or_else(|| config.get("user"));
        let told = || std::env::var("USER").ok().filter(|name| !name.is_empty());
        let user = user.map(str::to_owned).or_else(told);
        let user = user.or_else(|| SystemLogin::current().ok().map(|login| login.name));
        let user = user.ok_or_else(|| SshError::Configuration("no login name; give user@host".into()))?;
        let ports = ports(&request, &config)?;
        let port = *ports.first().unwrap_or(&DEFAULT_PORT);
        let name = config.get("hostkeyalias").map(HostName::alias);
        let name = name.unwrap_or_else(|| HostName::new(&host, port));
        let known_files = known_hosts_files(&request, &config);
        let known = KnownHosts::load(&known_files)?;
        let policy = request.host_keys.unwrap_or_else(|| configured_policy(&config));
        Ok(Self { request, config, host, user, ports, name, known, known_files, policy })
    }

    fn choice(&self) -> Choice {
        match self.request.way {
            Way::Builtin => Choice::Builtin,
            Way::System => Choice::System("asked for".into()),
            Way::Auto => auto::choose(&self.config, &self.known, &self.name),
        }
    }

    /// The name of the host in `known_hosts` when reached at `port`.
    fn name_at(&self, port: u16) -> HostName {
        if self.config.get("hostkeyalias").is_some() {
            return self.name.clone();
        }
        HostName::new(&self.host, port)
    }

    fn open(self, logged_in: LoggedIn, choice: Choice) -> Connected {
        let LoggedIn { line, peer_addr, port, rtt, setup, host_key } = logged_in;
        let memory = self.request.memory;
        let remembered = port.and_then(|port| memory.remote(&self.host, port));
        let (works, started) = watch::channel(None);
        let host = self.host;
        let remembering = port.map(|port| Remembering { memory, host, port });
        let first = remembered.unwrap_or(Remote::Subsystem);
        let courier = Courier::new(line, first, remembering, works);
        let (channel, feed) = channel::pair();
        tokio::spawn(courier.run(feed));
        Connected { channel, peer_addr, port, rtt, setup, host_key, choice, started }
    }
}

async fn effective_config(request: &Request) -> Result<EffectiveConfig, SshError> {
    let file = request.config_file.as_deref();
    if let Some(config) = EffectiveConfig::ask(&request.program, file, &request.target).await? {
        return Ok(config);
    }
    let of_user = || std::env::home_dir().unwrap_or_default().join(".ssh/config");
    let file = request.config_file.clone().unwrap_or_else(of_user);
    EffectiveConfig::read_plain(&file, &request.target)
}

/// The ports to try, in order. `ssh` says 22 also where nothing is configured,
/// so 22 is no decision of the user's.
fn ports(request: &Request, config: &EffectiveConfig) -> Result<Vec<u16>, SshError> {
    if let Some(port) = request.target.port() {
        return Ok(vec![port]);
    }
    let configured = config.get("port").unwrap_or("22").parse::<u16>();
    let configured = configured.map_err(|error| SshError::Configuration(format!("Port: {error}")))?;
    if configured != 22 {
        return Ok(vec![configured]);
    }
    let host = config.get("hostname").unwrap_or(request.target.host());
    let mut ports = vec![DEFAULT_PORT, 22];
    if request.memory.port(host) == Some(22) {
        ports.reverse();
    }
    Ok(ports)
}

fn known_hosts_files(request: &Request, config: &EffectiveConfig) -> Vec<PathBuf> {
    if let Some(file) = &request.known_hosts {
        return vec![file.clone()];
    }
    let mut files = config.paths("userknownhostsfile");
    if files.is_empty() {
        files.push(config.expand("~/.ssh/known_hosts"));
    }
    let global = config.paths("globalknownhostsfile");
    if global.is_empty() {
        files.push("/etc/ssh/ssh_known_hosts".into());
    }
    files.extend(global);
    files
}

/// The policy by `StrictHostKeyChecking`. Its `no` (also `off`) would let a
/// changed key pass; here it accepts new keys and no more.
fn configured_policy(config: &EffectiveConfig) -> HostKeyPolicy {
    match config.get("stricthostkeychecking") {
        Some("yes" | "true") => HostKeyPolicy::Strict,
        Some("accept-new" | "no" | "off" | "false") => HostKeyPolicy::AcceptNew,
        _ => HostKeyPolicy::Ask,
    }
}

/// Runs a question to a person off the async threads.
async fn ask<T: Send + 'static>(
    prompt: &Arc<dyn Prompt>,
    question: impl FnOnce(&dyn Prompt) -> T + Send + 'static,
) -> Option<T> {
    let prompt = Arc::clone(prompt);
    tokio::task::spawn_blocking(move || question(prompt.as_ref())).await.ok()
}

/// Time since `start`, as the cost of a set-up.
fn setup_since(start: Instant, round_trips: Option<u32>) -> Setup {
    Setup { time: start.elapsed(), round_trips }
}
