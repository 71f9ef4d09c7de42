//! `limosad serve`: the transfer server as a whole.
//!
//! [`Server::start`] opens everything that can fail to open; [`Server::run`]
//! answers the SSH front and runs sessions until it is told to stop.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use limosa_policy::FipsMode;
use limosa_policy::Settings;
use limosa_seal::module::Module;
use limosa_session::setup::SOFTWARE;
use limosa_session::{ServerPorts, SharedUdp};
use limosa_ssh::front::{Incoming, IncomingSession, Incomings, accept};
use limosa_ssh::server::ServerKey;
use socket2::{Domain, Protocol, Socket, Type};

use crate::admit::Surroundings;
use crate::audit::{AuditLog, Event};
use crate::authenticate::Authenticator;
use crate::broker::{Broker, LentUdp};
use crate::config::{Configuration, Listen};
use crate::error::NodeError;
use crate::front::{FrontKeeper, FrontPlan, FrontProgram, Orders, PrivateSocket, front_user};
use crate::host::{Guest, Host};
use crate::master_keys::{KeySources, Trust};
use crate::sessions::SessionRegistry;
use crate::state::{ServerLock, StateDirectory};
use crate::users::UserStore;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 128;

/// How long a session may take to end when a newer one takes over.
pub(crate) const TAKEOVER_TIME: Duration = Duration::from_secs(20);

/// What a server is started with.
#[derive(Debug)]
pub struct ServeOptions {
    /// The configuration.
    pub config: Configuration,
    /// The state directory.
    pub state: StateDirectory,
    /// The program that is the SSH front.
    pub front: FrontProgram,
    /// Umask of the process.
    pub umask: u32,
}

/// A server, ready to run.
#[derive(Debug)]
pub struct Server {
    config: Arc<Configuration>,
    users: UserStore,
    audit: AuditLog,
    udp: Option<SharedUdp>,
    broker: Option<Broker>,
    front: Option<EmbeddedFront>,
    _lock: ServerLock,
}

/// The embedded SSH server, seen from the main process.
#[derive(Debug)]
struct EmbeddedFront {
    keeper: FrontKeeper,
    incomings: Incomings,
    address: SocketAddr,
    key: ServerKey,
    authenticator: Arc<Authenticator>,
    host: Host,
    _socket: PrivateSocket,
}

impl Server {
    /// Takes the state, opens the ports and starts the SSH front. Needs a
    /// tokio runtime.
    ///
    /// # Errors
    /// [`NodeError`], with what to do.
    pub fn start(options: ServeOptions) -> Result<Self, NodeError> {
        let ServeOptions { config, state, front, umask } = options;
        if !config.ssh.enabled.value && config.broker.enabled.value == Some(false) {
            let nothing = "there is nothing to serve: `enabled` is false in both [ssh] and [broker]";
            return Err(NodeError::Given(nothing.into()));
        }
        config.algorithms(Module::running())?;
        if config.ssh.enabled.value && config.settings_of_all().fips.value != FipsMode::Off {
            return Err(NodeError::FrontInFipsMode);
        }
        let lock = state.lock_for_serving()?;
        let users = UserStore::new(state.clone());
        users.all()?;
        let audit = audit_log(&config, &state)?;
        let embedded = config.ssh.enabled.value;
        // Without sessions in this process it is opened when it is lent.
        let udp = embedded.then(|| open_udp(config.udp.listen.value)).transpose()?;
        let front = match &udp {
            Some(udp) => Some(EmbeddedFront::start(&config, &state, front, &users, host(&config, &audit, udp, umask))?),
            None => None,
        };
        let broker = start_broker(&config, udp.as_ref(), &audit)?;
        audit.write(&Event::ServerStart { software: SOFTWARE, pid: std::process::id() });
        Ok(Self { config: Arc::new(config), users, audit, udp, broker, front, _lock: lock })
    }

    /// Where SSH is served, if it is here.
    #[must_use]
    pub fn ssh_address(&self) -> Option<SocketAddr> {
        self.front.as_ref().map(|front| front.address)
    }

