//! The embedded server: `limosad serve` on loopback with a user of its own.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::process::Process;
use super::{DEADLINE, Lab, skip};

/// The name at login.
pub const USER: &str = "ada";

/// `limosad serve`.
pub struct Embedded {
    pub port: u16,
    address: String,
    filter: &'static str,
    child: Child,
}

/// The server's program, built beside the client's.
fn program() -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_BIN_EXE_limosa")).with_file_name("limosad");
    program.is_file().then_some(program)
}

/// The same; without it the skip is reported.
pub fn limosad_or_skip() -> Option<PathBuf> {
    let program = program();
    if program.is_none() {
        skip("limosad beside limosa (cargo build -p limosa-daemon)");
    }
    program
}

impl Embedded {
    /// Runs on `address` and lets the key `id` in, or reports what is missing.
    pub fn start(lab: &Lab, address: &str) -> Option<Self> {
        Self::start_logging(lab, address, "info,russh=warn")
    }

    /// The same, with a log that says as much as `filter` lets through.
    pub fn start_logging(lab: &Lab, address: &str, filter: &'static str) -> Option<Self> {
        let program = limosad_or_skip()?;
        let mut add = limosad(&program, lab);
        add.args(["user", "add", USER, "--docroot"]).arg(lab.there()).arg("--key").arg(lab.public_key("id"));
        let added = add.output().unwrap();
        assert!(added.status.success(), "{added:?}");
        let (child, port) = serve(&program, lab, &format!("{address}:0"), filter);
        Some(Self { port, child, address: address.to_owned(), filter })
    }

    /// The process that holds the sessions.
    pub fn process(&self) -> Process {
        Process::new(self.child.id())
    }

    /// Kills the server, and with it every session.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Serves again on the same port, if the server was killed.
    pub fn start_again(&mut self, lab: &Lab) {
        if self.child.try_wait().unwrap().is_some() {
            let listen = format!("{}:{}", self.address, self.port);
            (self.child, self.port) = serve(&program().unwrap(), lab, &listen, self.filter);
        }
    }
}

fn limosad(program: &Path, lab: &Lab) -> Command {
    let mut command = Command::new(program);
    // What is set up on this machine is none of the test's business.
    let config = std::fs::File::options().create(true).append(true).open(lab.path("limosad.toml"));
    config.unwrap();
    command.env("LIMOSA_CONFIG", lab.path("limosad.toml"));
    command.env("HOME", lab.path("home")).env("LIMOSA_STATE", lab.path("state")).stdin(Stdio::null());
    // Not what this machine may have: an empty file, which the test may fill.
    let config = lab.path("limosad.toml");
    File::options().create(true).append(true).open(&config).unwrap();
    command.env("LIMOSA_CONFIG", config);
    command
}

/// Serves on `listen` and any UDP port beside it, and says on which TCP port.
fn serve(program: &Path, lab: &Lab, listen: &str, filter: &str) -> (Child, u16) {
    let udp = format!("{}:0", listen.rsplit_once(':').unwrap().0);
    let log = File::options().create(true).append(true).open(lab.path("limosad.log")).unwrap();
    let mut serve = limosad(program, lab);
    serve
        .args(["serve", "--listen", listen, "--udp-port", &udp])
        .env("LIMOSA_LOG", filter)
        .stdout(Stdio::piped())
        .stderr(log);
    let mut child = serve.spawn().unwrap();
    let said = BufReader::new(child.stdout.take().unwrap());
    let port = said.lines().map_while(Result::ok).find_map(|line| ssh_port(&line));
    let port = port.unwrap_or_else(|| panic!("{}", std::fs::read_to_string(lab.path("limosad.log")).unwrap()));
    (child, port)
}

/// The port in `SSH   TCP 127.0.0.1:2222, host key …`.
fn ssh_port(line: &str) -> Option<u16> {
    let address = line.trim().strip_prefix("SSH")?.trim().strip_prefix("TCP ")?.split(',').next()?;
    address.rsplit(':').next()?.parse().ok()
}

impl Drop for Embedded {
    /// Asks it to end, and sees to it.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.process().terminate();
        }
        let deadline = Instant::now() + DEADLINE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::park_timeout(Duration::from_millis(2));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
