//! CPU time of processes, as the kernel counts it.

use std::fs;
use std::time::Duration;

/// The kernel tells times in hundredths of a second on every machine.
const TICK: Duration = Duration::from_millis(10);

/// CPU time of a process so far, user and system.
#[must_use]
pub fn of(process: u32) -> Option<Duration> {
    sum(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?, 14)
}

/// CPU time of all ended processes that this one has started and waited for.
#[must_use]
pub fn of_children() -> Option<Duration> {
    sum(&fs::read_to_string("/proc/self/stat").ok()?, 16)
}

/// Two fields of a `stat` line, counted as proc(5) does: from 1.
fn sum(stat: &str, first: usize) -> Option<Duration> {
    // The second field, a name in parentheses, may hold spaces.
    let behind_name = stat.rsplit_once(')')?.1;
    let mut fields = behind_name.split_whitespace().skip(first - 3);
    let ticks = fields.next()?.parse::<u32>().ok()? + fields.next()?.parse::<u32>().ok()?;
    Some(TICK * ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_fields_are_added() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 2 3 4 50 60 70 80 20 0";
        assert_eq!(sum(stat, 14), Some(TICK * 110));
        assert_eq!(sum(stat, 16), Some(TICK * 150));
    }
}
