//! One run of a program against the clock: how many bytes, how long, what it
//! took of the machine, and whether it ended by itself.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use serde_json::{Value, json};

use crate::processor::Machine;
use crate::scratch::bytes_taken;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The program was done, and says that all went well.
    Done,
    /// It was stopped when its time was over.
    Stopped,
    /// It gave up, or what arrived is not what was sent.
    Failed,
}

/// What a run gave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trial {
    /// How it ended.
    pub ending: Ending,
    /// From the start of the program to its end.
    pub seconds: f64,
    /// Bytes at the destination by then.
    pub bytes: u64,
    /// CPU time of the whole machine in between.
    pub cpu: Duration,
    /// Time that the machine's host took from it meanwhile.
    pub stolen: Duration,
}

impl Trial {
    /// Runs `command`, which brings `bytes` to `destination`, for at most `cap`.
    ///
    /// # Errors
    /// If it cannot be started, or the kernel does not tell about it.
    pub fn run(mut command: Command, destination: &Path, bytes: u64, cap: Duration) -> io::Result<Self> {
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null());
        let machine = || Machine::now().ok_or(io::Error::from(io::ErrorKind::Unsupported));
        let (before, began) = (machine()?, Instant::now());
        let mut child = command.spawn()?;
        let status = await_end(&mut child, cap)?;
        let (seconds, Machine { busy, stolen }) = (began.elapsed().as_secs_f64(), machine()?.since(before));
        let ending = match status {
            Some(status) if status.success() => Ending::Done,
            Some(_) => Ending::Failed,
            None => Ending::Stopped,
        };
        let bytes = if ending == Ending::Done { bytes } else { bytes_taken(destination) };
        if status.is_none() {
            let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
            child.wait()?;
        }
        Ok(Self { ending, seconds, bytes, cpu: busy, stolen })
    }

    /// Bits per second that arrived, set-up included.
    #[must_use]
    pub fn goodput(&self) -> f64 {
        self.bytes as f64 * 8.0 / self.seconds
    }

    /// CPU seconds for 10^9 bytes.
    #[must_use]
    pub fn cpu_per_gigabyte(&self) -> f64 {
        self.cpu.as_secs_f64() / (self.bytes as f64 / 1e9)
    }

    /// As an object for a record.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let ending = match self.ending {
            Ending::Done => "done",
            Ending::Stopped => "stopped",
            Ending::Failed => "failed",
        };
        let (cpu, stolen) = (self.cpu.as_secs_f64(), self.stolen.as_secs_f64());
        json!({ "ending": ending, "seconds": self.seconds, "bytes": self.bytes, "cpu": cpu, "stolen": stolen })
    }

    /// What [`Self::to_json`] wrote.
    #[must_use]
    pub fn from_json(value: &Value) -> Option<Self> {
        let ending = match value["ending"].as_str()? {
            "done" => Ending::Done,
            "stopped" => Ending::Stopped,
            "failed" => Ending::Failed,
            _ => return None,
        };
        let time = |key: &str| Duration::try_from_secs_f64(value[key].as_f64()?).ok();
        let (seconds, bytes) = (value["seconds"].as_f64()?, value["bytes"].as_u64()?);
        Some(Self { ending, seconds, bytes, cpu: time("cpu")?, stolen: time("stolen")? })
    }
}

/// Waits for the end of a program; `None` if it still runs when its time is
/// over.
fn await_end(child: &mut Child, cap: Duration) -> io::Result<Option<ExitStatus>> {
    let process = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let cap = Timespec::try_from(cap).map_err(io::Error::other)?;
    match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&cap))? {
        0 => Ok(None),
        _ => child.wait().map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn shell(script: &str, cap: Duration) -> Trial {
        let scratch = Scratch::below(&std::env::temp_dir(), &format!("trial-{}", script.len())).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).arg(scratch.path("arrived"));
        Trial::run(command, &scratch.path("arrived"), 8192, cap).unwrap()
    }

    #[test]
    fn only_those_who_end_by_themselves_have_brought_everything() {
        const LONG: Duration = Duration::from_secs(60);
        let done = shell("true", LONG);
        assert_eq!((done.ending, done.bytes), (Ending::Done, 8192));
        let failed = shell("head -c 4096 /dev/zero > $1; exit 3", LONG);
        assert_eq!((failed.ending, failed.bytes), (Ending::Failed, 4096));
        // Its child must not outlive it either: the pipe would stay open.
        let stopped = shell("sleep 600 & wait", Duration::from_millis(50));
        assert_eq!((stopped.ending, stopped.bytes), (Ending::Stopped, 0));
        assert!(stopped.seconds < LONG.as_secs_f64());
    }

    #[test]
    fn a_record_reads_as_it_was_written() {
        let (cpu, stolen) = (Duration::from_millis(40), Duration::from_millis(10));
        let trial = Trial { ending: Ending::Stopped, seconds: 2.5, bytes: 7, cpu, stolen };
        assert_eq!(Trial::from_json(&trial.to_json()), Some(trial));
        assert_eq!(Trial::from_json(&json!({ "ending": "well" })), None);
    }
}
