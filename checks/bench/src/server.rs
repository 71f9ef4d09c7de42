//! The other end of a run: OpenSSH's server, or Limosa's own.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::network::Place;
use crate::scratch::{Scratch, check};

/// How long a server may take until it listens.
const START_UP: Duration = Duration::from_secs(10);

/// An `sshd` that lets the key `id` of a scratch directory in.
#[derive(Debug)]
pub struct Sshd(Child);

impl Sshd {
    /// Starts it on `port` of a place. Makes the keys `id` and `hostkey`.
    ///
    /// # Errors
    /// If a program is missing or fails.
    pub fn start(place: &Place, port: u16, scratch: &Scratch) -> io::Result<Self> {
        let address = place.address;
        let (host_key, id) = (scratch.key("hostkey")?, scratch.key("id")?);
        let config = format!(
            "Port {port}\nListenAddress {address}\nHostKey {}\nAuthorizedKeysFile {}.pub\n\
             StrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\nUsePAM no\nPidFile none\nUseDNS no\n",
            host_key.display(),
            id.display()
        );
        fs::write(scratch.path("sshd_config"), config)?;
        fs::create_dir_all("/run/sshd")?;
        let mut command = place.command(Path::new("/usr/sbin/sshd"));
        command.arg("-D").arg("-f").arg(scratch.path("sshd_config"));
        let sshd = Self(command.stdin(Stdio::null()).spawn()?);
        if place.namespace.is_none() {
            await_listener(SocketAddr::new(address, port))?;
        }
        Ok(sshd)
    }
}

/// Waits until somebody listens at `address`.
fn await_listener(address: SocketAddr) -> io::Result<()> {
    let deadline = Instant::now() + START_UP;
    loop {
        match TcpStream::connect(address) {
            Ok(_) => return Ok(()),
            Err(refused) if Instant::now() >= deadline => return Err(refused),
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `limosad serve` with one user, who is called `bench`.
#[derive(Debug)]
pub struct Limosad {
    child: Child,
    /// Where it takes SSH.
    pub ssh: SocketAddr,
    /// Where it takes datagrams.
    pub udp: SocketAddr,
}

impl Limosad {
    /// Starts it on loopback with `docroot` and the key `id`, which it makes.
    ///
    /// # Errors
    /// If it cannot be run or does not say where it listens.
    pub fn start(program: &Path, scratch: &Scratch, docroot: &Path) -> io::Result<Self> {
        Self::start_at(&Place::loopback(), program, scratch, docroot)
    }

    /// Starts it somewhere.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_at(place: &Place, program: &Path, scratch: &Scratch, docroot: &Path) -> io::Result<Self> {
        let id = scratch.key("id")?;
        fs::create_dir_all(docroot)?;
        let limosad = || {
            let mut command = place.command(program);
            command.env("LIMOSA_STATE", scratch.path("state")).stdin(Stdio::null());
            command
        };
        let mut add = limosad();
        add.args(["user", "add", "bench", "--docroot"]).arg(docroot).arg("--key").arg(id.with_extension("pub"));
        check(add.stdout(Stdio::null()))?;
        let mut serve = limosad();
        let any_port = format!("{}:0", place.address);
        serve.args(["serve", "--listen", &any_port, "--udp-port", &any_port]).stdout(Stdio::piped());
        serve.stderr(fs::File::create(scratch.path("limosad.log"))?);
        let mut child = serve.spawn()?;
        let said = BufReader::new(child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?);
        let (mut ssh, mut udp) = (None, None);
        for line in said.lines().map_while(Result::ok) {
            ssh = ssh.or_else(|| address(&line, "SSH", "TCP "));
            udp = udp.or_else(|| address(&line, "data", "UDP "));
            if let (Some(ssh), Some(udp)) = (ssh, udp) {
                return Ok(Self { child, ssh, udp });
            }
        }
        Err(io::Error::other("limosad does not say where it listens"))
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Limosad {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in a line such as `SSH   TCP 127.0.0.1:2222, host key …`.
fn address(line: &str, what: &str, transport: &str) -> Option<SocketAddr> {
    let rest = line.trim().strip_prefix(what)?.trim_start().strip_prefix(transport)?;
    rest.split([',', ' ']).next()?.parse().ok()
}
