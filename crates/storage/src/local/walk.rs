//! Looking a path up by hand, one component at a time.
//!
//! No step follows a link: each opens one name in one open directory with
//! `O_NOFOLLOW`. A link's target is spliced into the path still to go, and
//! `..` goes back to the directory the walk came from, which it still holds;
//! so a rename or a swapped link at any moment can mislead the walk, but only
//! to another place below the root.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::resolve::Fault;

/// How many links one lookup follows, as in the kernel.
pub(super) const MAX_LINKS: usize = 40;

/// One lookup under way.
pub(super) struct Walk<'a> {
    root: BorrowedFd<'a>,
    /// The directories entered so far, from below the root to the current.
    entered: Vec<OwnedFd>,
    /// The components still to go, the next one last.
    ahead: Vec<Box<[u8]>>,
    /// How many links may still be followed.
    links_left: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(root: BorrowedFd<'a>, path: &[u8], links: usize) -> Self {
        let mut walk = Self { root, entered: Vec::new(), ahead: Vec::new(), links_left: links };
        walk.put_ahead(path);
        walk
    }

    /// Walks to the end and opens what is there with `flags`.
    pub(super) fn open(mut self, flags: OFlags) -> Result<OwnedFd, Fault> {
        while let Some(component) = self.ahead.pop() {
            match &*component {
                b"." => continue,
                b".." => {
                    self.entered.pop().ok_or(Fault::Escapes)?;
                    continue;
                }
                _ => {}
            }
            let found = self.open_here(&component, OFlags::PATH)?;
            match FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode) {
                FileType::Symlink => self.follow(&found)?,
                FileType::Directory => self.entered.push(found),
                _ if !self.ahead.is_empty() => return Err(Errno::NOTDIR.into()),
                _ => match self.open_here(&component, flags) {
                    // It has become a link since it was looked at.
                    Err(Errno::LOOP) => self.try_again(component)?,
                    result => return Ok(result?),
                },
            }
        }
        Ok(self.open_here(b".", flags)?)
    }

    fn here(&self) -> BorrowedFd<'_> {
        self.entered.last().map_or(self.root, AsFd::as_fd)
    }

    fn open_here(&self, name: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(self.here(), name, flags, Mode::empty())
    }

    fn follow(&mut self, link: &OwnedFd) -> Result<(), Fault> {
        self.count_link()?;
        let target = rustix::fs::readlinkat(link, c"", Vec::new())?;
        if target.as_bytes().starts_with(b"/") {
            return Err(Fault::Escapes);
        }
        self.put_ahead(target.as_bytes());
        Ok(())
    }

    fn try_again(&mut self, component: Box<[u8]>) -> Result<(), Fault> {
        self.count_link()?;
        self.ahead.push(component);
        Ok(())
    }

    fn count_link(&mut self) -> Result<(), Fault> {
        self.links_left = self.links_left.checked_sub(1).ok_or(Errno::LOOP)?;
        Ok(())
    }

    fn put_ahead(&mut self, path: &[u8]) {
        if path.ends_with(b"/") {
            // What comes before the last slash has to be a directory.
            self.ahead.push(Box::from(*b"."));
        }
        let components = path.split(|&b| b == b'/').rev();
        self.ahead.extend(components.filter(|c| !c.is_empty()).map(Box::from));
    }
}
