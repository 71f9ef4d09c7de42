//! What the tree in memory is made of.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::metadata::{Attributes, Kind, Metadata, Owner, Timestamp};
use crate::path::Name;

/// Unit of allocation, and so of holes, in bytes.
const PAGE: u64 = 4096;

/// Gives numbers and times: the next one is always greater.
#[derive(Debug, Default)]
pub(super) struct Clock(AtomicU64);

impl Clock {
    pub(super) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::new(i64::try_from(self.next()).unwrap_or(i64::MAX), 0)
    }
}

/// A file, directory or link, whatever names it has.
#[derive(Debug)]
pub(super) struct Node {
    inode: u64,
    state: Mutex<State>,
    pub(super) body: Body,
    pub(super) locked: AtomicBool,
    pub(super) clock: Arc<Clock>,
}

#[derive(Debug)]
struct State {
    mode: u32,
    modified: Timestamp,
    changed: Timestamp,
    owner: Option<Owner>,
}

#[derive(Debug)]
pub(super) enum Body {
    File(Mutex<Content>),
    Directory(Mutex<BTreeMap<Name, Arc<Node>>>),
    Link(Vec<u8>),
}

impl Node {
    pub(super) fn new(clock: &Arc<Clock>, mode: u32, body: Body) -> Arc<Self> {
        let now = clock.now();
        Arc::new(Self {
            inode: clock.next(),
            state: Mutex::new(State { mode, modified: now, changed: now, owner: None }),
            body,
            locked: AtomicBool::new(false),
            clock: clock.clone(),
        })
    }

    pub(super) fn file(clock: &Arc<Clock>) -> Arc<Self> {
        Self::new(clock, 0o600, Body::File(Mutex::default()))
    }

    pub(super) fn directory(clock: &Arc<Clock>) -> Arc<Self> {
        Self::new(clock, 0o700, Body::Directory(Mutex::default()))
    }

    pub(super) fn kind(&self) -> Kind {
        match self.body {
            Body::File(_) => Kind::File,
            Body::Directory(_) => Kind::Directory,
            Body::Link(_) => Kind::Symlink,
        }
    }

    /// The entries, if this is a directory.
    pub(super) fn entries(&self) -> Option<MutexGuard<'_, BTreeMap<Name, Arc<Self>>>> {
        match &self.body {
            Body::Directory(entries) => Some(guard(entries)),
            _ => None,
        }
    }

    pub(super) fn metadata(&self) -> Metadata {
        let (size, allocated) = match &self.body {
            Body::File(content) => guard(content).sizes(),
            Body::Directory(_) => (0, 0),
            Body::Link(target) => (target.len() as u64, 0),
        };
        let state = guard(&self.state);
        Metadata {
            kind: self.kind(),
            size,
            mode: state.mode,
            modified: state.modified,
            changed: state.changed,
            inode: self.inode,
            device: 0,
            links: 1,
            allocated,
            owner: state.owner,
        }
    }

    pub(super) fn set_attributes(&self, wanted: &Attributes) {
        let mut state = guard(&self.state);
        if let Some(mode) = wanted.mode
            && self.kind() != Kind::Symlink
        {
            state.mode = mode & 0o7777;
        }
        state.modified = wanted.modified.unwrap_or(state.modified);
        state.owner = wanted.owner.or(state.owner);
        state.changed = self.clock.now();
    }

    /// Notes that the content has changed.
    pub(super) fn touch(&self) {
        let mut state = guard(&self.state);
        let now = self.clock.now();
        (state.modified, state.changed) = (now, now);
    }
}

/// The bytes of a file; pages never written are holes.
#[derive(Debug, Default)]
pub(super) struct Content {
    size: u64,
    pages: BTreeMap<u64, Box<[u8; PAGE as usize]>>,
}

impl Content {
    /// Length and bytes in use.
    pub(super) fn sizes(&self) -> (u64, u64) {
        (self.size, self.pages.len() as u64 * PAGE)
    }

    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let left = self.size.saturating_sub(offset);
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let mut rest = buffer.get_mut(..length).unwrap_or_default();
        let mut at = offset;
        while !rest.is_empty() {
            let within = usize::try_from(at % PAGE).unwrap_or(0);
            let part = rest.len().min(PAGE as usize - within);
            let (now, later) = rest.split_at_mut(part);
            match self.pages.get(&(at / PAGE)) {
                Some(page) => now.copy_from_slice(&page[within..within + part]),
                None => now.fill(0),
            }
            at += part as u64;
            rest = later;
        }
        length
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let within = usize::try_from(at % PAGE).unwrap_or(0);
            let (now, later) = rest.split_at(rest.len().min(PAGE as usize - within));
            let page = self.pages.entry(at / PAGE).or_insert_with(|| Box::new([0; PAGE as usize]));
            page[within..within + now.len()].copy_from_slice(now);
            at += now.len() as u64;
            rest = later;
        }
        if !bytes.is_empty() {
            self.size = self.size.max(at);
        }
    }

    pub(super) fn truncate(&mut self, length: u64) {
        if length < self.size {
            let within = usize::try_from(length % PAGE).unwrap_or(0);
            let mut cut = self.pages.split_off(&(length / PAGE));
            if let Some(mut page) = cut.remove(&(length / PAGE))
                && within > 0
            {
                // What is cut off must read as zeros if the file grows again.
                page[within..].fill(0);
                self.pages.insert(length / PAGE, page);
            }
        }
        self.size = length;
    }

    pub(super) fn next_data(&self, offset: u64) -> Option<Range<u64>> {
        let (&first, _) = self.pages.range(offset / PAGE..).next()?;
        let run = self.pages.range(first..).zip(first..).take_while(|((at, _), due)| *at == due);
        let end = (first + run.count() as u64).saturating_mul(PAGE).min(self.size);
        let start = first.saturating_mul(PAGE).max(offset);
        (start < end).then_some(start..end)
    }
}

/// Locks; every change of what is locked is whole, also after a panic.
pub(super) fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
