//! What the other end says of the entries.

use limosa_wire::EntryId;
use limosa_wire::front::Front;
use limosa_wire::verdict::VerdictRecord;

use super::config::Nature;
use super::entries::State;
use super::reading::Handle;
use super::{Owner, Sender, SenderError};
use crate::content::Chunks;
use crate::event::Event;
use crate::failure::Failure;

/// Most stretches of files waiting to be read once more.
const REPAIRS: usize = 16_384;

/// Whether data of a file may have left.
fn sent(state: State) -> bool {
    matches!(state, State::Small { .. } | State::Reading | State::Sent)
}

/// How an entry ended well.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Good {
    Settled,
    Skipped,
}

impl Sender {
    /// Takes the next bytes of the verdict stream.
    ///
    /// # Errors
    /// If they are no verdicts, or such as cannot be.
    pub fn on_verdicts(&mut self, bytes: &[u8]) -> Result<(), SenderError> {
        self.verdicts.extend_from_slice(bytes);
        let mut used = 0;
        let outcome = loop {
            match VerdictRecord::decode(self.verdicts.get(used..).unwrap_or_default()) {
                Ok(Some((record, length))) => {
                    used += length;
                    if let Err(error) = self.judge(record) {
                        break Err(error);
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error.into()),
            }
        };
        self.verdicts.drain(..used);
        outcome
    }

    fn judge(&mut self, record: VerdictRecord) -> Result<(), SenderError> {
        match record {
            VerdictRecord::Take { first, count } => {
                for id in self.span(first, count)? {
                    self.take(id);
                }
            }
            VerdictRecord::Skip { first, count } => {
                for id in self.span(first, count)? {
                    self.finish(id, Good::Skipped);
                }
            }
            VerdictRecord::Settled { first, count } => {
                for id in self.span(first, count)? {
                    self.finish(id, Good::Settled);
                }
            }
            VerdictRecord::Resume { entry, missing, front } => self.resume_file(entry, &missing, front)?,
            VerdictRecord::Refuse { entry, code, detail } | VerdictRecord::Failed { entry, code, detail } => {
                self.span(entry, 1)?;
                self.withdraw_entry(entry);
                self.finish_failed(entry, Failure { code, detail });
            }
            VerdictRecord::Again { entry, file_offset, length } => self.again(entry, file_offset, length)?,
            VerdictRecord::Complete { settled, failed } => self.completed(settled, failed)?,
        }
        Ok(())
    }

    /// The unfinished entries among those named, all of which must have been
    /// announced.
    fn span(&self, first: EntryId, count: u64) -> Result<Vec<EntryId>, SenderError> {
        let end = first.0.checked_add(count).filter(|end| *end <= self.layout.entries());
        end.ok_or(SenderError::Protocol("it names an entry that was not announced"))?;
        Ok(self.entries.span(first, count))
    }

    fn take(&mut self, id: EntryId) {
        match self.entries.get(id).map(|record| record.state) {
            Some(State::Held { .. }) => self.release_held(id),
            Some(State::Asked) => self.read_first(id, None),
            _ => {}
        }
    }

    fn resume_file(&mut self, id: EntryId, missing: &[(u64, u64)], front: Option<Front>) -> Result<(), SenderError> {
        self.span(id, 1)?;
        // What is sealed otherwise than what is held would never open with it.
        let by_front = matches!(self.config.nature, Nature::Sealed(continuing) if continuing.is_by_front());
        if front.is_some() != by_front {
            return Err(SenderError::Protocol("it resumes a file and does not say which"));
        }
        let Some(record) = self.entries.get(id) else { return Ok(()) };
        let Some(chunks) = record.file.and_then(|file| Chunks::new(file.size, file.chunk_log2)) else {
            return Err(SenderError::Protocol("it resumes what is no file"));
        };
        if missing.iter().any(|(first, count)| first + count > chunks.count()) {
            return Err(SenderError::Protocol("it misses chunks that do not exist"));
        }
        let wanted: u64 =
            missing.iter().map(|&(first, count)| chunks.span(first, count)).map(|b| b.end - b.start).sum();
        let present = chunks.size() - wanted;
        match record.state {
            State::Held { .. } if missing.is_empty() => self.withdraw_entry(id),
            State::Held { .. } => self.release_held(id),
            State::Asked => {
                self.entries.set_front(id, front);
                self.read_first(id, Some(missing));
            }
            // Its data follows without waiting.
            State::Small { .. } | State::Reading | State::Sent => return Ok(()),
        }
        self.tally.resumed += present;
        self.progress.bytes_present += present;
        Ok(())
    }

    fn again(&mut self, id: EntryId, file_offset: u64, length: u64) -> Result<(), SenderError> {
        self.span(id, 1)?;
        let Some(record) = self.entries.get(id) else { return Ok(()) };
        let end = file_offset.checked_add(length);
        match (record.file, end) {
            (Some(file), Some(end)) if end <= file.size && sent(record.state) => {
                if self.readings.len() > REPAIRS + self.config.limits.entries {
                    return Err(SenderError::Protocol("it asks for too many repeats"));
                }
                self.read_repair(id, file_offset..end);
                Ok(())
            }
            _ => Err(SenderError::Protocol("it asks again for what was never sent")),
        }
    }

    fn completed(&mut self, settled: u64, failed: u64) -> Result<(), SenderError> {
        if !self.layout.is_complete() || self.entries.len() > 0 {
            return Err(SenderError::Protocol("it is complete before everything was settled"));
        }
        self.complete = Some((settled, failed));
        Ok(())
    }

    /// Whether a file, or what was asked of it again, is still being read.
    fn is_unread(&self, id: EntryId) -> bool {
        let first = self.readings.get(&Owner::first(id));
        first.is_some_and(|reading| !matches!(reading.handle, Handle::Done)) || self.repairing.contains_key(&id)
    }

    fn finish(&mut self, id: EntryId, how: Good) {
        // Acknowledgements of its last bytes may follow the verdict.
        if how == Good::Skipped || self.is_unread(id) {
            self.withdraw_entry(id);
        }
        self.repairing.remove(&id);
        let Some(record) = self.entries.remove(id) else { return };
        let size = record.file.map_or(0, |file| file.size);
        let path = || record.located.announced_path();
        self.progress.entries_finished += 1;
        self.tally.settled += 1;
        if how == Good::Skipped {
            self.tally.skipped += 1;
            self.progress.bytes_present += size;
            self.report_entry(|| Event::Skipped { entry: id, path: path() });
        } else {
            self.tally.bytes += size;
            self.report_entry(|| Event::Settled { entry: id, path: path() });
        }
    }
}
