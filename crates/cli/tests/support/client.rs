//! The client as a child process, and what it said.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use serde_json::Value;

use super::process::Process;
use super::remote::Remote;
use super::{DEADLINE, Lab};

/// What a client logs in with.
#[derive(Clone, Debug)]
pub enum Login {
    Key(PathBuf),
    Agent(PathBuf),
}

/// A client about to be started.
pub struct Client {
    command: Command,
}

impl Client {
    /// `limosa` with nothing of this machine's user around it.
    pub fn bare(lab: &Lab) -> Self {
        Self { command: Command::new(env!("CARGO_BIN_EXE_limosa")) }.surrounded_by(lab)
    }

    /// A line for the shell in which `limosa` and `limosad` are the programs
    /// under test. `shell` is what runs it, such as `sh -c`.
    pub fn shell(lab: &Lab, shell: &[&str], line: &str) -> Self {
        let mut command = Command::new(shell[0]);
        // What whoever started the tests has left open would count.
        command.args(&shell[1..]).arg(format!("exec 3>&- 4>&- 5>&- 6>&-; {line}"));
        let programs = Path::new(env!("CARGO_BIN_EXE_limosa")).parent().unwrap().to_owned();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(std::iter::once(programs).chain(std::env::split_paths(&path))).unwrap();
        let client = Self { command }.surrounded_by(lab).env("PATH", path);
        client.env("LIMOSA_STATE", lab.path("state")).env("LIMOSA_CONFIG", lab.path("limosad.toml"))
    }

    fn surrounded_by(mut self, lab: &Lab) -> Self {
        self.command.current_dir(lab.here()).env("HOME", lab.path("home")).env_remove("SSH_AUTH_SOCK");
        for passphrase in ["LIMOSA_FILEPASS", "ASPERA_SCP_FILEPASS", "LIMOSA_NEW_FILEPASS"] {
            self.command.env_remove(passphrase);
        }
        self.env("XDG_CACHE_HOME", lab.path("home/cache")).env("XDG_STATE_HOME", lab.path("home/state"))
    }

    /// `limosa COMMAND` that reaches `remote` with the key `id`.
    pub fn new(lab: &Lab, remote: &Remote, command: &str) -> Self {
        Self::logging_in(lab, remote, command, &Login::Key(lab.key("id")))
    }

    /// `limosa COMMAND` that reaches `remote` and logs in as told.
    pub fn logging_in(lab: &Lab, remote: &Remote, command: &str, login: &Login) -> Self {
        let client = Self::bare(lab).arg(command).args(remote.options()).arg("--accept-new");
        let client = client.arg("--known-hosts").arg(lab.path("known_hosts"));
        match login {
            Login::Key(key) => client.arg("-i").arg(key),
            Login::Agent(socket) => client.env("SSH_AUTH_SOCK", socket),
        }
    }

    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(arguments);
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn in_directory(mut self, directory: &Path) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// Starts it.
    pub fn spawn(mut self) -> Running {
        let mut child =
            self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (tell, lines) = channel();
        let out = child.stdout.take().unwrap();
        std::thread::spawn(move || read_lines(out, &tell));
        let mut err = child.stderr.take().unwrap();
        let errors = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = err.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        Running { child, lines, errors, read: Vec::new() }
    }

    /// Runs it to its end.
    pub fn run(self) -> Finished {
        self.spawn().finish()
    }

    /// Runs it to an end that must be success.
    pub fn succeed(self) -> Finished {
        let finished = self.run();
        assert_eq!(finished.exit(), Some(0), "{finished}");
        finished
    }
}

fn read_lines(out: ChildStdout, tell: &Sender<String>) {
    for line in BufReader::new(out).split(b'\n').map_while(Result::ok) {
        if tell.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
            return;
        }
    }
}

/// A client that runs.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    errors: JoinHandle<String>,
    read: Vec<String>,
}

impl Running {
    pub fn process(&self) -> Process {
        Process::new(self.child.id())
    }

    /// Reads events (`--json`) up to one that fits; none does if the client
    /// ends first.
    pub fn wait_for(&mut self, fits: impl Fn(&Value) -> bool) -> Option<Value> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let event = parse(&line);
                    self.read.push(line);
                    if fits(&event) {
                        return Some(event);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => panic!("the client says nothing: {:#?}", self.read),
            }
        }
    }

    /// Waits for the end; one that does not come is brought about, and fails
    /// the test.
    pub fn finish(mut self) -> Finished {
        let deadline = Instant::now() + DEADLINE;
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() > deadline => {
                    let _ = self.child.kill();
                    panic!("the client does not end; last it said {:?}", self.lines.iter().last().or(self.read.pop()));
                }
                None => std::thread::park_timeout(std::time::Duration::from_millis(2)),
            }
        };
        self.read.extend(self.lines.iter());
        Finished { status, lines: self.read, errors: self.errors.join().unwrap() }
    }
}

fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("not JSON ({error}): {line}"))
}

/// What a client did and said.
#[derive(Debug)]
pub struct Finished {
    pub status: ExitStatus,
    pub lines: Vec<String>,
    pub errors: String,
}

impl Finished {
    pub fn exit(&self) -> Option<i32> {
        self.status.code()
    }

    pub fn killed(&self) -> bool {
        self.status.signal().is_some()
    }

    /// The events that `--json` wrote. A killed client's last line may be torn.
    pub fn events(&self) -> Vec<Value> {
        let whole = if self.killed() { self.lines.len().saturating_sub(1) } else { self.lines.len() };
        self.lines[..whole].iter().map(|line| parse(line)).collect()
    }

    /// The summary, which is the last event.
    pub fn summary(&self) -> Value {
        let last = self.events().pop().unwrap_or_else(|| panic!("no event: {self}"));
        assert_eq!(last["event"], "summary", "{self}");
        last
    }

    /// Bytes that had crossed when progress was told last.
    pub fn crossed(&self) -> u64 {
        let told = self.events().into_iter().rev().find(|event| event["event"] == "progress");
        told.map_or(0, |progress| progress["bytes_crossed"].as_u64().unwrap())
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let last = self.lines.len().saturating_sub(4);
        writeln!(f, "{}\n{}\n{}", self.status, self.lines[last..].join("\n"), self.errors)
    }
}
