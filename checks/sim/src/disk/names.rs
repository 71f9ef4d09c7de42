//! Names: how a path leads to an inode, and the changes of names that are not
//! on stable storage yet.

use std::collections::BTreeSet;

use limosa_storage::{ErrorKind, FollowLinks, Kind, Name, StorePath};

use super::inode::{Body, Directory, Inode, InodeNumber};
use super::state::State;

/// How many links one lookup follows.
const MAX_LINKS: usize = 40;

type Found<T> = Result<T, ErrorKind>;

/// A name in a directory, and what it stands for from now on.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    directory: InodeNumber,
    name: Name,
    inode: Option<InodeNumber>,
}

/// One change of names, which reaches stable storage whole: one entry, or the
/// two of a rename.
#[derive(Clone, Debug)]
pub(super) struct Change(Vec<Entry>);

impl Change {
    fn concerns(&self, directory: InodeNumber) -> bool {
        self.0.iter().any(|entry| entry.directory == directory)
    }

    fn places(&self) -> impl Iterator<Item = (InodeNumber, Name)> + use<'_> {
        self.0.iter().map(|entry| (entry.directory, entry.name.clone()))
    }
}

/// Which of `changes` reach stable storage: those that `wanted` says, and what
/// they build on, that is, earlier ones of the same names.
fn survivors(changes: &[Change], mut wanted: impl FnMut(&Change) -> bool) -> Vec<bool> {
    let mut built_on = BTreeSet::new();
    let mut kept = vec![false; changes.len()];
    for (change, kept) in changes.iter().zip(&mut kept).rev() {
        *kept = wanted(change) || change.places().any(|place| built_on.contains(&place));
        if *kept {
            built_on.extend(change.places());
        }
    }
    kept
}

impl State {
    fn directory(&self, number: InodeNumber) -> Found<&Directory> {
        match self.inodes.get(&number).map(|inode| &inode.body) {
            Some(Body::Directory(directory)) => Ok(directory),
            _ => Err(ErrorKind::NotADirectory),
        }
    }

    pub(super) fn kind(&self, number: InodeNumber) -> Option<Kind> {
        self.inodes.get(&number).map(Inode::kind)
    }

    fn child(&self, directory: InodeNumber, component: &[u8]) -> Found<InodeNumber> {
        let name = Name::parse(component).map_err(|_| ErrorKind::TooLong)?;
        self.directory(directory)?.entries.get(&name).copied().ok_or(ErrorKind::NotFound)
    }

    /// What `path` leads to. Links in the middle are followed, the last
    /// component if `links` says so.
    pub(super) fn find(&self, path: &StorePath, links: FollowLinks) -> Found<InodeNumber> {
        let mut entered = vec![self.root];
        let mut ahead: Vec<&[u8]> = path.components().rev().collect();
        let mut links_left = MAX_LINKS;
        while let Some(component) = ahead.pop() {
            let here = *entered.last().ok_or(ErrorKind::Escapes)?;
            self.directory(here)?;
            match component {
                b"." => continue,
                b".." => {
                    entered.pop();
                    if entered.is_empty() {
                        return Err(ErrorKind::Escapes);
                    }
                    continue;
                }
                _ => {}
            }
            let found = self.child(here, component)?;
            match self.inodes.get(&found).map(|inode| &inode.body) {
                Some(Body::Link(target)) if !ahead.is_empty() || links == FollowLinks::Yes => {
                    links_left = links_left.checked_sub(1).ok_or(ErrorKind::Loop)?;
                    put_ahead(&mut ahead, target)?;
                }
                _ => entered.push(found),
            }
        }
        entered.pop().ok_or(ErrorKind::Escapes)
    }

    /// The directory that holds the last component, and that.
    fn find_parent(&self, path: &StorePath) -> Found<(InodeNumber, Name)> {
        let (parent, name) = path.split().ok_or(ErrorKind::IsADirectory)?;
        let parent = self.find(&parent, FollowLinks::Yes)?;
        self.directory(parent)?;
        Ok((parent, name))
    }

