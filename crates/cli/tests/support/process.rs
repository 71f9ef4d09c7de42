//! Processes by number: those this test started, and their parents.

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::until;

/// A process that a test may signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process(Pid);

impl Process {
    pub fn new(number: u32) -> Self {
        let number = i32::try_from(number).ok().and_then(Pid::from_raw);
        Self(number.expect("a process's number"))
    }

    pub fn number(self) -> i32 {
        self.0.as_raw_pid()
    }

    /// Ends it at once; one that is gone already is none to end.
    pub fn kill(self) {
        let _ = kill_process(self.0, Signal::KILL);
    }

    pub fn interrupt(self) {
        let _ = kill_process(self.0, Signal::INT);
    }

    pub fn terminate(self) {
        let _ = kill_process(self.0, Signal::TERM);
    }

    /// Halts it until it is killed or [`resumed`](Self::resume).
    pub fn halt(self) {
        let _ = kill_process(self.0, Signal::STOP);
    }

    pub fn resume(self) {
        let _ = kill_process(self.0, Signal::CONT);
    }

    pub fn lives(self) -> bool {
        test_kill_process(self.0).is_ok() && !self.is_zombie()
    }

    /// Whether it is over. The first thread of a killed process may be a zombie
    /// while another one finishes the call it is in, and makes a file by it.
    fn is_zombie(self) -> bool {
        let first_is = self.status("State:").is_none_or(|state| state.starts_with('Z'));
        let threads = self.status("Threads:").and_then(|threads| threads.parse::<u32>().ok());
        first_is && threads.is_none_or(|threads| threads <= 1)
    }

    /// Whether it is the program under test, and not one that got its number.
    pub fn runs_limosa(self) -> bool {
        // Where the program lies is not told of a process that lets nobody
        // look into it.
        let name = std::fs::read_to_string(format!("/proc/{}/comm", self.0.as_raw_nonzero()));
        name.is_ok_and(|name| name.trim_end() == "limosa")
    }

    /// The process that started it.
    pub fn parent(self) -> Option<Self> {
        self.status("PPid:")?.parse().ok().map(Self::new)
    }

    /// A process that it started.
    pub fn child(self) -> Option<Self> {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.0.as_raw_nonzero())).ok()?;
        let children =
            threads.flatten().filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
        children.collect::<String>().split_whitespace().next()?.parse().ok().map(Self::new)
    }

    /// Bytes of its memory that are in memory.
    pub fn resident(self) -> u64 {
        let said = self.status("VmRSS:").unwrap();
        said.trim_end_matches("kB").trim().parse::<u64>().unwrap() << 10
    }

    fn status(self, field: &str) -> Option<String> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.as_raw_nonzero())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        Some(line.trim().to_owned())
    }
}

/// Waits until a process is gone.
pub fn wait_gone(what: &str, process: Process) {
    until(what, || (!process.lives()).then_some(()));
}
