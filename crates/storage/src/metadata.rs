//! What a store tells about its files, and what may be set.

use std::fmt;

/// A point in time as file systems keep it: nanoseconds since 1970, also
/// before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp {
    seconds: i64,
    nanoseconds: u32,
}

impl Timestamp {
    /// Whole `seconds` since 1970-01-01T00:00:00Z, negative before it, and
    /// the `nanoseconds` that follow them. A fraction of a second or more is
    /// cut to the last nanosecond of the second.
    #[must_use]
    pub const fn new(seconds: i64, nanoseconds: u32) -> Self {
        let nanoseconds = if nanoseconds > 999_999_999 { 999_999_999 } else { nanoseconds };
        Self { seconds, nanoseconds }
    }

    /// Whole seconds since 1970, rounded down.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.seconds
    }

    /// Nanoseconds after the whole second, below 1,000,000,000.
    #[must_use]
    pub const fn nanoseconds(self) -> u32 {
        self.nanoseconds
    }
}

/// Files that are neither file, directory nor symbolic link. They are
/// reported, never opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Special {
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character or block device.
    Device,
    /// Something this version has no name for.
    Unknown,
}

/// What an entry of a directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// Anything else.
    Other(Special),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Symlink => "symbolic link",
            Self::Other(Special::Fifo) => "named pipe",
            Self::Other(Special::Socket) => "socket",
            Self::Other(Special::Device) => "device",
            Self::Other(Special::Unknown) => "special file",
        })
    }
}

/// The numeric owner of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// What a store knows of a file, directory or link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// What it is.
    pub kind: Kind,
    /// Length in bytes; of a link, the length of its target. Without meaning
    /// for a directory.
    pub size: u64,
    /// Permission bits, `0o7777` at most.
    pub mode: u32,
    /// Last change of the content.
    pub modified: Timestamp,
    /// Last change of content or attributes, as the system keeps it.
    pub changed: Timestamp,
    /// Number of the file on its device. Two names with the same `device`
    /// and `inode` are the same file.
    pub inode: u64,
    /// The device.
    pub device: u64,
    /// How many names the file has.
    pub links: u64,
    /// Bytes of storage in use; less than `size` for a file with holes.
    pub allocated: u64,
    /// User and group, where the store knows such a thing.
    pub owner: Option<Owner>,
}

impl Metadata {
    /// Whether `other`, taken of the same path at another time, describes the
    /// same content as far as a store can tell without reading it: same file,
    /// size, and times of change. A source for which this does not hold
    /// before and after reading has changed meanwhile.
    #[must_use]
    pub fn same_content_as(&self, other: &Self) -> bool {
        self.kind == other.kind
            && (self.device, self.inode) == (other.device, other.inode)
            && self.size == other.size
            && self.modified == other.modified
            && self.changed == other.changed
    }

    /// Whether this is a regular file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.kind == Kind::File
    }

    /// Whether this is a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }
}

/// Attributes to be set; what is `None` stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes {
    /// Permission bits; bits outside `0o7777` are ignored.
    pub mode: Option<u32>,
    /// Last change of the content.
    pub modified: Option<Timestamp>,
    /// User and group. Most processes may not set it.
    pub owner: Option<Owner>,
}

impl Attributes {
    /// Sets the permission bits.
    #[must_use]
    pub fn with_mode(self, mode: u32) -> Self {
        Self { mode: Some(mode), ..self }
    }

    /// Sets the time of the last change.
    #[must_use]
    pub fn with_modified(self, modified: Timestamp) -> Self {
        Self { modified: Some(modified), ..self }
    }

    /// Sets user and group.
    #[must_use]
    pub fn with_owner(self, owner: Owner) -> Self {
        Self { owner: Some(owner), ..self }
    }
}
