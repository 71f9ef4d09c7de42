//! A store in memory that fails on request and, in a crash, forgets what was
//! not synced, or some of it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use limosa_storage::memory::MemoryStore;
use limosa_storage::{
    AppendFile, Attributes, Capabilities, Cursor, Durability, ErrorKind, FollowLinks, Kind, LockGuard, Metadata,
    Operation, Page, Publish, ReadFile, Result, Space, Staged, StorageError, Store, StorePath, WriteFile,
};

use crate::source::Random;

/// Decides which operations fail, and how.
type Fault = Box<dyn FnMut(Operation, &StorePath) -> Option<ErrorKind> + Send>;

/// Unsynced bytes survive a crash in portions of this size, or not.
const PAGE: usize = 4096;

#[derive(Default)]
struct Memory {
    fault: Option<Fault>,
    /// Content of files by inode as it was synced last, and a handle to what
    /// it is now.
    files: HashMap<u64, (Arc<dyn ReadFile>, Vec<u8>)>,
    /// Names as they were synced last.
    names: BTreeMap<StorePath, Named>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Named {
    Directory,
    File(u64),
    Link(Vec<u8>),
}

/// The store.
pub(crate) struct Disk {
    inner: MemoryStore,
    memory: Arc<Mutex<Memory>>,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Disk")
    }
}

impl Disk {
    pub(crate) fn new() -> Self {
        Self { inner: MemoryStore::new(), memory: Arc::default() }
    }

    /// From now on `fault` decides what fails.
    pub(crate) fn fail(&self, fault: impl FnMut(Operation, &StorePath) -> Option<ErrorKind> + Send + 'static) {
        self.memory.lock().unwrap().fault = Some(Box::new(fault));
    }

    pub(crate) fn heal(&self) {
        self.memory.lock().unwrap().fault = None;
    }

    /// The disk after a crash of the machine: what was synced is there; of the
    /// rest, what the seed decides.
    pub(crate) fn crash(&self, random: &mut Random) -> Self {
        let memory = self.memory.lock().unwrap();
        let mut now = BTreeMap::new();
        collect(&self.inner, &StorePath::root(), &mut now);
        let after = Self::new();
        let every: Vec<_> = now.keys().chain(memory.names.keys()).cloned().collect();
        let mut names = BTreeMap::new();
        for name in every {
            let either = if random.below(2) == 0 { now.get(&name) } else { memory.names.get(&name) };
            names.insert(name, either.cloned());
        }
        for (name, named) in names.into_iter().filter_map(|(name, named)| Some((name, named?))) {
            // What lost its directory is gone with it.
            let _ = after.restore(&name, &named, &memory, random);
        }
        drop(memory);
        after
    }

    fn restore(&self, name: &StorePath, named: &Named, memory: &Memory, random: &mut Random) -> Result<()> {
        match named {
            Named::Directory => self.make_directory(name)?,
            Named::Link(target) => self.make_link(name, target)?,
            Named::File(inode) => {
                let content = survive(memory.files.get(inode), random);
                let file = self.create(name)?;
                file.write_at(0, &content)?;
                file.sync_data()?;
            }
        }
        self.sync_directory(&name.parent().unwrap())
    }

    fn check(&self, operation: Operation, path: &StorePath) -> Result<()> {
        check(&self.memory, operation, path)
    }

    fn wrap(&self, path: &StorePath, file: Arc<dyn WriteFile>) -> Arc<dyn WriteFile> {
        let inode = file.metadata().unwrap().inode;
        let mut memory = self.memory.lock().unwrap();
        memory.files.entry(inode).or_insert_with(|| (file.clone(), Vec::new()));
        Arc::new(Handle { file, inode, path: path.clone(), memory: self.memory.clone() })
    }
}

fn check(memory: &Mutex<Memory>, operation: Operation, path: &StorePath) -> Result<()> {
    let mut memory = memory.lock().unwrap();
    match memory.fault.as_mut().and_then(|fault| fault(operation, path)) {
        Some(kind) => Err(StorageError::new(kind, operation, path)),
        None => Ok(()),
    }
}