    /// Gives `path` to what `choose` makes of what has the name at present;
    /// returns what has it then.
    pub(super) fn put(
        &mut self,
        path: &StorePath,
        choose: impl FnOnce(&mut Self, Option<InodeNumber>) -> Found<Option<InodeNumber>>,
    ) -> Found<Option<InodeNumber>> {
        let (directory, name) = self.find_parent(path)?;
        let present = self.directory(directory)?.entries.get(&name).copied();
        let next = choose(self, present)?;
        if next != present {
            self.change(Change(vec![Entry { directory, name, inode: next }]));
        }
        Ok(next)
    }

    pub(super) fn rename(&mut self, from: &StorePath, to: &StorePath, spare: bool) -> Found<()> {
        // Both are found before either changes: one may lead to the other.
        let (from, from_name) = self.find_parent(from)?;
        let (to, to_name) = self.find_parent(to)?;
        let moved = self.child(from, from_name.as_bytes())?;
        match self.child(to, to_name.as_bytes()) {
            Ok(_) if spare => return Err(ErrorKind::AlreadyExists),
            Ok(there) if self.kind(there) == Some(Kind::Directory) => return Err(ErrorKind::IsADirectory),
            Ok(there) if there == moved => return Ok(()),
            Ok(_) | Err(ErrorKind::NotFound) => {}
            Err(kind) => return Err(kind),
        }
        let gone = Entry { directory: from, name: from_name, inode: None };
        let new = Entry { directory: to, name: to_name, inode: Some(moved) };
        self.change(Change(vec![gone, new]));
        Ok(())
    }

    /// Changes names as processes see them; how they are on stable storage is
    /// open until they are synced.
    fn change(&mut self, change: Change) {
        let now = self.tick();
        for entry in &change.0 {
            let Some(inode) = self.inodes.get_mut(&entry.directory) else { continue };
            inode.touch(now);
            let Body::Directory(directory) = &mut inode.body else { continue };
            let before = match entry.inode {
                Some(inode) => directory.entries.insert(entry.name.clone(), inode),
                None => directory.entries.remove(&entry.name),
            };
            if let Some(before) = before.filter(|_| change.0.len() == 1 || entry.inode.is_some()) {
                self.used -= self.inodes.get(&before).map_or(0, Inode::allocated);
            }
        }
        self.changes.push(change);
    }

    /// All names of a directory reach stable storage.
    pub(super) fn sync_names(&mut self, directory: InodeNumber) {
        self.settle_changes(|change| change.concerns(directory), |_| true);
    }

    /// Changes that `wanted` says reach stable storage; of the others those
    /// stay open that `open` says.
    pub(super) fn settle_changes(&mut self, wanted: impl FnMut(&Change) -> bool, open: impl Fn(&Change) -> bool) {
        let changes = std::mem::take(&mut self.changes);
        let kept = survivors(&changes, wanted);
        for (change, kept) in changes.into_iter().zip(kept) {
            if kept {
                self.make_durable(change);
            } else if open(&change) {
                self.changes.push(change);
            }
        }
    }

    fn make_durable(&mut self, change: Change) {
        for Entry { directory, name, inode } in change.0 {
            let Some(Body::Directory(directory)) = self.inodes.get_mut(&directory).map(|inode| &mut inode.body) else {
                continue;
            };
            match inode {
                Some(inode) => directory.durable.insert(name, inode),
                None => directory.durable.remove(&name),
            };
        }
    }

    /// What the names that are not synced may still lead to.
    pub(super) fn named_in_changes(&self) -> impl Iterator<Item = InodeNumber> + use<'_> {
        self.changes.iter().flat_map(|change| &change.0).filter_map(|entry| entry.inode)
    }
}

fn put_ahead<'a>(ahead: &mut Vec<&'a [u8]>, target: &'a [u8]) -> Found<()> {
    if target.starts_with(b"/") {
        return Err(ErrorKind::Escapes);
    }
    if target.ends_with(b"/") {
        // What comes before the last slash has to be a directory.
        ahead.push(b".");
    }
    ahead.extend(target.split(|&b| b == b'/').rev().filter(|component| !component.is_empty()));
    Ok(())
}
