//! The server on top of russh; the only place of the server that names it.

use super::gate::{Gate, Place};
use super::{Backend, Connection, Identity, Method, OfferedKey, ServerKey, Session, Settings};
use crate::channel::{self, Closing, End, Feed};
use crate::{SUBSYSTEM, Secret, SshError, algorithms};
use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, HashAlg, PrivateKey, PublicKey};
use russh::server::{
    Auth, ChannelOpenHandle, Config, Handle, Handler, Msg, PublicKeyOffer, Session as RusshSession, VerifiedPublicKey,
    run_stream,
};
use russh::{
    ChannelId, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Disconnect, MethodKind, MethodSet, Preferred, Pty, SshId,
    cipher, compression, kex, mac,
};
use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How long a client may take to close after its session has ended.
const CLOSING_TIME: Duration = Duration::from_secs(2);

/// Pause after the system could not hand out a connection, mostly for want of
/// file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An SSH server that is ready to run.
pub struct Server<B> {
    config: Arc<Config>,
    settings: Arc<Settings>,
    backend: Arc<B>,
    gate: Gate,
    stop: watch::Sender<bool>,
}

/// Stops a [`Server`] from outside.
#[derive(Clone, Debug)]
pub struct ServerHandle(watch::Sender<bool>);

impl ServerHandle {
    /// Accepts no more connections and closes those there are.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl<B: Backend> Server<B> {
    /// A server with `key` that leaves every decision to `backend`.
    #[must_use]
    pub fn new(key: &ServerKey, settings: Settings, backend: B) -> Self {
        let limits = &settings.limits;
        Self {
            config: Arc::new(config(&key.0, &settings)),
            gate: Gate::new(limits.max_unauthenticated, limits.max_unauthenticated_per_peer),
            settings: Arc::new(settings),
            backend: Arc::new(backend),
            stop: watch::Sender::new(false),
        }
    }

    /// A handle that stops this server.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        ServerHandle(self.stop.clone())
    }

    /// Serves the connections of `listener` until stopped.
    ///
    /// # Errors
    /// Never for a single connection; if the listener itself is of no use.
    pub async fn serve(self, listener: TcpListener) -> io::Result<()> {
        let mut stop = self.stop.subscribe();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
            };
            match accepted {
                Ok((stream, peer)) => self.accept(stream, peer),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "no connection can be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn accept(&self, stream: TcpStream, peer: SocketAddr) {
        let Some(place) = self.gate.enter(peer.ip()) else {
            tracing::warn!(%peer, "too many connections that have not logged in: refused");
            return;
        };
        let guest = Guest::new(self.backend.connected(peer), peer, &self.settings);
        let progress = guest.progress.subscribe();
        let connection = Served {
            config: Arc::clone(&self.config),
            settings: Arc::clone(&self.settings),
            stop: self.stop.subscribe(),
            peer,
        };
        tokio::spawn(connection.run(stream, guest, progress, place));
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

/// What the server wants to know of a connection while it runs.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    logged_in: bool,
    sessions: usize,
}

/// One connection being served.
struct Served {
    config: Arc<Config>,
    settings: Arc<Settings>,
    stop: watch::Receiver<bool>,
    peer: SocketAddr,
}

impl Served {
    async fn run<C: Connection>(
        mut self,
        stream: TcpStream,
        guest: Guest<C>,
        mut progress: watch::Receiver<Progress>,
        place: Place,
    ) {
        let _ = stream.set_nodelay(true);
        let login_time = self.settings.limits.login_time;
        let deadline = tokio::time::Instant::now() + login_time;
        let start = run_stream(Arc::clone(&self.config), stream, guest);
        let Ok(Ok(mut session)) = tokio::time::timeout_at(deadline, start).await else {
            tracing::debug!(peer = %self.peer, "no SSH client");
            return;
        };
        let handle = session.handle();
        let overseen = async {
            let logged_in = progress.wait_for(|progress| progress.logged_in);
            if tokio::time::timeout_at(deadline, logged_in).await.is_err() {
                return "no login in time";
            }
            drop(place);
            tokio::select! {
                () = idle(&mut progress, self.settings.limits.idle_time) => "no session",
                _ = self.stop.wait_for(|stop| *stop) => "the server stops",
            }
        };
        tokio::select! {
            result = &mut session => {
                if let Err(error) = result {
                    tracing::debug!(peer = %self.peer, %error, "connection ended");
                }
            }
            reason = overseen => {
                tracing::info!(peer = %self.peer, reason, "connection closed");
                let bye = handle.disconnect(Disconnect::ByApplication, reason.into(), "en".into());
                let _ = tokio::time::timeout(CLOSING_TIME, bye).await;
                let _ = tokio::time::timeout(CLOSING_TIME, session).await;
            }
        }
    }
}

