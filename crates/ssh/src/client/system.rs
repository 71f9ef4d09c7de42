//! The way through the machine's own `ssh`, as a child process: everything its
//! user has configured holds, down to jump hosts and security keys.
//!
//! The child's standard input and output are the channel. Its standard error
//! tells when the login has succeeded and what went wrong. It asks its user on
//! the terminal itself; without a terminal it runs in batch mode.

use super::hold::Hold;
use super::line::{BoxFuture, CANNOT_RUN, Event, Line, Output, Started, Tail};
use super::{HostKeyPolicy, LoggedIn, Plan, Remote, setup_since};
use crate::{Distrust, HostKeyProblem, SUBSYSTEM, SshError};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWrite, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;

/// Exit status of `ssh` for errors of its own.
const SSH_FAILED: i32 = 255;

/// How long a child may take to end after its input was closed.
const ENDING_TIME: Duration = Duration::from_secs(2);

/// Starts `ssh` and waits until it has logged in.
pub(super) async fn log_in(plan: &Plan) -> Result<LoggedIn, SshError> {
    let start = Instant::now();
    let mut last = SshError::Protocol("no port to connect to".into());
    for port in candidate_ports(plan) {
        match attempt(plan, port, start).await {
            Err(error @ (SshError::Refused { .. } | SshError::Timeout { .. })) => last = error,
            result => return result,
        }
    }
    Err(last)
}

/// The ports to name on the command line; `None` leaves it to the user's
/// configuration, which alone can know behind a proxy.
fn candidate_ports(plan: &Plan) -> Vec<Option<u16>> {
    let proxied = plan.config.get("proxycommand").is_some() || plan.config.get("proxyjump").is_some();
    if proxied && plan.request.target.port().is_none() {
        return vec![None];
    }
    plan.ports.iter().copied().map(Some).collect()
}

async fn attempt(plan: &Plan, port: Option<u16>, start: Instant) -> Result<LoggedIn, SshError> {
    let shared = has_shared_connection(plan, port).await;
    let recipe = Recipe::new(plan, port);
    let memory = &plan.request.memory;
    let remembered = port.and_then(|port| memory.remote(&plan.host, port));
    let remote = remembered.unwrap_or(Remote::Subsystem);
    let mut running = recipe.spawn(remote)?;
    if !shared {
        running.logged_in(plan, port).await?;
    }
    let peer_addr = running.said.peer();
    Ok(LoggedIn {
        line: Box::new(SystemLine { recipe, ready: Some((remote, running)) }),
        peer_addr,
        port: peer_addr.map(|address| address.port()).or(port),
        rtt: None,
        setup: setup_since(start, None),
        host_key: None,
    })
}

