//! What is left of a disk after the power is lost or its process is killed.

use std::collections::{BTreeMap, BTreeSet};

use super::content::Survival;
use super::inode::{Body, Inode, InodeNumber};
use super::state::State;
use crate::random::{Random, Seed};

impl State {
    /// Draws what survives of everything that was not synced.
    pub(super) fn lose_power(&mut self, seed: Seed) {
        self.lose_names(&mut seed.stream("names"));
        let mut random = seed.stream("content");
        for inode in self.inodes.values_mut() {
            inode.lose(&mut random);
        }
        self.forget_unreachable();
    }

    fn lose_names(&mut self, random: &mut Random) {
        let mut survival = Survival::draw(random);
        // File systems with a journal keep changes up to a moment.
        let up_to = random.hits(0.25).then(|| random.below(self.changes.len() as u64 + 1));
        let mut left = self.changes.len() as u64;
        self.settle_changes(
            |_| {
                left -= 1;
                if let Some(up_to) = up_to {
                    survival.kept = if left < up_to { 1.0 } else { 0.0 };
                }
                random.hits(survival.kept)
            },
            |_| false,
        );
        for inode in self.inodes.values_mut() {
            if let Body::Directory(directory) = &mut inode.body {
                directory.entries = directory.durable.clone();
            }
        }
    }

    /// The process is gone, and its locks with it; the system goes on.
    pub(super) fn kill(&mut self) {
        self.inodes.values_mut().for_each(|inode| inode.locked = false);
        self.forget_unreachable();
    }

    /// Forgets what no name leads to, now or after a crash.
    fn forget_unreachable(&mut self) {
        let mut reached = BTreeSet::new();
        let mut ahead: Vec<InodeNumber> = self.named_in_changes().collect();
        ahead.push(self.root);
        while let Some(number) = ahead.pop() {
            if !reached.insert(number) {
                continue;
            }
            if let Some(Body::Directory(directory)) = self.inodes.get(&number).map(|inode| &inode.body) {
                ahead.extend(directory.entries.values().chain(directory.durable.values()));
            }
        }
        let inodes: BTreeMap<_, _> =
            std::mem::take(&mut self.inodes).into_iter().filter(|(number, _)| reached.contains(number)).collect();
        self.used = inodes.values().map(Inode::allocated).sum();
        self.inodes = inodes;
    }
}
