//! From a path to an open handle, without leaving the root.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::walk;
use crate::error::{ErrorKind, Operation, StorageError};
use crate::path::StorePath;

/// How often a lookup is tried again that a rename elsewhere has disturbed,
/// before it is walked by hand.
const DISTURBED_LOOKUPS: usize = 32;

/// Where symbolic links may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confinement {
    /// Links are followed as long as they stay below the root; an absolute
    /// target counts as outside.
    Inside,
    /// No link is followed.
    NoLinks,
    /// Links are followed wherever they lead, as for any program of the same
    /// user. For a client's own files; never for paths of a peer.
    Anywhere,
}

/// Who enforces the confinement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolver {
    /// The kernel, by `openat2` with `RESOLVE_BENEATH`.
    Kernel,
    /// This process, opening one component after the other and following
    /// links by hand. For kernels and sandboxes that refuse `openat2`.
    Walk,
}

/// Why a lookup or an operation on a name failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The path leads out of the root.
    Escapes,
    /// What the system said.
    Os(Errno),
}

impl Fault {
    /// The error to report for `operation` on `path`.
    pub(super) fn at(self, operation: Operation, path: &StorePath) -> StorageError {
        match self {
            Self::Escapes => StorageError::new(ErrorKind::Escapes, operation, path),
            Self::Os(errno) => StorageError::from_io(operation, path, errno),
        }
    }
}

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Self {
        Self::Os(errno)
    }
}

/// The root of a store, held open, and the rules by which names below it are
/// looked up.
#[derive(Debug)]
pub(super) struct Root {
    handle: OwnedFd,
    confinement: Confinement,
    resolver: Resolver,
}

impl Root {
    /// Takes over the root and finds out who can enforce the confinement.
    pub(super) fn new(handle: OwnedFd, confinement: Confinement) -> Self {
        // Old kernels do not know the call, sandboxes refuse it.
        let tried = beneath(handle.as_fd(), b".", OFlags::PATH | OFlags::CLOEXEC, confinement);
        let resolver = if tried.is_ok() { Resolver::Kernel } else { Resolver::Walk };
        Self { handle, confinement, resolver }
    }

    pub(super) fn with_resolver(self, resolver: Resolver) -> Self {
        Self { resolver, ..self }
    }

    pub(super) fn resolver(&self) -> Resolver {
        self.resolver
    }

    /// Opens a directory only to look names up in it.
    pub(super) fn directory(&self, path: &[u8]) -> Result<OwnedFd, Fault> {
        self.follow(path, OFlags::PATH | OFlags::DIRECTORY)
    }

    /// As [`directory`](Self::directory), but `ELOOP` if a link is on the way.
    pub(super) fn directory_without_links(&self, path: &[u8]) -> Result<OwnedFd, Fault> {
        self.directory_below(self.handle.as_fd(), path)
    }

    /// The same from a directory on that way, which was looked up so; `path` is
    /// the rest of it.
    pub(super) fn directory_below(&self, from: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Fault> {
        self.look_up(from, path, OFlags::PATH | OFlags::DIRECTORY, Confinement::NoLinks)
    }

    /// Opens what `path` leads to, links followed as far as they may.
    pub(super) fn follow(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Fault> {
        self.look_up(self.handle.as_fd(), path, flags, self.confinement)
    }

    fn look_up(&self, from: BorrowedFd<'_>, path: &[u8], flags: OFlags, within: Confinement) -> Result<OwnedFd, Fault> {
        let path = if path.is_empty() { b"." } else { path };
        let flags = flags | OFlags::CLOEXEC;
        match (within, self.resolver) {
            (Confinement::Anywhere, _) => Ok(rustix::fs::openat(from, path, flags, Mode::empty())?),
            (_, Resolver::Walk) => walk_by_hand(from, path, flags, within),
            (_, Resolver::Kernel) => ask_kernel(from, path, flags, within),
        }
    }
}

fn ask_kernel(from: BorrowedFd<'_>, path: &[u8], flags: OFlags, within: Confinement) -> Result<OwnedFd, Fault> {
    for _ in 0..DISTURBED_LOOKUPS {
        match beneath(from, path, flags, within) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::XDEV) => return Err(Fault::Escapes),
            result => return Ok(result?),
        }
    }
    walk_by_hand(from, path, flags, within)
}

fn beneath(from: BorrowedFd<'_>, path: &[u8], flags: OFlags, within: Confinement) -> rustix::io::Result<OwnedFd> {
    let mut resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    if within == Confinement::NoLinks {
        resolve |= ResolveFlags::NO_SYMLINKS;
    }
    rustix::fs::openat2(from, path, flags, Mode::empty(), resolve)
}

fn walk_by_hand(from: BorrowedFd<'_>, path: &[u8], flags: OFlags, within: Confinement) -> Result<OwnedFd, Fault> {
    let links = match within {
        Confinement::NoLinks => 0,
        _ => walk::MAX_LINKS,
    };
    walk::Walk::new(from, path, links).open(flags)
}
