//! What the other end may announce: no more than was asked for.
//!
//! Whoever uploads chooses freely what to place below the destination. Whoever
//! asked for files expects those and no others: a server that answers `get
//! host:report .` with a `.bashrc` is not obeyed.

use std::collections::BTreeSet;

use limosa_storage::StorePath;
use limosa_wire::Code;
use limosa_wire::layout::EntryKind;
use limosa_wire::setup::{Direction, Request, Symlinks};

use crate::failure::Failure;

/// What the other end may announce. Unless made otherwise anything but
/// removals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// What the paths of entries may start with; `None` for anything.
    tops: Option<BTreeSet<Vec<u8>>>,
    links: bool,
    removals: bool,
}

impl Default for Admission {
    fn default() -> Self {
        Self { tops: None, links: true, removals: false }
    }
}

impl Admission {
    /// What follows from a request: an upload may bring anything, a download
    /// only the sources that were named, and links only where links were
    /// wanted.
    #[must_use]
    pub fn of(request: &Request) -> Self {
        match request.direction {
            Direction::Upload => Self::default(),
            Direction::Download => Self {
                tops: request.paths.iter().map(|typed| top(typed)).collect(),
                links: request.symlinks == Symlinks::Copy,
                removals: false,
            },
        }
    }

    /// Lets the other end remove what is at the destination.
    #[must_use]
    pub fn with_removals(mut self) -> Self {
        self.removals = true;
        self
    }

    /// Whether an entry may be announced.
    pub(super) fn check(&self, path: &StorePath, kind: &EntryKind) -> Result<(), Failure> {
        let refuse = |why| Err(Failure::because(Code::NOT_ALLOWED, why));
        match kind {
            EntryKind::Removal if !self.removals => return refuse("nothing is to be removed"),
            EntryKind::Symlink { .. } if !self.links => return refuse("links were not asked for"),
            _ => {}
        }
        match &self.tops {
            Some(tops) if !path.components().next().is_some_and(|first| tops.contains(first)) => {
                refuse("this was not asked for")
            }
            _ => Ok(()),
        }
    }
}

/// The name under which a source as typed is announced; `None` for one that
/// stands for its content.
fn top(typed: &[u8]) -> Option<Vec<u8>> {
    let last = typed.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    (!last.is_empty() && last != b".").then(|| last.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_announced_by_its_last_name_or_stands_for_its_content() {
        for (typed, name) in [("a/b", Some("b")), ("/b", Some("b")), ("./b.", Some("b."))] {
            assert_eq!(top(typed.as_bytes()).as_deref(), name.map(str::as_bytes), "{typed}");
        }
        for typed in ["", "/", ".", "a/", "a/."] {
            assert_eq!(top(typed.as_bytes()), None, "{typed}");
        }
    }
}
