//! `limosad`, run as the real program with a directory of its own.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use limosa_ssh::server::ServerKey;
use tempfile::TempDir;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_limosad");

/// A directory with state, docroots, keys and trees of one test.
pub struct Lab {
    directory: TempDir,
}

impl Lab {
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A new private key; its public half stands beside it, with `.pub`.
    pub fn key(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        let key = ServerKey::load_or_generate(&path).unwrap();
        fs::write(self.path(&format!("{name}.pub")), key.public_line()).unwrap();
        path
    }

    /// `limosad` with these arguments, on this lab's state.
    pub fn limosad(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .args(arguments)
            .env("LIMOSA_STATE", self.path("state"))
            .env("XDG_CONFIG_HOME", self.path("no-configuration"))
            .env_remove("LIMOSA_CONFIG")
            .stdin(Stdio::null());
        if self.path("limosad.toml").exists() {
            command.env("LIMOSA_CONFIG", self.path("limosad.toml"));
        }
        command
    }

    /// Runs it to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.limosad(arguments).output().unwrap()
    }

    /// Runs it and insists on success; what it printed.
    pub fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Adds a user with a key of the same name and a docroot of the same name
    /// below `files`.
    pub fn add_user(&self, name: &str) -> PathBuf {
        let key = self.key(name);
        let docroot = self.docroot(name);
        let public = format!("{}.pub", key.display());
        self.succeed(&["user", "add", name, "--docroot", docroot.to_str().unwrap(), "--key", &public]);
        key
    }

    pub fn docroot(&self, name: &str) -> PathBuf {
        self.path("files").join(name)
    }

    /// The lines of the audit log.
    pub fn audit(&self) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.path("state/audit.log")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
    pub ssh: SocketAddr,
}

impl Server {
    /// Starts `limosad serve` on free ports of loopback.
    pub fn start(lab: &Lab) -> Self {
        let (child, greeting) = Self::spawn(lab, &["serve", "--listen", "127.0.0.1:0", "--udp-port", "127.0.0.1:0"]);
        let line = greeting.iter().find_map(|line| line.split_once("TCP "));
        let (_, rest) = line.unwrap_or_else(|| panic!("no SSH in {greeting:?}; {}", log(lab)));
        Self { ssh: rest.split(',').next().unwrap().parse().unwrap(), child }
    }

    /// Starts `limosad serve` where OpenSSH is the SSH server.
    pub fn start_without_ssh(lab: &Lab) -> Self {
        let (child, greeting) = Self::spawn(lab, &["serve"]);
        assert!(greeting.iter().any(|line| line.contains("lent")), "{greeting:?}; {}", log(lab));
        Self { ssh: SocketAddr::from(([0; 4], 0)), child }
    }

    /// The process, and the lines by which it says that it serves.
    fn spawn(lab: &Lab, arguments: &[&str]) -> (Child, Vec<String>) {
        let mut child = lab
            .limosad(arguments)
            .stdout(Stdio::piped())
            .stderr(fs::File::options().create(true).append(true).open(lab.path("log")).unwrap())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (child, lines.map_while(Result::ok).take(4).collect())
    }

    /// The process that faces the network.
    pub fn front(&self) -> u32 {
        let children = format!("/proc/{0}/task/{0}/children", self.child.id());
        // A child belongs to the thread that started it.
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let of_all = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok());
        let all: String = of_all.collect();
        let first = all.split_whitespace().next();
        first.unwrap_or_else(|| panic!("no front in {children}")).parse().unwrap()
    }

    /// Asks it to stop, as an init system does, and waits for its end.
    pub fn stop(mut self) -> std::process::ExitStatus {
        signal("-TERM", self.child.id());
        self.child.wait().unwrap()
    }
}

/// Sends a signal, such as `-KILL`.
pub fn signal(which: &str, process: u32) {
    assert!(Command::new("kill").arg(which).arg(process.to_string()).status().unwrap().success());
}

pub fn log(lab: &Lab) -> String {
    let mut text = String::new();
    if let Ok(mut file) = fs::File::open(lab.path("log")) {
        file.read_to_string(&mut text).unwrap();
    }
    text
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file that others must not read must not be readable by others.
pub fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().unwrap().permissions().mode() & 0o777
}