/// Whether the user's `ssh` has a connection to share (ControlMaster), over
/// which nothing is said of a login.
async fn has_shared_connection(plan: &Plan, port: Option<u16>) -> bool {
    if plan.config.get("controlpath").is_none() || plan.request.only.is_some() {
        return false;
    }
    let mut command = Recipe::new(plan, port).base();
    command.args(["-O", "check", "--", plan.request.target.host()]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().await.is_ok_and(|status| status.success())
}

/// How to run `ssh` for this connection.
struct Recipe {
    program: std::path::PathBuf,
    options: Vec<std::ffi::OsString>,
    host: String,
    command: String,
}

impl Recipe {
    fn new(plan: &Plan, port: Option<u16>) -> Self {
        let request = &plan.request;
        let mut recipe = Self {
            program: request.program.clone(),
            options: Vec::new(),
            host: request.target.host().to_owned(),
            command: request.command.clone(),
        };
        if let Some(file) = &request.config_file {
            recipe.pair("-F", file);
        }
        if let Some(port) = port {
            recipe.pair("-p", port.to_string());
        }
        if let Some(user) = request.target.user() {
            recipe.pair("-l", user);
        }
        for file in &request.identities {
            recipe.pair("-i", file);
        }
        recipe.host_keys(plan);
        if let Some(profile) = request.only {
            for option in Hold::new(profile, plan, port).options() {
                recipe.option(&option);
            }
        }
        // Only a byte stream is wanted, and word of the login.
        for option in [
            "ClearAllForwardings=yes",
            "ForwardAgent=no",
            "ForwardX11=no",
            "PermitLocalCommand=no",
            "RequestTTY=no",
            "RemoteCommand=none",
            "StdinNull=no",
            "ForkAfterAuthentication=no",
            "EscapeChar=none",
            "LogLevel=VERBOSE",
            "ServerAliveInterval=15",
            "ServerAliveCountMax=4",
        ] {
            recipe.option(option);
        }
        recipe.option(&format!("ConnectTimeout={}", request.connect_timeout.as_secs().max(1)));
        if !request.prompt.is_interactive() {
            recipe.option("BatchMode=yes");
        }
        recipe
    }

    fn host_keys(&mut self, plan: &Plan) {
        if let Some(file) = &plan.request.known_hosts {
            self.option(&format!("UserKnownHostsFile=\"{}\"", file.display()));
            self.option("GlobalKnownHostsFile=none");
        }
        // `no` of the configuration would let a changed key pass.
        self.option(match plan.policy {
            HostKeyPolicy::Strict => "StrictHostKeyChecking=yes",
            HostKeyPolicy::AcceptNew => "StrictHostKeyChecking=accept-new",
            HostKeyPolicy::Ask => "StrictHostKeyChecking=ask",
        });
    }

    fn pair(&mut self, name: &str, value: impl Into<std::ffi::OsString>) {
        self.options.push(name.into());
        self.options.push(value.into());
    }

    fn option(&mut self, option: &str) {
        self.pair("-o", option);
    }

    fn base(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.options).kill_on_drop(true);
        command
    }

    fn spawn(&self, remote: Remote) -> Result<Running, SshError> {
        let mut command = self.base();
        let asked = match remote {
            Remote::Subsystem => {
                command.args(["-s", "--", &self.host, SUBSYSTEM]);
                format!("subsystem `{SUBSYSTEM}`")
            }
            Remote::Command => {
                command.args(["--", &self.host, &self.command]);
                format!("command `{}`", self.command)
            }
        };
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let no_program = |source| SshError::NoProgram { program: self.program.clone(), source };
        let mut child = command.spawn().map_err(no_program)?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(SshError::System("its standard streams are missing".into()));
        };
        Ok(Running { child, stdin, stdout, said: Said::read(stderr), asked })
    }
}

/// A child that was started.
struct Running {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    said: Said,
    asked: String,
}

impl Running {
    /// Waits until the child has logged in, or has given up.
    async fn logged_in(&mut self, plan: &Plan, port: Option<u16>) -> Result<(), SshError> {
        tokio::select! {
            () = self.said.logged_in() => Ok(()),
            status = self.child.wait() => {
                self.said.finished().await;
                if self.said.authenticated() {
                    return Ok(()); // the program ended at once: not our matter
                }
                let status = status.ok().and_then(|status| status.code());
                tracing::debug!(?status, "ssh gave up");
                Err(classify(&self.said.text(), plan, port))
            }
        }
    }
}

/// What the child has said on standard error.
#[derive(Clone)]
struct Said {
    tail: Arc<Mutex<Tail>>,
    state: watch::Receiver<SaidState>,
}

#[derive(Clone, Copy, Default)]
struct SaidState {
    authenticated: bool,
    peer: Option<SocketAddr>,
    finished: bool,
}

impl Said {
    fn read(stderr: ChildStderr) -> Self {
        let tail = Arc::new(Mutex::new(Tail::default()));
        let (sender, state) = watch::channel(SaidState::default());
        let shared = Arc::clone(&tail);
        tokio::spawn(async move {
            // A line of any length, in bounded pieces.
            let mut lines = BufReader::new(stderr);
            let mut line = Vec::new();
            while let Ok(1..) = (&mut lines).take(8192).read_until(b'\n', &mut line).await {
                note_line(&line, &sender, &shared);
                line.clear();
            }
            sender.send_modify(|state| state.finished = true);
        });
        Self { tail, state }
    }

    fn now(&self) -> SaidState {
        *self.state.borrow()
    }

    fn peer(&self) -> Option<SocketAddr> {
        self.now().peer
    }

    fn authenticated(&self) -> bool {
        self.now().authenticated
    }

    fn text(&self) -> String {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).text()
    }

    /// Waits for word of a login; for ever if there is none.
    async fn logged_in(&mut self) {
        if self.state.wait_for(|state| state.authenticated).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until everything said was read.
    async fn finished(&mut self) {
        let finished = self.state.wait_for(|state| state.finished);
        let _ = tokio::time::timeout(ENDING_TIME, finished).await;
    }
}

