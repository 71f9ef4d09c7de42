//! What processes take of memory, as the kernel counts it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

/// How often is looked.
const EVERY: Duration = Duration::from_millis(50);

/// A line of `/proc/PID/status` that counts kilobytes, in bytes.
#[must_use]
pub fn status(process: u32, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? << 10)
}

/// A process that was watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Its program and first argument.
    pub name: String,
    /// The most resident memory it ever had, bytes.
    pub peak: u64,
}

/// Watches all processes that run `program` until `child`, which is one of
/// them, ends; it must succeed.
///
/// # Errors
/// If the child cannot be waited for or does not succeed.
pub fn watch(program: &Path, mut child: Child) -> std::io::Result<Vec<Watched>> {
    let mut seen: BTreeMap<u32, Watched> = BTreeMap::new();
    loop {
        for process in processes_of(program) {
            let Some(peak) = status(process, "VmHWM") else { continue };
            let watched = seen.entry(process).or_insert_with(|| Watched { name: command(process), peak: 0 });
            watched.peak = watched.peak.max(peak);
        }
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(seen.into_values().collect()),
            Some(status) => return Err(std::io::Error::other(status.to_string())),
            None => {}
        }
        std::thread::sleep(EVERY);
    }
}

fn processes_of(program: &Path) -> Vec<u32> {
    let numbers = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let runs_it = |process: &u32| fs::read_link(format!("/proc/{process}/exe")).is_ok_and(|exe| exe == program);
    numbers.filter(runs_it).collect()
}

/// Program and first argument.
fn command(process: u32) -> String {
    let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    let words: Vec<_> = line.split(|byte| *byte == 0).take(2).map(String::from_utf8_lossy).collect();
    let program = words.first().and_then(|program| program.rsplit('/').next()).unwrap_or_default().to_owned();
    format!("{program} {}", words.get(1).map_or("", |word| word.as_ref()))
}
