//! The way of arriving bytes: from a place in the linear space to the memory
//! of a file.

use limosa_transport::Delivery;
use limosa_wire::{EntryId, Offset};

use super::space::Place;
use super::step::Step;
use super::{Body, Entry, Phase, Receiver};

/// Blocks remembered as under assembly before those gone are sorted out.
const MAX_REMEMBERED: usize = 4096;

impl Receiver {
    /// Takes over what is new of arriving bytes.
    pub(super) fn take_over(&mut self, offset: Offset, bytes: &[u8]) -> Delivery {
        let Some(end) = offset.0.checked_add(bytes.len() as u64) else { return Delivery::Duplicate };
        if matches!(self.phase, Phase::Complete | Phase::Cancelled) {
            return Delivery::Duplicate;
        }
        if self.bench.memory.is_crowded() {
            self.make_room();
        }
        self.bench.summary.carried += bytes.len() as u64;
        let mut delivery = Delivery::Duplicate;
        let mut at = offset.0;
        while at < end
            && let Some(missing) = self.space.first_missing(&(at..end))
        {
            let rest = part(bytes, missing.start - offset.0, missing.end - offset.0);
            let taken = self.take_part(missing.start, rest);
            if taken == 0 {
                return Delivery::Shed;
            }
            delivery = Delivery::Kept;
            at = missing.start + taken;
        }
        delivery
    }

    /// Takes over what belongs to one place at the front of `bytes`; returns
    /// how many bytes that were, 0 if there is no room.
    fn take_part(&mut self, at: u64, bytes: &[u8]) -> u64 {
        let length = bytes.len() as u64;
        if !self.space.has_room_for(&(at..at + length)) {
            return 0;
        }
        match self.space.find(at) {
            Place::Unknown { end } => {
                let length = length.min(end - at);
                if self.space.keep_orphan(at, part(bytes, 0, length)) { length } else { 0 }
            }
            Place::File { entry, file_offset, end } => {
                let length = length.min(end - at);
                let (taken, step) = self.give_to_file(entry, file_offset, part(bytes, 0, length), false);
                if taken > 0 {
                    self.space.arrive(at..at + taken);
                    self.apply(entry, step);
                }
                taken
            }
        }
    }

    /// Gives bytes to their file; returns how many it took, and what follows
    /// for it.
    pub(super) fn give_to_file(&mut self, id: EntryId, offset: u64, bytes: &[u8], force: bool) -> (u64, Step) {
        let bench = &mut self.bench;
        match self.entries.get_mut(&id).map(|entry| &mut entry.body) {
            Some(Body::Whole(file)) => match file.accept(offset, bytes, force, bench) as u64 {
                0 => (0, Step::Going),
                taken => (taken, file.arrive(taken, bench)),
            },
            Some(Body::Large(file)) => match file.accept(offset, bytes, force, bench) as u64 {
                0 => (0, Step::Going),
                taken => (taken, file.arrive(taken, bench)),
            },
            // Failed, skipped or refused meanwhile.
            _ => {
                bench.memory.pass(bytes.len() as u64);
                (bytes.len() as u64, Step::Going)
            }
        }
    }

    /// Lets incomplete blocks leave memory, oldest first.
    fn make_room(&mut self) {
        for _ in 0..self.bench.assembling.len() {
            if !self.bench.memory.is_crowded() {
                break;
            }
            let Some((id, block)) = self.bench.assembling.pop_front() else { break };
            let Some(Entry { body: Body::Large(file), .. }) = self.entries.get_mut(&id) else { continue };
            if !file.evict(block, &mut self.bench) && file.is_assembling(block) {
                // Its file is not open yet.
                self.bench.assembling.push_back((id, block));
            }
        }
    }

    /// Forgets blocks that are no longer under assembly.
    pub(super) fn tidy_assembling(&mut self) {
        if self.bench.assembling.len() < MAX_REMEMBERED {
            return;
        }
        let entries = &self.entries;
        self.bench.assembling.retain(|(id, block)| {
            matches!(entries.get(id), Some(Entry { body: Body::Large(file), .. }) if file.is_assembling(*block))
        });
    }
}

/// A part of bytes in memory.
fn part(bytes: &[u8], start: u64, end: u64) -> &[u8] {
    let index = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
    bytes.get(index(start)..index(end)).unwrap_or_default()
}
