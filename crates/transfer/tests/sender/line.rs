//! A run of the engine: file operations in any order, a line that delays,
//! reorders and loses, and the model at its end.

use std::collections::VecDeque;

use limosa_ranges::RangeSet;
use limosa_storage::Store;
use limosa_transfer::Event;
use limosa_transfer::sender::{Footprint, Sender, SourceOperation, SourceWork, perform};
use limosa_wire::Offset;

use crate::peer::Peer;

/// Numbers that look random, the same for the same seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below.max(1)
    }
}

/// Steps without progress after which a run has failed.
const STANDSTILL: usize = 10_000;

/// Called before each file operation, to change files under the reader.
type Meddler = Box<dyn FnMut(&SourceWork)>;

/// Engine, line and model.
pub(crate) struct Line<'a> {
    pub(crate) sender: Sender,
    pub(crate) peer: Peer,
    store: &'a dyn Store,
    dice: Dice,
    /// One in so many pieces of data is lost.
    loss: u64,
    /// Most file operations and datagrams under way.
    depth: usize,
    piece: usize,
    credit: u64,
    meddler: Meddler,
    operations: Vec<SourceOperation>,
    layout: VecDeque<Vec<u8>>,
    layout_delivered: u64,
    offered: RangeSet,
    /// Ranges to be sent, again for those lost.
    to_send: VecDeque<(u64, u64)>,
    in_flight: VecDeque<(u64, Vec<u8>)>,
    acknowledgements: VecDeque<(u64, u64)>,
    pub(crate) events: Vec<Event>,
    pub(crate) peak: Footprint,
}

impl<'a> Line<'a> {
    pub(crate) fn new(sender: Sender, peer: Peer, store: &'a dyn Store, seed: u64) -> Self {
        Self {
            sender,
            peer,
            store,
            dice: Dice(seed),
            loss: 0,
            depth: 8,
            piece: 60_000,
            credit: u64::MAX,
            meddler: Box::new(|_| {}),
            operations: Vec::new(),
            layout: VecDeque::new(),
            layout_delivered: 0,
            offered: RangeSet::new(),
            to_send: VecDeque::new(),
            in_flight: VecDeque::new(),
            acknowledgements: VecDeque::new(),
            events: Vec::new(),
            peak: Footprint::default(),
        }
    }

    pub(crate) fn losing(mut self, one_in: u64) -> Self {
        self.loss = one_in;
        self
    }

    /// Data under way: pieces and their size.
    pub(crate) fn holding(mut self, depth: usize, piece: usize) -> Self {
        (self.depth, self.piece) = (depth, piece);
        self
    }

    pub(crate) fn checking_credit(mut self, credit: u64) -> Self {
        self.credit = credit;
        self
    }

    pub(crate) fn meddling(mut self, meddler: impl FnMut(&SourceWork) + 'static) -> Self {
        self.meddler = Box::new(meddler);
        self
    }

    /// Runs to the end.
    pub(crate) fn run(mut self) -> Self {
        let mut idle = 0;
        let mut before = (self.sender.progress(), 0, 0);
        while !self.sender.is_complete() {
            self.step();
            let now = (self.sender.progress(), self.layout_delivered, self.events.len());
            idle = if now == before { idle + 1 } else { 0 };
            before = now;
            assert!(idle < STANDSTILL, "nothing moves: {:?} {now:?}", self.sender.footprint());
        }
        assert!(self.peer.complete);
        // What failed may have left something on its way.
        let mut left = STANDSTILL;
        while !self.to_send.is_empty() || !self.in_flight.is_empty() {
            left -= 1;
            assert!(left > 0, "the line waits in vain: {:?}", self.to_send);
            self.run_operations();
            self.move_layout();
            self.move_data();
        }
        // So may a read that nobody waits for any more.
        while self.sender.footprint().operations > 0 {
            self.run_operations();
        }
        while self.sender.footprint().layout > 0 || !self.layout.is_empty() {
            self.move_layout();
        }
        self.drain_acknowledgements();
        self.collect();
        self
    }

    fn step(&mut self) {
        self.run_operations();
        self.move_layout();
        self.move_data();
        self.move_verdicts();
        self.collect();
    }

