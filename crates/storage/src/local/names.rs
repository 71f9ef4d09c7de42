//! What is done to names: one open directory and one name in it.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::file::uninterrupted;
use crate::contract::Overwrite;

/// How often an operation is tried again that others keep disturbing.
const ATTEMPTS: usize = 16;

/// Never through a link, never waiting for a pipe's other end, never handed
/// to a child process.
const CAREFUL: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);
/// Files and directories are made for their owner alone.
const OWNER_FILE: Mode = Mode::RUSR.union(Mode::WUSR);

/// Opens a name that is no link.
pub(super) fn open(parent: BorrowedFd<'_>, name: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    uninterrupted(|| rustix::fs::openat(parent, name, CAREFUL | flags, OWNER_FILE))
}

/// Makes a new file, in the place of whatever file or link has the name. The
/// old one is removed, not emptied: it may have other names.
pub(super) fn create(parent: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
    for _ in 0..ATTEMPTS {
        match open(parent, name, flags) {
            Err(Errno::EXIST) => {}
            result => return result,
        }
        match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::EXIST)
}

/// Lets only regular files pass. Pipes, sockets and devices are refused.
pub(super) fn regular(file: OwnedFd) -> rustix::io::Result<OwnedFd> {
    match FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) {
        FileType::RegularFile => Ok(file),
        FileType::Directory => Err(Errno::ISDIR),
        _ => Err(Errno::OPNOTSUPP),
    }
}

/// Gives `from` the name `to` in one step.
pub(super) fn rename(
    from: (BorrowedFd<'_>, &[u8]),
    to: (BorrowedFd<'_>, &[u8]),
    overwrite: Overwrite,
) -> rustix::io::Result<()> {
    match overwrite {
        Overwrite::Replace => match rustix::fs::renameat(from.0, from.1, to.0, to.1) {
            // The kernel's word for the directory that holds the file itself.
            Err(Errno::NOTEMPTY) => Err(Errno::ISDIR),
            result => result,
        },
        Overwrite::MustNotExist => {
            let flags = RenameFlags::NOREPLACE;
            match rustix::fs::renameat_with(from.0, from.1, to.0, to.1, flags) {
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => link_over(from, to),
                result => result,
            }
        }
    }
}

/// For file systems that cannot rename without replacing: a second name is
/// never given to what exists, so it serves as well.
fn link_over(from: (BorrowedFd<'_>, &[u8]), to: (BorrowedFd<'_>, &[u8])) -> rustix::io::Result<()> {
    rustix::fs::linkat(from.0, from.1, to.0, to.1, AtFlags::empty())?;
    rustix::fs::unlinkat(from.0, from.1, AtFlags::empty())
}

/// Locks the file that has the name and returns the handle that holds the
/// lock. Between opening and locking the name may pass to another file; then
/// the lock is on the wrong one and it starts again.
pub(super) fn lock(parent: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    for _ in 0..ATTEMPTS {
        let file = regular(open(parent, name, OFlags::RDWR | OFlags::CREATE)?)?;
        uninterrupted(|| rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive))?;
        let locked = rustix::fs::fstat(&file)?;
        match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(named) if (named.st_dev, named.st_ino) == (locked.st_dev, locked.st_ino) => {
                return Ok(file);
            }
            Ok(_) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::WOULDBLOCK)
}
