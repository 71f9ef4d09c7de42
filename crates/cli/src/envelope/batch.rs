//! All files of a command, one after the other, and how it ends.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::ProgressBar;
use limosa_storage::Store;
use limosa_storage::local::{Confinement, LocalStore};
use limosa_wire::Code;

use crate::failure::CommandFailure;
use crate::signals::Interrupts;

use super::telling::Telling;
use super::walk::{Found, Item, Named, walk};

/// What one file's work tells, and whether it may go on.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    stop: Arc<AtomicBool>,
    bar: ProgressBar,
}

impl Watch {
    /// Fails once the user wants to stop.
    pub(super) fn go_on(&self) -> Result<(), CommandFailure> {
        if self.stop.load(Ordering::Relaxed) { Err(CommandFailure::new(Code::CANCELLED, "")) } else { Ok(()) }
    }

    /// So many bytes more are done.
    pub(super) fn moved(&self, bytes: u64) {
        self.bar.inc(bytes);
    }
}

/// What became of the files so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Files done.
    pub(super) settled: u64,
    /// Files that were as they should be, and links.
    pub(super) skipped: u64,
    /// Files that failed.
    pub(super) failed: u64,
    /// Bytes of content of the files done.
    pub(super) bytes: u64,
    /// Why files failed, as long as all failed for the same reason.
    reason: Option<CommandFailure>,
    mixed: bool,
    /// A file is not what it should be, which is said whatever else happened.
    damaged: bool,
    /// The user wants no more.
    stopped: bool,
}

impl Tally {
    fn fail(&mut self, failure: CommandFailure) {
        if failure.code == Code::CANCELLED {
            self.stopped = true;
            return;
        }
        self.failed += 1;
        self.damaged |= failure.code == Code::ENVELOPE_DAMAGED;
        match &self.reason {
            Some(reason) if reason.code != failure.code => self.mixed = true,
            _ => self.reason = Some(failure),
        }
    }

    /// How the command ends, as a transfer does: by what kept all of it from
    /// being done, or by content that is wrong.
    fn ending(self) -> (Self, CommandFailure) {
        let end = match &self.reason {
            _ if self.stopped => CommandFailure::new(Code::CANCELLED, ""),
            None => CommandFailure::new(Code::OK, ""),
            Some(reason) if self.settled == 0 && !self.mixed => {
                let detail = if self.failed == 1 { reason.detail.clone() } else { String::new() };
                CommandFailure { code: reason.code, detail }
            }
            Some(_) if self.damaged => CommandFailure::new(Code::ENVELOPE_DAMAGED, ""),
            Some(_) => CommandFailure::new(Code::SOME_FAILED, ""),
        };
        (self, end)
    }
}

/// What a command does with what it finds.
pub(super) trait Work: Send + 'static {
    /// Does it with one file, and says how many bytes of content that has.
    fn file(&mut self, store: &dyn Store, item: &Item, watch: &Watch) -> Result<u64, CommandFailure>;

    /// A directory all of whose files are done.
    fn directory(&mut self, store: &dyn Store, item: &Item) -> Result<(), CommandFailure>;
}

/// The files of a command.
#[derive(Debug)]
pub(super) struct Batch {
    /// As typed.
    pub(super) paths: Vec<PathBuf>,
    /// Which files below them are meant.
    pub(super) named: Named,
}

impl Batch {
    /// Does `work` with each file, to an exit status.
    pub(super) async fn run(self, telling: Telling, mut work: impl Work) -> ExitCode {
        let watch = Watch { stop: Arc::default(), bar: telling.bar() };
        let stop = watch.stop.clone();
        let mut interrupts = Interrupts::listen();
        let mut running = tokio::task::spawn_blocking(move || self.work_through(&telling, &watch, &mut work));
        loop {
            tokio::select! {
                ended = &mut running => return match ended {
                    Ok(code) => ExitCode::from(code.exit_status()),
                    // It has told of itself.
                    Err(_) => ExitCode::from(Code::INTERNAL.exit_status()),
                },
                _ = interrupts.next() => stop.store(true, Ordering::Relaxed),
            }
        }
    }

    fn work_through(self, telling: &Telling, watch: &Watch, work: &mut dyn Work) -> Code {
        let store = match LocalStore::open(Path::new("/"), Confinement::Anywhere) {
            Ok(store) => store,
            Err(error) => {
                let failure = CommandFailure::new(Code::RESOURCES, error);
                telling.failed(&failure);
                return failure.code;
            }
        };
        let mut tally = Tally::default();
        for path in &self.paths {
            walk(&store, path, &self.named, &mut |found| {
                if !tally.stopped {
                    Self::handle(&store, found, (telling, watch), work, &mut tally);
                }
            });
        }
        watch.bar.finish_and_clear();
        let (tally, end) = tally.ending();
        telling.finished(&tally, &end);
        end.code
    }

    fn handle(
        store: &dyn Store,
        found: Found,
        (telling, watch): (&Telling, &Watch),
        work: &mut dyn Work,
        tally: &mut Tally,
    ) {
        let (shown, failure) = match found {
            Found::File(item) => {
                watch.bar.set_message(item.shown.clone());
                match watch.go_on().and_then(|()| work.file(store, &item, watch)) {
                    Ok(bytes) => {
                        tally.settled += 1;
                        tally.bytes += bytes;
                        return telling.settled(&watch.bar, &item.shown, bytes);
                    }
                    Err(failure) => (item.shown, failure),
                }
            }
            Found::Directory(item) => match work.directory(store, &item) {
                Ok(()) => return,
                Err(failure) => (item.shown, failure),
            },
            Found::Done(shown) => {
                tally.skipped += 1;
                return telling.skipped(&watch.bar, &shown);
            }
            Found::Link(shown) => {
                tally.skipped += 1;
                return telling.left_out(&watch.bar, &shown);
            }
            Found::Failed(shown, failure) => (shown, failure),
        };
        if failure.code != Code::CANCELLED {
            telling.failed_entry(&watch.bar, &shown, &failure);
        }
        tally.fail(failure);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ending(settled: u64, failures: &[Code]) -> Code {
        let mut tally = Tally { settled, ..Tally::default() };
        failures.iter().for_each(|code| tally.fail(CommandFailure::new(*code, "")));
        tally.ending().1.code
    }

    #[test]
    fn a_command_ends_by_what_kept_it_from_all_it_had_to_do() {
        let (wrong, missing) = (Code::FILE_PASSPHRASE, Code::NOT_FOUND);
        assert_eq!(ending(0, &[]), Code::OK);
        assert_eq!(ending(3, &[]), Code::OK);
        assert_eq!(ending(0, &[wrong]), wrong);
        assert_eq!(ending(0, &[wrong, wrong]), wrong);
        assert_eq!(ending(0, &[wrong, missing]), Code::SOME_FAILED);
        assert_eq!(ending(1, &[wrong]), Code::SOME_FAILED);
        assert_eq!(ending(1, &[wrong, Code::ENVELOPE_DAMAGED]), Code::ENVELOPE_DAMAGED);
        assert_eq!(ending(1, &[wrong, Code::CANCELLED]), Code::CANCELLED);
    }
}