    /// Where datagrams are received, if the port is open all the time.
    #[must_use]
    pub fn udp_address(&self) -> Option<SocketAddr> {
        self.udp.as_ref().map(SharedUdp::local_addr)
    }

    /// Where session programs of this machine borrow the port, if they may.
    #[must_use]
    pub fn broker_socket(&self) -> Option<&Path> {
        self.broker.as_ref().map(Broker::path)
    }

    /// The host key of the embedded SSH server.
    #[must_use]
    pub fn host_key(&self) -> Option<&ServerKey> {
        self.front.as_ref().map(|front| &front.key)
    }

    /// What an administrator can do about socket buffers that are too small.
    #[must_use]
    pub fn buffer_advice(&self) -> Option<String> {
        self.udp.as_ref().and_then(SharedUdp::advice)
    }

    /// The users of this server.
    #[must_use]
    pub fn users(&self) -> &UserStore {
        &self.users
    }

    /// Serves until `stop` resolves, then ends in order: running sessions are
    /// cancelled with what it takes to continue them.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                incoming = next_incoming(self.front.as_mut()) => match incoming {
                    Some(incoming) => self.take(incoming),
                    None => {
                        tracing::error!("the SSH front's socket is of no more use");
                        break;
                    }
                }
            }
        }
        self.end().await;
    }

    fn take(&self, incoming: Incoming) {
        let Some(front) = &self.front else { return };
        match incoming {
            Incoming::Login(request) => drop(tokio::spawn(Arc::clone(&front.authenticator).judge(request))),
            Incoming::Session(session) => match self.guest(&front.authenticator, &session) {
                Some(guest) => {
                    let host = front.host.clone();
                    tokio::spawn(async move { host.serve(guest, session.channel).await });
                }
                None => tracing::warn!(user = session.identity.name(), "a session of nobody who may was dropped"),
            },
        }
    }

    fn guest(&self, authenticator: &Authenticator, session: &IncomingSession) -> Option<Guest> {
        let identity = authenticator.identity(session.identity.name(), &session.method)?;
        let settings = self.settings_of(identity.user())?;
        Some(Guest { identity, settings, home: None, peer: Some(session.peer), reached: None })
    }

    fn settings_of(&self, user: &limosa_policy::UserName) -> Option<Settings> {
        let record = self.users.record(user).inspect_err(|error| tracing::error!(%error, "users")).ok()??;
        Some(self.config.settings(user, &record.settings))
    }

    async fn end(mut self) {
        if let Some(sessions) = self.front.as_ref().map(|front| front.host.sessions.clone()) {
            self.end_sessions(&sessions).await;
        }
        if let Some(front) = self.front.take() {
            front.keeper.stop().await;
        }
        self.audit.write(&Event::ServerStop { pid: std::process::id() });
    }

    async fn end_sessions(&mut self, sessions: &SessionRegistry) {
        let patience = Duration::from_secs(self.config.sessions.stop_time.value);
        tracing::info!(running = sessions.count(), "stopping: no new sessions, running ones are ended");
        let stopped = sessions.stop(patience);
        tokio::pin!(stopped);
        // Logins are still answered: their sessions are told why they end.
        let all_ended = loop {
            tokio::select! {
                all_ended = &mut stopped => break all_ended,
                Some(incoming) = next_incoming(self.front.as_mut()) => self.take(incoming),
            }
        };
        if !all_ended {
            tracing::warn!(left = sessions.count(), "some sessions did not end in time");
        }
    }
}

/// What the front brings next; never anything where there is none.
async fn next_incoming(front: Option<&mut EmbeddedFront>) -> Option<Incoming> {
    match front {
        Some(front) => front.incomings.next().await,
        None => std::future::pending().await,
    }
}

