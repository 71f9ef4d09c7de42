//! What the tests against real SSH programs share: keys, an sshd of our own on
//! loopback, an agent, an embedded server, and the rule for skipping.
#![allow(dead_code, unreachable_pub)] // each test file uses its part

use limosa_ssh::server::{
    Backend, Connection, Identity, OfferedKey, Server, ServerHandle, ServerKey, Session, Settings,
};
use limosa_ssh::{Channel, HostKeyProblem, Request, Secret, SshError, Target};
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The one deadline: whatever is waited for happens well before it.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Reports a skip by name, or fails where a skip is a failure.
pub fn skip(missing: &str) {
    assert!(
        std::env::var_os("LIMOSA_REQUIRE_COUNTERPARTS").is_none_or(|value| value != "1"),
        "missing counterpart: {missing}"
    );
    println!("skipped: {missing}");
}

pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    directories.map(|directory| directory.join(program)).find(|file| file.is_file())
}

/// Whether all of `programs` are there; reports a skip otherwise.
pub fn installed(programs: &[&str]) -> bool {
    let missing = programs.iter().find(|program| find(program).is_none());
    if let Some(program) = missing {
        skip(program);
    }
    missing.is_none()
}

/// Fails the test where `future` takes longer than the deadline.
pub async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("within the deadline")
}

/// A directory with keys and files of one test.
pub struct Lab {
    pub dir: TempDir,
}

impl Lab {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("empty_config"), "").unwrap();
        Self { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A key made by ssh-keygen.
    pub fn key(&self, name: &str, options: &[&str], passphrase: &str) -> PathBuf {
        let path = self.path(name);
        let made = Command::new("ssh-keygen")
            .args(["-q", "-C", name, "-N", passphrase, "-f"])
            .arg(&path)
            .args(options)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        path
    }

    pub fn public(&self, key: &Path) -> String {
        fs::read_to_string(format!("{}.pub", key.display())).unwrap()
    }

    /// A request with nothing of this machine's user in it.
    pub fn request(&self, port: u16) -> Request {
        self.request_as(&user(), port)
    }

    /// The same, to log in as somebody else.
    pub fn request_as(&self, name: &str, port: u16) -> Request {
        let target: Target = format!("{name}@127.0.0.1").parse().unwrap();
        Request::to(target.with_port(port))
            .config_file(self.path("empty_config"))
            .known_hosts(self.path("known_hosts"))
            .host_keys(limosa_ssh::client::HostKeyPolicy::AcceptNew)
            .memory(limosa_ssh::client::RemoteMemory::in_file(self.path("remotes")))
    }
}

pub fn user() -> String {
    let name = Command::new("id").arg("-un").output().unwrap().stdout;
    String::from_utf8(name).unwrap().trim().to_owned()
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until something listens.
pub fn wait_for_port(port: u16, child: &mut Child) {
    let deadline = Instant::now() + DEADLINE;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(child.try_wait().unwrap().is_none(), "the server ended");
        assert!(Instant::now() < deadline, "nothing listens");
        std::thread::yield_now();
    }
}

/// OpenSSH's server, on loopback, with its own configuration.
pub struct Sshd {
    pub port: u16,
    pub host_key: String,
    child: Child,
}

impl Sshd {
    /// Runs with the public keys of `authorized`, and `options` in front of the
    /// rest of the configuration.
    pub fn run(lab: &Lab, authorized: &str, options: &str) -> Self {
        let host_key = lab.key("host_key", &["-t", "ed25519"], "");
        Self::presenting(lab, &[host_key], authorized, options)
    }

    /// The same with `host_keys`, of which the first is the one made known.
    pub fn presenting(lab: &Lab, host_keys: &[PathBuf], authorized: &str, options: &str) -> Self {
        // As root, sshd wants its empty directory.
        let _ = fs::create_dir_all("/run/sshd");
        fs::write(lab.path("authorized"), authorized).unwrap();
        let echo = lab.path("echo");
        fs::write(&echo, "#!/bin/sh\nexec cat\n").unwrap();
        fs::set_permissions(&echo, fs::Permissions::from_mode(0o755)).unwrap();
        let port = free_port();
        let host_key_lines: String = host_keys.iter().map(|key| format!("HostKey {}\n", key.display())).collect();
        let config = format!(
            "{options}\nPort {port}\nListenAddress 127.0.0.1\n{host_key_lines}AuthorizedKeysFile {}\n\
             StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\nMaxAuthTries 6\n",
            lab.path("authorized").display()
        );
        fs::write(lab.path("sshd_config"), config).unwrap();
        let mut child = Command::new(find("sshd").unwrap())
            .arg("-D")
            .arg("-f")
            .arg(lab.path("sshd_config"))
            .arg("-E")
            .arg(lab.path("sshd.log"))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        wait_for_port(port, &mut child);
        let host_key = lab.public(&host_keys[0]);
        Self { port, host_key, child }
    }

