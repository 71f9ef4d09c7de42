//! The two calls to the kernel that no crate wraps, and all unsafe code of
//! this crate.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Makes an open `/dev/net/tun` the device `name` of this thread's network
/// namespace, for IP packets with nothing in front of them, which are received
/// as from a network card: several at once.
pub(crate) fn make_device(tun: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    // SAFETY: `ifreq` is plain data, for which zeros are a value: an empty name
    // and no flags.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero: it ends the name.
    let Some(room) = request.ifr_name.get_mut(..name.len()).filter(|_| name.len() < libc::IFNAMSIZ) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a device has a shorter name"));
    };
    for (to, from) in room.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_NAPI) as libc::c_short;
    // SAFETY: the descriptor is open while it is borrowed; the kernel reads and
    // writes one `ifreq`, which lives through the call.
    let result = unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Lets this thread run before all ordinary ones whenever it has something to
/// do, if the system permits; whether it does.
pub(crate) fn run_first() -> bool {
    /// Above ordinary threads, below most of the kernel's own.
    const PRIORITY: libc::c_int = 10;
    let parameters = libc::sched_param { sched_priority: PRIORITY };
    // SAFETY: 0 is the calling thread, and the parameters are read from a live
    // structure.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) };
    result == 0
}
