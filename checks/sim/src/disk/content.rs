//! The bytes of one file: as processes see them, and in the versions since the
//! last sync that a crash may leave.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::random::Random;

/// Unit of allocation, of holes, and of what the system writes back.
pub(super) const PAGE: usize = 4096;
const PAGE_BYTES: u64 = PAGE as u64;
/// Unit that a device writes whole or not at all.
const SECTOR: usize = 512;
/// Versions kept of anything, the synced one included.
const VERSIONS: usize = 4;

type Page = [u8; PAGE];
/// A version of a page; `None` is a hole.
type Version = Option<Arc<Page>>;

/// How much of what was not synced survives a crash.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Survival {
    /// Chance that an effect survives.
    pub(super) kept: f64,
    /// Chance that a page is torn.
    pub(super) torn: f64,
}

impl Survival {
    /// Draws how one crash treats one thing: often all or nothing.
    pub(super) fn draw(random: &mut Random) -> Self {
        let kept = match random.below(4) {
            0 => 0.0,
            1 => 1.0,
            2 => 0.5,
            _ => random.unit(),
        };
        let torn = if random.hits(0.3) { random.unit() } else { 0.0 };
        Self { kept, torn }
    }
}

/// The present state of something, and the states since the last sync.
#[derive(Clone, Debug)]
pub(super) struct Versions<T> {
    now: T,
    /// The synced one first; empty if that is the present one.
    older: Vec<T>,
}

impl<T: Clone> Versions<T> {
    /// Something that is on stable storage as it is.
    pub(super) fn new(now: T) -> Self {
        Self { now, older: Vec::new() }
    }

    pub(super) fn now(&self) -> &T {
        &self.now
    }

    pub(super) fn set(&mut self, next: T) {
        if self.older.len() + 1 >= VERSIONS {
            // The synced one stays, the oldest after it goes.
            self.older.remove(1);
        }
        self.older.push(std::mem::replace(&mut self.now, next));
    }

    pub(super) fn sync(&mut self) {
        self.older.clear();
    }

    pub(super) fn lose(&mut self, survival: Survival, random: &mut Random) {
        if !self.older.is_empty() && !random.hits(survival.kept) {
            let survivor = random.below(self.older.len() as u64) as usize;
            self.now = self.older.swap_remove(survivor);
        }
        self.older.clear();
    }
}

/// The bytes of a file; pages never written are holes.
#[derive(Clone, Debug)]
pub(super) struct Content {
    size: Versions<u64>,
    pages: BTreeMap<u64, Arc<Page>>,
    /// Of pages that differ from what is synced, the versions before the
    /// present one, the synced one first.
    unsynced: BTreeMap<u64, Vec<Version>>,
}

impl Default for Content {
    fn default() -> Self {
        Self { size: Versions::new(0), pages: BTreeMap::new(), unsynced: BTreeMap::new() }
    }
}

impl Content {
    pub(super) fn size(&self) -> u64 {
        *self.size.now()
    }

    /// Bytes of storage in use.
    pub(super) fn allocated(&self) -> u64 {
        self.pages.len() as u64 * PAGE_BYTES
    }