    /// The configuration line that makes the subsystem an echo.
    pub fn with_subsystem(lab: &Lab) -> String {
        format!("Subsystem limosa {}", lab.path("echo").display())
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An ssh-agent of the test's own.
pub struct Agent {
    pub socket: PathBuf,
    child: Child,
}

impl Agent {
    pub fn run(lab: &Lab) -> Self {
        let socket = lab.path("agent");
        let child = Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + DEADLINE;
        // The socket has its name before anyone listens at it.
        while UnixStream::connect(&socket).is_err() {
            assert!(Instant::now() < deadline);
            std::thread::yield_now();
        }
        Self { socket, child }
    }

    pub fn add(&self, key: &Path) {
        let added = Command::new("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", &self.socket).output().unwrap();
        assert!(added.status.success(), "{added:?}");
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes and reads the same back through an echo.
pub async fn echoes(channel: &mut Channel, length: usize) {
    let sent: Vec<u8> = (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let mut read = vec![0; length];
    let (mut reader, mut writer) = tokio::io::split(channel);
    let write = async {
        writer.write_all(&sent).await.unwrap();
        writer.flush().await.unwrap();
    };
    in_time(async { tokio::join!(write, async { reader.read_exact(&mut read).await.unwrap() }) }).await;
    assert!(read == sent, "what comes back is what was sent");
}

/// The typed error behind a failed read.
pub fn cause(error: &std::io::Error) -> &SshError {
    let inner = error.get_ref().expect("a typed cause");
    inner.downcast_ref::<Arc<SshError>>().expect("our error")
}

pub fn is_changed(error: &SshError) -> bool {
    matches!(error, SshError::HostKey(HostKeyProblem::Changed { .. }))
}

/// A backend that knows keys and one password, and echoes every session.
#[derive(Clone, Default)]
pub struct Echo {
    pub keys: Vec<String>,
    pub password: Option<String>,
    pub seen: Arc<Mutex<Vec<(String, String)>>>,
}

impl Echo {
    pub fn trusting(public_line: &str) -> Self {
        let base64 = public_line.split(' ').nth(1).unwrap().to_owned();
        Self { keys: vec![base64], ..Self::default() }
    }

    fn knows(&self, key: &OfferedKey) -> bool {
        use base64::Engine as _;
        let base64 = base64::engine::general_purpose::STANDARD.encode(&key.blob);
        self.keys.contains(&base64)
    }
}

impl Backend for Echo {
    type Connection = Self;

    fn connected(&self, _peer: SocketAddr) -> Self {
        self.clone()
    }
}

impl Connection for Echo {
    async fn key_offered(&mut self, _user: &str, key: &OfferedKey) -> bool {
        self.knows(key)
    }

    async fn key_proved(&mut self, user: &str, key: &OfferedKey) -> Option<Identity> {
        self.knows(key).then(|| Identity::new(user))
    }

    async fn password(&mut self, user: &str, password: &Secret) -> Option<Identity> {
        (self.password.as_deref() == Some(password.expose())).then(|| Identity::new(user))
    }

    fn session(&mut self, session: Session) {
        let what = (session.identity.name().to_owned(), format!("{:?}", session.method));
        self.seen.lock().unwrap().push(what);
        tokio::spawn(async move {
            let (mut reader, mut writer) = tokio::io::split(session.channel);
            let _ = tokio::io::copy(&mut reader, &mut writer).await;
            let _ = writer.shutdown().await;
        });
    }
}

/// An embedded server on loopback.
pub struct Embedded {
    pub port: u16,
    pub key: ServerKey,
    handle: ServerHandle,
}

impl Embedded {
    pub async fn run(backend: impl Backend, settings: Settings) -> Self {
        let key = ServerKey::generate().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = Server::new(&key, settings, backend);
        let handle = server.handle();
        tokio::spawn(server.serve(listener));
        Self { port, key, handle }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.handle.stop();
    }
}
