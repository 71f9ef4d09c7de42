//! The two socket options that no crate wraps.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Asks the kernel not to attach receive times to datagrams.
///
/// quinn-udp switches them on, and its buffer for ancillary data is too short
/// for all of time, destination, coalesced size and ECN: the kernel then cuts
/// off what comes last, which is ECN.
pub(crate) fn disable_receive_times(socket: BorrowedFd<'_>) -> io::Result<()> {
    let off: libc::c_int = 0;
    // SAFETY: the descriptor is open while it is borrowed, and the option is
    // read from a live integer whose size is passed along.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMPNS,
            (&raw const off).cast(),
            size_of_val(&off) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Datagrams the kernel dropped at this socket since it was made: buffer full,
/// or refused by a filter. `None` where the kernel does not tell (before 4.12).
pub(crate) fn drops(socket: BorrowedFd<'_>) -> Option<u32> {
    /// Place of the counter among the `SK_MEMINFO_*` values.
    const SK_MEMINFO_DROPS: usize = 8;
    let mut info = [0_u32; SK_MEMINFO_DROPS + 1];
    let mut length = size_of_val(&info) as libc::socklen_t;
    // SAFETY: the descriptor is open while it is borrowed, and the kernel
    // writes at most `length` bytes, the size of the array.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    (result == 0 && length as usize == size_of_val(&info)).then_some(info[SK_MEMINFO_DROPS])
}
