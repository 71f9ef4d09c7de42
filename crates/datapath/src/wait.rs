//! Sleeping until something can be done, to the microsecond.

use std::io;
use std::num::NonZeroU64;
use std::os::fd::AsFd;
use std::time::{Duration, Instant, SystemTime};

use limosa_transport::Time;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// The clock of one driver: monotonic, and at its start in step with the
/// wall clock. Senders that do not know of each other let the line's queue run
/// empty at the same moments, which takes a clock they share to within about a
/// round trip.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    wall: Duration,
}

impl Clock {
    /// A clock that shows the time since 1970 now, and from then on what the
    /// monotonic clock adds, however the wall clock is set meanwhile.
    #[must_use]
    pub fn start() -> Self {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), wall }
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Time {
        // 2^64 ns since 1970 end in the year 2554.
        Time::from_nanos(u64::try_from((self.wall + self.started.elapsed()).as_nanos()).unwrap_or(u64::MAX))
    }
}

/// Lets the calling thread's sleeps end on time instead of up to 50 µs later,
/// which is the kernel's default, so that other threads wake along with it.
pub(crate) fn sleep_precisely() {
    // Refused nowhere; if it were, pacing would only be coarser.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
}

/// Something to wait for at a descriptor.
pub(crate) fn readable(fd: &impl AsFd) -> PollFd<'_> {
    PollFd::new(fd, PollFlags::IN)
}

/// The same, where it is also to be written to.
pub(crate) fn readable_and_writable(fd: &impl AsFd) -> PollFd<'_> {
    PollFd::new(fd, PollFlags::IN | PollFlags::OUT)
}

/// Sleeps until one of `fds` is ready or `timeout` has passed.
pub(crate) fn wait(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> io::Result<()> {
    // A duration too long for the kernel is as good as none.
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    match poll(fds, timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
