//! CPU time of processes and of the machine, as the kernel counts it.

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

/// What all processors of a machine did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// CPU time of everything, the kernel and its interrupts included.
    pub busy: Duration,
    /// Time in which there was work, and a host had given the processor to
    /// others.
    pub stolen: Duration,
}

impl Machine {
    /// This one.
    #[must_use]
    pub fn now() -> Option<Self> {
        Self::read(fs::read_to_string("/proc/stat").ok()?.lines().next()?)
    }

    /// What was done since `earlier`.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self { busy: self.busy.saturating_sub(earlier.busy), stolen: self.stolen.saturating_sub(earlier.stolen) }
    }

    /// A line `cpu USER NICE SYSTEM IDLE WAIT IRQ SOFTIRQ STOLEN …`.
    fn read(line: &str) -> Option<Self> {
        let times = line.strip_prefix("cpu ")?.split_whitespace().map(str::parse::<u32>);
        let times: Vec<u32> = times.collect::<Result<_, _>>().ok()?;
        let [user, nice, system, _idle, _wait, irq, softirq, stolen, ..] = times[..] else { return None };
        Some(Self { busy: TICK * (user + nice + system + irq + softirq), stolen: TICK * stolen })
    }
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

    #[test]
    fn idle_and_stolen_time_is_not_busy() {
        let machine = Machine { busy: TICK * 408, stolen: TICK * 900_000 };
        assert_eq!(Machine::read("cpu  1 20 300 5000 60000 7 80 900000 0 0"), Some(machine));
        assert_eq!(Machine::read("intr 1 2 3"), None);
    }
}