fn note_line(line: &[u8], state: &watch::Sender<SaidState>, tail: &Mutex<Tail>) {
    let text = String::from_utf8_lossy(line);
    if let Some(rest) = text.strip_prefix("Authenticated to ") {
        let peer = peer_of(rest);
        state.send_modify(|state| {
            state.authenticated = true;
            state.peer = peer;
        });
    } else if !["Transferred:", "Bytes per second"].iter().any(|noise| text.starts_with(noise)) {
        tail.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}

/// The address in `host ([address]:port) using "publickey".`
fn peer_of(text: &str) -> Option<SocketAddr> {
    let (_, rest) = text.split_once("([")?;
    let (address, rest) = rest.split_once("]:")?;
    let (port, _) = rest.split_once(')')?;
    Some(SocketAddr::new(address.parse().ok()?, port.parse().ok()?))
}

/// What the words of `ssh` mean.
fn classify(said: &str, plan: &Plan, port: Option<u16>) -> SshError {
    let at = || format!("{} port {}", plan.host, plan.ports.first().copied().unwrap_or_default());
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if let Some(distrust) = distrust(said) {
        let hold = plan.request.only.map(|profile| Hold::new(profile, plan, port));
        let problem = hold.and_then(|hold| hold.problem(distrust, plan, port));
        return problem.unwrap_or_else(|| HostKeyProblem::RefusedBySystem { distrust, said: said.to_owned() }).into();
    }
    if let Some((_, methods)) = said.rsplit_once("Permission denied (") {
        return SshError::Authentication {
            user: plan.user.clone(),
            host: plan.host.clone(),
            tried: vec!["what ssh is configured to offer".into()],
            accepted: methods.split(')').next().unwrap_or_default().replace(',', ", "),
            hint: "check with `ssh -v`; a password in the environment is used by --ssh builtin alone".into(),
        };
    }
    if has(&["Connection refused"]) {
        return SshError::Refused { at: at() };
    }
    if has(&["timed out"]) {
        return SshError::Timeout { at: at(), after: plan.request.connect_timeout };
    }
    if has(&["Could not resolve hostname"]) {
        return SshError::Resolve { host: plan.host.clone(), reason: said.to_owned() };
    }
    SshError::System(if said.is_empty() { "it ended without a word".into() } else { said.to_owned() })
}

/// What `ssh` holds against the host key, if that is why it ended.
fn distrust(said: &str) -> Option<Distrust> {
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if has(&["REVOKED HOST KEY", "marked as revoked"]) {
        Some(Distrust::Revoked)
    } else if has(&["REMOTE HOST IDENTIFICATION", "has changed and you have requested"]) {
        Some(Distrust::Changed)
    } else {
        has(&["Host key verification failed", "host key is known"]).then_some(Distrust::Unknown)
    }
}

/// Whether `ssh` ended because its connection did.
fn tells_of_a_lost_connection(said: &str) -> bool {
    [
        "closed by remote host",
        "Connection closed by",
        "Connection reset",
        "Broken pipe",
        "not responding",
        "Connection timed out",
        "No route to host",
        "disconnected",
        "Disconnected from",
        "Received disconnect",
        "packet_write_wait",
        "ssh_packet_read",
    ]
    .iter()
    .any(|words| said.contains(words))
}

/// Starts sessions by `ssh` processes.
struct SystemLine {
    recipe: Recipe,
    ready: Option<(Remote, Running)>,
}

impl Line for SystemLine {
    fn start(&mut self, remote: Remote) -> BoxFuture<'_, Result<Started, SshError>> {
        Box::pin(async move {
            let running = match self.ready.take() {
                Some((ready, running)) if ready == remote => running,
                _ => self.recipe.spawn(remote)?,
            };
            let Running { child, stdin, stdout, said, asked } = running;
            let output = SystemOutput { child, stdout, said, asked, answered: false, at_end: false };
            Ok(Started { input: Box::new(Stdin(Some(stdin))), output: Box::new(output) })
        })
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        // Every child is killed when dropped, if it has not ended by then.
        Box::pin(async {})
    }
}

