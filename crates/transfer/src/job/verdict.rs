//! One code for a whole job out of the failures of its entries.

use limosa_wire::{Code, Fault};

use crate::Failure;

/// What is known of the failures so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    first: Option<Failure>,
    /// Whether all failures had the code of the first.
    mixed: bool,
    /// The first about content that is not what it should be.
    integrity: Option<Code>,
}

impl Tally {
    /// An entry failed.
    pub(super) fn note(&mut self, failure: &Failure) {
        if failure.code.fault() == Fault::Integrity {
            self.integrity.get_or_insert(failure.code);
        }
        match &self.first {
            None => self.first = Some(failure.clone()),
            Some(first) => self.mixed |= first.code != failure.code,
        }
    }

    /// The first failure.
    pub(super) fn first(&self) -> Option<&Failure> {
        self.first.as_ref()
    }

    /// The code of a job with this many entries settled and failed. Wrong
    /// content outweighs everything; where nothing succeeded for one reason,
    /// that reason says more than "some failed".
    pub(super) fn code(&self, settled: u64, failed: u64) -> Code {
        match (&self.first, self.integrity) {
            (_, Some(code)) => code,
            (Some(first), None) if settled == 0 && !self.mixed => first.code,
            (None, None) if failed == 0 => Code::OK,
            _ => Code::SOME_FAILED,
        }
    }
}
