//! The programs that are compared: Limosa, and what else moves files under
//! encryption.
//!
//! Data always goes from the first end to the second. Those that push run at
//! the first, with their server at the second; those that pull the other way
//! round. All use AES-128-GCM: OpenSSH and TLS are told to, qcp and Limosa do
//! by themselves.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::network::{Medium, Pair};
use crate::scratch::{Scratch, program};
use crate::server::{Limosad, Nginx, Sshd};

/// Port of OpenSSH's server at the second end.
const SSH: u16 = 22;
/// What those are told to expect where there is no line who have to be told.
const NO_LINE: (u64, u128) = (10_000_000_000, 1);

/// A program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `limosa send` to `limosad serve`.
    Limosa,
    /// `limosa send` to OpenSSH and `limosa session`.
    LimosaOverOpenSsh,
    /// `scp` of OpenSSH.
    Scp,
    /// `rsync` over OpenSSH.
    Rsync,
    /// `tar` over OpenSSH.
    Tar,
    /// `curl`: one TLS stream.
    Curl,
    /// `aria2c`: sixteen TLS streams.
    Aria2,
    /// `qcp`: QUIC, set up over OpenSSH.
    Qcp,
}

impl Program {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Limosa, Self::LimosaOverOpenSsh, Self::Curl, Self::Aria2, Self::Qcp, Self::Scp, Self::Rsync, Self::Tar];

    /// Its name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Limosa => "limosa",
            Self::LimosaOverOpenSsh => "limosa-openssh",
            Self::Scp => "scp",
            Self::Rsync => "rsync",
            Self::Tar => "tar-ssh",
            Self::Curl => "curl",
            Self::Aria2 => "aria2-x16",
            Self::Qcp => "qcp",
        }
    }

    /// Programs it needs, beside Limosa's own ones.
    const fn needs(self) -> &'static [&'static str] {
        match self {
            Self::Limosa => &["ssh-keygen"],
            Self::LimosaOverOpenSsh => &["ssh-keygen", "sshd"],
            Self::Scp => &["ssh-keygen", "sshd", "scp"],
            Self::Rsync => &["ssh-keygen", "sshd", "ssh", "rsync"],
            Self::Tar => &["ssh-keygen", "sshd", "ssh", "tar"],
            Self::Curl => &["openssl", "nginx", "curl"],
            Self::Aria2 => &["openssl", "nginx", "aria2c"],
            Self::Qcp => &["ssh-keygen", "sshd", "ssh", "qcp"],
        }
    }

    /// The first thing it needs that this machine has not; Limosa's programs are
    /// looked for in `programs`.
    #[must_use]
    pub fn missing(self, programs: &Path) -> Option<&'static str> {
        let ours: &[&str] = match self {
            Self::Limosa => &["limosa", "limosad"],
            Self::LimosaOverOpenSsh => &["limosa"],
            _ => &[],
        };
        let missing = ours.iter().copied().find(|name| !programs.join(name).is_file());
        missing.or_else(|| self.needs().iter().copied().find(|name| program(name).is_none()))
    }

    /// Whether it is fit for a single file or a tree of many.
    #[must_use]
    pub const fn fits(self, tree: bool) -> bool {
        match self {
            Self::Curl | Self::Aria2 => !tree,
            Self::Tar => tree,
            _ => true,
        }
    }

    /// Whether its speed hangs on the congestion control it is given.
    const fn has_a_choice_of_laws(self) -> bool {
        !matches!(self, Self::Limosa | Self::LimosaOverOpenSsh)
    }
}

/// A program under a law of congestion control.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The program.
    pub program: Program,
    /// The law that TCP has at both ends, and QUIC.
    pub law: String,
}

impl Peer {
    /// Every program that there is, under every one of `laws`.
    #[must_use]
    pub fn all(laws: &[String]) -> Vec<Self> {
        let under = |program: Program| {
            let count = if program.has_a_choice_of_laws() { laws.len() } else { 1 };
            laws.iter().take(count).map(move |law| Self { program, law: law.clone() })
        };
        Program::ALL.into_iter().flat_map(under).collect()
    }

