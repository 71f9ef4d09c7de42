//! Verdicts on their way to the other end, neighbours joined to runs.

use std::collections::VecDeque;

use limosa_ranges::RangeSet;
use limosa_wire::EntryId;
use limosa_wire::verdict::VerdictRecord;

use super::operation::Promise;
use crate::failure::Failure;

/// Verdicts not yet handed to the connection.
///
/// Their order matters only for one entry: it is taken before it is settled or
/// fails. So runs of taken and skipped ones go first, single ones next,
/// settled ones last.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    taken: RangeSet,
    skipped: RangeSet,
    settled: RangeSet,
    single: VecDeque<VerdictRecord>,
}

impl Verdicts {
    pub(super) fn take(&mut self, entry: EntryId) {
        self.taken.insert(entry.0..entry.0 + 1);
    }

    pub(super) fn skip(&mut self, entry: EntryId) {
        self.skipped.insert(entry.0..entry.0 + 1);
    }

    pub(super) fn settle(&mut self, entry: EntryId) {
        self.settled.insert(entry.0..entry.0 + 1);
    }

    pub(super) fn resume(&mut self, entry: EntryId, Promise { missing, front }: Promise) {
        self.single.push_back(VerdictRecord::Resume { entry, missing, front });
    }

    pub(super) fn refuse(&mut self, entry: EntryId, Failure { code, detail }: Failure) {
        self.single.push_back(VerdictRecord::Refuse { entry, code, detail });
    }

    pub(super) fn fail(&mut self, entry: EntryId, Failure { code, detail }: Failure) {
        self.single.push_back(VerdictRecord::Failed { entry, code, detail });
    }

    pub(super) fn again(&mut self, entry: EntryId, file_offset: u64, length: u64) {
        self.single.push_back(VerdictRecord::Again { entry, file_offset, length });
    }

    pub(super) fn complete(&mut self, settled: u64, failed: u64) {
        self.single.push_back(VerdictRecord::Complete { settled, failed });
    }

    /// All verdicts so far, each once.
    pub(super) fn drain(&mut self) -> Vec<VerdictRecord> {
        let runs = |set: &mut RangeSet| std::mem::take(set).iter().collect::<Vec<_>>();
        let mut records = Vec::new();
        for run in runs(&mut self.taken) {
            records.push(VerdictRecord::Take { first: EntryId(run.start), count: run.end - run.start });
        }
        for run in runs(&mut self.skipped) {
            records.push(VerdictRecord::Skip { first: EntryId(run.start), count: run.end - run.start });
        }
        let single = std::mem::take(&mut self.single);
        let (complete, others): (Vec<_>, Vec<_>) =
            single.into_iter().partition(|record| matches!(record, VerdictRecord::Complete { .. }));
        records.extend(others);
        for run in runs(&mut self.settled) {
            records.push(VerdictRecord::Settled { first: EntryId(run.start), count: run.end - run.start });
        }
        records.extend(complete);
        records
    }

    pub(super) fn is_empty(&self) -> bool {
        self.taken.is_empty() && self.skipped.is_empty() && self.settled.is_empty() && self.single.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_become_runs_and_complete_comes_last() {
        let mut verdicts = Verdicts::default();
        for entry in [3, 1, 2, 9] {
            verdicts.take(EntryId(entry));
            verdicts.settle(EntryId(entry));
        }
        verdicts.complete(4, 0);
        verdicts.resume(EntryId(5), Promise { missing: vec![(0, 2)], front: None });
        let records = verdicts.drain();
        assert_eq!(
            records,
            [
                VerdictRecord::Take { first: EntryId(1), count: 3 },
                VerdictRecord::Take { first: EntryId(9), count: 1 },
                VerdictRecord::Resume { entry: EntryId(5), missing: vec![(0, 2)], front: None },
                VerdictRecord::Settled { first: EntryId(1), count: 3 },
                VerdictRecord::Settled { first: EntryId(9), count: 1 },
                VerdictRecord::Complete { settled: 4, failed: 0 },
            ]
        );
        assert!(verdicts.is_empty());
    }
}