    /// Storage that writing `length` bytes at `offset` would add, in bytes.
    pub(super) fn growth(&self, offset: u64, length: u64) -> u64 {
        if length == 0 {
            return 0;
        }
        let touched = offset / PAGE_BYTES..(offset + length - 1) / PAGE_BYTES + 1;
        let there = self.pages.range(touched.clone()).count() as u64;
        (touched.end - touched.start - there) * PAGE_BYTES
    }

    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let left = self.size().saturating_sub(offset);
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        for (at, part) in by_page(offset, &mut buffer[..length]) {
            let within = (at % PAGE_BYTES) as usize;
            match self.pages.get(&(at / PAGE_BYTES)) {
                Some(page) => part.copy_from_slice(&page[within..within + part.len()]),
                None => part.fill(0),
            }
        }
        length
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let mut rest = bytes;
        let mut at = offset;
        while !rest.is_empty() {
            let within = (at % PAGE_BYTES) as usize;
            let (part, later) = rest.split_at(rest.len().min(PAGE - within));
            self.change(at / PAGE_BYTES, |page| page[within..within + part.len()].copy_from_slice(part));
            at += part.len() as u64;
            rest = later;
        }
        if !bytes.is_empty() && at > self.size() {
            self.size.set(at);
        }
    }

    /// Changes a page, and remembers what it was.
    fn change(&mut self, number: u64, change: impl FnOnce(&mut Page)) {
        self.remember(number);
        let page = self.pages.entry(number).or_insert_with(|| Arc::new([0; PAGE]));
        change(Arc::make_mut(page));
    }

    fn remember(&mut self, number: u64) {
        let older = self.unsynced.entry(number).or_default();
        if older.len() + 1 >= VERSIONS {
            older.remove(1);
        }
        older.push(self.pages.get(&number).cloned());
    }

    pub(super) fn truncate(&mut self, length: u64) {
        if length < self.size() {
            let within = (length % PAGE_BYTES) as usize;
            let cut = length.div_ceil(PAGE_BYTES);
            if within > 0 && self.pages.contains_key(&(length / PAGE_BYTES)) {
                // What is cut off must read as zeros if the file grows again.
                self.change(length / PAGE_BYTES, |page| page[within..].fill(0));
            }
            let gone: Vec<u64> = self.pages.range(cut..).map(|(&number, _)| number).collect();
            for number in gone {
                self.remember(number);
                self.pages.remove(&number);
            }
        }
        if length != self.size() {
            self.size.set(length);
        }
    }

    pub(super) fn next_data(&self, offset: u64) -> Option<Range<u64>> {
        let (&first, _) = self.pages.range(offset / PAGE_BYTES..).next()?;
        let run = self.pages.range(first..).zip(first..).take_while(|((at, _), due)| *at == due);
        let end = ((first + run.count() as u64) * PAGE_BYTES).min(self.size());
        let start = (first * PAGE_BYTES).max(offset);
        (start < end).then_some(start..end)
    }

    /// Bytes a sync has to write.
    pub(super) fn unsynced_bytes(&self) -> u64 {
        self.unsynced.len() as u64 * PAGE_BYTES
    }

    pub(super) fn sync(&mut self) {
        self.unsynced.clear();
        self.size.sync();
    }

    /// Power is lost: of each page one of its versions, or a mix, is left.
    pub(super) fn lose(&mut self, survival: Survival, random: &mut Random) {
        for (number, mut versions) in std::mem::take(&mut self.unsynced) {
            versions.push(self.pages.get(&number).cloned());
            let left = if random.hits(survival.torn) {
                Some(torn(&versions, random))
            } else if random.hits(survival.kept) {
                versions.pop().flatten()
            } else {
                let survivor = random.below(versions.len() as u64 - 1) as usize;
                versions.swap_remove(survivor)
            };
            match left {
                Some(page) => self.pages.insert(number, page),
                None => self.pages.remove(&number),
            };
        }
        self.size.lose(survival, random);
        self.cut_behind_end();
    }

    /// What lies behind the length that is left cannot be reached.
    fn cut_behind_end(&mut self) {
        let size = self.size();
        drop(self.pages.split_off(&size.div_ceil(PAGE_BYTES)));
        let within = (size % PAGE_BYTES) as usize;
        if within > 0
            && let Some(page) = self.pages.get_mut(&(size / PAGE_BYTES))
        {
            Arc::make_mut(page)[within..].fill(0);
        }
    }
}

/// A page whose sectors are of different versions. In one that was new a
/// sector may hold anything, such as what another file left there.
fn torn(versions: &[Version], random: &mut Random) -> Arc<Page> {
    let mut page = [0; PAGE];
    for (sector, at) in page.chunks_exact_mut(SECTOR).zip((0..).step_by(SECTOR)) {
        if matches!(versions, [None, ..]) && random.hits(1.0 / 64.0) {
            sector.fill_with(|| random.next_u64() as u8);
        } else if let Some(version) = &versions[random.below(versions.len() as u64) as usize] {
            sector.copy_from_slice(&version[at..at + SECTOR]);
        }
    }
    Arc::new(page)
}

/// Cuts `buffer`, which stands for bytes at `offset`, where pages end.
fn by_page(offset: u64, buffer: &mut [u8]) -> impl Iterator<Item = (u64, &mut [u8])> {
    let mut rest = buffer;
    let mut at = offset;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let length = rest.len().min(PAGE - (at % PAGE_BYTES) as usize);
        let (part, later) = std::mem::take(&mut rest).split_at_mut(length);
        rest = later;
        at += length as u64;
        Some((at - length as u64, part))
    })
}
