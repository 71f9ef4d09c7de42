//! What a run leaves on the machine beside its own process: network namespaces
//! with whatever runs in them, and directories. All of it goes when its owner
//! does, and also when the run is interrupted, since an owner's `drop` is not
//! reached then.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use crate::network::ip;

/// Everything of this process that is to go. Whoever is at it holds the lock,
/// so that nothing is made while an interrupted run is tidied up.
static REMAINS: Mutex<Vec<Remains>> = Mutex::new(Vec::new());

/// One thing that would stay.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Remains {
    Namespace(String),
    Directory(PathBuf),
}

impl Remains {
    fn remove(&self) {
        match self {
            Self::Namespace(name) => {
                end_processes(name);
                let _ = ip(&format!("netns delete {name}"));
            }
            Self::Directory(path) => {
                let _ = fs::remove_dir_all(path);
            }
        }
    }
}

fn remains() -> MutexGuard<'static, Vec<Remains>> {
    REMAINS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A thing that goes when this does, or when [`go_when_interrupted`] says so.
#[derive(Debug)]
struct Owned(Remains);

impl Owned {
    /// Lets `make` bring it about.
    fn make(what: Remains, make: impl FnOnce() -> io::Result<()>) -> io::Result<Self> {
        let mut all = remains();
        make()?;
        all.push(what.clone());
        Ok(Self(what))
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let mut all = remains();
        self.0.remove();
        all.retain(|other| *other != self.0);
    }
}

/// A network namespace; it goes when this does, with every process in it.
#[derive(Debug)]
pub(crate) struct Namespace {
    name: String,
    _owned: Owned,
}

impl Namespace {
    /// Makes it.
    ///
    /// # Errors
    /// Without root or `ip`, or if the name is taken.
    pub(crate) fn make(name: &str) -> io::Result<Self> {
        let owned = Owned::make(Remains::Namespace(name.to_owned()), || ip(&format!("netns add {name}")))?;
        Ok(Self { name: name.to_owned(), _owned: owned })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Ends every process in it.
    pub(crate) fn end_processes(&self) {
        end_processes(&self.name);
    }
}

/// A directory; it goes when this does, with everything in it.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    _owned: Owned,
}

impl Directory {
    /// Makes it and those above it.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(crate) fn make(path: PathBuf) -> io::Result<Self> {
        let owned = Owned::make(Remains::Directory(path.clone()), || fs::create_dir_all(&path))?;
        Ok(Self { path, _owned: owned })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// From now on SIGINT and SIGTERM end this process after everything went that
/// would stay. Not SIGHUP, which `nohup` asks to be ignored.
///
/// # Errors
/// If the signals cannot be taken over.
pub fn go_when_interrupted() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let entered = runtime.enter();
    let mut signals = Vec::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        signals.push((kind, signal(kind)?));
    }
    drop(entered);
    let first = std::future::poll_fn(move |context| {
        let came = signals.iter_mut().find_map(|(kind, signal)| signal.poll_recv(context).is_ready().then_some(*kind));
        came.map_or(Poll::Pending, Poll::Ready)
    });
    let tidy_up = move || {
        let kind = runtime.block_on(first);
        // Never given back: who wants to make or remove something waits for the end.
        let all = remains();
        all.iter().rev().for_each(Remains::remove);
        eprintln!("interrupted; what was made for the run is removed");
        // As a shell says it.
        std::process::exit(128 + kind.as_raw_value())
    };
    thread::Builder::new().name("interrupts".into()).spawn(tidy_up).map(drop)
}

/// Ends what is left in a namespace of ours, such as the server's half of a
/// session whose client was stopped.
fn end_processes(namespace: &str) {
    let Ok(listed) = Command::new("ip").args(["netns", "pids", namespace]).output() else { return };
    let processes = String::from_utf8_lossy(&listed.stdout);
    for process in processes.split_whitespace().filter_map(|word| word.parse().ok().and_then(Pid::from_raw)) {
        let _ = kill_process(process, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_listed(path: &Path) -> bool {
        remains().contains(&Remains::Directory(path.to_owned()))
    }

    #[test]
    fn what_is_made_is_listed_until_it_goes() {
        let path = std::env::temp_dir().join(format!("limosa-remains-{}", std::process::id()));
        let directory = Directory::make(path.clone()).unwrap();
        assert!(directory.path().is_dir() && is_listed(&path));
        drop(directory);
        assert!(!path.exists() && !is_listed(&path));
    }

    #[test]
    fn what_could_not_be_made_is_not_listed() {
        let path = PathBuf::from("/proc/limosa/never");
        assert!(Directory::make(path.clone()).is_err());
        assert!(!is_listed(&path));
    }
}