impl EmbeddedFront {
    fn start(
        config: &Configuration,
        state: &StateDirectory,
        program: FrontProgram,
        users: &UserStore,
        host: Host,
    ) -> Result<Self, NodeError> {
        let key = ServerKey::load_or_generate(&state.host_key())?;
        let listener = listen_tcp(config.ssh.listen.value)?;
        let start = NodeError::start("the SSH front");
        let address = match listener.local_addr() {
            Ok(address) => address,
            Err(error) => return Err(start(error)),
        };
        let user = front_user(config.ssh.front_user.value);
        let (socket, front_listener) = PrivateSocket::bind(user).map_err(NodeError::start("the SSH front's socket"))?;
        let me = rustix::process::geteuid().as_raw();
        let incomings = accept(front_listener, vec![user.unwrap_or(me)]);
        let orders = orders(config, socket.path(), state.host_key());
        let keeper = FrontKeeper::start(FrontPlan { program, orders, listener, user }).map_err(start)?;
        let authenticator = Arc::new(Authenticator::new(
            users.clone(),
            config.algorithms(Module::running())?.password(),
            config.ssh.passwords.value,
            config.ssh.max_failures_per_address.value,
            host.audit.clone(),
        ));
        Ok(Self { keeper, incomings, address, key, authenticator, host, _socket: socket })
    }
}

/// What all sessions of this process share.
fn host(config: &Configuration, audit: &AuditLog, udp: &SharedUdp, umask: u32) -> Host {
    Host {
        sessions: SessionRegistry::new(config.sessions.max.value, TAKEOVER_TIME),
        audit: audit.clone(),
        ports: ServerPorts::Shared(udp.clone()),
        surroundings: Surroundings {
            umask,
            public_address: config.udp.public_address.value,
            master_keys: KeySources::of(config, Trust::Administered),
        },
    }
}

fn start_broker(
    config: &Configuration,
    udp: Option<&SharedUdp>,
    audit: &AuditLog,
) -> Result<Option<Broker>, NodeError> {
    if !config.broker.enabled.value.unwrap_or(!config.ssh.enabled.value) {
        return Ok(None);
    }
    let udp = udp.map_or_else(|| LentUdp::on_demand(config.udp.listen.value), |udp| LentUdp::Open(udp.clone()));
    Broker::start(&config.broker.socket.value, udp, config.sessions.max.value, audit.clone()).map(Some)
}

fn orders(config: &Configuration, main: PathBuf, host_key: PathBuf) -> Orders {
    let ssh = &config.ssh;
    Orders {
        main,
        host_key,
        passwords: ssh.passwords.value,
        banner: ssh.banner.value.clone(),
        max_attempts: ssh.max_attempts.value,
        max_unauthenticated: ssh.max_unauthenticated.value,
        max_unauthenticated_per_address: ssh.max_unauthenticated_per_address.value,
        login_seconds: ssh.login_time.value,
    }
}

/// The audit log of `config`, checked to be writable.
pub(crate) fn audit_log(config: &Configuration, state: &StateDirectory) -> Result<AuditLog, NodeError> {
    let path = config.audit.file.value.clone().unwrap_or_else(|| state.audit());
    let log = AuditLog::new(config.audit.enabled.value.then(|| path.clone()));
    log.check().map_err(NodeError::state("write the audit log", &path))?;
    Ok(log)
}

pub(crate) fn open_udp(listen: Listen) -> Result<SharedUdp, NodeError> {
    first_that_binds(listen, SharedUdp::open).map_err(|source| NodeError::Listen {
        what: "UDP",
        at: listen.to_string(),
        flag: "--udp-port",
        source,
    })
}

fn listen_tcp(listen: Listen) -> Result<TcpListener, NodeError> {
    first_that_binds(listen, bind_tcp).map_err(|source| NodeError::Listen {
        what: "TCP",
        at: listen.to_string(),
        flag: "--listen",
        source,
    })
}

/// Binds the first address that can be; a port that is taken is taken.
fn first_that_binds<T>(listen: Listen, bind: impl Fn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    let mut refusal = None;
    for address in listen.candidates() {
        match bind(address) {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => refusal = Some(error),
            bound => return bound,
        }
    }
    Err(refusal.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()))
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
