//! The embedded server: `limosad serve` on loopback with a user of its own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{Lab, skip};

/// The name at login.
pub const USER: &str = "ada";

/// `limosad serve`.
pub struct Embedded {
    pub port: u16,
    child: Child,
}

/// The server's program, built beside the client's.
fn program() -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_BIN_EXE_limosa")).with_file_name("limosad");
    program.is_file().then_some(program)
}

impl Embedded {
    /// Runs on `address` and lets the key `id` in, or reports what is missing.
    pub fn start(lab: &Lab, address: &str) -> Option<Self> {
        let Some(program) = program() else {
            skip("limosad beside limosa (cargo build -p limosa-daemon)");
            return None;
        };
        let limosad = || {
            let mut command = Command::new(&program);
            command.env("HOME", lab.path("home")).env("LIMOSA_STATE", lab.path("state")).stdin(Stdio::null());
            command
        };
        if !lab.path("state").exists() {
            let mut add = limosad();
            add.args(["user", "add", USER, "--docroot"]).arg(lab.there()).arg("--key").arg(lab.public_key("id"));
            let added = add.output().unwrap();
            assert!(added.status.success(), "{added:?}");
        }
        let log = std::fs::File::options().create(true).append(true).open(lab.path("limosad.log")).unwrap();
        let mut child = limosad()
            .args(["serve", "--listen", &format!("{address}:0"), "--udp-port", &format!("{address}:0")])
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let port = said.lines().map_while(Result::ok).find_map(|line| ssh_port(&line));
        let port = port.unwrap_or_else(|| panic!("{}", std::fs::read_to_string(lab.path("limosad.log")).unwrap()));
        Some(Self { port, child })
    }
}

/// The port in `SSH   TCP 127.0.0.1:2222, host key …`.
fn ssh_port(line: &str) -> Option<u16> {
    let address = line.trim().strip_prefix("SSH")?.trim().strip_prefix("TCP ")?.split(',').next()?;
    address.rsplit(':').next()?.parse().ok()
}

impl Drop for Embedded {
    fn drop(&mut self) {
        super::process::Process::new(self.child.id()).terminate();
        let deadline = std::time::Instant::now() + super::DEADLINE;
        while matches!(self.child.try_wait(), Ok(None)) && std::time::Instant::now() < deadline {
            std::thread::park_timeout(std::time::Duration::from_millis(2));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
