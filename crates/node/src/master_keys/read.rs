//! What files and programs say, as far as it can be a key.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use limosa_seal::SecretBytes;
use rustix::process::{Pid, Signal, kill_process_group};

use super::KeyError;

/// Longest text a key is read from, bytes.
const LIMIT: u64 = 4096;
/// Time a program has to print a key.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// How often a program is asked whether it has ended.
const LOOK: Duration = Duration::from_millis(5);

/// What others than its owner may not read.
pub(super) fn read_file(path: &Path) -> Result<SecretBytes, KeyError> {
    let file = open_promptly(path)?;
    match mode(&file)? & 0o077 {
        0 => read_at_most(file),
        _ => Err(KeyError::Open(mode(&file)?)),
    }
}

/// Opens what everybody may read, but nobody else write: nobody but the
/// administrator and this process's own user can have chosen what it says.
pub(super) fn open_trusted(path: &Path) -> Result<File, KeyError> {
    let file = open_promptly(path)?;
    let mode = mode(&file)?;
    if mode & 0o022 != 0 {
        return Err(KeyError::Writable(mode));
    }
    let (owner, me) = (file.metadata()?.uid(), rustix::process::geteuid().as_raw());
    if owner != me && owner != 0 {
        return Err(KeyError::Foreign { owner, me });
    }
    Ok(file)
}

/// A pipe would be waited for.
fn open_promptly(path: &Path) -> io::Result<File> {
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    OpenOptions::new().read(true).custom_flags(nonblocking).open(path)
}

fn mode(file: &File) -> io::Result<u32> {
    Ok(file.metadata()?.permissions().mode() & 0o777)
}

/// A name without a way to another directory.
pub(super) fn plain_name(name: &str) -> io::Result<&str> {
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a credential has a plain name"));
    }
    Ok(name)
}

pub(super) fn read_at_most(source: impl Read) -> Result<SecretBytes, KeyError> {
    Ok(read_bounded(source)?)
}

fn read_bounded(source: impl Read) -> io::Result<SecretBytes> {
    // Read into one place, so that no copy is left behind in a smaller one.
    let mut bytes = Vec::with_capacity(LIMIT as usize + 1);
    source.take(LIMIT).read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

pub(super) fn read_command(words: &[String]) -> Result<SecretBytes, KeyError> {
    let nothing = || io::Error::new(io::ErrorKind::InvalidInput, "no program is named");
    let (program, arguments) = words.split_first().ok_or_else(nothing)?;
    let mut command = Command::new(program);
    // What it starts itself is ended with it, and so in a group with it.
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
    let mut child = command.spawn()?;
    let result = printed(&mut child, Instant::now() + PATIENCE);
    if !matches!(result, Ok(_) | Err(KeyError::Failed(_))) {
        end(&mut child);
    }
    result
}

/// Ends a program that was not waited for yet, and all that it started.
fn end(child: &mut Child) {
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    let _ = child.wait();
}

/// What a program prints until it ends in order.
fn printed(child: &mut Child, deadline: Instant) -> Result<SecretBytes, KeyError> {
    let stdout = child.stdout.take().ok_or_else(|| io::Error::other("its output cannot be read"))?;
    let (tell, told) = mpsc::channel();
    // Ends when the program and what it started do, or close its output.
    std::thread::spawn(move || tell.send(read_bounded(stdout)));
    let left = |deadline: Instant| deadline.saturating_duration_since(Instant::now());
    let text = told.recv_timeout(left(deadline)).map_err(|_| KeyError::Slow)??;
    loop {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(text),
            Some(status) => return Err(KeyError::Failed(status)),
            None if left(deadline).is_zero() => return Err(KeyError::Slow),
            None => std::thread::sleep(LOOK),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No end counts as a failure of the test after this.
    const DEADLINE: Duration = Duration::from_secs(30);

    #[test]
    fn a_program_that_does_not_end_is_ended_with_all_that_it_started() {
        // The reader has the other end of this pipe for as long as `cat` lives.
        let (alive, held) = io::pipe().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "cat >&2 | cat >&2; true"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(held).process_group(0).spawn().unwrap();
        drop(command);
        assert!(matches!(printed(&mut child, Instant::now()), Err(KeyError::Slow)));
        let stdin = child.stdin.take();
        end(&mut child);
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || tell.send(read_bounded(alive).is_ok()));
        assert_eq!(told.recv_timeout(DEADLINE), Ok(true), "something is still running");
        drop(stdin);
    }
}
