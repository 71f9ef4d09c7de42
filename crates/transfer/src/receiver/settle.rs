//! What follows from completed operations: verdicts, counts, directories that
//! are done, and the end of the session.

use limosa_storage::{StorageError, StorePath};
use limosa_wire::{Code, EntryId};

use super::bench::Wait;
use super::operation::{DestinationOutput, Inspection, Promise};
use super::step::Step;
use super::{Body, Entry, Phase, Receiver};
use crate::event::Event;
use crate::failure::Failure;

impl Receiver {
    /// An operation of an entry came back.
    pub(super) fn resume_entry(&mut self, id: EntryId, wait: Wait, result: Result<DestinationOutput, StorageError>) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let bench = &mut self.bench;
        let step = match (&mut entry.body, wait) {
            (_, Wait::Inspection) => return self.inspected(id, result),
            (Body::Directory(_), wait) => return self.directory_completed(id, &wait, result),
            (Body::Whole(_), _) => Step::Going,
            (Body::Large(file), wait) => file.completed(wait, result, bench),
            (Body::Simple(_), _) => match result {
                Ok(_) => Step::Settled { bytes: 0 },
                Err(error) => Step::Failed(Failure::from(&error)),
            },
        };
        self.apply(id, step);
    }

    /// Files that were whole in memory were written, or not.
    pub(super) fn wholes_written(&mut self, entries: Vec<EntryId>, result: Result<DestinationOutput, StorageError>) {
        let outcomes = match result {
            Ok(DestinationOutput::Wholes(outcomes)) => outcomes,
            // `perform` gives nothing else for this operation.
            Ok(_) => Vec::new(),
            Err(error) => entries.iter().map(|_| Err(error.clone())).collect(),
        };
        for (id, outcome) in entries.into_iter().zip(outcomes) {
            if let Some(Body::Whole(file)) = self.entries.get_mut(&id).map(|entry| &mut entry.body) {
                let step = file.written(outcome, &mut self.bench);
                self.apply(id, step);
            }
        }
    }

    /// What was asked for names is done, or not.
    pub(super) fn names_done(
        &mut self,
        entries: Vec<(EntryId, Wait)>,
        result: Result<DestinationOutput, StorageError>,
    ) {
        let outcomes = match result {
            Ok(DestinationOutput::Names(outcomes)) => outcomes,
            // `perform` gives nothing else for this operation.
            Ok(_) => Vec::new(),
            Err(error) => entries.iter().map(|_| Err(error.clone())).collect(),
        };
        for ((id, wait), outcome) in entries.into_iter().zip(outcomes) {
            self.resume_entry(id, wait, outcome.map(|()| DestinationOutput::Done));
        }
    }

    fn inspected(&mut self, id: EntryId, result: Result<DestinationOutput, StorageError>) {
        let inspection = match result {
            Ok(DestinationOutput::Inspected(inspection)) => inspection,
            Ok(_) => Inspection::Refuse(Failure::because(Code::INTERNAL, "an operation gave what was not asked for")),
            Err(error) => Inspection::Refuse(Failure::from(&error)),
        };
        let step = match (inspection, self.bench.closed) {
            (Inspection::Skip, _) => Step::Skipped,
            (Inspection::Refuse(failure), _) => Step::Refused(failure),
            (_, Some(code)) => Step::Refused(Failure::new(code)),
            (Inspection::Take, None) => self.want(id, None),
            (Inspection::Resume(promise), None) => self.want(id, Some(promise)),
        };
        self.apply(id, step);
    }

    /// Tells the other end to send a file.
    fn want(&mut self, id: EntryId, promise: Option<Promise>) -> Step {
        let bench = &mut self.bench;
        match &promise {
            None => bench.verdicts.take(id),
            Some(promise) => bench.verdicts.resume(id, promise.clone()),
        }
        match self.entries.get_mut(&id).map(|entry| &mut entry.body) {
            Some(Body::Whole(file)) => file.want(bench),
            Some(Body::Large(file)) => file.want(promise, bench),
            _ => Step::Going,
        }
    }

    fn directory_completed(&mut self, id: EntryId, wait: &Wait, result: Result<DestinationOutput, StorageError>) {
        let Some(Body::Directory(directory)) = self.entries.get_mut(&id).map(|entry| &mut entry.body) else { return };
        match (wait, result) {
            (Wait::Finished, Ok(_)) => self.apply(id, Step::Settled { bytes: 0 }),
            (Wait::Finished, Err(error)) => self.apply(id, Step::Failed(Failure::from(&error))),
            (_, Ok(_)) => {
                directory.made();
                self.touch_directory_of(id);
                self.finish_directory(id);
            }
            (_, Err(error)) => {
                directory.failed();
                let path = directory.path().clone();
                self.report_failed(Some(id), path, Failure::from(&error));
                self.finish_directory(id);
            }
        }
    }

    /// The name of an entry has to be synced some time.
    fn touch_directory_of(&mut self, id: EntryId) {
        let Some(entry) = self.entries.get(&id) else { return };
        let parent = entry.parent.and_then(|parent| self.entries.get(&parent));
        self.bench.touch_directory_of(entry.path(), parent.map(Entry::path));
    }

    /// Gives a directory its attributes, or forgets it, if nothing below is
    /// under way.
    pub(super) fn finish_directory(&mut self, id: EntryId) {
        let Some(Body::Directory(directory)) = self.entries.get_mut(&id).map(|entry| &mut entry.body) else { return };
        if directory.is_over() {
            self.forget(id);
        } else if self.phase != Phase::Cancelled {
            directory.finish(id, &mut self.bench);
        }
    }

    /// What follows for an entry from a step.
    pub(super) fn apply(&mut self, id: EntryId, step: Step) {
        if step == Step::Going {
            return;
        }
        let Some(entry) = self.entries.get(&id) else { return };
        let (path, retaken) = (|| entry.path().clone(), entry.retaken);
        match step {
            Step::Going => {}
            Step::Settled { bytes } => {
                self.bench.summary.settled += 1;
                self.bench.summary.bytes += bytes;
                self.bench.verdicts.settle(id);
                self.bench.tell_entry(|| Event::Settled { entry: id, path: path() });
                self.touch_directory_of(id);
            }
            Step::Skipped => {
                self.bench.summary.settled += 1;
                self.bench.summary.skipped += 1;
                self.bench.verdicts.skip(id);
                self.bench.tell_entry(|| Event::Skipped { entry: id, path: path() });
                self.progress.bytes_present += self.size_of(id);
                self.touch_directory_of(id);
            }
            Step::Refused(failure) => {
                let path = path();
                self.bench.verdicts.refuse(id, failure.clone());
                self.count_failed(Some(id), path, failure);
            }
            Step::Failed(_) if self.phase == Phase::Cancelled => {}
            Step::Failed(_) if retaken => self.bench.events.push_back(Event::Retaken { entry: id, path: path() }),
            Step::Failed(failure) => {
                let path = path();
                self.report_failed(Some(id), path, failure);
            }
        }
        self.forget(id);
    }

    fn size_of(&self, id: EntryId) -> u64 {
        match self.entries.get(&id).map(|entry| &entry.body) {
            Some(Body::Whole(file)) => file.size(),
            Some(Body::Large(file)) => file.about().size.unwrap_or(0),
            _ => 0,
        }
    }

    /// Something failed after it was taken.
    pub(super) fn report_failed(&mut self, id: Option<EntryId>, path: StorePath, failure: Failure) {
        if let Some(id) = id {
            self.bench.verdicts.fail(id, failure.clone());
        }
        self.count_failed(id, path, failure);
    }

    fn count_failed(&mut self, entry: Option<EntryId>, path: StorePath, failure: Failure) {
        if failure.code == Code::NO_SPACE {
            // Nothing else would fit either, and each attempt costs the line.
            self.bench.closed.get_or_insert(Code::NO_SPACE);
        }
        self.bench.summary.failed += 1;
        self.bench.events.push_back(Event::Failed { entry, path, failure });
    }

    /// Forgets an entry that is over, and what waited for it.
    fn forget(&mut self, id: EntryId) {
        let Some(mut entry) = self.entries.remove(&id) else { return };
        // Bytes may have come before it was decided that they are not wanted.
        match &mut entry.body {
            Body::Whole(file) => file.drop_memory(&mut self.bench),
            Body::Large(file) => file.drop_memory(&mut self.bench),
            Body::Directory(_) | Body::Simple(_) => {}
        }
        self.bench.announced = self.bench.announced.saturating_sub(entry.cost);
        self.bench.active.remove(&id);
        if let Some(parent) = entry.parent {
            if let Some(Body::Directory(directory)) = self.entries.get_mut(&parent).map(|entry| &mut entry.body) {
                directory.settle_one();
            }
            self.finish_directory(parent);
        }
        self.open_waiting();
    }

    /// Opens files that waited for others to be closed.
    fn open_waiting(&mut self) {
        while self.bench.open_files < self.bench.options.limits.open_files {
            let Some(next) = self.bench.waiting_to_open.pop_front() else { return };
            if let Some(Body::Large(file)) = self.entries.get_mut(&next).map(|entry| &mut entry.body) {
                file.leave_queue(&mut self.bench);
            }
        }
    }

    /// Ends one entry of a session that ends before its time.
    pub(super) fn give_up(&mut self, id: EntryId, failure: Failure) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let step = match &mut entry.body {
            Body::Whole(file) => file.fail(failure, &mut self.bench),
            Body::Large(file) => file.fail(failure, false, &mut self.bench),
            Body::Directory(_) => Step::Failed(failure),
            Body::Simple(_) => Step::Going,
        };
        self.apply(id, step);
    }

    /// Says that everything is done once it is.
    pub(super) fn complete_if_done(&mut self) {
        let done = self.phase == Phase::Announced && self.entries.is_empty() && !self.bench.is_busy();
        if done && !self.bench.sync_directories() {
            self.phase = Phase::Complete;
            let summary = self.bench.summary;
            self.bench.verdicts.complete(summary.settled, summary.failed);
        }
    }
}
