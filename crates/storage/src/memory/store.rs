//! [`MemoryStore`]: the contract on a tree in memory.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard};

use super::file::{MemoryAppend, MemoryFile, MemoryLock};
use super::node::{Body, Clock, Node, guard};
use crate::contract::{
    AppendFile, Capabilities, Cursor, DirectoryEntry, Durability, FollowLinks, LockGuard, Overwrite, Page, Publish,
    ReadFile, Space, Staged, Store, WriteFile,
};
use crate::error::{ErrorKind, Operation, Result, StorageError};
use crate::metadata::{Attributes, Kind, Metadata};
use crate::path::{Name, StorePath};

/// How many links one lookup follows.
const MAX_LINKS: usize = 40;

/// A store in memory; see the [module](super).
#[derive(Debug)]
pub struct MemoryStore {
    root: Arc<Node>,
    clock: Arc<Clock>,
    /// Held while names change, so that each change is one step.
    names: Mutex<()>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        let clock = Arc::default();
        Self { root: Node::directory(&clock), clock, names: Mutex::new(()) }
    }

    /// Finds what `path` leads to. Links in the middle are followed, the last
    /// component if `links` says so.
    fn find(&self, path: &StorePath, links: FollowLinks) -> std::result::Result<Arc<Node>, ErrorKind> {
        let mut entered = vec![self.root.clone()];
        let mut ahead: Vec<Vec<u8>> = path.components().rev().map(Vec::from).collect();
        let mut links_left = MAX_LINKS;
        while let Some(component) = ahead.pop() {
            let here = entered.last().ok_or(ErrorKind::Escapes)?;
            if here.kind() != Kind::Directory {
                return Err(ErrorKind::NotADirectory);
            }
            if component == b"." {
                continue;
            }
            if component == b".." {
                entered.pop();
                if entered.is_empty() {
                    return Err(ErrorKind::Escapes);
                }
                continue;
            }
            let found = child(here, &component)?;
            match &found.body {
                Body::Link(target) if !ahead.is_empty() || links == FollowLinks::Yes => {
                    links_left = links_left.checked_sub(1).ok_or(ErrorKind::Loop)?;
                    put_ahead(&mut ahead, target)?;
                }
                _ => entered.push(found),
            }
        }
        entered.pop().ok_or(ErrorKind::Escapes)
    }

    fn node(&self, operation: Operation, path: &StorePath, links: FollowLinks) -> Result<Arc<Node>> {
        self.find(path, links).map_err(|kind| StorageError::new(kind, operation, path))
    }

    /// Changes the directory that holds `path`, given its entries and the
    /// last component.
    fn change<T>(
        &self,
        operation: Operation,
        path: &StorePath,
        change: impl FnOnce(&mut Entries<'_>, Name) -> std::result::Result<T, ErrorKind>,
    ) -> Result<T> {
        let _turn = guard(&self.names);
        let fail = |kind| StorageError::new(kind, operation, path);
        let (parent, name) = self.find_parent(path).map_err(fail)?;
        let entries = parent.entries().ok_or_else(|| fail(ErrorKind::NotADirectory));
        let result = change(&mut entries?, name).map_err(fail)?;
        parent.touch();
        Ok(result)
    }

    /// Adds an entry under a name that must be free.
    fn add(&self, operation: Operation, path: &StorePath, node: Arc<Node>) -> Result<()> {
        if path.is_root() {
            return Err(StorageError::new(ErrorKind::AlreadyExists, operation, path));
        }
        self.change(operation, path, |entries, name| match entries.get(&name) {
            Some(_) => Err(ErrorKind::AlreadyExists),
            None => {
                entries.insert(name, node);
                Ok(())
            }
        })
    }

    /// The file that has the name, made if nothing has.
    fn file_or_new(&self, operation: Operation, path: &StorePath) -> Result<MemoryFile> {
        let node = self.change(operation, path, |entries, name| {
            Ok(entries.entry(name).or_insert_with(|| Node::file(&self.clock)).clone())
        })?;
        MemoryFile::open(node, operation, path)
    }

    fn rename(&self, from: &StorePath, to: &StorePath, overwrite: Overwrite) -> std::result::Result<(), ErrorKind> {
        let _turn = guard(&self.names);
        // Both are found before either changes: one may lead to the other.
        let (from, from_name) = self.find_parent(from)?;
        let (to, to_name) = self.find_parent(to)?;
        let moved = child(&from, from_name.as_bytes())?;
        match (child(&to, to_name.as_bytes()), overwrite) {
            (Ok(_), Overwrite::MustNotExist) => return Err(ErrorKind::AlreadyExists),
            (Ok(there), _) if there.kind() == Kind::Directory => {
                return Err(ErrorKind::IsADirectory);
            }
            (Ok(there), _) if Arc::ptr_eq(&there, &moved) => return Ok(()),
            (Ok(_) | Err(ErrorKind::NotFound), _) => {}
            (Err(kind), _) => return Err(kind),
        }
        from.entries().ok_or(ErrorKind::NotADirectory)?.remove(&from_name);
        to.entries().ok_or(ErrorKind::NotADirectory)?.insert(to_name, moved);
        from.touch();
        to.touch();
        Ok(())
    }

    /// The directory that holds the last component, and that.
    fn find_parent(&self, path: &StorePath) -> std::result::Result<(Arc<Node>, Name), ErrorKind> {
        let (parent, name) = path.split().ok_or(ErrorKind::IsADirectory)?;
        Ok((self.find(&parent, FollowLinks::Yes)?, name))
    }
}

