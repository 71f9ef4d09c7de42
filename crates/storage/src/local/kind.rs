//! What kind of file system something is on, where that makes a difference.

use std::os::fd::AsFd;

/// A type of file system, as statfs(2) numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileSystemKind(u64);

impl FileSystemKind {
    /// In memory.
    pub(super) const TMPFS: Self = Self(0x0102_1994);
    /// ext2 to ext4.
    pub(super) const EXT: Self = Self(0xef53);
    pub(super) const XFS: Self = Self(0x5846_5342);
    pub(super) const BTRFS: Self = Self(0x9123_683e);
    pub(super) const F2FS: Self = Self(0xf2f5_2010);
    pub(super) const FAT: Self = Self(0x4d44);
    pub(super) const EXFAT: Self = Self(0x2011_bab0);

    /// That of an open file or directory; `None` for a number that is none of
    /// the above on this machine.
    pub(super) fn of(handle: impl AsFd) -> rustix::io::Result<Option<Self>> {
        let number = rustix::fs::fstatfs(handle)?.f_type;
        // The type is signed on some machines, and narrower on others.
        Ok(u64::try_from(number).ok().map(Self))
    }
}
