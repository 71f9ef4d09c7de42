//! Stock OpenSSH: its server on loopback, with its own configuration and keys,
//! and its agent. The session at its end is `limosa session`, the client's own
//! binary.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::embedded::limosad_or_skip;
use super::process::Process;
use super::{Lab, find, skip, until, user};

/// OpenSSH's server.
pub struct OpenSsh {
    pub port: u16,
    child: Child,
    sessions: PathBuf,
}

impl OpenSsh {
    /// Runs on `address` and lets the key `id` in, or reports what is missing.
    pub fn start(lab: &Lab, address: &str) -> Option<Self> {
        Self::start_with(lab, address, "")
    }

    /// The same with the sessions of `limosad session`, for one docroot.
    pub fn administered(lab: &Lab, address: &str) -> Option<Self> {
        let program = limosad_or_skip()?;
        let docroot = lab.there();
        let text = format!("[udp]\nsession-ports = \"36460-36499\"\n[users.{}]\ndocroot = {docroot:?}\n", user());
        let machine = lab.path("machine.toml");
        fs::write(&machine, text).unwrap();
        let subsystem = format!("Subsystem limosa {} session --config {}\n", program.display(), machine.display());
        Self::start_with(lab, address, &subsystem)
    }

    fn start_with(lab: &Lab, address: &str, lines: &str) -> Option<Self> {
        for program in ["sshd", "ssh-keygen"] {
            if find(program).is_none() {
                skip(program);
                return None;
            }
        }
        // As root, sshd wants its empty directory.
        let _ = fs::create_dir_all("/run/sshd");
        let port = free_port();
        fs::write(lab.path("sshd_config"), configuration(lab, address, port) + lines).unwrap();
        let mut child = Command::new(find("sshd")?)
            .args(["-D", "-f"])
            .arg(lab.path("sshd_config"))
            .arg("-E")
            .arg(lab.path("sshd.log"))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        until("sshd listens", || {
            assert!(child.try_wait().unwrap().is_none(), "{}", fs::read_to_string(lab.path("sshd.log")).unwrap());
            TcpStream::connect(format!("{address}:{port}")).ok()
        });
        Some(Self { port, child, sessions: lab.path("sessions") })
    }

    /// The command that starts a session and notes its process.
    pub fn session_command(&self) -> String {
        format!("echo $$ >> {}; exec {} session", self.sessions.display(), env!("CARGO_BIN_EXE_limosa"))
    }

    /// The server itself.
    pub fn process(&self) -> Process {
        Process::new(self.child.id())
    }

    /// The process of the session started last, if any was.
    pub fn session(&self) -> Option<Process> {
        let noted = fs::read_to_string(&self.sessions).ok()?;
        noted.lines().last()?.parse().ok().map(Process::new)
    }
}

fn configuration(lab: &Lab, address: &str, port: u16) -> String {
    format!(
        "Port {port}\nListenAddress {address}\nHostKey {}\nAuthorizedKeysFile {}\n\
         StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\nPasswordAuthentication no\n\
         MaxStartups 100\nSetEnv HOME={}\n",
        lab.key("host_key").display(),
        lab.public_key("id").display(),
        lab.there().display(),
    )
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Drop for OpenSsh {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let sessions = fs::read_to_string(&self.sessions).unwrap_or_default();
        for session in sessions.lines().filter_map(|line| line.parse().ok()).map(Process::new) {
            if session.lives() && session.runs_limosa() {
                session.kill();
            }
        }
    }
}

/// An ssh-agent of the test's own.
pub struct Agent {
    pub socket: PathBuf,
    child: Child,
}

impl Agent {
    /// Runs and holds `key`, or reports what is missing.
    pub fn holding(lab: &Lab, key: &Path) -> Option<Self> {
        if find("ssh-agent").is_none() {
            skip("ssh-agent");
            return None;
        }
        let socket = lab.path("agent");
        let child = Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap();
        let agent = Self { socket, child };
        // The socket has its name before anyone listens at it.
        until("the agent listens", || UnixStream::connect(&agent.socket).ok());
        let added = Command::new("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", &agent.socket).output().unwrap();
        assert!(added.status.success(), "{added:?}");
        Some(agent)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