type Entries<'a> = MutexGuard<'a, BTreeMap<Name, Arc<Node>>>;

fn child(directory: &Node, component: &[u8]) -> std::result::Result<Arc<Node>, ErrorKind> {
    let name = Name::parse(component).map_err(|_| ErrorKind::TooLong)?;
    let entries = directory.entries().ok_or(ErrorKind::NotADirectory)?;
    entries.get(&name).cloned().ok_or(ErrorKind::NotFound)
}

fn put_ahead(ahead: &mut Vec<Vec<u8>>, target: &[u8]) -> std::result::Result<(), ErrorKind> {
    if target.starts_with(b"/") {
        return Err(ErrorKind::Escapes);
    }
    if target.ends_with(b"/") {
        // What comes before the last slash has to be a directory.
        ahead.push(b".".to_vec());
    }
    let components = target.split(|&b| b == b'/').rev();
    ahead.extend(components.filter(|c| !c.is_empty()).map(Vec::from));
    Ok(())
}

fn page(entries: &Entries<'_>, after: Option<Name>, limit: usize) -> Page {
    let start = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut rest = entries.range((start, Bound::Unbounded));
    let entries: Vec<DirectoryEntry> = rest
        .by_ref()
        .take(limit.max(1))
        .map(|(name, node)| DirectoryEntry { name: name.clone(), kind: Some(node.kind()) })
        .collect();
    let more = rest.next().is_some();
    let last = entries.last().filter(|_| more);
    let next = last.map(|entry| Cursor::new(entry.name.as_bytes()));
    Page { entries, next }
}

