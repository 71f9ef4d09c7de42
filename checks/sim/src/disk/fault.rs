//! What may go wrong with a disk beside losing power.

use limosa_storage::{ErrorKind, Operation, StorePath};

/// What a fault does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The operation fails, and nothing is done.
    Fail(ErrorKind),
    /// The operation succeeds, and nothing is done, where it is a sync; others
    /// are as ever.
    Ignore,
    /// One bit is wrong in what is read, or in what is written without
    /// anybody being told. Nothing for other operations.
    FlipBit,
}

/// One thing that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    operation: Operation,
    below: StorePath,
    skip: u64,
    times: u64,
    effect: Effect,
}

impl Fault {
    /// Every `operation` anywhere goes wrong like this.
    #[must_use]
    pub fn new(operation: Operation, effect: Effect) -> Self {
        Self { operation, below: StorePath::root(), skip: 0, times: u64::MAX, effect }
    }

    /// Only at this path or below it.
    #[must_use]
    pub fn at(self, path: &StorePath) -> Self {
        Self { below: path.clone(), ..self }
    }

    /// Only after so many that go well.
    #[must_use]
    pub fn after(self, operations: u64) -> Self {
        Self { skip: operations, ..self }
    }

    /// Only so many times.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times, ..self }
    }

    /// Whether it strikes now; counts.
    fn strikes(&mut self, operation: Operation, path: &StorePath) -> bool {
        if operation != self.operation || path.below(&self.below).is_none() || self.times == 0 {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        self.times -= 1;
        true
    }
}

/// All faults of a disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The first effect that strikes.
    pub(super) fn strike(&mut self, operation: Operation, path: &StorePath) -> Option<Effect> {
        self.0.iter_mut().find_map(|fault| fault.strikes(operation, path).then_some(fault.effect))
    }
}
