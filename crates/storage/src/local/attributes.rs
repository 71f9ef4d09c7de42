//! Attributes between the operating system's form and the contract's.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_OMIT, Uid};
use rustix::io::Errno;

use crate::metadata::{Attributes, Kind, Metadata, Owner, Special, Timestamp};

/// Unit of `st_blocks`, whatever the file system's own block size is.
const STAT_BLOCK: u64 = 512;

pub(super) fn kind(file_type: FileType) -> Kind {
    match file_type {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink,
        FileType::Fifo => Kind::Other(Special::Fifo),
        FileType::Socket => Kind::Other(Special::Socket),
        FileType::CharacterDevice | FileType::BlockDevice => Kind::Other(Special::Device),
        FileType::Unknown => Kind::Other(Special::Unknown),
    }
}

// The fields of `stat` differ in width and sign from machine to machine.
#[allow(clippy::unnecessary_cast, clippy::cast_lossless)]
pub(super) fn metadata(stat: &Stat) -> Metadata {
    Metadata {
        kind: kind(FileType::from_raw_mode(stat.st_mode)),
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mode: stat.st_mode as u32 & 0o7777,
        modified: Timestamp::new(stat.st_mtime as i64, stat.st_mtime_nsec as u32),
        changed: Timestamp::new(stat.st_ctime as i64, stat.st_ctime_nsec as u32),
        inode: stat.st_ino as u64,
        device: stat.st_dev as u64,
        links: stat.st_nlink as u64,
        allocated: u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(STAT_BLOCK),
        owner: Some(Owner { uid: stat.st_uid, gid: stat.st_gid }),
    }
}

/// Sets attributes of an open file. Owner first, since a change of owner
/// takes special mode bits away; time last, since everything changes it.
pub(super) fn set_on_handle(file: BorrowedFd<'_>, wanted: &Attributes) -> rustix::io::Result<()> {
    if let Some(owner) = wanted.owner {
        let (uid, gid) = ids(owner)?;
        rustix::fs::fchown(file, Some(uid), Some(gid))?;
    }
    if let Some(mode) = wanted.mode {
        rustix::fs::fchmod(file, Mode::from_raw_mode(mode & 0o7777))?;
    }
    if let Some(modified) = wanted.modified {
        rustix::fs::futimens(file, &timestamps(modified))?;
    }
    Ok(())
}

/// Sets attributes of a name, never of what a link points to, in the order of
/// [`set_on_handle`].
pub(super) fn set_on_name(parent: BorrowedFd<'_>, name: &[u8], wanted: &Attributes) -> rustix::io::Result<()> {
    if let Some(owner) = wanted.owner {
        let (uid, gid) = ids(owner)?;
        rustix::fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    if let Some(mode) = wanted.mode {
        set_mode(parent, name, Mode::from_raw_mode(mode & 0o7777))?;
    }
    if let Some(modified) = wanted.modified {
        let times = timestamps(modified);
        rustix::fs::utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(())
}

/// Sets the mode of a file or directory and leaves all else alone. There is
/// no portable call that does so for a name without following links, so the
/// entry is opened first.
fn set_mode(parent: BorrowedFd<'_>, name: &[u8], mode: Mode) -> rustix::io::Result<()> {
    let nofollow = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let entry = rustix::fs::openat(parent, name, nofollow | OFlags::PATH, Mode::empty())?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&entry)?.st_mode);
    let flags = match kind {
        FileType::Directory => nofollow | OFlags::DIRECTORY,
        FileType::RegularFile => nofollow | OFlags::NONBLOCK,
        _ => return Ok(()),
    };
    match rustix::fs::openat(parent, name, flags, Mode::empty()) {
        Ok(opened) => rustix::fs::fchmod(opened, mode),
        // Our own, but not readable: the handle names it through /proc.
        Err(Errno::ACCESS) => {
            let entry = format!("/proc/self/fd/{}", entry.as_fd().as_raw_fd());
            rustix::fs::chmod(entry, mode)
        }
        Err(errno) => Err(errno),
    }
}

fn ids(owner: Owner) -> rustix::io::Result<(Uid, Gid)> {
    // The highest number means "leave as it is" to the kernel.
    if owner.uid == u32::MAX || owner.gid == u32::MAX {
        return Err(Errno::INVAL);
    }
    Ok((Uid::from_raw(owner.uid), Gid::from_raw(owner.gid)))
}

fn timestamps(modified: Timestamp) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: modified.seconds(), tv_nsec: i64::from(modified.nanoseconds()) },
    }
}