#[deny(clippy::missing_trait_methods)]
impl Store for MemoryStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            sparse: true,
            symlinks: true,
            exclusive_publish: true,
            locks: true,
            attributes: true,
            durability: Durability::None,
        }
    }

    fn metadata(&self, path: &StorePath, links: FollowLinks) -> Result<Metadata> {
        Ok(self.node(Operation::Metadata, path, links)?.metadata())
    }

    fn list(&self, directory: &StorePath, from: Option<&Cursor>, limit: usize) -> Result<Page> {
        let node = self.node(Operation::List, directory, FollowLinks::Yes)?;
        let fail = |kind| StorageError::new(kind, Operation::List, directory);
        let after = from.map(|cursor| Name::parse(cursor.as_bytes())).transpose();
        let after = after.map_err(|_| fail(ErrorKind::Unsupported))?;
        let entries = node.entries().ok_or_else(|| fail(ErrorKind::NotADirectory))?;
        Ok(page(&entries, after, limit))
    }

    fn open(&self, path: &StorePath, links: FollowLinks) -> Result<Arc<dyn ReadFile>> {
        let node = self.node(Operation::Open, path, links)?;
        Ok(Arc::new(MemoryFile::open(node, Operation::Open, path)?))
    }

    fn open_resumed(&self, path: &StorePath, links: FollowLinks, _front: &[u8]) -> Result<Arc<dyn ReadFile>> {
        self.open(path, links)
    }

    fn create(&self, path: &StorePath) -> Result<Arc<dyn WriteFile>> {
        let file = self.change(Operation::Create, path, |entries, name| {
            if entries.get(&name).is_some_and(|node| node.kind() == Kind::Directory) {
                return Err(ErrorKind::IsADirectory);
            }
            let file = Node::file(&self.clock);
            entries.insert(name, file.clone());
            Ok(file)
        })?;
        Ok(Arc::new(MemoryFile::open(file, Operation::Create, path)?))
    }

    fn reopen(&self, path: &StorePath) -> Result<Arc<dyn WriteFile>> {
        let node = self.node(Operation::Create, path, FollowLinks::No)?;
        Ok(Arc::new(MemoryFile::open(node, Operation::Create, path)?))
    }

    fn open_append(&self, path: &StorePath) -> Result<Arc<dyn AppendFile>> {
        Ok(Arc::new(MemoryAppend::new(self.file_or_new(Operation::Create, path)?)))
    }

    fn make_directory(&self, path: &StorePath) -> Result<()> {
        self.add(Operation::MakeDirectory, path, Node::directory(&self.clock))
    }

    fn make_link(&self, path: &StorePath, target: &[u8]) -> Result<()> {
        let link = Node::new(&self.clock, 0o777, Body::Link(target.into()));
        self.add(Operation::MakeLink, path, link)
    }

    fn read_link(&self, path: &StorePath) -> Result<Vec<u8>> {
        match &self.node(Operation::ReadLink, path, FollowLinks::No)?.body {
            Body::Link(target) => Ok(target.clone()),
            _ => Err(StorageError::new(ErrorKind::Unsupported, Operation::ReadLink, path)),
        }
    }

    fn publish(&self, staged: Staged<'_>, to: &StorePath, how: Publish) -> Result<()> {
        if let Some(file) = staged.file()
            && how.durability >= Durability::File
        {
            file.sync_all()?;
        }
        self.rename(staged.path(), to, how.overwrite).map_err(|kind| StorageError::new(kind, Operation::Publish, to))
    }

    fn sync_files(&self, files: &[Arc<dyn WriteFile>]) -> Result<()> {
        files.iter().try_for_each(|file| file.sync_all())
    }

    fn set_attributes(&self, path: &StorePath, wanted: &Attributes) -> Result<()> {
        self.node(Operation::SetAttributes, path, FollowLinks::No)?.set_attributes(wanted);
        Ok(())
    }

    fn remove(&self, path: &StorePath) -> Result<()> {
        self.change(Operation::Remove, path, |entries, name| match entries.get(&name).map(|node| node.kind()) {
            None => Err(ErrorKind::NotFound),
            Some(Kind::Directory) => Err(ErrorKind::IsADirectory),
            Some(_) => {
                entries.remove(&name);
                Ok(())
            }
        })
    }

    fn remove_directory(&self, path: &StorePath) -> Result<()> {
        if path.is_root() {
            return Err(StorageError::new(ErrorKind::Unsupported, Operation::Remove, path));
        }
        self.change(Operation::Remove, path, |entries, name| {
            let node = entries.get(&name).ok_or(ErrorKind::NotFound)?;
            let empty = node.entries().ok_or(ErrorKind::NotADirectory)?.is_empty();
            if !empty {
                return Err(ErrorKind::NotEmpty);
            }
            entries.remove(&name);
            Ok(())
        })
    }

    fn sync_directory(&self, path: &StorePath) -> Result<()> {
        let node = self.node(Operation::Sync, path, FollowLinks::Yes)?;
        match node.kind() {
            Kind::Directory => Ok(()),
            _ => Err(StorageError::new(ErrorKind::NotADirectory, Operation::Sync, path)),
        }
    }

    fn sync_directories(&self, paths: &[StorePath]) -> Vec<Result<()>> {
        paths.iter().map(|path| self.sync_directory(path)).collect()
    }

    fn lock(&self, path: &StorePath) -> Result<LockGuard> {
        let file = self.file_or_new(Operation::Lock, path)?;
        let held = MemoryLock::take(file.node());
        held.map(LockGuard::new).ok_or_else(|| StorageError::new(ErrorKind::Locked, Operation::Lock, path))
    }

    fn space(&self, directory: &StorePath) -> Result<Space> {
        self.node(Operation::Space, directory, FollowLinks::Yes)?;
        Ok(Space { total: u64::MAX, available: u64::MAX })
    }
}
