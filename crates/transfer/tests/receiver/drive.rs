//! Runs a receiver against a store and a hand-made sender, in an order drawn
//! from a seed.

use std::time::Duration;

use limosa_storage::{FollowLinks, Store, StorePath};
use limosa_transfer::receiver::{
    Destination, DestinationOperation, Limits, PartialNames, Receiver, ReceiverOptions, Survey, perform,
};
use limosa_transport::{Delivery, Time};
use limosa_wire::Offset;
use limosa_wire::verdict::VerdictRecord;

use crate::source::{Random, Source, algorithm};

pub(crate) fn path(text: &str) -> StorePath {
    StorePath::parse(text.as_bytes()).unwrap()
}

pub(crate) fn options(store: &dyn Store, destination: &str, sources: u32) -> ReceiverOptions {
    let survey = Survey::of(store, Destination::parse(destination.as_bytes()).unwrap()).unwrap();
    ReceiverOptions::new(survey, sources, PartialNames::new(b"anna", [9; 16]), algorithm())
}

pub(crate) fn small_limits() -> Limits {
    Limits { queue: 6 << 20, orphans: 64 << 10, open_files: 3, ..Limits::default() }
}

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The receiver is done.
    Finished,
    /// So many operations were executed as allowed.
    Stopped,
}

pub(crate) struct Drive<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) receiver: Receiver,
    pub(crate) source: Source,
    pub(crate) random: Random,
    pub(crate) now: Time,
    /// Operations that may be executed.
    pub(crate) operations: usize,
    /// Of 100 datagrams so many come twice.
    pub(crate) duplicates: usize,
    /// How far datagrams overtake each other.
    pub(crate) window: usize,
    /// Data goes ahead of its layout where the credit allows.
    pub(crate) eager: bool,
    /// The run stops when no data is left and nothing has happened for long.
    pub(crate) stop_when_dry: bool,
    pub(crate) peak_memory: u64,
    pub(crate) shed: u64,
    pending: Vec<DestinationOperation>,
}

impl<'a> Drive<'a> {
    pub(crate) fn new(store: &'a dyn Store, options: ReceiverOptions, mut source: Source, seed: u64) -> Self {
        source.announce();
        Self {
            store,
            receiver: Receiver::new(options).unwrap(),
            source,
            random: Random(seed),
            now: Time::ZERO,
            operations: usize::MAX,
            duplicates: 0,
            window: 1,
            eager: false,
            stop_when_dry: false,
            peak_memory: 0,
            shed: 0,
            pending: Vec::new(),
        }
    }

    /// Runs to the end.
    pub(crate) fn run(&mut self) -> Ended {
        let mut idle = 0;
        loop {
            if self.receiver.is_finished() {
                return Ended::Finished;
            }
            let before = (self.source.layout.len(), self.source.packets.len(), self.source.verdicts.len());
            self.feed_layout();
            self.feed_data();
            let executed = match self.execute() {
                Ok(executed) => executed,
                Err(()) => return Ended::Stopped,
            };
            let records = self.receiver.verdicts();
            self.source.hear(records);
            self.now = self.now + Duration::from_millis(20);
            self.receiver.tick(self.now);
            let after = (self.source.layout.len(), self.source.packets.len(), self.source.verdicts.len());
            idle = if executed == 0 && before == after { idle + 1 } else { 0 };
            if self.stop_when_dry && self.source.packets.is_empty() && idle > 200 {
                return Ended::Stopped;
            }
            assert!(idle < 2000, "the receiver waits for nothing: {:#?}", self.source.verdicts);
        }
    }

    fn feed_layout(&mut self) {
        let count = self.source.layout.len().min(1 + self.random.below(4000));
        let bytes: Vec<u8> = self.source.layout.drain(..count).collect();
        self.receiver.layout(self.now, &bytes).unwrap();
    }

    fn feed_data(&mut self) {
        if !self.eager && !self.source.layout.is_empty() {
            return;
        }
        for _ in 0..self.random.below(400) {
            if self.source.packets.is_empty() {
                return;
            }
            let index = self.random.below(self.window.min(self.source.packets.len()));
            let (at, bytes) = self.source.packets.remove(index);
            let delivery = self.receiver.deliver(Offset(at), &bytes);
            self.peak_memory = self.peak_memory.max(self.receiver.memory_used());
            let twice = self.random.below(100) < self.duplicates;
            if delivery == Delivery::Shed {
                self.shed += 1;
                self.source.packets.insert(self.random.below(self.source.packets.len() + 1), (at, bytes));
                return;
            }
            if twice {
                assert_eq!(self.receiver.deliver(Offset(at), &bytes), Delivery::Duplicate);
            }
        }
    }

    /// Executes some operations in any order; fails when no more may be.
    fn execute(&mut self) -> Result<usize, ()> {
        while let Some(operation) = self.receiver.next_operation() {
            self.pending.push(operation);
        }
        let count = self.pending.len().min(1 + self.random.below(6));
        for _ in 0..count {
            if self.operations == 0 {
                return Err(());
            }
            self.operations -= 1;
            let index = self.random.below(self.pending.len());
            let operation = self.pending.swap_remove(index);
            let done = perform(self.store, operation.work);
            self.receiver.completed(self.now, operation.ticket, done);
        }
        Ok(count)
    }

    /// Executes what is left after a cancellation.
    pub(crate) fn drain(&mut self) {
        while !self.receiver.is_finished() {
            self.execute().unwrap();
        }
    }

    pub(crate) fn count(&self, wanted: impl Fn(&VerdictRecord) -> bool) -> usize {
        self.source.verdicts.iter().filter(|record| wanted(record)).count()
    }

    pub(crate) fn failures(&self) -> Vec<(u64, limosa_wire::Code)> {
        let failure = |record: &VerdictRecord| match record {
            VerdictRecord::Failed { entry, code, .. } | VerdictRecord::Refuse { entry, code, .. } => {
                Some((entry.0, *code))
            }
            _ => None,
        };
        self.source.verdicts.iter().filter_map(failure).collect()
    }
}

pub(crate) fn read(store: &dyn Store, at: &str) -> Vec<u8> {
    limosa_storage::read_whole(store, &path(at), 1 << 30).unwrap()
}

pub(crate) fn exists(store: &dyn Store, at: &str) -> bool {
    store.metadata(&path(at), FollowLinks::No).is_ok()
}

/// Names in a directory, sorted.
pub(crate) fn names(store: &dyn Store, at: &StorePath) -> Vec<String> {
    let page = store.list(at, None, 10_000).unwrap();
    let mut names: Vec<String> = page.entries.iter().map(|entry| entry.name.to_string()).collect();
    names.sort();
    names
}