    /// Whether `name` means it: `scp`, or `scp,bbr` for one law of several.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        name == self.program.name() || name == self.to_string()
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.program.has_a_choice_of_laws() {
            true => write!(f, "{}-{}", self.program.name(), self.law),
            false => f.write_str(self.program.name()),
        }
    }
}

/// The laws of congestion control that comparisons use, of those that this
/// kernel has.
///
/// # Errors
/// If the kernel does not tell.
pub fn laws() -> io::Result<Vec<String>> {
    let has = fs::read_to_string("/proc/sys/net/ipv4/tcp_available_congestion_control")?;
    Ok(["bbr", "cubic"]
        .into_iter()
        .filter(|law| has.split_whitespace().any(|one| one == *law))
        .map(Into::into)
        .collect())
}

/// What a run of a peer stands on.
#[derive(Clone, Copy, Debug)]
pub struct Stage<'a> {
    /// The two ends.
    pub pair: &'a Pair,
    /// What is between them.
    pub medium: &'a Medium,
    /// Place for keys and settings.
    pub scratch: &'a Scratch,
    /// The file or tree, in a directory of its own.
    pub source: &'a Path,
    /// The directory it is to arrive in.
    pub destination: &'a Path,
    /// The directory of `limosa` and `limosad`.
    pub programs: &'a Path,
}

/// A server that was started for a peer.
#[derive(Debug)]
pub enum Server {
    /// OpenSSH's.
    Sshd(Sshd),
    /// Limosa's.
    Limosad(Limosad),
    /// nginx.
    Nginx(Nginx),
}

impl Peer {
    /// Starts what the program needs at the other end.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn server(&self, stage: &Stage<'_>) -> io::Result<Server> {
        let [near, far] = &stage.pair.places;
        match self.program {
            Program::Limosa => {
                let docroot = stage.destination.parent().ok_or(io::ErrorKind::NotFound)?;
                let limosad = stage.programs.join("limosad");
                Limosad::start_at(far, &limosad, stage.scratch, docroot).map(Server::Limosad)
            }
            Program::Curl | Program::Aria2 => {
                let root = stage.source.parent().ok_or(io::ErrorKind::NotFound)?;
                Nginx::start(near, root, stage.scratch).map(Server::Nginx)
            }
            _ => {
                write_ssh_config(stage.scratch)?;
                Sshd::start(far, SSH, stage.scratch).map(Server::Sshd)
            }
        }
    }

    /// The command that moves the source to the destination.
    ///
    /// # Errors
    /// If a program is missing.
    pub fn command(&self, stage: &Stage<'_>, server: &Server) -> io::Result<Command> {
        match self.program {
            Program::Limosa | Program::LimosaOverOpenSsh => Ok(limosa(stage, server)),
            Program::Scp | Program::Rsync | Program::Tar => self.over_ssh(stage),
            Program::Curl | Program::Aria2 => self.over_tls(stage),
            Program::Qcp => self.over_quic(stage),
        }
    }

    fn over_ssh(&self, stage: &Stage<'_>) -> io::Result<Command> {
        let (source, config) = (stage.source, stage.scratch.path("ssh_config"));
        let recursive = source.is_dir().then_some("-r");
        let mut command;
        match self.program {
            Program::Tar => {
                let script = r#"tar -C "$1" -cf - "$2" | ssh -F "$3" "$4" tar -C "$5" -xf -"#;
                command = stage.run_at(0, "sh")?;
                command.args(["-c", script, "sh"]).arg(source.parent().unwrap_or(source)).arg(name(source));
                command.arg(config).arg(stage.pair.places[1].address.to_string()).arg(stage.destination);
            }
            Program::Rsync => {
                command = stage.run_at(0, "rsync")?;
                command.args(recursive).args(["--whole-file", "--inplace", "-e"]);
                command.arg(format!("ssh -F {}", config.display())).arg(source).arg(stage.there());
            }
            _ => {
                command = stage.run_at(0, "scp")?;
                command.args(recursive).arg("-q").arg("-F").arg(config).arg(source).arg(stage.there());
            }
        }
        Ok(command)
    }

    fn over_tls(&self, stage: &Stage<'_>) -> io::Result<Command> {
        let url = format!("https://{}/{}", stage.pair.places[0].address, name(stage.source));
        let mut command;
        if self.program == Program::Curl {
            command = stage.run_at(1, "curl")?;
            command.args(["--silent", "--fail", "--insecure", "--output"]);
            command.arg(arrived(stage.source, stage.destination));
        } else {
            command = stage.run_at(1, "aria2c")?;
            command.args(["-q", "-x16", "-s16", "-k1M", "--file-allocation=none", "--check-certificate=false"]);
            command.arg("-d").arg(stage.destination);
        }
        command.arg(url);
        Ok(command)
    }

    /// qcp has to be told what the line is like, which nobody else is.
    fn over_quic(&self, stage: &Stage<'_>) -> io::Result<Command> {
        let (rate, rtt) = match stage.medium {
            Medium::Line(line) => (line.forward.rate.bits_per_second(), line.rtt().as_millis().max(1)),
            _ => NO_LINE,
        };
        let kilobytes = format!("{}k", rate / 8000);
        let config = stage.scratch.path("ssh_config").display().to_string();
        let mut qcp = stage.run_at(0, "qcp")?;
        qcp.args(["-q", "-S", "-F", "-S", &config, "--ssh-config", &config]);
        qcp.arg("--remote-qcp-binary").arg(found("qcp")?);
        qcp.args(["--tx", &kilobytes, "--rx", &kilobytes, "--rtt", &rtt.to_string(), "--timeout", "20"]);
        qcp.args(["--congestion", &self.law]).args(stage.source.is_dir().then_some("-r"));
        qcp.arg(stage.source).arg(stage.there());
        Ok(qcp)
    }
}