/// Content after a crash: pages as they are now, or as they were synced.
fn survive(file: Option<&(Arc<dyn ReadFile>, Vec<u8>)>, random: &mut Random) -> Vec<u8> {
    let Some((live, synced)) = file else { return Vec::new() };
    let now = whole(&**live);
    let mut content = synced.clone();
    content.resize(if random.below(2) == 0 { now.len().max(synced.len()) } else { synced.len() }, 0);
    for (page, target) in content.chunks_mut(PAGE).enumerate() {
        let place = page * PAGE;
        if random.below(2) == 0 && place < now.len() {
            let end = (place + target.len()).min(now.len());
            target[..end - place].copy_from_slice(&now[place..end]);
        }
    }
    content
}

fn whole(file: &dyn ReadFile) -> Vec<u8> {
    let mut content = vec![0; file.metadata().unwrap().size as usize];
    let read = file.read_at(0, &mut content).unwrap();
    content.truncate(read);
    content
}

fn collect(store: &dyn Store, directory: &StorePath, names: &mut BTreeMap<StorePath, Named>) {
    for entry in store.list(directory, None, 100_000).unwrap().entries {
        let path = directory.join(&entry.name).unwrap();
        let found = store.metadata(&path, FollowLinks::No).unwrap();
        let named = match found.kind {
            Kind::Directory => Named::Directory,
            Kind::Symlink => Named::Link(store.read_link(&path).unwrap()),
            _ => Named::File(found.inode),
        };
        let down = named == Named::Directory;
        names.insert(path.clone(), named);
        if down {
            collect(store, &path, names);
        }
    }
}

impl Store for Disk {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    fn metadata(&self, path: &StorePath, links: FollowLinks) -> Result<Metadata> {
        self.check(Operation::Metadata, path)?;
        self.inner.metadata(path, links)
    }
    fn list(&self, directory: &StorePath, from: Option<&Cursor>, limit: usize) -> Result<Page> {
        self.inner.list(directory, from, limit)
    }
    fn open(&self, path: &StorePath, links: FollowLinks) -> Result<Arc<dyn ReadFile>> {
        self.check(Operation::Open, path)?;
        self.inner.open(path, links)
    }
    fn open_resumed(&self, path: &StorePath, links: FollowLinks, _front: &[u8]) -> Result<Arc<dyn ReadFile>> {
        self.open(path, links)
    }

    fn create(&self, path: &StorePath) -> Result<Arc<dyn WriteFile>> {
        self.check(Operation::Create, path)?;
        Ok(self.wrap(path, self.inner.create(path)?))
    }
    fn reopen(&self, path: &StorePath) -> Result<Arc<dyn WriteFile>> {
        self.check(Operation::Create, path)?;
        Ok(self.wrap(path, self.inner.reopen(path)?))
    }
    fn open_append(&self, path: &StorePath) -> Result<Arc<dyn AppendFile>> {
        self.check(Operation::Create, path)?;
        let journal = self.inner.open_append(path)?;
        let handle = self.wrap(path, self.inner.reopen(path)?);
        Ok(Arc::new(Appender { journal, handle, path: path.clone(), memory: self.memory.clone() }))
    }
    fn make_directory(&self, path: &StorePath) -> Result<()> {
        self.check(Operation::MakeDirectory, path)?;
        self.inner.make_directory(path)
    }
    fn make_link(&self, path: &StorePath, target: &[u8]) -> Result<()> {
        self.check(Operation::MakeLink, path)?;
        self.inner.make_link(path, target)
    }
    fn read_link(&self, path: &StorePath) -> Result<Vec<u8>> {
        self.inner.read_link(path)
    }
    fn publish(&self, staged: Staged<'_>, to: &StorePath, how: Publish) -> Result<()> {
        self.check(Operation::Publish, to)?;
        if let (Some(file), true) = (staged.file(), how.durability >= Durability::File) {
            file.sync_all()?;
        }
        // The handle is a wrapper: the store behind knows its own by the name.
        let from = staged.path();
        let own = if staged.file().is_some() { Some(self.inner.reopen(from)?) } else { None };
        let staged = match &own {
            Some(file) => Staged::File { path: from, file: &**file },
            None => Staged::Link { path: from },
        };
        self.inner.publish(staged, to, how)?;
        if how.durability == Durability::Strict {
            self.sync_directory(&to.parent().unwrap())?;
        }
        Ok(())
    }
    fn set_attributes(&self, path: &StorePath, attributes: &Attributes) -> Result<()> {
        self.check(Operation::SetAttributes, path)?;
        self.inner.set_attributes(path, attributes)
    }
    fn remove(&self, path: &StorePath) -> Result<()> {
        self.check(Operation::Remove, path)?;
        self.inner.remove(path)
    }
    fn remove_directory(&self, path: &StorePath) -> Result<()> {
        self.inner.remove_directory(path)
    }
    fn sync_directory(&self, path: &StorePath) -> Result<()> {
        self.check(Operation::Sync, path)?;
        self.inner.sync_directory(path)?;
        let mut now = BTreeMap::new();
        collect(&self.inner, path, &mut now);
        let inside = |name: &StorePath| name.parent().as_ref() == Some(path);
        let mut memory = self.memory.lock().unwrap();
        memory.names.retain(|name, _| !inside(name));
        memory.names.extend(now.into_iter().filter(|(name, _)| inside(name)));
        Ok(())
    }
    fn sync_directories(&self, paths: &[StorePath]) -> Vec<Result<()>> {
        paths.iter().map(|path| self.sync_directory(path)).collect()
    }
    fn sync_files(&self, files: &[Arc<dyn WriteFile>]) -> Result<()> {
        files.iter().try_for_each(|file| file.sync_all())
    }
    fn lock(&self, path: &StorePath) -> Result<LockGuard> {
        self.check(Operation::Lock, path)?;
        self.inner.lock(path)
    }
    fn space(&self, directory: &StorePath) -> Result<Space> {
        self.inner.space(directory)
    }
}

