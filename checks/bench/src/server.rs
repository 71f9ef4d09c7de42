//! The other end of a run: OpenSSH's server, Limosa's own, or nginx.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::network::Place;
use crate::scratch::{Scratch, check, program};

/// How long a server may take until it listens.
const START_UP: Duration = Duration::from_secs(10);

/// An `sshd` that lets the key `id` of a scratch directory in.
#[derive(Debug)]
pub struct Sshd(Child);

impl Sshd {
    /// Starts it on `port` of a place. Makes the keys `id` and `hostkey`
    /// where they are not there.
    ///
    /// # Errors
    /// If a program is missing or fails.
    pub fn start(place: &Place, port: u16, scratch: &Scratch) -> io::Result<Self> {
        let address = place.address;
        let (host_key, id) = (scratch.key("hostkey")?, scratch.key("id")?);
        let config = format!(
            "Port {port}\nListenAddress {address}\nHostKey {}\nAuthorizedKeysFile {}.pub\n\
             StrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\nUsePAM no\nPidFile none\nUseDNS no\n\
             PrintMotd no\nMaxStartups 100\nMaxSessions 100\nSubsystem sftp internal-sftp\n",
            host_key.display(),
            id.display()
        );
        fs::write(scratch.path("sshd_config"), config)?;
        fs::create_dir_all("/run/sshd")?;
        let mut command = place.command(Path::new("/usr/sbin/sshd"));
        command.arg("-D").arg("-f").arg(scratch.path("sshd_config"));
        let sshd = Self(command.stdin(Stdio::null()).spawn()?);
        place.inside(|| await_listener(SocketAddr::new(address, port)))?;
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

/// An nginx that hands out a directory over TLS.
#[derive(Debug)]
pub struct Nginx(Child);

impl Nginx {
    /// Starts it on port 443 of a place, with a new certificate.
    ///
    /// # Errors
    /// If `nginx` or `openssl` is missing or fails.
    pub fn start(place: &Place, root: &Path, scratch: &Scratch) -> io::Result<Self> {
        let address = place.address;
        let file = |name: &str| scratch.path(name).display().to_string();
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9"]);
        openssl.args(["-subj", &format!("/CN={address}"), "-addext", &format!("subjectAltName=IP:{address}")]);
        openssl.args(["-keyout", &file("tls.key"), "-out", &file("tls.crt")]);
        check(openssl.stdin(Stdio::null()).stderr(Stdio::null()))?;
        let (key, certificate, directory) = (file("tls.key"), file("tls.crt"), root.display());
        let config = format!(
            "daemon off;\nuser root;\nworker_processes auto;\npid {};\nerror_log {} error;\nevents {{}}\n\
             http {{\n access_log off; sendfile on; tcp_nopush on;\n\
             client_body_temp_path {0}-1; proxy_temp_path {0}-2; fastcgi_temp_path {0}-3;\n\
             uwsgi_temp_path {0}-4; scgi_temp_path {0}-5;\n\
             server {{ listen {address}:443 ssl; ssl_certificate {certificate}; ssl_certificate_key {key};\n\
             ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256; root {directory}; }}\n}}\n",
            file("nginx.pid"),
            file("nginx.log"),
        );
        fs::write(scratch.path("nginx.conf"), config)?;
        let mut nginx = place.command(&program("nginx").ok_or(io::ErrorKind::NotFound)?);
        nginx.arg("-e").arg(scratch.path("nginx.log")).arg("-c").arg(scratch.path("nginx.conf"));
        let nginx = Self(nginx.stdin(Stdio::null()).spawn()?);
        place.inside(|| await_listener(SocketAddr::new(address, 443)))?;
        Ok(nginx)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its workers end with it only if it is asked.
        let _ = rustix::process::kill_process(Pid::from_child(&self.0), Signal::TERM);
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
        Self::start_configured(place, program, scratch, docroot, "")
    }

    /// Starts it somewhere, with this configuration.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_configured(
        place: &Place,
        program: &Path,
        scratch: &Scratch,
        docroot: &Path,
        configuration: &str,
    ) -> io::Result<Self> {
        let id = scratch.key("id")?;
        fs::create_dir_all(docroot)?;
        let file = scratch.path("limosad.toml");
        fs::write(&file, configuration)?;
        let limosad = || {
            let mut command = place.command(program);
            command.env("LIMOSA_STATE", scratch.path("state")).env("LIMOSA_CONFIG", &file).stdin(Stdio::null());
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
