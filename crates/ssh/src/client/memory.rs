//! What worked last time, per host: the port that answered and how a session
//! was started. It saves a round trip and a refused connection; being wrong
//! costs one, and corrects itself. So nothing about it is ever an error.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// How a session is started at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Remote {
    /// By the subsystem, set up by the server's administrator.
    Subsystem,
    /// By executing the session command, with the rights of the login.
    Command,
}

impl Remote {
    fn name(self) -> &'static str {
        match self {
            Self::Subsystem => "subsystem",
            Self::Command => "command",
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Subsystem => Self::Command,
            Self::Command => Self::Subsystem,
        }
    }
}

/// Most hosts remembered; the longest unused are forgotten.
const CAPACITY: usize = 500;

/// The memory, a small text file: `host port how` a line, the latest last.
#[derive(Clone, Debug)]
pub struct RemoteMemory {
    file: Option<PathBuf>,
}

impl RemoteMemory {
    /// The memory in `file`.
    #[must_use]
    pub fn in_file(file: PathBuf) -> Self {
        Self { file: Some(file) }
    }

    /// The user's memory, in the state directory of the platform.
    #[must_use]
    pub fn of_user() -> Self {
        Self { file: state_directory().map(|state| state.join("limosa/remotes")) }
    }

    /// No memory at all.
    #[must_use]
    pub fn none() -> Self {
        Self { file: None }
    }

    /// How a session was last started at `host` and `port`.
    #[must_use]
    pub fn remote(&self, host: &str, port: u16) -> Option<Remote> {
        let lines = self.lines();
        let found = lines.iter().rev().find(|line| line.host == host && line.port == port);
        found.map(|line| line.remote)
    }

    /// The port at which `host` was last reached.
    #[must_use]
    pub fn port(&self, host: &str) -> Option<u16> {
        let lines = self.lines();
        lines.iter().rev().find(|line| line.host == host).map(|line| line.port)
    }

    /// Remembers that `remote` worked at `host` and `port`.
    pub fn remember(&self, host: &str, port: u16, remote: Remote) {
        let Some(file) = &self.file else {
            return;
        };
        let mut lines = self.lines();
        let newest = lines.last();
        if newest.is_some_and(|l| l.host == host && l.port == port && l.remote == remote) {
            return;
        }
        lines.retain(|line| !(line.host == host && line.port == port));
        lines.push(Line { host: host.to_owned(), port, remote });
        let surplus = lines.len().saturating_sub(CAPACITY);
        if let Err(error) = replace(file, &lines[surplus..]) {
            tracing::debug!(%error, file = %file.display(), "what worked is not remembered");
        }
    }

    fn lines(&self) -> Vec<Line> {
        let text = self.file.as_ref().and_then(|file| fs::read_to_string(file).ok());
        text.unwrap_or_default().lines().filter_map(Line::parse).collect()
    }
}

/// Where programs remember things for the user, by the XDG Base Directory
/// specification; `None` without a home.
#[must_use]
pub fn state_directory() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let state = state.filter(|path| path.is_absolute());
    state.or_else(|| Some(std::env::home_dir()?.join(".local/state")))
}

/// Writes `lines` beside `file` and renames them over it.
fn replace(file: &Path, lines: &[Line]) -> std::io::Result<()> {
    let directory = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    let staged = directory.join(format!(".remotes.{}", std::process::id()));
    let mut out = fs::File::create(&staged)?;
    for line in lines {
        writeln!(out, "{} {} {}", line.host, line.port, line.remote.name())?;
    }
    drop(out);
    fs::rename(&staged, file)
}

#[derive(Debug)]
struct Line {
    host: String,
    port: u16,
    remote: Remote,
}

impl Line {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let (host, port) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
        let how = words.next()?;
        let remote = [Remote::Subsystem, Remote::Command].into_iter().find(|remote| remote.name() == how)?;
        Some(Self { host, port, remote })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_holds_and_garbage_does_not_matter() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("state/remotes");
        let memory = RemoteMemory::in_file(file.clone());
        assert_eq!(memory.remote("h", 22), None);
        memory.remember("h", 22, Remote::Command);
        memory.remember("h", 33001, Remote::Subsystem);
        fs::write(&file, fs::read_to_string(&file).unwrap() + "garbage\nx y z\n").unwrap();
        assert_eq!(memory.remote("h", 22), Some(Remote::Command));
        assert_eq!(memory.port("h"), Some(33001));
        memory.remember("h", 22, Remote::Subsystem);
        assert_eq!(memory.remote("h", 22), Some(Remote::Subsystem));
        assert_eq!(memory.port("h"), Some(22));
    }

    #[test]
    fn it_stays_small() {
        let dir = tempfile::tempdir().unwrap();
        let memory = RemoteMemory::in_file(dir.path().join("remotes"));
        let line = |n: usize| format!("host{n} 22 command\n");
        let full: String = (0..CAPACITY).map(line).collect();
        fs::write(dir.path().join("remotes"), full).unwrap();
        memory.remember("new", 22, Remote::Command);
        assert_eq!(memory.lines().len(), CAPACITY);
        assert_eq!(memory.remote("host0", 22), None);
    }
}
