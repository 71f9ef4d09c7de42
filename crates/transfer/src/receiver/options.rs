//! What a receiving engine is told when it is made.

use std::time::Duration;

use limosa_seal::ContentAlgorithm;
use limosa_storage as storage;
use limosa_wire::setup::{Durability, Overwrite, ResumeLevel};

use super::admission::Admission;
use super::landing::Survey;
use super::naming::PartialNames;

/// How much the engine may keep in memory and open at a time. All of it is
/// independent of how many files there are and how large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of files, arrived and not yet on disk.
    pub queue: u64,
    /// Bytes whose layout record has not arrived yet; the credit of the answer.
    pub orphans: u64,
    /// Entries announced and neither settled nor failed.
    pub entries: u64,
    /// Bytes of memory for what is known of those entries.
    pub announced: u64,
    /// Partial files open.
    pub open_files: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { queue: 64 << 20, orphans: 32 << 20, entries: 1 << 18, announced: 128 << 20, open_files: 256 }
    }
}

/// What a receiving engine is told when it is made.
#[derive(Clone, Debug)]
pub struct ReceiverOptions {
    pub(super) survey: Survey,
    pub(super) sources: u32,
    pub(super) names: PartialNames,
    pub(super) algorithm: ContentAlgorithm,
    pub(super) fresh: bool,
    pub(super) resume: ResumeLevel,
    pub(super) overwrite: Overwrite,
    pub(super) durability: Durability,
    pub(super) limits: Limits,
    pub(super) file_mode: u32,
    pub(super) directory_mode: u32,
    pub(super) mode_mask: u32,
    pub(super) lock_patience: Duration,
    pub(super) admission: Admission,
    pub(super) by_front: bool,
    pub(super) envelopes_only: bool,
}

impl ReceiverOptions {
    /// Options for `sources` sources (as many as the user named, the content of
    /// a directory counted as two) that go to a surveyed destination, proven by
    /// `algorithm`. Unless set otherwise:
    /// resume level 1, files that differ are replaced, durability `file`, and
    /// the destination is as fresh as the survey says.
    #[must_use]
    pub fn new(survey: Survey, sources: u32, names: PartialNames, algorithm: ContentAlgorithm) -> Self {
        Self {
            fresh: survey.fresh(),
            survey,
            sources,
            names,
            algorithm,
            resume: ResumeLevel::Attributes,
            overwrite: Overwrite::Different,
            durability: Durability::File,
            limits: Limits::default(),
            file_mode: 0o644,
            directory_mode: 0o755,
            mode_mask: 0o777,
            lock_patience: Duration::from_secs(10),
            admission: Admission::default(),
            by_front: false,
            envelopes_only: false,
        }
    }

    /// Sets what both ends were told about the destination: whether data comes
    /// without waiting for verdicts.
    #[must_use]
    pub fn with_fresh(mut self, fresh: bool) -> Self {
        self.fresh = fresh;
        self
    }

    /// Sets what is compared before a file is continued or skipped.
    #[must_use]
    pub fn with_resume(mut self, level: ResumeLevel) -> Self {
        self.resume = level;
        self
    }

    /// Sets what becomes of what is there.
    #[must_use]
    pub fn with_overwrite(mut self, overwrite: Overwrite) -> Self {
        self.overwrite = overwrite;
        self
    }

    /// Sets how sure a name is to survive a crash.
    #[must_use]
    pub fn with_durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Sets how much may be kept in memory and open.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the permission bits of files and directories that come without
    /// any; unless set, 0o644 and 0o755. Whoever knows the process's umask
    /// takes it off here.
    #[must_use]
    pub fn with_default_modes(mut self, file: u32, directory: u32) -> Self {
        self.file_mode = file;
        self.directory_mode = directory;
        self
    }

    /// Sets which permission bits the other end may set. Unless set these are
    /// 0o777: set-user-id, set-group-id and sticky bits of strangers' files
    /// mean somebody else on this machine.
    #[must_use]
    pub fn with_mode_mask(mut self, mask: u32) -> Self {
        self.mode_mask = mask;
        self
    }

    /// Sets how long to wait for the lock of a partial file that another
    /// session writes; unless set, 10 s.
    #[must_use]
    pub fn with_lock_patience(mut self, patience: Duration) -> Self {
        self.lock_patience = patience;
        self
    }

    /// Sets what the other end may announce; unless set, anything but
    /// removals.
    #[must_use]
    pub fn with_admission(mut self, admission: Admission) -> Self {
        self.admission = admission;
        self
    }

    /// Continues files only where the other end can be told how what is held
    /// begins: it seals them as it reads them, and goes on by that.
    #[must_use]
    pub fn continuing_by_front(mut self) -> Self {
        self.by_front = true;
        self
    }

    /// Publishes no file that does not begin as one encrypted by its sender.
    #[must_use]
    pub fn taking_envelopes_only(mut self) -> Self {
        self.envelopes_only = true;
        self
    }

    /// Sets random bytes of this session, by which files that no other session
    /// can continue are told apart.
    #[must_use]
    pub fn with_session(mut self, session: [u8; 16]) -> Self {
        self.names = self.names.with_session(session);
        self
    }

    /// How names are given.
    pub(super) fn publish(&self) -> storage::Publish {
        storage::Publish {
            overwrite: match self.overwrite {
                Overwrite::Never => storage::Overwrite::MustNotExist,
                Overwrite::Always | Overwrite::Different => storage::Overwrite::Replace,
            },
            durability: match self.durability {
                Durability::None => storage::Durability::None,
                Durability::File => storage::Durability::File,
                Durability::Strict => storage::Durability::Strict,
            },
        }
    }

    /// How directories are made that nobody announced.
    pub(super) fn parents(&self) -> super::operation::Parents {
        super::operation::Parents { mode: self.directory_mode }
    }
}