/// Returns once there was no session for `time`.
async fn idle(progress: &mut watch::Receiver<Progress>, time: Duration) {
    loop {
        if progress.wait_for(|progress| progress.sessions == 0).await.is_err() {
            return std::future::pending().await;
        }
        let busy = progress.wait_for(|progress| progress.sessions > 0);
        if tokio::time::timeout(time, busy).await.is_err() {
            return;
        }
    }
}

/// The client of one connection: what russh calls on its behalf.
struct Guest<C> {
    connection: C,
    peer: SocketAddr,
    settings: Arc<Settings>,
    login: Option<(Identity, Method)>,
    offers: usize,
    waiting: HashMap<ChannelId, russh::Channel<Msg>>,
    progress: watch::Sender<Progress>,
}

impl<C: Connection> Guest<C> {
    fn new(connection: C, peer: SocketAddr, settings: &Arc<Settings>) -> Self {
        Self {
            connection,
            peer,
            settings: Arc::clone(settings),
            login: None,
            offers: 0,
            waiting: HashMap::new(),
            progress: watch::Sender::new(Progress::default()),
        }
    }

    fn decide(&mut self, identity: Option<Identity>, method: Method) -> Auth {
        match identity {
            Some(identity) => {
                tracing::info!(peer = %self.peer, identity = identity.name(), ?method, "logged in");
                self.login = Some((identity, method));
                Auth::Accept
            }
            None => Auth::reject(),
        }
    }

    /// Channels open or about to be.
    fn channels(&self) -> usize {
        self.waiting.len() + self.progress.borrow().sessions
    }

    fn start_session(&mut self, channel: russh::Channel<Msg>, handle: Handle) -> bool {
        let Some((identity, method)) = self.login.clone() else {
            return false;
        };
        let (ours, feed) = channel::pair();
        let running = Running::new(self.progress.clone());
        tokio::spawn(serve_session(channel, feed, handle, running));
        self.connection.session(Session { identity, method, peer: self.peer, channel: ours });
        true
    }
}

/// Counts a session for as long as it runs.
struct Running(watch::Sender<Progress>);

impl Running {
    fn new(progress: watch::Sender<Progress>) -> Self {
        progress.send_modify(|progress| progress.sessions += 1);
        Self(progress)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|progress| progress.sessions -= 1);
    }
}

fn offered(key: &PublicKey) -> Option<OfferedKey> {
    Some(OfferedKey {
        key_type: key.algorithm().as_str().to_owned(),
        blob: key.to_bytes().ok()?,
        fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
    })
}

/// Answers a channel request with no.
fn refuse(session: &mut RusshSession, channel: ChannelId, what: &'static str) -> Result<(), russh::Error> {
    tracing::debug!(what, "refused");
    session.channel_failure(channel)
}

impl<C: Connection> Handler for Guest<C> {
    type Error = russh::Error;

    async fn authentication_banner(&mut self) -> Result<Option<String>, Self::Error> {
        Ok(self.settings.banner.clone().map(|text| text.trim_end().to_owned() + "\r\n"))
    }