    fn collect(&mut self) {
        self.events.extend(std::iter::from_fn(|| self.sender.poll_event()));
        let now = self.sender.footprint();
        let peak = &mut self.peak;
        peak.memory = peak.memory.max(now.memory);
        peak.memory_peak = now.memory_peak;
        peak.entries = peak.entries.max(now.entries);
        peak.directory_entries = peak.directory_entries.max(now.directory_entries);
        peak.segments = peak.segments.max(now.segments);
        peak.readings = peak.readings.max(now.readings);
        peak.operations = peak.operations.max(now.operations);
        peak.layout = peak.layout.max(now.layout);
        peak.blocks = peak.blocks.max(now.blocks);
    }

    fn run_operations(&mut self) {
        while let Some(operation) = self.sender.poll_operation() {
            self.operations.push(operation);
        }
        let count = self.dice.roll(self.operations.len() as u64 + 1);
        for _ in 0..count {
            let index = self.dice.roll(self.operations.len() as u64) as usize;
            let operation = self.operations.swap_remove(index);
            (self.meddler)(&operation.work);
            self.sender.complete(perform(self.store, operation));
        }
    }

    fn move_layout(&mut self) {
        let mut bytes = Vec::new();
        let room = 1 + self.dice.roll(4000) as usize;
        let count = self.sender.poll_layout(room, &mut bytes);
        assert!(count == bytes.len() && count <= room);
        if count > 0 {
            self.layout.push_back(bytes);
        }
        if self.layout.is_empty() || self.dice.roll(3) == 0 {
            return;
        }
        if let Some(bytes) = self.layout.pop_front() {
            self.layout_delivered += bytes.len() as u64;
            self.peer.take_layout(&bytes);
            self.sender.layout_acknowledged(self.layout_delivered);
        }
    }

    fn move_data(&mut self) {
        while self.to_send.len() < 64
            && let Some((offset, length)) = self.sender.poll_offer()
        {
            self.check_offer(offset, length);
            self.to_send.push_back((offset.0, length));
        }
        while self.in_flight.len() < self.depth && self.send_one() {}
        if !self.in_flight.is_empty() {
            self.arrive();
        }
        if self.dice.roll(4) == 0 {
            self.drain_acknowledgements();
        }
    }

    fn check_offer(&mut self, offset: Offset, length: u64) {
        let range = offset.0..offset.0 + length;
        assert!(length > 0);
        assert!(self.offered.missing(&range).eq([range.clone()]), "offered twice: {range:?}");
        self.offered.insert(range);
        let unknown = self.peer.placed_end();
        let orphans: u64 = self.offered.iter().map(|range| range.end.saturating_sub(range.start.max(unknown))).sum();
        assert!(orphans <= self.credit, "{orphans} bytes left whose place is unknown");
    }

    /// Copies one piece out of the engine; false if nothing can be had.
    fn send_one(&mut self) -> bool {
        let Some((offset, length)) = self.to_send.pop_front() else { return false };
        let want = (1 + self.dice.roll(self.piece as u64)).min(length);
        let mut bytes = vec![0xee; want as usize];
        let count = self.sender.fill(Offset(offset), &mut bytes);
        if count == 0 {
            self.to_send.push_back((offset, length));
            return false;
        }
        bytes.truncate(count);
        if length > count as u64 {
            self.to_send.push_front((offset + count as u64, length - count as u64));
        }
        self.in_flight.push_back((offset, bytes));
        true
    }

    fn arrive(&mut self) {
        let index = self.dice.roll(self.in_flight.len() as u64) as usize;
        let Some((offset, bytes)) = self.in_flight.swap_remove_back(index) else { return };
        if self.loss > 0 && self.dice.roll(self.loss) == 0 {
            return self.to_send.push_back((offset, bytes.len() as u64));
        }
        self.peer.deliver(offset, &bytes);
        self.acknowledgements.push_back((offset, bytes.len() as u64));
        if self.dice.roll(20) == 0 {
            self.peer.deliver(offset, &bytes);
        }
    }

    fn drain_acknowledgements(&mut self) {
        for (offset, length) in self.acknowledgements.drain(..) {
            self.sender.acknowledged(Offset(offset), length);
        }
    }

    fn move_verdicts(&mut self) {
        if self.peer.verdicts.is_empty() {
            return;
        }
        let count = 1 + self.dice.roll(self.peer.verdicts.len() as u64) as usize;
        let bytes: Vec<u8> = self.peer.verdicts.drain(..count).collect();
        self.sender.on_verdicts(&bytes).expect("good verdicts");
    }
}