/// A child's standard input, which closes on shutdown; the runtime's own does
/// so only when dropped.
struct Stdin(Option<ChildStdin>);

impl Stdin {
    fn open(&mut self) -> io::Result<Pin<&mut ChildStdin>> {
        let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
        self.0.as_mut().map(Pin::new).ok_or_else(closed)
    }
}

impl AsyncWrite for Stdin {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.open()?.poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.open()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0 = None;
        Poll::Ready(Ok(()))
    }
}

/// What comes back from a child.
struct SystemOutput {
    child: Child,
    stdout: ChildStdout,
    said: Said,
    asked: String,
    answered: bool,
    at_end: bool,
}

impl Output for SystemOutput {
    fn next(&mut self) -> BoxFuture<'_, Event> {
        Box::pin(async move {
            if !self.at_end {
                let mut buffer = vec![0; 32 * 1024];
                if let Ok(length @ 1..) = self.stdout.read(&mut buffer).await {
                    self.answered = true;
                    buffer.truncate(length);
                    return Event::Data(buffer);
                }
                self.at_end = true;
                if self.answered && !self.lost_its_connection().await {
                    return Event::Eof;
                }
            }
            let status = self.child.wait().await;
            self.said.finished().await;
            self.ended(status.ok())
        })
    }
}

impl SystemOutput {
    /// Whether the output ended because the connection did, and not because
    /// the program wanted it. One that is closed while `ssh` runs on is the
    /// program's doing.
    async fn lost_its_connection(&mut self) -> bool {
        let Ok(status) = tokio::time::timeout(ENDING_TIME, self.child.wait()).await else { return false };
        self.said.finished().await;
        matches!(self.ended(status.ok()), Event::Broken(_))
    }

    fn ended(&self, status: Option<ExitStatus>) -> Event {
        let stderr = self.said.text();
        match status.and_then(|status| status.code()) {
            Some(SSH_FAILED) if !self.answered && stderr.contains("subsystem request failed") => {
                Event::NotStarted(format!("{}: refused by the server", self.asked))
            }
            // The status, too, for a program that was killed, of which `ssh` says nothing.
            Some(SSH_FAILED) if self.answered && !tells_of_a_lost_connection(&stderr) => {
                Event::Closed { status: None, stderr }
            }
            Some(SSH_FAILED) => Event::Broken(SshError::Broken { reason: stderr }),
            Some(status) => {
                let status = u32::try_from(status).unwrap_or(u32::MAX);
                if !self.answered && CANNOT_RUN.contains(&status) {
                    return Event::NotStarted(format!("{}: {stderr:?}", self.asked));
                }
                Event::Closed { status: Some(status), stderr }
            }
            None => Event::Broken(SshError::Broken { reason: "ssh was killed".into() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_of_a_login_is_understood() {
        let peer = peer_of("h ([127.0.0.1]:2222) using \"publickey\".\r\n");
        assert_eq!(peer, Some("127.0.0.1:2222".parse().unwrap()));
        let peer = peer_of("h ([2001:db8::1]:22) using \"publickey\".");
        assert_eq!(peer, Some("[2001:db8::1]:22".parse().unwrap()));
        assert_eq!(peer_of("h (via proxy) using \"publickey\"."), None);
    }

    #[test]
    fn a_lost_connection_is_told_from_a_program_that_was_killed() {
        for said in [
            "Connection to 192.0.2.1 closed by remote host.",
            "client_loop: send disconnect: Broken pipe",
            "Timeout, server h not responding.",
            "Read from remote host h: Connection reset by peer",
        ] {
            assert!(tells_of_a_lost_connection(said), "{said}");
        }
        assert!(!tells_of_a_lost_connection("Welcome\nlimosa session: no space"));
    }

    #[test]
    fn what_is_held_against_a_host_key_is_told_apart() {
        let verification = "Host key verification failed.";
        let changed = format!("WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!\n{verification}");
        assert_eq!(distrust(&changed), Some(Distrust::Changed));
        let revoked = format!("WARNING: REVOKED HOST KEY DETECTED!\n{verification}");
        assert_eq!(distrust(&revoked), Some(Distrust::Revoked));
        assert_eq!(distrust(verification), Some(Distrust::Unknown));
        assert_eq!(distrust("Permission denied (publickey)."), None);
    }
}