impl Stage<'_> {
    /// A command that runs a program at one of the ends.
    fn run_at(&self, end: usize, name: &str) -> io::Result<Command> {
        Ok(self.pair.places[end].command(&found(name)?))
    }

    /// The destination as those write it who log in over SSH.
    fn there(&self) -> String {
        format!("{}:{}/", self.pair.places[1].address, self.destination.display())
    }
}

fn limosa(stage: &Stage<'_>, server: &Server) -> Command {
    let address = stage.pair.places[1].address;
    let limosa = stage.programs.join("limosa");
    let mut send = stage.pair.places[0].command(&limosa);
    send.args(["send", "--quiet", "--ssh", "builtin", "--durability", "none", "--accept-new", "--identity"]);
    send.arg(stage.scratch.path("id")).arg("--known-hosts").arg(stage.scratch.path("known_hosts"));
    let (port, target) = match server {
        Server::Limosad(limosad) => (limosad.ssh.port(), format!("bench@{address}:{}/", name(stage.destination))),
        _ => (SSH, format!("root@{}", stage.there())),
    };
    send.arg("--port").arg(port.to_string());
    send.arg("--remote-command").arg(format!("{} session", limosa.display()));
    send.arg(stage.source).arg(target);
    send
}

fn found(name: &str) -> io::Result<PathBuf> {
    program(name).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("`{name}` is not installed")))
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().display().to_string()
}

/// Where a source is after it arrived in a directory.
#[must_use]
pub fn arrived(source: &Path, destination: &Path) -> PathBuf {
    destination.join(source.file_name().unwrap_or_default())
}

fn write_ssh_config(scratch: &Scratch) -> io::Result<()> {
    let config = format!(
        "Host *\n User root\n IdentityFile {}\n IdentitiesOnly yes\n UserKnownHostsFile {}\n\
         StrictHostKeyChecking accept-new\n Ciphers aes128-gcm@openssh.com\n Compression no\n LogLevel ERROR\n",
        scratch.path("id").display(),
        scratch.path("known_hosts").display()
    );
    fs::write(scratch.path("ssh_config"), config)
}