struct Handle {
    file: Arc<dyn WriteFile>,
    inode: u64,
    path: StorePath,
    memory: Arc<Mutex<Memory>>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({})", self.path)
    }
}

impl ReadFile for Handle {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        check(&self.memory, Operation::Read, &self.path)?;
        self.file.read_at(offset, buffer)
    }
    fn metadata(&self) -> Result<Metadata> {
        self.file.metadata()
    }
    fn next_data(&self, offset: u64) -> Result<Option<Range<u64>>> {
        self.file.next_data(offset)
    }
}

impl WriteFile for Handle {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        check(&self.memory, Operation::Write, &self.path)?;
        self.file.write_at(offset, bytes)
    }
    fn expect_length(&self, length: u64) {
        self.file.expect_length(length);
    }
    fn truncate(&self, length: u64) -> Result<()> {
        self.file.truncate(length)
    }
    fn preallocate(&self, length: u64) -> Result<()> {
        check(&self.memory, Operation::Preallocate, &self.path)?;
        self.file.preallocate(length)
    }
    fn sync_data(&self) -> Result<()> {
        check(&self.memory, Operation::Sync, &self.path)?;
        self.file.sync_data()?;
        let content = whole(&*self.file);
        let mut memory = self.memory.lock().unwrap();
        if let Some((_, synced)) = memory.files.get_mut(&self.inode) {
            *synced = content;
        }
        Ok(())
    }
    fn sync_all(&self) -> Result<()> {
        self.sync_data()
    }
    fn set_attributes(&self, attributes: &Attributes) -> Result<()> {
        check(&self.memory, Operation::SetAttributes, &self.path)?;
        self.file.set_attributes(attributes)
    }
}

struct Appender {
    journal: Arc<dyn AppendFile>,
    handle: Arc<dyn WriteFile>,
    path: StorePath,
    memory: Arc<Mutex<Memory>>,
}

impl fmt::Debug for Appender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Appender({})", self.path)
    }
}

impl AppendFile for Appender {
    fn append(&self, bytes: &[u8]) -> Result<()> {
        check(&self.memory, Operation::Write, &self.path)?;
        self.journal.append(bytes)
    }
    fn length(&self) -> Result<u64> {
        self.journal.length()
    }
    fn truncate(&self, length: u64) -> Result<()> {
        self.journal.truncate(length)
    }
    fn sync_data(&self) -> Result<()> {
        self.handle.sync_data()
    }
}