    async fn auth_publickey_offered(&mut self, user: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, Self::Error> {
        // The library does not count offers without a signature as attempts.
        self.offers += 1;
        if self.offers > 4 * self.settings.limits.max_attempts {
            return Err(russh::Error::NoAuthMethod);
        }
        let Some(key) = signable(offer.algorithm).then(|| offered(offer.public_key)).flatten() else {
            return Ok(Auth::reject());
        };
        let acceptable = self.connection.key_offered(user, &key).await;
        Ok(if acceptable { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        let Some(key) = signable(key.algorithm).then(|| offered(key.public_key)).flatten() else {
            return Ok(Auth::reject());
        };
        let identity = self.connection.key_proved(user, &key).await;
        Ok(self.decide(identity, Method::PublicKey(key.fingerprint)))
    }

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Self::Error> {
        if !self.settings.passwords || password.is_empty() {
            return Ok(Auth::reject());
        }
        let password = Secret::new(password.to_owned());
        let identity = self.connection.password(user, &password).await;
        Ok(self.decide(identity, Method::Password))
    }

    async fn auth_succeeded(&mut self, _session: &mut RusshSession) -> Result<(), Self::Error> {
        self.progress.send_modify(|progress| progress.logged_in = true);
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: russh::Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut RusshSession,
    ) -> Result<(), Self::Error> {
        if self.channels() < self.settings.limits.max_sessions {
            self.waiting.insert(channel.id(), channel);
            reply.accept().await;
        } else {
            reply.reject(russh::ChannelOpenFailure::ResourceShortage).await;
        }
        Ok(())
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        session: &mut RusshSession,
    ) -> Result<(), Self::Error> {
        let waiting = if name == SUBSYSTEM { self.waiting.remove(&channel) } else { None };
        let started = match waiting {
            Some(waiting) => self.start_session(waiting, session.handle()),
            None => false,
        };
        if started { session.channel_success(channel) } else { refuse(session, channel, "subsystem") }
    }

    async fn channel_close(&mut self, channel: ChannelId, _session: &mut RusshSession) -> Result<(), Self::Error> {
        self.waiting.remove(&channel);
        Ok(())
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut RusshSession) -> Result<(), Self::Error> {
        refuse(session, channel, "shell")
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        _command: &[u8],
        session: &mut RusshSession,
    ) -> Result<(), Self::Error> {
        refuse(session, channel, "exec")
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        _name: &str,
        _value: &str,
        session: &mut RusshSession,
    ) -> Result<(), Self::Error> {
        refuse(session, channel, "env")
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _term: &str,
        _columns: u32,
        _rows: u32,
        _width: u32,
        _height: u32,
        _modes: &[(Pty, u32)],
        session: &mut RusshSession,
    ) -> Result<(), Self::Error> {
        refuse(session, channel, "pty")
    }

    async fn x11_request(
        &mut self,
        channel: ChannelId,
        _single: bool,
        _protocol: &str,
        _cookie: &str,
        _screen: u32,
        session: &mut RusshSession,
    ) -> Result<(), Self::Error> {
        refuse(session, channel, "x11")
    }

    async fn agent_request(&mut self, channel: ChannelId, session: &mut RusshSession) -> Result<bool, Self::Error> {
        refuse(session, channel, "agent")?;
        Ok(false)
    }

    // Forwarding, tunnels and channels of other types: the library refuses
    // them unless asked to do otherwise.
}

/// Whether `algorithm` is one of ours; SHA-1 signatures are not.
fn signable(algorithm: &Algorithm) -> bool {
    algorithms::SIGNATURE.contains(&algorithm.as_str())
}

/// Carries a session's bytes until one side ends it.
async fn serve_session(channel: russh::Channel<Msg>, feed: Feed, handle: Handle, _running: Running) {
    let id = channel.id();
    let (read, write) = channel.split();
    let Feed { stream, mut closing } = feed;
    let (mut from_backend, mut to_backend) = tokio::io::split(stream);
    let end = tokio::select! {
        end = receive(read, &mut to_backend) => end,
        () = send(&mut from_backend, &write, &mut closing) => {
            End::Closed { status: None, stderr: String::new() }
        }
    };
    closing.finish(end);
    let _ = handle.exit_status_request(id, 0).await;
    let _ = write.close().await;
}

/// Hands what the client sends to the backend until the channel ends.
async fn receive(mut read: ChannelReadHalf, to_backend: &mut WriteHalf<DuplexStream>) -> End {
    loop {
        match read.wait().await {
            Some(ChannelMsg::Data { data }) => {
                let _ = to_backend.write_all(&data).await;
            }
            Some(ChannelMsg::Eof) => {
                let _ = to_backend.shutdown().await;
            }
            Some(ChannelMsg::Close) => {
                return End::Closed { status: None, stderr: String::new() };
            }
            Some(_) => {}
            None => {
                let reason = "the client's connection was lost".into();
                return End::Broken(Arc::new(SshError::Broken { reason }));
            }
        }
    }
}

/// Sends what the backend writes; returns once the backend has dropped its
/// channel and the client had time to close its side.
async fn send(from_backend: &mut ReadHalf<DuplexStream>, write: &ChannelWriteHalf<Msg>, closing: &mut Closing) {
    let mut buffer = vec![0; 32 * 1024];
    while let Ok(length @ 1..) = from_backend.read(&mut buffer).await {
        let bytes = buffer.get(..length).unwrap_or_default();
        if write.data(bytes).await.is_err() {
            break;
        }
    }
    let _ = write.eof().await;
    closing.dropped().await;
}

// --- configuration and keys

fn config(key: &PrivateKey, settings: &Settings) -> Config {
    let limits = &settings.limits;
    let mut methods = vec![MethodKind::PublicKey];
    if settings.passwords {
        methods.push(MethodKind::Password);
    }
    Config {
        server_id: SshId::Standard(Cow::Borrowed(concat!("SSH-2.0-Limosa_", env!("CARGO_PKG_VERSION")))),
        methods: MethodSet::from(methods.as_slice()),
        auth_rejection_time: limits.rejection_time,
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: vec![key.clone()],
        preferred: preferred(),
        max_auth_attempts: limits.max_attempts,
        inactivity_timeout: Some(limits.keepalive * 5),
        keepalive_interval: Some(limits.keepalive),
        keepalive_max: 3,
        nodelay: true,
        ..Config::default()
    }
}

fn preferred() -> Preferred {
    fn names<T: Clone>(list: &[&str], parse: impl Fn(&str) -> Option<T>) -> Cow<'static, [T]> {
        Cow::Owned(list.iter().filter_map(|name| parse(name)).collect())
    }
    Preferred {
        kex: names(algorithms::KEY_EXCHANGE, key_exchange),
        key: names(algorithms::SIGNATURE, |name| Algorithm::new(name).ok()),
        host_key_certificates: Cow::Borrowed(&[]),
        cipher: names(algorithms::CIPHER, |name| cipher::Name::try_from(name).ok()),
        mac: names(algorithms::MAC, |name| mac::Name::try_from(name).ok()),
        compression: Cow::Borrowed(&[compression::NONE]),
    }
}

/// Four names stand for no algorithm, and the library finds those apart.
fn key_exchange(name: &str) -> Option<kex::Name> {
    let extensions = [
        kex::EXTENSION_SUPPORT_AS_CLIENT,
        kex::EXTENSION_SUPPORT_AS_SERVER,
        kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
        kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
    ];
    let extension = extensions.into_iter().find(|known| known.as_ref() == name);
    extension.or_else(|| kex::Name::try_from(name).ok())
}

/// The key as the library has it; wiped when dropped.
pub(super) type PrivateHostKey = PrivateKey;

pub(super) fn generate() -> Result<PrivateHostKey, String> {
    let mut random = russh::keys::key::safe_rng();
    PrivateKey::random(&mut random, Algorithm::Ed25519).map_err(|error| error.to_string())
}

pub(super) fn decode(text: &str) -> Result<PrivateHostKey, String> {
    russh::keys::decode_secret_key(text, None).map_err(|error| error.to_string())
}

pub(super) fn encode(key: &PrivateHostKey) -> Result<zeroize::Zeroizing<String>, String> {
    key.to_openssh(LineEnding::LF).map_err(|error| error.to_string())
}

pub(super) fn fingerprint(key: &PrivateHostKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

pub(super) fn public_line(key: &PrivateHostKey) -> String {
    let mut public = key.public_key().clone();
    public.set_comment("");
    public.to_openssh().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_is_known_to_the_library() {
        let preferred = preferred();
        assert_eq!(preferred.kex.len(), algorithms::KEY_EXCHANGE.len());
        assert_eq!(preferred.key.len(), algorithms::SIGNATURE.len());
        assert_eq!(preferred.cipher.len(), algorithms::CIPHER.len());
        assert_eq!(preferred.mac.len(), algorithms::MAC.len());
    }
}
